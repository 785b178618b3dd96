"""A radio in memory: who hears whom and how loud, as a recording or a path loss says. A double of physics alone.

The world stands still between instants of a ManualClock; nothing is random that was not seeded.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.clock import ManualClock
from bluezoned.errors import RadioError
from bluezoned.radio.radio import RadioHealth

QUEUE = 1024
"""Receptions that wait for a listener who is at other work; what comes then is dropped and counted. A crowd of a
hundred sends that in about ten seconds."""

LONGEST_STEP = 60_000
"""ms. A minute in a crowd of a thousand is 60,000 receptions of 24 bytes on a socket."""


class Packet(NamedTuple):
    """One advertisement that reaches a receiver."""

    at: int
    """ms."""
    rssi: int
    """dBm."""


class Path(Protocol):
    """What of a sender's packets reaches a receiver, and how loud."""

    def packets(self, start: int, end: int) -> Iterator[Packet]:
        """Those in [start, end) ms since the path was opened, in order. Asking in pieces gives the same as at once."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded series of packets, begun anew as often as needed: its own levels, gaps and times."""

    recorded: tuple[Packet, ...]
    """In order; `at` in ms since the recording began, before `length`."""
    length: int
    """ms after which it begins anew."""

    def __post_init__(self) -> None:
        instants = [0, *(packet.at for packet in self.recorded), self.length - 1]
        if any(later < earlier for earlier, later in itertools.pairwise(instants)):
            raise ValueError("a recording's packets are in order and within its length")

    def packets(self, start: int, end: int) -> Iterator[Packet]:
        for lap in range(start // self.length, -(-end // self.length)):
            first = lap * self.length
            for at, rssi in self.recorded[bisect_left(self.recorded, (start - first,)) :]:
                if first + at >= end:
                    break
                yield Packet(first + at, rssi)


@dataclass(frozen=True, slots=True)
class PathLoss:
    """The log-distance law with seeded shadowing: for crowds of which nobody has a recording."""

    distance: float
    """m."""
    level_1m: float = -60.0
    """dBm at 1 m."""
    exponent: float = 2.0
    shadowing: float = 4.0
    """dB, standard deviation of one packet."""
    gap: int = 1000
    """ms between packets."""
    seed: int = 0

    def packets(self, start: int, end: int) -> Iterator[Packet]:
        mean = self.level_1m - 10 * self.exponent * math.log10(max(self.distance, 0.05))
        for number in range(-(-start // self.gap), -(-end // self.gap)):
            # Each packet has its own seed, so that asking in pieces and asking at once give the same.
            noise = random.Random(f"{self.seed}/{number}").gauss(0, self.shadowing)
            yield Packet(number * self.gap, max(-126, min(20, round(mean + noise))))


@dataclass(frozen=True, slots=True)
class _Link:
    sender: str
    path: Path
    start: int
    end: int


class Ether:
    """Stations by name, what each has on the air, and the paths between them."""

    def __init__(self) -> None:
        self._on_air: dict[str, Advertisement] = {}
        self._links: dict[str, list[_Link]] = defaultdict(list)

    def open_path(self, sender: str, receiver: str, path: Path, start: int, end: int) -> None:
        """From `start` to `end` (ms UTC), `receiver` hears `sender` as `path` says. One way."""
        self._links[receiver].append(_Link(sender, path, start, end))

    def put_on_air(self, station: str, advertisement: Advertisement | None) -> None:
        """Replace what a station sends; None silences it."""
        if advertisement is None:
            self._on_air.pop(station, None)
        else:
            self._on_air[station] = advertisement

    def senders(self, at: int) -> set[str]:
        """Whom somebody could hear at `at`."""
        return {link.sender for links in self._links.values() for link in links if link.start <= at < link.end}

    def step_end(self, now: int, to: int) -> int:
        """How far from `now` towards `to` (ms) to go at once: until the next path opens, and for a minute where one is
        open, so that few receptions are on their way together."""
        ends = [to, *(link.start for links in self._links.values() for link in links if link.start > now)]
        if self.senders(now):
            ends.append(now + LONGEST_STEP)
        return min(ends)

    def heard(self, receiver: str, start: int, end: int) -> list[Reception]:
        """What reaches `receiver` in [start, end) ms if nobody changes what is on the air, in order of time; at one
        instant, in the order in which the paths were opened."""
        receptions = [
            Reception(self._on_air[link.sender], packet.rssi, link.start + packet.at)
            for link in self._links.get(receiver, ())
            if link.sender in self._on_air and link.start < end and start < link.end
            for packet in link.path.packets(max(start, link.start) - link.start, min(end, link.end) - link.start)
        ]
        return sorted(receptions, key=lambda reception: reception.at)


class EtherRadio:
    """The adapter of one station. Whoever moves the world asks what is `on_air` and brings receptions by `deliver`."""

    def __init__(self, clock: ManualClock) -> None:
        self.on_air: Advertisement | None = None
        self._clock = clock
        self._is_open = False
        self._lost = ""
        self._dropped = 0
        self._waiting: asyncio.Queue[Reception] = asyncio.Queue(QUEUE)

    async def __aenter__(self) -> Self:
        self._is_open = True
        self._dropped = 0
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = False
        self.on_air = None
        while not self._waiting.empty():
            self._waiting.get_nowait()

    async def advertise(self, advertisement: Advertisement | None) -> None:
        if problem := self.health().problem:
            raise RadioError(problem)
        if advertisement is not None:
            advertisement.encode()
        self.on_air = advertisement

    async def __aiter__(self) -> AsyncIterator[Reception]:
        while True:
            with self._clock.at_rest():
                reception = await self._waiting.get()
            yield reception

    def health(self) -> RadioHealth:
        problem = self._lost or ("" if self._is_open else "the radio is off")
        return RadioHealth(not problem, not problem and self.on_air is not None, problem, self._dropped)

    async def deliver(self, reception: Reception) -> None:
        """Hand over one reception, at its instant; returns when the listener has dealt with it. Lost when nobody has
        entered the radio."""
        if not self._is_open:
            return
        if self._waiting.full():
            self._dropped += 1
            return
        self._waiting.put_nowait(reception)
        await self._clock.settle()

    def lose(self, problem: str) -> None:
        """There is no world any more, for the reason that `health` gives from now on."""
        self._lost = problem


async def hear_through(clock: ManualClock, radio: EtherRadio, receptions: Iterable[Reception], to: int) -> None:
    """Move `clock` to `to` (ms), handing over each reception at its instant."""
    for reception in receptions:
        await clock.advance(reception.at)
        await radio.deliver(reception)
    await clock.advance(to)


class Desk:
    """Several boxes in one process, on one clock."""

    def __init__(self, ether: Ether, clock: ManualClock) -> None:
        self._ether = ether
        self._clock = clock
        self._radios: dict[str, EtherRadio] = {}

    def radio(self, station: str) -> EtherRadio:
        """A radio for one more station, in place of an older one of that name."""
        self._radios[station] = EtherRadio(self._clock)
        return self._radios[station]

    async def advance(self, to: int) -> None:
        """Let time pass to `to` (ms): who sleeps wakes, who is in the air is heard. ValueError when that is in the
        past."""
        await self._clock.settle()
        while (now := self._clock.now()) < to:
            for station, radio in self._radios.items():
                self._ether.put_on_air(station, radio.on_air)
            # Up to the next waking nobody changes what is on the air.
            waking = self._clock.next_waking
            until = min(self._ether.step_end(now, to), to if waking is None else max(waking, now + 1))
            receptions = [
                (reception.at, station, reception)
                for station in self._radios
                for reception in self._ether.heard(station, now, until)
            ]
            for at, station, reception in sorted(receptions, key=_by_time_and_station):
                await self._clock.advance(at)
                await self._radios[station].deliver(reception)
            await self._clock.advance(until)
        await self._clock.advance(to)


def _by_time_and_station(entry: tuple[int, str, Reception]) -> tuple[int, str]:
    return entry[:2]


def recorded(rows: Sequence[tuple[float, int]], length_s: float) -> Trace:
    """A Trace of (seconds, dBm) rows."""
    return Trace(tuple(Packet(round(t * 1000), rssi) for t, rssi in rows), round(length_s * 1000))
