"""What one flush has to say, in bytes: encounters that began, and how others went on.

A flush of a minute is some hundred bytes where rows rewritten in place would be many times that, and an SD card wears
by what is written. The blocks of a day, read in their order, give its encounters; a day that is over is written anew as
few large ones. Knows no database and no key.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import Payload
from bluezoned.tracing.encounter import MINUTE_SIZE, Encounter, unpack_minutes

_ENTRY = struct.Struct("<IBBIB")
"""Position in the day, flags, minutes that stay as they were, end (ms after the start), minutes that follow."""
_BEGINNING = struct.Struct("<qBB")
"""Start (ms), sizes of the protocol's name and of the rolling id, which follow."""
_BEGINS, _HAS_METADATA = 1, 2


@dataclass(slots=True)
class Kept:
    """An encounter as it is kept, its minutes packed."""

    protocol: str
    rolling_id: bytes
    metadata: bytes | None
    start: int
    """ms."""
    end: int
    """ms."""
    minutes: bytes

    def encounter(self) -> Encounter:
        metadata = None if self.metadata is None else Opaque(self.metadata)
        payload = Payload(Opaque(self.rolling_id), metadata)
        return Encounter(self.protocol, payload, self.start, self.end, unpack_minutes(self.minutes, self.start))


def beginning(position: int, kept: Kept) -> bytes:
    """The entry of a whole encounter, the `position`th of its day."""
    name = kept.protocol.encode()
    flags = _BEGINS | (0 if kept.metadata is None else _HAS_METADATA)
    return b"".join(
        (
            _ENTRY.pack(position, flags, 0, kept.end - kept.start, len(kept.minutes) // MINUTE_SIZE),
            _BEGINNING.pack(kept.start, len(name), len(kept.rolling_id)),
            name,
            kept.rolling_id,
            b"" if kept.metadata is None else bytes((len(kept.metadata),)) + kept.metadata,
            kept.minutes,
        )
    )


def going_on(position: int, before: Kept, now: Kept) -> bytes:
    """The entry of what is new in an encounter: the minutes from the first that differs on, its end, its metadata where
    there was none."""
    same = 0
    while before.minutes[same : same + MINUTE_SIZE] == now.minutes[same : same + MINUTE_SIZE] != b"":
        same += MINUTE_SIZE
    news = now.minutes[same:]
    metadata = now.metadata if now.metadata is not None and now.metadata != before.metadata else None
    return b"".join(
        (
            _ENTRY.pack(
                position,
                0 if metadata is None else _HAS_METADATA,
                same // MINUTE_SIZE,
                now.end - now.start,
                len(news) // MINUTE_SIZE,
            ),
            b"" if metadata is None else bytes((len(metadata),)) + metadata,
            news,
        )
    )


def read(blocks: Iterable[bytes]) -> dict[int, Kept]:
    """The encounters of one day by their position, from its blocks in order. What went on of an encounter that is not
    there was erased with it. struct.error or IndexError for bytes that are none."""
    day: dict[int, Kept] = {}
    for data in blocks:
        for position, flags, same, length, beginning, metadata, minutes in _entries(data):
            if flags & _BEGINS:
                start, protocol, rolling_id = beginning
                day[position] = Kept(protocol, rolling_id, metadata, start, start + length, minutes)
            elif (kept := day.get(position)) is not None:
                kept.minutes = kept.minutes[: same * MINUTE_SIZE] + minutes
                kept.end = kept.start + length
                if metadata is not None:
                    kept.metadata = metadata
    return day


_Beginning = tuple[int, str, bytes]
_NOTHING: _Beginning = (0, "", b"")


def _entries(data: bytes) -> Iterator[tuple[int, int, int, int, _Beginning, bytes | None, bytes]]:
    at, names = 0, dict[bytes, str]()
    while at < len(data):
        position, flags, same, length, count = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        beginning, metadata = _NOTHING, None
        if flags & _BEGINS:
            start, name_size, id_size = _BEGINNING.unpack_from(data, at)
            at += _BEGINNING.size
            name = data[at : at + name_size]
            at += name_size
            beginning = (start, names.setdefault(name, name.decode()), data[at : at + id_size])
            at += id_size
        if flags & _HAS_METADATA:
            metadata = data[at + 1 : at + 1 + data[at]]
            at += 1 + data[at]
        yield position, flags, same, length, beginning, metadata, data[at : at + count * MINUTE_SIZE]
        at += count * MINUTE_SIZE


A_BLOCK = 512
"""Encounters in a block of a day that is over: some 30 KB. Smaller ones cost more in headers, larger ones more memory
while they are packed."""


def pack(day: dict[int, Kept]) -> Iterator[bytes]:
    """The whole encounters of a day that is over, as few blocks, deflated."""
    positions = sorted(day)
    for first in range(0, len(positions), A_BLOCK):
        yield zlib.compress(b"".join(beginning(p, day[p]) for p in positions[first : first + A_BLOCK]), 6)


def unpack(blocks: Sequence[bytes]) -> Iterator[bytes]:
    """The reverse of `pack`, to be given to `read`."""
    return map(zlib.decompress, blocks)
