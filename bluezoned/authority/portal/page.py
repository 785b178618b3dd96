"""How a page is made: templates, texts, times as people read them, and the one object that every handler is given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import jinja2
import segno
from litestar import MediaType, Response
from litestar.response import Redirect

from bluezoned.authority.credential import Place
from bluezoned.authority.house import House
from bluezoned.authority.portal import words
from bluezoned.authority.portal.visitor import HEADERS, Asked, Cookies, Rule
from bluezoned.authority.portal.words import Catalogue
from bluezoned.clock import Clock
from bluezoned.errors import ConfigError

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Portal:
    """The portal of one opened authority."""

    house: House
    clock: Clock
    place: Place
    cookies: Cookies
    zone: ZoneInfo
    catalogues: Mapping[str, Catalogue]
    environment: jinja2.Environment

    def page(self, request: Asked, template: str, status: int = 200, **values: Any) -> Response[str]:
        """`values` and what every template is given: texts, times, the visitor."""
        visitor = request.user
        catalogue = self.catalogues[visitor.language]
        told = self.environment.get_template(template).render(
            t=catalogue.text,
            language=visitor.language,
            languages=words.LANGUAGES,
            visitor=visitor,
            may=lambda rule: visitor.may(Rule(rule)),
            authority=self.house.settings.authority.name,
            path=request.url.path,
            query=request.url.query,
            moment=self.moment,
            day=self.day,
            now=self.clock.now(),
            **values,
        )
        return self.answer(request, told, status)

    def answer(self, request: Asked, text: str, status: int = 200) -> Response[str]:
        cookies = [self.cookies.session(request.user.token)] if request.user.is_new else []
        return Response(text, status_code=status, media_type=MediaType.HTML, headers=HEADERS, cookies=cookies)

    def file(self, content: bytes, name: str) -> Response[bytes]:
        disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
        return Response(content, media_type="text/csv; charset=utf-8", headers=HEADERS | disposition)

    def text(self, request: Asked, key: str, **values: object) -> str:
        return self.catalogues[request.user.language].text(key, **values)

    # times as people read them

    def moment(self, at: int) -> str:
        return datetime.fromtimestamp(at / 1000, self.zone).strftime("%d/%m/%Y %H:%M")

    def day(self, number: int) -> str:
        """Of days since 1970."""
        return (_EPOCH + timedelta(days=number)).strftime("%d/%m/%Y")

    def local_date(self, at: int) -> date:
        return datetime.fromtimestamp(at / 1000, self.zone).date()

    def instant(self, on: date, minutes: int) -> int:
        """ms of a local date and minutes after its midnight."""
        midnight = datetime(on.year, on.month, on.day, tzinfo=self.zone)
        return int((midnight.astimezone(UTC) + timedelta(minutes=minutes)).timestamp()) * 1000


def make(house: House, clock: Clock, origin: str) -> Portal:
    """`origin`: where browsers reach it. ConfigError when the time zone is none."""
    name = house.settings.portal.time_zone
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ConfigError(f"portal.time_zone: there is no {name}; allowed: such as Asia/Ho_Chi_Minh") from None
    place = Place(origin, origin.split("://")[1].split(":")[0])
    return Portal(house, clock, place, Cookies(origin.startswith("https:")), zone, words.load(), _environment())


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bluezoned.authority.portal"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"key": _key, "groups": groups, "qr": qr, "as_json": json.dumps, "zip": zip}
    return environment


def _key(member: Enum) -> str:
    """Of an enumeration's member, as catalogues spell it."""
    return f"{type(member).__name__}.{member.name}".lower()


def groups(code: str) -> str:
    """Of four, as it is read aloud."""
    return " ".join(code[i : i + 4] for i in range(0, len(code), 4))


def qr(text: str) -> str:
    """A QR, as SVG. The page around it says the same in letters, so it is decoration to who listens."""
    code = segno.make(text, error="m", micro=False)
    drawn = code.svg_inline(border=2, omitsize=True, svgclass="qr", lineclass=None)
    return drawn.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def static_files() -> dict[str, tuple[bytes, str]]:
    """Content and type of each, by name: what is not in here cannot be asked for."""
    kinds = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
    folder = resources.files("bluezoned.authority.portal").joinpath("static")
    return {
        file.name: (file.read_bytes(), kind)
        for file in folder.iterdir()
        for suffix, kind in kinds.items()
        if file.name.endswith(suffix)
    }


def to(path: str, cookies: list[Any] | None = None) -> Redirect:
    """See there next, with GET."""
    return Redirect(path, status_code=303, headers=HEADERS, cookies=cookies or [])
