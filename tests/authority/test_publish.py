"""Publishing on a real database and directory, time pushed by hand."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy import delete, insert, select

from bluezoned.authority import tables
from bluezoned.authority.publish import LEASE, Published
from bluezoned.authority.shelf import DirectoryShelf
from bluezoned.authority.verification import HOUR, MINUTE
from bluezoned.errors import StoreError
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY, DiagnosisKey, ReportType, Tier
from tests.authority.ward import MIDNIGHT, NOON, Ward, key, message


def secrets(keys: tuple[DiagnosisKey, ...]) -> set[bytes]:
    return {bytes(key.secret) for key in keys}


def test_keys_wait_until_nobody_can_use_them_any_more(ward: Ward) -> None:
    yesterday, present = key(), key(MIDNIGHT, 12 * HOUR + 30 * MINUTE)
    ward.send(message(ward.code(), yesterday, present), NOON)

    ward.publisher.publish(NOON)
    assert [k.secret for e in ward.exports() for k in e.keys] == [yesterday.secret]

    ward.publisher.publish(NOON + 30 * MINUTE + 15 * MINUTE - 1)
    assert len(ward.exports()) == 1
    ward.publisher.publish(NOON + 30 * MINUTE + 15 * MINUTE)
    assert [k.secret for e in ward.exports() for k in e.keys] == [yesterday.secret, present.secret]


def test_tier_report_and_onset_come_from_the_case(ward: Ward) -> None:
    case = ward.authority.open_case(Tier.F0, NOON, onset=NOON // DAY - 3)
    contact = ward.authority.open_case(Tier.F1, NOON, source=case.id)
    for case_id in (case.id, contact.id):
        ward.send_for(case_id)

    ward.publisher.publish(NOON)

    (export,) = ward.exports()
    assert {(k.tier, k.report_type, k.days_since_onset) for k in export.keys} == {
        (Tier.F0, ReportType.CONFIRMED_TEST, 2),
        (Tier.F1, ReportType.RECURSIVE, None),
    }


def test_revocation_takes_back_what_was_published_and_all_that_came_of_it(ward: Ward) -> None:
    case = ward.authority.open_case(Tier.F0, NOON)
    contact = ward.authority.open_case(Tier.F1, NOON, source=case.id)
    for case_id in (case.id, contact.id):
        ward.send_for(case_id)
    ward.publisher.publish(NOON)
    published = {k.secret for k in ward.exports()[0].keys}

    assert set(ward.authority.revoke(case.id, NOON)) == {case.id, contact.id}
    ward.publisher.publish(NOON + HOUR)
    ward.publisher.publish(NOON + 2 * HOUR)

    _, last = ward.exports()
    assert {k.secret for k in last.revoked} == published
    assert last.keys == ()


def test_revoked_before_publication_is_never_published(ward: Ward) -> None:
    case = ward.authority.open_case(Tier.F0, NOON)
    ward.send_for(case.id)

    ward.authority.revoke(case.id, NOON)
    ward.publisher.publish(NOON + DAY)

    assert ward.exports() == []


def test_key_of_another_standing_case_is_not_taken_back(ward: Ward) -> None:
    shared = key()
    cases = [ward.authority.open_case(Tier.F0, NOON) for _ in range(2)]
    for case in cases:
        ward.send_for(case.id, shared)
    ward.publisher.publish(NOON)

    ward.authority.revoke(cases[0].id, NOON)
    ward.publisher.publish(NOON + HOUR)

    assert len(ward.exports()) == 1


def test_batches_count_from_one_without_gaps(ward: Ward) -> None:
    for hour in range(3):
        for protocol in registry.NAMES:
            ward.send(message(ward.code(at=NOON + hour * HOUR), key(protocol=protocol)), NOON + hour * HOUR)
        ward.publisher.publish(NOON + hour * HOUR)

    assert [export.sequence for export in ward.exports()] == list(range(1, 10))


def test_published_files_never_change(ward: Ward) -> None:
    ward.send(message(ward.code()), NOON)
    ward.publisher.publish(NOON)
    before = {path.name: path.read_bytes() for path in ward.files.iterdir()}

    ward.send(message(ward.code(at=NOON + HOUR)), NOON + HOUR)
    ward.publisher.publish(NOON + HOUR)

    after = {path.name: path.read_bytes() for path in ward.files.iterdir()}
    assert before.items() < after.items()


def test_everything_is_forgotten_after_fourteen_days(ward: Ward) -> None:
    sent = message(ward.code())
    ward.send(sent, NOON)
    ward.publisher.publish(NOON)

    ward.publisher.publish(NOON + 15 * DAY)

    assert ward.exports() == []
    assert list(ward.files.iterdir()) == []
    assert ward.authority.cases() == []


def test_leftover_of_a_killed_run_is_removed_once_its_number_is_past(ward: Ward) -> None:
    """Until then it may be the file of a worker that took over."""
    ward.publisher.publish(NOON)
    ward.files.mkdir()
    leftover = ward.files / "bluezone-00000001-0123456789abcdef.zip"
    leftover.write_bytes(b"half")
    ward.publisher.publish(NOON + HOUR)
    assert leftover.exists()

    ward.send(message(ward.code(at=NOON + HOUR)), NOON + HOUR)
    ward.publisher.publish(NOON + 2 * HOUR)

    assert not leftover.exists()
    ward.require_whole()


def test_full_disk_lists_nothing_and_is_said(ward: Ward) -> None:
    ward.send(message(ward.code()), NOON)
    ward.files.parent.mkdir()
    ward.files.write_text("in the way")

    with pytest.raises(StoreError, match="what is published"):
        ward.publisher.publish(NOON)
    ward.files.unlink()
    ward.publisher.publish(NOON)

    assert [export.sequence for export in ward.exports()] == [1]


def test_f1_that_still_stands_is_told_again_when_the_nearer_f0_falls(ward: Ward) -> None:
    """Who was F1, then F0 by a laboratory's error, is an F1 again: boxes forget the key, then learn it anew."""
    shared = key()
    source = ward.authority.open_case(Tier.F0, NOON)
    contact = ward.authority.open_case(Tier.F1, NOON, source=source.id)
    mistaken = ward.authority.open_case(Tier.F0, NOON)
    ward.send_for(contact.id, shared)
    ward.publisher.publish(NOON)
    ward.send_for(mistaken.id, shared)
    ward.publisher.publish(NOON + HOUR)

    ward.authority.revoke(mistaken.id, NOON + HOUR)
    ward.publisher.publish(NOON + 2 * HOUR)

    first, nearer, fallen, again = ward.exports()
    assert [k.tier for k in first.keys + nearer.keys] == [Tier.F1, Tier.F0]
    assert (secrets(fallen.revoked), fallen.keys) == ({shared.secret}, ())
    assert ([k.tier for k in again.keys], again.revoked) == ([Tier.F1], ())


