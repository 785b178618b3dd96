"""bluezonectl calibrate: over a real D-Bus while the clock is pushed, and what it writes, read by the daemon's own
reader."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from click.testing import CliRunner, Result

from bluezoned import config_source
from bluezoned.cli import calibration
from bluezoned.cli.calibration import calibrate, gather
from bluezoned.cli.program import main
from bluezoned.clock import ManualClock
from bluezoned.config import Config
from bluezoned.control.proxy import DaemonProxy
from bluezoned.tracing.calibration import DURATION, WINDOW, Gains, LevelLog, LevelWindow, Measurement

Answer = TypeVar("Answer")

STILL = LevelWindow(packets=7, mean=-60.0, spread=2.0, strongest=-56, step=1, margin=30.0)
MEASURED = Measurement(packets=168, level=-60.0, spread=2.0, drift=0.0, strongest=-56, step=1, margin=30.0)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


@dataclass
class Terminal:
    """The program's context beside a daemon that has gathered already."""

    windows: list[LevelWindow]
    config: Config = field(default_factory=lambda: config_source.load([], {}, {}))
    as_json: bool = False

    def ask(self, question: Callable[[DaemonProxy], Awaitable[Answer]]) -> Answer:
        return self.windows  # type: ignore[return-value]


@dataclass
class Daemon:
    """Gathers by a clock that is pushed; one packet a second is heard."""

    clock: ManualClock
    log: LevelLog | None = None

    async def calibrate(self) -> None:
        self.log = LevelLog(self.clock.now())

    async def calibration(self) -> list[LevelWindow]:
        assert self.log is not None
        return list(self.log.windows(self.clock.now()))

    def hear(self) -> None:
        assert self.log is not None
        self.log.hear("peer", -60, self.clock.now())


async def test_two_minutes_are_gathered() -> None:
    clock = ManualClock(1_000_000)
    daemon = Daemon(clock)

    task = asyncio.create_task(gather(daemon, clock, None))  # type: ignore[arg-type]
    await clock.settle()
    for second in range(DURATION // 1000):
        daemon.hear()
        await clock.advance(1_000_000 + (second + 1) * 1000)
    windows = await task

    assert len(windows) == DURATION // WINDOW
    assert sum(w.packets for w in windows) == DURATION // 1000


def run(terminal: Terminal, profile: Path, *arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(calibrate, [*arguments, "--profile", str(profile)], obj=terminal, input=typed)


def test_profile_is_written_and_read_by_the_daemons_reader(tmp_path: Path) -> None:
    profile = tmp_path / "bluezoned.toml.d" / "50-calibration.toml"

    told = run(Terminal([STILL] * 24), profile, "--yes", "--note", 'in a "tin"')

    assert told.exit_code == 0, told.output
    assert "168 packets at -60.0 dBm" in told.output
    config = config_source.load([profile], {}, {})
    assert config.radio.tx_power_dbm == config.proximity.assumed_tx_power_dbm == -10
    assert (config.proximity.attenuation_1m_db, config.proximity.receive_offset_db) == (41.0, -9.0)
    assert config.proximity.calibrated.endswith('in a "tin"')
    assert profile.stat().st_mode & 0o777 == 0o644
    assert list(profile.parent.iterdir()) == [profile]


def test_calibrated_reference_leaves_the_own_power_alone(tmp_path: Path) -> None:
    profile = tmp_path / "profile.toml"
    own = config_source.load([], {}, {"radio.tx_power_dbm": "-12"})

    told = run(Terminal([STILL] * 24, own), profile, "--json", "--reference", "-8")

    answer = json.loads(told.output)
    assert (answer["tx_power"], answer["receive_offset"], answer["level"]) == (-12, -11.0, -60.0)
    assert config_source.load([profile], {}, {}).proximity.receive_offset_db == -11.0


def test_flawed_measurement_writes_nothing_and_says_why(tmp_path: Path) -> None:
    profile = tmp_path / "profile.toml"

    told = run(Terminal([replace(STILL, spread=12.0)] * 24), profile, "--yes")

    assert told.exit_code == 1
    assert "Levels scatter by 12 dB" in told.output
    assert not profile.exists()


def test_nothing_is_asked_of_the_daemon_before_the_boxes_stand(tmp_path: Path) -> None:
    told = run(Terminal([STILL] * 24), tmp_path / "profile.toml", typed="n\n")

    assert told.exit_code == 1
    assert not (tmp_path / "profile.toml").exists()


@pytest.mark.parametrize("note", ["é" * 200, "one\ntwo", 'a "b" \\ c', "\x1b[31mred"])
def test_any_note_gives_a_file_that_can_be_read(tmp_path: Path, note: str) -> None:
    profile = tmp_path / "profile.toml"

    calibration.write(profile, calibration.wording(MEASURED, Gains(-10, -9.0), note, "Raspberry Pi 5", NOON))

    assert config_source.load([profile], {}, {}).proximity.calibrated.startswith("2026-11-24, Raspberry Pi 5, ")


def test_it_is_a_command_of_bluezonectl() -> None:
    told = CliRunner().invoke(main, ["calibrate", "--help"])

    assert told.exit_code == 0
    assert "1 m apart" in told.output
