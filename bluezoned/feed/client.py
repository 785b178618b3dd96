"""The authority over HTTP: its requests, their foreign errors translated. Nothing that identifies is sent."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from yarl import URL

from bluezoned import config_source, transparency_log, upload
from bluezoned.feed import spool as spool_names
from bluezoned.feed.problem import FeedError, Reason
from bluezoned.key_index import Batch

CONNECT_S = 20
"""Seconds to reach the authority: TLS on a Pi Zero over a poor link takes several."""

SILENCE_S = 30
"""Seconds without a byte after which an answer is given up; there is no limit on the whole, as 24 MiB take a while."""


def open_session() -> aiohttp.ClientSession:
    """A session that keeps no cookie, says the same to everybody and follows no environment."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "bluezoned", "Accept": "*/*", "Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S),
        auto_decompress=False,
        trust_env=False,
    )


class WebAuthority:
    """One authority at its address, asked through a proxy or straight."""

    def __init__(self, session: aiohttp.ClientSession, url: str, proxy_url: str = "") -> None:
        """FeedError at once when `url` must not be asked. `proxy_url`: of an HTTP proxy, http or https; empty for
        none."""
        if not url or config_source.url_problem(url) is not None:
            raise FeedError(Reason.INSECURE_URL)
        self._session = session
        self._url = URL(url) / "v1"
        self._proxy = URL(proxy_url) if proxy_url else None

    async def index(self, etag: str) -> tuple[bytes | None, str]:
        """The index and its ETag; None when it is still the one of `etag`."""
        headers = {"If-None-Match": etag} if etag else {}
        async with self._answer("GET", self._url / "index", headers=headers) as response:
            if response.status == 304 and etag:
                return None, etag
            _check_status(response)
            content = await _body(response, spool_names.limit(spool_names.INDEX))
            return content, _harmless(response.headers.get("ETag", ""), content)

    @asynccontextmanager
    async def batch(self, batch: Batch, held: int) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        """Where the answer begins, at `held` or at 0, and the bytes as they come. If-Range is the digest, our server's
        ETag and the same for everybody; a server that has another sends the whole."""
        headers = {"Range": f"bytes={held}-", "If-Range": f'"{batch.sha256.hex()}"'} if held else {}
        rest = f"bytes {held}-{batch.size - 1}/{batch.size}"
        async with self._answer("GET", self._url / "batches" / batch.name, headers=headers) as response:
            goes_on = held > 0 and response.status == 206 and response.headers.get("Content-Range") == rest
            if not goes_on:
                _check_status(response)
            yield held if goes_on else 0, response.content.iter_chunked(1 << 16)

    async def log(self) -> bytes:
        """The signed transparency log."""
        async with self._answer("GET", self._url / "log") as response:
            _check_status(response)
            return await _body(response, spool_names.limit(spool_names.LOG))

    async def leaves(self, tile: int) -> bytes:
        """One file of the log's archive."""
        async with self._answer("GET", self._url / "leaves" / str(tile)) as response:
            _check_status(response)
            return await _body(response, transparency_log.TILE_SIZE)

    async def post(self, sealed: bytes) -> bytes:
        """The receipt for one sealed upload."""
        headers = {"Content-Type": "application/octet-stream"}
        async with self._answer("POST", self._url / "uploads", headers=headers, data=sealed) as response:
            _check_status(response)
            receipt = await _body(response, upload.RECEIPT_SIZE)
            if len(receipt) != upload.RECEIPT_SIZE:
                # A hotel's log-in page is no reason to forget an upload.
                raise FeedError(Reason.NO_RECEIPT)
            return receipt

    @asynccontextmanager
    async def _answer(
        self, method: str, url: URL, headers: dict[str, str] | None = None, data: bytes | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            async with self._session.request(
                method, url, headers=headers, data=data, allow_redirects=False, proxy=self._proxy
            ) as response:
                yield response
        except TimeoutError as error:
            raise FeedError(Reason.TOO_SLOW) from error
        except aiohttp.ClientHttpProxyError as error:
            raise FeedError(Reason.PROXY, error.status) from error
        except aiohttp.ClientProxyConnectionError as error:
            raise FeedError(Reason.PROXY) from error
        except aiohttp.ClientSSLError as error:
            raise FeedError(Reason.NOT_TRUSTED) from error
        except aiohttp.ClientError as error:
            raise FeedError(Reason.UNREACHABLE) from error


_REDIRECTIONS = frozenset({301, 302, 303, 307, 308})


def _check_status(response: aiohttp.ClientResponse) -> None:
    if response.status in _REDIRECTIONS:
        raise FeedError(Reason.REDIRECTED, response.status)
    if response.status != 200:
        raise FeedError(Reason.REFUSED, response.status)


async def _body(response: aiohttp.ClientResponse, most: int) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(1 << 16):
        content += chunk
        if len(content) > most:
            raise FeedError(Reason.TOO_LARGE)
    return bytes(content)


def _harmless(etag: str, content: bytes) -> str:
    """The ETag if it is a digest of the content (SHA-256 of our server, MD5 of S3), else empty: sent back, any other
    could mark a single device."""
    digests = (hashlib.sha256(content).hexdigest(), hashlib.md5(content, usedforsecurity=False).hexdigest())
    return etag if etag.removeprefix("W/").strip('"') in digests else ""
