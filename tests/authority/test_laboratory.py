"""Laboratories: what their tokens open, how much, and that nothing of them can be read from the database."""

from __future__ import annotations

import pytest

from bluezoned.authority.case import CaseError, CaseProblem
from bluezoned.authority.laboratory import PER_MINUTE, SCOPES, CaseStatus, Denial, LaboratoryError
from bluezoned.authority.office import Registration
from bluezoned.authority.staff_store import Act, StaffRecords, Wanted
from bluezoned.authority.verification import HOUR, MINUTE, Kind
from bluezoned.protocols.protocol import DAY, Tier
from tests.authority.ward import NOON, Ward, message


def denial(ward: Ward, token: str, at: int = NOON) -> Denial | None:
    try:
        ward.house.laboratories.register(token, Registration(Tier.F0), Kind.LONG, at)
    except LaboratoryError as error:
        return error.denial
    return None


def test_laboratory_opens_a_case_under_whose_code_keys_are_taken(ward: Ward) -> None:
    token = ward.house.laboratories.add("St. Mary 2", SCOPES, 100, NOON)

    done = ward.house.laboratories.register(token, Registration(Tier.F0, None, "L-77"), Kind.SHORT, NOON)

    assert ward.send(message(done.code.code), NOON).accepted
    assert ward.house.laboratories.revoke(token, done.case.id, NOON) == [done.case.id]


def test_what_a_laboratory_did_is_in_the_audit_log(ward: Ward) -> None:
    token = ward.house.laboratories.add("mary", SCOPES, 100, NOON)
    ward.house.laboratories.register(token, Registration(Tier.F0), Kind.SHORT, NOON)

    assert b"laboratory mary" in ward.everything()


def test_token_opens_only_its_scope(ward: Ward) -> None:
    token = ward.house.laboratories.add("mary", frozenset({"issue"}), 100, NOON)
    done = ward.house.laboratories.register(token, Registration(Tier.F0), Kind.SHORT, NOON)

    with pytest.raises(LaboratoryError) as refused:
        ward.house.laboratories.revoke(token, done.case.id, NOON)
    assert refused.value.denial == Denial.SCOPE


def test_unknown_and_removed_token_open_nothing(ward: Ward) -> None:
    token = ward.house.laboratories.add("mary", SCOPES, 100, NOON)
    ward.house.laboratories.remove("mary")

    assert denial(ward, token) == denial(ward, "bzl_nonsense") == Denial.UNKNOWN


def test_token_is_not_kept(ward: Ward) -> None:
    token = ward.house.laboratories.add("mary", SCOPES, 100, NOON)

    assert token.encode() not in ward.everything()


def test_quota_of_a_day_is_a_quota(ward: Ward) -> None:
    token = ward.house.laboratories.add("mary", SCOPES, 3, NOON)

    assert [denial(ward, token, NOON + n * HOUR) for n in range(4)] == [None, None, None, Denial.QUOTA]
    assert denial(ward, token, NOON + DAY) is None


def test_more_than_sixty_in_a_minute_are_too_many(ward: Ward) -> None:
    token = ward.house.laboratories.add("mary", SCOPES, 1000, NOON)

    assert [denial(ward, token) for _ in range(PER_MINUTE)] == [None] * PER_MINUTE
    assert denial(ward, token) == Denial.TOO_FAST
    assert denial(ward, token, NOON + MINUTE) is None


@pytest.mark.parametrize(("name", "scope"), [("x", SCOPES), ("m\nary", SCOPES), ("mary", frozenset({"all"}))])
def test_impossible_laboratory_is_refused(ward: Ward, name: str, scope: frozenset[str]) -> None:
    with pytest.raises(LaboratoryError, match="scope of"):
        ward.house.laboratories.add(name, scope, 10, NOON)


def test_laboratory_sees_how_it_stands_with_its_own_case(ward: Ward) -> None:
    laboratories = ward.house.laboratories
    token = laboratories.add("mary", SCOPES, 100, NOON)
    done = laboratories.register(token, Registration(Tier.F0), Kind.SHORT, NOON)

    def state(at: int) -> str:
        return laboratories.status(token, done.case.id, at).state

    assert laboratories.status(token, done.case.id, NOON) == CaseStatus("issued", NOON + 15 * MINUTE)
    assert state(NOON + HOUR) == "expired"
    assert ward.send(message(done.code.code), NOON).accepted
    assert state(NOON + HOUR) == "used"
    laboratories.revoke(token, done.case.id, NOON + HOUR)
    assert state(NOON + HOUR) == "revoked"


def cases_of_others(ward: Ward, anna: str) -> list[str]:
    """Of the laboratory with that token, of nobody, and of staff."""
    of_anna = ward.house.laboratories.register(anna, Registration(Tier.F0), Kind.SHORT, NOON).case.id
    return [of_anna, "C-AAAAAAAA", "", ward.authority.open_case(Tier.F0, NOON).id]


def test_laboratory_takes_back_its_own_case_with_all_that_came_of_it_and_no_other(ward: Ward) -> None:
    laboratories = ward.house.laboratories
    mary, anna = (laboratories.add(name, SCOPES, 100, NOON) for name in ("mary", "anna"))
    own = laboratories.register(mary, Registration(Tier.F0), Kind.SHORT, NOON).case.id
    contact = ward.authority.open_case(Tier.F1, NOON, source=own).id
    others = cases_of_others(ward, anna)

    for case in (*others, contact):
        with pytest.raises(CaseError) as refused:
            laboratories.revoke(mary, case, NOON)
        assert refused.value.problem is CaseProblem.UNKNOWN
    assert [case.revoked for case, _ in ward.authority.cases()] == [None] * 4
    assert laboratories.revoke(mary, own, NOON) == [own, contact]

    with ward.store.snapshot() as seen:
        noted = StaffRecords(seen.connection).entries(Wanted(act=Act.CASE_REVOKED.value), 10)
    assert [(entry.actor, entry.subject) for entry in noted] == [("laboratory mary", contact), ("laboratory mary", own)]


def test_laboratory_sees_no_case_of_others(ward: Ward) -> None:
    laboratories = ward.house.laboratories
    mary, anna = (laboratories.add(name, SCOPES, 100, NOON) for name in ("mary", "anna"))

    for case in cases_of_others(ward, anna):
        with pytest.raises(CaseError) as refused:
            laboratories.status(mary, case, NOON)
        assert refused.value.problem is CaseProblem.UNKNOWN


def test_looking_needs_its_scope_and_counts_against_the_quota(ward: Ward) -> None:
    laboratories = ward.house.laboratories
    token = laboratories.add("mary", frozenset({"issue"}), 2, NOON)
    case = laboratories.register(token, Registration(Tier.F0), Kind.SHORT, NOON).case.id

    for denied in (Denial.SCOPE, Denial.QUOTA):
        with pytest.raises(LaboratoryError) as refused:
            laboratories.status(token, case, NOON)
        assert refused.value.denial is denied
