"""The device's database: real SQLite files."""

from __future__ import annotations

import os
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluezoned.errors import StoreError
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DailyKey, DiagnosisKey, Payload, Tier
from bluezoned.tracing.encounter import Encounter
from bluezoned.tracing.proximity import MINUTE, Minute
from bluezoned.tracing.schema import MIGRATIONS
from bluezoned.tracing.sealing import DamagedStoreError
from bluezoned.tracing.store import Store


def encounter(peer: int, start: int, minutes: int = 1) -> Encounter:
    first = start - start % MINUTE
    summary = tuple(Minute(first + i * MINUTE, 3, -60.5, -55, -60.5 + 2.0) for i in range(minutes))
    return Encounter(
        "bluezone", Payload(Opaque(bytes([peer]) * 12), None), start, max(start, summary[-1].at + 1), summary
    )


def diagnosis_key(secret: int, tier: Tier = Tier.F0, start: int = 0) -> DiagnosisKey:
    return DiagnosisKey("bluezone", Opaque(bytes([secret]) * 32), start, start + DAY, tier)


KEY = bytes(range(32))


def opened(path: Path, key: bytes = KEY) -> Store:
    return Store(path, key, os.urandom)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return opened(tmp_path / "bluezoned.db")


def test_encounter_survives_a_reopening(tmp_path: Path) -> None:
    kept = encounter(1, 90_000, minutes=3)
    with opened(tmp_path / "s.db") as store, store.transaction():
        store.put_encounters([kept])

    with opened(tmp_path / "s.db") as store:
        assert store.encounters(0, DAY) == [kept]


def test_growing_encounter_is_one_row(store: Store) -> None:
    store.put_encounters([encounter(1, 0, minutes=1)])
    store.put_encounters([encounter(1, 0, minutes=4)])

    (found,) = store.encounters(0, DAY)
    assert len(found.minutes) == 4


def test_an_encounter_that_goes_on_after_a_long_while_is_still_one(store: Store) -> None:
    """Much was heard meanwhile, and memory holds it no more as it was stored."""
    long_ago, since, grown = encounter(1, 0, minutes=2), encounter(2, 60 * MINUTE), encounter(1, 0, minutes=61)
    for put in (long_ago, since, grown):
        store.put_encounters([put])

    assert store.encounters(0, DAY) == [grown, since]


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    opened(tmp_path / "s.db").close()

    assert stat.S_IMODE((tmp_path / "s.db").stat().st_mode) == 0o600


def test_failed_transaction_changes_nothing(store: Store) -> None:
    def fail_half_way() -> None:
        with store.transaction():
            store.put_encounters([encounter(1, 0)])
            raise EOFError

    with pytest.raises(EOFError):
        fail_half_way()

    assert store.encounters(0, DAY) == []


def test_file_of_a_newer_version_is_refused_with_advice(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "s.db") as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")

    with pytest.raises(StoreError, match="newer bluezoned"):
        opened(tmp_path / "s.db")


def test_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"not a database, but somebody's notes" * 30)

    with pytest.raises(DamagedStoreError, match="not a database"):
        opened(path)
    assert path.read_bytes().startswith(b"not a database")


def test_order_of_a_shuffled_key_is_kept(store: Store) -> None:
    key = DailyKey(Opaque(b"s" * 32), 0, DAY, Opaque(b"o" * 16))

    store.put_own_key("dp3t", key)

    assert store.own_keys("dp3t") == [key]
    assert store.own_keys("gaen") == []


def test_bound_keys_end_at_the_cut(store: Store) -> None:
    store.put_own_key("bluezone", DailyKey(Opaque(b"a" * 32), 0, DAY))
    store.put_own_key("bluezone", DailyKey(Opaque(b"b" * 32), DAY, 2 * DAY))
    upload = store.put_upload(Opaque(b"n" * 16), b"sealed", DAY + 5)

    store.bind_own_keys("bluezone", upload, DAY + 900_000, store.own_keys("bluezone"))

    assert [(k.start, k.end) for k in store.own_keys("bluezone")] == [(0, DAY), (DAY, DAY + 900_000)]
    assert all(store.is_published("bluezone", k) for k in store.own_keys("bluezone"))


