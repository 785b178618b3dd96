"""The files that boxes fetch, answered before the framework looks at anything: from memory, without the database.

Boxes outnumber all else that asks. Each answer is put together once, when its file changes; a conditional request costs
a look at the file's date. Ranges and all that is unusual are left to the routes behind.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Iterable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send

from bluezoned import key_index
from bluezoned.authority.shelf import BATCHES, INDEX, Shelf

INDEX_CACHE = "public, max-age=300"
"""Seconds that a cache may keep the index. Twelve of them pass between two hourly publications; without it each box's
visit would reach this machine."""

BATCH_CACHE = "public, max-age=1209600, immutable"
"""For as long as it is listed: 14 days. It never changes."""

LOOK_AGAIN_S = 1.0
"""Seconds for which the index of a bucket is answered from memory: what is published waits so long at most, and the
bucket is asked once a second by each worker. A directory is looked at each time."""

MOST_BYTES = 64 << 20
"""Of batches in memory. Two of the largest, or a month of a province's."""

_INDEX = "/v1/index"
_BATCHES = "/v1/batches/"
_OF_PARTS = (b"range", b"if-range")


class _Kept:
    """A file with its answers: messages of ASGI, which nobody changes."""

    def __init__(self, content: bytes, media_type: str, cache: str) -> None:
        self.content = content
        self.etag = f'"{hashlib.sha256(content).hexdigest()}"'.encode()
        headers = [
            (b"content-type", media_type.encode()),
            (b"etag", self.etag),
            (b"cache-control", cache.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"accept-ranges", b"bytes"),
        ]
        self.found = _start(200, [*headers, (b"content-length", str(len(content)).encode())])
        # Without its length: RFC 9110 lets a 304 leave it out, and proxies take it for a body's.
        self.unchanged = _start(304, headers)
        self.body = _body(content)

    def is_among(self, tags: bytes) -> bool:
        """Whether If-None-Match names it."""
        named = [tag.strip().removeprefix(b"W/") for tag in tags.split(b",")]
        return self.etag in named or b"*" in named


def _start(status: int, headers: list[tuple[bytes, bytes]]) -> HTTPResponseStartEvent:
    return {"type": "http.response.start", "status": status, "headers": headers}


def _body(content: bytes) -> HTTPResponseBodyEvent:
    return {"type": "http.response.body", "body": content, "more_body": False}


_NO_BODY = _body(b"")


class Feed:
    """The index and the batches; everything else goes on to `behind`."""

    def __init__(self, shelf: Shelf, behind: ASGIApp) -> None:
        self._shelf = shelf
        self._behind = behind
        self._index: _Kept | None = None
        self._mark: object | None = None
        self._looked = float("-inf")
        self._batches: OrderedDict[str, _Kept] = OrderedDict()
        self._size = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or scope["method"] not in ("GET", "HEAD"):
            await self._behind(scope, receive, send)
            return
        path: str = scope["path"]
        kept = None
        if path == _INDEX:
            kept = self._index if self._is_newest() else await self._newest_index()
        elif path.startswith(_BATCHES):
            kept = await self._batch(path.removeprefix(_BATCHES))
        answer, body = (None, _NO_BODY) if kept is None else _answer(kept, scope["headers"])
        if answer is None:
            await self._behind(scope, receive, send)
            return
        await send(answer)
        await send(_NO_BODY if scope["method"] == "HEAD" else body)

    def _is_newest(self) -> bool:
        mark = self._shelf.mark(INDEX)
        if mark is None:
            return asyncio.get_running_loop().time() - self._looked < LOOK_AGAIN_S
        return mark == self._mark

    async def _newest_index(self) -> _Kept | None:
        # Set before the look, so that a thousand requests at once look once.
        self._mark, self._looked = self._shelf.mark(INDEX), asyncio.get_running_loop().time()
        content = await asyncio.to_thread(self._shelf.read, INDEX)
        if content is None:
            self._index = None
        elif self._index is None or self._index.content != content:
            self._index = _Kept(content, "text/plain; charset=utf-8", INDEX_CACHE)
        return self._index

    async def _batch(self, name: str) -> _Kept | None:
        found = self._batches.get(name)
        if found is not None:
            self._batches.move_to_end(name)
            return found
        if not key_index.is_batch_name(name):
            return None
        content = await asyncio.to_thread(self._shelf.read, f"{BATCHES}/{name}")
        if content is None:
            return None
        found = _Kept(content, "application/zip", BATCH_CACHE)
        if name not in self._batches:
            self._batches[name] = found
            self._size += len(content)
        while self._size > MOST_BYTES and self._batches:
            _, oldest = self._batches.popitem(last=False)
            self._size -= len(oldest.content)
        return found


def _answer(
    kept: _Kept, headers: Iterable[tuple[bytes, bytes]]
) -> tuple[HTTPResponseStartEvent | None, HTTPResponseBodyEvent]:
    """None for a part of it, which the routes behind give."""
    answer, body = kept.found, kept.body
    for name, value in headers:
        if name in _OF_PARTS:
            return None, _NO_BODY
        if name == b"if-none-match" and kept.is_among(value):
            answer, body = kept.unchanged, _NO_BODY
    return answer, body
