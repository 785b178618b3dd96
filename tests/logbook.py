"""An honest authority's log, for tests of what stands behind the signature and has no authority."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import key_export, merkle_tree, transparency_log
from bluezoned.transparency_log import Entry, LoggedBatch, TransparencyLog


class Logbook:
    """One leaf for each batch, in the order in which they are told."""

    def __init__(
        self, signing_key: ec.EllipticCurvePrivateKey, digest: Callable[[bytes], bytes] = key_export.signed_digest
    ) -> None:
        self._signing_key = signing_key
        self._digest = digest
        self.batches: list[bytes] = []
        self._signed: dict[int, bytes] = {}

    def signed(self, batches: Iterable[bytes] = ()) -> bytes:
        """The signed log after these batches' files too; those it has stand once."""
        self.batches += [batch for batch in batches if batch not in self.batches]
        # Once for each state, as an ECDSA signature is another each time.
        if len(self.batches) not in self._signed:
            self._signed[len(self.batches)] = self._written()
        return self._signed[len(self.batches)]

    def _written(self) -> bytes:
        entries = tuple(
            Entry(leaf, 1000 + leaf, bytes(32), (LoggedBatch(leaf + 1, self._digest(batch)),))
            for leaf, batch in enumerate(self.batches)
        )
        leaves = tuple(merkle_tree.leaf_hash(entry.content()) for entry in entries)
        log = TransparencyLog("test", 1000, len(leaves), merkle_tree.root(leaves), 0, (), leaves, entries)
        return transparency_log.write(log, self._signing_key)
