"""Venues: places with a box of their own, and the hours of an outbreak there."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Any

from litestar import Response

from bluezoned.authority.case import CaseError, CaseProblem
from bluezoned.authority.portal.cases import slip
from bluezoned.authority.portal.forms import Fields, asked, does, fields, shows
from bluezoned.authority.portal.page import Portal, to
from bluezoned.authority.portal.visitor import Asked, Rule
from bluezoned.authority.register_store import Entry, RegisterRecords, Search
from bluezoned.authority.venue import GRID, Hours, Venue
from bluezoned.authority.verification import Kind

HALF_HOURS = [f"{minutes // 60:02d}:{minutes % 60:02d}" for minutes in range(0, 24 * 60, GRID // 60_000)]


@shows("/venues", Rule.MEMBER)
async def list_venues(request: Asked, portal: Portal) -> Response[Any]:
    return await _venues(request, portal, Fields(), {})


async def _venues(request: Asked, portal: Portal, form: Fields, problems: dict[str, CaseProblem]) -> Response[Any]:
    def look() -> tuple[list[Venue], list[Entry]]:
        with portal.house.store.snapshot() as seen:
            records = RegisterRecords(seen.connection)
            return records.venues(), records.entries(Search(venues=True), 200)

    venues, outbreaks = await asyncio.to_thread(look)
    at = portal.clock.now()
    return portal.page(
        request,
        "venues.html",
        status=422 if problems else 200,
        venues=venues,
        outbreaks=[(entry, entry.state(at)) for entry in outbreaks],
        form=form,
        problems=problems,
        chosen=form.get("venue") or asked(request, "venue"),
        half_hours=HALF_HOURS,
        today=portal.local_date(at).isoformat(),
    )


@does("/venues", Rule.ISSUE)
async def add_venue(request: Asked, portal: Portal) -> Response[Any]:
    form = await fields(request)
    try:
        added = await asyncio.to_thread(
            portal.house.office.add_venue, request.user.actor, form["name"], portal.clock.now()
        )
    except CaseError as error:
        return await _venues(request, portal, form, {"name": error.problem})
    return to(f"/portal/venues?done=venue&venue={added}")


@does("/venues/outbreak", Rule.ISSUE)
async def mark_outbreak(request: Asked, portal: Portal) -> Response[Any]:
    form = await fields(request)
    try:
        venue_id = int(form["venue"]) if form["venue"].isdigit() and len(form["venue"]) < 10 else 0
        hours = Hours(
            _instant(portal, form["start_day"], form["start"]), _instant(portal, form["end_day"], form["end"])
        )
        venue, opened, issued = await asyncio.to_thread(
            portal.house.office.mark_outbreak, request.user.actor, venue_id, hours, Kind.LONG, portal.clock.now()
        )
    except CaseError as error:
        field = "venue" if error.problem is CaseProblem.VENUE else "window"
        return await _venues(request, portal, form, {field: error.problem})
    return slip(request, portal, opened, issued.code, issued.expires, venue.name, hours)


def _instant(portal: Portal, day: str, half_hour: str) -> int:
    try:
        return portal.instant(date.fromisoformat(day), HALF_HOURS.index(half_hour) * GRID // 60_000)
    except (ValueError, OverflowError):
        raise CaseError(CaseProblem.WINDOW) from None


ROUTES = [list_venues, add_venue, mark_outbreak]
