"""Two boxes on one machine, started as an operator would, and an authority: they keep the schedule, they meet, one
falls ill, the other is told."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bluezoned.advertisement import decode
from bluezoned.protocols.bluezone import COMPANY, Bluezone
from bluezoned.storage import open_store
from tests.system import boxes
from tests.system.boxes import Box, at_another_time, set_time
from tests.system.conftest import EXTENDED, LEGACY, patient, run, within
from tests.system.medium.client import Air
from tests.system.radio_at_work import APP_DATA, APP_ROLLING_ID, PHONE, PHONE_DATA, PHONE_PAYLOAD

PORT = 8080
EMBARGO = 45 * 60_000
"""ms. A key goes out when its rotation and the tolerance after it have passed: 15 min each."""

BOUNDARIES = 2
AHEAD = 35_000
"""ms. The daemon sleeps for 30 s at most, and may be in the middle of that when the clock is set."""

IN_TIME = 2_000
"""ms from the boundary to the first packet of the new identifier."""

PROTOCOL = Bluezone()

SETTINGS = """
[exposure]
minutes = 1
"""


@pytest.fixture(scope="module")
def authority(air: Air, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real authority process on this machine; its directory."""
    data = tmp_path_factory.mktemp("authority") / "data"
    run("bluezone-authority", "init", "--data", str(data), "--yes")
    command = ["bluezone-authority", "serve", "--data", str(data), "--port", str(PORT)]
    with (data / "log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as serving:
        within(120, lambda: "serving http" in (data / "log").read_text(), (data / "log").read_text)
        yield data
        serving.terminate()


@pytest.fixture(scope="module")
def pair(air: Air, installed: None, authority: Path) -> Iterator[tuple[Box, Box]]:
    """Left and right, an arm's length apart, one on each kind of adapter, both running and believing the authority."""
    left, right = EXTENDED[0], LEGACY[0]
    air.set_rssi(left, right, [-40, -41, -42])
    air.set_rssi(right, left, [-40, -41, -42])
    believed = (authority / "device.toml").read_text().replace("https://authority.example", f"http://127.0.0.1:{PORT}")
    settings = f"{SETTINGS}{believed}poll_s = 300\n"
    with at_another_time(), ExitStack() as stack:
        enter = stack.enter_context
        yield enter(boxes.started(air, "left", left, settings)), enter(boxes.started(air, "right", right, settings))
    air.order("send_phones_away")


def test_each_identifier_comes_within_two_seconds_of_its_time(
    air: Air, pair: tuple[Box, Box], record_property: Callable[[str, object], None]
) -> None:
    late, since = [], time.time()
    boundary = PROTOCOL.rotation * (round(time.time() * 1000) // PROTOCOL.rotation)
    for _ in range(BOUNDARIES):
        boundary += PROTOCOL.rotation
        set_time(boundary - AHEAD)
        mark = air.mark()
        within(90, lambda: time.time() * 1000 > boundary + 10_000, lambda: "the time does not pass")
        for box in pair:
            sent = [(round(p.at * 1000), rolling_id_of(p.data)) for p in air.since(mark, box.controller)]
            before, after = scheduled(box, boundary - 1), scheduled(box, boundary)
            first = min(at for at, rolling_id in sent if rolling_id == after)
            late.append(first - boundary)
            assert {rolling_id for at, rolling_id in sent if at < boundary} == {before}
            assert {rolling_id for at, rolling_id in sent if at >= first} == {after}
    record_property("late_ms", late)
    print(f"late by {late} ms")
    assert max(late) <= patient(IN_TIME)
    # The light is set on the minute, in the middle of it.
    assert [box.name for box in pair if "CANNOT_ADVERTISE" in box.lights(since)] == []


def scheduled(box: Box, at: int) -> bytes:
    """What it must send at `at` (ms UTC), from its own keys."""
    with open_store(boxes.STATE / box.name, {}) as store:
        (key,) = [key for key in store.own_keys(PROTOCOL.name) if key.start <= at < key.end]
    return bytes(PROTOCOL.advertisement(key, at, 0).manufacturer_data[COMPANY])


def rolling_id_of(data: str) -> bytes:
    return bytes(decode(bytes.fromhex(data)).manufacturer_data[COMPANY])


def staff(authority: Path, *command: str) -> dict[str, str]:
    """What the authority answers to its staff."""
    answered: dict[str, str] = json.loads(run("bluezone-authority", *command, "--data", str(authority), "--json"))
    return answered


def visit(box: Box) -> None:
    """Its sync goes to the authority and comes home."""
    run("systemctl", "start", box.unit.replace("bluezoned@", "bluezoned-sync@"))


def test_one_falls_ill_and_the_other_is_told(air: Air, authority: Path, pair: tuple[Box, Box]) -> None:
    left, right = pair
    mark, since = air.mark(), time.time()
    # Beside them, what no one here wrote.
    air.phone(right.controller, "3A:00:00:00:00:02", APP_DATA, rssi=-71, kind=0, every_ms=250, times=100_000)
    air.phone(right.controller, PHONE, PHONE_DATA, rssi=-82, kind=3, every_ms=250, times=100_000)

    for box in pair:
        visit(box)
        within(120, lambda: box.get("KeysUpdatedAt") != [0], lambda: box.get("Problems"))
    within(240, lambda: min(minutes_near(box) for box in pair) >= 1, lambda: [box.ask("encounters") for box in pair])
    with open_store(boxes.STATE / right.name, {}) as store:
        heard = {bytes(encounter.payload.rolling_id) for encounter in store.encounters(0, 2**62)}
    assert {APP_ROLLING_ID, PHONE_PAYLOAD[:16]} < heard
    the_process_has_no_rights(left)

    case = staff(authority, "case", "create", "--tier", "F0")["case"]
    code = staff(authority, "code", "issue", case)["code"]
    run("bluezonectl", "--instance", left.name, "consent", code, "--yes")
    visit(left)
    within(120, lambda: left.get("LastUpload", "OwnTier") == ["accepted", "F0"], lambda: left.ask("status"))
    assert "OWN_CASE" in left.lights(since)

    set_time(round(time.time() * 1000) + EMBARGO)
    # Its server may have been faster: its schedule was passed with the clock.
    staff(authority, "publish")
    assert int(staff(authority, "status")["newest_batch"]) >= 1
    assert right.get("AlertLevel") == ["none"]
    visit(right)
    within(120, lambda: right.get("AlertLevel", "Indication") == ["F1", "F1"], lambda: right.ask("status"))
    assert right.lights(since)[-1] == "F1"
    nothing_is_told(air, mark, pair)


def minutes_near(box: Box) -> int:
    """Of today, with anybody."""
    days = box.ask("encounters") or [{"minutes_near": 0}]
    return int(days[0]["minutes_near"])


def the_process_has_no_rights(box: Box) -> None:
    pid = run("systemctl", "show", "--property=MainPID", "--value", box.unit).strip()
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert "0" not in status["Uid"].split()
    assert int(status["CapEff"], 16) == 0


def nothing_is_told(air: Air, mark: int, pair: tuple[Box, Box]) -> None:
    """Neither what was on the air nor from which address stands in any program's journal."""
    journal = run("journalctl", "-b", "-o", "json", "-u", "bluezoned@*", "-u", "bluezoned-sync@*").lower()
    assert "batch 1 applied" in journal
    for box in pair:
        packets = air.since(mark, box.controller)
        assert packets, f"{box.name} says that it sends"
        for told in {packet.data[8:] for packet in packets} | {packet.address.lower() for packet in packets}:
            assert told not in journal
