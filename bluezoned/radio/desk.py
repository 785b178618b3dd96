"""The ether and its clock for several processes on one machine: whole daemons, started and killed as in life.

The desk owns the time. It asks each process that has joined when it next wakes, moves to the earliest of these
instants, hands each what its radio hears on the way, and goes on when all rest again. A process that dies is gone at
once; one that joins later finds the present time. One JSON object a line on a unix stream socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from bluezoned import advertisement as words
from bluezoned.advertisement import Advertisement, Reception
from bluezoned.clock import ManualClock
from bluezoned.errors import RadioError
from bluezoned.radio.ether import Ether, EtherRadio, hear_through

LONGEST_LINE = 1 << 22
"""Bytes. A minute in a crowd of a thousand is about a megabyte."""

GREETING_S = 10.0
"""Seconds for the desk to tell the time to who joins."""


class _Join(msgspec.Struct):
    """A process comes to the desk; `station` is empty for one that has a clock and no radio."""

    station: str


class _Move(msgspec.Struct):
    """Go to `to` (ms), hearing on the way."""

    to: int
    heard: list[tuple[int, int, int]] = []
    """(ms, dBm, which of `said`)."""
    said: list[bytes] = []


class _Rest(msgspec.Struct):
    """All my tasks rest until `until` (ms; None: nobody sleeps), and this is on the air."""

    until: int | None
    on_air: bytes | None


class _Guest:
    """One joined process, as the desk knows it."""

    def __init__(self, station: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.station = station
        self.until: int | None = None
        self.at = 0
        self.is_gone = False
        self._reader = reader
        self._writer = writer

    async def move(self, to: int, receptions: list[Reception]) -> Advertisement | None:
        """Move the guest and wait until it rests; what it has on the air then. Marks it gone when it dies."""
        said: dict[bytes, int] = {}
        heard = [(r.at, r.rssi, said.setdefault(r.advertisement.encode(), len(said))) for r in receptions]
        try:
            self._writer.write(msgspec.json.encode(_Move(to, heard, list(said))) + b"\n")
            await self._writer.drain()
            rest = msgspec.json.decode(await self._reader.readuntil(b"\n"), type=_Rest)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, msgspec.DecodeError):
            self.is_gone = True
            return None
        self.at, self.until = to, rest.until
        return None if rest.on_air is None else words.decode(rest.on_air)


class Desk:
    """Serves an ether and its time at a socket. Owned by whoever decides when time passes."""

    def __init__(self, ether: Ether, now: int, path: Path) -> None:
        self.now = now
        """ms UTC."""
        self._ether = ether
        self._path = path
        self._guests: list[_Guest] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._welcome, self._path, limit=LONGEST_LINE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for guest in self._guests:
            guest._writer.close()
        self._path.unlink(missing_ok=True)

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, msgspec.DecodeError):
            joined = msgspec.json.decode(await reader.readuntil(b"\n"), type=_Join)
            writer.write(msgspec.json.encode(_Move(self.now)) + b"\n")
            await writer.drain()
            guest = _Guest(joined.station, reader, writer)
            # A station that was killed and came back speaks for itself again.
            self._guests = [g for g in self._guests if not g.station or g.station != joined.station]
            self._guests.append(guest)

    async def settle(self) -> None:
        """Wait until every guest rests at the present instant, and take note of what each has on the air."""
        await asyncio.gather(*(self._move(guest, self.now) for guest in list(self._guests)))

    async def advance(self, to: int) -> None:
        """Let time pass to `to` (ms)."""
        await self.settle()
        while self.now < to:
            wakings = [g.until for g in self._guests if g.until is not None]
            until = min([to, *(max(waking, self.now + 1) for waking in wakings)])
            moved = [
                g for g in self._guests if until == to or g.until is None or g.until <= until or self._hears(g, until)
            ]
            start, self.now = self.now, until
            await asyncio.gather(*(self._move(guest, start) for guest in moved))

    def _hears(self, guest: _Guest, until: int) -> bool:
        return bool(guest.station) and bool(self._ether.heard(guest.station, self.now, until))

    async def _move(self, guest: _Guest, start: int) -> None:
        receptions = self._ether.heard(guest.station, start, self.now) if guest.station else []
        advertisement = await guest.move(self.now, receptions)
        if guest.station:
            self._ether.put_on_air(guest.station, advertisement)
        if guest.is_gone:
            self._guests = [g for g in self._guests if g is not guest]


# the other side


@contextlib.asynccontextmanager
async def join(path: Path, station: str) -> AsyncIterator[tuple[ManualClock, EtherRadio]]:
    """A clock and a radio at the desk, for one daemon. RadioError when there is no desk at `path`. When the desk is
    gone, time stands still."""
    on_air: list[Advertisement | None] = [None]

    def put_on_air(advertisement: Advertisement | None) -> None:
        on_air[0] = advertisement

    radio = EtherRadio(put_on_air)
    async with _joined(path, station, radio, on_air) as clock:
        yield clock, radio


@contextlib.asynccontextmanager
async def join_clock(path: Path) -> AsyncIterator[ManualClock]:
    """The desk's clock, for a server. RadioError when there is no desk at `path`."""
    async with _joined(path, "", None, [None]) as clock:
        yield clock


def now(path: Path) -> int:
    """The time on the desk (ms), for a command that lives for a moment. RadioError when there is no desk."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(GREETING_S)
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(_Join("")) + b"\n")
            line = connection.makefile("rb").readline(LONGEST_LINE)
            return msgspec.json.decode(line, type=_Move).to
    except (OSError, msgspec.DecodeError) as error:
        raise RadioError(f"there is no desk at {path}") from error


@contextlib.asynccontextmanager
async def _joined(
    path: Path, station: str, radio: EtherRadio | None, on_air: list[Advertisement | None]
) -> AsyncIterator[ManualClock]:
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_LINE)
        writer.write(msgspec.json.encode(_Join(station)) + b"\n")
        greeting = msgspec.json.decode(await asyncio.wait_for(reader.readuntil(b"\n"), GREETING_S), type=_Move)
    except (OSError, TimeoutError, asyncio.IncompleteReadError, msgspec.DecodeError) as error:
        raise RadioError(f"there is no desk at {path}") from error
    clock = ManualClock(greeting.to)
    following = asyncio.create_task(_follow(reader, writer, clock, radio, on_air))
    try:
        yield clock
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        writer.close()


async def _follow(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    clock: ManualClock,
    radio: EtherRadio | None,
    on_air: list[Advertisement | None],
) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            move = msgspec.json.decode(await reader.readuntil(b"\n"), type=_Move)
            said = [words.decode(data) for data in move.said]
            receptions = [Reception(said[which], rssi, at) for at, rssi, which in move.heard]
            await clock.settle()
            await hear_through(clock, radio, receptions, move.to)
            present = on_air[0]
            rest = _Rest(clock.next_waking, None if present is None else present.encode())
            writer.write(msgspec.json.encode(rest) + b"\n")
            await writer.drain()
