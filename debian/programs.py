"""Writes the commands of a package: debian/programs.py PACKAGE ROOT. What they are says setup.cfg."""

from __future__ import annotations

import configparser
import sys
from pathlib import Path

PROGRAM = """#!/usr/bin/python3 -IB
import sys

sys.path.insert(0, "/usr/lib/{package}/python")

from {module} import {function}

sys.exit({function}())
"""
"""Isolated: neither the environment nor a user's own modules get between. -B: root's runs would leave byte-code behind
that dpkg does not know; the package's own was made when it was installed."""


def main(package: str, root: Path) -> None:
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parent.parent / "setup.cfg")
    for line in setup["options.entry_points"]["console_scripts"].split("\n"):
        name, _, place = (word.strip() for word in line.partition("="))
        if name and name.startswith("bluezone-authority") == (package == "bluezone-authority"):
            module, _, function = place.partition(":")
            program = root / "usr" / "bin" / name
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(PROGRAM.format(package=package, module=module, function=function))
            program.chmod(0o755)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
