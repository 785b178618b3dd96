"""The box as a witness of the authority's log: what it has seen once, nobody can change for it any more.

Keeps the frontier and the last log that it believed; a log that contradicts is kept beside it as evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import transparency_log
from bluezoned.errors import AuthorityError
from bluezoned.merkle_tree import HASH_SIZE, Frontier
from bluezoned.tracing.store import Store
from bluezoned.transparency_log import Contradiction, LogError, TransparencyLog

_FRONTIER, _LOG, _FORK = "log frontier", "log", "log fork"
"""Facts of the store. The frontier's value is its size and its body the peaks; of the others, the instant `at`."""


class Witness:
    """What one box knows of its authority's log. `public_key`: the pinned one, None before there is any."""

    def __init__(self, store: Store, public_key: ec.EllipticCurvePublicKey | None) -> None:
        self._store = store
        self._seen = self._remembered_frontier()
        self._log = self._remembered_log(public_key)

    def apply(self, data: bytes, public_key: ec.EllipticCurvePublicKey, archive: Sequence[bytes] = ()) -> None:
        """Take in a signed log. `archive`: hashes of the leaves from `size` on that the log itself no longer tells.

        DocumentError when it is not the authority's; LogError when it does not continue what was seen: then all stays
        as it was, and a fork is kept as evidence.
        """
        log = transparency_log.read(data, public_key)
        try:
            seen = transparency_log.continued(log, self._seen, archive)
        except LogError as error:
            if error.contradiction is Contradiction.FORK:
                with self._store.transaction():
                    self._store.put_fact(_FORK, log.at, data)
            raise
        with self._store.transaction():
            self._store.put_fact(_FRONTIER, seen.size, b"".join(seen.peaks))
            self._store.put_fact(_LOG, log.at, data)
        self._seen, self._log = seen, log

    def has_seen(self, sha256: bytes) -> bool:
        """Whether a batch with this digest stands in the log that was believed last."""
        return self._log is not None and self._log.knows(sha256)

    @property
    def size(self) -> int:
        """Leaves seen; 0 before the first log."""
        return self._seen.size

    @property
    def root(self) -> bytes:
        """32 bytes, the same on every box that saw as much."""
        return self._seen.root()

    def fork(self) -> bytes | None:
        """The newest signed log that contradicts what was seen; None when there never was one."""
        fact = self._store.fact(_FORK)
        return None if fact is None else fact[1]

    def _remembered_frontier(self) -> Frontier:
        fact = self._store.fact(_FRONTIER)
        size, body = fact if fact is not None else (0, None)
        if body is None:
            return Frontier()
        return Frontier(size, tuple(body[at : at + HASH_SIZE] for at in range(0, len(body), HASH_SIZE)))

    def _remembered_log(self, public_key: ec.EllipticCurvePublicKey | None) -> TransparencyLog | None:
        fact = self._store.fact(_LOG)
        if fact is None or fact[1] is None or public_key is None:
            return None
        try:
            return transparency_log.read(fact[1], public_key)
        except AuthorityError:
            # Of an authority that is pinned no more: the log of the new one begins anew.
            self._seen = Frontier()
            return None
