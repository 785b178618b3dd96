"""What one visit to the authority does: post what waits in the outbox, fetch what is new.

Believes nothing: the index is only peeked at for names, sizes and digests, and what arrives is judged by the daemon.
No retry here: the program and its timer start the next try.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from bluezoned import key_index, transparency_log
from bluezoned.feed import spool as spool_names
from bluezoned.feed.problem import FeedError, Reason
from bluezoned.feed.spool import Spool
from bluezoned.key_index import Batch, KeyIndex
from bluezoned.signed_document import DocumentError

Document = TypeVar("Document")

_NO_SUCH_PART = frozenset({206, 416})
"""Another part than was asked for, or none."""

_AWAY = frozenset({Reason.UNREACHABLE, Reason.NOT_TRUSTED, Reason.TOO_SLOW, Reason.PROXY})


class Source(Protocol):
    """Where the authority's files come from. Each method raises FeedError when they do not."""

    async def index(self, etag: str) -> tuple[bytes | None, str]:
        """The index and its ETag; None when it is still the one of `etag`."""

    def batch(self, batch: Batch, held: int) -> AbstractAsyncContextManager[tuple[int, AsyncIterator[bytes]]]:
        """Where the answer begins, at `held` or at 0, and the bytes as they come."""

    async def log(self) -> bytes:
        """The signed transparency log."""

    async def leaves(self, tile: int) -> bytes:
        """One file of the log's archive."""


class Postbox(Protocol):
    """Where uploads go."""

    async def post(self, sealed: bytes) -> bytes:
        """The receipt for one sealed upload. FeedError when none comes."""


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
    """Sequence to SHA-256 (hex) of each batch that is listed and was fetched; of those passed over, with the protocol
    that was the reason, so that an index that lies of it hides nothing for ever."""
    imported: str = ""
    """SHA-256 (hex) of the index that was last taken in from a directory."""


async def post(postbox: Postbox, spool: Spool) -> FeedReport:
    """A visit that posts the outbox alone."""
    with spool.exclusive():
        spool.inbox.clean()
        uploads, problems = await _post_outbox(postbox, spool)
    return FeedReport(False, 0, uploads, tuple(problems))


async def fetch_and_post(
    postbox: Postbox, source: Source, spool: Spool, protocols: frozenset[str] | None = None
) -> FeedReport:
    """One visit: post the outbox, then fetch what is new. May be killed at any point and simply run again.

    Batches of other protocols than `protocols` are passed over for ever; None passes over none. A problem with the
    authority is reported, not raised, and never undoes what succeeded. StoreError when the spool fails.
    """
    index_changed, batches = False, 0
    with spool.exclusive():
        spool.inbox.clean()
        spool.memory.clean()
        uploads, problems = await _post_outbox(postbox, spool)
        try:
            state = _recall(spool)
            content, etag = await source.index("" if spool.outbox.names("wanted-") else state.etag)
            if content is not None:
                async for fetched in _fetch(source, content, state, spool, protocols, replace(state, etag=etag)):
                    batches += fetched
                index_changed = True
        except FeedError as error:
            problems.append(error)
    return FeedReport(index_changed, batches, uploads, tuple(problems))


async def take_in(source: Source, spool: Spool) -> FeedReport:
    """What lies elsewhere goes into the inbox as if it had been fetched. May be killed at any point and run again.

    The very index that was taken in last is nothing new: a stick that stays in its slot is not told as old at each
    start. The next visit asks for the index anew, as this one may be older.
    """
    index_changed, batches, problems = False, 0, list[FeedError]()
    with spool.exclusive():
        spool.inbox.clean()
        spool.memory.clean()
        try:
            state = _recall(spool)
            content, _ = await source.index("")
            digest = hashlib.sha256(content or b"").hexdigest()
            if content is not None and digest != state.imported:
                ended = replace(state, etag="", imported=digest)
                async for fetched in _fetch(source, content, state, spool, None, ended):
                    batches += fetched
                index_changed = True
        except FeedError as error:
            problems.append(error)
    return FeedReport(index_changed, batches, 0, tuple(problems))


