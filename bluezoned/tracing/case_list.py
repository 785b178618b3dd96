"""The authority's word: its log, its index and its batches, believed or refused, and applied to what was stored.

Holds no key and no encounter; what is believed and how far it is applied stands in the store.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import key_export, key_index, key_rotation
from bluezoned.errors import AuthorityError
from bluezoned.export_message import Terms
from bluezoned.key_export import Batch
from bluezoned.protocols.protocol import ReportType, TracingProtocol
from bluezoned.protocols.sieve import Core
from bluezoned.tracing.matching import Match, Matcher
from bluezoned.tracing.store import Store
from bluezoned.tracing.witness import Witness

EXPIRED = ("the list of cases has expired: the network is away, or the authority's server or a mirror stands still "
           "and holds back what is newer")  # fmt: skip
STANDS_STILL = ("the list of cases is not renewed: the network is away, or the authority's server or a mirror stands "
                "still")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch changed."""

    sequence: int
    keys: int
    matched: int
    revoked: int


class CaseList:
    """One authority's list of cases, as far as this box has it. `heard`: protocols by name; `pinned`: the operator's
    key, None before there is any. `core`: see Matcher."""

    def __init__(
        self,
        store: Store,
        heard: Mapping[str, TracingProtocol],
        pinned: ec.EllipticCurvePublicKey | None,
        core: Core | None,
    ) -> None:
        self._store = store
        self._heard = heard
        self._pinned = pinned
        self._core = core
        self._witness = Witness(store, pinned)
        self._index = self._remembered_index()

    @property
    def index(self) -> key_index.KeyIndex | None:
        """The newest that was believed."""
        return self._index

    def apply_log(self, data: bytes, archive: Sequence[bytes] = ()) -> None:
        """Take in the signed log: see Witness.apply. `archive`: hashes of the leaves from `witness.size` on."""
        self._witness.apply(data, self._pinned_key(), archive)

    @property
    def witness(self) -> Witness:
        """What this box has seen of the authority's log."""
        return self._witness

    def apply_index(self, data: bytes) -> None:
        """Take in a signed index. AuthorityError for a bad signature and for one older than the newest seen: a mirror
        that turns back time is not believed."""
        index = key_index.read(data, self.signing_keys()[0])
        if self._index is not None and (index.sequence, index.issued) < (self._index.sequence, self._index.issued):
            raise AuthorityError("the index is older than one seen before: the server or a mirror is turned back")
        with self._store.transaction():
            self._store.put_fact("index", index.issued, data)
            self._index = index
            self._note_complete()

    def open_export(self, file: BinaryIO) -> Batch | None:
        """A batch whose signature, place in the log and sequence are right, its keys not read yet. None when this very
        batch was applied before; AuthorityError for one that is not to be believed."""
        batch = key_export.Batch(file, *self.signing_keys())
        sequence = _sequence(batch)
        if self._store.batch_digest(sequence) == batch.digest:
            return None
        if batch.signer not in self.signing_keys(sequence):
            raise AuthorityError("the batch is signed by a key that had been replaced before")
        if not self._witness.has_seen(batch.digest):
            raise AuthorityError("the batch does not stand in the authority's log, so nobody but this box was shown it")
        key_export.check_sequence(batch.head.sequence, self.newest_batch())
        return batch

    def apply(self, batch: Batch, at: int) -> Generator[None, None, Applied]:
        """Match the keys of a batch from `open_export` with what is stored and take back the revoked ones; see
        Device.apply_export. AuthorityError changes nothing."""
        head, sequence = batch.head, _sequence(batch)
        found = yield from self._match(batch)
        with self._store.transaction():
            # What was erased or forgotten meanwhile proves nothing any more.
            proven = [(match.key, held) for match in found.matches if (held := self._store.held(match.encounters))]
            for key, numbers in proven:
                self._store.put_match(key, head.end, numbers)
            revoked = sum(self._store.revoke(head.protocol, secret) for secret in found.revoked)
            self._store.revoke_uploads_of(found.revoked)
            self._store.put_batch(sequence, batch.digest, head.end, at)
            self._store.put_fact("newest batch", sequence)
            self._note_complete()
        return Applied(sequence, found.keys, len(proven), revoked)

    def _match(self, batch: Batch) -> Generator[None, None, _Found]:
        """Reads the whole batch: that its keys can all be is known at the end alone."""
        own = self._store.own_secrets()
        found = _Found(own | self._store.diagnosis_secrets())
        live = found.live(batch)
        protocol = self._heard.get(batch.head.protocol)
        # The keys of a protocol that is not listened to must be possible too, as the file is believed whole.
        matcher = None
        if protocol is not None:
            matcher = Matcher(protocol, self._store.sighted(protocol.name), batch.head.end, self._core)
        for matches in matcher.match(live) if matcher is not None else ([] for _ in live):
            found.matches += [match for match in matches if match.key.secret not in own]
            yield
        return found

    def issued(self) -> int | None:
        """When the authority issued the newest index all of whose batches that this box can use are applied (ms); None
        before the first."""
        fact = self._store.fact("complete index")
        return None if fact is None else fact[0]

    def problem(self, at: int, stale_after: int) -> str:
        """Why the list of cases is no all-clear though there is one: the authority, or a mirror before it, renews it no
        more. Empty when all is well, and before the first."""
        issued = self.issued()
        if issued is None:
            return ""
        if self._index is not None and at >= self._index.expires:
            return EXPIRED
        return STANDS_STILL if at - issued > stale_after else ""

    def newest_batch(self) -> int:
        """Sequence number of the newest batch applied; 0 before the first."""
        fact = self._store.fact("newest batch")
        return 0 if fact is None else fact[0]

    def _note_complete(self) -> None:
        if self._index is None:
            return
        heard = (batch.sequence for batch in self._index.batches if batch.protocol in self._heard)
        if max(heard, default=0) <= self.newest_batch():
            self._store.put_fact("complete index", self._index.issued)

    def signing_keys(self, sequence: int = 0) -> list[ec.EllipticCurvePublicKey]:
        """Whose signature counts on the batch `sequence`, the key that signs now first; of all batches for 0."""
        rotations = self._witness.rotations
        return key_rotation.signers(key_rotation.follow(self._pinned_key(), rotations), rotations, sequence)

    def _pinned_key(self) -> ec.EllipticCurvePublicKey:
        if self._pinned is None:
            raise AuthorityError("no authority is pinned: set authority.public_key in bluezoned.toml")
        return self._pinned

    def _remembered_index(self) -> key_index.KeyIndex | None:
        fact = self._store.fact("index")
        if fact is None or fact[1] is None or self._pinned is None:
            return None
        try:
            return key_index.read(fact[1], self.signing_keys()[0])
        except AuthorityError:
            return None  # signed by an authority that is pinned no more: its word counts for nothing


class _Found:
    """What a batch holds for this box."""

    def __init__(self, remembered: set[bytes]) -> None:
        self._remembered = remembered
        self.keys = 0
        """How many it held in all, without the revoked ones."""
        self.matches: list[Match] = []
        self.revoked: list[bytes] = []
        """Secrets, of those this box remembers."""

    def live(self, batch: Iterable[tuple[bytes, Terms]]) -> Iterator[tuple[bytes, Terms]]:
        """The batch's keys without the revoked ones, which are noted."""
        for key in batch:
            if key[1].report_type is not ReportType.REVOKED:
                self.keys += 1
                yield key
            elif key[0] in self._remembered:
                self.revoked.append(key[0])


def _sequence(batch: Batch) -> int:
    if batch.head.sequence is None:
        raise AuthorityError("the batch has no sequence number: it is not one of this authority's own")
    return batch.head.sequence
