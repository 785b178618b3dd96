"""What staff do with cases and venues, and what is noted of it."""

from __future__ import annotations

import pytest

from bluezoned.authority import venue
from bluezoned.authority.case import CaseError, CaseProblem
from bluezoned.authority.key_store import KeyRecords
from bluezoned.authority.office import Registration, require_reference
from bluezoned.authority.register_store import RegisterRecords, Search
from bluezoned.authority.staff import Actor
from bluezoned.authority.staff_store import Entry, StaffRecords, Wanted
from bluezoned.authority.venue import Hours
from bluezoned.authority.verification import HOUR, Kind
from bluezoned.protocols.protocol import DAY, Tier
from tests.authority.ward import MIDNIGHT, NOON, Ward, key, message

LAN = Actor("lan")


def log(ward: Ward) -> list[Entry]:
    with ward.store.snapshot() as seen:
        return StaffRecords(seen.connection).entries(Wanted(), 1000)


def test_every_act_is_noted_with_who_did_it(ward: Ward) -> None:
    office = ward.house.office
    opened = office.register(LAN, Registration(Tier.F0, reference=" KHOA-2 / 17 "), NOON)
    contact = office.register(Actor("minh"), Registration(Tier.F1, opened.id), NOON)
    office.issue(LAN, opened.id, Kind.SHORT, NOON)
    office.revoke(LAN, opened.id, NOON)

    told = [(entry.actor, entry.act, entry.subject, entry.detail) for entry in reversed(log(ward))]

    assert told == [
        ("lan", "case-opened", opened.id, "F0"),
        ("minh", "case-opened", contact.id, f"F1 {opened.id}"),
        ("lan", "code-issued", opened.id, "short"),
        ("lan", "case-revoked", opened.id, ""),
        ("lan", "case-revoked", contact.id, opened.id),
    ]
    with ward.store.snapshot() as seen:
        (first,) = RegisterRecords(seen.connection).entries(Search("khoa"), 10)
    assert first.reference == "KHOA-2 / 17"


def test_new_code_voids_the_one_that_nobody_used(ward: Ward) -> None:
    office = ward.house.office
    opened = office.register(LAN, Registration(Tier.F0), NOON)
    lost = office.issue(LAN, opened.id, Kind.LONG, NOON)
    given = office.issue(LAN, opened.id, Kind.LONG, NOON)

    assert ward.send(message(lost.code), NOON).problem == "code-unknown"
    assert ward.send(message(given.code), NOON).accepted
    third = office.issue(LAN, opened.id, Kind.LONG, NOON)
    assert ward.send(message(third.code), NOON).accepted


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("0912 345 678", CaseProblem.REFERENCE_PERSONAL),
        ("ID 079123456789", CaseProblem.REFERENCE_PERSONAL),
        ("Nguyễn Văn An", CaseProblem.REFERENCE),
        ("=HYPERLINK(1)", CaseProblem.REFERENCE),
        ("+84", CaseProblem.REFERENCE),
        ("an@ward.example", CaseProblem.REFERENCE),
        ("<script>", CaseProblem.REFERENCE),
        ("x" * 33, CaseProblem.REFERENCE),
    ],
)
def test_reference_that_may_name_a_person_or_do_harm_is_refused(reference: str, problem: CaseProblem) -> None:
    with pytest.raises(CaseError) as refused:
        require_reference(reference)

    assert refused.value.problem == problem


def test_bulk_is_all_or_nothing(ward: Ward) -> None:
    good, bad = Registration(Tier.F0, reference="A-1"), Registration(Tier.F1, "C-NOTTHERE")

    with pytest.raises(CaseError):
        ward.house.office.register_all(LAN, [good, bad], Kind.LONG, NOON)
    done = ward.house.office.register_all(LAN, [good] * 300, Kind.LONG, NOON)

    assert len(ward.authority.cases()) == 300
    assert len({registered.code.code for registered in done}) == 300
    assert len(log(ward)) == 601


def test_day_of_the_test_counts_where_there_were_no_symptoms(ward: Ward) -> None:
    today = NOON // DAY
    opened = ward.house.office.register(LAN, Registration(Tier.F0, tested=today - 2), NOON)

    assert opened.onset == today - 2
    with pytest.raises(CaseError) as refused:
        ward.house.office.register(LAN, Registration(Tier.F0, tested=today - 61), NOON)
    assert refused.value.problem == CaseProblem.TESTED


