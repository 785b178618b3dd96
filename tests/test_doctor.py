"""The doctor's judgements, each tried; and the doctor on this machine, whatever it has."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bluezoned import config_source
from bluezoned.demo.cast import program
from bluezoned.doctor import diagnosis
from bluezoned.doctor.facts import Facts, Finding, Grade, Unit
from bluezoned.radio.bluez_bus import Adapter
from bluezoned.radio.bluez_checkup import Checkup
from bluezoned.tracing import store
from tests.control import daemon_double

NOON = 1_795_521_600
HCI0 = Adapter(
    name="hci0",
    address="B8:27:EB:00:00:00",
    powered=True,
    has_monitors=True,
    discovering=True,
    has_privacy=False,
    is_extended=False,
)
STATUS = replace(daemon_double.WELL, keys_updated_at=NOON - 3600)
RUNNING = Unit(loaded=True, active=True, enabled=True, exit_status=0, ended_s=0)
SYNC = replace(RUNNING, active=False, ended_s=NOON - 60)
DAEMON, TIMER, VISIT = diagnosis.unit_names("")
BLUETOOTH = Checkup(is_running=True, version=(5, 82), adapters=(HCI0,), blocks=(), problem="")
PROVISIONED = config_source.load(
    [],
    {},
    {
        "authority.url": "https://authority.example",
        "authority.public_key": "/etc/key.pem",
        "proximity.calibrated": "2026-11-01",
        "alert.led": "17",
    },
)
WELL = Facts(
    config=PROVISIONED,
    now_s=NOON,
    is_root=False,
    in_group=True,
    bus_problem="",
    status=STATUS,
    status_problem="",
    units={DAEMON: RUNNING, TIMER: RUNNING, VISIT: SYNC},
    bluetooth=BLUETOOTH,
    clock_is_believable=True,
    clock_is_synchronized=True,
    authority_problem="",
    free_bytes=10 << 30,
    store_flaw="",
    gpio_is_wanted=True,
    gpio_problem="",
    uncalibrated=None,
)


def test_a_box_that_is_well_is_found_so() -> None:
    findings = diagnosis.diagnose(WELL)

    assert {finding.grade for finding in findings} == {Grade.OK}
    document = (Path(__file__).parents[1] / "docs" / "doctor.md").read_text()
    assert [finding.name for finding in findings if f"| `{finding.name}` |" not in document] == []
    assert {finding.name for finding in findings} == {
        "bus", "unit", "permission", "daemon", "bluetoothd", "adapter", "experimental", "privacy", "clock", "authority",
        "sync", "keys", "disk", "store", "light", "calibration",
    }  # fmt: skip


def units(**changed: Unit) -> dict[str, Unit]:
    names = {"daemon": DAEMON, "timer": TIMER, "visit": VISIT}
    return {**(WELL.units or {}), **{names[name]: unit for name, unit in changed.items()}}


def adapter(**changes: Any) -> Checkup:
    return replace(BLUETOOTH, adapters=(replace(HCI0, **changes),))


TROUBLES: list[tuple[str, dict[str, Any], Grade, str, str]] = [
    ("bus", {"bus_problem": "cannot reach the D-Bus"}, Grade.FAIL, "cannot reach", "systemctl start dbus"),
    ("unit", {"units": None}, Grade.WARN, "systemd does not answer", ""),
    ("unit", {"units": units(daemon=diagnosis.missing_unit())}, Grade.FAIL, "not installed", "make install"),
    ("unit", {"units": units(daemon=replace(RUNNING, active=False))}, Grade.FAIL, "does not run", "enable --now"),
    ("unit", {"units": units(daemon=replace(RUNNING, active=False, exit_status=78))}, Grade.FAIL, "78", "journalctl"),
    ("unit", {"units": units(daemon=replace(RUNNING, enabled=False))}, Grade.WARN, "next start", "enable --now"),
    ("permission", {"in_group": False, "status": None}, Grade.WARN, "no member", "usermod"),
    ("permission", {"in_group": None}, Grade.FAIL, "no group", "systemd-sysusers"),
    ("daemon", {"status": None, "status_problem": "not running"}, Grade.FAIL, "not running", "journalctl"),
    ("daemon", {"status": replace(STATUS, paused=True)}, Grade.WARN, "paused", "bluezonectl resume"),
    ("daemon", {"status": replace(STATUS, hearing=False)}, Grade.FAIL, "cannot hear others", "see adapter"),
    ("daemon", {"status": replace(STATUS, problems=("odd",))}, Grade.WARN, "odd", ""),
    ("bluetoothd", {"bluetooth": replace(BLUETOOTH, version=())}, Grade.FAIL, "not installed", "apt install bluez"),
    ("bluetoothd", {"bluetooth": replace(BLUETOOTH, is_running=False)}, Grade.FAIL, "does not run", "enable --now"),
    ("bluetoothd", {"bluetooth": replace(BLUETOOTH, problem="silent")}, Grade.FAIL, "silent", "restart bluetooth"),
    ("bluetoothd", {"bluetooth": replace(BLUETOOTH, version=(5, 55))}, Grade.WARN, "5.55 is older", "apt full-upgrade"),
    ("adapter", {"bluetooth": replace(BLUETOOTH, adapters=())}, Grade.FAIL, "no Bluetooth adapter", "plug one in"),
    ("adapter", {"bluetooth": adapter(powered=False)}, Grade.FAIL, "switched off", "bluetoothctl power on"),
    ("adapter", {"bluetooth": replace(BLUETOOTH, blocks=(("hci0", "soft"),))}, Grade.FAIL, "blocked", "rfkill unblock"),
    ("adapter", {"bluetooth": replace(BLUETOOTH, blocks=(("hci0", "hard"),))}, Grade.FAIL, "by hand", "the switch"),
    ("experimental", {"bluetooth": adapter(has_monitors=False)}, Grade.WARN, "once in a while", "restart bluetooth"),
    ("privacy", {"bluetooth": adapter(has_privacy=True)}, Grade.FAIL, "links them", "Privacy = off"),
    ("clock", {"clock_is_believable": False}, Grade.FAIL, "time is wrong", "timedatectl set-ntp true"),
    ("clock", {"clock_is_synchronized": False}, Grade.WARN, "nobody keeps", "timedatectl set-ntp true"),
    ("clock", {"clock_is_synchronized": None}, Grade.WARN, "could not be seen", "timedatectl"),
    ("authority", {"config": config_source.load([], {}, {})}, Grade.WARN, "never alert", "device.toml"),
    ("authority", {"authority_problem": "not a PEM public key"}, Grade.FAIL, "not a PEM", "authority.public_key"),
    ("sync", {"units": units(timer=replace(RUNNING, active=False))}, Grade.FAIL, "timer does not run", "restart"),
    ("sync", {"units": units(visit=replace(SYNC, ended_s=0))}, Grade.WARN, "not asked yet", "start bluezoned-sync"),
    ("sync", {"units": units(visit=replace(SYNC, exit_status=75))}, Grade.WARN, "could not be reached", "journalctl"),
    ("sync", {"units": units(visit=replace(SYNC, exit_status=74))}, Grade.FAIL, "could not be asked", "journalctl"),
    ("keys", {"status": replace(STATUS, keys_updated_at=None)}, Grade.WARN, "no list of cases has come", "sync"),
    ("keys", {"status": replace(STATUS, keys_updated_at=NOON - 200_000)}, Grade.WARN, "too old", "sync"),
    ("disk", {"free_bytes": 1 << 20}, Grade.FAIL, "1 MB are free", "vacuum"),
    ("disk", {"free_bytes": 100 << 20}, Grade.WARN, "100 MB are free", "vacuum"),
    ("disk", {"free_bytes": None}, Grade.FAIL, "there is no /var/lib/bluezoned", "systemd-tmpfiles"),
    ("store", {"store_flaw": None}, Grade.WARN, "only root may", "sudo bluezonectl doctor"),
    ("store", {"store_flaw": "row 7 missing"}, Grade.FAIL, "row 7 missing", "mv /var/lib/bluezoned/bluezoned.db"),
    ("light", {"gpio_problem": "no GPIO lines"}, Grade.FAIL, "no GPIO lines", "udevadm trigger"),
    ("light", {"gpio_is_wanted": False}, Grade.WARN, "in its log alone", "[alert]"),
    ("calibration", {"uncalibrated": "defaults: bluezonectl x"}, Grade.WARN, "defaults", "bluezonectl calibrate"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "changes", "grade", "said", "fix"), TROUBLES)
def test_each_trouble_is_graded_and_has_its_fix(
    name: str, changes: dict[str, Any], grade: Grade, said: str, fix: str
) -> None:
    (finding,) = [f for f in diagnosis.diagnose(replace(WELL, **changes)) if f.name == name]

    assert finding.grade is grade
    assert said in finding.said
    assert fix in finding.fix


def test_how_the_authority_is_asked_is_told() -> None:
    settings = {
        "authority.url": "https://authority.example",
        "authority.public_key": "/etc/key.pem",
        "authority.proxy_url": "http://proxy:3128",
        "authority.metered": "true",
    }

    found = {f.name: f for f in diagnosis.diagnose(replace(WELL, config=config_source.load([], {}, settings)))}

    assert "through the proxy http://proxy:3128" in found["authority"].said
    assert "once a day" in found["authority"].said


def test_a_wished_adapter_that_is_not_there_is_told_beside_those_that_are() -> None:
    wish = config_source.load([], {}, {"radio.adapter": "hci1"})

    found = {f.name: f for f in diagnosis.diagnose(replace(WELL, config=wish))}

    assert found["adapter"].said == "there is no hci1; there are: hci0 (B8:27:EB:00:00:00)"


def test_an_instance_has_units_of_its_own() -> None:
    left = config_source.load([], {}, {"beacon.instance": "left"})
    of_left = {name: replace(RUNNING, active=False) for name in diagnosis.unit_names("left")}

    found = {f.name: f for f in diagnosis.diagnose(replace(WELL, config=left, units=of_left))}

    assert found["unit"].fix == "sudo systemctl enable --now bluezoned@left"


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"x" * 9000), lambda path: path.unlink()])
def test_a_database_that_is_damaged_or_gone_is_told(spoil: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with store.Store(path, bytes(32), os.urandom):
        assert store.flaw(path) == ""

    spoil(path)

    assert store.flaw(path)


def test_a_page_overwritten_in_a_full_database_is_found(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with store.Store(path, bytes(32), os.urandom) as kept:
        for number in range(2000):
            kept.put_batch(number, bytes(32), 0, 0)
        kept.scrub()
    content = bytearray(path.read_bytes())
    content[-8192:] = b"\xff" * 8192
    path.write_bytes(content)

    assert store.flaw(path)


def test_the_doctor_works_on_a_machine_where_nothing_runs(tmp_path: Path) -> None:
    command = [program("bluezonectl"), "--set", f"beacon.state_dir={tmp_path}", "--set", "control.bus=unix:path=/no"]
    nowhere = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/nowhere"}

    done = subprocess.run(
        [*command, "doctor", "--json"], capture_output=True, text=True, timeout=120, check=False, env=nowhere
    )
    people = subprocess.run([*command, "doctor"], capture_output=True, text=True, timeout=120, check=False, env=nowhere)

    report = json.loads(done.stdout)
    found = {finding["name"]: finding for finding in report["findings"]}
    assert (done.returncode, report["healthy"], done.stderr) == (1, False, "")
    assert found["bus"]["grade"] == "fail"
    assert found["store"]["grade"] == "ok"
    assert set(found["disk"]) == {"name", "grade", "said", "fix"}
    assert people.stdout.startswith("fail bus          cannot reach the D-Bus")
    assert "-> sudo systemctl start dbus" in people.stdout
    assert "\x1b" not in people.stdout


def test_a_finding_that_is_not_well_says_what_to_do() -> None:
    silent: list[Finding] = []
    for _, changes, _, _, fix in TROUBLES:
        if fix:
            silent += [f for f in diagnosis.diagnose(replace(WELL, **changes)) if f.grade is Grade.FAIL and not f.fix]

    assert silent == []
