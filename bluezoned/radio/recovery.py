"""When to try what on a radio that is in trouble. Pure: time is an argument, and nothing is done here."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import Enum

SECOND = 1000
MINUTE = 60 * SECOND


class Step(Enum):
    """What can be tried, from the mildest to the last; each names itself for the log."""

    RESTART_SCAN = "restart the scan"
    REGISTER_ANEW = "advertise through a new connection"
    POWER_CYCLE = "switch the adapter off and on"
    RESET = "ask the system to reset Bluetooth"
    START = "have bluetoothd started"


@dataclass(frozen=True, slots=True)
class Ladder:
    """What to try after how long (ms) of one trouble; climbed again and again, each time twice as slow, up to
    `slowest` times as slow, so that a place that is merely quiet is left alone."""

    rungs: tuple[tuple[int, Step], ...]
    slowest: int


REFUSED = Ladder(
    (
        (20 * SECOND, Step.RESTART_SCAN),
        (30 * SECOND, Step.REGISTER_ANEW),
        (60 * SECOND, Step.POWER_CYCLE),
        (2 * MINUTE, Step.RESET),
    ),
    slowest=8,
)
"""bluetoothd or the controller does not do what it is asked to. What has a reason that passes (another program is
faster, bluetoothd starts) has passed after some tries within 20 s; a power cycle takes everybody's Bluetooth down, so
it waits for a minute."""

SILENT = Ladder(
    ((20 * SECOND, Step.RESTART_SCAN), (2 * MINUTE, Step.POWER_CYCLE), (5 * MINUTE, Step.RESET)), slowest=12
)
"""Not one packet of anybody is heard. A field at night is as silent as a dead controller, so each climb is slower, down
to one in an hour."""


ABSENT = Ladder(((5 * SECOND, Step.START),), slowest=12)
"""There is no bluetoothd. systemd starts a crashed one at once and a restart takes a second or two; but one that lost
the D-Bus ends in good order, and nobody starts it. Who wants none masks it, and is asked once a minute at most."""


class Recovery:
    """Where on its ladder one trouble stands."""

    def __init__(self, ladder: Ladder) -> None:
        self._ladder = ladder
        self._since: int | None = None
        self._next_rung = 0
        self._slowness = 1
        self.taken: Counter[Step] = Counter()
        """How often each step was taken, since the beginning."""

    def note_well(self) -> None:
        """There is no such trouble, or no more."""
        self._since = None
        self._next_rung = 0
        self._slowness = 1

    def due(self, at: int) -> Step | None:
        """There is trouble at `at` (ms): the step to take now, if its time has come."""
        if self._since is None or at < self._since:
            self._since = at
        after, step = self._ladder.rungs[self._next_rung]
        if at - self._since < after * self._slowness:
            return None
        self._next_rung += 1
        if self._next_rung == len(self._ladder.rungs):
            self._next_rung = 0
            self._since = at
            self._slowness = min(self._slowness * 2, self._ladder.slowest)
        self.taken[step] += 1
        return step
