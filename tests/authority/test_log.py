"""The authority's log: what it tells of each run, and that it only grows."""

import hashlib

import pytest

from bluezoned import key_export, merkle_tree, transparency_log
from bluezoned.authority.log_store import LogRecords
from bluezoned.authority.verification import Kind
from bluezoned.merkle_tree import Frontier
from bluezoned.protocols.protocol import DAY, Tier
from bluezoned.transparency_log import FEWEST_COMMITMENTS, TILE, TransparencyLog
from tests.authority.ward import NOON, Ward, key, message


def told(ward: Ward) -> TransparencyLog:
    data = ward.publisher.shelf.read("log")
    assert data is not None
    return transparency_log.read(data, ward.public_key)


def publish_key(ward: Ward, at: int) -> None:
    ward.send(message(ward.code(at=at), key(at - at % DAY - DAY)), at)
    ward.publisher.publish(at)


def test_each_listed_batch_stands_in_the_log(ward: Ward) -> None:
    for day in range(3):
        publish_key(ward, NOON + day * DAY)

    log = told(ward)

    files = [(ward.files / batch.name).read_bytes() for batch in ward.index().batches]
    assert len(files) == 3
    assert all(log.knows(key_export.signed_digest(file)) for file in files)
    assert not log.knows(hashlib.sha256(files[0]).digest())


def test_every_log_continues_the_one_before(ward: Ward) -> None:
    seen = Frontier()
    for day in range(5):
        publish_key(ward, NOON + day * DAY)
        seen = transparency_log.continued(told(ward), seen)
        ward.publisher.publish(NOON + day * DAY + 1)
        seen = transparency_log.continued(told(ward), seen)

    assert seen.size == 5


def test_a_day_without_news_gets_its_leaf(ward: Ward) -> None:
    for hour in range(50):
        ward.publisher.publish(NOON + hour * DAY // 24)

    assert (told(ward).size, told(ward).entries) == (3, ())


def test_full_tiles_go_into_the_archive(ward: Ward) -> None:
    for day in range(TILE + 3):
        ward.publisher.publish(NOON + day * DAY)

    log, tile = told(ward), ward.publisher.shelf.read("leaves/0")
    assert tile is not None
    assert (log.first, len(log.leaves)) == (TILE, 3)
    archive = transparency_log.tile_hashes(tile)
    assert Frontier().extended(archive).peaks == log.peaks
    assert merkle_tree.root([*archive, *log.leaves]) == log.root
    assert ward.publisher.shelf.read("leaves/1") is None


def test_every_code_is_committed_to_and_none_is_told(ward: Ward) -> None:
    codes = [ward.code(Tier.F0, kind=Kind.LONG) for _ in range(5)]
    publish_key(ward, NOON)

    with ward.store.snapshot() as seen:
        records = LogRecords(seen.connection)
        kept, uncommitted = records.commitments(0), records.uncommitted_codes()
    assert (len(kept), uncommitted) == (6, [])
    padding = FEWEST_COMMITMENTS - len(kept)
    assert transparency_log.padding_needed(len(kept)) == padding
    published = ward.publisher.shelf.read("log") or b""
    assert not any(code.encode() in published for code in codes)
    assert not any(digest in published or salt in published for salt, digest in kept)


def test_a_run_that_was_killed_before_its_leaf_is_made_good(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch is listed in the database; neither log nor index were written."""
    publish_key(ward, NOON)
    ward.send(message(ward.code(at=NOON + DAY), key(NOON - DAY // 2)), NOON + DAY)
    put = ward.publisher.shelf.put

    def killed_at_the_log(name: str, content: bytes) -> None:
        if name == "log":
            raise KeyboardInterrupt
        put(name, content)

    monkeypatch.setattr(ward.publisher.shelf, "put", killed_at_the_log)
    with pytest.raises(KeyboardInterrupt):
        ward.publisher.publish(NOON + DAY)
    monkeypatch.undo()

    ward.publisher.publish(NOON + DAY + 1)

    assert [batch.sequence for entry in told(ward).entries for batch in entry.batches] == [1, 2]


def test_a_restart_goes_on_with_the_same_log(ward: Ward) -> None:
    publish_key(ward, NOON)
    before = told(ward)

    again = Ward(ward.directory)
    publish_key(again, NOON + DAY)

    assert transparency_log.continued(told(again), Frontier().extended(before.leaves)).size == 2
