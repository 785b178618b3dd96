"""The acts of the authority on a real database, time pushed by hand. One test for each check of an upload."""

from __future__ import annotations

import os
import threading
from dataclasses import replace

import pytest

from bluezoned import upload
from bluezoned.authority.case import ALPHABET, CaseError, draw
from bluezoned.authority.plausibility import MOST_AT_ONCE, MOST_PER_DAY
from bluezoned.authority.verification import HOUR, MINUTE, PER_DAY, PER_HOUR, Kind
from bluezoned.opaque import Opaque
from bluezoned.protocols import registry
from bluezoned.protocols.protocol import DAY, DiagnosisKey, Tier
from bluezoned.upload import Receipt
from tests.authority.ward import MIDNIGHT, NOON, Ward, key, message


def guess(ward: Ward, times: int, at: int) -> None:
    """Wrong short codes: none of that length is ever issued."""
    for number in range(times):
        assert ward.send(message(f"{number:09d}"), at).problem == "code-unknown"


# staff


def test_codes_have_the_promised_shapes(ward: Ward) -> None:
    assert ward.code(kind=Kind.SHORT).isdigit()
    assert len(ward.code(kind=Kind.SHORT)) == 8
    assert set(ward.code(kind=Kind.LONG)) <= set(ALPHABET)
    assert len(ward.code(kind=Kind.LONG)) == 16


def test_draw_is_even() -> None:
    drawn = draw("0123456789", 20_000, os.urandom)

    assert all(1_700 < drawn.count(digit) < 2_300 for digit in "0123456789")


def test_contact_needs_a_source_and_a_confirmed_case_has_none(ward: Ward) -> None:
    source = ward.authority.open_case(Tier.F0, NOON)

    with pytest.raises(CaseError, match="source"):
        ward.authority.open_case(Tier.F1, NOON)
    with pytest.raises(CaseError, match="source"):
        ward.authority.open_case(Tier.F0, NOON, source.id)
    with pytest.raises(CaseError, match="only an F0"):
        ward.authority.open_case(Tier.F2, NOON, source.id)


def test_code_for_an_unknown_or_revoked_case_is_refused(ward: Ward) -> None:
    case = ward.authority.open_case(Tier.F0, NOON)
    ward.authority.revoke(case.id, NOON)

    with pytest.raises(CaseError, match="revoked"):
        ward.authority.issue_code(case.id, Kind.SHORT, NOON)
    with pytest.raises(CaseError, match="no such case"):
        ward.authority.issue_code("C-ABCDEFGH", Kind.SHORT, NOON)


def test_code_is_not_kept(ward: Ward) -> None:
    code = ward.code(kind=Kind.LONG)

    assert code.encode() not in ward.everything()
    assert all(code.encode() not in path.read_bytes() for path in ward.directory.glob("authority.db*"))


# the checks of an upload


def test_good_upload_gets_a_receipt_with_the_tier_of_the_case(ward: Ward) -> None:
    source = ward.authority.open_case(Tier.F0, NOON)

    first = ward.send(message(ward.code()), NOON)
    second = ward.send(message(ward.code(Tier.F1, source=source.id)), NOON)

    assert (first.accepted, first.tier, first.problem) == (True, Tier.F0, "")
    assert (second.accepted, second.tier) == (True, Tier.F1)


def test_same_upload_gets_the_same_receipt(ward: Ward) -> None:
    sent = message(ward.code())
    sealed = ward.seal(sent)

    assert ward.authority.accept(sealed, NOON) == ward.authority.accept(sealed, NOON + DAY)


def test_code_works_once_and_only_for_its_keys(ward: Ward) -> None:
    code = ward.code()
    sent = message(code)
    ward.send(sent, NOON)

    assert ward.send(message(code), NOON).problem == "code-used"
    assert ward.send(replace(sent, keys=(key(),)), NOON).problem == "nonce-reused"


def test_code_expires_to_the_millisecond(ward: Ward) -> None:
    code, other = ward.code(), ward.code()

    assert ward.send(message(code), NOON + 15 * MINUTE).problem == "code-expired"
    assert ward.send(message(other), NOON + 15 * MINUTE - 1).accepted


def test_long_code_lasts_a_day(ward: Ward) -> None:
    code = ward.code(kind=Kind.LONG)

    assert ward.send(message(code), NOON + 24 * HOUR - 1).accepted


def test_unknown_code_is_refused(ward: Ward) -> None:
    assert ward.send(message("00000000"), NOON).problem == "code-unknown"


def test_guessing_short_codes_is_locked_for_the_hour(ward: Ward) -> None:
    code = ward.code()
    guess(ward, PER_HOUR, NOON)

    assert ward.send(message(code), NOON).problem == "code-locked"
    assert ward.send(message(ward.code(kind=Kind.LONG)), NOON).accepted
    assert ward.send(message(ward.code(at=NOON + HOUR)), NOON + HOUR - 1).problem == "code-locked"
    assert ward.send(message(ward.code(at=NOON + HOUR)), NOON + HOUR).accepted


