"""The routes for laboratories: a case with its code for what an analyser found."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import SecurityScheme
from msgspec import Meta

from bluezoned.authority.api.discretion import require_body
from bluezoned.authority.case import CaseError
from bluezoned.authority.house import House
from bluezoned.authority.laboratory import Denial, LaboratoryError
from bluezoned.authority.office import Registration
from bluezoned.authority.verification import Kind
from bluezoned.clock import Clock
from bluezoned.protocols.protocol import Tier

_STATUS = {Denial.UNKNOWN: 401, Denial.SCOPE: 403, Denial.TOO_FAST: 429, Denial.QUOTA: 429, None: 400}

SECURITY = {
    "laboratory": SecurityScheme(
        type="http", scheme="bearer", description="A token of `bluezone-authority laboratory add`"
    )
}

_REFUSALS = {
    status: ResponseSpec(dict[str, str], description=description, generate_examples=False)
    for status, description in {
        400: "The body is no such request",
        401: "There is no such token",
        403: "The token's scope does not go so far",
        408: "The body was too slow",
        413: "The body is too large",
        422: "It cannot be; `detail` tells why",
        429: "Too many requests in this minute, or the quota of the last 24 hours is used up",
        503: "The database does not answer; try later",
    }.items()
}


class NewCase(msgspec.Struct, forbid_unknown_fields=True):
    """What a laboratory says of a confirmed case; nothing that names a person."""

    reference: Annotated[str, Meta(max_length=32, description="The sample's or file's number")] = ""
    onset: date | None = None
    tested: date | None = None
    long: Annotated[bool, Meta(description="16 characters for 24 hours instead of 8 digits for 15 minutes")] = False


class IssuedCase(msgspec.Struct):
    """The case and its code, which can be read this once."""

    case: str
    code: str
    expires: str


class CaseState(msgspec.Struct):
    """How it stands with a case: `issued` and waiting for its carrier, `used`, `expired`, `revoked`, or `new` without a
    code."""

    case: str
    state: str
    expires: str | None


def router(house: House, clock: Clock) -> Router:
    """Opening and revoking cases."""

    @post(
        "/",
        summary="Open a confirmed case (F0) and issue its code",
        description="Scope `issue`.",
        responses=_REFUSALS,
    )
    async def open_case(request: Request[Any, Any, Any], data: NewCase) -> IssuedCase:
        registration = Registration(Tier.F0, None, data.reference, _day(data.onset), _day(data.tested))
        kind = Kind.LONG if data.long else Kind.SHORT
        done = await asyncio.to_thread(house.laboratories.register, _token(request), registration, kind, clock.now())
        return IssuedCase(done.case.id, done.code.code, _instant(done.code.expires))

    @post(
        "/{case:str}/revocation",
        status_code=200,
        summary="Take back a case that this laboratory opened",
        description="Scope `revoke`. 422 for every other case.",
        responses=_REFUSALS,
    )
    async def revoke(request: Request[Any, Any, Any], case: str) -> dict[str, list[str]]:
        return {"revoked": await asyncio.to_thread(house.laboratories.revoke, _token(request), case, clock.now())}

    @get(
        "/{case:str}",
        summary="How it stands with a case that this laboratory opened",
        description="Scope `status`. 422 for every other case.",
        responses=_REFUSALS,
    )
    async def status(request: Request[Any, Any, Any], case: str) -> CaseState:
        found = await asyncio.to_thread(house.laboratories.status, _token(request), case, clock.now())
        return CaseState(case, found.state, None if found.expires is None else _instant(found.expires))

    return Router(
        "/v1/laboratory/cases",
        route_handlers=[open_case, revoke, status],
        tags=["laboratories"],
        exception_handlers={LaboratoryError: _denied, CaseError: _impossible},
        request_max_body_size=4096,
        before_request=require_body,
        security=[{"laboratory": []}],
    )


def _token(request: Request[Any, Any, Any]) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or len(token) > 200:
        raise HTTPException("a laboratory's token is needed", status_code=401)
    return token


def _instant(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="seconds")


def _denied(_: Request[Any, Any, Any], error: LaboratoryError) -> Response[dict[str, str]]:
    return Response({"detail": str(error)}, status_code=_STATUS[error.denial])


def _impossible(_: Request[Any, Any, Any], error: CaseError) -> Response[dict[str, str]]:
    return Response({"detail": str(error)}, status_code=422)


def _day(day: date | None) -> int | None:
    return None if day is None else (day - date(1970, 1, 1)).days
