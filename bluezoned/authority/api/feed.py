"""The files that boxes fetch, answered before the framework looks at anything: from memory, without the database.

Boxes outnumber all else that asks. Each answer is put together once, when its file changes; a conditional request costs
a look at the file's date. Ranges and all that is unusual are left to the routes behind.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

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

_PLAIN = {b"range", b"if-range"}


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file with its answer."""

    content: bytes
    etag: bytes
    headers: list[tuple[bytes, bytes]]


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
        headers = dict(scope["headers"])
        kept = None
        if not _PLAIN & headers.keys():
            if path == "/v1/index":
                kept = await self._newest_index()
            elif path.startswith("/v1/batches/"):
                kept = await self._batch(path.removeprefix("/v1/batches/"))
        if kept is None:
            await self._behind(scope, receive, send)
            return
        tags = [tag.strip().removeprefix(b"W/") for tag in headers.get(b"if-none-match", b"").split(b",")]
        if kept.etag in tags or b"*" in tags:
            # Without its length: RFC 9110 lets a 304 leave it out, and proxies take it for a body's.
            unchanged = [header for header in kept.headers if header[0] != b"content-length"]
            await send({"type": "http.response.start", "status": 304, "headers": unchanged})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        await send({"type": "http.response.start", "status": 200, "headers": kept.headers})
        body = b"" if scope["method"] == "HEAD" else kept.content
        await send({"type": "http.response.body", "body": body, "more_body": False})

    async def _newest_index(self) -> _Kept | None:
        mark, now = self._shelf.mark(INDEX), asyncio.get_running_loop().time()
        if mark != self._mark if mark is not None else now - self._looked >= LOOK_AGAIN_S:
            # Set before the look, so that a thousand requests at once look once.
            self._mark, self._looked = mark, now
            content = await asyncio.to_thread(self._shelf.read, INDEX)
            if content is None:
                self._index = None
            elif self._index is None or self._index.content != content:
                self._index = _kept(content, "text/plain; charset=utf-8", INDEX_CACHE)
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
        found = _kept(content, "application/zip", BATCH_CACHE)
        if name not in self._batches:
            self._batches[name] = found
            self._size += len(content)
        while self._size > MOST_BYTES and self._batches:
            _, oldest = self._batches.popitem(last=False)
            self._size -= len(oldest.content)
        return found


def _kept(content: bytes, media_type: str, cache: str) -> _Kept:
    etag = f'"{hashlib.sha256(content).hexdigest()}"'.encode()
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"etag", etag),
        (b"cache-control", cache.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"accept-ranges", b"bytes"),
    ]
    return _Kept(content, etag, headers)
