"""Whether the transparency log tells the truth about this database, for those who audit an authority."""

from __future__ import annotations

from collections.abc import Iterator

from bluezoned import merkle_tree, transparency_log
from bluezoned.authority.log_store import LogRecords
from bluezoned.key_index import KeyIndex
from bluezoned.transparency_log import TransparencyLog


def problems(records: LogRecords, published: TransparencyLog, index: KeyIndex) -> Iterator[str]:
    """In words, none when all is well."""
    leaves, entries = records.leaves(), {entry.leaf: entry for entry in records.all_entries()}
    hashes = [leaf.hash for leaf in leaves]
    if merkle_tree.root(hashes) != published.root or len(hashes) != published.size:
        yield "the published log is not the database's: publish again"
    for leaf in leaves:
        entry = entries.get(leaf.number)
        if entry is not None and merkle_tree.leaf_hash(entry.content()) != leaf.hash:
            yield f"leaf {leaf.number} of the log was changed in the database"
        kept = records.commitments(leaf.number)
        if kept and leaf.codes != transparency_log.codes_root([each.value for each in kept]):
            yield f"the codes that leaf {leaf.number} commits to are not those in the database"
        for each in kept:
            opens = each.salt is None or each.digest is None
            if not opens and each.value != transparency_log.commitment(each.salt or b"", each.digest or b""):
                yield f"a code that leaf {leaf.number} commits to was exchanged for another"
    told = {batch.sequence for entry in published.entries for batch in entry.batches}
    for sequence in sorted({batch.sequence for batch in index.batches} - told):
        yield f"batch {sequence} is listed and stands in no leaf: boxes refuse it"
    if unbacked := records.keys_without_code():
        yield f"{unbacked} keys were published without a code that the log had committed to before"
