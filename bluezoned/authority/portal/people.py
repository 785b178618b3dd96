"""The staff, for administrators: who is there, who comes, who leaves."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar import Response

from bluezoned.authority.portal.forms import Fields, does, fields, shows
from bluezoned.authority.portal.page import Portal, to
from bluezoned.authority.portal.visitor import Asked, Rule
from bluezoned.authority.staff import Role, StaffError, StaffProblem

_ROLES = {role.value: role for role in Role}


@shows("/staff", Rule.MEMBER)
async def list_staff(request: Asked, portal: Portal) -> Response[Any]:
    return await _staff(request, portal, None, Fields())


async def _staff(request: Asked, portal: Portal, problem: StaffProblem | None, form: Fields) -> Response[Any]:
    members = await asyncio.to_thread(portal.house.personnel.members)
    return portal.page(
        request,
        "staff.html",
        status=422 if problem else 200,
        members=members,
        roles=list(_ROLES),
        problem=problem,
        form=form,
    )


@does("/staff", Rule.ADMIN)
async def invite(request: Asked, portal: Portal) -> Response[Any]:
    form = await fields(request)
    name, role = form["name"].strip().lower(), _ROLES.get(form["role"], Role.AUDITOR)
    try:
        word = await asyncio.to_thread(
            portal.house.personnel.invite, request.user.actor, name, role, portal.clock.now()
        )
    except StaffError as error:
        return await _staff(request, portal, error.problem, form)
    return portal.page(request, "invited.html", name=name, word=word, origin=portal.place.origin)


@does("/staff/{name:str}/invite", Rule.ADMIN)
async def invite_again(request: Asked, portal: Portal, name: str) -> Response[Any]:
    try:
        word = await asyncio.to_thread(
            portal.house.personnel.invite_again, request.user.actor, name, portal.clock.now()
        )
    except StaffError as error:
        return await _staff(request, portal, error.problem, Fields())
    return portal.page(request, "invited.html", name=name, word=word, origin=portal.place.origin)


@does("/staff/{name:str}/change", Rule.ADMIN)
async def change(request: Asked, portal: Portal, name: str) -> Response[Any]:
    form = await fields(request)
    personnel, actor, at = portal.house.personnel, request.user.actor, portal.clock.now()
    try:
        if form["act"] == "disable":
            await asyncio.to_thread(personnel.disable, actor, name, at)
        elif form["act"] == "enable":
            await asyncio.to_thread(personnel.enable, actor, name, at)
        elif form["role"] in _ROLES:
            await asyncio.to_thread(personnel.change_role, actor, name, _ROLES[form["role"]], at)
    except StaffError as error:
        return await _staff(request, portal, error.problem, Fields())
    return to("/portal/staff?done=changed")


ROUTES = [list_staff, invite, invite_again, change]
