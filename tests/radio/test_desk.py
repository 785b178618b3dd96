"""The ether across processes: real sockets, real processes, one made time."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from bluezoned.advertisement import Advertisement
from bluezoned.errors import RadioError
from bluezoned.radio import desk
from bluezoned.radio.desk import Desk
from bluezoned.radio.ether import LONGEST_STEP, Ether, PathLoss

LISTENER = """
import asyncio, sys
from pathlib import Path
from bluezoned.advertisement import Advertisement
from bluezoned.radio import desk

async def main(path, station):
    async with desk.join(Path(path), station) as (clock, radio), radio:
        async def speak():
            while True:
                await radio.advertise(Advertisement(manufacturer_data={1: f"{station}{clock.now()}".encode()}))
                await clock.sleep_until(clock.now() + 60_000)
        speaking = asyncio.create_task(speak())
        await asyncio.sleep(0)
        print("ready", flush=True)
        async for reception in radio:
            said = reception.advertisement.manufacturer_data[1].decode()
            print(reception.at, clock.now(), said, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def start(path: Path, station: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LISTENER, str(path), station, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def lines(process: asyncio.subprocess.Process) -> list[list[str]]:
    process.kill()
    output, _ = await process.communicate()
    return [line.split() for line in output.decode().splitlines()]


def both_ways(ether: Ether, end: int) -> None:
    for sender, receiver in (("a", "b"), ("b", "a")):
        ether.open_path(sender, receiver, PathLoss(1.0, gap=20_000), 0, end)


async def test_processes_hear_one_another_at_the_right_instants(tmp_path: Path) -> None:
    ether = Ether()
    both_ways(ether, 300_000)
    async with Desk(ether, 0, tmp_path / "desk") as table:
        a, b = await start(tmp_path / "desk", "a"), await start(tmp_path / "desk", "b")
        await table.advance(180_000)

        heard = [await lines(a), await lines(b)]

    for station, other in ((0, "b"), (1, "a")):
        assert [line[0] for line in heard[station]] == [str(at) for at in range(0, 180_000, 20_000)]
        assert all(at == now for at, now, _ in heard[station])
        assert [line[2] for line in heard[station]] == [
            f"{other}{at - at % 60_000}" for at in range(0, 180_000, 20_000)
        ]


async def test_killed_process_falls_silent_and_a_new_one_goes_on(tmp_path: Path) -> None:
    ether = Ether()
    both_ways(ether, 600_000)
    async with Desk(ether, 0, tmp_path / "desk") as table:
        a, b = await start(tmp_path / "desk", "a"), await start(tmp_path / "desk", "b")
        await table.advance(60_000)
        a.kill()
        await a.wait()
        await table.advance(120_000)
        again = await start(tmp_path / "desk", "a")
        await table.advance(180_000)

        heard = [int(line[0]) for line in await lines(b)]
        heard_again = [int(line[0]) for line in await lines(again)]

    assert heard == [0, 20_000, 40_000, 120_000, 140_000, 160_000]
    assert heard_again == [120_000, 140_000, 160_000]


async def test_process_killed_while_time_passes_is_silent_at_once(tmp_path: Path) -> None:
    ether = Ether()
    both_ways(ether, 3_600_000)
    async with Desk(ether, 0, tmp_path / "desk") as table:
        a, b = await start(tmp_path / "desk", "a"), await start(tmp_path / "desk", "b")
        moving = asyncio.create_task(table.advance(3_600_000))
        while table.now < 120_000:
            await asyncio.sleep(0)
        a.kill()
        await a.wait()
        killed = table.now
        await moving

        heard = [int(line[0]) for line in await lines(b)]

    assert table.now == 3_600_000
    assert 120_000 <= heard[-1] + 20_000 <= killed + 60_000


async def test_two_runs_are_heard_alike(tmp_path: Path) -> None:
    async def run(place: Path) -> list[list[list[str]]]:
        ether = Ether()
        both_ways(ether, 300_000)
        ether.open_path("a", "b", PathLoss(1.0, gap=7_000), 100_000, 200_000)
        async with Desk(ether, 0, place) as table:
            a, b = await start(place, "a"), await start(place, "b")
            await table.advance(400_000)
            return [await lines(a), await lines(b)]

    assert await run(tmp_path / "one") == await run(tmp_path / "two")


async def test_newcomer_has_its_say_before_time_goes_on(tmp_path: Path) -> None:
    ether = Ether()
    ether.open_path("a", "b", PathLoss(1.0, gap=1_000), 0, 600_000)
    heard: list[int] = []
    async with Desk(ether, 0, tmp_path / "desk") as table, desk.join(tmp_path / "desk", "b") as (_, b), b:

        async def listen() -> None:
            async for reception in b:
                heard.append(reception.at)

        listening = asyncio.create_task(listen())
        moving = asyncio.create_task(table.advance(600_000))
        while table.now < 120_000:
            await asyncio.sleep(0)
        async with desk.join(tmp_path / "desk", "a") as (clock, a), a:
            joined = clock.now()
            await a.advertise(Advertisement())
            await moving
        listening.cancel()

    assert joined <= heard[0] <= joined + LONGEST_STEP
    assert heard == list(range(heard[0], 600_000, 1_000))


async def test_station_that_comes_again_replaces_the_older(tmp_path: Path) -> None:
    place = tmp_path / "desk"
    async with (
        Desk(Ether(), 0, place) as table,
        desk.join(place, "a") as (_, old),
        old,
        desk.join(place, "a") as (_, new),
        new,
    ):
        await table.advance(1000)
        while not old.health().problem:
            await asyncio.sleep(0)

        assert "gone" in old.health().problem
        assert new.health().hearing


async def test_box_says_when_its_desk_is_gone(tmp_path: Path) -> None:
    async with Desk(Ether(), 0, tmp_path / "desk") as table:
        joining = desk.join(tmp_path / "desk", "a")
        clock, radio = await joining.__aenter__()
        await table.advance(1000)
    async with radio:
        while not radio.health().problem:
            await asyncio.sleep(0)
        health = radio.health()
        with pytest.raises(RadioError, match="gone"):
            await radio.advertise(Advertisement())
    await joining.__aexit__(None, None, None)

    assert clock.now() == 1000
    assert not health.hearing
    assert "gone" in health.problem


async def test_crowded_minutes_stay_within_a_message(tmp_path: Path) -> None:
    ether = Ether()
    for n in range(200):
        ether.open_path(f"{n}", "b", PathLoss(2.0, gap=500, seed=n), 0, 120_000)
        ether.put_on_air(f"{n}", Advertisement(manufacturer_data={1: bytes(27)}))
    heard = 0
    async with Desk(ether, 0, tmp_path / "desk") as table, desk.join(tmp_path / "desk", "b") as (_, b), b:

        async def listen() -> None:
            nonlocal heard
            async for _ in b:
                heard += 1

        listening = asyncio.create_task(listen())
        await table.advance(120_000)
        listening.cancel()

    assert heard == 200 * 240
    assert b.health().dropped == 0


async def test_desk_does_not_run_backwards(tmp_path: Path) -> None:
    async with Desk(Ether(), 1000, tmp_path / "desk") as table:
        with pytest.raises(ValueError, match="backwards"):
            await table.advance(999)


async def test_clock_alone_can_be_joined_and_asked(tmp_path: Path) -> None:
    async with Desk(Ether(), 7_000, tmp_path / "desk") as table:
        async with desk.join_clock(tmp_path / "desk") as clock:
            woken: list[int] = []

            async def server() -> None:
                while True:
                    await clock.sleep_until(clock.now() + 1_000)
                    woken.append(clock.now())

            task = asyncio.create_task(server())
            await clock.settle()
            await table.advance(9_500)
            task.cancel()
        now = await asyncio.to_thread(desk.now, tmp_path / "desk")

    assert woken == [8_000, 9_000]
    assert now == 9_500


async def test_no_desk_is_said(tmp_path: Path) -> None:
    with pytest.raises(RadioError, match="no desk"):
        desk.now(tmp_path / "nothing")
    with pytest.raises(RadioError, match="no desk"):
        async with desk.join(tmp_path / "nothing", "a"):
            pass


@pytest.mark.parametrize(
    "greeting", [b"garbage\n", b'{"station": 1}\n', b"\xff\n", b'{"station": "b"}\n{"until": "x"}\n']
)
async def test_garbage_at_the_desk_is_shown_the_door_and_disturbs_nobody(greeting: bytes, tmp_path: Path) -> None:
    async with Desk(Ether(), 0, tmp_path / "desk") as table, desk.join_clock(tmp_path / "desk") as clock:
        reader, writer = await asyncio.open_unix_connection(tmp_path / "desk")
        writer.write(greeting)
        shown_out = asyncio.create_task(reader.read())
        while not shown_out.done():
            await table.advance(table.now + 1000)
            await asyncio.sleep(0)

        assert clock.now() == table.now
        writer.close()
        await writer.wait_closed()


def test_advertisement_is_not_needed_to_hear() -> None:
    ether = Ether()
    ether.open_path("a", "b", PathLoss(1.0), 0, 10_000)
    ether.put_on_air("a", Advertisement())

    assert ether.heard("a", 0, 10_000) == []
    assert len(ether.heard("b", 0, 10_000)) == 10
