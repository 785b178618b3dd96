"""Evidence that an authority signed two logs that cannot both be true, as it is handed to whoever judges it.

JSON: `fork`, the log that was refused, and `seen`, the one that had been believed before, null where there was none.
Each to the byte as the authority signed it for everybody. Nothing tells who kept them; only the hour of `seen` tells
about when its keeper had fetched the list last.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import key_rotation, transparency_log
from bluezoned.errors import AuthorityError
from bluezoned.transparency_log import TransparencyLog

LARGEST = 5 * transparency_log.LARGEST
"""Bytes of the JSON: two logs, of which each byte takes two at most where it has to be escaped, and what is around."""


@dataclass(frozen=True, slots=True)
class ForkEvidence:
    """Two signed logs."""

    fork: bytes
    seen: bytes | None
    """None when none had been believed, as `fork` contradicts itself."""

    def write(self) -> str:
        """As JSON, on one line."""
        told = {"fork": self.fork.decode("ascii"), "seen": None if self.seen is None else self.seen.decode("ascii")}
        return msgspec.json.encode(told).decode()


@dataclass(frozen=True, slots=True)
class Head:
    """What a signed log says of the whole, for people."""

    authority: str
    at: int
    """ms, when it was signed."""
    size: int
    """Leaves."""
    root: str
    """Hex."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the evidence shows."""

    is_fork: bool
    fork: Head
    seen: Head | None


class _Written(msgspec.Struct, forbid_unknown_fields=True):
    fork: str
    seen: str | None


def read(data: bytes) -> ForkEvidence:
    """Not yet verified. AuthorityError when it is none."""
    try:
        if len(data) > LARGEST:
            raise ValueError
        written = msgspec.json.decode(data, type=_Written)
        return ForkEvidence(
            written.fork.encode("ascii"), None if written.seen is None else written.seen.encode("ascii")
        )
    except ValueError as error:
        raise AuthorityError("this is no evidence of a fork: it is written by `bluezonectl fork --json` or "
                             "`bluezone-authority fork NAME --json`") from error  # fmt: skip


def judge(evidence: ForkEvidence, pinned: ec.EllipticCurvePublicKey) -> Judgement:
    """DocumentError for a log that neither the pinned key nor one that it leads to has signed; AuthorityError when they
    are too far apart to be compared."""
    fork = _verified(evidence.fork, pinned)
    seen = None if evidence.seen is None else _verified(evidence.seen, pinned)
    if seen is None:
        is_fork = transparency_log.contradicts_itself(fork)
    else:
        is_fork = transparency_log.contradict(*sorted((seen, fork), key=lambda log: log.size))
    return Judgement(is_fork, _head(fork), None if seen is None else _head(seen))


def heads(evidence: ForkEvidence) -> tuple[Head, Head | None]:
    """Of `fork` and `seen`, their signatures not verified."""
    seen = None if evidence.seen is None else _head(transparency_log.peek(evidence.seen))
    return _head(transparency_log.peek(evidence.fork)), seen


def _verified(data: bytes, pinned: ec.EllipticCurvePublicKey) -> TransparencyLog:
    signer = key_rotation.follow(pinned, transparency_log.peek(data).rotations)
    return transparency_log.read(data, signer)


def _head(log: TransparencyLog) -> Head:
    return Head(log.authority, log.at, log.size, log.root.hex())
