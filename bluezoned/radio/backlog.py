"""Receptions on their way from the radio to who listens: bounded, counted, never awaited by who brings them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from bluezoned.advertisement import Reception

SIZE = 1024
"""Receptions that wait for a listener who is at other work; what comes then is dropped and counted. A crowd of a
hundred sends that in about ten seconds."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What passed since the last one."""

    heard: int
    dropped: int
    deepest: int
    """Most that waited at once."""


class Backlog:
    """One listener's."""

    def __init__(self, size: int = SIZE) -> None:
        self._queue: asyncio.Queue[Reception | None] = asyncio.Queue(size)
        self.dropped = 0
        """Since the last `clear`."""
        self._heard = self._deepest = self._dropped_before = 0

    def put(self, reception: Reception) -> None:
        """Lay it there, or drop it."""
        self._heard += 1
        if self._queue.full():
            self.dropped += 1
        else:
            self._queue.put_nowait(reception)
            self._deepest = max(self._deepest, self._queue.qsize())

    def end(self) -> None:
        """The listener has waited for the last time."""
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    def clear(self) -> None:
        """As new."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self.dropped = self._dropped_before = 0

    def tally(self) -> Tally:
        """Count anew from here."""
        tally = Tally(self._heard, self.dropped - self._dropped_before, self._deepest)
        self._heard, self._deepest, self._dropped_before = 0, self._queue.qsize(), self.dropped
        return tally

    async def __aiter__(self) -> AsyncIterator[Reception]:
        """Until `end`."""
        while (reception := await self._queue.get()) is not None:
            yield reception