def test_who_guesses_on_is_held_for_twice_as_long(ward: Ward) -> None:
    guess(ward, PER_HOUR, NOON)
    guess(ward, PER_HOUR, NOON + HOUR)

    assert ward.send(message(ward.code(at=NOON + 2 * HOUR)), NOON + 3 * HOUR - 1).problem == "code-locked"
    assert ward.send(message(ward.code(at=NOON + 3 * HOUR)), NOON + 3 * HOUR).accepted


def test_slow_guessing_is_locked_for_the_rest_of_the_day(ward: Ward) -> None:
    for hour in range(5):
        guess(ward, PER_DAY // 5, NOON + hour * HOUR)
    at = NOON + 23 * HOUR

    assert ward.authority.guessing(at).last_day == PER_DAY
    assert ward.send(message(ward.code(at=at)), at).problem == "code-locked"
    assert ward.send(message(ward.code(at=NOON + DAY)), NOON + DAY).accepted


def test_same_upload_gets_its_receipt_although_codes_are_locked(ward: Ward) -> None:
    sent = message(ward.code())
    ward.send(sent, NOON)
    guess(ward, PER_HOUR, NOON)

    assert ward.send(sent, NOON).accepted


def test_wrong_long_code_is_no_failure(ward: Ward) -> None:
    ward.send(message("A" * 16), NOON)

    assert ward.authority.guessing(NOON).last_day == 0


def test_code_of_a_revoked_case_opens_nothing(ward: Ward) -> None:
    case = ward.authority.open_case(Tier.F0, NOON)
    code = ward.authority.issue_code(case.id, Kind.SHORT, NOON).code
    ward.authority.revoke(case.id, NOON)

    assert not ward.send(message(code), NOON).accepted


@pytest.mark.parametrize(
    "keys",
    [
        (key(MIDNIGHT - 15 * DAY),),
        (key(MIDNIGHT + DAY),),
        (key(MIDNIGHT, DAY),),
        (key(length=2 * DAY),),
        (key(length=10 * MINUTE),),
        tuple(key(MIDNIGHT - n * HOUR, HOUR) for n in range(1, MOST_PER_DAY + 2)),
        tuple(key() for _ in range(MOST_AT_ONCE + 1)),
        (replace(key(), secret=Opaque(b"s" * 32)), replace(key(), secret=Opaque(b"s" * 32))),
    ],
    ids=[
        "too old",
        "in the future",
        "ends in the future",
        "too long",
        "no whole rotation",
        "too many",
        "at once",
        "twice",
    ],
)
def test_impossible_keys_are_refused_and_the_code_stays_good(ward: Ward, keys: tuple[DiagnosisKey, ...]) -> None:
    code = ward.code()

    assert ward.send(message(code, *keys), NOON).problem == "keys-invalid"
    assert ward.send(message(code), NOON).accepted


def test_keys_that_aged_on_the_way_are_left_out_and_the_rest_counts(ward: Ward) -> None:
    """Sealed within 14 days just before midnight, posted after it."""
    aged, good = key(MIDNIGHT - 15 * DAY), key()

    assert ward.send(message(ward.code(), aged, good), NOON).accepted
    ward.publisher.publish(NOON)
    assert [k.secret for e in ward.exports() for k in e.keys] == [good.secret]


@pytest.mark.parametrize("protocol", registry.NAMES)
def test_present_day_of_each_protocol_is_possible(ward: Ward, protocol: str) -> None:
    length = DAY if protocol == "dp3t" else 12 * HOUR + 10 * MINUTE

    assert ward.send(message(ward.code(), key(MIDNIGHT, length, protocol)), NOON).accepted


def test_unreadable_upload_gets_a_receipt_of_the_same_size(ward: Ward) -> None:
    refusal = ward.authority.accept(os.urandom(upload.SEALED_SIZE), NOON)

    assert len(refusal) == upload.RECEIPT_SIZE
    assert upload.read_receipt(refusal, ward.public_key).problem == "unreadable"


def test_chaff_is_answered_alike_and_leaves_nothing(ward: Ward) -> None:
    before = ward.everything()

    answers = [ward.authority.accept(upload.seal_chaff(ward.sealing_key), NOON) for _ in range(PER_HOUR + 1)]

    assert ward.everything() == before
    assert ward.authority.guessing(NOON).last_day == 0
    assert {len(answer) for answer in answers} == {upload.RECEIPT_SIZE}
    assert ward.send(message(ward.code()), NOON).accepted


def test_two_uploads_at_once_use_a_code_once(ward: Ward) -> None:
    code = ward.code()
    receipts: list[Receipt] = []
    threads = [threading.Thread(target=lambda: receipts.append(ward.send(message(code), NOON))) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(receipt.accepted for receipt in receipts) == [False] * 7 + [True]
