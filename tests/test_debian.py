"""What the Debian packages say agrees with the project: versions, and a place for every dependency."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest

import bluezoned

ROOT = Path(__file__).parent.parent


def requirements(lines: str) -> set[str]:
    """Names, in lower case."""
    names = (re.split(r"[<>=~\[; ]", line.strip())[0] for line in lines.splitlines())
    return {name.lower().replace("_", "-") for name in names if name and not name.startswith("#")}


def from_debian(package: str) -> set[str]:
    control = (ROOT / "debian" / "control").read_text()
    (stanza,) = [part for part in control.split("\n\n") if part.startswith(f"Package: {package}\n")]
    depends = stanza.partition("Depends:\n")[2].partition("\nDescription")[0]
    # Debian's Python reads the system's time zones.
    return set(re.findall(r"(?<=python3-)[a-z0-9-]+|tzdata", depends))


def test_the_changelog_has_the_version() -> None:
    first = (ROOT / "debian" / "changelog").read_text().splitlines()[0]

    assert first.startswith(f"bluezoned ({bluezoned.__version__}) ")


@pytest.mark.parametrize("package", ["bluezoned", "bluezone-authority"])
def test_every_dependency_comes_from_debian_or_a_wheel(package: str) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    wanted = requirements(setup["options"]["install_requires"])
    if package == "bluezone-authority":
        # What only boxes use.
        wanted -= {"bleak", "bluez-peripheral", "dbus-next", "gpiod", "gpiozero"}
        wanted |= requirements(setup["options.extras_require"]["authority"])
    wheels = requirements((ROOT / "debian" / "vendor" / f"{package}.in").read_text())
    debian = {{"systemd": "systemd-python", "jwt": "pyjwt"}.get(name, name) for name in from_debian(package)}

    assert wanted - wheels - debian == set()


@pytest.mark.parametrize("package", ["bluezoned", "bluezone-authority"])
def test_every_wheel_is_pinned(package: str) -> None:
    asked = requirements((ROOT / "debian" / "vendor" / f"{package}.in").read_text())
    pinned = (ROOT / "debian" / "vendor" / f"{package}.txt").read_text()

    assert {name.replace("_", "-") for name in re.findall(r"^([a-z0-9_-]+)==", pinned, re.M)} == asked
