"""DP-3T, low-cost design: a chain of daily keys, the ids of each day broadcast in a secret order.

Source: DP-3T white paper (25 May 2020), low-cost design, and the reference implementation's `lowcost.py`; on the air,
the project's own SDK for Android before it moved to GAEN.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Iterator, Sequence

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bluezoned.advertisement import Advertisement
from bluezoned.opaque import Opaque
from bluezoned.protocols import block_cipher, key_chain, window
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

SERVICE = 0xFD68
"""16-bit UUID that the Bluetooth SIG assigned to Ubique Innovation AG, used by the DP-3T SDKs (`BleServer`)."""

ROLLING_ID_SIZE = 16
EPOCHS_PER_DAY = 96
ORDER_SIZE = 16
"""Bytes of `DailyKey.order`."""

_BROADCAST_LABEL = b"broadcast key"
_FIRST_COUNTER = bytes(16)


class Dp3t:
    """The protocol. Nobody but the sender knows which id was on the air when; so a published key covers whole days."""

    name = "dp3t"
    service = SERVICE
    rotation = DAY // EPOCHS_PER_DAY
    """ms: 900 000."""
    key_size = key_chain.KEY_SIZE
    tolerance = rotation
    """ms. Late rotations and clocks that differ, at midnight only: within the day any instant counts. A recorded id
    may be replayed all day and still count; the order's secrecy costs that."""

    def daily_key(self, start: int, end: int, previous: DailyKey | None, random: Random) -> DailyKey:
        """32 bytes and a 16-byte order; see TracingProtocol. ValueError when the window is not whole rotations of one
        UTC day. A key that continues within the same day keeps its order, or an id would come twice."""
        window.require_use(start, end, self.rotation)
        secret = key_chain.successor(previous, start, random)
        if previous is not None and previous.start // DAY == start // DAY:
            return DailyKey(secret, start, end, previous.order)
        return DailyKey(secret, start, end, Opaque(random(ORDER_SIZE)))

    def advertisement(self, key: DailyKey, at: int, tx_power: int) -> Advertisement:
        """24 bytes: UUID list, service data. `tx_power` has no place in it."""
        window.require_within(key, at)
        epoch = _shuffled(key.order)[at % DAY // self.rotation]
        return Advertisement(frozenset((SERVICE,)), {SERVICE: Opaque(_rolling_ids(key.secret)[epoch])})

    def read(self, advertisement: Advertisement) -> Payload | None:
        """Service data of 16 bytes; the UUID stands in it, so the list is not asked for too."""
        body = advertisement.service_data.get(SERVICE)
        if body is None or len(body) != ROLLING_ID_SIZE:
            return None
        return Payload(Opaque(body), None)

    def publish(self, key: DailyKey, until: int) -> DiagnosisKey:
        """The whole UTC day, wherever `until` falls in it: its later ids are computable and in no known order. The
        device takes a fresh chain from the next rotation on."""
        window.published(key, until, self.rotation)
        midnight = key.start - key.start % DAY
        return DiagnosisKey(self.name, key.secret, midnight, midnight + DAY)

    def expand(self, key: DiagnosisKey) -> list[RollingWindow]:
        """96 ids for each UTC day that the key's window touches, each with the whole day as its window. A window of
        several days follows the chain, as DP-3T publishes (SK_t, t)."""
        window.require_published(key, self.name, self.key_size, window.LONGEST_CHAIN)
        return [
            RollingWindow(rolling_id, midnight, midnight + DAY)
            for midnight, secret in key_chain.days(key)
            for rolling_id in _rolling_ids(secret)
        ]

    def beginnings(self, days: int, midnight: int, starts: Sequence[int]) -> Beginnings:
        """All of the day's: nobody but the sender knows their order. Counter mode over zeros is the block cipher over
        the counters."""
        unpack = struct.Struct("<" + "I12x" * EPOCHS_PER_DAY).unpack_from
        blocks = b"".join(epoch.to_bytes(16) for epoch in range(EPOCHS_PER_DAY))
        encrypt = block_cipher.encrypting(blocks)

        def beginnings(secret: bytes) -> tuple[int, ...]:
            return unpack(encrypt(_broadcast_key(key_chain.advance(secret, days))))

        return Beginnings(beginnings, Recipe(Derivation.HMAC_AES, _BROADCAST_LABEL, days, EPOCHS_PER_DAY, blocks))

    def tx_power(self, key: DiagnosisKey, payload: Payload) -> int | None:
        """Always None: the design carries no metadata."""
        window.require_published(key, self.name, self.key_size, window.LONGEST_CHAIN)
        return None


def _rolling_ids(secret: bytes) -> list[bytes]:
    """The day's 96 ids, unshuffled: AES-256-CTR from counter 0 under HMAC-SHA256(SK_t, "broadcast key")."""
    stream = _stream(_broadcast_key(secret), EPOCHS_PER_DAY * ROLLING_ID_SIZE)
    return [stream[i : i + ROLLING_ID_SIZE] for i in range(0, len(stream), ROLLING_ID_SIZE)]


def _broadcast_key(secret: bytes) -> bytes:
    return hmac.digest(secret, _BROADCAST_LABEL, "sha256")


def _shuffled(order: bytes) -> list[int]:
    """A permutation of the day's epochs, the same for the same `order`: Fisher-Yates, so each is equally likely."""
    epochs = list(range(EPOCHS_PER_DAY))
    draws = _draws(order)
    for last in range(EPOCHS_PER_DAY - 1, 0, -1):
        chosen = _below(last + 1, draws)
        epochs[last], epochs[chosen] = epochs[chosen], epochs[last]
    return epochs


def _draws(order: bytes) -> Iterator[int]:
    """Bytes without end, AES-128-CTR under `order`."""
    encryptor = Cipher(algorithms.AES128(order), modes.CTR(_FIRST_COUNTER)).encryptor()
    while True:
        yield from encryptor.update(bytes(256))


def _below(bound: int, draws: Iterator[int]) -> int:
    """Uniform in 0..bound-1, bound at most 256. Draws from the last, incomplete multiple of `bound` are thrown away:
    to keep them would favour small numbers."""
    complete = 256 - 256 % bound
    return next(draw for draw in draws if draw < complete) % bound


def _stream(key: bytes, size: int) -> bytes:
    return Cipher(algorithms.AES256(key), modes.CTR(_FIRST_COUNTER)).encryptor().update(bytes(size))
