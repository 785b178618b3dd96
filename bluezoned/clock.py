"""Time as the shell sees it: the Clock port, the system's clock and one moved by hand.

The heart never imports this: it is handed instants.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Clock(Protocol):
    """Milliseconds UTC."""

    def now(self) -> int:
        """The present instant."""

    async def sleep_until(self, at: int) -> None:
        """Return when `now() >= at`; if that is past, when others have had their turn; and as soon as time is seen to
        run backwards."""

    def elapsed(self) -> int:
        """ms since some instant; never set, so that a span is right while the date jumps."""

    async def sleep(self, duration: int) -> None:
        """Return after `duration` ms, whatever becomes of the date."""

    def is_synchronized(self) -> bool:
        """Whether the time can be believed: a Pi has no battery clock and boots in the past."""


class ManualClock:
    """A clock that stands still until `advance` moves it. It makes days pass in seconds, in demos and tests.

    `advance` returns only when each task that it woke rests again: sleeps on this clock, waits `at_rest`, or has
    ended. So what happens at one instant has happened before the next. One loop and one caller of `advance` at a time.

    What a woken task waits for cannot be seen from here: a thread's work, which time must wait for, looks like an
    event that only time brings. So a task that was woken and then awaits another one asleep on this clock, or an event
    that never comes, stops the time; it says so with `at_rest`.
    """

    def __init__(self, now: int) -> None:
        self._now = now
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._busy: set[asyncio.Task[object]] = set()
        self._rested = asyncio.Event()
        self._stirs = 0

    def now(self) -> int:
        return self._now

    def is_synchronized(self) -> bool:
        return True

    def elapsed(self) -> int:
        return self._now

    async def sleep(self, duration: int) -> None:
        await self.sleep_until(self._now + duration)

    @property
    def next_waking(self) -> int | None:
        """When the first sleeper is due, ms; None when nobody sleeps."""
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)  # cancelled, and not yet run to say so
        return self._sleepers[0][0] if self._sleepers else None

    async def sleep_until(self, at: int) -> None:
        if at <= self._now:
            await asyncio.sleep(0)
            return
        task = _running_task()
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (at, next(self._order), woken))
        self._rest(task)
        try:
            await woken
        except asyncio.CancelledError:
            # Gone at once, or whoever sets and cancels an alarm a second would fill the memory.
            self._sleepers = [sleeper for sleeper in self._sleepers if sleeper[2] is not woken]
            heapq.heapify(self._sleepers)
            raise
        self._stir(task)

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Inside, the running task waits for something that the owner of the clock will bring, and time need not wait
        for it; afterwards it works again."""
        task = _running_task()
        self._rest(task)
        try:
            yield
        finally:
            # Closing an abandoned generator runs in another task than the one that waited.
            self._stir(_running_task())

    async def advance(self, to: int) -> None:
        """Move to `to` (ms), waking sleepers in order of time, and of their going to sleep at one instant. ValueError
        when that is in the past."""
        if to < self._now:
            raise ValueError("a clock does not run backwards")
        await self.settle()
        while (waking := self.next_waking) is not None and waking <= to:
            woken = heapq.heappop(self._sleepers)[2]
            self._now = max(self._now, waking)
            woken.set_result(None)
            await self.settle()
        self._now = to

    async def settle(self) -> None:
        """Return when every task that this clock woke rests again, and so do those that waited for its end."""
        quiet = 0
        while quiet < _QUIET_TURNS:
            while self._busy:
                quiet = 0
                await self._rested.wait()
            stirs = self._stirs
            await asyncio.sleep(0)
            quiet = quiet + 1 if stirs == self._stirs else 0

    def _stir(self, task: asyncio.Task[object]) -> None:
        self._stirs += 1
        if task in self._busy:
            return
        if not self._busy:
            self._rested = asyncio.Event()
        self._busy.add(task)
        task.add_done_callback(self._rest)

    def _rest(self, task: asyncio.Task[object]) -> None:
        self._stirs += 1
        task.remove_done_callback(self._rest)
        self._busy.discard(task)
        if not self._busy:
            self._rested.set()


def _running_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


_QUIET_TURNS = 4
"""Turns of the loop without a stir that count as rest. Three pass from the end of a task to the first step of the one
that its waiter starts next (done, waiter runs, new task runs); with two, `wait_for` and `gather` around a sleep
oversleep. Each costs some 10 us a waking."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    async def sleep_until(self, at: int) -> None:
        await asyncio.sleep(0)  # others have their turn also when it is past, as on every clock
        # In steps, because the wall clock may be set while we sleep (a Pi without a battery clock, at first sync). Set
        # back by an hour, it would let whoever sleeps until the next minute sleep for an hour.
        latest = self.now()
        while latest < at:
            await asyncio.sleep(min(at - latest, 30_000) / 1000)
            if (now := self.now()) < latest:
                return
            latest = now

    def elapsed(self) -> int:
        return time.monotonic_ns() // 1_000_000

    async def sleep(self, duration: int) -> None:
        await asyncio.sleep(duration / 1000)

    def is_synchronized(self) -> bool:
        return self.now() >= _BUILT


async def rest(duration: int) -> None:
    """Return `duration` ms later, whatever becomes of the wall clock."""
    await asyncio.sleep(duration / 1000)


# Nobody can run this program before it was written: 2026-11-01 UTC. Later than any default clock of a Pi without
# a battery, earlier than any true time; systemd-timesyncd's saved time is the second line.
_BUILT = 1_793_491_200_000
