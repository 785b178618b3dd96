"""The portal's routes, put together."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from litestar import MediaType, Request, Response, Router, get
from litestar.di import Provide
from litestar.exceptions import HTTPException, NotFoundException
from litestar.response import Redirect

from bluezoned.authority.case import CaseError
from bluezoned.authority.house import House
from bluezoned.authority.portal import account, cases, entry, insight, many, page, people, venues, visitor
from bluezoned.authority.portal.page import Portal, to
from bluezoned.authority.portal.visitor import HEADERS, Elsewhere, Rule
from bluezoned.authority.staff import StaffError
from bluezoned.clock import Clock
from bluezoned.errors import StoreError

log = logging.getLogger(__name__)

STATIC_CACHE_S = 3600
"""Seconds. A new version is seen within the hour."""


HANDLERS = [
    *entry.ROUTES,
    *account.ROUTES,
    *cases.ROUTES,
    *many.ROUTES,
    *venues.ROUTES,
    *insight.ROUTES,
    *people.ROUTES,
]
"""All but the files."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The portal, for the application."""

    routes: list[Any]
    lost: Callable[[Request[Any, Any, Any], HTTPException], Response[Any]]
    """What is answered beneath /portal/ where there is no route, or none that can be asked so."""


def pages(house: House, clock: Clock, origin: str) -> Pages:
    """Beneath /portal. `origin`: as browsers name it. ConfigError when a setting cannot be."""
    portal = page.make(house, clock, origin)
    # It tells each time which key came in, and that is who.
    logging.getLogger("fido2").setLevel(logging.WARNING)
    files = page.static_files()

    @get("/static/{name:str}", opt={"rule": Rule.OPEN}, include_in_schema=False)
    async def static(name: str) -> Response[bytes]:
        if name not in files:
            raise NotFoundException
        content, kind = files[name]
        headers = HEADERS | {"Cache-Control": f"public, max-age={STATIC_CACHE_S}"}
        return Response(content, media_type=kind, headers=headers)

    async def give() -> Portal:
        return portal

    def refuse(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        return _refusal(portal, request, error)

    def fail(request: Request[Any, Any, Any], error: StoreError) -> Response[Any]:
        log.error("%s", error)
        return _refusal(portal, request, HTTPException(status_code=503))

    def unfit(request: Request[Any, Any, Any], error: CaseError | StaffError) -> Response[Any]:
        return portal.page(request, "refused.html", status=422, problem=error.problem, back="/portal/")

    def lost(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        request.scope["user"] = visitor.nobody(request, house.door, portal.cookies)
        return _refusal(portal, request, error)

    router = Router(
        "/portal",
        route_handlers=[*HANDLERS, static],
        dependencies={"portal": Provide(give)},
        middleware=[visitor.recognition(house.door, clock, portal.cookies)],
        guards=[visitor.require_rule],
        before_request=visitor.form_check(origin),
        request_max_body_size=visitor.LARGEST_FORM,
        exception_handlers={
            Elsewhere: _send,
            HTTPException: refuse,
            StoreError: fail,
            CaseError: unfit,
            StaffError: unfit,
        },
        include_in_schema=False,
    )
    return Pages([front, router], lost)


@get("/", opt={"rule": Rule.OPEN}, include_in_schema=False)
async def front() -> Redirect:
    """Who types the address alone means the portal."""
    return to("/portal/")


def _send(request: Request[Any, Any, Any], error: Elsewhere) -> Response[Any]:
    if request.headers.get("hx-request"):
        # For the whole page, not for the part that asked.
        return Response("", status_code=200, media_type=MediaType.HTML, headers=HEADERS | {"HX-Redirect": error.path})
    return to(error.path)


_WORDS = {
    400: "malformed",
    403: "forbidden",
    404: "not-found",
    405: "not-found",
    408: "too-slow",
    413: "too-large",
    503: "unavailable",
}


def _refusal(portal: Portal, request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """A page in the visitor's language, with no word of the request in it."""
    key = error.detail if error.detail in ("stale-form", "other-origin") else _WORDS.get(error.status_code, "malformed")
    if isinstance(request.scope.get("user"), visitor.Visitor):
        refusal = portal.page(request, "error.html", status=error.status_code, key=key)
    else:
        refusal = Response(key, status_code=error.status_code, media_type=MediaType.TEXT, headers=HEADERS)
    # RFC 9110, 15.5.6: a 405 says in Allow what may be asked.
    refusal.headers.update(error.headers or {})
    return refusal