async def _fetch(
    source: Source, content: bytes, state: _State, spool: Spool, protocols: frozenset[str] | None, ended: _State
) -> AsyncIterator[int]:
    """Lays down all that the index lists and that was not fetched, counting as it goes; `ended` is what is remembered
    then, but for the batches."""
    index = _peek_at(key_index.peek, content, Reason.NO_INDEX)
    # Until all is laid down nothing may say that this index, or another, is the last that was seen.
    state = replace(state, etag="", imported="", fetched=_still_listed(state, index))
    _remember(spool, state)
    await _fetch_log(source, spool)
    async for fetched, newer in _fetch_batches(source, index, state, spool, protocols):
        state = newer
        yield fetched
    # The index comes last, so that the daemon never waits for a batch that it lists, and its ETag after it, so that a
    # visit cut short is made good by the next.
    spool.inbox.write(spool_names.INDEX, content)
    _remember(spool, replace(ended, fetched=state.fetched))


async def _post_outbox(postbox: Postbox, spool: Spool) -> tuple[int, list[FeedError]]:
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
            receipt = await postbox.post(sealed)
        except FeedError as error:
            problems.append(error)
            if error.reason in _AWAY:
                break
            continue
        spool.inbox.write(spool_names.receipt_name(name), receipt)
        spool.outbox.remove(name)
        uploads += 1
    return uploads, problems


async def _fetch_batches(
    source: Source, index: KeyIndex, state: _State, spool: Spool, protocols: frozenset[str] | None
) -> AsyncIterator[tuple[int, _State]]:
    """Fetches what is listed and not yet fetched, oldest first; after each, how many batches that was and the new
    state.

    The first failure ends it: the daemon takes batches in order, so a later one must not overtake. Remembered by
    digest and not as "newest": whoever once served a false index must not hide true batches for ever.
    """
    for batch in sorted(index.batches, key=lambda batch: batch.sequence):
        digest = batch.sha256.hex()
        passed_over = f"{batch.protocol} {digest}"
        if state.fetched.get(batch.sequence) in (digest, passed_over):
            continue
        is_wanted = protocols is None or batch.protocol in protocols
        if is_wanted:
            await _fetch_batch(source, batch, spool)
        state = replace(state, fetched={**state.fetched, batch.sequence: digest if is_wanted else passed_over})
        _remember(spool, state)
        yield int(is_wanted), state


async def _fetch_log(source: Source, spool: Spool) -> None:
    """The log comes after the index was read and is laid down before the batches: so it tells of each of them."""
    content = await source.log()
    first = _peek_at(transparency_log.peek, content, Reason.NO_LOG).first
    wanted = spool.outbox.names("wanted-")
    for tile in range(min(map(spool_names.sequence_of, wanted), default=first), first // transparency_log.TILE):
        spool.inbox.write(spool_names.leaves_name(tile), await source.leaves(tile))
    spool.inbox.write(spool_names.LOG, content)
    for name in wanted:
        spool.outbox.remove(name)


async def _fetch_batch(source: Source, batch: Batch, spool: Spool) -> None:
    """Goes on where an earlier visit was cut. The digest decides: what does not fit is forgotten, to come whole in the
    next try."""
    digest, size = hashlib.sha256(), 0
    with spool.download(spool_names.batch_name(batch.sequence, batch.name), batch.sha256) as file:
        for chunk in file.held(batch.size):
            digest.update(chunk)
            size += len(chunk)
        try:
            async with source.batch(batch, size) as (start, chunks):
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
                raise FeedError(Reason.NOT_AS_LISTED, place=batch.name)
        except FeedError as error:
            if error.reason is Reason.NOT_AS_LISTED or error.status in _NO_SUCH_PART:
                file.start_over()
            raise


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
