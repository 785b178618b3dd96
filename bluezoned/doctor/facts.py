"""What the doctor found on the machine, and how a finding looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from bluezoned.config import Config
from bluezoned.control.report import StatusReport
from bluezoned.radio.bluez_checkup import Checkup


class Grade(Enum):
    """How much a finding matters."""

    OK = "ok"
    WARN = "warn"
    """The box traces, but less well than it could, or this could not be seen."""
    FAIL = "fail"
    """The box does not do what it is for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    """Which, in one word or two; stable."""
    grade: Grade
    said: str
    """What it is and what it means, for people."""
    fix: str = ""
    """The command that mends it, or what to do; empty where nothing needs to be."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit of systemd's."""

    loaded: bool
    """There is such a file."""
    active: bool
    enabled: bool
    exit_status: int
    """Of its main process, the last time that it ended."""
    ended_s: int
    """Seconds UTC of that; 0 for never."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything that was found. None: it could not be found out."""

    config: Config
    now_s: int
    """Seconds UTC."""
    is_root: bool
    in_group: bool | None
    """The caller is a member of the group bluezoned; None where there is no such group."""
    bus_problem: str
    """Why the system bus cannot be reached; empty when it can."""
    status: StatusReport | None
    status_problem: str
    """Why the daemon told nothing; empty when it did."""
    units: Mapping[str, Unit] | None
    """By name: the daemon, its timer, its sync. None where systemd does not answer."""
    bluetooth: Checkup | None
    clock_is_believable: bool
    clock_is_synchronized: bool | None
    authority_problem: str
    """Why the pinned key cannot be used; empty when it can, or when none is set."""
    free_bytes: int | None
    """Where the state lies."""
    store_flaw: str | None
    """What is wrong with the database; empty when it is whole or not there yet."""
    gpio_is_wanted: bool
    gpio_problem: str
    """Why lines cannot be driven by the daemon; empty when they can."""
    uncalibrated: str | None
    """As board.uncalibrated says."""
