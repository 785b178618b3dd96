"""The way in and out: set-up, invitation, password, second factor, language."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

from litestar import Response

from bluezoned.authority.portal.forms import Fields, does, fields, shows
from bluezoned.authority.portal.page import Portal, to
from bluezoned.authority.portal.visitor import Asked, Rule
from bluezoned.authority.portal.words import LANGUAGES
from bluezoned.authority.sign_in import Entered
from bluezoned.authority.staff import Member, StaffError, StaffProblem, Stage

_HASHING = asyncio.Semaphore(2)
"""Passwords that are hashed at one time, 64 MiB each: a hundred guessers at once must not take a Pi's memory."""

_OWN_PATH = re.compile(r"/portal/[A-Za-z0-9/_-]*")

_NEXT = {Stage.PASSWORD: "/portal/second-factor", Stage.ENROL: "/portal/enrol", Stage.FULL: "/portal/"}


@shows("/setup", Rule.OPEN)
async def show_setup(request: Asked, portal: Portal) -> Response[Any]:
    if await asyncio.to_thread(portal.house.personnel.is_staffed):
        return to("/portal/sign-in")
    return portal.page(request, "setup.html", problem=None, form=Fields())


@does("/setup", Rule.OPEN)
async def set_up(request: Asked, portal: Portal) -> Response[Any]:
    form = await fields(request)

    def act() -> Member:
        _require_same(form)
        return portal.house.personnel.set_up(form["word"], form["name"], form["password"], portal.clock.now())

    return await _entered_by(request, portal, act, "setup.html", form)


@shows("/invitation", Rule.OPEN)
async def show_invitation(request: Asked, portal: Portal) -> Response[Any]:
    return portal.page(request, "invitation.html", problem=None, form=Fields())


@does("/invitation", Rule.OPEN)
async def accept_invitation(request: Asked, portal: Portal) -> Response[Any]:
    form = await fields(request)

    def act() -> Member:
        _require_same(form)
        return portal.house.personnel.accept(form["word"], form["password"], portal.clock.now())

    return await _entered_by(request, portal, act, "invitation.html", form)


def _require_same(form: Fields) -> None:
    if form["password"] != form["again"]:
        raise StaffError(StaffProblem.PASSWORDS_DIFFER)


async def _entered_by(
    request: Asked, portal: Portal, act: Callable[[], Member], template: str, form: Fields
) -> Response[Any]:
    """Signed in as whom `act` gives, who has to set up a second factor next."""
    try:
        async with _HASHING:
            member = await asyncio.to_thread(act)
    except StaffError as error:
        return portal.page(request, template, status=422, problem=error.problem, form=form)
    return _let_in(portal, await asyncio.to_thread(portal.house.door.begin, member, portal.clock.now()))


def _let_in(portal: Portal, entered: Entered) -> Response[Any]:
    return to(_NEXT[entered.stage], [portal.cookies.session(entered.token)])


@shows("/sign-in", Rule.OPEN)
async def show_sign_in(request: Asked, portal: Portal) -> Response[Any]:
    if request.user.member is not None:
        return to("/portal/")
    if not await asyncio.to_thread(portal.house.personnel.is_staffed):
        return to("/portal/setup")
    return portal.page(request, "sign_in.html", problem=None, form=Fields())


@does("/sign-in", Rule.OPEN)
async def sign_in(request: Asked, portal: Portal) -> Response[Any]:
    form = await fields(request)
    door, at = portal.house.door, portal.clock.now()
    try:
        async with _HASHING:
            entered = await asyncio.to_thread(door.password, form["name"].strip().lower(), form["password"], at)
    except StaffError as error:
        return portal.page(request, "sign_in.html", status=422, problem=error.problem, form=form)
    return _let_in(portal, entered)


@shows("/second-factor", Rule.HALF)
async def show_second_factor(request: Asked, portal: Portal) -> Response[Any]:
    return await _second_factor(request, portal, None)


async def _second_factor(request: Asked, portal: Portal, problem: StaffProblem | None) -> Response[Any]:
    session = request.user.session
    assert session is not None
    offer = await asyncio.to_thread(portal.house.door.offer_passkey, session, portal.place)
    return portal.page(
        request,
        "second_factor.html",
        status=422 if problem else 200,
        problem=problem,
        options=None if offer is None else offer.options,
        has_totp=session.member.totp is not None,
    )


@does("/second-factor", Rule.HALF)
async def show_factor(request: Asked, portal: Portal) -> Response[Any]:
    form = await fields(request)
    session, door, at = request.user.session, portal.house.door, portal.clock.now()
    assert session is not None
    try:
        if form["passkey"]:
            entered = await asyncio.to_thread(door.passkey, session, portal.place, form["passkey"], at)
        elif form["recovery"]:
            entered = await asyncio.to_thread(door.recovery, session, form["recovery"], at)
        else:
            entered = await asyncio.to_thread(door.totp, session, form["digits"], at)
    except StaffError as error:
        return await _second_factor(request, portal, error.problem)
    return _let_in(portal, entered)


@does("/sign-out", Rule.OPEN)
async def sign_out(request: Asked, portal: Portal) -> Response[Any]:
    if request.user.session is not None:
        await asyncio.to_thread(portal.house.door.end, request.user.session, portal.clock.now())
    # A token that nobody knows: the next to sit here begins anew.
    return to("/portal/sign-in", [portal.cookies.session(portal.house.door.draw_token())])


@does("/language", Rule.OPEN)
async def choose_language(request: Asked, portal: Portal) -> Response[Any]:
    form = await fields(request)
    code = form["language"] if form["language"] in LANGUAGES else next(iter(LANGUAGES))
    # Only to a page of ours: an address from a form must not send people elsewhere.
    back = form["path"] if _OWN_PATH.fullmatch(form["path"]) else "/portal/"
    return to(back, [portal.cookies.language(code)])


ROUTES = [
    show_setup,
    set_up,
    show_invitation,
    accept_invitation,
    show_sign_in,
    sign_in,
    show_second_factor,
    show_factor,
    sign_out,
    choose_language,
]
