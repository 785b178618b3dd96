"""What was heard, in memory and without its levels: the columns that matching looks in, by protocol and day.

Some 40 bytes an encounter, where rows of Python objects would take 300: seventy thousand are what a box hears in
fourteen days of crowds.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from typing import NamedTuple

from bluezoned.protocols.protocol import DAY


class Place(NamedTuple):
    """One encounter as matching sees it."""

    row: int
    """The store's number of it."""
    start: int
    end: int
    """ms of the first and of the last sighting."""


class SightedDay:
    """The encounters of one protocol that began on one UTC day, in order of their taking up."""

    def __init__(self, id_size: int) -> None:
        self._id_size = id_size
        self.ids = bytearray()
        self.rows, self.starts, self.ends = array("q"), array("q"), array("q")

    def add(self, rolling_id: bytes, place: Place) -> None:
        self.ids += rolling_id
        self.rows.append(place.row)
        self.starts.append(place.start)
        self.ends.append(place.end)

    def beginnings(self) -> Iterator[int]:
        """The first four bytes of each id, as little-endian numbers."""
        return (number for (number,) in struct.iter_unpack(f"<I{self._id_size - 4}x", self.ids))

    def find(self, rolling_id: bytes) -> Iterator[int]:
        """Positions at which the id stands."""
        at = self.ids.find(rolling_id)
        while at >= 0:
            position, beside = divmod(at, self._id_size)
            if not beside:
                yield position
            at = self.ids.find(rolling_id, at + 1)

    def place(self, position: int) -> Place:
        return Place(self.rows[position], self.starts[position], self.ends[position])

    def __len__(self) -> int:
        return len(self.rows)


class Sighted:
    """The encounters of one protocol by the UTC day on which they began."""

    def __init__(self) -> None:
        self.days: dict[int, SightedDay] = {}

    def add(self, rolling_id: bytes, place: Place) -> None:
        """Ids of one protocol have one size."""
        day = self.days.setdefault(place.start // DAY, SightedDay(len(rolling_id)))
        day.add(rolling_id, place)

    def place(self, rolling_id: bytes, start: int) -> Place | None:
        """The encounter with that id that began at `start` (ms)."""
        day = self.days.get(start // DAY)
        found = (day.place(position) for position in day.find(rolling_id)) if day is not None else ()
        return next((place for place in found if place.start == start), None)

    def holds(self, row: int, day: int) -> bool:
        """Whether an encounter that began on that UTC day has that number."""
        return day in self.days and row in self.days[day].rows

    def extend(self, rolling_id: bytes, place: Place) -> None:
        """The encounter with that id and row goes on until `place.end`."""
        day = self.days[place.start // DAY]
        for position in day.find(rolling_id):
            if day.rows[position] == place.row:
                day.ends[position] = place.end

    def places(self, rolling_id: bytes) -> list[Place]:
        """Where it was heard, in order of the days."""
        return [
            self.days[day].place(position) for day in sorted(self.days) for position in self.days[day].find(rolling_id)
        ]