def test_keys_that_stay_are_not_bound(store: Store) -> None:
    store.put_own_key("bluezone", DailyKey(Opaque(b"a" * 32), 0, DAY))
    store.put_own_key("bluezone", DailyKey(Opaque(b"b" * 32), DAY, 2 * DAY))
    upload = store.put_upload(Opaque(b"n" * 16), b"sealed", DAY + 5)
    first, second = store.own_keys("bluezone")

    store.bind_own_keys("bluezone", upload, DAY + 900_000, [first])

    assert store.own_keys("bluezone") == [first, second]
    assert [store.is_published("bluezone", key) for key in (first, second)] == [True, False]


def test_match_links_key_and_encounters(store: Store) -> None:
    store.put_encounters([encounter(1, 0), encounter(2, 0)])
    ((row, start, end),) = store.sighted("bluezone").places(bytes([1]) * 12)
    assert (start, end) == (0, 1)

    store.put_match(diagnosis_key(9), 2 * DAY, [row])

    (matched,) = store.matches()
    assert matched.key == diagnosis_key(9)
    assert matched.encounters == (encounter(1, 0),)


def test_nearer_tier_wins(store: Store) -> None:
    store.put_match(diagnosis_key(9, Tier.F1), DAY, [])
    store.put_match(diagnosis_key(9, Tier.F0), 2 * DAY, [])
    store.put_match(diagnosis_key(9, Tier.F1), 3 * DAY, [])

    (matched,) = store.matches()
    assert matched.key.tier is Tier.F0


def test_revoked_key_is_forgotten_with_its_matches(store: Store) -> None:
    store.put_encounters([encounter(1, 0)])
    store.put_match(diagnosis_key(9), DAY, [1])

    assert store.revoke("bluezone", bytes([9]) * 32)
    assert not store.revoke("bluezone", bytes([9]) * 32)
    assert store.matches() == []
    assert len(store.encounters(0, DAY)) == 1


def test_revocation_of_own_key_closes_the_case(store: Store) -> None:
    store.put_own_key("bluezone", DailyKey(Opaque(b"a" * 32), 0, DAY))
    upload = store.put_upload(Opaque(b"n" * 16), b"sealed", 5)
    store.bind_own_keys("bluezone", upload, 900_000, store.own_keys("bluezone"))
    store.close_upload(upload, "accepted", "", Tier.F0)

    store.revoke_uploads_of([b"z" * 32])
    assert store.uploads()[0].state == "accepted"

    store.revoke_uploads_of([b"a" * 32])
    assert store.uploads()[0].state == "revoked"


