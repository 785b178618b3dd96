"""What forms bring, and how a handler says which route it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from litestar import MediaType, get, post
from litestar.datastructures import UploadFile

from bluezoned.authority.portal.visitor import BODY_S, LARGEST_FORM, Asked, Rule

Decorator = Callable[[Any], Any]


def shows(path: str, rule: Rule) -> Decorator:
    """A handler that shows a page and changes nothing."""
    return get(path, opt={"rule": rule}, media_type=MediaType.HTML, include_in_schema=False)


def refreshes(path: str, rule: Rule) -> Decorator:
    """A handler that shows a part of a page which asks for it by itself, again and again."""
    return get(path, opt={"rule": rule, "asks_by_itself": True}, media_type=MediaType.HTML, include_in_schema=False)


def does(path: str, rule: Rule, largest: int = LARGEST_FORM, body_s: float = BODY_S) -> Decorator:
    """A handler that takes a form, of `largest` bytes, within `body_s` seconds."""
    return post(
        path,
        opt={"rule": rule, "body_s": body_s},
        media_type=MediaType.HTML,
        status_code=200,
        include_in_schema=False,
        request_max_body_size=largest,
    )


class Fields(dict[str, str]):
    """Of a form."""

    def __missing__(self, _: str) -> str:
        return ""


async def fields(request: Asked) -> Fields:
    """The form's texts; a missing one is empty. PostgreSQL knows no NUL, and no reader does."""
    form = await request.form()
    return Fields({name: text.replace("\0", "") for name, text in form.items() if isinstance(text, str)})


async def file(request: Asked, name: str) -> bytes:
    """Content of an uploaded file; nothing when there is none."""
    found = (await request.form()).get(name)
    return await found.read() if isinstance(found, UploadFile) else b""


def asked(request: Asked, name: str) -> str:
    """A word of the address, or nothing."""
    return str(request.query_params.get(name, "")).replace("\0", "")[:200]


def page_number(request: Asked) -> int:
    """From 1."""
    number = asked(request, "page")
    return max(1, int(number)) if number.isascii() and number.isdigit() and len(number) < 6 else 1
