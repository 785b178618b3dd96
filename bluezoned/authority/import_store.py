"""Keys that other authorities published, in the authority's database: rows beside those of its cases. And whom it
follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from bluezoned.authority.key_store import KeyRecords
from bluezoned.authority.tables import key as _key
from bluezoned.authority.tables import subscription as _subscription
from bluezoned.fork_evidence import ForkEvidence
from bluezoned.merkle_tree import HASH_SIZE, Frontier
from bluezoned.protocols.protocol import DiagnosisKey, Tier


class ImportRecords:
    """The statements, in the transaction of whoever asks. The keys of a call are of one protocol."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def put(self, source: str, keys: Sequence[DiagnosisKey], at: int) -> int:
        """Those that are not known; how many. Known is what this source told before, what is ours, and what stands by
        the word of another source: so a key that comes back from whoever imported it here is not told twice."""
        by_secret = {bytes(key.secret): key for key in keys}
        known = or_(_key.c.origin == source, _key.c.case_id.is_not(None), _key.c.is_revoked.is_(False))
        fresh = self._without(by_secret, known)
        KeyRecords(self._db).put(fresh.values(), at, origin=source)
        return len(fresh)

    def take_back(self, source: str, keys: Sequence[DiagnosisKey], at: int) -> int:
        """What this source alone told is taken back; how many of those."""
        by_secret = {bytes(key.secret): key for key in keys}
        records = KeyRecords(self._db)
        taken = records.take_back_imported(keys[0].protocol, by_secret, source)
        unknown = self._without(by_secret, _key.c.origin == source)
        records.put_taken_back(unknown.values(), at, source)
        return taken

    def _without(self, by_secret: Mapping[bytes, DiagnosisKey], known: Any) -> dict[bytes, DiagnosisKey]:
        protocols = {key.protocol for key in by_secret.values()}
        asked = select(_key.c.secret).where(_key.c.secret.in_(by_secret), _key.c.protocol.in_(protocols), known)
        found = {bytes(secret) for secret in self._db.execute(asked).scalars()}
        return {secret: key for secret, key in by_secret.items() if secret not in found}


@dataclass(frozen=True, slots=True)
class Subscription:
    """An authority that is followed, and what has been seen of it."""

    name: str
    url: str
    public_key: bytes = field(repr=False)
    """65 bytes: the pinned one, as a point."""
    tier: Tier | None
    """Of every key, where its export does not say."""
    seen: Frontier
    """Of its log."""
    sequence: int
    issued: int
    """ms; of the newest index whose batches were all taken."""
    newest_batch: int
    """Taken; 0 before the first."""
    visited: int
    """ms, the last visit that went well; 0 before the first."""
    problem: str
    """Of the last visit, in words; empty when it went well."""
    fork: ForkEvidence | None
    """The newest signed log that contradicts what was seen, and the last that had been."""


class SubscriptionRecords:
    """The statements about them, in the transaction of whoever asks."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def put(self, name: str, url: str, public_key: bytes, tier: Tier | None) -> None:
        new = insert(_subscription).values(
            name=name, url=url, public_key=public_key, tier=tier, seen_size=0, seen_peaks=b"", index_sequence=0,
            index_issued=0, newest_batch=0, visited=0, problem="",
        )  # fmt: skip
        self._db.execute(new)

    def remove(self, name: str) -> bool:
        return self._db.execute(delete(_subscription).where(_subscription.c.name == name)).rowcount > 0

    def one(self, name: str) -> Subscription | None:
        return next((each for each in self.all() if each.name == name), None)

    def all(self) -> list[Subscription]:
        """By name."""
        return [_subscribed(row) for row in self._db.execute(select(_subscription).order_by(_subscription.c.name))]

    def took(self, name: str, sequence: int) -> None:
        self._change(name, newest_batch=sequence)

    def saw_log(self, name: str, seen: Frontier, content: bytes) -> None:
        """content: the signed log."""
        self._change(name, seen_size=seen.size, seen_peaks=b"".join(seen.peaks), seen_log=content)

    def saw_index(self, name: str, sequence: int, issued: int, at: int) -> None:
        """All of it, in a visit at `at` (ms)."""
        self._change(name, index_sequence=sequence, index_issued=issued, visited=at, problem="")

    def failed(self, name: str, problem: str) -> None:
        self._change(name, problem=problem)

    def keep_fork(self, name: str, content: bytes) -> None:
        """With the log that it contradicts."""
        self._change(name, fork=content, before_fork=_subscription.c.seen_log)

    def _change(self, name: str, **values: Any) -> None:
        self._db.execute(update(_subscription).where(_subscription.c.name == name).values(**values))


def _subscribed(row: Any) -> Subscription:
    peaks = bytes(row.seen_peaks)
    return Subscription(
        row.name,
        row.url,
        bytes(row.public_key),
        None if row.tier is None else Tier(row.tier),
        Frontier(row.seen_size, tuple(peaks[at : at + HASH_SIZE] for at in range(0, len(peaks), HASH_SIZE))),
        row.index_sequence,
        row.index_issued,
        row.newest_batch,
        row.visited,
        row.problem,
        None if row.fork is None else ForkEvidence(bytes(row.fork), _whole(row.before_fork)),
    )


def _whole(value: bytes | None) -> bytes | None:
    return None if value is None else bytes(value)
