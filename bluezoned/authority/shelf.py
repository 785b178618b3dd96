"""Where what is published lies: the port, and its adapter for a directory that any web server can serve.

Names are `index`, `log`, `leaves/NUMBER` and `batches/NAME`. A file appears whole or not at all; those with a number
or a name never change.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from bluezoned.errors import StoreError

INDEX = "index"
LOG = "log"
LEAVES = "leaves"
BATCHES = "batches"


class ShelfError(StoreError):
    """What is published cannot be written or read; nothing half done is listed then."""


class Shelf(Protocol):
    """A directory, or a bucket. Each method raises ShelfError when it fails."""

    def put(self, name: str, content: bytes) -> None:
        """The file appears with all of `content`, in the place of an earlier one."""

    def read(self, name: str) -> bytes | None:
        """None where there is none."""

    def mark(self, name: str) -> object | None:
        """Another one when the file is another one; None where that cannot be told in microseconds."""

    def batches(self) -> dict[str, int]:
        """The bytes of each batch's file, listed or left over, by its name without `batches/`."""

    def remove(self, name: str) -> None:
        """None may be there any more."""


class DirectoryShelf:
    """A directory with those files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, name: str, content: bytes) -> None:
        path = self._directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            for leftover in path.parent.glob(f".{path.name}.*"):  # of a run that was killed
                leftover.unlink(missing_ok=True)
            write_whole(path, content)
        except OSError as error:
            raise ShelfError(f"cannot write what is published: {error.strerror}") from error

    def read(self, name: str) -> bytes | None:
        try:
            return (self._directory / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ShelfError(f"cannot read what is published: {error.strerror}") from error

    def mark(self, name: str) -> object | None:
        try:
            # Joined as text: a path's own way costs as much as the look.
            found = os.stat(f"{self._directory}/{name}")
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def batches(self) -> dict[str, int]:
        directory = self._directory / BATCHES
        try:
            return {path.name: path.stat().st_size for path in directory.iterdir()} if directory.exists() else {}
        except OSError as error:
            raise ShelfError(f"cannot read what is published: {error.strerror}") from error

    def remove(self, name: str) -> None:
        try:
            (self._directory / name).unlink(missing_ok=True)
        except OSError as error:
            raise ShelfError(f"cannot remove what is published: {error.strerror}") from error


def write_whole(path: Path, content: bytes, mode: int = 0o644) -> None:
    """The file appears with all of `content` or not at all, also after a power cut. OSError when it cannot."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
