"""What the box can say to people, and the port that says it. Knows no light and no log."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Indication(Enum):
    """One state to show, with its sentence. In order of precedence, the weightiest first.

    Our own health comes before trouble with the box, because a person acts on it. Trouble comes before nearness,
    because a box that cannot hear must never look well.
    """

    OWN_CASE = "You are a confirmed case: stay apart and follow your health authority."
    F1 = "You were near a confirmed case: stay apart and ask your health authority."
    F2 = "You were near someone who met a case: be careful and watch for news."
    CLOCK_UNKNOWN = "The time is not known, so nothing is sent or compared: check the network."
    STORAGE_FAULT = "Encounters cannot be kept: check the storage."
    PAUSED = "Paused by you: nothing is sent or heard until you resume."
    CANNOT_HEAR = "Others cannot be heard: check Bluetooth."
    CANNOT_ADVERTISE = "Others cannot hear this box: check Bluetooth."
    KEYS_STALE = "News of cases is old, so silence is no all-clear: check the network."
    BUTTON_STUCK = "A button is pressed without end: free it or check its wires."
    SOMEONE_NEAR = "Someone is near."
    ALL_WELL = "All is well."

    @property
    def sentence(self) -> str:
        """English, one sentence, for people."""
        return self.value


def weightiest(indications: Iterable[Indication]) -> Indication:
    """The one to show where several hold; ALL_WELL where none does."""
    holding = set(indications)
    return next((indication for indication in Indication if indication in holding), Indication.ALL_WELL)


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What a self-test plays: every Indication in its order, on these parts."""

    each: int
    """ms for which each is played."""
    parts: tuple[str, ...]
    """For people, such as `LED on GPIO 17`; empty where there is nothing but the log."""


class Indicator(Protocol):
    """Shows one indication until the next. Showing the same again changes nothing. Nothing here may block: all is
    called from the event loop."""

    def show(self, indication: Indication, acknowledged: bool = False) -> None:
        """`acknowledged`: the carrier has taken note of it, so it is shown without calling for attention."""

    def selftest(self) -> SelfTest:
        """Begin to play every indication, so that a person can compare, and return to what was shown last."""


class Indicators:
    """Several as one."""

    def __init__(self, *indicators: Indicator) -> None:
        self._indicators = indicators

    def show(self, indication: Indication, acknowledged: bool = False) -> None:
        for indicator in self._indicators:
            indicator.show(indication, acknowledged)

    def selftest(self) -> SelfTest:
        played = [indicator.selftest() for indicator in self._indicators]
        return SelfTest(max(p.each for p in played), tuple(part for p in played for part in p.parts))