def test_nearer_f0_stays_when_the_f1_falls(ward: Ward) -> None:
    shared = key()
    source = ward.authority.open_case(Tier.F0, NOON)
    contact = ward.authority.open_case(Tier.F1, NOON, source=source.id)
    confirmed = ward.authority.open_case(Tier.F0, NOON)
    for case in (contact, confirmed):
        ward.send_for(case.id, shared)
    ward.publisher.publish(NOON)

    ward.authority.revoke(contact.id, NOON)
    ward.publisher.publish(NOON + HOUR)

    assert len(ward.exports()) == 1


def test_index_is_signed_anew_by_each_run(ward: Ward) -> None:
    ward.publisher.publish(NOON)
    first = ward.index()
    ward.publisher.publish(NOON + HOUR)

    assert (first.issued, ward.index().issued) == (NOON, NOON + HOUR)
    assert ward.index().expires == NOON + HOUR + 14 * DAY


def test_clock_that_is_put_back_neither_stops_nor_silences(ward: Ward) -> None:
    """Boxes refuse an index older than one they know, and an export that ends before it begins."""
    ward.send(message(ward.code()), NOON)
    ward.publisher.publish(NOON)

    ward.send(message(ward.code(at=NOON - HOUR)), NOON - HOUR)
    ward.publisher.publish(NOON - HOUR)

    assert ward.index().issued == NOON
    assert [export.start <= export.end for export in ward.exports()] == [True, True]


