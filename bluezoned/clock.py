"""Time as the shell sees it: the Clock port, the system's clock and one moved by hand.

The heart never imports this: it is handed instants.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from typing import Protocol


class Clock(Protocol):
    """Milliseconds UTC."""

    def now(self) -> int:
        """The present instant."""

    async def sleep_until(self, at: int) -> None:
        """Return when `now() >= at`; at once if that is past."""

    def is_synchronized(self) -> bool:
        """Whether the time can be believed: a Pi has no battery clock and boots in the past."""


class ManualClock:
    """A clock that stands still until `advance` moves it. It makes days pass in seconds, in demos and tests.

    `advance` returns only when each task that it woke has gone back to sleep on this clock or ended, so that
    what happens at one instant has happened before the next.
    """

    def __init__(self, now: int) -> None:
        self._now = now
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._busy: set[asyncio.Task[object]] = set()
        self._rested = asyncio.Event()

    def now(self) -> int:
        return self._now

    def is_synchronized(self) -> bool:
        return True

    @property
    def next_waking(self) -> int | None:
        """When the first sleeper is due, ms; None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)  # it was cancelled
        return self._sleepers[0][0] if self._sleepers else None

    async def sleep_until(self, at: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        if at <= self._now:
            await asyncio.sleep(0)
            return
        self._rest(task)
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (at, next(self._order), woken))
        await woken
        self._busy.add(task)
        task.add_done_callback(self._rest)

    async def advance(self, to: int) -> None:
        """Move to `to` (ms), waking sleepers in order of time. ValueError when that is in the past."""
        if to < self._now:
            raise ValueError("a clock does not run backwards")
        while (waking := self.next_waking) is not None and waking <= to:
            woken = heapq.heappop(self._sleepers)[2]
            self._now = max(self._now, waking)
            woken.set_result(None)
            await self.settle()
        self._now = to

    async def settle(self) -> None:
        """Return when every task that this clock woke rests again."""
        # Two turns of the loop: who was just woken, or just created, takes its first step in the first of them.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        while self._busy:
            self._rested.clear()
            await self._rested.wait()

    def _rest(self, task: asyncio.Task[object]) -> None:
        task.remove_done_callback(self._rest)
        self._busy.discard(task)
        if not self._busy:
            self._rested.set()


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep_until(self, at: int) -> None:
        # In steps, because the wall clock may be set while we sleep (a Pi without a battery clock, at first sync).
        while (left := at - self.now()) > 0:
            await asyncio.sleep(min(left, 30_000) / 1000)

    def is_synchronized(self) -> bool:
        return self.now() >= _BUILT


# Nobody can run this program before it was written: 2026-11-01 UTC. Later than any default clock of a Pi without
# a battery, earlier than any true time; systemd-timesyncd's saved time is the second line.
_BUILT = 1_793_491_200_000
