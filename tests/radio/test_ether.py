"""Several boxes in one process: who hears whom, when and how loud."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.clock import ManualClock
from bluezoned.errors import RadioError
from bluezoned.radio.ether import LONGEST_STEP, QUEUE, Desk, Ether, EtherRadio, PathLoss, recorded
from bluezoned.radio.radio import RadioHealth

ONE = Advertisement(manufacturer_data={1: b"one"})
TWO = Advertisement(manufacturer_data={1: b"two"})
HOUR = 3_600_000
TRACE = recorded([(0.0, -50), (1.5, -60), (4.0, -55)], 5.0)


class World:
    """Two stations, a and b, and what each heard."""

    def __init__(self) -> None:
        self.ether = Ether()
        self.clock = ManualClock(0)
        self.desk = Desk(self.ether, self.clock)
        self.radios = {name: self.desk.radio(name) for name in "ab"}
        self.heard: dict[str, list[Reception]] = {"a": [], "b": []}

    async def listen(self, name: str) -> None:
        async with self.radios[name] as radio:
            async for reception in radio:
                self.heard[name].append(reception)

    async def __aenter__(self) -> World:
        self.tasks = [asyncio.create_task(self.listen(name)) for name in "ab"]
        await self.clock.settle()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self.tasks:
            task.cancel()


async def test_recorded_levels_and_times_are_heard() -> None:
    async with World() as world:
        world.ether.open_path("a", "b", TRACE, 1000, 20_000)
        await world.radios["a"].advertise(ONE)

        await world.desk.advance(8000)

    assert [(r.at, r.rssi) for r in world.heard["b"]] == [
        (1000, -50), (2500, -60), (5000, -55), (6000, -50), (7500, -60),
    ]  # fmt: skip
    assert world.heard["a"] == []


async def test_nothing_is_heard_outside_the_meeting() -> None:
    async with World() as world:
        world.ether.open_path("a", "b", TRACE, 1000, 3000)
        await world.radios["a"].advertise(ONE)

        await world.desk.advance(1000)
        assert world.heard["b"] == []
        await world.desk.advance(60_000)

    assert [r.at for r in world.heard["b"]] == [1000, 2500]


async def test_what_is_on_the_air_is_replaced_at_its_instant() -> None:
    async with World() as world:
        world.ether.open_path("a", "b", PathLoss(1.0, shadowing=0, gap=1000), 0, 10_000)

        async def rotate() -> None:
            await world.radios["a"].advertise(ONE)
            await world.clock.sleep_until(5000)
            await world.radios["a"].advertise(TWO)

        world.tasks.append(asyncio.create_task(rotate()))
        await world.clock.settle()
        await world.desk.advance(10_000)

    assert [r.advertisement for r in world.heard["b"]] == [ONE] * 5 + [TWO] * 5


async def test_asking_in_pieces_and_at_once_gives_the_same() -> None:
    path = PathLoss(2.0, seed=3)

    pieces = [p for start in range(0, 60_000, 700) for p in path.packets(start, min(start + 700, 60_000))]

    assert pieces == list(path.packets(0, 60_000))
    assert [*TRACE.packets(0, 3100), *TRACE.packets(3100, 12_345)] == list(TRACE.packets(0, 12_345))


async def test_radio_that_is_left_is_silent_and_can_be_entered_again() -> None:
    radio = EtherRadio(ManualClock(0))

    async with radio:
        await radio.advertise(ONE)
        assert radio.health() == RadioHealth(hearing=True, advertising=True, problem="")
    assert radio.on_air is None
    assert not radio.health().hearing
    with pytest.raises(RadioError):
        await radio.advertise(TWO)
    async with radio:
        await radio.advertise(TWO)
        assert radio.on_air == TWO


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 6000)), max_size=6), st.data())
def test_the_same_world_is_heard_the_same_however_it_is_moved(
    meetings: list[tuple[str, int]], data: st.DataObject
) -> None:
    stops = sorted(data.draw(st.lists(st.integers(0, 9_999), max_size=6)))

    async def heard(stops: list[int]) -> dict[str, list[Reception]]:
        async with World() as world:
            for seed, (sender, start) in enumerate(meetings):
                receiver = "b" if sender == "a" else "a"
                world.ether.open_path(sender, receiver, PathLoss(2.0, gap=300, seed=seed), start, start + 3000)

            async def rotate(station: str) -> None:
                for advertisement in itertools.cycle((ONE, TWO)):
                    await world.radios[station].advertise(advertisement)
                    await world.clock.sleep_until(world.clock.now() + 700)

            world.tasks += [asyncio.create_task(rotate(name)) for name in "ab"]
            await world.clock.settle()
            for stop in [*stops, 10_000]:
                await world.desk.advance(stop)
        return world.heard

    assert asyncio.run(heard(stops)) == asyncio.run(heard([]))


async def test_nobody_need_listen_for_time_to_pass() -> None:
    world = World()
    world.ether.open_path("a", "b", PathLoss(1.0), 0, 10_000)

    async with world.radios["a"] as a, world.radios["b"]:
        await a.advertise(ONE)
        await world.desk.advance(10_000)

    assert world.clock.now() == 10_000


async def test_listener_that_goes_does_not_stop_time() -> None:
    async with World() as world:
        world.ether.open_path("a", "b", PathLoss(1.0), 0, 10_000)
        await world.radios["a"].advertise(ONE)

        await world.desk.advance(2500)
        world.tasks[1].cancel()
        await world.desk.advance(10_000)

    assert [r.at for r in world.heard["b"]] == [0, 1000, 2000]


async def test_listener_may_sleep_between_two_receptions() -> None:
    world = World()
    heard: list[tuple[int, int]] = []

    async def listen() -> None:
        async for reception in world.radios["b"]:
            heard.append((reception.at, world.clock.now()))
            await world.clock.sleep_until(world.clock.now() + 1500)

    world.ether.open_path("a", "b", PathLoss(1.0), 0, 4000)
    async with world.radios["a"] as a, world.radios["b"]:
        await a.advertise(ONE)
        listening = asyncio.create_task(listen())
        await world.desk.advance(10_000)
        listening.cancel()

    assert heard == [(0, 0), (1000, 1500), (2000, 3000), (3000, 4500)]


async def test_what_nobody_takes_is_dropped_and_counted() -> None:
    world = World()
    world.ether.open_path("a", "b", PathLoss(1.0, gap=10), 0, 10 * (QUEUE + 5))

    async with world.radios["a"] as a, world.radios["b"] as b:
        await a.advertise(ONE)
        await world.desk.advance(60_000)
        assert b.health().dropped == 5

    async with b:
        assert b.health().dropped == 0
        listening = asyncio.ensure_future(anext(aiter(b)))
        await world.clock.settle()
        assert not listening.done()
        listening.cancel()


async def test_silent_days_cost_one_step_and_a_meeting_one_a_minute() -> None:
    ether = Ether()
    ether.open_path("a", "b", TRACE, 3 * HOUR, 3 * HOUR + 90_000)

    assert ether.step_end(0, 72 * HOUR) == 3 * HOUR
    assert ether.step_end(3 * HOUR, 72 * HOUR) == 3 * HOUR + LONGEST_STEP
    assert ether.step_end(3 * HOUR + 90_000, 72 * HOUR) == 72 * HOUR


@pytest.mark.parametrize("rows", [[(2.0, -50), (1.0, -50)], [(-1.0, -50)], [(5.0, -50)]])
def test_recording_out_of_order_or_length_is_refused(rows: list[tuple[float, int]]) -> None:
    with pytest.raises(ValueError, match="in order and within its length"):
        recorded(rows, 5.0)
