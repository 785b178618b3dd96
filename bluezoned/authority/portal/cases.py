"""Cases: the list, a new one, its codes and their slip, taking it back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from litestar import Response
from litestar.exceptions import NotFoundException

from bluezoned.authority import bulk
from bluezoned.authority.bulk import BulkProblem
from bluezoned.authority.case import Case, CaseError, CaseProblem
from bluezoned.authority.office import Registration
from bluezoned.authority.portal.forms import Fields, asked, does, fields, page_number, refreshes, shows
from bluezoned.authority.portal.page import Portal, to
from bluezoned.authority.portal.visitor import Asked, Rule
from bluezoned.authority.register_store import Entry, RegisterRecords, Search
from bluezoned.authority.verification import Code, Kind
from bluezoned.protocols.protocol import Tier

PER_PAGE = 50


@dataclass(frozen=True, slots=True)
class CodeState:
    """A code as staff see it."""

    state: str
    """`issued`, `used` or `expired`."""
    kind: str
    code: Code


def state_of(code: Code, at: int) -> CodeState:
    kind = Kind.SHORT if code.expires - code.issued == Kind.SHORT.lifetime else Kind.LONG
    return CodeState(code.state(at), kind.name.lower(), code)


@shows("/cases", Rule.MEMBER)
async def list_cases(request: Asked, portal: Portal) -> Response[Any]:
    tiers = {"F0": 0, "F1": 1}
    kind = asked(request, "kind")
    revoked = {"standing": False, "revoked": True}.get(asked(request, "state"))
    search = Search(asked(request, "q"), revoked, tiers.get(kind), {"venue": True}.get(kind))
    number, at = page_number(request), portal.clock.now()

    def look() -> tuple[list[Entry], int]:
        with portal.house.store.snapshot() as seen:
            records = RegisterRecords(seen.connection)
            return records.entries(search, PER_PAGE, (number - 1) * PER_PAGE), records.count(search)

    entries, count = await asyncio.to_thread(look)
    rows = [(entry, entry.state(at)) for entry in entries]
    return portal.page(
        request,
        "cases.html",
        rows=rows,
        count=count,
        number=number,
        pages=-(-count // PER_PAGE),
        q=search.text,
        kind=kind,
        state=asked(request, "state"),
    )


@shows("/cases/new", Rule.ISSUE)
async def show_new_case(request: Asked, portal: Portal) -> Response[Any]:
    source = asked(request, "source")
    form = Fields(tier="F1" if source else "F0", source=source)
    return _new_case(request, portal, form, {})


def _new_case(
    request: Asked, portal: Portal, form: Fields, problems: dict[str, CaseProblem | BulkProblem]
) -> Response[Any]:
    today = portal.local_date(portal.clock.now()).isoformat()
    return portal.page(
        request, "case_new.html", status=422 if problems else 200, form=form, problems=problems, today=today
    )


_FIELD = {
    CaseProblem.TIER: "tier",
    CaseProblem.SOURCE: "source",
    CaseProblem.UNKNOWN: "source",
    CaseProblem.REVOKED: "source",
    CaseProblem.ONSET: "onset",
    CaseProblem.TESTED: "tested",
    CaseProblem.REFERENCE: "reference",
    CaseProblem.REFERENCE_PERSONAL: "reference",
}
"""Beside which field of the form a problem stands."""


@does("/cases/new", Rule.ISSUE)
async def register_case(request: Asked, portal: Portal) -> Response[Any]:
    form = await fields(request)
    problems: dict[str, CaseProblem | BulkProblem] = {
        name: BulkProblem.DATE for name in ("onset", "tested") if form[name] and bulk.day(form[name]) is None
    }
    if form["tier"] not in ("F0", "F1"):
        problems["tier"] = CaseProblem.TIER
    if problems:
        return _new_case(request, portal, form, problems)
    tier = Tier[form["tier"]]
    # The field is there for F1 alone; who filled it in and changed the tier means the tier.
    source = form["source"].strip().upper() or None if tier is Tier.F1 else None
    registration = Registration(tier, source, form["reference"], bulk.day(form["onset"]), bulk.day(form["tested"]))
    try:
        opened = await asyncio.to_thread(
            portal.house.office.register, request.user.actor, registration, portal.clock.now()
        )
    except CaseError as error:
        return _new_case(request, portal, form, {_FIELD.get(error.problem, "tier"): error.problem})
    return to(f"/portal/cases/{opened.id}?done=opened")


async def _entry(portal: Portal, case_id: str) -> Entry:
    def look() -> Entry | None:
        with portal.house.store.snapshot() as seen:
            return RegisterRecords(seen.connection).entry(case_id)

    found = await asyncio.to_thread(look)
    if found is None:
        raise NotFoundException
    return found


def _codes(entry: Entry, at: int) -> dict[str, Any]:
    states = [state_of(code, at) for code in reversed(entry.codes)]
    return {"entry": entry, "codes": states, "is_open": any(code.state == "issued" for code in states)}


@shows("/cases/{case_id:str}", Rule.MEMBER)
async def show_case(request: Asked, portal: Portal, case_id: str) -> Response[Any]:
    entry = await _entry(portal, case_id)
    at = portal.clock.now()
    return portal.page(request, "case.html", state=entry.state(at), **_codes(entry, at))


@refreshes("/cases/{case_id:str}/codes", Rule.MEMBER)
async def show_codes(request: Asked, portal: Portal, case_id: str) -> Response[Any]:
    """The part of the page that asks for itself anew while a code is open."""
    entry = await _entry(portal, case_id)
    return portal.page(request, "_codes.html", **_codes(entry, portal.clock.now()))


@does("/cases/{case_id:str}/codes", Rule.ISSUE)
async def issue_code(request: Asked, portal: Portal, case_id: str) -> Response[Any]:
    """The slip. It is the answer itself, because a code is kept nowhere: reloading makes another and voids this one."""
    kind = Kind.SHORT if (await fields(request))["kind"] == "short" else Kind.LONG
    entry = await _entry(portal, case_id)
    try:
        issued = await asyncio.to_thread(
            portal.house.office.issue, request.user.actor, case_id, kind, portal.clock.now()
        )
    except CaseError as error:
        return portal.page(request, "refused.html", status=422, problem=error.problem, back=f"/portal/cases/{case_id}")
    return slip(request, portal, entry.case, issued.code, issued.expires, None, None)


def slip(
    request: Asked, portal: Portal, case: Case, code: str, expires: int, venue: str | None, hours: Any
) -> Response[Any]:
    """What is printed and given to the carrier."""
    return portal.page(request, "slip.html", case=case, code=code, expires=expires, venue=venue, hours=hours)


@shows("/cases/{case_id:str}/revoke", Rule.ISSUE)
async def show_revoke(request: Asked, portal: Portal, case_id: str) -> Response[Any]:
    entry = await _entry(portal, case_id)

    def look() -> list[str]:
        with portal.house.store.snapshot() as seen:
            return seen.descendants(case_id)[1:]

    return portal.page(request, "revoke.html", entry=entry, others=await asyncio.to_thread(look))


@does("/cases/{case_id:str}/revoke", Rule.ISSUE)
async def revoke_case(request: Asked, portal: Portal, case_id: str) -> Response[Any]:
    await _entry(portal, case_id)
    await asyncio.to_thread(portal.house.office.revoke, request.user.actor, case_id, portal.clock.now())
    return to(f"/portal/cases/{case_id}?done=revoked")


ROUTES = [
    list_cases,
    show_new_case,
    register_case,
    show_case,
    show_codes,
    issue_code,
    show_revoke,
    revoke_case,
]
