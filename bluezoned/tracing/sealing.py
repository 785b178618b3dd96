"""How what is kept is sealed: a key for each UTC day, itself sealed under the one key that lies outside the database.

ChaCha20-Poly1305, which needs no instructions that a Pi lacks. What that protects against, and what not, is in
docs/storage.md. Knows no table and no file.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from bluezoned.errors import StoreError
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import Random

KEY_SIZE = 32
"""Bytes of a key, the outer one and those of the days."""

_NONCE_SIZE = 12
"""Bytes, random: a day's key seals some two thousand texts, of which two never meet at random."""


class DamagedStoreError(StoreError):
    """The database's file is not what was written: it is set aside, never mended."""


class Seal:
    """One key."""

    def __init__(self, key: bytes, random: Random) -> None:
        """ValueError unless the key is of 32 bytes."""
        self._cipher = ChaCha20Poly1305(key)
        self._random = random

    def seal(self, text: bytes, place: str) -> bytes:
        """28 bytes more than `text`. Bound to its `place`: it opens nowhere else."""
        nonce = self._random(_NONCE_SIZE)
        return nonce + self._cipher.encrypt(nonce, text, place.encode())

    def open(self, sealed: bytes, place: str) -> bytes:
        """DamagedStoreError when it was not sealed so."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], place.encode())
        except (InvalidTag, ValueError) as error:
            raise DamagedStoreError(f"the database is damaged: a {place.partition(' ')[0]} cannot be opened") from error


def new_key(random: Random) -> Opaque:
    """A key for a day, or for all of them."""
    return Opaque(random(KEY_SIZE))
