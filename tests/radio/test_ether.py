"""Several boxes in one process: who hears whom, when and how loud."""

from __future__ import annotations

import asyncio

import pytest

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.clock import ManualClock
from bluezoned.errors import RadioError
from bluezoned.radio.ether import Desk, Ether, EtherRadio, PathLoss, recorded

ONE = Advertisement(manufacturer_data={1: b"one"})
TWO = Advertisement(manufacturer_data={1: b"two"})
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
    on_air: list[Advertisement | None] = []
    radio = EtherRadio(on_air.append)

    async with radio:
        await radio.advertise(ONE)
        assert radio.health().advertising
    assert not radio.health().hearing
    with pytest.raises(RadioError):
        await radio.advertise(ONE)
    async with radio:
        await radio.advertise(TWO)

    assert on_air == [ONE, None, TWO, None]
