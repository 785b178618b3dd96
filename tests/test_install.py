"""make install and make uninstall, below a directory: what stands where, what is kept, what is left."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's own, built from a copy."""
    place = tmp_path_factory.mktemp("wheel")
    source = place / "source"
    shutil.copytree(ROOT / "bluezoned", source / "bluezoned")
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", place, source], check=True)
    return next(place.glob("*.whl"))


class Machine:
    """A directory that the programs are installed below, as for an image. What they depend on is left out."""

    def __init__(self, root: Path, wheel: Path) -> None:
        self.root = root
        self._wheel = wheel

    def make(self, *words: str) -> str:
        """What was said. The programs get this Python, which has pip's means of making an environment."""
        environment = {"PATH": os.environ["PATH"], "PYTHON": sys.executable}
        done = subprocess.run(
            ["make", f"DESTDIR={self.root}", f"WHEEL={self._wheel}", "PIP_ARGS=--no-deps --no-index", *words],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def files(self) -> set[str]:
        """Those outside the virtual environment."""
        paths = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()}
        return {path for path in paths if not path.startswith("opt/bluezoned/")}


@pytest.fixture(scope="session")
def once_installed(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    root = tmp_path_factory.mktemp("installed") / "root"
    Machine(root, wheel).make("install")
    return root


@pytest.fixture
def machine(tmp_path: Path, once_installed: Path, wheel: Path) -> Machine:
    """After `make install`."""
    shutil.copytree(once_installed, tmp_path / "root", symlinks=True)
    return Machine(tmp_path / "root", wheel)


def pages_of(program: str, section: int) -> set[str]:
    """Man page and completions."""
    return {
        f"usr/share/man/man{section}/{program}.{section}",
        f"usr/share/bash-completion/completions/{program}",
        f"usr/share/zsh/vendor-completions/_{program}",
        f"usr/share/fish/vendor_completions.d/{program}.fish",
    }


SETTINGS = "etc/bluezoned/bluezoned.toml"


def test_everything_stands_where_the_machine_looks_for_it(machine: Machine) -> None:
    ours = (ROOT / "systemd").glob("bluezoned*")
    units = {f"usr/lib/systemd/system/{path.name}" for path in ours if path.suffix in (".service", ".timer")}
    assert len(units) == 11
    manual = {"usr/share/man/man5/bluezoned.toml.5", "usr/share/man/man8/bluezoned-update.8"}
    boxes = ("bluezoned", "bluezoned-first-boot", "bluezoned-sync", "bluezoned-display")
    for name, section in (*((name, 8) for name in boxes), ("bluezonectl", 1)):
        manual |= pages_of(name, section)
    assert machine.files() == units | manual | {
        SETTINGS,
        "usr/bin/bluezoned",
        "usr/bin/bluezoned-display",
        "usr/bin/bluezoned-sync",
        "usr/bin/bluezonectl",
        "usr/bin/bluezoned-first-boot",
        "usr/lib/bluezoned/bt-reset",
        "usr/sbin/bluezoned-update",
        "usr/lib/systemd/system/bluetooth.service.d/10-bluezoned.conf",
        "usr/lib/systemd/catalog/bluezoned.catalog",
        "usr/lib/sysusers.d/bluezoned.conf",
        "usr/lib/tmpfiles.d/bluezoned.conf",
        "usr/lib/systemd/system/media-bluezoned.mount",
        "usr/lib/udev/rules.d/60-bluezoned.rules",
        "usr/lib/udev/rules.d/90-bluezoned-stick.rules",
        "usr/share/bluezoned/bluezoned.toml",
        "usr/share/dbus-1/interfaces/org.bluezoned.Daemon1.xml",
        "usr/share/dbus-1/system-services/org.bluezoned.service",
        "usr/share/dbus-1/system.d/org.bluezoned.conf",
        "usr/share/polkit-1/rules.d/50-bluezoned.rules",
    }
    assert os.access(machine.root / "usr/lib/bluezoned/bt-reset", os.X_OK)
    assert (machine.root / SETTINGS).read_bytes() == (ROOT / "config" / "bluezoned.toml").read_bytes()


def test_programs_know_where_they_will_stand(once_installed: Path) -> None:
    programs = once_installed / "opt/bluezoned/bin"

    assert str((once_installed / "usr/bin/bluezoned").readlink()) == "/opt/bluezoned/bin/bluezoned"
    assert (programs / "bluezoned").read_text().startswith("#!/opt/bluezoned/bin/python\n")
    naming = [*programs.glob("blue*"), programs.parent / "pyvenv.cfg"]
    assert [path.name for path in naming if str(once_installed) in path.read_text()] == []


def test_another_prefix_moves_the_programs_and_what_names_them(tmp_path: Path, wheel: Path) -> None:
    machine = Machine(tmp_path / "root", wheel)
    machine.make("install", "PREFIX=/usr/local", "OPT=/srv/bluezoned")

    unit = (machine.root / "usr/lib/systemd/system/bluezoned.service").read_text()
    reset = (machine.root / "usr/lib/systemd/system/bluezoned-bt-reset@.service").read_text()
    assert "\nExecStart=/usr/local/bin/bluezoned\n" in unit
    assert "\nExecStart=/usr/local/lib/bluezoned/bt-reset %i\n" in reset
    assert (machine.root / "usr/local/lib/bluezoned/bt-reset").exists()
    assert str((machine.root / "usr/local/bin/bluezonectl").readlink()) == "/srv/bluezoned/bin/bluezonectl"
    assert not (machine.root / "opt").exists()


def test_changed_settings_stay_and_the_new_ones_lie_beside(machine: Machine) -> None:
    (machine.root / SETTINGS).write_text("[log]\nlevel = 'debug'\n")
    shipped = machine.root / "usr/share/bluezoned/bluezoned.toml"

    unchanged_by_us = machine.make("install")
    assert not (machine.root / f"{SETTINGS}.new").exists()
    shipped.write_text("# as it was shipped before\n")
    changed_by_us = machine.make("install")

    assert (machine.root / SETTINGS).read_text() == "[log]\nlevel = 'debug'\n"
    assert (machine.root / f"{SETTINGS}.new").read_bytes() == shipped.read_bytes()
    assert "was changed and stays" not in unchanged_by_us
    assert "was changed and stays" in changed_by_us


def test_settings_that_nobody_changed_are_renewed(machine: Machine) -> None:
    for place in (SETTINGS, "usr/share/bluezoned/bluezoned.toml"):
        (machine.root / place).write_text("# as it was shipped before\n")

    machine.make("install")

    assert (machine.root / SETTINGS).read_bytes() == (ROOT / "config" / "bluezoned.toml").read_bytes()


def test_removal_leaves_settings_and_state_alone(machine: Machine) -> None:
    state = machine.root / "var/lib/bluezoned/bluezoned.db"
    state.parent.mkdir(parents=True)
    state.write_bytes(b"keys")

    said = machine.make("uninstall")

    assert machine.files() == {SETTINGS, "var/lib/bluezoned/bluezoned.db"}
    assert not (machine.root / "opt/bluezoned").exists()
    assert "PURGE=1" in said


def test_purge_leaves_nothing(machine: Machine) -> None:
    (machine.root / "var/lib/bluezoned").mkdir(parents=True)
    (machine.root / "var/lib/bluezoned/bluezoned.db").write_bytes(b"keys")

    machine.make("uninstall", "PURGE=1")

    assert [path for path in machine.root.rglob("*") if "blue" in path.name] == []


def test_box_and_authority_leave_each_other_in_peace(machine: Machine) -> None:
    machine.make("install-authority")
    together = machine.files()

    machine.make("uninstall-authority")
    alone = machine.files()

    assert together - alone == pages_of("bluezone-authority", 1) | {
        "usr/bin/bluezone-authority",
        "usr/lib/systemd/system/bluezone-authority.service",
        "usr/lib/sysusers.d/bluezone-authority.conf",
        "usr/lib/tmpfiles.d/bluezone-authority.conf",
    }
    assert "usr/bin/bluezoned" in alone
    assert (machine.root / "opt/bluezoned").exists()


@pytest.mark.parametrize("place", ["PREFIX=/", "OPT=/", "OPT=relative"])
def test_the_machine_itself_is_no_place(place: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "uninstall", f"DESTDIR={tmp_path}", place], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode != 0
    assert "absolute paths" in done.stderr
