"""The box as a witness of the authority's log: what it has seen once, nobody can change for it any more.

Keeps the frontier and the last log that it believed; a log that contradicts is kept beside it as evidence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bluezoned import key_rotation, transparency_log
from bluezoned.fork_evidence import ForkEvidence
from bluezoned.key_rotation import Rotation
from bluezoned.merkle_tree import HASH_SIZE, Frontier
from bluezoned.tracing.store import Store
from bluezoned.transparency_log import Contradiction, LogError, TransparencyLog

_FRONTIER, _LOG, _FORK, _BEFORE_FORK = "log frontier", "log", "log fork", "log before fork"
"""Facts of the store. The frontier's value is its size and its body the peaks; of the others, the instant `at`, of the
two of a fork the later one: who forks a log also chooses the instant in it, and would have it forgotten at once."""

_AUTHORITY = "log authority"
"""Fact: SHA-256 of the key that is pinned. Another one begins another log; a rotated key goes on with this one."""


class Witness:
    """What one box knows of its authority's log. `pinned`: the operator's key, None before there is any."""

    def __init__(self, store: Store, pinned: ec.EllipticCurvePublicKey | None) -> None:
        self._store = store
        self._pin = _digest(pinned) if pinned is not None else b""
        is_known = store.fact(_AUTHORITY) == (0, self._pin)
        self._seen = self._remembered_frontier() if is_known else Frontier()
        self._log = self._remembered_log() if is_known else None

    def apply(self, data: bytes, pinned: ec.EllipticCurvePublicKey, archive: Sequence[bytes] = ()) -> None:
        """Take in a log signed by the pinned key or one that it leads to. `archive`: hashes of the leaves from `size`
        on that the log itself no longer tells.

        DocumentError when it is not the authority's; LogError when it does not continue what was seen: then all stays
        as it was, and a fork is kept as evidence.
        """
        signer = key_rotation.follow(pinned, transparency_log.peek(data).rotations)
        log = transparency_log.read(data, signer)
        try:
            seen = transparency_log.continued(log, self._seen, archive)
        except LogError as error:
            if error.contradiction is Contradiction.FORK:
                believed = self._store.fact(_LOG) if self._log is not None else None
                at, before = believed if believed is not None else (0, None)
                with self._store.transaction():
                    self._store.put_fact(_FORK, max(at, log.at), data)
                    self._store.put_fact(_BEFORE_FORK, max(at, log.at), before)
            raise
        with self._store.transaction():
            self._store.put_fact(_FRONTIER, seen.size, b"".join(seen.peaks))
            self._store.put_fact(_LOG, log.at, data)
            self._store.put_fact(_AUTHORITY, 0, self._pin)
        self._seen, self._log = seen, log

    def has_seen(self, sha256: bytes) -> bool:
        """Whether a batch with this digest stands in the log that was believed last."""
        return self._log is not None and self._log.knows(sha256)

    @property
    def rotations(self) -> tuple[Rotation, ...]:
        """Which signing key followed which, as the last log tells."""
        return () if self._log is None else self._log.rotations

    @property
    def size(self) -> int:
        """Leaves seen; 0 before the first log."""
        return self._seen.size

    @property
    def root(self) -> bytes:
        """32 bytes, the same on every box that saw as much."""
        return self._seen.root()

    def has_fork(self) -> bool:
        """Whether a signed log contradicted what had been seen, within retention."""
        return self._store.fact(_FORK) is not None

    def fork(self) -> ForkEvidence | None:
        """The newest such log and the one that it contradicts; None when there is none."""
        fork, before = self._store.fact(_FORK), self._store.fact(_BEFORE_FORK)
        if fork is None or fork[1] is None:
            return None
        return ForkEvidence(fork[1], before[1] if before is not None else None)

    def _remembered_frontier(self) -> Frontier:
        fact = self._store.fact(_FRONTIER)
        size, body = fact if fact is not None else (0, None)
        if body is None:
            return Frontier()
        return Frontier(size, tuple(body[at : at + HASH_SIZE] for at in range(0, len(body), HASH_SIZE)))

    def _remembered_log(self) -> TransparencyLog | None:
        fact = self._store.fact(_LOG)
        return None if fact is None or fact[1] is None else transparency_log.peek(fact[1])


def _digest(key: ec.EllipticCurvePublicKey) -> bytes:
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
