"""The authority's files from a directory: a stick that was carried to the box, or its boot partition.

The directory is laid out as the authority's own `public/`. It is trusted no more than a server: only plain files are
opened, and no more is read of them than they may have.
"""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

from bluezoned import transparency_log
from bluezoned.feed import spool as spool_names
from bluezoned.feed.problem import FeedError, Reason
from bluezoned.key_index import Batch

CHUNK = 1 << 16


class Directory:
    """A Source of files that somebody copied."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def index(self, etag: str) -> tuple[bytes | None, str]:
        return self._read("index", spool_names.limit(spool_names.INDEX)), ""

    @asynccontextmanager
    async def batch(self, batch: Batch, held: int) -> AsyncIterator[tuple[int, AsyncIterator[bytes]]]:
        name = f"batches/{batch.name}"
        with self._open(name) as file:
            file.seek(held)
            yield held, _chunks(file, name)

    async def log(self) -> bytes:
        return self._read("log", spool_names.limit(spool_names.LOG))

    async def leaves(self, tile: int) -> bytes:
        return self._read(f"leaves/{tile}", transparency_log.TILE_SIZE)

    def _read(self, name: str, most: int) -> bytes:
        with self._open(name) as file, _told(name):
            content = file.read(most + 1)
        if len(content) > most:
            raise FeedError(Reason.TOO_LARGE, place=name)
        return content

    @contextmanager
    def _open(self, name: str) -> Iterator[BinaryIO]:
        with _told(name):
            # Neither a link nor a pipe may stand here for a file: whoever wrote the stick is not known.
            descriptor = os.open(self._path / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FeedError(Reason.NO_FILE, place=name)
        with os.fdopen(descriptor, "rb") as file:
            yield file


async def _chunks(file: BinaryIO, name: str) -> AsyncIterator[bytes]:
    while True:
        with _told(name):
            chunk = file.read(CHUNK)
        if not chunk:
            return
        yield chunk


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Errors of the operating system in the words of the feed."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FeedError(Reason.MISSING, place=name) from error
    except OSError as error:
        raise FeedError(Reason.UNREADABLE, place=f"{name}: {error.strerror}") from error
