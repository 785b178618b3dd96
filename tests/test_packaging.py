"""What setup.cfg promises pip: an installed package has all that a checkout has."""

from __future__ import annotations

import configparser
from pathlib import Path

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
        if file.is_file() and file.suffix != ".py" and "__pycache__" not in file.parts
    }

    assert beside
    assert beside <= packaged
