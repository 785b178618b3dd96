"""The carrier's hand at the buttons: gestures become the same verbs as on the bus, answered by light and tone. Layer 4.

press               I know (acknowledge); while a question is open: no
hold                yes, while a question is open
hold both           pause, resume
press 5, hold       unlearn the last hours
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bluezoned.alert.gesture import Gesture, GestureReader
from bluezoned.alert.pattern import Answer
from bluezoned.alert.signaller import Signaller
from bluezoned.box import Box
from bluezoned.clock import Clock
from bluezoned.errors import BluezonedError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Question:
    act: Callable[[], None]
    until: int


class Hand:
    """At one or two buttons. `run` obeys; `change` may be called from any thread of the loop's process."""

    def __init__(self, box: Box, clock: Clock, signaller: Signaller | None, patience: int, erase_hours: int) -> None:
        self._box = box
        self._clock = clock
        self._signaller = signaller
        self._patience = patience
        """ms that a question stays open."""
        self._erase_hours = erase_hours
        self._question: _Question | None = None
        self._reader: GestureReader | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._spawn: Callable[[], asyncio.Task[None]] | None = None
        self._loop = asyncio.get_running_loop()

    def change(self, number: int, pressed: bool) -> None:
        """Button `number` was pressed or let go."""
        self._loop.call_soon_threadsafe(self.feel, number, pressed)

    def feel(self, number: int, pressed: bool) -> None:
        """The same, in the loop."""
        if self._reader is not None:
            self._obey(self._reader.change(number, pressed, self._clock.elapsed()))
            self._wait_anew()

    def ask(self, act: Callable[[], None]) -> None:
        """`act` once the carrier has held the button, within the patience; a later question takes an open one's
        place."""
        if self._reader is not None:
            self._reader.spoil()
        self._question = _Question(act, self._clock.elapsed() + self._patience)
        self._box.condition.awaits_yes = True
        log.info("the box asks its carrier to hold the button for yes")
        self._light_question()
        self._wait_anew()

    async def run(self, pressed: Sequence[bool]) -> None:
        """Until cancelled; `pressed` is how the buttons are now."""
        self._reader = GestureReader(list(pressed), self._clock.elapsed())
        async with asyncio.TaskGroup() as tasks:
            self._spawn = lambda: tasks.create_task(self._wait(), name="button")
            self._wait_anew()
            await asyncio.Event().wait()

    def _wait_anew(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        if self._spawn is not None:
            self._waiting = self._spawn()

    async def _wait(self) -> None:
        """For what time alone brings."""
        assert self._reader is not None
        while True:
            closing = None if self._question is None else self._question.until
            moments = [moment for moment in (self._reader.next_look(), closing) if moment is not None]
            if not moments:
                return
            await self._clock.sleep(max(0, min(moments) - self._clock.elapsed()))
            self._obey(self._reader.look(self._clock.elapsed()))
            if self._question is not None and self._question.until <= self._clock.elapsed():
                self._close("nobody held the button in time: the question is closed, nothing was done")

    def _obey(self, gestures: Sequence[Gesture]) -> None:
        for gesture in gestures:
            match gesture:
                case Gesture.COUNT | Gesture.ENOUGH:
                    self._answer(Answer.COUNT)
                case Gesture.PRESS if self._question is not None:
                    self._close("the carrier said no")
                case Gesture.PRESS:
                    self._do(self._box.acknowledge)
                case Gesture.HOLD if self._question is not None:
                    act = self._question.act
                    self._question = None
                    self._box.condition.awaits_yes = False
                    self._light_question()
                    self._do(act)
                case Gesture.HOLD:
                    self._answer(Answer.REFUSED)
                case Gesture.HOLD_BOTH:
                    self._do(self._box.resume if self._box.condition.is_paused else self._box.pause)
                case Gesture.ERASE if self._erase_hours:
                    self._do(lambda: self._box.erase_last(self._erase_hours))
                case Gesture.ERASE:
                    self._answer(Answer.REFUSED)
                case Gesture.STUCK | Gesture.FREE:
                    self._box.note_button(is_stuck=gesture is Gesture.STUCK)

    def _do(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BluezonedError as error:
            log.warning("the button's wish failed: %s", error)
            self._answer(Answer.REFUSED)
        else:
            self._answer(Answer.DONE)

    def _close(self, why: str) -> None:
        self._question = None
        self._box.condition.awaits_yes = False
        log.info("%s", why)
        self._light_question()
        self._answer(Answer.REFUSED)

    def _light_question(self) -> None:
        if self._signaller is not None:
            self._signaller.question(self._question is not None)

    def _answer(self, answer: Answer) -> None:
        if self._signaller is not None:
            self._signaller.answer(answer)
