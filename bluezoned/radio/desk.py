"""The ether and its clock for several processes on one machine: whole daemons, started and killed as in life.

The desk owns the time. Each process that has joined says when it next wakes and what it has on the air; the desk moves
to the earliest instant at which that can change for somebody who listens, hands each what its radio hears on the way,
and goes on when all rest again. Where nobody can hear anybody, each walks through its own wakings alone. A process that
dies is gone at once; one that joins later finds the present time. One JSON object a line on a unix stream socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable
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
"""Bytes. A minute in a crowd of a thousand is about a megabyte and a half."""

GREETING_S = 10.0
"""Seconds for the desk to tell the time to who joins."""

_GONE = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, msgspec.DecodeError)
"""What it looks like when the other side has died, or speaks another language."""


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
        self.at: int | None = None
        """Until when it has lived, ms; None until it was first asked."""
        self.until: int | None = None
        """When it next wakes, ms."""
        self.on_air: Advertisement | None = None
        self._reader = reader
        self._writer = writer

    @property
    def is_gone(self) -> bool:
        return self._reader.at_eof() or self._writer.is_closing()

    async def move(self, to: int, receptions: Iterable[Reception]) -> None:
        """Move the guest and wait until it rests."""
        said: dict[bytes, int] = {}
        heard = [(r.at, r.rssi, said.setdefault(r.advertisement.encode(), len(said))) for r in receptions]
        try:
            self._writer.write(msgspec.json.encode(_Move(to, heard, list(said))) + b"\n")
            await self._writer.drain()
            rest = msgspec.json.decode(await self._reader.readuntil(b"\n"), type=_Rest)
        except _GONE:
            self.dismiss()
            return
        self.at, self.until = to, rest.until
        self.on_air = None if rest.on_air is None else words.decode(rest.on_air)

    def is_due(self, at: int) -> bool:
        return self.until is not None and self.until <= at

    def dismiss(self) -> None:
        self._writer.close()


class Desk:
    """Serves an ether and its time at a socket. Owned by whoever decides when time passes.

    It waits for its guests without end: a limit that suits a Pi with a slow card would help nobody. One that is
    stopped (not killed) stops the time.
    """

    def __init__(self, ether: Ether, now: int, path: Path) -> None:
        self.now = now
        """ms UTC."""
        self._ether = ether
        self._path = path
        self._guests: list[_Guest] = []
        self._connections: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._welcome, self._path, limit=LONGEST_LINE)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*map(_close, self._connections))
        self._path.unlink(missing_ok=True)

    async def settle(self) -> None:
        """Wait until every guest rests at the present instant, and take note of what each has on the air."""
        await self._move(self._guests, self.now)

    async def advance(self, to: int) -> None:
        """Let time pass to `to` (ms). ValueError when that is in the past."""
        if to < self.now:
            raise ValueError("a clock does not run backwards")
        await self.settle()
        while self.now < to:
            # One that joined on the way may have something for this very instant; one that died has nothing any more.
            await self._move([guest for guest in self._guests if guest.at is None], self.now)
            senders = self._ether.senders(self.now)
            wakings = [g.until for g in self._guests if g.station in senders and g.until is not None]
            end = self._ether.step_end(self.now, to)
            until = min([end, *(max(waking, self.now + 1) for waking in wakings)])
            start, self.now = self.now, until
            # Who sleeps and hears nothing may lag behind while others meet, and comes up with them at the step's end.
            everybody = until == end
            moved = [g for g in self._guests if everybody or g.is_due(until) or self._hears(g, start)]
            await self._move(moved, start)

    def _hears(self, guest: _Guest, start: int) -> bool:
        return bool(self._ether.heard(guest.station, start, self.now))

    async def _move(self, guests: Iterable[_Guest], start: int) -> None:
        """Bring guests to the present, hearing from `start` on, and the ether up to what they have on the air."""
        moved = list(guests)
        await asyncio.gather(*(g.move(self.now, self._ether.heard(g.station, start, self.now)) for g in moved))
        for guest in self._guests:
            if guest.is_gone:
                guest.dismiss()
        self._guests = [guest for guest in self._guests if not guest.is_gone]
        present = {guest.station: guest.on_air for guest in self._guests}
        for station in present.keys() | {guest.station for guest in moved}:
            self._ether.put_on_air(station, present.get(station))

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections = {known for known in self._connections if not known.is_closing()} | {writer}
        try:
            joined = msgspec.json.decode(await reader.readuntil(b"\n"), type=_Join)
            writer.write(msgspec.json.encode(_Move(self.now)) + b"\n")
            await writer.drain()
        except _GONE:
            writer.close()
            return
        for guest in self._guests:
            if guest.station and guest.station == joined.station:
                guest.dismiss()  # a station that was killed and came back speaks for itself again
        self._guests.append(_Guest(joined.station, reader, writer))


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


# the other side


@contextlib.asynccontextmanager
async def join(path: Path, station: str) -> AsyncIterator[tuple[ManualClock, EtherRadio]]:
    """A clock and a radio at the desk, for one daemon. RadioError when there is no desk at `path`. When the desk is
    gone, time stands still."""
    async with _joined(path, station) as (clock, radio):
        yield clock, radio


@contextlib.asynccontextmanager
async def join_clock(path: Path) -> AsyncIterator[ManualClock]:
    """The desk's clock, for a server. RadioError when there is no desk at `path`. When the desk is gone, time stands
    still."""
    async with _joined(path, "") as (clock, _):
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
async def _joined(path: Path, station: str) -> AsyncIterator[tuple[ManualClock, EtherRadio]]:
    reader, writer, present = await _greet(path, station)
    clock = ManualClock(present)
    radio = EtherRadio(clock)
    following = asyncio.create_task(_follow(reader, writer, clock, radio))
    try:
        yield clock, radio
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following
        await _close(writer)


async def _greet(path: Path, station: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, int]:
    """A connection to the desk and the time there (ms)."""
    writer = None
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=LONGEST_LINE)
        writer.write(msgspec.json.encode(_Join(station)) + b"\n")
        async with asyncio.timeout(GREETING_S):
            line = await reader.readuntil(b"\n")
        return reader, writer, msgspec.json.decode(line, type=_Move).to
    except (TimeoutError, *_GONE) as error:
        if writer is not None:
            await _close(writer)
        raise RadioError(f"there is no desk at {path}") from error


async def _follow(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, clock: ManualClock, radio: EtherRadio
) -> None:
    """Go with the desk until it ends."""
    try:
        while True:
            move = msgspec.json.decode(await reader.readuntil(b"\n"), type=_Move)
            said = [words.decode(data) for data in move.said]
            await clock.settle()
            await hear_through(clock, radio, (Reception(said[n], rssi, at) for at, rssi, n in move.heard), move.to)
            on_air = None if radio.on_air is None else radio.on_air.encode()
            writer.write(msgspec.json.encode(_Rest(clock.next_waking, on_air)) + b"\n")
            await writer.drain()
    except _GONE:
        radio.lose("the desk is gone, and its time stands still")
    finally:
        # Whatever ended this, the desk must not wait for us.
        writer.close()
