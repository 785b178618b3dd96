"""Plays what the box says on what can be seen and heard: the pattern of the state in force, answers in between.

Honest about freshness: the state is asked for anew before each repetition, and shown only while the box goes on telling
one: a box whose work stands still is dark. An output that refuses is told once and does not stop the box.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, tzinfo

from bluezoned.alert import pattern as patterns
from bluezoned.alert.indicator import Indication, SelfTest
from bluezoned.alert.output import Output
from bluezoned.alert.pattern import CASES, GRAMMAR, Answer, Colour, Pattern
from bluezoned.clock import Clock
from bluezoned.errors import AlertError

_LOG = logging.getLogger(__name__)

MINUTE = 60_000
HELP_EVERY = 60 * MINUTE
"""ms between two sounds of a box that needs help. A radio that comes and goes would else beep all day, and be
silenced for good."""
MOST_SOUNDS = 12
"""Times that one case is announced without an acknowledgement: an hour at the usual five minutes. Who is not there to
hear it will see the light."""

SELFTEST_EACH = 8000
"""ms: two repetitions of what comes every 4 s, one of it where the box is discreet."""


@dataclass(frozen=True, slots=True)
class QuietHours:
    """From one time of the day to another, over midnight too. Equal: never."""

    start: time = time()
    end: time = time()

    def holds(self, at: datetime) -> bool:
        now = at.time()
        if self.start <= self.end:
            return self.start <= now < self.end
        return now >= self.start or now < self.end


@dataclass(frozen=True, slots=True)
class Manner:
    """How loud, how often."""

    good_for: int
    """ms after which a box that has told nothing counts as standing still."""
    remind: int = 5 * MINUTE
    """ms between two announcements of a case that nobody acknowledged."""
    is_discreet: bool = False
    quiet: QuietHours = field(default_factory=QuietHours)
    zone: tzinfo | None = None
    """Of the quiet hours; None: this machine's."""


class Signaller:
    """An Indicator for lights and buzzers. `run` plays; `ask` tells the state in force, and whether it is
    acknowledged."""

    def __init__(
        self, output: Output, clock: Clock, manner: Manner, ask: Callable[[], tuple[Indication, bool]]
    ) -> None:
        self._output = output
        self._clock = clock
        self.manner = manner
        """May be changed while it runs."""
        self._ask = ask
        self.problem = ""
        """Why an output refuses, for people; empty when none does."""
        self._shown: Indication | None = None
        self._told: int | None = None
        self._sounded: dict[Indication, int] = {}
        self._sounds = 0
        self._is_acknowledged = False
        self._is_asking = False
        self._once: list[Pattern] = []
        self._is_once = False
        self._playing: asyncio.Task[None] | None = None
        self._spawn: Callable[[], asyncio.Task[None]] | None = None

    def show(self, indication: Indication, acknowledged: bool = False) -> None:
        """The box is at work, and this is its state."""
        was_still = self._stands_still()
        self._told = self._clock.elapsed()
        if (self._note(indication, acknowledged) or was_still) and not self._is_once:
            self._restart()

    def selftest(self) -> SelfTest:
        """In quiet hours too, as somebody asked for it; discreetly where that is the manner."""
        self._once = [self._whole(indication) for indication in Indication]
        self._restart()
        return SelfTest(SELFTEST_EACH, self._output.parts())

    def _whole(self, indication: Indication) -> Pattern:
        pattern = GRAMMAR[indication]
        if self.manner.is_discreet:
            return patterns.lasting(patterns.discreet(pattern), patterns.discreet(pattern), SELFTEST_EACH)
        return patterns.lasting(patterns.announcement(indication) or pattern, pattern, SELFTEST_EACH)

    def answer(self, answer: Answer) -> None:
        """To a hand at the box, at once, in place of all else."""
        self._once = [self._manners(answer.value)]
        self._restart()

    def question(self, is_open: bool) -> None:
        """The box waits for a yes, or no more."""
        self._is_asking = is_open
        self._restart()

    async def run(self) -> None:
        """Until cancelled; dark and silent afterwards."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._spawn = lambda: tasks.create_task(self._play(), name="signal")
                self._restart()
                await asyncio.Event().wait()
        finally:
            self._spawn = None
            self._set(Colour.DARK, None)

    def _restart(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
        if self._spawn is not None:
            self._playing = self._spawn()

    async def _play(self) -> None:
        while True:
            self._is_once = bool(self._once)
            pattern = self._once.pop(0) if self._once else self._manners(self._next())
            for step in pattern.steps:
                self._set(step.colour, step.tone)
                await self._clock.sleep(step.duration)

    def _next(self) -> Pattern:
        if self._is_asking:
            return Answer.QUESTION.value
        if self._stands_still():
            return patterns.DARK
        indication, acknowledged = self._ask()
        self._note(indication, acknowledged)
        announcement = patterns.announcement(indication)
        if announcement is None or not self._is_due(indication):
            return GRAMMAR[indication]
        self._sounded[indication] = self._clock.elapsed()
        self._sounds += 1
        return announcement

    def _note(self, indication: Indication, acknowledged: bool) -> bool:
        """Whether that is another than before."""
        if (indication, acknowledged) == (self._shown, self._is_acknowledged):
            return False
        if indication is not self._shown or not acknowledged:
            self._sounds = 0
        self._shown, self._is_acknowledged = indication, acknowledged
        return True

    def _is_due(self, indication: Indication) -> bool:
        """Whether a state is to be announced now. What falls into quiet hours waits for their end."""
        if self._is_acknowledged or self._is_quiet() or self.manner.is_discreet:
            return False
        last = self._sounded.get(indication)
        if indication in CASES:
            every, most = self.manner.remind, MOST_SOUNDS
        else:
            every, most = HELP_EVERY, 1
        is_first = self._sounds == 0 and indication in CASES
        return self._sounds < most and (is_first or last is None or self._clock.elapsed() - last >= every)

    def _stands_still(self) -> bool:
        return self._told is None or self._clock.elapsed() - self._told > self.manner.good_for

    def _is_quiet(self) -> bool:
        at = datetime.fromtimestamp(self._clock.now() / 1000, UTC).astimezone(self.manner.zone)
        return self.manner.quiet.holds(at)

    def _manners(self, pattern: Pattern) -> Pattern:
        if self.manner.is_discreet:
            return patterns.discreet(pattern)
        return patterns.silent(pattern) if self._is_quiet() else pattern

    def _set(self, colour: Colour, tone: patterns.Tone | None) -> None:
        try:
            self._output.show(colour, tone)
        except AlertError as error:
            if str(error) != self.problem:
                _LOG.warning("%s", error)
            self.problem = str(error)
        else:
            self.problem = ""
