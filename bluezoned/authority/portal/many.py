"""Many cases from one file."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Response

from bluezoned.authority import bulk, csv_file
from bluezoned.authority.bulk import Mistake, Sheet
from bluezoned.authority.case import CaseError
from bluezoned.authority.office import Registered
from bluezoned.authority.portal.forms import does, fields, file, shows
from bluezoned.authority.portal.page import Portal
from bluezoned.authority.portal.visitor import Asked, Rule
from bluezoned.authority.verification import Kind

LARGEST_FILE = 1024 * 1024
"""Bytes. 5,000 lines of a hundred."""

FILE_S = 60.0
"""Seconds for such a file to come, at 150 kbit a second."""

SHOWN_MISTAKES = 100

EXAMPLE = (
    bulk.COLUMNS,
    ("KHOA2-0017", "F0", "", "2026-11-20", "2026-11-22"),
    ("KHOA2-0018", "F0", "", "", "2026-11-22"),
)


@shows("/many", Rule.ISSUE)
async def show_many(request: Asked, portal: Portal) -> Response[Any]:
    return _many(request, portal, None)


def _many(request: Asked, portal: Portal, sheet: Sheet | None) -> Response[Any]:
    mistakes = sheet.mistakes if sheet is not None else ()
    return portal.page(
        request,
        "many.html",
        status=422 if mistakes else 200,
        sheet=sheet,
        mistakes=mistakes[:SHOWN_MISTAKES],
        more=max(0, len(mistakes) - SHOWN_MISTAKES),
        most=bulk.MOST_ROWS,
        columns=bulk.COLUMNS,
    )


@shows("/many/example.csv", Rule.ISSUE)
async def show_example(portal: Portal) -> Response[Any]:
    return portal.file(csv_file.write(EXAMPLE), "example.csv")


@does("/many", Rule.ISSUE, largest=LARGEST_FILE, body_s=FILE_S)
async def register_many(request: Asked, portal: Portal) -> Response[Any]:
    """All or none. The file of codes is the answer itself, because codes are kept nowhere."""
    at = portal.clock.now()
    content = await file(request, "file")
    sheet = await asyncio.to_thread(bulk.read, content, at)
    if sheet.mistakes or (await fields(request))["act"] == "check":
        return _many(request, portal, sheet)
    registrations = [registration for _, registration in sheet.rows]

    def act() -> list[Registered] | Mistake:
        done = []
        try:
            done = portal.house.office.register_all(request.user.actor, registrations, Kind.LONG, at)
        except CaseError as error:
            return Mistake(0, "source", error.problem)
        return done

    done = await asyncio.to_thread(act)
    if isinstance(done, Mistake):
        return _many(request, portal, Sheet((), (done,)))
    lines = [line for line, _ in sheet.rows]
    return portal.file(bulk.result(lines, done, portal.moment(done[0].code.expires)), f"codes-{at // 1000}.csv")


ROUTES = [show_many, show_example, register_many]
