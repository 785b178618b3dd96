"""Two boxes on one machine, started as an operator would, and an authority: they meet, one falls ill, the other is
told."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.system import boxes
from tests.system.boxes import Box, at_another_time, set_time
from tests.system.conftest import EXTENDED, LEGACY, run, within
from tests.system.medium.client import Air
from tests.system.radio_at_work import APP_DATA, PHONE, PHONE_DATA

PORT = 8080
EMBARGO = 45 * 60_000
"""ms. A key goes out when its rotation and the tolerance after it have passed: 15 min each."""

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


@pytest.fixture(params=[EXTENDED, LEGACY], ids=["extended", "legacy"])
def pair(air: Air, installed: None, authority: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Box, Box]]:
    """Left and right, an arm's length apart, both running and believing the authority. Time is put right after it."""
    left, right = request.param
    air.set_rssi(left, right, [-40, -41, -42])
    air.set_rssi(right, left, [-40, -41, -42])
    believed = (authority / "device.toml").read_text().replace("https://authority.example", f"http://127.0.0.1:{PORT}")
    settings = f"{SETTINGS}{believed}poll_s = 300\n"
    with at_another_time(), ExitStack() as stack:
        names = {"left": left, "right": right}
        yield tuple(stack.enter_context(boxes.started(air, name, at, settings)) for name, at in names.items())
    air.order("send_phones_away")


def staff(authority: Path, *command: str) -> dict[str, str]:
    """What the authority answers to its staff."""
    answered: dict[str, str] = json.loads(run("bluezone-authority", *command, "--data", str(authority), "--json"))
    return answered


def visit(box: Box) -> None:
    """Its sync goes to the authority and comes home."""
    run("systemctl", "start", box.unit.replace("bluezoned@", "bluezoned-sync@"))


@pytest.mark.timeout(900)
def test_one_falls_ill_and_the_other_is_told(air: Air, authority: Path, pair: tuple[Box, Box]) -> None:
    left, right = pair
    mark, since = air.mark(), time.time()
    # Beside them, what no one here wrote.
    air.phone(right.controller, "3A:00:00:00:00:02", APP_DATA, rssi=-71, kind=0, every_ms=250, times=100_000)
    air.phone(right.controller, PHONE, PHONE_DATA, rssi=-82, kind=3, every_ms=250, times=100_000)

    for box in pair:
        visit(box)
        within(120, lambda box=box: box.get("KeysUpdatedAt") != [0], lambda box=box: box.get("Problems"))
    within(240, lambda: met(right)[1] >= 2, lambda: met(right))
    assert met(right)[0] == 3
    assert met(left)[0] == 1
    the_process_has_no_rights(left)

    case = staff(authority, "case", "create", "--tier", "F0")["case"]
    code = staff(authority, "code", "issue", case)["code"]
    run("bluezonectl", "--instance", left.name, "consent", code, "--yes")
    visit(left)
    within(120, lambda: left.get("LastUpload", "OwnTier") == ["accepted", "F0"], lambda: left.ask("status"))
    assert "OWN_CASE" in left.lights(since)

    set_time(round(time.time() * 1000) + EMBARGO)
    assert int(staff(authority, "publish")["keys"]) >= 1
    assert right.get("AlertLevel") == [""]
    visit(right)
    within(120, lambda: right.get("AlertLevel", "Indication") == ["F1", "F1"], lambda: right.ask("status"))
    assert right.lights(since)[-1] == "F1"
    nothing_is_told(air, mark, pair)


def met(box: Box) -> tuple[int, int]:
    """Today's rolling ids and minutes near."""
    days = box.ask("encounters") or [{"rolling_ids": 0, "minutes_near": 0}]
    return days[0]["rolling_ids"], days[0]["minutes_near"]


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
