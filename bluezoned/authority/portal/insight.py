"""What can be looked at: the first page, the audit log, statistics, and what the authority knows."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any

from litestar import Response

from bluezoned.authority import csv_file
from bluezoned.authority.authority import Guessing
from bluezoned.authority.portal import statistics
from bluezoned.authority.portal.forms import asked, page_number, shows
from bluezoned.authority.portal.page import Portal
from bluezoned.authority.portal.visitor import Asked, Rule
from bluezoned.authority.register_store import RegisterRecords
from bluezoned.authority.staff_store import Act, Entry, StaffRecords, Wanted
from bluezoned.protocols.protocol import DAY

PER_PAGE = 100

MOST_EXPORTED = 100_000
"""Lines of one file; further ones are asked for by date."""


@shows("/", Rule.MEMBER)
async def show_home(request: Asked, portal: Portal) -> Response[Any]:
    at = portal.clock.now()

    def look() -> tuple[dict[str, int], Guessing, int]:
        with portal.house.store.snapshot() as seen:
            counts, published = seen.counts(at), seen.fact("index issued")
        return counts, portal.house.authority.guessing(at), published

    counts, guessing, published = await asyncio.to_thread(look)
    late = at - published > 2 * portal.house.settings.publish.every_s * 1000
    return portal.page(request, "home.html", counts=counts, guessing=guessing, published=published, late=late)


@shows("/knows", Rule.OPEN)
async def show_knows(request: Asked, portal: Portal) -> Response[Any]:
    days = portal.house.settings.publish.retention_days
    return portal.page(request, "knows.html", days=days)


def _wanted(request: Asked, portal: Portal) -> Wanted:
    since, until = _date(asked(request, "since")), _date(asked(request, "until"))
    return Wanted(
        asked(request, "actor"),
        asked(request, "act"),
        asked(request, "subject").strip(),
        0 if since is None else portal.instant(since, 0),
        None if until is None else portal.instant(until + timedelta(days=1), 0),
    )


def _date(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if 1970 < found.year < 9999 else None


@shows("/audit", Rule.MEMBER)
async def show_audit(request: Asked, portal: Portal) -> Response[Any]:
    wanted, number = _wanted(request, portal), page_number(request)

    def look() -> tuple[list[Entry], list[str]]:
        with portal.house.store.snapshot() as seen:
            records = StaffRecords(seen.connection)
            return records.entries(wanted, PER_PAGE + 1, (number - 1) * PER_PAGE), records.actors()

    entries, actors = await asyncio.to_thread(look)
    return portal.page(
        request,
        "audit.html",
        entries=entries[:PER_PAGE],
        has_more=len(entries) > PER_PAGE,
        number=number,
        actors=actors,
        acts=[act.value for act in Act],
        wanted=wanted,
        since=asked(request, "since"),
        until=asked(request, "until"),
    )


@shows("/audit.csv", Rule.MEMBER)
async def export_audit(request: Asked, portal: Portal) -> Response[Any]:
    wanted = _wanted(request, portal)

    def look() -> list[Entry]:
        with portal.house.store.snapshot() as seen:
            return StaffRecords(seen.connection).entries(wanted, MOST_EXPORTED)

    rows = [(portal.moment(e.at), e.actor, e.act, e.subject, e.detail) for e in await asyncio.to_thread(look)]
    return portal.file(csv_file.write([("at", "actor", "act", "subject", "detail"), *rows]), "audit.csv")


async def _series(portal: Portal) -> list[statistics.Series]:
    at = portal.clock.now()
    today = portal.local_date(at)
    kept = portal.house.settings.publish.retention_days

    def look() -> dict[str, list[int]]:
        with portal.house.store.snapshot() as seen:
            return RegisterRecords(seen.connection).moments(at - kept * DAY)

    moments = await asyncio.to_thread(look)
    return statistics.by_day(moments, [today - timedelta(days=n) for n in range(kept - 1, 0, -1)], portal.local_date)


@shows("/statistics", Rule.MEMBER)
async def show_statistics(request: Asked, portal: Portal) -> Response[Any]:
    series = await _series(portal)
    return portal.page(request, "statistics.html", series=series, floor=statistics.FLOOR)


@shows("/statistics.csv", Rule.MEMBER)
async def export_statistics(portal: Portal) -> Response[Any]:
    series = await _series(portal)
    rows: list[tuple[object, ...]] = [("day", *(one.name for one in series))]
    for n, bar in enumerate(series[0].bars):
        rows.append((bar.day.isoformat(), *(f"<{statistics.FLOOR}" if one.bars[n].count is None
                                            else one.bars[n].count for one in series)))  # fmt: skip
    return portal.file(csv_file.write(rows), "statistics.csv")


ROUTES = [
    show_home,
    show_knows,
    show_audit,
    export_audit,
    show_statistics,
    export_statistics,
]
