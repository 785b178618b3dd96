"""A daemon that says what it was told to say, offered on a real D-Bus: the shell around it is what is tested."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from dbus_next.message import Message

from bluezoned.control import names
from bluezoned.control.interface import Offer, offered
from bluezoned.control.proxy import DaemonProxy, reached
from bluezoned.control.report import EncounterDay, ExposureDay, SelfTestReport, StatusReport
from bluezoned.errors import BluezonedError
from bluezoned.fork_evidence import ForkEvidence
from bluezoned.tracing.calibration import LevelWindow

StartBus = Callable[[str], tuple[str, "subprocess.Popen[str]"]]
WELL = StatusReport(
    version="0.1.0",
    protocol="bluezone",
    alert_level=None,
    own_tier=None,
    indication="ALL_WELL",
    sentence="All is well.",
    nearby=0,
    keys_updated_at=None,
    log_size=0,
    log_root="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    last_upload=None,
    last_upload_problem="",
    hearing=True,
    advertising=True,
    paused=False,
    acknowledged=False,
    recording=False,
    problems=(),
)
ALERTED = replace(
    WELL,
    alert_level="F1",
    own_tier="F2",
    indication="F1",
    nearby=3,
    keys_updated_at=1_790_000_000,
    log_size=7,
    log_root="ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    last_upload="refused",
    last_upload_problem="code-used",
    problems=("the disk is full", "News is old"),
)


@dataclass
class Box:
    """A daemon that says what it was told to say: the shell around it is what is tested."""

    shown: StatusReport = WELL
    wrong: Exception | None = None
    ill: BluezonedError | None = None
    evidence: ForkEvidence | None = None
    verbs: list[str] = field(default_factory=list)

    def status(self) -> StatusReport:
        if self.ill is not None:
            raise self.ill
        return self.shown

    def encounters(self) -> list[EncounterDay]:
        self._act("encounters")
        return [EncounterDay(date(2026, 11, 23), 12, 340, 17), EncounterDay(date(2026, 11, 22), 1, 2, 0)]

    def exposures(self) -> list[ExposureDay]:
        self._act("exposures")
        return [ExposureDay(date(2026, 11, 20), "F1", "high", 21, 9, 34)]

    def fork(self) -> ForkEvidence | None:
        self._act("fork")
        return self.evidence

    def consent(self, code: str, hours: tuple[int, int] | None = None) -> None:
        self._act(f"consent {code}" if hours is None else f"consent {code} from {hours[0]} to {hours[1]}")

    def calibrate(self) -> None:
        self._act("calibrate")

    def calibration(self) -> list[LevelWindow]:
        self._act("calibration")
        return [LevelWindow(7, -60.5, 2.25, -56, 1, 67.0), LevelWindow(1, -61.0, 0.0, -61, 0, 12.5)]

    def acknowledge(self) -> None:
        self.shown = replace(self.shown, acknowledged=True)
        self._act("acknowledge")

    def erase(self) -> None:
        self._act("erase")

    def erase_last(self, hours: int) -> None:
        self._act(f"erase last {hours}")

    def selftest(self) -> SelfTestReport:
        self._act("selftest")
        return SelfTestReport(1.5, ("LED on GPIO 17", "buzzer on GPIO 18"))

    def record(self, seconds: int) -> Path:
        self._act(f"record {seconds}")
        return Path("/var/lib/bluezoned/capture.jsonl")

    def end_recording(self) -> None:
        self._act("end recording")

    def pause(self) -> None:
        self.shown = replace(self.shown, paused=True)
        self._act("pause")

    def resume(self) -> None:
        self.shown = replace(self.shown, paused=False)
        self._act("resume")

    def _act(self, verb: str) -> None:
        if self.wrong is not None:
            raise self.wrong
        self.verbs.append(verb)


@contextlib.asynccontextmanager
async def both(bus: str, box: Box, instance: str = "") -> AsyncIterator[tuple[Offer, DaemonProxy]]:
    async with offered(bus, instance, box) as offer, reached(bus, instance) as daemon:
        yield offer, daemon


async def call(
    connection: Any, member: str, signature: str = "", body: list[Any] | None = None, interface: str = names.INTERFACE
) -> Any:
    message = Message(names.BUS_NAME, names.PATH, interface, member, signature=signature, body=body or [])
    return await asyncio.wait_for(connection.call(message), 10)
