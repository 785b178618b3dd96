"""How the transparency log grows: a leaf for what a run published, with a commitment to the codes issued before it."""

from __future__ import annotations

from collections.abc import Iterator

from bluezoned import merkle_tree, transparency_log
from bluezoned.authority.log_store import Commitment, LogRecords
from bluezoned.errors import StoreError
from bluezoned.key_index import KeyIndex
from bluezoned.merkle_tree import HASH_SIZE, Frontier
from bluezoned.protocols.protocol import DAY, Random
from bluezoned.transparency_log import TILE, TILE_SIZE, Entry, LoggedBatch, TransparencyLog


def extend(records: LogRecords, batches: tuple[LoggedBatch, ...], at: int, random: Random) -> None:
    """Add a leaf when there is a batch to tell that stands in none, or when the UTC day of `at` (ms) has none yet."""
    newest = records.newest()
    if not batches and newest is not None and newest // DAY >= at // DAY:
        return
    commitments = [_commit(digest, random(transparency_log.SALT_SIZE)) for digest in records.uncommitted_codes()]
    needed = transparency_log.padding_needed(len(commitments))
    commitments += [Commitment(random(HASH_SIZE), None, None) for _ in range(needed)]
    codes = transparency_log.codes_root([each.value for each in commitments])
    # A clock that was put back must not make a later leaf look like an earlier one.
    entry = Entry(len(records.hashes()), max(at, newest or 0), codes, batches)
    records.put_leaf(entry, merkle_tree.leaf_hash(entry.content()), commitments)


def _commit(digest: bytes, salt: bytes) -> Commitment:
    return Commitment(transparency_log.commitment(salt, digest), salt, digest)


def adopt(records: LogRecords, published: TransparencyLog) -> int:
    """Take back the leaves that were published and that a restored backup does not have, for boxes have seen them.
    Gives the newest batch that they tell, 0 when nothing was missing. StoreError when what was published is no
    continuation of what is remembered: then this database is another authority's, or was changed."""
    hashes = records.hashes()
    missing = published.size - len(hashes)
    if missing <= 0:
        return 0
    before = Frontier().extended(hashes[: published.first])
    if before.peaks != published.peaks or published.leaves[: len(hashes) - published.first] != tuple(
        hashes[published.first :]
    ):
        raise StoreError("what was published before is no continuation of the log in this database: restore a later "
                         "backup, or remove nothing and ask for help")  # fmt: skip
    entries = {entry.leaf: entry for entry in published.entries}
    for number in range(len(hashes), published.size):
        leaf_hash = published.leaves[number - published.first]
        records.adopt_leaf(number, published.at, leaf_hash, entries.get(number))
    return max((batch.sequence for entry in published.entries for batch in entry.batches), default=0)


def told(records: LogRecords, index: KeyIndex) -> TransparencyLog:
    """What is published of the log beside the index."""
    hashes, entries = records.hashes(), records.entries(batch.sequence for batch in index.batches)
    first = transparency_log.first_leaf(entries[0].leaf if entries else len(hashes))
    before = Frontier().extended(hashes[:first])
    return TransparencyLog(
        authority=index.authority,
        at=index.issued,
        size=len(hashes),
        root=before.extended(hashes[first:]).root(),
        first=first,
        peaks=before.peaks,
        leaves=tuple(hashes[first:]),
        entries=entries,
        rotations=index.rotations,
    )


def tiles(records: LogRecords) -> Iterator[bytes]:
    """The archive's files, from 0 on: each full TILE of leaf hashes."""
    hashes = records.hashes()
    for start in range(0, len(hashes) - TILE + 1, TILE):
        tile = b"".join(hashes[start : start + TILE])
        assert len(tile) == TILE_SIZE
        yield tile
