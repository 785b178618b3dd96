"""Bluezone, as the published apps spoke it from v2.0.3 on, with sealed metadata beside it that phones ignore.

Source: the apps' behaviour, checked against field captures (tests/vectors/README.md). Specified in full, with what
is mended and what is kept, in docs/protocols/bluezone.md.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from bluezoned.advertisement import Advertisement
from bluezoned.opaque import Opaque
from bluezoned.protocols import key_chain, metadata, window
from bluezoned.protocols.protocol import (
    DAY,
    Beginnings,
    DailyKey,
    Derivation,
    DiagnosisKey,
    Payload,
    Random,
    Recipe,
    RollingWindow,
)
from bluezoned.protocols.short_hash import sha256

COMPANY = 0x22B5
"""Company id of the manufacturer data, 8885. Not assigned by the Bluetooth SIG: Bluezone took it."""

SERVICE = 0x4E56
"""16-bit UUID that says Bluezone (little-endian on the air: "VN") and, with service data, our metadata."""

ROLLING_ID_SIZE = 12

_SUBKEY_LABEL = b"bluzonesubkey"  # that spelling, in every published app
_METADATA_LABEL = b"bluezoned-metadata"
_COUNTER_PADDING = bytes(16 - ROLLING_ID_SIZE)


class KeySchedule(Enum):
    """Where the key of the next day comes from."""

    INDEPENDENT = "independent"
    """Fresh random bytes each day: a published key tells nothing about another day."""
    CHAINED = "chained"
    """The hash of the day before's, as in the published apps: one published key tells all later days."""


@dataclass(frozen=True, slots=True)
class Bluezone:
    """The protocol, for both key schedules: on the air they do not differ."""

    key_schedule: KeySchedule = KeySchedule.INDEPENDENT
    slots_per_day: int = 96
    """Rolling ids a day, `MaxNumberSubKeyPerDay` of the apps' remote configuration; 96 is all that was ever seen."""

    name: ClassVar[str] = "bluezone"
    service: ClassVar[int] = SERVICE
    key_size: ClassVar[int] = key_chain.KEY_SIZE

    def __post_init__(self) -> None:
        # A rotation shorter than the grid could be added to a window that is widened to it (window.published).
        if DAY % self.slots_per_day or self.rotation < window.GRID:
            raise ValueError("slots_per_day must divide a day into rotations of ten minutes or more")

    @property
    def rotation(self) -> int:
        """ms; 900 000 with 96 slots."""
        return DAY // self.slots_per_day

    @property
    def tolerance(self) -> int:
        """One rotation, ms. The published Android app changes its id up to 60 s late (150 s before v3.0.4) and
        clocks differ; it matched strictly and lost those sightings. The cost: a recorded id may be replayed until
        15 min after its rotation, instead of until its end, and still count."""
        return self.rotation

    def daily_key(self, start: int, end: int, previous: DailyKey | None, random: Random) -> DailyKey:
        """32 bytes; see TracingProtocol. ValueError when the window is not whole rotations of one UTC day."""
        window.require_use(start, end, self.rotation)
        if self.key_schedule is KeySchedule.CHAINED:
            return DailyKey(key_chain.successor(previous, start, random), start, end)
        return DailyKey(Opaque(random(key_chain.KEY_SIZE)), start, end)

    def advertisement(self, key: DailyKey, at: int, tx_power: int) -> Advertisement:
        """28 bytes: manufacturer data, UUID list, service data."""
        window.require_within(key, at)
        slot = at % DAY // self.rotation
        rolling_id = _rolling_ids(key.secret, slot + 1)[slot]
        sealed = metadata.seal(_metadata_key(key.secret), rolling_id + _COUNTER_PADDING, tx_power)
        return Advertisement(frozenset((SERVICE,)), {SERVICE: sealed}, {COMPANY: Opaque(rolling_id)})

    def read(self, advertisement: Advertisement) -> Payload | None:
        """Company, size and UUID must all agree, since neither number is Bluezone's own. Service data of another size
        is somebody else's: the rolling id counts without it."""
        rolling_id = advertisement.manufacturer_data.get(COMPANY)
        if rolling_id is None or len(rolling_id) != ROLLING_ID_SIZE or SERVICE not in advertisement.service_uuids:
            return None
        sealed = advertisement.service_data.get(SERVICE)
        if sealed is None or len(sealed) != metadata.SIZE:
            return Payload(Opaque(rolling_id), None)
        return Payload(Opaque(rolling_id), Opaque(sealed))

    def publish(self, key: DailyKey, until: int) -> DiagnosisKey:
        """The window is cut, the secret is not: whoever computes ids past the cut finds them, so the device takes a
        fresh key from the cut on."""
        start, end = window.published(key, until, self.rotation)
        return DiagnosisKey(self.name, key.secret, start, end)

    def expand(self, key: DiagnosisKey) -> list[RollingWindow]:
        """Rotations wholly within the key's window. A window of several days, as in the published apps' F0 records,
        follows the chain from `secret`, the key of its first day."""
        self._require(key)
        windows = []
        for midnight, secret in key_chain.days(key):
            starts = range(midnight, midnight + DAY, self.rotation)
            windows += [
                RollingWindow(rolling_id, start, start + self.rotation)
                for rolling_id, start in zip(_rolling_ids(secret, self.slots_per_day), starts, strict=True)
                if key.start <= start and start + self.rotation <= key.end
            ]
        return windows

    def beginnings(self, days: int, midnight: int, starts: Sequence[int]) -> Beginnings:
        """Those up to the last rotation asked for: the chain cannot be entered later."""
        count = 1 + (starts[-1] - midnight) // self.rotation
        # Every fourth byte of a link: the first four are the id's own first four (see _rolling_ids).
        unpack = struct.Struct("<" + "I4x" * count).unpack

        def beginnings(secret: bytes) -> tuple[int, ...]:
            return unpack(b"".join(_links(key_chain.advance(secret, days), count))[::4])

        return Beginnings(beginnings, Recipe(Derivation.CHAIN, _SUBKEY_LABEL, days, count))

    def tx_power(self, key: DiagnosisKey, payload: Payload) -> int | None:
        """None also when the rolling id is not one of the key's."""
        self._require(key)
        if payload.metadata is None:
            return None
        for _, secret in key_chain.days(key):
            if payload.rolling_id in _rolling_ids(secret, self.slots_per_day):
                initial_counter = payload.rolling_id + _COUNTER_PADDING
                return metadata.tx_power(_metadata_key(secret), initial_counter, payload.metadata)
        return None

    def _require(self, key: DiagnosisKey) -> None:
        window.require_published(key, self.name, self.key_size, window.LONGEST_CHAIN)


def _rolling_ids(secret: bytes, count: int) -> list[bytes]:
    """The first `count` rolling ids of the day whose key is `secret`: 12 of the 32 bytes of each link of a chain of
    hashes, every fourth of the first half and every second of the other. The 20 that stay hidden keep a listener
    from stepping the chain."""
    return [link[:16:4] + link[16::2] for link in _links(secret, count)]


def _links(secret: bytes, count: int) -> list[bytes]:
    link = sha256(secret + _SUBKEY_LABEL).digest()
    links = [link]
    for _ in range(count - 1):
        link = sha256(link).digest()
        links.append(link)
    return links


def _metadata_key(secret: bytes) -> bytes:
    return metadata.subkey(secret, _METADATA_LABEL)
