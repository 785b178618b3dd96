"""How loud a published key was heard: told under codes, counted from five on, published once."""

from __future__ import annotations

import os

from bluezoned.authority.verification import HOUR
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DiagnosisKey, Tier
from bluezoned.upload import Hearing, Upload
from tests.authority.ward import NOON, Ward, key


def published(ward: Ward) -> tuple[str, DiagnosisKey]:
    """A case and its key, which is out."""
    case = ward.authority.open_case(Tier.F0, NOON)
    ill = key()
    ward.send_for(case.id, ill)
    ward.publisher.publish(NOON)
    return case.id, ill


def tell(ward: Ward, heard: DiagnosisKey, loudness: int, code: str) -> None:
    hearing = Hearing(Opaque(heard.secret[:8]), loudness)
    assert ward.send(Upload(code, (key(),), Opaque(os.urandom(16)), (hearing,)), NOON).accepted


def loudnesses(ward: Ward, of: DiagnosisKey) -> list[int | None]:
    return [k.loudness for export in ward.exports() for k in export.keys if k.secret == of.secret]


def test_five_cases_make_a_key_louder_and_four_do_not(ward: Ward) -> None:
    _, ill = published(ward)
    for _ in range(4):
        tell(ward, ill, 8, ward.code())
    ward.publisher.publish(NOON + HOUR)
    assert loudnesses(ward, ill) == [None]

    tell(ward, ill, 8, ward.code())
    ward.publisher.publish(NOON + 2 * HOUR)

    assert loudnesses(ward, ill) == [None, 5]
    ward.require_whole()


def test_loudness_is_published_once(ward: Ward) -> None:
    _, ill = published(ward)
    for _ in range(5):
        tell(ward, ill, 8, ward.code())
    ward.publisher.publish(NOON + HOUR)

    tell(ward, ill, -12, ward.code())
    ward.publisher.publish(NOON + 2 * HOUR)

    assert loudnesses(ward, ill) == [None, 5]


def test_one_case_counts_once_and_its_own_key_not_at_all(ward: Ward) -> None:
    case, ill = published(ward)
    other = ward.authority.open_case(Tier.F0, NOON).id
    for teller in (*[other] * 5, *[case] * 5):
        hearing = Hearing(Opaque(ill.secret[:8]), 12)
        ward.send(
            Upload(ward.issue(teller), (key(),), Opaque(os.urandom(16)), (hearing,)),
            NOON,
        )

    ward.publisher.publish(NOON + HOUR)

    assert loudnesses(ward, ill) == [None]


def test_revoked_cases_have_told_nothing(ward: Ward) -> None:
    _, ill = published(ward)
    liar = ward.authority.open_case(Tier.F0, NOON).id
    tell(ward, ill, 12, ward.issue(liar))
    for _ in range(4):
        tell(ward, ill, 8, ward.code())

    ward.authority.revoke(liar, NOON)
    ward.publisher.publish(NOON + HOUR)

    assert loudnesses(ward, ill) == [None]


def test_keys_that_are_not_published_here_are_not_kept(ward: Ward) -> None:
    published(ward)
    unknown = key()

    tell(ward, unknown, 8, ward.code())

    assert bytes(unknown.secret[:8]) not in ward.everything()


def test_loudness_of_a_lost_file_is_told_again(ward: Ward) -> None:
    _, ill = published(ward)
    for _ in range(5):
        tell(ward, ill, 8, ward.code())
    ward.publisher.publish(NOON + HOUR)
    (ward.files / ward.index().batches[-1].name).unlink()

    ward.publisher.publish(NOON + 2 * HOUR)

    assert loudnesses(ward, ill) == [None, 5]
