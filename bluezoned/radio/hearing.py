"""Whether a radio can be believed to hear, and when it listens. Pure: time is an argument, in monotonic ms.

Silence says nothing while only senders of our protocols are let through: perhaps there are none. So after some silence
the filter is opened to everybody for a moment. A stranger's packet proves the ear; where not even strangers are heard,
it is not believed any more, until something is.
"""

from __future__ import annotations

from dataclasses import dataclass

SECOND = 1000
MINUTE = 60 * SECOND

FIRST_PROOF = 90 * SECOND
"""ms of listening in silence until the filter is opened. Half of the time after which people nearby would be taken for
gone; opening costs a crowd's packets."""

SLOWEST_PROOF = 15 * MINUTE
"""ms, where strangers are heard again and again and none of ours: a dead ear is noticed within this at the latest."""

PROOF = 10 * SECOND
"""ms of open filter until silence is believed to be the radio's. The slowest usual beacons send every 1 to 2 s; the
kernel's scan pauses for up to 5 s."""

SETTLING = 8 * SECOND
"""ms after a start in which bluetoothd may say that it does not scan: the kernel's own pauses are up to 5 s."""


@dataclass(frozen=True, slots=True)
class Duty:
    """Listening `on` ms of every `period` ms."""

    on: int
    period: int

    def is_on(self, at: int) -> bool:
        """At `at` ms."""
        return at % self.period < self.on

    def next_change(self, at: int) -> int:
        """ms from `at` until listening begins or ends."""
        within = at % self.period
        return self.on - within if within < self.on else self.period - within


ALWAYS = Duty(1, 1)
"""A kiosk on mains."""

WINDOWS = Duty(20 * SECOND, MINUTE)
"""A wearable on a battery. A third of each minute hears some 80 packets of a neighbour, more than enough for the
minute's level (docs/proximity.md), and no minute is without."""


class Hearing:
    """What is believed of one ear."""

    def __init__(self) -> None:
        self.silence = 0
        """ms listened to since the last packet of anybody."""
        self.is_trusted = True
        self.is_resting = False
        """Whether it does not listen on purpose."""
        self.wants_open = False
        """Whether everybody is to be let through."""
        self.missed = 0
        """ms in which it did not listen, on purpose or not, or was not trusted."""
        self._accounted: int | None = None
        self._proof_after = FIRST_PROOF
        self._looked: int | None = None
        self._begun = 0

    @property
    def doubt(self) -> str:
        """A sentence for people, while it is not trusted."""
        minutes = self.silence // MINUTE
        return (
            f"not one Bluetooth packet was heard in {max(1, minutes)} min of listening, not even a stranger's: this "
            "box is deaf, or there is nobody"
        )

    def account(self, at: int, is_up: bool) -> None:
        """Since the last call the radio has been listening or resting (`is_up`), or it could not."""
        if self._accounted is not None and not (is_up and self.is_trusted and not self.is_resting):
            self.missed += max(0, at - self._accounted)
        self._accounted = at

    def begin(self, at: int) -> None:
        """A scan was started at `at`."""
        self._begun = at

    def has_waited(self, at: int) -> bool:
        """Whether a scan should long have begun."""
        return at - self._begun > SETTLING

    def rest(self, at: int) -> None:
        """Not listening, on purpose, at `at`."""
        self._pass(at)
        self.is_resting = True

    def listen(self, at: int) -> None:
        """Listening, and heard nothing since the last call up to `at`, unless `note_life` was called between."""
        self._pass(at)
        self.is_resting = False
        if self.silence >= self._proof_after:
            self.wants_open = True
        if self.silence >= self._proof_after + PROOF:
            self.is_trusted = False

    def _pass(self, at: int) -> None:
        if self._looked is not None and not self.is_resting:
            self.silence += max(0, at - self._looked)
        self._looked = at

    def note_life(self, at: int) -> None:
        """A packet of anybody was heard."""
        if not self.is_trusted:
            self._proof_after = FIRST_PROOF
        elif self.wants_open:
            self._proof_after = min(self._proof_after * 2, SLOWEST_PROOF)
        elif self.silence < FIRST_PROOF:
            # It came through the filter: somebody of ours is here.
            self._proof_after = FIRST_PROOF
        self.silence = 0
        self._looked = at
        self.is_trusted = True
        self.wants_open = False

    def next_change(self, at: int, duty: Duty, at_most: float) -> float:
        """ms until the radio must be looked after again."""
        ahead = [at_most]
        if duty.period > duty.on:
            ahead.append(duty.next_change(at))
        return max(50.0, min(ahead))
