"""How a signing key hands over to the next: a statement that the old one signs, carried by the index.

Whoever pinned the old key follows it to the new one; whoever pinned the new one learns which older batches the old one
still stands for. Specified in docs/protocols/key-index.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Meta

MOST = 16
"""Rotations in one index. One a year outlasts the boxes; more would only cost verifications."""

_POINT_SIZE = 65
_TAG = b"bluezoned rotation v1\n"
_Point = Annotated[bytes, Meta(min_length=_POINT_SIZE, max_length=_POINT_SIZE)]
_Number = Annotated[int, Meta(ge=0, lt=1 << 47)]


@dataclass(frozen=True, slots=True)
class Rotation:
    """`old` says that `new` follows it."""

    issued: _Number
    """ms."""
    sequence: _Number
    """Of the newest batch that the old key signed."""
    old: _Point
    new: _Point
    """65 bytes, uncompressed P-256 points (SEC 1, 2.3.3)."""
    signature: Annotated[bytes, Meta(max_length=72)]
    """DER ECDSA P-256/SHA-256 by the old key."""


def rotate(old: ec.EllipticCurvePrivateKey, new: ec.EllipticCurvePublicKey, issued: int, sequence: int) -> Rotation:
    """The statement that `new` follows `old` from the batch after `sequence` on."""
    points = point(old.public_key()), point(new)
    return Rotation(issued, sequence, *points, old.sign(_statement(issued, sequence, *points), ec.ECDSA(SHA256())))


def follow(pinned: ec.EllipticCurvePublicKey, rotations: Sequence[Rotation]) -> ec.EllipticCurvePublicKey:
    """The key that the pinned one leads to: itself where no statement of its own says otherwise. `rotations` oldest
    first and not believed: each is verified with the key that it follows from. The index must then be signed by the
    key that comes of it."""
    key = pinned
    for rotation in rotations[:MOST]:
        if rotation.old != point(key):
            continue
        try:
            key.verify(rotation.signature, _statement_of(rotation), ec.ECDSA(SHA256()))
            key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), rotation.new)
        except (InvalidSignature, ValueError):
            return key
    return key


def signers(
    current: ec.EllipticCurvePublicKey, rotations: Sequence[Rotation], sequence: int
) -> list[ec.EllipticCurvePublicKey]:
    """Whose signature counts on the batch `sequence`, the newest key first. `rotations` of an index that `current`
    signed: it vouches for them."""
    former = [rotation for rotation in rotations if sequence <= rotation.sequence]
    points = [ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), r.old) for r in reversed(former)]
    return [current, *points]


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """65 bytes."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _statement_of(rotation: Rotation) -> bytes:
    return _statement(rotation.issued, rotation.sequence, rotation.old, rotation.new)


def _statement(issued: int, sequence: int, old: bytes, new: bytes) -> bytes:
    return _TAG + issued.to_bytes(8) + sequence.to_bytes(8) + old + new
