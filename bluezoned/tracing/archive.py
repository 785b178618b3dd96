"""The encounters that are kept: in the database as sealed blocks, in memory as the columns that matching looks in.

An encounter's number is its UTC day and its position in that day, so a whole day goes without looking at any. Reading
levels means opening blocks, and the last days read stay at hand.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bluezoned.protocols.protocol import DAY
from bluezoned.tracing import block
from bluezoned.tracing.block import Kept
from bluezoned.tracing.day_keys import DayKeys
from bluezoned.tracing.encounter import Encounter, pack_minutes
from bluezoned.tracing.sealing import DamagedStoreError
from bluezoned.tracing.sighted import Place, Sighted

_A_DAY = 1 << 24
"""Numbers of one day. A flood of MOST_OPEN encounters every five minutes stays below."""

_AT_HAND = 2
"""Days kept open after reading. The crowd about an encounter at midnight is of two days; each takes 1 MB."""

_LONG_OVER = 360_000
"""ms after its last sighting that an encounter is remembered as it was stored, at half a kilobyte each. Five minutes of
silence end it; where some of them were not listened to somebody may go on with it later, and then it is written
whole."""


@dataclass(slots=True)
class _Stored:
    number: int
    kept: Kept


class Archive:
    """The encounters of one open database. Its caller holds the transaction."""

    def __init__(self, db: sqlite3.Connection, keys: DayKeys) -> None:
        self._db = db
        self._keys = keys
        self.load()

    def load(self) -> None:
        """Read anew what there is: at the start, and when a transaction failed."""
        self._sighted: dict[str, Sighted] = {}
        self._next: dict[int, int] = {}
        self._recent: dict[tuple[str, bytes, int], _Stored] = {}
        self._at_hand: dict[int, dict[int, Kept]] = {}
        for (day,) in self._db.execute("SELECT DISTINCT day FROM block ORDER BY day").fetchall():
            self._take_in(day, self._read(day))

    def _take_in(self, day: int, kept: dict[int, Kept]) -> None:
        for position, encounter in kept.items():
            self._add(day * _A_DAY + position, encounter)
        self._next[day] = max(kept, default=-1) + 1

    def _add(self, number: int, kept: Kept) -> None:
        sighted = self._sighted.setdefault(kept.protocol, Sighted())
        sighted.add(kept.rolling_id, Place(number, kept.start, kept.end))

    def put(self, encounters: Iterable[Encounter]) -> None:
        """Insert, or bring up to date by protocol, rolling id and start: a block for each day they began on."""
        entries: dict[int, list[bytes]] = {}
        latest = 0
        for encounter in encounters:
            entry = self._entry(encounter)
            if entry is not None:
                entries.setdefault(encounter.start // DAY, []).append(entry)
                latest = max(latest, encounter.end)
        for day, parts in entries.items():
            self._write(day, b"".join(parts), is_packed=False)
            self._at_hand.pop(day, None)
        if entries:
            over = latest - _LONG_OVER
            self._recent = {key: stored for key, stored in self._recent.items() if stored.kept.end > over}

    def _entry(self, encounter: Encounter) -> bytes | None:
        """What is to be written of it; None when nothing is new."""
        payload = encounter.payload
        kept = Kept(
            encounter.protocol,
            bytes(payload.rolling_id),
            None if payload.metadata is None else bytes(payload.metadata),
            encounter.start,
            encounter.end,
            pack_minutes(encounter.minutes),
        )
        key = (kept.protocol, kept.rolling_id, kept.start)
        stored = self._recent.get(key) or self._stored(kept)
        if stored is None:
            day = kept.start // DAY
            position = self._next.get(day, 0)
            self._next[day] = position + 1
            number = day * _A_DAY + position
            self._recent[key] = _Stored(number, kept)
            self._add(number, kept)
            return block.beginning(position, kept)
        if kept == stored.kept:
            return None
        entry = block.going_on(stored.number % _A_DAY, stored.kept, kept)
        self._sighted[kept.protocol].extend(kept.rolling_id, Place(stored.number, kept.start, kept.end))
        self._recent[key] = _Stored(stored.number, kept)
        return entry

    def _stored(self, kept: Kept) -> _Stored | None:
        """An encounter of before the last start, as if none of its minutes were known."""
        sighted = self._sighted.get(kept.protocol)
        place = sighted.place(kept.rolling_id, kept.start) if sighted is not None else None
        if place is None:
            return None
        return _Stored(place.row, Kept(kept.protocol, kept.rolling_id, None, kept.start, place.end, b""))

    def _write(self, day: int, text: bytes, is_packed: bool) -> None:
        sealed = self._keys.of(day).seal(text, f"block {day}")
        self._db.execute("INSERT INTO block (day, is_packed, sealed) VALUES (?, ?, ?)", (day, is_packed, sealed))

    def _read(self, day: int) -> dict[int, Kept]:
        seal = self._keys.of(day)
        rows = self._db.execute("SELECT is_packed, sealed FROM block WHERE day = ? ORDER BY id", (day,)).fetchall()
        try:
            opened = [(is_packed, seal.open(sealed, f"block {day}")) for is_packed, sealed in rows]
            return block.read(text for packed, data in opened for text in (block.unpack([data]) if packed else (data,)))
        except (struct.error, IndexError, UnicodeDecodeError, zlib.error) as error:
            raise DamagedStoreError("the database is damaged: a block says nothing that can be read") from error

    def day(self, day: int) -> dict[int, Kept]:
        """The encounters that began on a UTC day, by position. Not to be changed."""
        if day not in self._at_hand:
            while len(self._at_hand) >= _AT_HAND:
                self._at_hand.pop(next(iter(self._at_hand)))
            self._at_hand[day] = self._read(day)
        return self._at_hand[day]

    def encounters(self, start: int, end: int) -> list[Encounter]:
        """Those that began in [start, end) ms, in order."""
        days = sorted(day for day in self._next if start // DAY <= day <= (end - 1) // DAY)
        found = [kept for day in days for kept in self.day(day).values() if start <= kept.start < end]
        return [kept.encounter() for kept in sorted(found, key=lambda kept: kept.start)]

    def numbered(self, numbers: Sequence[int]) -> list[Encounter]:
        """Those of the numbers that are still there, in order of time."""
        found = [self.day(number // _A_DAY).get(number % _A_DAY) for number in sorted(numbers)]
        return [kept.encounter() for kept in sorted(filter(None, found), key=lambda kept: kept.start)]

    def held(self, numbers: Iterable[int]) -> list[int]:
        """Those of the numbers that are still there. Opens no block: matches come in no order of days."""
        return [
            number for number in numbers if any(one.holds(number, number // _A_DAY) for one in self._sighted.values())
        ]

    def sighted(self, protocol: str) -> Sighted:
        """What matching looks in."""
        return self._sighted.get(protocol, Sighted())

    def pack(self, before: int) -> None:
        """Write days before the UTC day `before` anew, as few blocks."""
        loose = "SELECT DISTINCT day FROM block WHERE day < ? AND NOT is_packed"
        for (day,) in self._db.execute(loose, (before,)).fetchall():
            self._rewrite(day, self._read(day))

    def _rewrite(self, day: int, kept: dict[int, Kept]) -> None:
        self._db.execute("DELETE FROM block WHERE day = ?", (day,))
        for text in block.pack(kept):
            self._write(day, text, is_packed=True)
        self._at_hand.pop(day, None)

    def erase_since(self, since: int) -> list[int]:
        """Those that went on at or after `since` (ms). Returns their numbers."""
        erased = []
        for day in [day for day in self._next if day >= since // DAY - 1]:
            kept = self._read(day)
            gone = [position for position, encounter in kept.items() if encounter.end >= since]
            if gone:
                erased += [day * _A_DAY + position for position in gone]
                self._rewrite(day, {p: encounter for p, encounter in kept.items() if p not in gone})
        self._load_after_erasing()
        return erased

    def drop(self, before: int) -> None:
        """All that began on UTC days before `before`."""
        self._db.execute("DELETE FROM block WHERE day < ?", (before,))
        self._db.execute("DELETE FROM match WHERE encounter < ?", (before * _A_DAY,))
        for day in [day for day in self._next if day < before]:
            del self._next[day]
            self._at_hand.pop(day, None)
            for sighted in self._sighted.values():
                sighted.days.pop(day, None)
        self._recent = {key: stored for key, stored in self._recent.items() if stored.number >= before * _A_DAY}

    def erase(self) -> None:
        """All."""
        self._db.execute("DELETE FROM block")
        self._db.execute("DELETE FROM match")
        self._load_after_erasing()

    def _load_after_erasing(self) -> None:
        """No number is given twice while this runs: a batch that is being compared may still name an erased one."""
        given = self._next
        self.load()
        self._next = {day: max(given.get(day, 0), self._next.get(day, 0)) for day in {*given, *self._next}}
