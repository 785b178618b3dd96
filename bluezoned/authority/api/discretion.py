"""How an answer to a box or an app keeps silent before whoever listens to the line: one size, and one of few delays."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from litestar import Response

from bluezoned.clock import rest

HOLD_S = 0.25
"""Answers leave at multiples of this after their request. An upload takes some 20 ms, and up to 150 when two hundred a
second arrive on two cores: halved, a slow disk shows who was accepted; doubled, boxes wait for nothing."""

ANSWER_SIZE = 1536
"""Bytes of each JSON answer. A certificate takes 600; the rest is room."""


@asynccontextmanager
async def held() -> AsyncIterator[None]:
    """What is done inside ends at a multiple of HOLD_S, whether it was real or chaff, accepted or refused."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    try:
        yield
    finally:
        await rest(round((HOLD_S - (loop.time() - start) % HOLD_S) * 1000))


def padded(document: dict[str, Any], status: int = 200) -> Response[bytes]:
    """The document as JSON of ANSWER_SIZE bytes, filled up by its field `padding`."""
    bare = len(msgspec.json.encode(document | {"padding": ""}))
    filling = secrets.token_hex(ANSWER_SIZE)[: max(0, ANSWER_SIZE - bare)]
    content = msgspec.json.encode(document | {"padding": filling})
    return Response(content, status_code=status, media_type="application/json", headers={"Cache-Control": "no-store"})
