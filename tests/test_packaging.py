"""What setup.cfg promises pip: an installed package has all that a checkout has."""

from __future__ import annotations

import configparser
from pathlib import Path

from bluezoned import manual

ROOT = Path(__file__).parent.parent


def test_every_file_beside_the_code_is_packaged() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    packaged = {
        file
        for package, patterns in setup["options.package_data"].items()
        for pattern in patterns.replace(",", " ").split()
        for file in (ROOT / package.replace(".", "/")).glob(pattern)
    }

    beside = {
        file
        for file in (ROOT / "bluezoned").rglob("*")
        # What compile.sh reads and writes is each machine's own, and comes there by make, make install or make deb.
        if file.is_file() and file.suffix not in (".py", ".c", ".so") and "__pycache__" not in file.parts
    }

    assert beside
    assert beside <= packaged


def test_man_pages_and_completions_are_what_the_commands_say() -> None:
    written = dict(manual.files((ROOT / "config" / "bluezoned.toml").read_text()))
    docs = ROOT / "docs"
    found = {
        str(path.relative_to(docs)): path.read_text()
        for room in ("man", "completion")
        for path in (docs / room).iterdir()
    }

    # How a completion asks is click's own affair, and changes with it.
    stale = [place for place, text in written.items() if place.startswith("man/") and found.get(place) != text]

    assert not stale, "make man"
    assert found.keys() == written.keys()
