"""The packages in bare Debian 12 and 13: install, upgrade, remove, purge. The tests go on where the last one ended."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from tests.package.conftest import Machine, run

SETTINGS = "etc/bluezoned/bluezoned.toml"
STATE = "var/lib/bluezoned/bluezoned.db"

IMPORT_ALL = """
import importlib, pathlib, sys
place = "/usr/lib/{package}/python"
sys.path.insert(0, place)
paths = pathlib.Path(place, "bluezoned").rglob("*.py")
names = [".".join(path.relative_to(place).with_suffix("").parts) for path in paths]
for name in sorted(names):
    # alembic alone may run the migrations.
    if not name.endswith("__main__") and ".migrations." not in name:
        importlib.import_module(name.removesuffix(".__init__"))
print(len(names))
"""


def test_install(machine: Machine, packages: dict[str, Path]) -> None:
    before = machine.paths()

    machine.install(*packages.values())

    (machine.root.parent / "before").write_text("\n".join(before))
    assert "bluezoned, version 0.1.0" in machine.run("bluezoned --version")
    assert machine.run("bluezoned --check-config") == "the configuration is fine\n"
    for program in ("bluezoned-sync", "bluezonectl", "bluezone-authority"):
        assert "Usage" in machine.run(f"{program} --help")


def test_every_module_finds_what_it_needs(machine: Machine) -> None:
    for package in ("bluezoned", "bluezone-authority"):
        script = machine.root / "tmp" / "import_all.py"
        script.write_text(IMPORT_ALL.format(package=package))
        assert int(machine.run("python3 -IB /tmp/import_all.py")) > 40


def test_the_box_has_neither_server_nor_demo(machine: Machine) -> None:
    code = machine.root / "usr/lib/bluezoned/python/bluezoned"

    assert (code / "daemon.py").exists()
    assert not (code / "authority").exists()
    assert not (code / "demo").exists()


def test_the_box_alone_has_the_compiled_part_and_can_use_it(machine: Machine) -> None:
    script = (
        'import sys; sys.path.insert(0, "/usr/lib/bluezoned/python"); '
        "from bluezoned.protocols import sieve; print(sieve.open_core() is not None)"
    )
    assert machine.run(f"python3 -IB -c '{script}'") == "True\n"
    assert not list((machine.root / "usr/lib/bluezone-authority").rglob("libsieve*"))


def test_units_stand_where_systemd_looks(machine: Machine) -> None:
    wanted = machine.root / "etc/systemd/system/multi-user.target.wants"

    assert (wanted / "bluezoned.service").is_symlink()
    assert (wanted / "bluezone-authority.service").is_symlink()
    assert not (wanted / "bluezoned-sync.service").exists()
    units = " ".join(f"/usr/lib/systemd/system/{name}" for name in ("bluezoned.service", "bluezoned-sync.timer"))
    machine.run(f"systemd-analyze verify --man=no {units}")


def test_users_own_what_is_theirs(machine: Machine) -> None:
    assert "bluezoned-spool" in machine.run("id -nG bluezoned")
    assert "gpio" in machine.run("id -nG bluezoned")
    assert "bluezoned-spool" in machine.run("id -nG bluezoned-sync")
    spool = (machine.root / "var/spool/bluezoned").stat()
    assert stat.S_IMODE(spool.st_mode) & (stat.S_ISGID | 0o007) == stat.S_ISGID
    assert stat.S_IMODE((machine.root / "var/lib/bluezone-authority").stat().st_mode) == 0o700


def test_an_authority_can_be_founded(machine: Machine) -> None:
    machine.run("runuser -u bluezone-authority -- bluezone-authority init --data /var/lib/bluezone-authority/try --yes")
    assert (machine.root / "var/lib/bluezone-authority/try/device.toml").exists()
    machine.run("rm -r /var/lib/bluezone-authority/try")


def test_upgrade_keeps_settings_and_keys(machine: Machine, packages: dict[str, Path], tmp_path: Path) -> None:
    newer = with_version(packages["bluezoned"], "0.1.1", tmp_path)
    settings = machine.root / SETTINGS
    settings.write_text(settings.read_text() + '\n[log]\nlevel = "debug"\n')
    changed = settings.read_text().replace("\n[log]\n\n", "\n\n")
    settings.write_text(changed)
    machine.run("install -d -o bluezoned -g bluezoned -m 700 /var/lib/bluezoned; echo keys > /" + STATE)

    machine.install(newer)

    assert machine.run("dpkg-query -W -f '${Version}' bluezoned") == "0.1.1"
    assert settings.read_text() == changed
    assert (machine.root / STATE).read_text() == "keys\n"


STAND_INS = {
    # No systemd runs in a directory: these know only whether the installed program can be started at all.
    "systemctl": "#!/bin/sh\ncase $1 in is-active) exec bluezoned --version ;; show) echo 7 ;; esac\n",
    "bluezonectl": "#!/bin/sh\nbluezoned --version >/dev/null && echo '{\"hearing\": true}'\n",
}


@pytest.fixture(scope="module")
def releases(machine: Machine, packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signed later versions in the machine's /tmp: one that works, one whose daemon cannot start, one forged."""
    place = tmp_path_factory.mktemp("releases")
    for name, text in STAND_INS.items():
        program = machine.root / "tmp/stand-ins" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text)
        program.chmod(0o755)
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", place / "private.pem")
    (machine.root / "etc/bluezoned").mkdir(exist_ok=True)
    key = machine.root / "etc/bluezoned/update.pem"
    run("openssl", "pkey", "-in", place / "private.pem", "-pubout", "-out", key)
    target = machine.root / "tmp"
    shutil.copy(with_version(packages["bluezoned"], "0.1.1", place), target / "installed.deb")
    shutil.copy(with_version(packages["bluezoned"], "0.1.2", place), target / "works.deb")
    shutil.copy(with_version(packages["bluezoned"], "0.1.3", place, "#!/bin/sh\nexit 1\n"), target / "broken.deb")
    shutil.copy(target / "broken.deb", target / "forged.deb")
    for name in ("works", "broken"):
        signing = ("-sign", "-inkey", place / "private.pem", "-rawin", "-in", target / f"{name}.deb")
        run("openssl", "pkeyutl", *signing, "-out", target / f"{name}.deb.sig")
    shutil.copy(target / "works.deb.sig", target / "forged.deb.sig")
    return target


