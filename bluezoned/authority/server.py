"""The authority over HTTP: what boxes fetch and post. Stateless but for the directory and its database.

Every answer to an upload has one size and one status, so that an observer learns nothing from it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.exceptions import ClientException, HTTPException, NotFoundException
from litestar.openapi.config import OpenAPIConfig

from bluezoned import __version__, key_index, upload
from bluezoned.authority.publish import INDEX
from bluezoned.authority.settings import House, public_key_pem
from bluezoned.clock import Clock
from bluezoned.errors import BluezonedError

log = logging.getLogger(__name__)

INDEX_CACHE_S = 300
"""Seconds that a cache may keep the index. Twelve of them pass between two hourly publications; without it each box's
visit would reach this machine."""

BATCH_CACHE_S = 14 * 86_400
"""Seconds that a cache may keep a batch: for as long as it is listed. It never changes."""


def application(house: House, clock: Clock) -> Litestar:
    """The routes on one opened authority, publishing on `clock`."""

    @get("/health", summary="Whether the server and its database answer", tags=["operations"])
    async def health() -> dict[str, str]:
        await asyncio.to_thread(_ask_database, house)
        return {"status": "ok", "version": __version__}

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
    )
    async def index(request: Request[Any, Any, Any]) -> Response[bytes]:
        return await _file(request, house.publisher.directory / INDEX, f"public, max-age={INDEX_CACHE_S}")

    @get(
        "/v1/batches/{name:str}",
        media_type="application/zip",
        summary="One signed batch of keys; it never changes",
        tags=["boxes"],
    )
    async def batch(request: Request[Any, Any, Any], name: str) -> Response[bytes]:
        if not key_index.is_batch_name(name):
            raise NotFoundException("there is no such batch")
        path = house.publisher.directory / "batches" / name
        return await _file(request, path, f"public, max-age={BATCH_CACHE_S}, immutable")

    @post(
        "/v1/uploads",
        status_code=200,
        media_type="application/octet-stream",
        summary="One sealed upload in, one receipt out",
        description=f"The body has {upload.SEALED_SIZE} bytes, the receipt {upload.RECEIPT_SIZE}, whatever they say.",
        request_max_body_size=upload.SEALED_SIZE,
        tags=["boxes"],
    )
    async def uploads(request: Request[Any, Any, Any]) -> Response[bytes]:
        sealed = await request.body()
        if len(sealed) != upload.SEALED_SIZE:
            raise ClientException(f"an upload has {upload.SEALED_SIZE} bytes")
        receipt = await asyncio.to_thread(house.authority.accept, sealed, clock.now())
        return Response(receipt, media_type="application/octet-stream", headers={"Cache-Control": "no-store"})

    @asynccontextmanager
    async def publishing(_: Litestar) -> AsyncIterator[None]:
        # Once before the first request: who is answered at all finds an index.
        await _publish(house, clock.now())
        loop = asyncio.create_task(_publish_on_schedule(house, clock))
        try:
            yield
        finally:
            loop.cancel()
            with suppress(asyncio.CancelledError):
                await loop

    return Litestar(
        [health, authority, index, batch, uploads],
        lifespan=[publishing],
        openapi_config=OpenAPIConfig(title="bluezone-authority", version=__version__, path="/schema"),
        exception_handlers={BluezonedError: _unavailable, HTTPException: _refused},
        logging_config=None,
    )


async def _publish_on_schedule(house: House, clock: Clock) -> None:
    every = house.settings.publish.every_s * 1000
    while True:
        at = clock.now()
        await clock.sleep_until(at - at % every + every)
        await _publish(house, clock.now())


async def _publish(house: House, at: int) -> None:
    try:
        published = await asyncio.to_thread(house.publisher.publish, at)
    except BluezonedError as error:
        # Nothing half done is listed; the next run makes it good.
        log.error("publishing failed: %s", error)
        return
    if published.batches:
        log.info("published %d batches, %d keys, %d revoked", published.batches, published.keys, published.revoked)


def _ask_database(house: House) -> None:
    with house.store.transaction() as transaction:
        transaction.fact("schema")


async def _file(request: Request[Any, Any, Any], path: Path, cache: str) -> Response[bytes]:
    """A published file with its validator: boxes send back only an ETag that is the content's digest."""
    try:
        content = await asyncio.to_thread(path.read_bytes)
    except FileNotFoundError:
        raise NotFoundException("this is not published, or no more") from None
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    headers = {"ETag": etag, "Cache-Control": cache, "X-Content-Type-Options": "nosniff"}
    asked = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if etag in asked:
        return Response(b"", status_code=304, headers=headers)
    return Response(content, headers=headers)


def _unavailable(_: Request[Any, Any, Any], error: Exception) -> Response[dict[str, str]]:
    log.error("%s", error)
    return Response({"detail": "the authority cannot answer now: try again later"}, status_code=503)


def _refused(_: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, str]]:
    return Response({"detail": error.detail}, status_code=error.status_code)