# venues


def outbreak(ward: Ward, hours: Hours, at: int = NOON) -> str:
    """The code for the box of a marked place."""
    office = ward.house.office
    return office.mark_outbreak(LAN, office.add_venue(LAN, "Chợ Bến Thành", at), hours, Kind.LONG, at)[2].code


@pytest.mark.parametrize("protocol", ["bluezone", "gaen"])
def test_keys_of_a_place_are_cut_to_its_hours(ward: Ward, protocol: str) -> None:
    hours = Hours(MIDNIGHT - DAY + 20 * HOUR, MIDNIGHT + 4 * HOUR)
    days = [key(MIDNIGHT - n * DAY, protocol=protocol) for n in (3, 2, 1)]
    today = key(MIDNIGHT, 12 * HOUR, protocol=protocol)

    assert ward.send(message(outbreak(ward, hours), *days, today), NOON).accepted

    with ward.store.snapshot() as seen:
        waiting = KeyRecords(seen.connection).waiting(protocol, NOON, 100).keys
    assert [(kept.secret, kept.start, kept.end) for kept in waiting] == [
        (days[2].secret, hours.start, MIDNIGHT),
        (today.secret, MIDNIGHT, hours.end),
    ]


def test_keys_that_cannot_be_cut_are_left_out(ward: Ward) -> None:
    whole = key(MIDNIGHT - DAY, protocol="dp3t")

    inside = venue.within([whole], Hours(MIDNIGHT - DAY, MIDNIGHT))
    across = venue.within([whole], Hours(MIDNIGHT - DAY + HOUR, MIDNIGHT + HOUR))

    assert inside == (whole,)
    assert across == ()


def test_place_without_keys_in_its_hours_is_refused_and_keeps_its_code(ward: Ward) -> None:
    code = outbreak(ward, Hours(MIDNIGHT - 2 * DAY, MIDNIGHT - 2 * DAY + HOUR))

    assert ward.send(message(code, key()), NOON).problem == "keys-invalid"
    assert ward.send(message(code, key(MIDNIGHT - 2 * DAY)), NOON).accepted


def test_hours_that_warn_nobody_are_refused(ward: Ward) -> None:
    for hours in (
        Hours(MIDNIGHT, MIDNIGHT),
        Hours(MIDNIGHT + HOUR, MIDNIGHT),
        Hours(MIDNIGHT + 1, MIDNIGHT + HOUR),
        Hours(MIDNIGHT - 15 * DAY, MIDNIGHT),
        Hours(MIDNIGHT, NOON + HOUR),
    ):
        with pytest.raises(CaseError) as refused:
            venue.require_hours(hours, NOON)
        assert refused.value.problem == CaseProblem.WINDOW


def test_code_of_a_place_comes_with_its_hours_alone(ward: Ward) -> None:
    office = ward.house.office
    place = office.add_venue(LAN, "Kiosk 7", NOON)
    _, opened, _ = office.mark_outbreak(LAN, place, Hours(MIDNIGHT, NOON), Kind.LONG, NOON)

    with pytest.raises(CaseError) as refused:
        office.issue(LAN, opened.id, Kind.LONG, NOON)
    with pytest.raises(CaseError) as taken:
        office.add_venue(LAN, "kiosk  7", NOON)

    assert (refused.value.problem, taken.value.problem) == (CaseProblem.VENUE_CODE, CaseProblem.VENUE_NAME_TAKEN)


def test_search_is_text_and_no_pattern(ward: Ward) -> None:
    for reference in ("A-1", "A_1", "B-1"):
        ward.house.office.register(LAN, Registration(Tier.F0, reference=reference), NOON)

    with ward.store.snapshot() as seen:
        records = RegisterRecords(seen.connection)
        found = {text: len(records.entries(Search(text), 10)) for text in ("a-1", "A_1", "%", "' OR 1=1 --", "1")}

    assert found == {"a-1": 1, "A_1": 1, "%": 0, "' OR 1=1 --": 0, "1": 3}
