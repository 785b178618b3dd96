"""What a hand at one or two buttons means. Pure: takes each change and the instant, gives gestures.

    press           the first button once, shortly
    hold            the first button for HOLD
    hold both       both buttons for HOLD
    press 5, hold   the first button five times shortly, then for HOLD
    stuck           a button pressed for STUCK, or since before the box looked: told, and not obeyed until it is free

Contacts bounce: a change counts when it has lasted for SETTLE.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

SETTLE = 30
"""ms. Cheap switches bounce for up to 20; at 60 a quick double press is lost."""
SHORT = 700
"""ms: longest press that counts as short. Above it, a hand is hesitating."""
PAUSE = 700
"""ms between presses that belong together."""
HOLD = 3000
"""ms. A bag presses a button for a second or two; nobody holds one for five without doubt."""
COUNT = 1000
"""ms between two counted tones while a button is held."""
STUCK = 15_000
"""ms. Five times HOLD: nobody presses that long, a cable or a case does."""
ERASING = 5
"""Presses before the hold that erases. Never by accident, and not so many that one miscounts."""


class Gesture(Enum):
    """What was meant."""

    COUNT = auto()
    """A second of holding has passed; comes before the others."""
    PRESS = auto()
    HOLD = auto()
    HOLD_BOTH = auto()
    ERASE = auto()
    ENOUGH = auto()
    """Five presses: the hold comes next."""
    STUCK = auto()
    FREE = auto()
    """Not stuck any more."""


@dataclass(slots=True)
class _Button:
    raw: bool
    """As the contact says."""
    changed: int
    is_down: bool = False
    """Settled."""
    since: int = 0
    """When it went down (ms)."""
    is_stuck: bool = False
    is_told: bool = False


@dataclass(slots=True)
class GestureReader:
    """One hand. `pressed` says how the buttons are when the box begins to look, at `at` (ms of a clock that is never
    set)."""

    pressed: list[bool]
    at: int
    _buttons: list[_Button] = field(init=False)
    _presses: int = 0
    _released: int = 0
    _held_since: int | None = None
    _counted: int = 0
    _is_both: bool = False
    _is_spent: bool = False
    """This hold has been answered, or is none."""

    def __post_init__(self) -> None:
        self._buttons = [_Button(raw, self.at, raw, self.at, is_stuck=raw) for raw in self.pressed]

    def change(self, number: int, pressed: bool, at: int) -> list[Gesture]:
        """One contact has changed."""
        found = self.look(at)
        button = self._buttons[number]
        if pressed is not button.raw:
            button.raw, button.changed = pressed, at
        return found

    def spoil(self) -> None:
        """Whatever a hand does now was begun for another reason: it comes to nothing."""
        self._is_spent, self._presses = True, 0

    def look(self, at: int) -> list[Gesture]:
        """What time alone has brought up to `at`."""
        found: list[Gesture] = []
        while (due := self.next_look()) is not None and due <= at:
            found += self._settle(due)
            found += self._time(due)
        return found

    def next_look(self) -> int | None:
        """When time alone will bring something; None while nothing is pressed or waited for."""
        moments = [b.changed + SETTLE for b in self._buttons if b.raw is not b.is_down]
        moments += [b.since + STUCK for b in self._buttons if b.is_down and not b.is_told]
        if self._held_since is not None and not self._is_spent:
            moments.append(self._held_since + (self._counted + 1) * COUNT)
        elif self._presses:
            moments.append(self._released + PAUSE)
        return min(moments, default=None)

    def _settle(self, at: int) -> list[Gesture]:
        found = []
        for number, button in enumerate(self._buttons):
            if button.raw is button.is_down or button.changed + SETTLE > at:
                continue
            button.is_down = button.raw
            if button.is_down:
                button.since = at
                self._went_down(number, at)
            elif button.is_stuck:
                if button.is_told:
                    found.append(Gesture.FREE)
                button.is_stuck = button.is_told = False
            else:
                found += self._went_up(number, at - button.since, at)
        return found

    def _went_down(self, number: int, at: int) -> None:
        if any(other.is_down and not other.is_stuck for n, other in enumerate(self._buttons) if n != number):
            self._is_both, self._presses = True, 0
            self._held_since, self._counted, self._is_spent = at, 0, False
        elif number == 0:
            self._held_since, self._counted, self._is_spent = at, 0, False

    def _went_up(self, number: int, held: int, at: int) -> list[Gesture]:
        was_both, self._held_since = self._is_both, None
        if was_both:
            self._is_both = any(other.is_down and not other.is_stuck for other in self._buttons)
            self._presses = 0
        elif number == 0 and held <= SHORT and not self._is_spent:
            self._presses, self._released = self._presses + 1, at
            return [Gesture.ENOUGH] if self._presses == ERASING else []
        elif number == 0:
            self._presses = 0
        return []

    def _time(self, at: int) -> list[Gesture]:
        found: list[Gesture] = []
        for button in self._buttons:
            if button.is_down and not button.is_told and button.since + STUCK <= at:
                button.is_stuck = button.is_told = True
                found.append(Gesture.STUCK)
        if self._held_since is not None and not self._is_spent:
            if at >= self._held_since + (self._counted + 1) * COUNT:
                self._counted += 1
                found += [Gesture.COUNT, *self._held()] if self._counted * COUNT >= HOLD else [Gesture.COUNT]
        elif self._presses and at >= self._released + PAUSE:
            found += [Gesture.PRESS] if self._presses == 1 else []
            self._presses = 0
        return found

    def _held(self) -> list[Gesture]:
        self._is_spent = True
        presses, self._presses = self._presses, 0
        if self._is_both:
            return [Gesture.HOLD_BOTH]
        if presses == ERASING:
            return [Gesture.ERASE]
        return [Gesture.HOLD] if presses == 0 else []