def test_windows_of_batches_follow_one_another(ward: Ward) -> None:
    for hour in range(3):
        ward.send(message(ward.code(at=NOON + hour * HOUR)), NOON + hour * HOUR)
        ward.publisher.publish(NOON + hour * HOUR + 1)

    first, second, third = ward.exports()
    assert (first.end, second.end) == (second.start, third.start)
    assert first.end == NOON + 1000


@pytest.mark.parametrize("damage", ["gone", "cut short"])
def test_what_a_lost_file_told_is_told_again(ward: Ward, damage: str) -> None:
    sent = message(ward.code())
    ward.send(sent, NOON)
    ward.publisher.publish(NOON)
    (file,) = ward.files.iterdir()
    file.unlink() if damage == "gone" else file.write_bytes(file.read_bytes()[:-1])

    ward.publisher.publish(NOON + HOUR)

    (export,) = ward.exports()
    assert secrets(export.keys) == secrets(sent.keys)
    assert export.sequence == ward.index().sequence == 2


def test_lost_revocation_is_told_again(ward: Ward) -> None:
    case = ward.authority.open_case(Tier.F0, NOON)
    sent = key()
    ward.send_for(case.id, sent)
    ward.publisher.publish(NOON)
    ward.authority.revoke(case.id, NOON)
    ward.publisher.publish(NOON + HOUR)
    for file in ward.files.iterdir():
        file.unlink()

    ward.publisher.publish(NOON + 2 * HOUR)

    (export,) = ward.exports()
    assert (secrets(export.revoked), export.keys) == ({sent.secret}, ())


def publish_patiently(ward: Ward) -> None:
    while ward.publisher.publish(NOON, due=NOON) is None:
        time.sleep(0.01)


def test_runs_at_once_publish_everything_once(ward: Ward) -> None:
    """As the server's schedule and the command `publish` may."""
    for protocol in registry.NAMES:
        ward.send(message(ward.code(), key(protocol=protocol)), NOON)
    others = [Ward(ward.directory) for _ in range(4)]
    threads = [threading.Thread(target=publish_patiently, args=(other,)) for other in others]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.database.close()

    ward.require_whole()
    assert len(ward.exports()) == 3


# PostgreSQL overwrites what was deleted only when it uses the place again; docs/operations.md says so.
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_forgotten_keys_are_not_in_the_file_of_the_database(ward: Ward) -> None:
    sent = key()
    ward.send(message(ward.code(), sent), NOON)

    assert any(bytes(sent.secret) in path.read_bytes() for path in ward.directory.glob("authority.db*"))
    ward.publisher.publish(NOON + 15 * DAY)
    ward.database.close()

    assert all(bytes(sent.secret) not in path.read_bytes() for path in ward.directory.glob("authority.db*"))


def test_keys_of_a_revoked_case_that_nobody_saw_are_forgotten_at_once(ward: Ward) -> None:
    case = ward.authority.open_case(Tier.F0, NOON)
    ward.send_for(case.id)

    ward.authority.revoke(case.id, NOON)

    with ward.store.snapshot() as seen:
        assert {name: n for name, n in seen.counts(NOON).items() if name.startswith("keys")} == {
            "keys_waiting": 0,
            "keys_published": 0,
            "keys_revoked": 0,
        }


