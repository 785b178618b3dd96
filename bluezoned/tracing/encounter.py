"""Encounters: one rolling id from its first sighting to silence, summed up by the minute.

Holds the value, its packed minutes and the log of open ones. Never keeps a packet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import Payload
from bluezoned.tracing.proximity import MINUTE, Minute, MinuteSums, join
from bluezoned.tracing.sighting import Sighting

LONGEST = 240 * MINUTE
"""ms. A rolling id is on the air for 10 to 15 min; one that stays for hours is a stranger's fault or a replay, and
is cut so that a minute's offset fits one byte."""

MOST_OPEN = 20_000
"""Open encounters held in memory (below 1 KB each). Five thousand rotating strangers in 20 minutes stay below; a
flood beyond it is counted and dropped rather than killing the beacon. Halved, a stadium is lost; doubled, 512 MB
boards are at risk."""

_MINUTE = struct.Struct("<BBhbb")

MINUTE_SIZE = _MINUTE.size
"""Bytes of a packed minute."""


@dataclass(frozen=True, slots=True)
class Encounter:
    """One rolling id, heard from `start` to `end`."""

    protocol: str
    payload: Payload
    start: int
    """ms UTC of the first sighting."""
    end: int
    """ms UTC of the last."""
    minutes: tuple[Minute, ...]


def pack_minutes(minutes: Sequence[Minute]) -> bytes:
    """6 bytes a minute: offset from the first (minutes), packets (up to 255), mean (1/100 dB), strongest (dBm), and by
    how much `power` lies above the mean (1/5 dB, -25.6 to 25.4: a level scatters by less)."""
    first = minutes[0].at
    return b"".join(
        _MINUTE.pack(
            (m.at - first) // MINUTE,
            min(m.packets, 255),
            round(m.mean * 100),
            m.strongest,
            max(-128, min(127, round((m.power - m.mean) * 5))),
        )
        for m in minutes
    )


def unpack_minutes(packed: bytes, start: int) -> tuple[Minute, ...]:
    """The minutes of an encounter that began at `start` (ms). struct.error when the bytes are no whole number."""
    first = start - start % MINUTE
    return tuple(
        Minute(first + offset * MINUTE, packets, mean / 100, strongest, mean / 100 + above / 5)
        for offset, packets, mean, strongest, above in _MINUTE.iter_unpack(packed)
    )


class _Open:
    """An encounter under way: running sums of the minute under way, the earlier ones packed as the store has them.

    A crowd of five thousand is held in memory: packed, a peer of a quarter of an hour takes 0.6 KB, as running sums of
    every minute it took 3.
    """

    __slots__ = ("changed", "earlier", "end", "minute", "missed", "payload", "protocol", "start", "sums")

    def __init__(self, sighting: Sighting) -> None:
        self.missed = 0
        """What the log had missed at the last sighting, ms."""
        self.protocol = sighting.protocol
        self.payload = sighting.payload
        self.start = self.end = sighting.at
        self.earlier = b""
        self.minute = sighting.at - sighting.at % MINUTE
        self.sums = MinuteSums()
        self.changed = True

    def add(self, sighting: Sighting) -> None:
        minute = sighting.at - sighting.at % MINUTE
        if minute > self.minute:
            self.earlier = pack_minutes(self._minutes())
            self.minute = minute
            self.sums = MinuteSums()
        if minute == self.minute:
            self.sums.add(sighting.rssi)
        else:
            self._add_late(minute, sighting.rssi)
        self.end = max(self.end, sighting.at)
        if self.payload.metadata is None and sighting.payload.metadata is not None:
            self.payload = replace(self.payload, metadata=sighting.payload.metadata)
        self.changed = True

    def _add_late(self, at: int, rssi: int) -> None:
        """A clock that is set back by a second may put a packet into a minute that is packed already."""
        sums = MinuteSums()
        sums.add(rssi)
        late = sums.summary(at)
        minutes = {m.at: m for m in unpack_minutes(self.earlier, self.start)}
        minutes[at] = join(minutes[at], late) if at in minutes else late
        self.earlier = pack_minutes([minutes[m] for m in sorted(minutes)])

    def _minutes(self) -> tuple[Minute, ...]:
        return (*unpack_minutes(self.earlier, self.start), self.sums.summary(self.minute))

    def latest(self) -> tuple[Minute, ...]:
        """The last two."""
        return (*unpack_minutes(self.earlier[-MINUTE_SIZE:], self.start), self.sums.summary(self.minute))

    def freeze(self) -> Encounter:
        return Encounter(self.protocol, self.payload, self.start, self.end, self._minutes())


class EncounterLog:
    """The encounters that are under way.

    Feed it with `hear`; store what `changed`, then `settle`. The order of different ids is irrelevant; of one id,
    sightings must not lie before its first.
    """

    def __init__(self, silence: int) -> None:
        self._silence = silence
        self._open: dict[tuple[str, Opaque], _Open] = {}
        self._ended: list[_Open] = []
        self._missed = 0
        self.dropped = 0
        """Sightings of new ids not taken up because MOST_OPEN were open."""

    def hear(self, sighting: Sighting) -> None:
        key = (sighting.protocol, sighting.payload.rolling_id)
        encounter = self._open.get(key)
        if encounter is not None and self._belongs(encounter, sighting.at):
            encounter.add(sighting)
            encounter.missed = self._missed
            return
        if encounter is None and len(self._open) >= MOST_OPEN:
            self.dropped += 1
            return
        if encounter is not None:
            self._ended.append(encounter)
        self._open[key] = opened = _Open(sighting)
        opened.add(sighting)
        opened.missed = self._missed

    def miss(self, duration: int) -> None:
        """Nothing could be heard for `duration` ms more: that is nobody's absence."""
        self._missed += duration

    def _belongs(self, encounter: _Open, at: int) -> bool:
        return encounter.start <= at <= self._until(encounter) and at < encounter.start + LONGEST

    def _until(self, encounter: _Open) -> int:
        """When it is over (ms), unless it is heard again: so much silence, of time that was listened to."""
        return encounter.end + self._silence + self._missed - encounter.missed

    def changed(self) -> list[Encounter]:
        """Encounters with news since the last `settle`."""
        return [e.freeze() for e in (*self._ended, *self._open.values()) if e.changed]

    def settle(self, at: int) -> None:
        """What `changed` gave is safe in the store: close what has been silent for longer than the limit."""
        self._ended.clear()
        for encounter in self._open.values():
            encounter.changed = False
        self._open = {k: e for k, e in self._open.items() if self._until(e) >= at}

    def forget(self) -> None:
        """As if nothing had been heard yet."""
        self._ended.clear()
        self._open.clear()

    def latest(self, at: int, within: int) -> Iterator[tuple[Minute, ...]]:
        """The last two minutes of each encounter heard in the last `within` ms."""
        return (e.latest() for e in self._open.values() if e.end > at - within)
