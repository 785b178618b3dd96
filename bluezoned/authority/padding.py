"""Random keys that fill up small batches: nobody but the authority that made one can tell it from a real key.

It must, when one comes back in the export of another authority that imported it: taken for a key of somebody, it would
be published again, and again be imported, without end.
"""

from __future__ import annotations

import hmac

from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import Random

_PURPOSE = b"bluezoned padding\0"
"""The pepper is the key of codes' digests too; no code begins so."""


def draw(size: int, pepper: bytes, random: Random) -> Opaque:
    """A secret of `size` bytes, an even number of 16 or more: half of it random, half a keyed hash of that. With 16, a
    real key looks so to us once in 2^64."""
    nonce = random(size // 2)
    return Opaque(nonce + _tag(nonce, pepper))


def is_own(secret: bytes, pepper: bytes) -> bool:
    """Whether `draw` made it with this pepper."""
    half = len(secret) // 2
    return hmac.compare_digest(_tag(secret[:half], pepper), secret[half:])


def _tag(nonce: bytes, pepper: bytes) -> bytes:
    return hmac.digest(pepper, _PURPOSE + nonce, "sha256")[: len(nonce)]
