"""Who asks: the session behind a cookie, what each route demands, and what every answer carries."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, State
from litestar.exceptions import HTTPException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler
from litestar.middleware.authentication import AbstractAuthenticationMiddleware, AuthenticationResult

from bluezoned.authority.portal import words
from bluezoned.authority.sign_in import SignIn
from bluezoned.authority.staff import Actor, Member, Role, Session, Stage
from bluezoned.clock import Clock

BODY_S = 10.0
"""Seconds in which a form must have come: the largest over the slowest modem takes nine."""

LARGEST_FORM = 64 * 1024
"""Bytes. The longest answer of an authenticator has some 6 KB."""

LANGUAGE_COOKIE = "language"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Not no-referrer: browsers would send "null" as the origin of forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class Rule(Enum):
    """Whom a route lets in. Without one it lets nobody in."""

    OPEN = "open"
    """Anybody."""
    HALF = "half"
    """Who has shown a password and has yet to show the second factor."""
    ENROL = "enrol"
    """Who is in, or has yet to set up a second factor."""
    MEMBER = "member"
    """Who is in, in any role: reads, and changes nothing but the own account."""
    ISSUE = "issue"
    """Issuers and administrators."""
    ADMIN = "admin"
    """Administrators."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """One browser."""

    token: str
    """Of the cookie; drawn anew for who brings none."""
    is_new: bool
    csrf: str
    """What each of its forms must carry."""
    session: Session | None
    language: str

    @property
    def member(self) -> Member | None:
        """Who is all the way in."""
        return self.session.member if self.session is not None and self.session.stage is Stage.FULL else None

    @property
    def actor(self) -> Actor:
        """For acts; only where a rule demands a member."""
        assert self.session is not None
        return Actor(self.session.member.name)

    def may(self, rule: Rule) -> bool:
        stage = None if self.session is None else self.session.stage
        role = None if self.member is None else self.member.role
        match rule:
            case Rule.OPEN:
                return True
            case Rule.HALF:
                return stage is Stage.PASSWORD
            case Rule.ENROL:
                return stage in (Stage.ENROL, Stage.FULL)
            case Rule.MEMBER:
                return role is not None
            case Rule.ISSUE:
                return role in (Role.ISSUER, Role.ADMIN)
            case Rule.ADMIN:
                return role is Role.ADMIN


Asked: TypeAlias = Request[Visitor, None, State]


class Elsewhere(Exception):
    """The visitor is to ask for another page first."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True, slots=True)
class Cookies:
    """How the session travels."""

    is_secure: bool
    """Whether the portal is reached over https."""

    @property
    def name(self) -> str:
        # The prefix makes browsers refuse it from other hosts, other paths and plain http.
        return "__Host-session" if self.is_secure else "session"

    def session(self, token: str) -> Cookie:
        return Cookie(self.name, value=token, path="/", httponly=True, secure=self.is_secure, samesite="strict")

    def language(self, code: str) -> Cookie:
        return Cookie(
            LANGUAGE_COOKIE,
            value=code,
            path="/",
            httponly=True,
            secure=self.is_secure,
            samesite="strict",
            max_age=365 * 86_400,
        )


def recognition(door: SignIn, clock: Clock, cookies: Cookies) -> type[AbstractAuthenticationMiddleware]:
    """The middleware that finds the visitor of each request."""

    class Recognition(AbstractAuthenticationMiddleware):
        async def authenticate_request(self, connection: ASGIConnection[Any, Any, Any, Any]) -> AuthenticationResult:
            found = nobody(connection, door, cookies)
            session = None if found.is_new else await asyncio.to_thread(door.session, found.token, clock.now())
            # A page that asks by itself is nobody at the keys: a screen that was left must not stay signed in.
            if session is not None and not connection.route_handler.opt.get("asks_by_itself"):
                await asyncio.to_thread(door.touch, session, clock.now())
            return AuthenticationResult(replace(found, session=session), None)

    return Recognition


def nobody(connection: ASGIConnection[Any, Any, Any, Any], door: SignIn, cookies: Cookies) -> Visitor:
    """The browser, without a look whether anybody is signed in."""
    token = connection.cookies.get(cookies.name, "")
    is_new = not 20 <= len(token) <= 64
    if is_new:
        token = door.draw_token()
    language = words.choose(connection.cookies.get(LANGUAGE_COOKIE), connection.headers.get("accept-language", ""))
    return Visitor(token, is_new, door.csrf(token), None, language)


def require_rule(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """The guard of every route."""
    rule, visitor = handler.opt.get("rule"), connection.user
    if not isinstance(rule, Rule):
        raise PermissionDeniedException("this route has no rule")
    if visitor.may(rule):
        return
    if visitor.session is None:
        raise Elsewhere("/portal/sign-in")
    if visitor.session.stage is Stage.PASSWORD:
        raise Elsewhere("/portal/second-factor")
    if visitor.session.stage is Stage.ENROL:
        raise Elsewhere("/portal/enrol")
    if rule is Rule.HALF:
        raise Elsewhere("/portal/")
    raise PermissionDeniedException


def form_check(origin: str) -> Any:
    """What runs before each handler: a form is read, bounded in size and time, and taken only from our own pages."""

    async def check_form(request: Asked) -> None:
        if request.method != "POST":
            return
        if request.headers.get("origin", origin) != origin or request.headers.get(
            "sec-fetch-site", "same-origin"
        ) not in ("same-origin", "none"):
            raise PermissionDeniedException("other-origin")
        try:
            async with asyncio.timeout(request.route_handler.opt.get("body_s", BODY_S)):
                form = await request.form()
        except TimeoutError:
            raise HTTPException("too-slow", status_code=408) from None
        sent = form.get("csrf", "")
        if not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), request.user.csrf.encode()):
            raise PermissionDeniedException("stale-form")

    return check_form
