"""image/: what can be said of the card's recipes without building one. make test-image boots the card itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.test_units import needs_systemd

ROOT = Path(__file__).parent.parent
IMAGE = ROOT / "image"
SCRIPTS = sorted(
    path for path in IMAGE.rglob("*") if path.is_file() and path.read_bytes()[:9] in (b"#!/bin/ba", b"#!/bin/sh")
)


def words(text: str) -> set[str]:
    return set(re.sub(r"#.*", "", text).split())


def needed() -> set[str]:
    """What of Debian's the package wants on a card, by the first of alternatives."""
    control = (ROOT / "debian" / "control").read_text()
    (stanza,) = [part for part in control.split("\n\n") if part.startswith("Package: bluezoned\n")]
    wanted = stanza.partition("Depends:\n")[2].partition("Suggests:")[0]
    return set(re.findall(r"^ ([a-z][a-z0-9+.-]+)", wanted, re.M))


def test_the_base_holds_all_that_the_package_needs() -> None:
    """The package is laid on it by dpkg, which fetches nothing. Some come with others."""
    brought = {"libc6", "libgcc-s1", "systemd", "python3-yarl"}

    assert needed() - brought <= words((IMAGE / "packages").read_text())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(IMAGE)))
def test_scripts_are_understood(script: Path) -> None:
    shell = script.read_text().split("\n", 1)[0].split()[0].removeprefix("#!")

    done = subprocess.run([shell, "-n", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert script.stat().st_mode & 0o111


@needs_systemd
def test_units_are_understood(tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree("/usr/lib/systemd/system", root / "usr/lib/systemd/system", symlinks=True)
    units = [path for path in (IMAGE / "overlay/etc/systemd/system").iterdir() if path.is_file()]
    for unit in units:
        shutil.copy(unit, root / "usr/lib/systemd/system")
    for program in ("usr/local/sbin/grow-data", "usr/bin/ssh-keygen"):
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        (root / program).touch(mode=0o755)

    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", f"--root={root}", *(unit.name for unit in units)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert units
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_the_stage_for_pi_gen_names_what_is_there() -> None:
    place = IMAGE / "pi-gen" / "stage-bluezoned" / "00-bluezoned"
    named = re.findall(r"\.\./\.\./\.\./\S+", (place / "01-run.sh").read_text())
    packages = words((place / "00-packages-nr").read_text())

    # pi-gen runs a step's scripts in the step's own directory.
    assert len(named) == 2
    assert all((place / name).is_file() for name in named)
    assert packages <= words((IMAGE / "packages").read_text())


def test_the_layer_for_rpi_image_gen_is_whole() -> None:
    layer = (IMAGE / "rpi-image-gen" / "layer" / "bluezoned.yaml").read_text()
    config = (IMAGE / "rpi-image-gen" / "config" / "bluezoned.yaml").read_text()
    about = dict(re.findall(r"^# X-Env-(\S+): (.+)$", layer.partition("# METAEND")[0], re.M))
    packages = set(re.findall(r"^    - ([a-z][a-z0-9-]+)$", layer, re.M))

    assert {"Layer-Name", "Layer-Version", "Layer-Category", "Layer-Desc"} <= about.keys()
    assert f"app: {about['Layer-Name']}\n" in config
    assert packages <= words((IMAGE / "packages").read_text())
