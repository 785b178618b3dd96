"""What the desk costs: three days, a 60 s tick, four boxes and a server as processes, 20,000 packets.

    python tests/bench/desk.py

Prints wall time, packets, round trips and memory. The boxes do no work of their own, so this is the desk's share.
"""

from __future__ import annotations

import asyncio
import itertools
import resource
import sys
import tempfile
import time
from pathlib import Path

from bluezoned.advertisement import Advertisement
from bluezoned.radio import desk
from bluezoned.radio.desk import Desk
from bluezoned.radio.ether import Ether, PathLoss

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
STATIONS = "abcd"
MEETING = (9 * HOUR, 9 * HOUR + 20 * MINUTE)
PACKETS = 20_000
DAYS = 3


async def box(path: Path, station: str) -> None:
    """Rotates every 15 min, ticks every minute and counts what it hears, until the desk goes."""
    heard = 0
    async with desk.join(path, station) as (clock, radio), radio, asyncio.TaskGroup() as tasks:

        async def rotate() -> None:
            for number in itertools.count():
                await radio.advertise(Advertisement(manufacturer_data={1: station.encode() + number.to_bytes(4)}))
                await clock.sleep_until(clock.now() + 15 * MINUTE)

        async def tick() -> None:
            while clock.now() < DAYS * DAY:
                await clock.sleep_until(clock.now() + MINUTE)
            own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            print(heard, own, flush=True)

        tasks.create_task(rotate())
        tasks.create_task(tick())
        await asyncio.sleep(0)
        print("ready", flush=True)
        async for _ in radio:
            heard += 1


async def server(path: Path) -> None:
    async with desk.join_clock(path) as clock:
        print("ready", flush=True)
        while True:
            await clock.sleep_until(clock.now() + HOUR)


async def bench(directory: Path) -> None:
    pairs = list(itertools.permutations(STATIONS, 2))
    gap = (MEETING[1] - MEETING[0]) * DAYS * len(pairs) // PACKETS
    ether = Ether()
    for day, (sender, receiver) in itertools.product(range(DAYS), pairs):
        path = PathLoss(1.0, gap=gap, seed=day)
        ether.open_path(sender, receiver, path, day * DAY + MEETING[0], day * DAY + MEETING[1])
    async with Desk(ether, 0, directory / "desk") as table:
        processes = [
            await asyncio.create_subprocess_exec(
                sys.executable, __file__, str(directory / "desk"), name, stdout=asyncio.subprocess.PIPE
            )
            for name in (*STATIONS, "")
        ]
        for process in processes:
            assert process.stdout is not None
            await process.stdout.readline()
        begun = time.monotonic()
        await table.advance(DAYS * DAY)
        wall = time.monotonic() - begun
        ends = [await process.stdout.readline() for process in processes[:-1] if process.stdout is not None]
        for process in processes:
            process.kill()
            await process.wait()
    heard = sum(int(line.split()[0]) for line in ends)
    rss = max(int(line.split()[1]) for line in ends)
    print(f"{wall:.2f} s for {DAYS} days, {len(processes)} processes, {heard} packets; box {rss // 1024} MiB")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        asyncio.run(box(Path(sys.argv[1]), sys.argv[2]) if sys.argv[2] else server(Path(sys.argv[1])))
    else:
        with tempfile.TemporaryDirectory() as place:
            asyncio.run(bench(Path(place)))
