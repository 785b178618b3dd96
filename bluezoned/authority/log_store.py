"""The transparency log in the authority's database: its leaves, and which code each commits to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from bluezoned.authority.tables import batch, code, commitment, key, leaf, leaf_batch, told
from bluezoned.transparency_log import Entry, LoggedBatch


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a leaf commits to."""

    value: bytes
    """32 bytes."""
    salt: bytes | None
    """None of padding."""
    digest: bytes | None
    """Of the code; None of padding, and of a code that is no longer known."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf as it is stored."""

    number: int
    at: int
    codes: bytes | None
    hash: bytes


class LogRecords:
    """The statements, in a transaction that the caller opened. A leaf that stands is never changed or removed."""

    def __init__(self, connection: Connection) -> None:
        self._db = connection

    def newest(self) -> int | None:
        """ms, when the newest leaf was added; None before the first."""
        at: int | None = self._db.execute(select(func.max(leaf.c.at))).scalar()
        return at

    def hashes(self) -> list[bytes]:
        """Of all leaves."""
        return [bytes(value) for (value,) in self._db.execute(select(leaf.c.hash).order_by(leaf.c.number))]

    def unlogged_batches(self) -> list[tuple[int, str]]:
        """Sequence and name of those published and in no leaf yet, oldest first."""
        logged = select(leaf_batch.c.sequence).where(leaf_batch.c.sequence == batch.c.sequence)
        rows = self._db.execute(
            select(batch.c.sequence, batch.c.name).where(~logged.exists()).order_by(batch.c.sequence)
        )
        return [(sequence, name) for sequence, name in rows]

    def uncommitted_codes(self) -> list[bytes]:
        """Digests of the codes that no leaf commits to."""
        known = select(commitment.c.digest).where(commitment.c.digest == code.c.digest)
        rows = self._db.execute(select(code.c.digest).where(~known.exists()).order_by(code.c.digest))
        return [bytes(digest) for (digest,) in rows]

    def put_leaf(self, entry: Entry, leaf_hash: bytes, commitments: Iterable[Commitment]) -> None:
        """A leaf with what it commits to."""
        self._put(entry, leaf_hash, entry.codes)
        rows = [
            {"value": each.value, "leaf": entry.leaf, "digest": each.digest, "salt": each.salt} for each in commitments
        ]
        if rows:
            self._db.execute(insert(commitment), rows)

    def adopt_leaf(self, number: int, at: int, leaf_hash: bytes, entry: Entry | None) -> None:
        """One that was published and that a restored backup does not have. `entry` where it is still told."""
        if entry is None:
            self._db.execute(insert(leaf).values(number=number, at=at, codes=None, hash=leaf_hash))
        else:
            self._put(entry, leaf_hash, entry.codes)

    def _put(self, entry: Entry, leaf_hash: bytes, codes: bytes) -> None:
        self._db.execute(insert(leaf).values(number=entry.leaf, at=entry.at, codes=codes, hash=leaf_hash))
        rows = [{"sequence": b.sequence, "leaf": entry.leaf, "sha256": b.sha256} for b in entry.batches]
        if rows:
            self._db.execute(insert(leaf_batch), rows)

    def entries(self, sequences: Iterable[int]) -> tuple[Entry, ...]:
        """The leaves that tell of batches from the least of these numbers on, oldest first."""
        least = min(sequences, default=None)
        if least is None:
            return ()
        return tuple(e for e in self.all_entries() if e.batches and e.batches[-1].sequence >= least)

    def commitments(self, number: int) -> list[Commitment]:
        """Of leaf `number`, as far as they are kept."""
        rows = self._db.execute(select(commitment).where(commitment.c.leaf == number))
        return [Commitment(bytes(r.value), r.salt and bytes(r.salt), r.digest and bytes(r.digest)) for r in rows]

    def leaves(self) -> list[Leaf]:
        """All of them."""
        rows = self._db.execute(select(leaf).order_by(leaf.c.number))
        return [Leaf(r.number, r.at, None if r.codes is None else bytes(r.codes), bytes(r.hash)) for r in rows]

    def all_entries(self) -> tuple[Entry, ...]:
        """The content of every leaf that is known whole."""
        batches: dict[int, list[LoggedBatch]] = {}
        for row in self._db.execute(select(leaf_batch).order_by(leaf_batch.c.sequence)):
            batches.setdefault(row.leaf, []).append(LoggedBatch(row.sequence, bytes(row.sha256)))
        return tuple(
            Entry(one.number, one.at, one.codes, tuple(batches.get(one.number, ())))
            for one in self.leaves()
            if one.codes is not None
        )

    def keys_without_code(self) -> int:
        """Published by cases none of whose codes stands in a leaf at or before that of the batch; of cases that still
        have codes, as those that are past retention prove nothing."""
        committed = (
            select(commitment.c.leaf)
            .join(code, code.c.digest == commitment.c.digest)
            .where(code.c.case_id == key.c.case_id, commitment.c.leaf <= leaf_batch.c.leaf)
        )
        has_codes = select(code.c.digest).where(code.c.case_id == key.c.case_id)
        found: int = self._db.execute(
            select(func.count(key.c.id.distinct()))
            .join_from(told, key, key.c.id.between(told.c.first_key, told.c.last_key))
            .join(leaf_batch, leaf_batch.c.sequence == told.c.batch)
            .where(has_codes.exists(), ~committed.exists())
        ).scalar_one()
        return found

    # retention

    def prune(self, before: int) -> None:
        """Commitments of leaves that were added before `before` (ms); the leaves stay."""
        old = select(leaf.c.number).where(leaf.c.at < before)
        self._db.execute(delete(commitment).where(commitment.c.leaf.in_(old)))