def test_index_left_unfinished_by_a_killed_run_is_removed(ward: Ward) -> None:
    ward.publisher.publish(NOON)
    leftover = ward.files.parent / ".index.12345"
    leftover.write_bytes(b"half")

    ward.publisher.publish(NOON + HOUR)

    assert not leftover.exists()


# several workers


def test_worker_that_was_killed_holds_up_the_others_for_five_minutes(ward: Ward) -> None:
    ward.send(message(ward.code()), NOON)
    with ward.store.transaction() as transaction:
        assert transaction.take_lease("publish", b"killed", NOON, NOON + LEASE)

    assert ward.publisher.publish(NOON + LEASE - 1) is None
    assert ward.publisher.publish(NOON + LEASE) == Published(1, 1, 0)


def test_lease_from_a_clock_that_ran_ahead_does_not_count(ward: Ward) -> None:
    with ward.store.transaction() as transaction:
        transaction.take_lease("publish", b"ahead", NOON + DAY, NOON + DAY + LEASE)

    assert ward.publisher.publish(NOON) is not None


def test_what_another_worker_has_done_is_not_done_again(ward: Ward) -> None:
    ward.publisher.publish(NOON)
    ward.send(message(ward.code()), NOON)

    assert ward.publisher.publish(NOON + 1, due=NOON) == Published(0, 0, 0)
    assert ward.publisher.publish(NOON + HOUR, due=NOON + HOUR) == Published(1, 1, 0)


class OvertakingShelf(DirectoryShelf):
    """A worker that stands still while it writes, for so long that another takes over and publishes."""

    def __init__(self, ward: Ward, at: int) -> None:
        super().__init__(ward.directory / "public")
        self._ward = ward
        self._at = at
        self.overtaken = 0

    def put(self, name: str, content: bytes) -> None:
        if not self.overtaken:
            self.overtaken = 1
            assert self._ward.publisher.publish(self._at + LEASE) is not None
        super().put(name, content)


def test_worker_that_was_overtaken_lists_nothing_any_more(ward: Ward) -> None:
    ward.send(message(ward.code()), NOON)
    slow = replace(ward.publisher, shelf=OvertakingShelf(ward, NOON))

    assert slow.publish(NOON) is None
    ward.send(message(ward.code(at=NOON + HOUR)), NOON + HOUR)
    ward.publisher.publish(NOON + HOUR)

    ward.require_whole()
    assert [len(export.keys) for export in ward.exports()] == [1, 1]


class RevokingShelf(DirectoryShelf):
    """While the first batch is written, a case is taken back."""

    def __init__(self, ward: Ward, case_id: str) -> None:
        super().__init__(ward.directory / "public")
        self._ward = ward
        self._cases = [case_id]

    def put(self, name: str, content: bytes) -> None:
        if self._cases:
            self._ward.authority.revoke(self._cases.pop(), NOON)
        super().put(name, content)


def test_key_that_is_taken_back_while_its_batch_is_written_is_not_told(ward: Ward) -> None:
    case = ward.authority.open_case(Tier.F0, NOON)
    ward.send_for(case.id)
    kept = message(ward.code())
    ward.send(kept, NOON)

    done = replace(ward.publisher, shelf=RevokingShelf(ward, case.id)).publish(NOON)

    assert done == Published(1, 1, 0)
    ward.publisher.publish(NOON + HOUR)
    (export,) = ward.exports()
    assert secrets(export.keys) == secrets(kept.keys)


