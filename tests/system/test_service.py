"""The daemon as a service of systemd's: how it starts and is asked, what it is allowed, who may call it, and what the
doctor makes of it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bluezoned.control import names
from bluezoned.event import Event
from tests.introspection import interfaces
from tests.system.boxes import SETTINGS, UP_S
from tests.system.conftest import TREE, run, within
from tests.system.medium.client import Air

UNIT = "bluezoned.service"
OURS = SETTINGS / "bluezoned.toml"
ON_THE_BUS = (names.BUS_NAME, names.PATH, names.INTERFACE)
DENIED = "Access denied"

BASE = """
[radio]
adapter = "{adapter}"

[authority]
url = "https://authority.example"
public_key = "/run/credentials/bluezoned.service/bluezoned.authority-key"
"""


def shown(prop: str, unit: str = UNIT) -> str:
    """As systemd says."""
    return run("systemctl", "show", "--value", f"--property={prop}", unit).strip()


def said(command: list[str], user: str = "root") -> tuple[int, str]:
    """Exit status, and all that was said."""
    done = subprocess.run(
        ["runuser", "-u", user, "--", *command], capture_output=True, text=True, timeout=90, check=False
    )
    return done.returncode, done.stdout + done.stderr


def is_well() -> bool:
    answer = run("busctl", "get-property", *ON_THE_BUS, "Hearing", "Advertising", check=False)
    return answer.split() == ["b", "true", "b", "true"]


@pytest.fixture(scope="module")
def service(air: Air, installed: None) -> Iterator[None]:
    """The one daemon of a machine, as `systemctl enable` leaves it, its authority's key among the credentials."""
    pem = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(
        Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    store = Path("/etc/credstore")
    store.mkdir(exist_ok=True, mode=0o700)
    (store / "bluezoned.authority-key").write_bytes(pem)
    SETTINGS.mkdir(exist_ok=True)
    OURS.write_text(BASE.format(adapter=air.adapter(0)))
    systemd = TREE / "systemd"
    activation = Path("/usr/share/dbus-1/system-services/org.bluezoned.service")
    activation.parent.mkdir(exist_ok=True)
    shutil.copy(systemd / "org.bluezoned.activation", activation)
    shutil.copy(systemd / "bluezoned.catalog", "/usr/lib/systemd/catalog")
    run("journalctl", "--update-catalog")
    run("systemctl", "enable", UNIT)
    run("systemctl", "reload", "dbus")
    run("useradd", "--groups", "bluezoned", "carrier")
    run("useradd", "stranger")
    yield
    run("systemctl", "disable", "--now", UNIT)
    for user in ("carrier", "stranger"):
        run("userdel", user)
    for place in (OURS, activation, store / "bluezoned.authority-key"):
        place.unlink()


@pytest.fixture
def running(service: None) -> None:
    """It hears and sends."""
    run("systemctl", "start", UNIT)
    within(UP_S, is_well, lambda: run("systemctl", "status", UNIT, check=False))


@pytest.mark.timeout(400)
def test_it_is_ready_before_bluetooth_is_and_one_start_starts_all(air: Air, service: None) -> None:
    run("systemctl", "mask", "--runtime", "--now", "bluetooth")
    try:
        run("systemctl", "start", UNIT)
        assert shown("ActiveState") == "active"
        assert shown("ActiveState", "bluezoned-sync.timer") == "active"
        within(60, lambda: "bluetoothd is not running" in shown("StatusText"), lambda: shown("StatusText"))
    finally:
        run("systemctl", "unmask", "--runtime", "bluetooth")
        run("systemctl", "start", "bluetooth")
    within(UP_S, is_well, lambda: shown("StatusText"))
    within(60, lambda: shown("StatusText").startswith("hears; advertises bluezone"), lambda: shown("StatusText"))
    assert "list of cases" in shown("StatusText")


def test_what_busctl_shows_is_what_the_document_says(running: None) -> None:
    document = TREE / "docs" / "dbus" / f"{names.INTERFACE}.xml"

    live = run("busctl", "introspect", "--xml-interface", names.BUS_NAME, names.PATH)

    assert interfaces(live)[names.INTERFACE] == interfaces(document.read_text())[names.INTERFACE]


@pytest.mark.timeout(300)
def test_the_wrong_user_can_neither_call_nor_read(running: None) -> None:
    members = run("busctl", "introspect", *ON_THE_BUS)
    methods = re.findall(r"^\.(\w+) +method +(\S+)", members, re.M)
    values = {"s": "12345678", "u": "1", "t": "1"}
    assert {"Consent", "Erase", "Pause"} <= {name for name, _ in methods}

    for name, signature in methods:
        given = [] if signature == "-" else [signature, *(values[kind] for kind in signature)]
        status, answer = said(["busctl", "call", *ON_THE_BUS, name, *given], "stranger")
        assert (status, answer.strip()[-len(DENIED) :]) == (1, DENIED), name
    status, answer = said(["busctl", "get-property", *ON_THE_BUS, "AlertLevel"], "stranger")
    assert (status, DENIED in answer) == (1, True)

    assert said(["bluezonectl", "status"], "stranger")[0] == 4
    status, answer = said(["bluezonectl", "status", "--json"], "carrier")
    assert (status, json.loads(answer)["hearing"]) == (0, True)


@pytest.mark.timeout(300)
def test_a_reload_takes_over_settings_and_names_what_waits(air: Air, running: None) -> None:
    before, since = shown("MainPID"), time.time()
    settings = OURS.read_text()

    OURS.write_text(settings + '\n[exposure]\nminutes = 20\n\n[beacon]\nprofile = "kiosk"\n')
    run("systemctl", "reload", UNIT)
    OURS.write_text(settings)

    def told() -> str:
        number = Event.SETTINGS.value
        return run(
            "journalctl", "-u", UNIT, "--since", f"@{since:.6f}", "-o", "cat", f"MESSAGE_ID={number}", check=False
        )

    within(30, lambda: "exposure.minutes" in told(), told)
    assert "only a restart brings beacon.profile" in told()
    assert (shown("MainPID"), shown("ActiveState")) == (before, "active")


def test_the_journal_explains_itself(running: None) -> None:
    lines = run("journalctl", "-x", "-n", "1", "-u", UNIT, f"MESSAGE_ID={Event.LIGHT.value}")

    assert re.search("Subject: The light shows [A-Z_]+$", lines, re.M)
    assert "bluezonectl acknowledge" in lines


def test_it_has_no_right_that_it_does_not_need(running: None) -> None:
    (level,) = re.findall(r"exposure level for \S+: ([0-9.]+)", run("systemd-analyze", "security", "--no-pager", UNIT))
    status = Path(f"/proc/{shown('MainPID')}/status").read_text()

    assert float(level) <= 0.6
    assert re.search(r"^CapEff:\s+0+$", status, re.M)
    assert not re.search(r"^Uid:.*\t0\b", status, re.M)


@pytest.mark.timeout(300)
def test_the_bus_starts_it(service: None) -> None:
    run("systemctl", "stop", UNIT)

    said(["bluezonectl", "status"])
    assert shown("ActiveState") == "inactive"
    # Under emulation it takes longer than the bus waits for whom it starts.
    run("busctl", "get-property", *ON_THE_BUS, "Version", check=False)

    within(UP_S, lambda: shown("ActiveState") == "active", lambda: shown("StatusText"))


@pytest.mark.timeout(300)
def test_systemd_starts_it_anew_when_it_hangs(running: None) -> None:
    drop_in = Path("/run/systemd/system/bluezoned.service.d/watchdog.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nWatchdogSec=40s\nRestartSec=1s\nTimeoutAbortSec=5s\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", UNIT)
    try:
        within(UP_S, is_well, lambda: shown("StatusText"))
        assert shown("NRestarts") == "0"

        run("kill", "-STOP", shown("MainPID"))

        within(120, lambda: shown("NRestarts") == "1", lambda: run("systemctl", "status", UNIT, check=False))
        within(UP_S, is_well, lambda: shown("StatusText"))
    finally:
        drop_in.unlink()
        run("systemctl", "daemon-reload")


def examined(user: str = "root") -> dict[str, dict[str, str]]:
    _, answer = said(["bluezonectl", "doctor", "--json"], user)
    return {finding["name"]: finding for finding in json.loads(answer)["findings"]}


@pytest.mark.timeout(400)
def test_the_doctor_sees_what_is_well_and_what_is_missing(air: Air, running: None) -> None:
    well = examined()
    of_stranger = examined("stranger")

    fine = (
        "bus",
        "unit",
        "permission",
        "bluetoothd",
        "adapter",
        "experimental",
        "privacy",
        "authority",
        "disk",
        "store",
    )
    assert {name: well[name]["grade"] for name in fine} == dict.fromkeys(fine, "ok"), well
    assert well["adapter"]["said"] == f"{air.adapter(0)} is on, an adapter with extended advertising"
    assert well["sync"]["grade"] != "ok"
    assert of_stranger["permission"]["grade"] == of_stranger["store"]["grade"] == "warn"
    assert "daemon" not in of_stranger

    option = Path("/etc/systemd/system/bluetooth.service.d/10-bluezoned.conf")
    kept = option.read_text()
    try:
        option.unlink()
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", "bluetooth")
        within(60, lambda: examined().get("experimental", {}).get("grade") == "warn", examined)
        run("rfkill", "block", "bluetooth")
        within(60, lambda: examined().get("adapter", {}).get("fix") == "sudo rfkill unblock bluetooth", examined)
    finally:
        run("rfkill", "unblock", "bluetooth")
        option.write_text(kept)
        run("systemctl", "daemon-reload")
        run("systemctl", "restart", "bluetooth")
    within(UP_S, is_well, examined)

    run("systemctl", "stop", "bluetooth", UNIT)
    stopped = examined()
    run("systemctl", "start", "bluetooth")
    assert stopped["unit"]["fix"] == "sudo systemctl enable --now bluezoned"
    assert stopped["bluetoothd"]["fix"] == "sudo systemctl enable --now bluetooth"


def test_the_visit_is_handed_the_authoritys_key_too(service: None) -> None:
    """There is no such authority, so the visit fails; but it knows whose word to believe."""
    run("systemctl", "start", "bluezoned-sync", check=False)
    told = run("journalctl", "-b", "--unit", "bluezoned-sync", "--output", "cat")
    assert "the authority cannot be reached" in told
    assert "is not checked before the daemon does" not in told
