"""A crowd: nothing of ours is missed, and neither bluetoothd nor the box grows. And what a packet costs.

Short in every run, and as long as `make test-vm CROWD=20` says.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bluezoned.protocols import bluezone, gaen
from bluezoned.radio import backlog
from bluezoned.radio.bluez_bus import full_uuid
from bluezoned.storage import open_store
from tests.system import boxes
from tests.system.boxes import Box
from tests.system.conftest import LEGACY, TREE, run, within
from tests.system.medium.client import Air
from tests.system.radio_at_work import numbered

RESIDENTS, PER_SECOND = 200, 120
VISITORS_A_MINUTE = 250
"""Strangers: 5,000 in 20 minutes."""

Record = Callable[[str, object], None]
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """One process at one moment."""

    at: float
    rss: int
    """KiB."""
    cpu_s: float
    written: int
    """Bytes to disks, since its start."""


class Process:
    """A unit's main process, watched."""

    def __init__(self, unit: str) -> None:
        self.pid = run("systemctl", "show", "--property=MainPID", "--value", unit).strip()
        self.samples: list[Sample] = []

    def look(self) -> None:
        proc = Path("/proc") / self.pid
        rss = re.search(r"VmRSS:\s+(\d+)", (proc / "status").read_text())
        assert rss is not None
        times = (proc / "stat").read_text().rpartition(")")[2].split()
        cpu_s = (int(times[11]) + int(times[12])) / TICKS
        written = re.search(r"^write_bytes: (\d+)", (proc / "io").read_text(), re.M)
        assert written is not None
        self.samples.append(Sample(time.monotonic(), int(rss[1]), cpu_s, int(written[1])))

    def rss_in(self, start: float, end: float) -> int:
        """Median KiB between two moments."""
        return round(statistics.median(s.rss for s in self.samples if start <= s.at <= end))

    @property
    def cpu_s(self) -> float:
        return self.samples[-1].cpu_s - self.samples[0].cpu_s

    @property
    def written_an_hour(self) -> float:
        """Bytes to disks."""
        first, last = self.samples[0], self.samples[-1]
        return (last.written - first.written) / (last.at - first.at) * 3600


def residents() -> list[bytes]:
    return [numbered(number).encode() for number in range(RESIDENTS)]


@pytest.mark.timeout(3600)
def test_a_crowd_is_heard_and_fills_no_memory(
    air: Air, installed: None, pytestconfig: pytest.Config, record_property: Record
) -> None:
    minutes: float = pytestconfig.getoption("--crowd-minutes")
    adapter = air.adapter(LEGACY[0])
    # What a packet costs is said of the rhythm that is shipped.
    with boxes.started(air, "crowd", LEGACY[0], '\n[log]\nlevel = "debug"\n', tick_s=60) as box:
        watched = bluetoothd, daemon = Process("bluetooth"), Process(box.unit)
        since, begun = time.time(), time.monotonic()
        end = begun + minutes * 60
        air.crowd(LEGACY[0], PER_SECOND, round(minutes * 60), residents(), round(minutes * VISITORS_A_MINUTE))
        while time.monotonic() < end:
            for process in watched:
                process.look()
            time.sleep(5)
        within(60, lambda: sum(air.crowd_tally()) == PER_SECOND * round(minutes * 60), air.crowd_tally)
        for process in watched:
            process.look()
        run("systemctl", "stop", box.unit)
        heard = heard_by(box)
        tallies = tallies_of(box, since)
    sent, _ = air.crowd_tally()
    second, last = (begun + 60, begun + 120), (end - 60, end)
    share = sum(heard.residents.values()) / sent
    growth = {name: process.rss_in(*last) - process.rss_in(*second)
              for name, process in (("bluetoothd", bluetoothd), ("daemon", daemon))}  # fmt: skip
    alone = bleak_alone(air, adapter)
    cost = daemon.cpu_s / heard.packets
    figures = {
        "minutes": minutes,
        "ours_heard": len(heard.residents),
        "ours_packets_share": round(share, 3),
        "strangers_heard_share": round(heard.strangers / (minutes * VISITORS_A_MINUTE), 3),
        "bluetoothd_rss_kib": [bluetoothd.rss_in(*second), bluetoothd.rss_in(*last)],
        "daemon_rss_kib": [daemon.rss_in(*second), daemon.rss_in(*last)],
        "most_waiting": max(deepest for _, _, deepest in tallies),
        "dropped": sum(dropped for _, dropped, _ in tallies),
        "daemon_ms_per_packet": round(cost * 1000, 3),
        "bleak_ms_per_packet": round(alone * 1000, 3),
        "daemon_to_bleak": round(cost / alone, 2),
        "bluetoothd_cpu_share": round(bluetoothd.cpu_s / (minutes * 60), 2),
        "daemon_cpu_share": round(daemon.cpu_s / (minutes * 60), 2),
        "daemon_written_mib_an_hour": round(daemon.written_an_hour / 2**20, 1),
    }
    for name, figure in figures.items():
        record_property(name, figure)
        print(f"{name:24} {figure}")
    assert len(heard.residents) == RESIDENTS
    assert share >= 0.8
    assert figures["dropped"] == 0
    # Emulated beside others, a box may be held up for seconds; what has come then must be gone by the next time.
    assert statistics.median(deepest for _, _, deepest in tallies[len(tallies) // 2 :]) <= backlog.SIZE // 2
    assert growth["bluetoothd"] <= 2048
    assert growth["daemon"] <= 4096


@dataclass(frozen=True)
class Heard:
    """What a box has stored."""

    packets: int
    residents: dict[bytes, int]
    """Packets of each rolling id."""
    strangers: int


def heard_by(box: Box) -> Heard:
    with open_store(boxes.STATE / box.name, {}) as store:
        met = [(e.protocol, bytes(e.payload.rolling_id), sum(m.packets for m in e.minutes))
               for e in store.encounters(0, 2**62)]  # fmt: skip
    residents: dict[bytes, int] = {}
    for protocol, rolling_id, packets in met:
        if protocol == "bluezone":
            residents[rolling_id] = residents.get(rolling_id, 0) + packets
    strangers = {rolling_id for protocol, rolling_id, _ in met if protocol == "gaen"}
    return Heard(sum(packets for _, _, packets in met), residents, len(strangers))


def tallies_of(box: Box, since: float) -> list[tuple[int, int, int]]:
    """Each minute's packets heard, dropped and waiting at most, as the daemon logged them."""
    logged = (re.match(r"(\d+) packets heard, (\d+) dropped, (\d+) waited", e["MESSAGE"]) for e in box.journal(since))
    return [(int(told[1]), int(told[2]), int(told[3])) for told in logged if told]


def bleak_alone(air: Air, adapter: str) -> float:
    """CPU seconds of a packet for a process in which bleak only counts, in the same crowd."""
    uuids = [full_uuid(bluezone.SERVICE), full_uuid(gaen.SERVICE)]
    command = [sys.executable, "-m", "tests.system.bleak_alone", adapter, *uuids]
    with subprocess.Popen(command, cwd=TREE, stdout=subprocess.PIPE, text=True) as alone:
        assert alone.stdout is not None
        assert alone.stdout.readline() == "scanning\n"
        air.crowd(LEGACY[0], PER_SECOND, 40, residents(), VISITORS_A_MINUTE)
        time.sleep(42)
        alone.terminate()
        told = json.loads(alone.stdout.readline())
    return float(told["cpu_s"] / told["heard"])
