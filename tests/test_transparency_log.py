"""The authority's log: what a box believes of it, and what it never does."""

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st

from bluezoned import merkle_tree, transparency_log
from bluezoned.merkle_tree import Frontier
from bluezoned.signed_document import DocumentError, Reason
from bluezoned.transparency_log import TILE, Contradiction, Entry, LogError, LoggedBatch, TransparencyLog

SIGNING_KEY = ec.derive_private_key(2020, ec.SECP256R1())
PUBLIC_KEY = SIGNING_KEY.public_key()
STRANGERS_KEY = ec.derive_private_key(666, ec.SECP256R1()).public_key()


def entry(leaf: int, story: str = "told") -> Entry:
    """One leaf with one batch, different in each story."""
    digest = merkle_tree.leaf_hash(f"{story} {leaf}".encode())
    return Entry(leaf, 1000 * leaf, bytes(32), (LoggedBatch(leaf + 1, digest),))


def hashes(entries: Sequence[Entry]) -> list[bytes]:
    return [merkle_tree.leaf_hash(one.content()) for one in entries]


def log(entries: Sequence[Entry], oldest: int = 0) -> TransparencyLog:
    """As the authority tells it when the entries before `oldest` have left the index."""
    leaves, first = hashes(entries), transparency_log.first_leaf(oldest)
    before = Frontier().extended(leaves[:first])
    root = merkle_tree.root(leaves)
    return TransparencyLog(
        "vn", 5000, len(leaves), root, first, before.peaks, tuple(leaves[first:]), tuple(entries[oldest:])
    )


def history(count: int, story: str = "told") -> list[Entry]:
    return [entry(leaf, story) for leaf in range(count)]


def seen(entries: Sequence[Entry]) -> Frontier:
    return Frontier().extended(hashes(entries))


def contradiction(told: TransparencyLog, before: Frontier, archive: Sequence[bytes] = ()) -> Contradiction:
    with pytest.raises(LogError) as caught:
        transparency_log.continued(told, before, archive)
    return caught.value.contradiction


def test_what_is_written_is_read() -> None:
    told = log(history(100), oldest=70)

    data = transparency_log.write(told, SIGNING_KEY)

    assert transparency_log.read(data, PUBLIC_KEY) == told
    assert told.first == 64


def test_another_key_is_not_believed() -> None:
    data = transparency_log.write(log(history(3)), SIGNING_KEY)

    with pytest.raises(DocumentError) as caught:
        transparency_log.read(data, STRANGERS_KEY)

    assert caught.value.reason is Reason.WRONG_KEY


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 200))
def test_every_honest_continuation_is_taken(before: int, more: int, oldest: int) -> None:
    entries = history(before + more)
    told = log(entries, min(oldest, len(entries)))
    archive = hashes(entries)[before : told.first]

    assert transparency_log.continued(told, seen(entries[:before]), archive) == seen(entries)


@given(st.integers(1, 150), st.integers(0, 150), st.data())
def test_a_change_of_anything_seen_is_a_fork(before: int, more: int, data: st.DataObject) -> None:
    changed = data.draw(st.integers(0, before - 1))
    entries = history(before + more)
    forked = [*entries[:changed], entry(changed, "another"), *entries[changed + 1 :]]

    assert contradiction(log(forked), seen(entries[:before])) is Contradiction.FORK


def test_a_log_of_another_past_of_the_same_length_is_a_fork() -> None:
    assert contradiction(log(history(5, "another")), seen(history(5))) is Contradiction.FORK


def test_a_shorter_log_is_turned_back() -> None:
    assert contradiction(log(history(4)), seen(history(5))) is Contradiction.TURNED_BACK


def test_a_box_that_was_off_for_long_waits_for_the_archive() -> None:
    entries = history(200)
    told = log(entries, oldest=190)

    assert contradiction(told, seen(entries[:10])) is Contradiction.GAP
    assert contradiction(told, seen(entries[:10]), hashes(entries)[10:60]) is Contradiction.GAP
    assert transparency_log.continued(told, seen(entries[:10]), hashes(entries)[10:192]) == seen(entries)


def test_an_archive_of_another_past_is_not_believed() -> None:
    entries, others = history(200), history(200, "another")
    told = log(entries, oldest=190)

    assert contradiction(told, seen(entries[:10]), hashes(others)[10:192]) is Contradiction.ARCHIVE
    assert contradiction(told, seen(others[:10]), hashes(entries)[10:192]) is Contradiction.ARCHIVE


def test_a_batch_is_known_by_its_digest_alone() -> None:
    told = log(history(3))

    assert told.knows(entry(1).batches[0].sha256)
    assert not told.knows(entry(1, "another").batches[0].sha256)


def signed(document: Any) -> bytes:
    body = json.dumps(document).encode() + b"\n"
    signature = SIGNING_KEY.sign(b"bluezoned log v1\n" + body, ec.ECDSA(SHA256()))
    return base64.b64encode(signature) + b"\n" + body


@pytest.mark.parametrize(
    "changes",
    [
        {"first": 1},
        {"first": 64},
        {"size": 4},
        {"peaks": [base64.b64encode(bytes(32)).decode()]},
        {"root": "AAAA"},
        {"size": -1},
        {"surplus": 1, "entries": [{"leaf": 9}]},
        {"entries": "none"},
    ],
)
def test_a_log_that_does_not_fit_itself_is_none(changes: dict[str, Any]) -> None:
    document = json.loads(transparency_log.write(log(history(3)), SIGNING_KEY).partition(b"\n")[2])

    with pytest.raises(DocumentError) as caught:
        transparency_log.read(signed(document | changes), PUBLIC_KEY)

    assert caught.value.reason is Reason.MALFORMED


def test_an_entry_must_be_what_its_leaf_is_the_hash_of() -> None:
    told = log(history(3))
    lying = replace(told, entries=(told.entries[0], replace(told.entries[1], at=7)))

    with pytest.raises(DocumentError):
        transparency_log.write(lying, SIGNING_KEY)


def test_entries_come_once_and_in_order() -> None:
    told = log(history(3))

    with pytest.raises(DocumentError):
        transparency_log.write(replace(told, entries=(told.entries[1], told.entries[0])), SIGNING_KEY)
    with pytest.raises(DocumentError):
        transparency_log.write(replace(told, entries=(told.entries[1], told.entries[1])), SIGNING_KEY)


@given(st.integers(0, 200))
def test_no_number_of_codes_below_the_floor_is_told_by_the_padding(codes: int) -> None:
    full = codes + transparency_log.padding_needed(codes)

    assert full >= transparency_log.FEWEST_COMMITMENTS
    assert full.bit_count() == 1
    assert codes <= full < max(2 * codes, transparency_log.FEWEST_COMMITMENTS + 1)


def test_the_order_of_codes_is_not_told() -> None:
    some = [transparency_log.commitment(bytes([n]) * 32, bytes(32)) for n in range(8)]

    assert transparency_log.codes_root(some) == transparency_log.codes_root(some[3:] + some[:3])


def test_tiles_begin_where_the_archive_ends() -> None:
    assert [transparency_log.first_leaf(n) for n in (0, TILE - 1, TILE, 2 * TILE + 5)] == [0, 0, TILE, 2 * TILE]
