"""The authority over HTTP: what boxes fetch and post. Stateless but for the directory and its database.

Every answer to an upload has one size and one status, so that an observer learns nothing from it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.datastructures import ResponseHeader
from litestar.exceptions import ClientException, HTTPException, NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, OpenAPIMediaType, Operation, RequestBody, Schema
from litestar.types import Scope

from bluezoned import __version__, key_index, upload
from bluezoned.authority import http_range
from bluezoned.authority.api import gaen, laboratory, watching
from bluezoned.authority.api.discretion import held, require_body
from bluezoned.authority.api.feed import BATCH_CACHE, INDEX_CACHE
from bluezoned.authority.house import House, public_key_pem
from bluezoned.authority.portal import application as portal
from bluezoned.authority.publish import StaleKeyError
from bluezoned.authority.shelf import BATCHES, INDEX, LEAVES, LOG, Shelf
from bluezoned.clock import Clock
from bluezoned.errors import BluezonedError
from bluezoned.transparency_log import TILE

log = logging.getLogger(__name__)

PUBLISH_WAIT = 60_000
"""ms between two tries to publish what could not be yet: the clock is not set, the bucket refuses, another is at it."""

Ready = Callable[[str], None]
"""Told a sentence once the server answers."""

_OCTETS = "application/octet-stream"


@dataclass
class _UploadOperation(Operation):
    """The body is read by hand, bounded in size and time, so the document must be told what it is."""

    def __post_init__(self) -> None:
        size = upload.SEALED_SIZE
        body = Schema(type=None, description=f"Exactly {size} bytes.", content_media_type=_OCTETS, max_length=size)
        self.request_body = RequestBody(content={_OCTETS: OpenAPIMediaType(schema=body)}, required=True)


def _refusal(description: str) -> ResponseSpec:
    return ResponseSpec(dict[str, str], description=description, generate_examples=False)


def _empty(description: str) -> ResponseSpec:
    return ResponseSpec(None, description=description, generate_examples=False)


_FILE_RESPONSES = {
    206: ResponseSpec(bytes, description="The part that Range asked for", media_type=_OCTETS, generate_examples=False),
    304: _empty("It is what If-None-Match names"),
    404: _refusal("It is not published, or no more"),
    416: _refusal("Range lies beyond its end"),
}
_FILE_HEADERS = [
    ResponseHeader(name="ETag", description="SHA-256 of the content, hex", documentation_only=True),
    ResponseHeader(name="Cache-Control", description="For how long it may be kept", documentation_only=True),
]


def application(house: House, clock: Clock, port: int) -> Litestar:
    """The routes on one opened authority; at `port` staff find the portal where no other address is set."""
    origin = house.settings.portal.origin or f"http://localhost:{port}"

    @get(
        "/health",
        summary="Whether the server and its database answer",
        description="`published` is when the index was signed last; older than two publishing runs, publishing fails.",
        tags=["operations"],
        responses={503: _refusal("The database does not answer")},
    )
    async def health() -> dict[str, str | int | None]:
        issued, newest = await asyncio.to_thread(_last_published, house)
        return {"status": "ok", "version": __version__, "published": issued, "newest_batch": newest}

    @get("/v1/authority", summary="What a box pins", tags=["boxes"])
    async def authority() -> dict[str, str]:
        return {
            "name": house.settings.authority.name,
            "signing_key": public_key_pem(house.secrets.signing_key),
            "sealing_key": base64.b64encode(upload.public_sealing_key(house.secrets.sealing_key)).decode(),
        }

    @get(
        "/v1/index",
        media_type=MediaType.TEXT,
        summary="The signed index of batches, oldest to newest",
        description="Line 1 is the signature, line 2 canonical JSON. Send If-None-Match to fetch only what is new.",
        tags=["boxes"],
        responses=_FILE_RESPONSES,
        response_headers=_FILE_HEADERS,
    )
    async def index(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await _file(request, house.publisher.shelf, INDEX, INDEX_CACHE)

    @get(
        "/v1/log",
        media_type=MediaType.TEXT,
        summary="The signed end of the transparency log",
        description="What every box must have seen alike; written before the index that lists its batches.",
        tags=["boxes"],
        responses=_FILE_RESPONSES,
        response_headers=_FILE_HEADERS,
    )
    async def transparency(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await _file(request, house.publisher.shelf, LOG, INDEX_CACHE)

    @get(
        "/v1/leaves/{number:int}",
        media_type=_OCTETS,
        summary=f"{TILE} leaf hashes of the log; they never change",
        tags=["boxes"],
        responses=_FILE_RESPONSES,
        response_headers=_FILE_HEADERS,
    )
    async def leaves(request: Request[Any, Any, Any], number: int) -> Response[bytes]:
        return await _file(request, house.publisher.shelf, f"{LEAVES}/{number}", BATCH_CACHE)

    @get(
        "/v1/batches/{name:str}",
        media_type="application/zip",
        summary="One signed batch of keys; it never changes",
        tags=["boxes"],
        responses=_FILE_RESPONSES,
        response_headers=_FILE_HEADERS,
    )
    async def batch(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        if not key_index.is_batch_name(name):
            raise NotFoundException("there is no such batch")
        return await _file(request, house.publisher.shelf, f"{BATCHES}/{name}", BATCH_CACHE)

    @post(
        "/v1/uploads",
        status_code=200,
        media_type=_OCTETS,
        summary="One sealed upload in, one receipt out",
        description=f"The body has {upload.SEALED_SIZE} bytes, the receipt {upload.RECEIPT_SIZE}, whatever they say. "
        "The same upload again gets the same receipt.",
        request_max_body_size=upload.SEALED_SIZE,
        before_request=require_body,
        tags=["boxes"],
        operation_class=_UploadOperation,
        responses={
            400: _refusal("The body is of another size"),
            408: _refusal("The body was too slow"),
            413: _refusal("The body is too large"),
            503: _refusal("The database does not answer; send it again later"),
        },
    )
    async def uploads(request: Request[Any, Any, Any]) -> Response[bytes]:
        sealed = await request.body()
        if len(sealed) != upload.SEALED_SIZE:
            raise ClientException(f"an upload has {upload.SEALED_SIZE} bytes")
        async with held():
            receipt = await asyncio.to_thread(house.authority.accept, sealed, clock.now())
        return Response(receipt, media_type=_OCTETS, headers={"Cache-Control": "no-store"})

    pages = portal.pages(house, clock, origin)

    def refused(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        if request.url.path.startswith("/portal/"):
            return pages.lost(request, error)
        return Response({"detail": error.detail}, status_code=error.status_code, headers=error.headers)

    return Litestar(
        [
            health,
            authority,
            index,
            transparency,
            leaves,
            batch,
            uploads,
            gaen.router(house, clock),
            laboratory.router(house, clock),
            watching.router(house, clock),
            *pages.routes,
        ],
        # The document alone: the viewers that come with the framework load their scripts from other people's servers.
        openapi_config=OpenAPIConfig(
            title="bluezone-authority",
            version=__version__,
            path="/schema",
            render_plugins=[JsonRenderPlugin()],
            components=Components(security_schemes=dict(laboratory.SECURITY)),
        ),
        exception_handlers={BluezonedError: _unavailable, HTTPException: refused},
        after_exception=[_tell],
        logging_config=None,
    )


async def publish_once(house: House, clock: Clock, due: int | None = None) -> bool:
    """One publishing run, unless the clock cannot be believed or another worker has done it since `due` (ms); whether
    it is done. What fails for a known reason is told."""
    if not clock.is_synchronized():
        log.warning("nothing is published until the clock is set")
        return False
    at = clock.now()
    try:
        published = await asyncio.to_thread(house.publisher.publish, at, due)
        guessing = await asyncio.to_thread(house.authority.guessing, at)
    except StaleKeyError:
        raise
    except BluezonedError as error:
        log.error("publishing failed: %s", error)
        return False
    if published is not None and published.batches:
        log.info("published %d batches, %d keys, %d revoked", published.batches, published.keys, published.revoked)
    if guessing.is_shut:
        log.warning("short codes are refused for now: %d wrong ones in the last 24 hours", guessing.last_day)
    return published is not None


async def publish_for_ever(house: House, clock: Clock) -> None:
    """At each full multiple of `publish.every_s`; again each minute while that fails or another worker is at it, who
    may have been killed. Ends only by an error that it cannot name, which must take the process down: a server that
    answers and publishes nothing looks well."""
    every = house.settings.publish.every_s * 1000
    while True:
        at = clock.now()
        due = at - at % every + every
        await clock.sleep_until(due if clock.is_synchronized() else at + PUBLISH_WAIT)
        while clock.is_synchronized() and not await publish_once(house, clock, due):
            await clock.sleep_until(clock.now() + PUBLISH_WAIT)


def _last_published(house: House) -> tuple[str | None, int]:
    with house.store.snapshot() as seen:
        issued, newest = seen.fact("index issued"), seen.fact("newest batch")
    return datetime.fromtimestamp(issued / 1000, UTC).isoformat(timespec="seconds") if issued else None, newest


async def _file(request: Request[Any, Any, Any], shelf: Shelf, name: str, cache: str) -> Response[bytes]:
    """A published file with its validator, which is the content's digest: boxes send back no other."""
    content = await asyncio.to_thread(shelf.read, name)
    if content is None:
        raise NotFoundException("this is not published, or no more")
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": cache, "X-Content-Type-Options": "nosniff", "Accept-Ranges": "bytes"}
    asked = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in asked or "*" in asked:
        return Response(b"", status_code=304, headers=headers)
    if request.headers.get("if-range", etag) != etag:
        return Response(content, headers=headers)
    try:
        part = http_range.part(request.headers.get("range", ""), len(content))
    except http_range.BeyondEndError:
        raise HTTPException(
            "the range lies beyond the end", status_code=416, headers={"Content-Range": f"bytes */{len(content)}"}
        ) from None
    if part is None:
        return Response(content, headers=headers)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(content)}"
    return Response(content[part.start : part.stop], status_code=206, headers=headers)


def _unavailable(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, str]]:
    log.error("%s", error)
    return Response({"detail": "the authority cannot answer now: try again later"}, status_code=503)


async def _tell(error: Exception, _: Scope) -> None:
    """The framework turns what nobody expected into a bare 500. Type and place are told, not its text: that of a
    foreign error may hold what it stumbled over."""
    if not isinstance(error, BluezonedError | HTTPException):
        last = traceback.extract_tb(error.__traceback__)[-1]
        log.error("a request failed: %s in %s, line %s", type(error).__name__, last.filename, last.lineno)