def test_f1_is_told_after_its_nearer_f0_that_falls_while_it_is_written(ward: Ward) -> None:
    """Told before, boxes would forget it with the F0."""
    shared = key()
    source = ward.authority.open_case(Tier.F0, NOON)
    contact = ward.authority.open_case(Tier.F1, NOON, source=source.id)
    mistaken = ward.authority.open_case(Tier.F0, NOON)
    ward.send_for(mistaken.id, shared)
    ward.publisher.publish(NOON)
    ward.send_for(contact.id, shared)

    replace(ward.publisher, shelf=RevokingShelf(ward, mistaken.id)).publish(NOON + HOUR)

    told, fallen, again = ward.exports()
    assert [k.tier for k in told.keys] == [Tier.F0]
    assert (secrets(fallen.revoked), fallen.keys) == ({shared.secret}, ())
    assert ([k.tier for k in again.keys], again.revoked) == ([Tier.F1], ())


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_cases_that_fall_while_batches_are_listed_are_taken_back(ward: Ward) -> None:
    """At once, as only PostgreSQL lets them: whatever a batch told, a batch takes back."""
    cases = [ward.authority.open_case(Tier.F0, NOON).id for _ in range(40)]
    for case in cases:
        ward.send_for(case)
    other = Ward(ward.directory)

    def revoke() -> None:
        for case in cases:
            other.authority.revoke(case, NOON)

    revoking = threading.Thread(target=revoke)
    revoking.start()
    while revoking.is_alive():
        ward.publisher.publish(NOON)
    revoking.join()
    other.database.close()
    stands = message(ward.code())
    ward.send(stands, NOON)
    ward.publisher.publish(NOON + HOUR)
    ward.publisher.publish(NOON + 2 * HOUR)

    told = [bytes(k.secret) for export in ward.exports() for k in export.keys]
    fallen = [bytes(k.secret) for export in ward.exports() for k in export.revoked]
    assert sorted(told) == sorted([*fallen, stands.keys[0].secret])
    ward.require_whole()


def test_key_that_came_late_is_told_by_a_later_batch(ward: Ward) -> None:
    """Rows are numbered as they are written, not as they are committed: what stands between told ones may wait."""
    first, late, last = key(), key(), key()
    for sent in (first, late, last):
        ward.send(message(ward.code(), sent), NOON)
    with ward.store.transaction() as transaction:
        held = transaction.connection.execute(
            select(tables.key.c.id).where(tables.key.c.secret == bytes(late.secret))
        ).scalar_one()
        transaction.connection.execute(delete(tables.waiting).where(tables.waiting.c.key_id == held))
    ward.publisher.publish(NOON)
    with ward.store.transaction() as transaction:
        transaction.connection.execute(insert(tables.waiting).values(key_id=held))

    ward.publisher.publish(NOON + HOUR)

    assert [secrets(export.keys) for export in ward.exports()] == [{first.secret, last.secret}, {late.secret}]
    for file in ward.files.glob("bluezone-00000001*"):
        file.unlink()
    ward.publisher.publish(NOON + 2 * HOUR)
    assert [secrets(export.keys) for export in ward.exports()] == [{late.secret}, {first.secret, last.secret}]


# padding


def test_small_batch_is_filled_up_with_keys_that_look_alike(ward: Ward) -> None:
    sent = message(ward.code(), key(), key(MIDNIGHT - 2 * DAY))
    ward.send(sent, NOON)
    manner = replace(ward.publisher.manner, least_keys=150)

    published = replace(ward.publisher, manner=manner).publish(NOON)

    (export,) = ward.exports()
    assert published == Published(1, 2, 0)
    assert 150 <= len(export.keys) <= 165
    assert secrets(sent.keys) < secrets(export.keys)
    assert {k.start for k in export.keys} == {k.start for k in sent.keys}
    assert {(k.tier, k.report_type, k.days_since_onset) for k in export.keys} == {
        (Tier.F0, ReportType.CONFIRMED_TEST, None)
    }
    assert [k.secret for k in export.keys] == sorted(k.secret for k in export.keys)


def test_large_batch_needs_no_padding(ward: Ward) -> None:
    for _ in range(3):
        ward.send(message(ward.code(), key(), key(MIDNIGHT - 2 * DAY)), NOON)
    manner = replace(ward.publisher.manner, least_keys=5)

    replace(ward.publisher, manner=manner).publish(NOON)

    assert len(ward.exports()[0].keys) == 6
