"""Google and Apple's Exposure Notification (GAEN) on the air.

Source: Exposure Notification Bluetooth Specification v1.2 and Cryptography Specification v1.2.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bluezoned.advertisement import Advertisement
from bluezoned.opaque import Opaque
from bluezoned.protocols import block_cipher, metadata, window
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
from bluezoned.protocols.short_hash import hkdf16

SERVICE = 0xFD6F
"""16-bit UUID of the Exposure Notification service."""

ROLLING_ID_SIZE = 16

_IDENTIFIER_LABEL = b"EN-RPIK"
_PADDED_LABEL = b"EN-RPI" + bytes(6)


class Gaen:
    """The protocol. A daily key is a Temporary Exposure Key; it may begin or end within the day (rolling period)."""

    name = "gaen"
    service = SERVICE
    rotation = 600_000
    """ms: one ENIntervalNumber."""
    key_size = 16
    tolerance = 7_200_000
    """ms: two hours, as the Cryptography Specification matches. Generous: a recorded identifier may be replayed for
    two hours after its interval and still count."""

    def daily_key(self, start: int, end: int, previous: DailyKey | None, random: Random) -> DailyKey:
        """16 fresh bytes; see TracingProtocol. ValueError when the window is not whole intervals of one UTC day."""
        window.require_use(start, end, self.rotation)
        return DailyKey(Opaque(random(self.key_size)), start, end)

    def advertisement(self, key: DailyKey, at: int, tx_power: int) -> Advertisement:
        """28 bytes: UUID list, service data."""
        window.require_within(key, at)
        interval = at // self.rotation
        rolling_id = _rolling_ids(key.secret, range(interval, interval + 1))[0]
        sealed = metadata.seal(_metadata_key(key.secret), rolling_id, tx_power)
        return Advertisement(frozenset((SERVICE,)), {SERVICE: Opaque(rolling_id + sealed)})

    def read(self, advertisement: Advertisement) -> Payload | None:
        """Service data of 20 bytes: the UUID is GAEN's own and stands in it, so the list is not asked for too."""
        body = advertisement.service_data.get(SERVICE)
        if body is None or len(body) != ROLLING_ID_SIZE + metadata.SIZE:
            return None
        return Payload(Opaque(body[:ROLLING_ID_SIZE]), Opaque(body[ROLLING_ID_SIZE:]))

    def publish(self, key: DailyKey, until: int) -> DiagnosisKey:
        """The window is cut, the secret is not: whoever computes ids past the cut finds them, so the device takes a
        fresh key from the cut on."""
        start, end = window.published(key, until, self.rotation)
        return DiagnosisKey(self.name, key.secret, start, end)

    def expand(self, key: DiagnosisKey) -> list[RollingWindow]:
        """One window for each interval, at most 144."""
        self._require(key)
        starts = range(key.start, key.end, self.rotation)
        return [
            RollingWindow(rolling_id, start, start + self.rotation)
            for rolling_id, start in zip(_rolling_ids(key.secret, _intervals(key)), starts, strict=True)
        ]

    def beginnings(self, days: int, midnight: int, starts: Sequence[int]) -> Beginnings:
        """As asked for. A key has one secret, on whatever day of its window."""
        blocks = b"".join(_padded(start // self.rotation) for start in starts)
        encrypt = block_cipher.encrypting(blocks)
        unpack = struct.Struct("<" + "I12x" * len(starts)).unpack_from

        def beginnings(secret: bytes) -> tuple[int, ...]:
            return unpack(encrypt(hkdf16(secret, _IDENTIFIER_LABEL)))

        return Beginnings(beginnings, Recipe(Derivation.HKDF_AES, _IDENTIFIER_LABEL, 0, len(starts), blocks))

    def tx_power(self, key: DiagnosisKey, payload: Payload) -> int | None:
        """None also when the rolling id is not one of the key's."""
        self._require(key)
        if payload.metadata is None or payload.rolling_id not in _rolling_ids(key.secret, _intervals(key)):
            return None
        return metadata.tx_power(_metadata_key(key.secret), payload.rolling_id, payload.metadata)

    def _require(self, key: DiagnosisKey) -> None:
        window.require_published(key, self.name, self.key_size, DAY)


def _intervals(key: DiagnosisKey) -> range:
    return range(key.start // Gaen.rotation, key.end // Gaen.rotation)


def _padded(interval: int) -> bytes:
    return _PADDED_LABEL + interval.to_bytes(4, "little")


def _rolling_ids(secret: bytes, intervals: range) -> list[bytes]:
    """16 bytes each: the AES-128 block of "EN-RPI", six zero bytes and the interval, little-endian, under the Rolling
    Proximity Identifier Key. All in one update: OpenSSL's call costs more than its blocks."""
    blocks = b"".join(map(_padded, intervals))
    cipher = Cipher(algorithms.AES128(metadata.subkey(secret, _IDENTIFIER_LABEL)), modes.ECB())
    encrypted = cipher.encryptor().update(blocks)
    return [encrypted[i : i + ROLLING_ID_SIZE] for i in range(0, len(encrypted), ROLLING_ID_SIZE)]


def _metadata_key(secret: bytes) -> bytes:
    return metadata.subkey(secret, b"EN-AEMK")
