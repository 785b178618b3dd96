"""The clock that is moved by hand: what happens at one instant has happened before the next."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.clock import ManualClock, SystemClock


@given(st.lists(st.integers(0, 1000), max_size=20), st.integers(0, 1000))
def test_sleepers_wake_in_order_of_time_and_none_too_early(wakings: list[int], to: int) -> None:
    woken: list[tuple[int, int]] = []

    async def sleeper(clock: ManualClock, at: int) -> None:
        await clock.sleep_until(at)
        woken.append((at, clock.now()))

    async def scene() -> None:
        clock = ManualClock(0)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(sleeper(clock, at)) for at in wakings]
            await clock.settle()
            await clock.advance(to)
            for task in running:
                task.cancel()

    asyncio.run(scene())

    assert [at for at, _ in woken] == sorted(at for at in wakings if at <= to)
    assert all(at == now for at, now in woken if at > 0)


async def test_advance_waits_for_the_work_of_who_woke() -> None:
    clock = ManualClock(0)
    done: list[int] = []

    async def worker() -> None:
        while True:
            await clock.sleep_until(clock.now() + 10)
            for _ in range(50):
                await asyncio.sleep(0)
            done.append(clock.now())

    task = asyncio.create_task(worker())
    await clock.settle()
    await clock.advance(35)
    task.cancel()

    assert done == [10, 20, 30]


async def test_work_in_a_thread_is_waited_for() -> None:
    clock = ManualClock(0)
    done: list[int] = []

    async def worker() -> None:
        await clock.sleep_until(10)
        done.append(await asyncio.to_thread(lambda: 1))

    task = asyncio.create_task(worker())
    await clock.settle()
    await clock.advance(10)

    assert done == [1]
    await task


async def test_task_that_dies_at_work_is_waited_for_no_more() -> None:
    clock = ManualClock(0)

    async def worker() -> None:
        await clock.sleep_until(10)
        raise EOFError

    task = asyncio.create_task(worker())
    await clock.settle()
    await clock.advance(20)

    with pytest.raises(EOFError):
        await task


async def test_cancelled_sleeper_is_forgotten() -> None:
    clock = ManualClock(0)
    task = asyncio.create_task(clock.sleep_until(10))
    await clock.settle()
    assert clock.next_waking == 10

    task.cancel()
    await clock.settle()
    assert clock.next_waking is None


async def test_clock_does_not_run_backwards() -> None:
    clock = ManualClock(5)

    with pytest.raises(ValueError, match="backwards"):
        await clock.advance(4)


async def test_past_instant_is_no_sleep() -> None:
    await ManualClock(5).sleep_until(5)
    await SystemClock().sleep_until(0)


def test_systems_clock_is_believed_here() -> None:
    assert SystemClock().is_synchronized()
