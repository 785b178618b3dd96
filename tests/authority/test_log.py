"""The authority's log: what it tells of each run, and that it only grows."""

import hashlib

import pytest
from sqlalchemy import text

from bluezoned import key_export, merkle_tree, transparency_log
from bluezoned.authority import inspection
from bluezoned.authority.database import METADATA
from bluezoned.authority.log_store import LogRecords
from bluezoned.authority.verification import Code, Kind
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
    assert (len(kept), uncommitted) == (FEWEST_COMMITMENTS, [])
    assert sum(each.digest is not None for each in kept) == len(codes) + 1
    assert told(ward).entries[0].codes == transparency_log.codes_root([each.value for each in kept])
    published = ward.publisher.shelf.read("log") or b""
    assert not any(code.encode() in published for code in codes)
    assert not any(
        bytes(value) in published for each in kept for value in (each.digest, each.salt, each.value) if value
    )


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


def test_a_restored_backup_takes_back_the_leaves_that_boxes_have_seen(ward: Ward) -> None:
    publish_key(ward, NOON)
    with ward.database.reading() as seen:
        backup = {table: seen.execute(table.select()).mappings().all() for table in METADATA.sorted_tables}
    publish_key(ward, NOON + DAY)
    before = told(ward)
    with ward.database.writing() as connection:
        for table in reversed(METADATA.sorted_tables):
            if table.name != "audit":
                connection.execute(table.delete())
        for table, rows in backup.items():
            if rows and table.name != "audit":
                connection.execute(table.insert(), [dict(row) for row in rows])

    publish_key(ward, NOON + 2 * DAY)

    after = told(ward)
    assert transparency_log.continued(after, Frontier().extended(before.leaves)).size == 3
    assert [batch.sequence for batch in ward.index().batches] == [1, 3]


def test_an_audit_finds_nothing_where_all_is_well(ward: Ward) -> None:
    publish_key(ward, NOON)
    ward.code(at=NOON)
    publish_key(ward, NOON + DAY)

    assert list(inspection.problems(ward.house, NOON + DAY)) == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE leaf SET at = at + 1 WHERE number = 0", "leaf 0 of the log was changed"),
        ("DELETE FROM commitment WHERE salt IS NOT NULL", "without a code that the log"),
        (
            "UPDATE commitment SET salt = NULL, digest = NULL WHERE leaf = 0",
            "without a code that the log had committed",
        ),
        ("DELETE FROM leaf_batch WHERE sequence = 1", "leaf 0 of the log was changed"),
    ],
)
def test_an_audit_finds_what_an_insider_changed(ward: Ward, statement: str, found: str) -> None:
    publish_key(ward, NOON)
    publish_key(ward, NOON + DAY)
    with ward.database.writing() as connection:
        connection.execute(text(statement))

    problems = list(inspection.problems(ward.house, NOON + DAY))

    assert any(found in problem for problem in problems), problems


def test_keys_that_an_insider_slips_in_are_found(ward: Ward) -> None:
    """Somebody with the database publishes a key for a case whose code never was."""
    publish_key(ward, NOON)
    stranger = key(NOON - NOON % DAY - DAY)
    case = ward.authority.open_case(Tier.F0, NOON)
    with ward.store.transaction() as transaction:
        transaction.put_upload(bytes(16), bytes(32), case.id, NOON, b"", [stranger])
        transaction.put_code(Code(bytes(32), case.id, NOON, NOON + DAY))
    ward.publisher.publish(NOON + DAY)
    with ward.database.writing() as connection:
        connection.execute(text("UPDATE commitment SET digest = NULL, salt = NULL WHERE leaf = 1"))

    problems = list(inspection.problems(ward.house, NOON + DAY))

    assert any("1 keys were published without a code" in problem for problem in problems), problems
