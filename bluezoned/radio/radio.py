"""The port to a Bluetooth LE radio."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

from bluezoned.advertisement import Advertisement, Reception


@dataclass(frozen=True, slots=True)
class RadioHealth:
    """Whether the radio does what it is asked to, as far as it knows."""

    hearing: bool
    advertising: bool
    problem: str
    """A sentence for people, empty when all is well."""
    dropped: int = 0
    """Receptions lost since the radio was entered, because nobody took them while they came."""
    degraded: str = ""
    """A sentence for people on what is less than it could be, though it hears and sends; empty when nothing is."""
    looks: int | None = None
    """How often whoever minds the radio has looked at it since the start, whatever was found: when this stands still,
    they hang. None where nobody needs to."""
    missed: int = 0
    """ms since the radio was entered in which it did not listen, on purpose or not."""
    recoveries: int = 0
    """Steps taken since the start to get a radio in trouble going again."""


class Radio(Protocol):
    """One radio. Entering it makes ready, leaving it leaves the air silent; it may be entered again."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def advertise(self, advertisement: Advertisement | None) -> None:
        """Replace what is on the air and draw a new address, in one step: no packet mixes old and new. None silences.
        A radio in trouble does so when it can; `health` says whether it has. RadioError when it never will."""

    def __aiter__(self) -> AsyncIterator[Reception]:
        """Receptions as they come, without end. A gap says nothing: it may be the radio's."""

    def health(self) -> RadioHealth:
        """Costs nothing; asked often."""
