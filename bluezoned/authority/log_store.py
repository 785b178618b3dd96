"""The transparency log in the authority's database: its leaves, and which code each commits to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, func, insert, select

from bluezoned.authority.tables import batch, code, commitment, leaf, leaf_batch
from bluezoned.transparency_log import Entry, LoggedBatch


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

    def put_leaf(self, entry: Entry, leaf_hash: bytes, salts: Mapping[bytes, bytes]) -> None:
        """salts: of each code that the leaf commits to, by its digest."""
        self._db.execute(insert(leaf).values(number=entry.leaf, at=entry.at, codes=entry.codes, hash=leaf_hash))
        if entry.batches:
            self._db.execute(
                insert(leaf_batch),
                [{"sequence": b.sequence, "leaf": entry.leaf, "sha256": b.sha256} for b in entry.batches],
            )
        if salts:
            self._db.execute(
                insert(commitment),
                [{"digest": digest, "leaf": entry.leaf, "salt": salt} for digest, salt in salts.items()],
            )

    def entries(self, sequences: Iterable[int]) -> tuple[Entry, ...]:
        """The leaves that tell of batches from the least of these numbers on, oldest first."""
        least = min(sequences, default=None)
        if least is None:
            return ()
        first = select(func.min(leaf_batch.c.leaf)).where(leaf_batch.c.sequence >= least).scalar_subquery()
        batches: dict[int, list[LoggedBatch]] = {}
        for row in self._db.execute(
            select(leaf_batch).where(leaf_batch.c.leaf >= first).order_by(leaf_batch.c.sequence)
        ):
            batches.setdefault(row.leaf, []).append(LoggedBatch(row.sequence, bytes(row.sha256)))
        rows = self._db.execute(select(leaf).where(leaf.c.number >= first).order_by(leaf.c.number))
        return tuple(
            Entry(row.number, row.at, bytes(row.codes), tuple(batches[row.number]))
            for row in rows
            if row.number in batches
        )

    def commitments(self, number: int) -> list[tuple[bytes, bytes]]:
        """Salt and digest of each code that leaf `number` commits to and that is still known."""
        rows = self._db.execute(select(commitment.c.salt, commitment.c.digest).where(commitment.c.leaf == number))
        return [(bytes(salt), bytes(digest)) for salt, digest in rows]