@settings(max_examples=25, deadline=None)
@given(starts=st.lists(st.integers(0, 20 * DAY), max_size=20), before=st.integers(0, 21 * DAY))
def test_prune_is_idempotent_and_exact(
    starts: list[int], before: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with opened(tmp_path_factory.mktemp("prune") / "s.db") as store:
        store.put_encounters([encounter(peer, start) for peer, start in enumerate(starts)])
        store.put_match(diagnosis_key(9, start=0), DAY, [])

        store.prune(before)
        once = store.encounters(0, 30 * DAY)
        store.prune(before)

        assert store.encounters(0, 30 * DAY) == once
        assert len(once) == sum(start // DAY >= before // DAY for start in starts)
        assert len(store.matches()) == (before < DAY)


def test_pruned_encounter_leaves_no_match(store: Store) -> None:
    store.put_encounters([encounter(1, 0)])
    store.put_match(diagnosis_key(9, start=5 * DAY), DAY, [1])

    store.prune(3 * DAY)

    (matched,) = store.matches()
    assert matched.encounters == ()


def test_forgotten_bytes_do_not_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with opened(path) as store:
        store.put_own_key("bluezone", DailyKey(Opaque(b"SECRET-TO-FORGET" * 2), 0, DAY))
        store.prune(30 * DAY)

    assert b"SECRET-TO-FORGET" not in path.read_bytes()


# sealed


def everything_written(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_nothing_that_tells_of_anybody_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with opened(path) as store:
        store.put_encounters([encounter(0x55, 0, minutes=3)])
        store.put_own_key("dp3t", DailyKey(Opaque(b"s" * 32), 0, DAY, Opaque(b"o" * 16)))
        store.put_match(diagnosis_key(0x66), DAY, [0])
        written = everything_written(path)

        assert not [secret for secret in (b"\x55" * 12, b"s" * 16, b"o" * 16, b"\x66" * 16) if secret in written]
    assert b"\x55" * 12 not in everything_written(path)


def test_another_key_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "s.db") as store:
        store.put_encounters([encounter(1, 0)])

    with pytest.raises(StoreError, match="another key") as caught:
        opened(tmp_path / "s.db", bytes(32))

    assert not isinstance(caught.value, DamagedStoreError)
    with opened(tmp_path / "s.db") as store:
        assert store.encounters(0, DAY) == [encounter(1, 0)]


def test_a_pruned_day_cannot_be_opened_even_from_an_older_copy_of_its_blocks(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with opened(path) as store:
        store.put_encounters([encounter(1, 0)])
    with sqlite3.connect(path) as db:
        copy = db.execute("SELECT * FROM block").fetchall()
    with opened(path) as store:
        store.prune(3 * DAY)
    with sqlite3.connect(path) as db:
        db.executemany("INSERT INTO block VALUES (?, ?, ?, ?)", copy)

    with pytest.raises(DamagedStoreError):
        opened(path)


@pytest.mark.parametrize("table", ["block", "own_key", "diagnosis_key", "day_key"])
def test_a_changed_byte_is_noticed(table: str, tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with opened(path) as store:
        store.put_encounters([encounter(1, 0)])
        store.put_own_key("bluezone", DailyKey(Opaque(b"s" * 32), 0, DAY))
        store.put_match(diagnosis_key(9), DAY, [0])
    with sqlite3.connect(path) as db:
        ((sealed,),) = db.execute(f"SELECT sealed FROM {table}").fetchall()
        spoilt = sealed[:-1] + bytes((sealed[-1] ^ 1,))
        db.execute(f"UPDATE {table} SET sealed = ?", (spoilt,))

    def read_all() -> None:
        with opened(path) as store:
            store.own_secrets()
            store.matches()

    with pytest.raises(DamagedStoreError):
        read_all()


# news


minutes_of_a_day = st.lists(st.integers(1, 20), min_size=1, max_size=6)


@settings(max_examples=25, deadline=None)
@given(lengths=minutes_of_a_day, reopen_after=st.integers(0, 6), packed=st.booleans())
def test_what_is_written_in_pieces_reads_as_the_whole(
    lengths: list[int], reopen_after: int, packed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("news") / "s.db"
    store = opened(path)
    for number, minutes in enumerate(lengths):
        if number == reopen_after:
            store.close()
            store = opened(path)
        store.put_encounters([encounter(1, 5 * MINUTE, minutes), encounter(2 + number, number * MINUTE, minutes)])
    if packed:
        store.pack(2 * DAY)
    expected = {e.payload.rolling_id: e for e in [encounter(1, 5 * MINUTE, lengths[-1])]}
    expected |= {Opaque(bytes([2 + n]) * 12): encounter(2 + n, n * MINUTE, m) for n, m in enumerate(lengths)}

    for _ in range(2):
        assert {e.payload.rolling_id: e for e in store.encounters(0, DAY)} == expected
        places = [store.sighted("bluezone").places(rolling_id) for rolling_id in expected]
        assert [(p.start, p.end) for (p,) in places] == [(e.start, e.end) for e in expected.values()]
        store.close()
        store = opened(path)
    store.close()


def test_metadata_that_comes_later_is_kept(store: Store) -> None:
    first = encounter(1, 0)
    later = replace(first, payload=replace(first.payload, metadata=Opaque(b"mmmm")))
    store.put_encounters([first])

    store.put_encounters([later])

    assert store.encounters(0, DAY) == [later]


def test_a_failed_transaction_leaves_memory_as_the_file_is(store: Store) -> None:
    store.put_encounters([encounter(1, 0, minutes=1)])

    def fail_half_way() -> None:
        with store.transaction():
            store.put_encounters([encounter(1, 0, minutes=5), encounter(2, 0)])
            raise EOFError

    with pytest.raises(EOFError):
        fail_half_way()
    store.put_encounters([encounter(3, 0)])

    assert store.encounters(0, DAY) == [encounter(1, 0), encounter(3, 0)]
    assert store.sighted("bluezone").places(bytes([2]) * 12) == []
    store.put_encounters([encounter(1, 0, minutes=5)])
    assert encounter(1, 0, minutes=5) in store.encounters(0, DAY)


def test_erasing_a_part_of_a_day_leaves_the_rest(store: Store) -> None:
    store.put_encounters([encounter(1, 0), encounter(2, 5 * MINUTE), encounter(3, 9 * MINUTE)])
    ((row, _, _),) = store.sighted("bluezone").places(bytes([2]) * 12)
    store.put_match(diagnosis_key(9), DAY, [row])

    with store.transaction():
        store.erase_encounters(5 * MINUTE)

    assert store.encounters(0, DAY) == [encounter(1, 0)]
    assert store.matches() == []
    assert store.held([row]) == []
    store.put_encounters([encounter(4, 10 * MINUTE)])
    assert store.encounters(0, DAY) == [encounter(1, 0), encounter(4, 10 * MINUTE)]


# every released schema


def test_a_database_of_version_1_is_read_as_it_was(tmp_path: Path) -> None:
    """`released/1.db` was written by the last program with that schema: twelve encounters, keys, matches, an upload."""
    path = tmp_path / "s.db"
    path.write_bytes((Path(__file__).parent / "released" / "1.db").read_bytes())
    monday = 20_759 * DAY
    with sqlite3.connect(path) as db:
        before = db.execute(
            'SELECT protocol, rolling_id, metadata, start, "end" FROM encounter ORDER BY start'
        ).fetchall()

    for _ in range(2):
        with opened(path) as store:
            found = store.encounters(0, 2 * monday)
            assert [(e.protocol, e.payload.rolling_id, e.payload.metadata, e.start, e.end) for e in found] == before
            assert [len(e.minutes) for e in found] == [1 + number % 4 for number in range(1, 13)]
            assert found[1].minutes[1] == Minute(found[1].minutes[0].at + MINUTE, 4, -61.5, -55, -59.5)
            assert [(k.secret[:1], k.end) for k in store.own_keys("bluezone")] == [
                (b"a", monday + DAY),
                (b"b", monday + DAY + 900_000),
            ]
            assert store.own_keys("dp3t") == [DailyKey(Opaque(b"c" * 32), monday, monday + DAY, Opaque(b"o" * 16))]
            assert [store.is_published("bluezone", k) for k in store.own_keys("bluezone")] == [True, True]
            assert [(m.key.secret[:1], m.key.tier, m.published, len(m.encounters)) for m in store.matches()] == [
                (b"k", Tier.F1, monday + 2 * DAY, 1),
                (b"l", Tier.F0, monday + 2 * DAY, 2),
            ]
            assert store.matches()[0].encounters == (found[2],)
            assert store.batch_digest(1) == b"d" * 32
            assert (store.fact("newest batch"), store.fact("paused")) == ((1, None), (1, None))
            assert [(u.state, u.tier) for u in store.uploads()] == [("accepted", Tier.F0)]
    written = everything_written(path)
    assert not [secret for secret in (b"a" * 32, b"c" * 32, b"o" * 16, b"\x03" * 12, b"k" * 32) if secret in written]
