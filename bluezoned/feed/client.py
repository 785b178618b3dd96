"""The HTTP side: fetch what the authority publishes, post what waits in the outbox. Nothing that identifies is sent.

Believes nothing: the index is only peeked at for names, sizes and digests, and what arrives is judged by the daemon.
No retry here: the timer starts the next try.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

import aiohttp
import msgspec
from yarl import URL

from bluezoned import config_source, key_index, transparency_log, upload
from bluezoned.errors import AuthorityError
from bluezoned.feed import spool as spool_names
from bluezoned.feed.spool import Spool
from bluezoned.key_index import Batch, KeyIndex
from bluezoned.signed_document import DocumentError

Document = TypeVar("Document")

CONNECT_S = 20
"""Seconds to reach the authority: TLS on a Pi Zero over a poor link takes several."""

SILENCE_S = 30
"""Seconds without a byte after which an answer is given up; there is no limit on the whole, as 24 MiB take a while."""


class Reason(Enum):
    """Why the authority could not be asked or believed, in plain words."""

    INSECURE_URL = "the authority's address is not fit: https, or http on this machine"
    UNREACHABLE = "the authority cannot be reached: check the network and authority.url"
    NOT_TRUSTED = "the authority's certificate is not trusted: check authority.url and the clock"
    TOO_SLOW = "the authority did not answer in time"
    REDIRECTED = "the authority's address leads elsewhere: redirects are refused"
    REFUSED = "the authority refused the request"
    TOO_LARGE = "the authority's answer is larger than allowed"
    NOT_AS_LISTED = "a batch is not what the index says it is"
    NO_INDEX = "the authority's index cannot be read"
    NO_LOG = "the authority's log cannot be read"
    NO_RECEIPT = "the authority's answer to an upload is no receipt"


_AWAY = frozenset({Reason.UNREACHABLE, Reason.NOT_TRUSTED, Reason.TOO_SLOW})


class FeedError(AuthorityError):
    """Something between us and the authority. `status` is the HTTP status where there was one."""

    def __init__(self, reason: Reason, status: int | None = None) -> None:
        super().__init__(reason.value if status is None else f"{reason.value} (HTTP status {status})")
        self.reason = reason
        self.status = status


@dataclass(frozen=True, slots=True)
class FeedReport:
    """What one visit brought."""

    index_changed: bool
    batches: int
    """Fetched into the inbox."""
    uploads: int
    """Answered; their receipts are in the inbox."""
    problems: tuple[FeedError, ...]


class _State(msgspec.Struct, frozen=True):
    """What sync remembers between visits. Losing it costs fetching the listed batches once more."""

    etag: str = ""
    fetched: dict[int, str] = {}
    """Sequence to SHA-256 (hex) of each batch that is listed and was fetched."""


def open_session() -> aiohttp.ClientSession:
    """A session that keeps no cookie, says the same to everybody and follows no environment."""
    return aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "bluezoned", "Accept": "*/*", "Accept-Encoding": "identity"},
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S),
        auto_decompress=False,
        trust_env=False,
    )


async def fetch_and_post(session: aiohttp.ClientSession, url: str, spool: Spool) -> FeedReport:
    """One visit: post the outbox, then fetch what is new. May be killed at any point and simply run again.

    A problem with the authority is reported, not raised, and never undoes what succeeded. FeedError at once when
    `url` must not be asked; StoreError when the spool fails.
    """
    if not url or config_source.url_problem(url) is not None:
        raise FeedError(Reason.INSECURE_URL)
    authority = _Authority(session, URL(url))
    with spool.exclusive():
        spool.inbox.clean()
        spool.memory.clean()
        uploads, problems = await _post_outbox(authority, spool)
        index_changed, batches = False, 0
        try:
            state = _recall(spool)
            content, etag = await authority.index("" if spool.outbox.names("wanted-") else state.etag)
            if content is not None:
                index = _peek_at(key_index.peek, content, Reason.NO_INDEX)
                state = _State(fetched=_still_listed(state, index))
                await _fetch_log(authority, spool)
                async for fetched in _fetch_batches(authority, index, state, spool):
                    batches, state = batches + 1, fetched
                # The index comes last, so that the daemon never waits for a batch that it lists, and its ETag after
                # it, so that a visit cut short is made good by the next.
                spool.inbox.write(spool_names.INDEX, content)
                _remember(spool, _State(etag, state.fetched))
                index_changed = True
        except FeedError as error:
            problems.append(error)
    return FeedReport(index_changed, batches, uploads, tuple(problems))


async def _post_outbox(authority: _Authority, spool: Spool) -> tuple[int, list[FeedError]]:
    """Posts each upload; gives how many were answered, and what went wrong.

    The receipt is kept before the upload goes: posting it again gets the same answer. One that is refused waits for
    the next visit, the others are still posted; an authority that is not there is not asked again.
    """
    uploads, problems = 0, list[FeedError]()
    for name in spool.outbox.names("upload-"):
        sealed = spool.outbox.read(name)
        if sealed is None:
            continue
        try:
            receipt = await authority.post(sealed)
        except FeedError as error:
            problems.append(error)
            if error.reason in _AWAY:
                break
            continue
        spool.inbox.write(spool_names.receipt_name(name), receipt)
        spool.outbox.remove(name)
        uploads += 1
    return uploads, problems


async def _fetch_batches(authority: _Authority, index: KeyIndex, state: _State, spool: Spool) -> AsyncIterator[_State]:
    """Fetches what is listed and not yet fetched, oldest first, yielding the new state after each.

    The first failure ends it: the daemon takes batches in order, so a later one must not overtake. Remembered by
    digest and not as "newest": whoever once served a false index must not hide true batches for ever.
    """
    for batch in sorted(index.batches, key=lambda batch: batch.sequence):
        digest = batch.sha256.hex()
        if state.fetched.get(batch.sequence) == digest:
            continue
        await _fetch_batch(authority, batch, spool)
        state = _State(fetched={**state.fetched, batch.sequence: digest})
        _remember(spool, state)
        yield state


async def _fetch_log(authority: _Authority, spool: Spool) -> None:
    """The log comes after the index was read and is laid down before the batches: so it tells of each of them."""
    content = await authority.log()
    first = _peek_at(transparency_log.peek, content, Reason.NO_LOG).first
    wanted = spool.outbox.names("wanted-")
    for tile in range(min(map(spool_names.sequence_of, wanted), default=first), first // transparency_log.TILE):
        spool.inbox.write(spool_names.leaves_name(tile), await authority.leaves(tile))
    spool.inbox.write(spool_names.LOG, content)
    for name in wanted:
        spool.outbox.remove(name)


async def _fetch_batch(authority: _Authority, batch: Batch, spool: Spool) -> None:
    """Goes on where an earlier visit was cut. The digest decides: what does not fit is forgotten, to come whole in the
    next try."""
    digest, size = hashlib.sha256(), 0
    with spool.download(spool_names.batch_name(batch.sequence, batch.name), batch.sha256) as file:
        for chunk in file.held(batch.size):
            digest.update(chunk)
            size += len(chunk)
        try:
            async with authority.batch(batch, size) as (start, chunks):
                if start != size:
                    file.start_over()
                    digest, size = hashlib.sha256(), 0
                async for chunk in chunks:
                    size += len(chunk)
                    if size > batch.size:
                        break
                    digest.update(chunk)
                    file.write(chunk)
            if size != batch.size or digest.digest() != batch.sha256:
                raise FeedError(Reason.NOT_AS_LISTED)
        except FeedError as error:
            if error.reason is Reason.NOT_AS_LISTED or error.status in _NO_SUCH_PART:
                file.start_over()
            raise


class _Authority:
    """The requests, their foreign errors translated."""

    def __init__(self, session: aiohttp.ClientSession, url: URL) -> None:
        self._session = session
        self._url = url / "v1"

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
                method, url, headers=headers, data=data, allow_redirects=False
            ) as response:
                yield response
        except TimeoutError as error:
            raise FeedError(Reason.TOO_SLOW) from error
        except aiohttp.ClientSSLError as error:
            raise FeedError(Reason.NOT_TRUSTED) from error
        except aiohttp.ClientError as error:
            raise FeedError(Reason.UNREACHABLE) from error


_NO_SUCH_PART = frozenset({206, 416})
"""Another part than was asked for, or none."""

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


def _peek_at(peek: Callable[[bytes], Document], content: bytes, reason: Reason) -> Document:
    try:
        return peek(content)
    except DocumentError as error:
        raise FeedError(reason) from error


def _still_listed(state: _State, index: KeyIndex) -> dict[int, str]:
    listed = {batch.sequence for batch in index.batches}
    return {sequence: digest for sequence, digest in state.fetched.items() if sequence in listed}


def _recall(spool: Spool) -> _State:
    """The remembered state; an empty one when it was lost or spoilt."""
    content = spool.memory.read("state")
    try:
        return msgspec.json.decode(content or b"{}", type=_State)
    except msgspec.DecodeError:
        return _State()


def _remember(spool: Spool, state: _State) -> None:
    spool.memory.write("state", msgspec.json.encode(state))
