"""Whether the time of an answer tells real uploads from chaff: two-sample Kolmogorov-Smirnov.

    python -m tests.bench.chaff --count 400

As many of each, in an order drawn by lot, over kept connections to a served authority on SQLite; then, as the control,
the same without the hold: what the work alone takes. Printed is D, the largest distance between the two distributions
of times, and the D that chance exceeds once in a hundred runs where there is no difference.
"""

from __future__ import annotations

import argparse
import asyncio
import bisect
import math
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import aiohttp

from bluezoned import upload
from bluezoned.authority.api.discretion import HOLD_S
from bluezoned.authority.house import found_house
from bluezoned.demo.cast import free_port, program
from tests.authority.conftest import settings
from tests.authority.ward import Ward
from tests.bench.authority import now, process, sealed

Times = dict[bool, list[float]]
"""Seconds, by whether it was chaff."""

Post = Callable[[bytes], Awaitable[None]]


def distance(some: Sequence[float], others: Sequence[float]) -> float:
    """The largest difference between the two empirical distributions: 0 when they are one, 1 when they are apart."""
    first, second = sorted(some), sorted(others)
    return max(
        abs(bisect.bisect_right(first, at) / len(first) - bisect.bisect_right(second, at) / len(second))
        for at in (*first, *second)
    )


def critical(count: int) -> float:
    """D at which one in a hundred samples of `count` each from one distribution lies (the asymptotic formula)."""
    return math.sqrt(-math.log(0.01 / 2) / 2) * math.sqrt(2 / count)


def mixed(ward: Ward, count: int) -> list[tuple[bool, bytes]]:
    bodies = [(False, body) for body in sealed(ward, count)]
    bodies += [(True, upload.seal_chaff(ward.sealing_key)) for _ in range(count)]
    random.shuffle(bodies)
    return bodies


async def measured(bodies: list[tuple[bool, bytes]], post: Post, at_once: int) -> Times:
    times: Times = {False: [], True: []}
    waiting = iter(bodies)

    async def one_after_another() -> None:
        for is_chaff, body in waiting:
            start = time.perf_counter()
            await post(body)
            times[is_chaff].append(time.perf_counter() - start)

    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    return times


def tell(name: str, times: Times) -> None:
    medians = [sorted(side)[len(side) // 2] * 1000 for side in (times[False], times[True])]
    count = len(times[False])
    print(
        f"{name:<28} D {distance(times[False], times[True]):.3f}   by chance up to {critical(count):.3f}   "
        f"median real {medians[0]:.1f} ms, chaff {medians[1]:.1f} ms",
        flush=True,
    )


async def over_http(url: str, bodies: list[tuple[bool, bytes]], at_once: int) -> Times:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:

        async def post(body: bytes) -> None:
            async with session.post(f"{url}/v1/uploads", data=body) as response:
                assert len(await response.read()) == upload.RECEIPT_SIZE

        return await measured(bodies, post, at_once)


async def without_hold(ward: Ward, bodies: list[tuple[bool, bytes]]) -> Times:
    async def post(body: bytes) -> None:
        ward.authority.accept(body, now())

    return await measured(bodies, post, 1)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=400, help="of real ones, and of chaff")
    options.add_argument("--at-once", type=int, default=8)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name:
        data, port = Path(name), free_port()
        (data / "authority.toml").write_text(settings(""))
        found_house(data, "test", os.urandom)
        ward, base = Ward(data), f"http://127.0.0.1:{port}"
        with process(program("bluezone-authority"), "serve", "--data", data, "--port", str(port), url=f"{base}/health"):
            for at_once in (1, chosen.at_once):
                times = asyncio.run(over_http(base, mixed(ward, chosen.count), at_once))
                tell(f"held for {HOLD_S * 1000:.0f} ms, {at_once} at once", times)
        tell("without the hold", asyncio.run(without_hold(ward, mixed(ward, chosen.count))))
        ward.database.close()


if __name__ == "__main__":
    main()
