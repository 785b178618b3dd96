"""The chain of daily keys that Bluezone and DP-3T share: each day's key is the SHA-256 of the day before's.

Whoever holds one key holds all later ones; so a chain ends at each publication (`previous` is None then).
"""

from __future__ import annotations

from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DailyKey, DiagnosisKey, Random
from bluezoned.protocols.short_hash import sha256

KEY_SIZE = 32
"""Bytes of a key: the size of a SHA-256."""


def advance(secret: bytes, days: int) -> bytes:
    """The key `days` UTC days later, 0 or more."""
    for _ in range(days):
        secret = sha256(secret).digest()
    return secret


def successor(previous: DailyKey | None, start: int, random: Random) -> Opaque:
    """The secret for the UTC day of `start`: as many hashes from `previous` as days lie between, or a new base when
    there is no chain to continue. ValueError when `previous` is of a later day: a chain cannot be walked back."""
    if previous is None:
        return Opaque(random(KEY_SIZE))
    days = start // DAY - previous.start // DAY
    if days < 0:
        raise ValueError("the previous key is of a later day")
    return Opaque(advance(previous.secret, days))


def days(key: DiagnosisKey) -> list[tuple[int, bytes]]:
    """Each UTC day (ms of its midnight) that the window touches, with its key; `key.secret` is that of the first."""
    chain = []
    secret: bytes = key.secret
    for midnight in range(key.start - key.start % DAY, key.end, DAY):
        chain.append((midnight, secret))
        secret = sha256(secret).digest()
    return chain
