"""The Debian package in a Debian 13 with Bluetooth: installed by dpkg, started by systemctl, it meets another box.

Not among what make test-vm runs by itself: make test-vm-deb builds the package and brings what it depends on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.system.conftest import EXTENDED, patient, run, within
from tests.system.medium.client import Air

DEB = Path("/mnt/deb")
INSTALLED_S = 800
SETTINGS = '[beacon]\nprofile = "kiosk"\ntick_s = 10\n\n[radio]\nadapter = "{adapter}"\n'


@pytest.fixture(scope="module")
def boxes(air: Air) -> Iterator[None]:
    """The box of the package as its unit runs it, and an instance beside it to be met."""
    settings = Path("/etc/bluezoned")
    (settings / "bluezoned.toml.d").mkdir(parents=True, exist_ok=True)
    (settings / "bluezoned.toml.d/10-test.toml").write_text(SETTINGS.format(adapter=air.adapter(EXTENDED[0])))
    (settings / "peer.toml").write_text(SETTINGS.format(adapter=air.adapter(EXTENDED[1])))
    # The air's drop-in is the tree's; the package brings its own.
    shutil.rmtree("/etc/systemd/system/bluetooth.service.d", ignore_errors=True)
    # Those that the guest lacks, under emulation: minutes.
    install = f"dpkg --force-confold --skip-same-version --install {DEB}/*.deb"
    subprocess.run(install, shell=True, check=True, timeout=patient(INSTALLED_S))
    run("systemctl", "start", "bluezoned", "bluezoned@peer")
    yield
    # The last test has removed it.
    run("systemctl", "stop", "bluezoned", "bluezoned@peer", check=False)


def status(*words: str) -> Any:
    answer = run("bluezonectl", *words, "--json", check=False)
    return json.loads(answer) if answer.startswith(("{", "[")) else None


@pytest.mark.timeout(patient(INSTALLED_S + 900))
def test_systemctl_start_and_it_advertises_and_hears(air: Air, boxes: None) -> None:
    def is_well() -> bool:
        found = status("status")
        return found is not None and found["hearing"] and found["advertising"]

    mark = air.mark()
    within(300, is_well, lambda: status("status"))
    within(120, lambda: bool(air.since(mark, EXTENDED[0])), "nothing on the air")
    within(180, lambda: bool(status("encounters")), "it met nobody")
    assert run("systemctl", "is-enabled", "bluezoned").strip() == "enabled"
    assert run("systemctl", "show", "-P", "User", "bluezoned").strip() == "bluezoned"


@pytest.mark.timeout(patient(300))
def test_no_wheel_of_the_guest_was_needed(boxes: None) -> None:
    pid = run("systemctl", "show", "-P", "MainPID", "bluezoned").strip()

    mapped = Path(f"/proc/{pid}/maps").read_text()

    assert "/usr/lib/bluezoned/python/cryptography/" in mapped
    assert "/opt/wheels" not in mapped


@pytest.fixture(scope="module")
def releases(boxes: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The installed package, and signed later ones: a good one, and one whose daemon cannot start."""
    place = tmp_path_factory.mktemp("releases")
    (installed,) = DEB.glob("bluezoned_*.deb")
    run("openssl", "genpkey", "-algorithm", "ed25519", "-out", str(place / "private.pem"))
    run("openssl", "pkey", "-in", str(place / "private.pem"), "-pubout", "-out", "/etc/bluezoned/update.pem")
    content = place / "content"
    run("dpkg-deb", "--raw-extract", str(installed), str(content))
    control = (content / "DEBIAN/control").read_text()
    made = {"installed": installed}
    for name, version in (("good", "0.1.1"), ("broken", "0.1.2")):
        (content / "DEBIAN/control").write_text(control.replace("Version: 0.1.0", f"Version: {version}"))
        if name == "broken":
            (content / "usr/bin/bluezoned").write_text("#!/bin/sh\nexit 1\n")
        made[name] = place / f"{name}.deb"
        run("dpkg-deb", "--build", "-Znone", str(content), str(made[name]))
        signature = ("-sign", "-inkey", str(place / "private.pem"), "-rawin", "-in", str(made[name]))
        run("openssl", "pkeyutl", *signature, "-out", f"{made[name]}.sig")
    return made


def version() -> str:
    return run("dpkg-query", "-W", "-f", "${Version}", "bluezoned")


def updated(*words: str) -> int:
    """The exit status of an update."""
    command = ["bluezoned-update", *words]
    environment = {**os.environ, "BLUEZONED_UPDATE_PATIENCE": f"{patient(240):.0f}"}
    return subprocess.run(command, env=environment, timeout=patient(840), check=False).returncode


@pytest.mark.timeout(patient(900))
def test_a_package_with_another_signature_is_refused(releases: dict[str, Path], tmp_path: Path) -> None:
    forged = tmp_path / "forged.deb"
    shutil.copy(releases["good"], forged)
    shutil.copy(f"{releases['broken']}.sig", f"{forged}.sig")

    assert updated("--previous", str(releases["installed"]), str(forged)) == 1
    assert version() == "0.1.0"


@pytest.mark.timeout(patient(900))
def test_a_good_update_keeps_what_it_met(releases: dict[str, Path]) -> None:
    assert updated("--previous", str(releases["installed"]), str(releases["good"])) == 0
    assert version() == "0.1.1"
    assert status("encounters")


@pytest.mark.timeout(patient(900))
def test_a_broken_update_goes_back_by_itself(releases: dict[str, Path]) -> None:
    assert updated(str(releases["broken"])) == 3
    assert version() == "0.1.1"
    assert status("status")["hearing"]
    assert status("encounters")
    assert not Path("/var/lib/bluezoned-update/state").exists()


@pytest.mark.timeout(patient(300))
def test_removal_stops_it(boxes: None) -> None:
    run("dpkg", "--remove", "bluezoned")

    assert run("systemctl", "is-active", "bluezoned", check=False).strip() != "active"
    assert not Path("/usr/bin/bluezoned").exists()
