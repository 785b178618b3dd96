"""A radio in memory: who hears whom and how loud, as a recording or a path loss says. A double of physics alone.

The world stands still between instants of a ManualClock; nothing is random that was not seeded.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from bluezoned.advertisement import Advertisement, Reception
from bluezoned.clock import ManualClock
from bluezoned.errors import RadioError
from bluezoned.radio.radio import RadioHealth


class Packet(NamedTuple):
    """One advertisement that reaches a receiver."""

    at: int
    """ms."""
    rssi: int
    """dBm."""


class Path(Protocol):
    """What of a sender's packets reaches a receiver, and how loud."""

    def packets(self, start: int, end: int) -> Iterator[Packet]:
        """Those in [start, end) ms since the path was opened, in order."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded series of packets, begun anew as often as needed: its own levels, gaps and times."""

    recorded: tuple[Packet, ...]
    """In order; `at` in ms since the recording began."""
    length: int
    """ms after which it begins anew."""

    def packets(self, start: int, end: int) -> Iterator[Packet]:
        for lap in range(start // self.length, -(-end // self.length)):
            for at, rssi in self.recorded:
                if start <= (moment := lap * self.length + at) < end:
                    yield Packet(moment, rssi)


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

    def heard(self, receiver: str, start: int, end: int) -> list[Reception]:
        """What reaches `receiver` in [start, end) ms if nobody changes what is on the air, in order of time."""
        receptions = [
            Reception(self._on_air[link.sender], packet.rssi, link.start + packet.at)
            for link in self._links[receiver]
            if link.sender in self._on_air and link.start < end and start < link.end
            for packet in link.path.packets(max(start, link.start) - link.start, min(end, link.end) - link.start)
        ]
        return sorted(receptions, key=lambda reception: reception.at)


class EtherRadio:
    """The adapter of one station. Whoever moves the world hands it receptions with `deliver`."""

    def __init__(self, put_on_air: Callable[[Advertisement | None], None]) -> None:
        self._put_on_air = put_on_air
        self._is_open = False
        self._is_advertising = False
        self._handed: asyncio.Queue[Reception] = asyncio.Queue()
        self._asked = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_open = self._is_advertising = False
        self._put_on_air(None)
        self._asked.set()

    async def advertise(self, advertisement: Advertisement) -> None:
        if not self._is_open:
            raise RadioError("the radio is not open")
        advertisement.encode()
        self._is_advertising = True
        self._put_on_air(advertisement)

    async def __aiter__(self) -> AsyncIterator[Reception]:
        while True:
            self._asked.set()
            yield await self._handed.get()

    def health(self) -> RadioHealth:
        return RadioHealth(self._is_open, self._is_advertising, "" if self._is_open else "the radio is off")

    async def deliver(self, reception: Reception) -> None:
        """Hand over one reception; returns when the listener has dealt with it and asks for the next. Lost when nobody
        has opened the radio."""
        if not self._is_open:
            return
        await self._asked.wait()
        self._asked.clear()
        self._handed.put_nowait(reception)
        await self._asked.wait()


async def hear_through(clock: ManualClock, radio: EtherRadio | None, receptions: Iterable[Reception], to: int) -> None:
    """Move `clock` to `to` (ms), handing over each reception at its instant."""
    for reception in receptions:
        await clock.advance(reception.at)
        if radio is not None:
            await radio.deliver(reception)
    await clock.advance(to)


class Desk:
    """Several boxes in one process, on one clock."""

    def __init__(self, ether: Ether, clock: ManualClock) -> None:
        self._ether = ether
        self._clock = clock
        self._radios: dict[str, EtherRadio] = {}

    def radio(self, station: str) -> EtherRadio:
        """A radio for one more station."""
        radio = EtherRadio(lambda advertisement: self._ether.put_on_air(station, advertisement))
        self._radios[station] = radio
        return radio

    async def advance(self, to: int) -> None:
        """Let time pass to `to` (ms): who sleeps wakes, who is in the air is heard."""
        await self._clock.settle()
        while self._clock.now() < to:
            now = self._clock.now()
            waking = self._clock.next_waking
            # Up to the next waking nobody can change what is on the air.
            until = to if waking is None else min(to, max(waking, now + 1))
            receptions = [
                (reception.at, station, reception)
                for station in self._radios
                for reception in self._ether.heard(station, now, until)
            ]
            for at, station, reception in sorted(receptions, key=_by_time_and_station):
                await self._clock.advance(at)
                await self._radios[station].deliver(reception)
            await self._clock.advance(until)


def _by_time_and_station(entry: tuple[int, str, Reception]) -> tuple[int, str]:
    return entry[:2]


def recorded(rows: Sequence[tuple[float, int]], length_s: float) -> Trace:
    """A Trace of (seconds, dBm) rows."""
    return Trace(tuple(Packet(round(t * 1000), rssi) for t, rssi in rows), round(length_s * 1000))
