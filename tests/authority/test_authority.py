"""The acts of the authority on a real database, time pushed by hand. One test for each check of an upload."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import key_export, key_index, upload
from bluezoned.authority import verification
from bluezoned.authority.authority import MOST_PER_DAY, Authority, Secrets
from bluezoned.authority.case import ALPHABET, CaseError, draw
from bluezoned.authority.publish import Publisher
from bluezoned.authority.store import Store, open_engine
from bluezoned.authority.verification import FAILURES_PER_HOUR, HOUR, MINUTE, Kind
from bluezoned.errors import StoreError
from bluezoned.opaque import Opaque
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY, DiagnosisKey, ReportType, Tier
from bluezoned.upload import Receipt, Upload

NOON = 20_760 * DAY + 12 * HOUR
SIZES = {"bluezone": 32, "gaen": 16, "dp3t": 32}


class House:
    """An authority with its keys and its published directory."""

    def __init__(self, directory: Path) -> None:
        self.signing_key = ec.generate_private_key(ec.SECP256R1())
        self.sealing_key = upload.generate_sealing_key()
        self.store = Store(open_engine(f"sqlite:///{directory / 'authority.db'}"))
        secrets = Secrets(self.signing_key, self.sealing_key, b"p" * 32)
        self.authority = Authority(self.store, secrets, os.urandom)
        self.publisher = Publisher(self.store, secrets, directory / "public", "test", "VN")

    def send(self, message: Upload, at: int) -> Receipt:
        sealed = upload.seal(message, upload.public_sealing_key(self.sealing_key))
        return upload.read_receipt(self.authority.accept(sealed, at), self.signing_key.public_key())

    def code(self, tier: Tier = Tier.F0, at: int = NOON, kind: Kind = Kind.SHORT, source: str | None = None) -> str:
        case = self.authority.open_case(tier, at, source)
        return self.authority.issue_code(case.id, kind, at).code

    def exports(self) -> list[key_export.KeyExport]:
        index = key_index.read((self.publisher.directory / "index").read_bytes(), self.signing_key.public_key())
        files = [self.publisher.directory / "batches" / batch.name for batch in index.batches]
        return [key_export.read(file.read_bytes(), self.signing_key.public_key()) for file in files]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    built = House(tmp_path)
    yield built
    built.store.close()


def key(start: int = NOON - NOON % DAY - DAY, length: int = DAY, protocol: str = "bluezone") -> DiagnosisKey:
    return DiagnosisKey(protocol, Opaque(os.urandom(SIZES[protocol])), start, start + length)


def message(code: str, *keys: DiagnosisKey) -> Upload:
    return Upload(code, keys or (key(),), Opaque(os.urandom(16)))


# staff


def test_codes_have_the_promised_shapes(house: House) -> None:
    assert house.code(kind=Kind.SHORT).isdigit()
    assert len(house.code(kind=Kind.SHORT)) == 8
    assert set(house.code(kind=Kind.LONG)) <= set(ALPHABET)
    assert len(house.code(kind=Kind.LONG)) == 16


def test_draw_is_even() -> None:
    drawn = draw("0123456789", 20_000, os.urandom)

    assert all(1_700 < drawn.count(digit) < 2_300 for digit in "0123456789")


def test_contact_needs_a_source_and_a_confirmed_case_has_none(house: House) -> None:
    source = house.authority.open_case(Tier.F0, NOON)

    with pytest.raises(CaseError, match="source"):
        house.authority.open_case(Tier.F1, NOON)
    with pytest.raises(CaseError, match="source"):
        house.authority.open_case(Tier.F0, NOON, source.id)
    with pytest.raises(CaseError, match="only an F0"):
        house.authority.open_case(Tier.F2, NOON, source.id)


def test_code_for_an_unknown_or_revoked_case_is_refused(house: House) -> None:
    case = house.authority.open_case(Tier.F0, NOON)
    house.authority.revoke(case.id, NOON)

    with pytest.raises(CaseError, match="revoked"):
        house.authority.issue_code(case.id, Kind.SHORT, NOON)
    with pytest.raises(CaseError, match="no such case"):
        house.authority.issue_code("C-ABCDEFGH", Kind.SHORT, NOON)


def test_code_is_not_kept(house: House, tmp_path: Path) -> None:
    code = house.code(kind=Kind.LONG)

    assert all(code.encode() not in path.read_bytes() for path in tmp_path.glob("authority.db*"))


# the checks of an upload


def test_good_upload_gets_a_receipt_with_the_tier_of_the_case(house: House) -> None:
    source = house.authority.open_case(Tier.F0, NOON)

    first = house.send(message(house.code()), NOON)
    second = house.send(message(house.code(Tier.F1, source=source.id)), NOON)

    assert (first.accepted, first.tier, first.problem) == (True, Tier.F0, "")
    assert (second.accepted, second.tier) == (True, Tier.F1)


def test_same_upload_gets_the_same_receipt(house: House) -> None:
    sent = message(house.code())
    sealed = upload.seal(sent, upload.public_sealing_key(house.sealing_key))

    assert house.authority.accept(sealed, NOON) == house.authority.accept(sealed, NOON + DAY)


def test_code_works_once_and_only_for_its_keys(house: House) -> None:
    code = house.code()
    sent = message(code)
    house.send(sent, NOON)

    assert house.send(message(code), NOON).problem == "code-used"
    assert house.send(replace(sent, keys=(key(),)), NOON).problem == "nonce-reused"


def test_code_expires_to_the_millisecond(house: House) -> None:
    code, other = house.code(), house.code()

    assert house.send(message(code), NOON + 15 * MINUTE).problem == "code-expired"
    assert house.send(message(other), NOON + 15 * MINUTE - 1).accepted


def test_long_code_lasts_a_day(house: House) -> None:
    code = house.code(kind=Kind.LONG)

    assert house.send(message(code), NOON + 24 * HOUR - 1).accepted


def test_unknown_code_is_refused(house: House) -> None:
    assert house.send(message("00000000"), NOON).problem == "code-unknown"


def test_guessing_short_codes_is_locked_for_the_hour(house: House) -> None:
    code = house.code()
    for number in range(FAILURES_PER_HOUR):
        house.send(message(f"{(int(code) + 1 + number) % 10**8:08d}"), NOON)

    assert house.send(message(code), NOON).problem == "code-locked"
    assert house.send(message(house.code(kind=Kind.LONG)), NOON).accepted
    assert house.send(message(house.code(at=NOON + HOUR)), NOON + HOUR).accepted


def test_code_of_a_revoked_case_opens_nothing(house: House) -> None:
    case = house.authority.open_case(Tier.F0, NOON)
    code = house.authority.issue_code(case.id, Kind.SHORT, NOON).code
    house.authority.revoke(case.id, NOON)

    assert not house.send(message(code), NOON).accepted


@pytest.mark.parametrize(
    "keys",
    [
        (key(NOON - 16 * DAY),),
        (key(NOON + DAY),),
        (key(NOON - NOON % DAY, DAY),),
        (key(length=2 * DAY),),
        (key(length=10 * MINUTE),),
        tuple(key(length=HOUR) for _ in range(MOST_PER_DAY + 1)),
        (replace(key(), secret=Opaque(b"s" * 32)), replace(key(), secret=Opaque(b"s" * 32))),
    ],
    ids=["too old", "in the future", "ends in the future", "too long", "no whole rotation", "too many", "twice"],
)
def test_impossible_keys_are_refused_and_the_code_stays_good(house: House, keys: tuple[DiagnosisKey, ...]) -> None:
    code = house.code()

    assert house.send(message(code, *keys), NOON).problem == "keys-invalid"
    assert house.send(message(code), NOON).accepted


@pytest.mark.parametrize("protocol", registry.NAMES)
def test_present_day_of_each_protocol_is_possible(house: House, protocol: str) -> None:
    today = NOON - NOON % DAY
    length = DAY if protocol == "dp3t" else NOON - today + 15 * MINUTE - (15 * MINUTE) % (10 * MINUTE)

    assert house.send(message(house.code(), key(today, length, protocol)), NOON).accepted


def test_unreadable_upload_gets_a_receipt_of_the_same_size(house: House) -> None:
    refusal = house.authority.accept(os.urandom(upload.SEALED_SIZE), NOON)

    assert len(refusal) == upload.RECEIPT_SIZE
    assert upload.read_receipt(refusal, house.signing_key.public_key()).problem == "unreadable"


def test_two_uploads_at_once_use_a_code_once(house: House) -> None:
    code = house.code()
    receipts: list[Receipt] = []
    threads = [threading.Thread(target=lambda: receipts.append(house.send(message(code), NOON))) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(receipt.accepted for receipt in receipts) == [False] * 7 + [True]


# publishing


def test_keys_wait_until_nobody_can_use_them_any_more(house: House) -> None:
    today = NOON - NOON % DAY
    yesterday, present = key(today - DAY), key(today, 12 * HOUR + 30 * MINUTE)
    house.send(message(house.code(), yesterday, present), NOON)

    house.publisher.publish(NOON)
    assert [k.secret for e in house.exports() for k in e.keys] == [yesterday.secret]

    house.publisher.publish(NOON + 30 * MINUTE + 15 * MINUTE - 1)
    assert len(house.exports()) == 1
    house.publisher.publish(NOON + 30 * MINUTE + 15 * MINUTE)
    assert [k.secret for e in house.exports() for k in e.keys] == [yesterday.secret, present.secret]


def test_tier_report_and_onset_come_from_the_case(house: House) -> None:
    case = house.authority.open_case(Tier.F0, NOON, onset=NOON // DAY - 3)
    contact = house.authority.open_case(Tier.F1, NOON, source=case.id)
    for case_id in (case.id, contact.id):
        house.send(message(house.authority.issue_code(case_id, Kind.SHORT, NOON).code), NOON)

    house.publisher.publish(NOON)

    (export,) = house.exports()
    assert {(k.tier, k.report_type, k.days_since_onset) for k in export.keys} == {
        (Tier.F0, ReportType.CONFIRMED_TEST, 2),
        (Tier.F1, ReportType.RECURSIVE, None),
    }


def test_revocation_takes_back_what_was_published_and_all_that_came_of_it(house: House) -> None:
    case = house.authority.open_case(Tier.F0, NOON)
    contact = house.authority.open_case(Tier.F1, NOON, source=case.id)
    for case_id in (case.id, contact.id):
        house.send(message(house.authority.issue_code(case_id, Kind.SHORT, NOON).code), NOON)
    house.publisher.publish(NOON)
    published = {k.secret for k in house.exports()[0].keys}

    assert set(house.authority.revoke(case.id, NOON)) == {case.id, contact.id}
    house.publisher.publish(NOON + HOUR)
    house.publisher.publish(NOON + 2 * HOUR)

    _, last = house.exports()
    assert {k.secret for k in last.revoked} == published
    assert last.keys == ()


def test_revoked_before_publication_is_never_published(house: House) -> None:
    case = house.authority.open_case(Tier.F0, NOON)
    house.send(message(house.authority.issue_code(case.id, Kind.SHORT, NOON).code), NOON)

    house.authority.revoke(case.id, NOON)
    house.publisher.publish(NOON + DAY)

    assert house.exports() == []


def test_key_of_another_standing_case_is_not_taken_back(house: House) -> None:
    shared = key()
    cases = [house.authority.open_case(Tier.F0, NOON) for _ in range(2)]
    for case in cases:
        house.send(message(house.authority.issue_code(case.id, Kind.SHORT, NOON).code, shared), NOON)
    house.publisher.publish(NOON)

    house.authority.revoke(cases[0].id, NOON)
    house.publisher.publish(NOON + HOUR)

    assert len(house.exports()) == 1


def test_batches_count_from_one_without_gaps(house: House) -> None:
    for hour in range(3):
        for protocol in registry.NAMES:
            house.send(message(house.code(at=NOON + hour * HOUR), key(protocol=protocol)), NOON + hour * HOUR)
        house.publisher.publish(NOON + hour * HOUR)

    assert [export.sequence for export in house.exports()] == list(range(1, 10))


def test_published_files_never_change(house: House) -> None:
    house.send(message(house.code()), NOON)
    house.publisher.publish(NOON)
    before = {p.name: p.read_bytes() for p in (house.publisher.directory / "batches").iterdir()}

    house.send(message(house.code(at=NOON + HOUR)), NOON + HOUR)
    house.publisher.publish(NOON + HOUR)

    after = {p.name: p.read_bytes() for p in (house.publisher.directory / "batches").iterdir()}
    assert before.items() < after.items()


def test_everything_is_forgotten_after_fourteen_days(house: House, tmp_path: Path) -> None:
    sent = message(house.code())
    house.send(sent, NOON)
    house.publisher.publish(NOON)

    house.publisher.publish(NOON + 15 * DAY)

    assert house.exports() == []
    assert list((house.publisher.directory / "batches").iterdir()) == []
    assert house.authority.cases() == []


def test_leftover_of_a_killed_run_is_removed(house: House) -> None:
    house.publisher.publish(NOON)
    leftover = house.publisher.directory / "batches" / "bluezone-00000001-0123456789abcdef.zip"
    leftover.write_bytes(b"half")

    house.publisher.publish(NOON + HOUR)

    assert not leftover.exists()


def test_full_disk_lists_nothing_and_is_said(house: House, tmp_path: Path) -> None:
    house.send(message(house.code()), NOON)
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "batches").write_text("in the way")

    with pytest.raises(StoreError, match="cannot write"):
        house.publisher.publish(NOON)
    (tmp_path / "public" / "batches").unlink()
    house.publisher.publish(NOON)

    assert [export.sequence for export in house.exports()] == [1]


def test_digest_of_a_code_depends_on_the_pepper() -> None:
    assert verification.digest("12345678", b"a" * 32) != verification.digest("12345678", b"b" * 32)
