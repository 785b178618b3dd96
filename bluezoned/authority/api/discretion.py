"""How an answer to a box or an app keeps silent before whoever listens to the line: one size, and one of few delays."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from bluezoned.clock import rest

HOLD_S = 0.25
"""Answers leave at multiples of this after their request. An upload takes some 20 ms, and up to 150 when two hundred a
second arrive on two cores: halved, a slow disk shows who was accepted; doubled, boxes wait for nothing."""

ANSWER_SIZE = 1536
"""Bytes of each JSON answer. A certificate takes 600; the rest is room."""

BODY_S = 30.0
"""Seconds in which a body must have come: 64 KiB over the slowest modem take ten. Without a limit, whoever sends a byte
an hour holds a connection for ever."""


async def require_body(request: Request[Any, Any, Any]) -> None:
    """Reads it, before a handler asks for it; 408 when it does not come in time."""
    try:
        async with asyncio.timeout(BODY_S):
            await request.body()
    except TimeoutError:
        raise HTTPException("the body did not come in time", status_code=408) from None


@asynccontextmanager
async def held() -> AsyncIterator[None]:
    """What is done inside ends at a multiple of HOLD_S, whether it was real or chaff, accepted or refused."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    try:
        yield
    finally:
        await rest(round((HOLD_S - (loop.time() - start) % HOLD_S) * 1000))


class Answer(msgspec.Struct, kw_only=True):
    """What an app of others is told."""

    padding: str = ""


_Told = TypeVar("_Told", bound=Answer)


def padded(answer: _Told, status: int = 200) -> Response[_Told]:
    """The answer as JSON of ANSWER_SIZE bytes, filled up by its field `padding`."""
    bare = len(msgspec.json.encode(answer))
    answer.padding = secrets.token_hex(ANSWER_SIZE)[: max(0, ANSWER_SIZE - bare)]
    return Response(answer, status_code=status, media_type="application/json", headers={"Cache-Control": "no-store"})
