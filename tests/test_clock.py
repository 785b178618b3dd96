"""The clock that is moved by hand: what happens at one instant has happened before the next."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.clock import ManualClock, SystemClock

HOUR = 3_600_000


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


async def test_cancelled_sleepers_leave_nothing_behind() -> None:
    clock = ManualClock(0)
    alarms = [asyncio.create_task(clock.sleep_until(10_000 + n)) for n in range(1000)]
    await clock.settle()
    for alarm in alarms[1:]:
        alarm.cancel()
    await clock.settle()

    assert len(clock._sleepers) == 1
    alarms[0].cancel()


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 30)), min_size=1, max_size=8), st.data())
def test_nobody_is_at_work_when_advance_returns(sleepers: list[tuple[int, int]], data: st.DataObject) -> None:
    at_work: set[int] = set()
    instants = sorted(data.draw(st.lists(st.integers(0, 200), max_size=5)))

    async def worker(clock: ManualClock, name: int, turns: int, stride: int) -> None:
        while True:
            await clock.sleep_until(clock.now() + stride)
            at_work.add(name)
            begun = clock.now()
            for _ in range(turns):
                await asyncio.sleep(0)
            assert clock.now() == begun
            at_work.discard(name)

    async def scene() -> None:
        clock = ManualClock(0)
        running = [asyncio.create_task(worker(clock, n, *sleeper)) for n, sleeper in enumerate(sleepers)]
        for at in instants:
            await clock.advance(at)
            assert not at_work
            assert clock.now() == at
        assert not any(task.done() for task in running)

    asyncio.run(scene())


async def test_sleepers_of_one_instant_wake_in_their_order_one_after_the_other() -> None:
    clock = ManualClock(0)
    steps: list[str] = []

    async def sleeper(name: str) -> None:
        await clock.sleep_until(10)
        steps.append(f"{name} wakes")
        await asyncio.sleep(0)
        steps.append(f"{name} ends")

    tasks = [asyncio.create_task(sleeper(name)) for name in "ab"]
    await clock.advance(10)

    assert steps == ["a wakes", "a ends", "b wakes", "b ends"]
    assert all(task.done() for task in tasks)


async def test_sleep_that_begins_at_its_end_is_over_and_its_waiter_is_waited_for() -> None:
    clock = ManualClock(0)
    woken: list[int] = []

    async def chain() -> None:
        await clock.sleep_until(10)
        await clock.sleep_until(10)
        woken.append(clock.now())
        with clock.at_rest():
            await asyncio.gather(*(clock.sleep_until(at) for at in (10, 11)))
        woken.append(clock.now())

    task = asyncio.create_task(chain())
    await clock.advance(11)

    assert woken == [10, 11]
    assert task.done()


@pytest.mark.parametrize("around", ["wait_for", "gather", "task group"])
async def test_sleep_inside_another_task_does_not_oversleep(around: str) -> None:
    clock = ManualClock(0)
    woken: list[int] = []

    async def nap() -> None:
        until = clock.now() + 10
        match around:
            case "wait_for":
                await asyncio.wait_for(clock.sleep_until(until), 1000)
            case "gather":
                await asyncio.gather(clock.sleep_until(until), clock.sleep_until(until - 5))
            case _:
                async with asyncio.TaskGroup() as naps:
                    naps.create_task(clock.sleep_until(until))

    async def worker() -> None:
        while True:
            await nap()
            woken.append(clock.now())

    task = asyncio.create_task(worker())
    await clock.advance(35)
    task.cancel()

    assert woken == [10, 20, 30]


async def test_time_need_not_wait_for_who_waits_at_rest() -> None:
    clock = ManualClock(0)
    came: list[int] = []
    bell = asyncio.Event()

    async def worker() -> None:
        await clock.sleep_until(10)
        with clock.at_rest():
            await bell.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        came.append(clock.now())

    task = asyncio.create_task(worker())
    await clock.advance(20)
    bell.set()
    await clock.advance(30)

    assert came == [20]
    await task


async def test_impatient_owner_may_give_up_and_go_on_later() -> None:
    clock = ManualClock(0)
    bell = asyncio.Event()
    woken: list[int] = []

    async def worker() -> None:
        await clock.sleep_until(10)
        await bell.wait()
        woken.append(clock.now())
        await clock.sleep_until(20)
        woken.append(clock.now())

    task = asyncio.create_task(worker())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(clock.advance(50), 0.01)
    bell.set()
    await clock.advance(50)

    assert woken == [10, 20]
    await task


def test_clock_outlives_a_loop() -> None:
    clock = ManualClock(0)
    woken: list[int] = []

    async def worker() -> None:
        while True:
            await clock.sleep_until(clock.now() + 10)
            await asyncio.sleep(0)
            woken.append(clock.now())

    async def scene(to: int) -> None:
        task = asyncio.create_task(worker())
        await clock.advance(to)
        task.cancel()

    asyncio.run(scene(25))
    asyncio.run(scene(40))

    assert woken == [10, 20, 35]


async def test_clock_does_not_run_backwards() -> None:
    clock = ManualClock(5)

    with pytest.raises(ValueError, match="backwards"):
        await clock.advance(4)


async def test_past_instant_is_no_sleep() -> None:
    await ManualClock(5).sleep_until(5)
    await SystemClock().sleep_until(0)


class ClockThatIsSetBack(SystemClock):
    """A machine whose time is an hour earlier at the third look."""

    def __init__(self) -> None:
        self._looks = iter((HOUR, HOUR + 10, 20))

    def now(self) -> int:
        return next(self._looks)


async def test_clock_set_back_by_an_hour_costs_nobody_an_hour() -> None:
    await asyncio.wait_for(ClockThatIsSetBack().sleep_until(HOUR + 30), 5)


def test_systems_clock_is_believed_here() -> None:
    assert SystemClock().is_synchronized()
