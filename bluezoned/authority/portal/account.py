"""One's own account: second factors, recovery codes, password."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from litestar import Response

from bluezoned.authority import credential
from bluezoned.authority.enrolment import Enrolled
from bluezoned.authority.portal.forms import does, fields, shows
from bluezoned.authority.portal.page import Portal, to
from bluezoned.authority.portal.visitor import Asked, Rule
from bluezoned.authority.staff import Session, StaffError, StaffProblem


def _session(request: Asked) -> Session:
    assert request.user.session is not None
    return request.user.session


@shows("/enrol", Rule.ENROL)
async def show_enrol(request: Asked, portal: Portal) -> Response[Any]:
    return portal.page(request, "enrol.html")


@shows("/enrol/app", Rule.ENROL)
async def show_enrol_app(request: Asked, portal: Portal) -> Response[Any]:
    return await _enrol_app(request, portal, None)


async def _enrol_app(request: Asked, portal: Portal, problem: StaffProblem | None) -> Response[Any]:
    session = _session(request)
    secret = await asyncio.to_thread(portal.house.enrolment.offer_totp, session)
    uri = credential.totp_uri(secret, session.member.name, portal.house.settings.authority.name)
    return portal.page(
        request, "enrol_app.html", status=422 if problem else 200, secret=secret, uri=uri, problem=problem
    )


@does("/enrol/app", Rule.ENROL)
async def enrol_app(request: Asked, portal: Portal) -> Response[Any]:
    form = await fields(request)
    act = lambda: portal.house.enrolment.add_totp(_session(request), form["digits"], portal.clock.now())  # noqa: E731
    try:
        return _enrolled(request, portal, await asyncio.to_thread(act))
    except StaffError as error:
        return await _enrol_app(request, portal, error.problem)


@shows("/enrol/passkey", Rule.ENROL)
async def show_enrol_passkey(request: Asked, portal: Portal) -> Response[Any]:
    return await _enrol_passkey(request, portal, None)


async def _enrol_passkey(request: Asked, portal: Portal, problem: StaffProblem | None) -> Response[Any]:
    offer = await asyncio.to_thread(portal.house.enrolment.offer_passkey, _session(request), portal.place)
    return portal.page(
        request, "enrol_passkey.html", status=422 if problem else 200, options=offer.options, problem=problem
    )


@does("/enrol/passkey", Rule.ENROL)
async def enrol_passkey(request: Asked, portal: Portal) -> Response[Any]:
    form = await fields(request)

    def act() -> Enrolled:
        enrolment = portal.house.enrolment
        return enrolment.add_passkey(_session(request), portal.place, form["passkey"], portal.clock.now())

    try:
        return _enrolled(request, portal, await asyncio.to_thread(act))
    except StaffError as error:
        return await _enrol_passkey(request, portal, error.problem)


def _enrolled(request: Asked, portal: Portal, enrolled: Enrolled) -> Response[Any]:
    if enrolled.entered is None or enrolled.recovery_codes is None:
        return to("/portal/account?done=factor")
    shown = portal.page(request, "recovery_codes.html", codes=enrolled.recovery_codes)
    shown.set_cookie(portal.cookies.session(enrolled.entered.token))
    return shown


@shows("/account", Rule.MEMBER)
async def show_account(request: Asked, portal: Portal) -> Response[Any]:
    return _account(request, portal, None)


def _account(request: Asked, portal: Portal, problem: StaffProblem | None) -> Response[Any]:
    return portal.page(request, "account.html", status=422 if problem else 200, problem=problem)


@does("/account/recovery-codes", Rule.MEMBER)
async def draw_recovery_codes(request: Asked, portal: Portal) -> Response[Any]:
    drawn = await asyncio.to_thread(portal.house.enrolment.draw_recovery_codes, _session(request), portal.clock.now())
    return portal.page(request, "recovery_codes.html", codes=drawn)


@does("/account/password", Rule.MEMBER)
async def change_password(request: Asked, portal: Portal) -> Response[Any]:
    form = await fields(request)

    def act() -> None:
        if form["password"] != form["again"]:
            raise StaffError(StaffProblem.PASSWORDS_DIFFER)
        portal.house.enrolment.change_password(_session(request), form["old"], form["password"], portal.clock.now())

    return await _changed(request, portal, act, "password")


@does("/account/remove-app", Rule.MEMBER)
async def remove_app(request: Asked, portal: Portal) -> Response[Any]:
    act = lambda: portal.house.enrolment.remove_totp(_session(request), portal.clock.now())  # noqa: E731
    return await _changed(request, portal, act, "removed")


@does("/account/remove-passkeys", Rule.MEMBER)
async def remove_passkeys(request: Asked, portal: Portal) -> Response[Any]:
    act = lambda: portal.house.enrolment.remove_passkeys(_session(request), portal.clock.now())  # noqa: E731
    return await _changed(request, portal, act, "removed")


async def _changed(request: Asked, portal: Portal, act: Callable[[], None], done: str) -> Response[Any]:
    try:
        await asyncio.to_thread(act)
    except StaffError as error:
        return _account(request, portal, error.problem)
    return to(f"/portal/account?done={done}")


ROUTES = [
    show_enrol,
    show_enrol_app,
    enrol_app,
    show_enrol_passkey,
    enrol_passkey,
    show_account,
    draw_recovery_codes,
    change_password,
    remove_app,
    remove_passkeys,
]
