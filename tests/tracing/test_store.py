"""The device's database: real SQLite files."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bluezoned.errors import StoreError
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DAY, DailyKey, DiagnosisKey, Payload, Tier
from bluezoned.tracing.encounter import Encounter
from bluezoned.tracing.proximity import MINUTE, Minute
from bluezoned.tracing.store import MIGRATIONS, Store


def encounter(peer: int, start: int, minutes: int = 1) -> Encounter:
    first = start - start % MINUTE
    summary = tuple(Minute(first + i * MINUTE, 3, -60.5, -55, -60.5 + 2.0) for i in range(minutes))
    return Encounter("bluezone", Payload(Opaque(bytes([peer]) * 12), None), start, summary[-1].at + 1, summary)


def diagnosis_key(secret: int, tier: Tier = Tier.F0, start: int = 0) -> DiagnosisKey:
    return DiagnosisKey("bluezone", Opaque(bytes([secret]) * 32), start, start + DAY, tier)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "bluezoned.db")


def test_encounter_survives_a_reopening(tmp_path: Path) -> None:
    kept = encounter(1, 90_000, minutes=3)
    with Store(tmp_path / "s.db") as store, store.transaction():
        store.put_encounters([kept])

    with Store(tmp_path / "s.db") as store:
        assert store.encounters(0, DAY) == [kept]


def test_growing_encounter_is_one_row(store: Store) -> None:
    store.put_encounters([encounter(1, 0, minutes=1)])
    store.put_encounters([encounter(1, 0, minutes=4)])

    (found,) = store.encounters(0, DAY)
    assert len(found.minutes) == 4


def test_only_the_owner_can_read_the_file(tmp_path: Path) -> None:
    Store(tmp_path / "s.db").close()

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
        Store(tmp_path / "s.db")


def test_file_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(b"not a database, but somebody's notes" * 30)

    with pytest.raises(StoreError, match="cannot open"):
        Store(path)
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
    with Store(tmp_path_factory.mktemp("prune") / "s.db") as store:
        store.put_encounters([encounter(peer, start) for peer, start in enumerate(starts)])
        store.put_match(diagnosis_key(9, start=0), DAY, [])

        store.prune(before)
        once = store.encounters(0, 30 * DAY)
        store.prune(before)

        assert store.encounters(0, 30 * DAY) == once
        assert len(once) == sum(encounter(1, start).end >= before for start in starts)
        assert len(store.matches()) == (before <= DAY)


def test_pruned_encounter_leaves_no_match(store: Store) -> None:
    store.put_encounters([encounter(1, 0)])
    store.put_match(diagnosis_key(9, start=5 * DAY), DAY, [1])

    store.prune(3 * DAY)

    (matched,) = store.matches()
    assert matched.encounters == ()


def test_forgotten_bytes_do_not_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with Store(path) as store:
        store.put_own_key("bluezone", DailyKey(Opaque(b"SECRET-TO-FORGET" * 2), 0, DAY))
        store.prune(30 * DAY)

    assert b"SECRET-TO-FORGET" not in path.read_bytes()