def update(machine: Machine, words: str) -> str:
    """The exit status, what was said, and the version afterwards."""
    path = "PATH=/tmp/stand-ins:$PATH BLUEZONED_UPDATE_PATIENCE=20"
    return machine.run(
        f"status=0; {path} bluezoned-update {words} 2>&1 || status=$?; "
        "echo $status $(dpkg-query -W -f '${Version}' bluezoned)"
    )


def test_only_what_was_signed_is_installed(machine: Machine, releases: Path) -> None:
    assert "the signature is not by the key" in (said := update(machine, "/tmp/forged.deb"))
    assert said.endswith("1 0.1.1\n")
    assert "there is no way back" in update(machine, "/tmp/works.deb")


def test_an_update_that_works_stays(machine: Machine, releases: Path) -> None:
    assert update(machine, "--previous /tmp/installed.deb /tmp/works.deb").endswith("0 0.1.2\n")
    assert (machine.root / STATE).read_text() == "keys\n"
    assert "not newer" in update(machine, "/tmp/works.deb")


def test_a_broken_update_goes_back_by_itself(machine: Machine, releases: Path) -> None:
    assert update(machine, "/tmp/broken.deb").endswith("3 0.1.2\n")
    assert (machine.root / STATE).read_text() == "keys\n"
    assert {path.name for path in (machine.root / "var/lib/bluezoned-update").iterdir()} == {"installed.deb", "update"}


def test_a_power_cut_in_an_update_is_taken_up(machine: Machine, releases: Path) -> None:
    """As after a cut between the installation of a broken version and its end."""
    place = machine.root / "var/lib/bluezoned-update"
    shutil.copy(releases / "broken.deb", place / "new.deb")
    (place / "before").touch()
    (place / "pending").touch()
    machine.run("cp -a /var/lib/bluezoned /var/lib/bluezoned-update/state; dpkg --force-confold -i /tmp/broken.deb")

    machine.run(
        "PATH=/tmp/stand-ins:$PATH BLUEZONED_UPDATE_PATIENCE=20 sh /var/lib/bluezoned-update/update resume || true"
    )

    assert machine.run("dpkg-query -W -f '${Version}' bluezoned") == "0.1.2"
    assert (machine.root / STATE).read_text() == "keys\n"
    assert not (place / "pending").exists()


def test_remove_keeps_settings_and_keys_alone(machine: Machine) -> None:
    machine.run("apt-get remove -q -y bluezoned bluezone-authority")

    assert not (machine.root / "usr/lib/bluezoned").exists()
    assert not (machine.root / "usr/lib/bluezone-authority").exists()
    assert not (machine.root / "usr/bin/bluezoned").exists()
    assert (machine.root / SETTINGS).exists()
    assert (machine.root / STATE).read_text() == "keys\n"


def test_purge_leaves_nothing(machine: Machine) -> None:
    machine.run("apt-get purge -q -y bluezoned bluezone-authority && apt-get autoremove --purge -q -y")

    before = set((machine.root.parent / "before").read_text().split("\n"))
    left = {path for path in machine.paths() - before if "blue" in path or "python/" in path}
    assert left == set()
    assert "bluezone" not in (machine.root / "etc/passwd").read_text()
    assert "bluezone" not in (machine.root / "etc/group").read_text()


def with_version(package: Path, version: str, place: Path, daemon: str | None = None) -> Path:
    """The same package under another version, and with another program where one is given."""
    content = place / f"content-{version}"
    run("dpkg-deb", "--raw-extract", package, content)
    control = content / "DEBIAN" / "control"
    control.write_text(control.read_text().replace("Version: 0.1.0", f"Version: {version}"))
    if daemon is not None:
        (content / "usr/bin/bluezoned").write_text(daemon)
    newer = place / f"bluezoned_{version}.deb"
    run("dpkg-deb", "--build", "-Zgzip", "-z1", content, newer)
    return newer
