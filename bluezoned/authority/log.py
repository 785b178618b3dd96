"""How the transparency log grows: a leaf for what a run published, with a commitment to the codes issued before it."""

from __future__ import annotations

from collections.abc import Iterator

from bluezoned import merkle_tree, transparency_log
from bluezoned.authority.log_store import LogRecords
from bluezoned.key_index import KeyIndex
from bluezoned.merkle_tree import HASH_SIZE, Frontier
from bluezoned.protocols.protocol import DAY, Random
from bluezoned.transparency_log import TILE, TILE_SIZE, Entry, LoggedBatch, TransparencyLog


def extend(records: LogRecords, batches: tuple[LoggedBatch, ...], at: int, random: Random) -> None:
    """Add a leaf when there is a batch to tell that stands in none, or when the UTC day of `at` (ms) has none yet."""
    newest = records.newest()
    if not batches and newest is not None and newest // DAY >= at // DAY:
        return
    salts = {digest: random(transparency_log.SALT_SIZE) for digest in records.uncommitted_codes()}
    commitments = [transparency_log.commitment(salt, digest) for digest, salt in salts.items()]
    padding = [random(HASH_SIZE) for _ in range(transparency_log.padding_needed(len(commitments)))]
    codes = transparency_log.codes_root(commitments, padding)
    # A clock that was put back must not make a later leaf look like an earlier one.
    entry = Entry(len(records.hashes()), max(at, newest or 0), codes, batches)
    records.put_leaf(entry, merkle_tree.leaf_hash(entry.content()), salts)


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
