"""A source whose index and log are looked at closely before anything of it is laid into the inbox.

The daemon judges all that comes, and what it refuses is gone. A false log would so take the true batches beside it
along, and sync, which remembers them as fetched, would not bring them again. So what the daemon is sure to refuse is
refused here, where nothing is lost by it; and whoever holds a stick is told at once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from cryptography.hazmat.primitives.asymmetric import ec

from bluezoned import key_index, key_rotation, signed_document, transparency_log
from bluezoned.feed.problem import FeedError, Reason
from bluezoned.feed.visit import Source
from bluezoned.key_index import Batch
from bluezoned.signed_document import DocumentError


class Signed:
    """What `source` gives, as far as the pinned authority has signed it and the log tells what the index lists."""

    def __init__(self, source: Source, pinned: ec.EllipticCurvePublicKey) -> None:
        self._source = source
        self._pinned = pinned
        self._newest = 0

    async def index(self, etag: str) -> tuple[bytes | None, str]:
        content, new_etag = await self._source.index(etag)
        if content is not None:
            try:
                rotations = key_index.peek(content).rotations
                index = key_index.read(content, key_rotation.follow(self._pinned, rotations))
            except DocumentError as error:
                raise _refused(error, Reason.NO_INDEX, "index") from error
            self._newest = max((batch.sequence for batch in index.batches), default=0)
        return content, new_etag

    def batch(self, batch: Batch, held: int) -> AbstractAsyncContextManager[tuple[int, AsyncIterator[bytes]]]:
        return self._source.batch(batch, held)

    async def log(self) -> bytes:
        content = await self._source.log()
        try:
            rotations = transparency_log.peek(content).rotations
            log = transparency_log.read(content, key_rotation.follow(self._pinned, rotations))
        except DocumentError as error:
            raise _refused(error, Reason.NO_LOG, "log") from error
        if max((batch.sequence for entry in log.entries for batch in entry.batches), default=0) < self._newest:
            raise FeedError(Reason.OLD_LOG, place="log")
        return content

    async def leaves(self, tile: int) -> bytes:
        return await self._source.leaves(tile)


def _refused(error: DocumentError, otherwise: Reason, place: str) -> FeedError:
    is_foreign = error.reason is signed_document.Reason.WRONG_KEY
    return FeedError(Reason.NOT_SIGNED if is_foreign else otherwise, place=place)
