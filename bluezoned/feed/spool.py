"""What the sync process brought and what it must send: files on disk, each complete or absent.

    inbox/     index · log · leaves-<number> · batch-<sequence>-<name>.zip · receipt-<tag>
                                                                       written by sync, removed by the daemon
    outbox/    upload-<tag> · wanted-<number>                          written by the daemon, removed by sync
    memory/    state                                                   sync's own

    memory/    visit                                                   when sync asks next, sync's own
    memory/    part-<digest>                                           a batch whose download was cut, sync's own

Each directory has one writer. A reader trusts nothing: sizes are bounded and only plain files are opened. Knows
nothing of what the files mean.

The two processes are two users. They share the spool as a group: where the directory above hands its group down
(setgid, as systemd-tmpfiles makes it), what is made here is the group's too. Anywhere else it is one user's alone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bluezoned.errors import StoreError

MEBIBYTE = 1 << 20

INDEX, LOG = "index", "log"
"""Names of the index and of the transparency log in the inbox."""

_NAMES = re.compile(
    r"index|log|state|visit|(leaves|wanted)-(?P<tile>[0-9]{1,12})"
    r"|batch-(?P<sequence>[0-9]{1,20})-[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.zip"
    r"|(receipt|upload)-[0-9a-f]{2,64}|part-[0-9a-f]{64}"
)

_LIMITS = {
    "index": 4 * MEBIBYTE,
    "log": 4 * MEBIBYTE,
    "leaves": 2048,
    "wanted": 0,
    "state": 4 * MEBIBYTE,
    "visit": 128,
    # A GAEN key takes about 60 bytes: 400,000 keys, twice the largest national day ever published.
    "batch": 24 * MEBIBYTE,
    "part": 24 * MEBIBYTE,
    # Uploads and receipts have one size each, some kilobytes; the wire checks it.
    "receipt": MEBIBYTE // 16,
    "upload": MEBIBYTE // 16,
}
"""Bytes of one file, by the first word of its name."""

CAPACITY = 128 * MEBIBYTE
"""Bytes of one box. Sync waits when the daemon does not keep up, instead of filling the card: five of the largest
batches, and fourteen days of a small country."""

GRAIN = 1 << 16
"""A download goes on at a multiple of so many bytes: whoever was cut at one byte and asks from it on would be known
again, and less is not worth a request."""

_UNFINISHED = ".tmp"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def batch_name(sequence: int, name: str) -> str:
    """Name in the inbox of the authority's batch `name`. StoreError when it cannot be a file's name."""
    return _checked(f"batch-{sequence}-{name.removesuffix('.zip')}.zip")


def upload_name(tag: bytes) -> str:
    """Name in the outbox of an upload; `tag` is 1 to 32 bytes that tell nothing, such as a digest of the sealed
    message."""
    return _checked(f"upload-{tag.hex()}")


def receipt_name(upload: str) -> str:
    """Name in the inbox of the answer to the outbox's `upload`."""
    return _checked(upload.replace("upload-", "receipt-", 1))


def leaves_name(tile: int) -> str:
    """Name in the inbox of one file of the log's archive."""
    return _checked(f"leaves-{tile}")


def wanted_name(tile: int) -> str:
    """Name in the outbox of the wish for the archive's files from `tile` on. The file is empty."""
    return _checked(f"wanted-{tile}")


def sequence_of(name: str) -> int:
    """The sequence in a batch's name, the tile in a name of the archive; 0 for other files."""
    found = _NAMES.fullmatch(name)
    return int(found["sequence"] or found["tile"] or 0) if found else 0


def limit(name: str) -> int:
    """Most bytes of the file `name`."""
    return _LIMITS[_checked(name).partition("-")[0]]


def _checked(name: str) -> str:
    if not _NAMES.fullmatch(name):
        raise StoreError(f"spool: {name[:40]!r} is no name of a spool file")
    return name


class Box:
    """One directory of the spool. Files appear whole or not at all, also after a power cut."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def names(self, kind: str = "") -> list[str]:
        """Files whose name begins with `kind`, batches by sequence, oldest first. Anything else lying there is not
        ours and passed over."""
        with _told("read", self.directory.name):
            present = [path.name for path in self.directory.iterdir()]
            found = [name for name in present if name.startswith(kind) and _NAMES.fullmatch(name)]
        return sorted(found, key=lambda name: (sequence_of(name), name))

    def read(self, name: str) -> bytes | None:
        """The content, or None when there is no such file. StoreError when it is no plain file or too large."""
        file = self.open(name)
        if file is None:
            return None
        with file, _told("read", self.directory.name):
            return file.read(limit(name) + 1)[: limit(name)]

    def open(self, name: str) -> BinaryIO | None:
        """The file, to be read in pieces and closed by the caller; otherwise as `read`. Its writer may still change
        it."""
        most = limit(name)
        try:
            # Neither a link nor a pipe may stand here for a file: the other process is not trusted.
            descriptor = os.open(self.directory / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"spool: cannot open a file in {self.directory.name}: {error.strerror}") from error
        file = os.fdopen(descriptor, "rb")
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            file.close()
            raise StoreError(f"spool: a file in {self.directory.name} is no plain file of at most {most} bytes")
        return file

    def write(self, name: str, content: bytes) -> None:
        """Store `content` under `name`, replacing what was there. StoreError when too large or the disk is full."""
        with self.writing(name) as file:
            file.write(content)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[BoundedFile]:
        """A file to fill; it takes its name when the block ends well and vanishes when it does not."""
        most = min(limit(name), self.room())
        unfinished = self.directory / f"{name}.{os.getpid()}{_UNFINISHED}"
        with _told("write", self.directory.name):
            # O_EXCL: the other user may have laid a link here, to a file that only we can write.
            unfinished.unlink(missing_ok=True)
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if _is_shared(self.directory):
                os.fchmod(descriptor, 0o640)
            yield BoundedFile(descriptor, most)
            with _told("write", self.directory.name):
                os.fsync(descriptor)
                os.rename(unfinished, self.directory / name)
                self.sync()
        finally:
            os.close(descriptor)
            unfinished.unlink(missing_ok=True)

    def remove(self, name: str) -> None:
        """Forget a file; nothing happens when it is gone already."""
        with _told("remove", self.directory.name):
            (self.directory / _checked(name)).unlink(missing_ok=True)
            self.sync()

    def clean(self) -> None:
        """Remove what a crashed writer left. For the box's one writer, at its start."""
        with _told("clean", self.directory.name):
            for path in self.directory.glob(f"*{_UNFINISHED}"):
                # A directory of that name is a stranger's, and no reason to stop.
                with contextlib.suppress(IsADirectoryError):
                    path.unlink(missing_ok=True)

    def room(self) -> int:
        """Bytes left of CAPACITY."""
        with _told("read", self.directory.name), os.scandir(self.directory) as entries:
            return CAPACITY - sum(_size(entry) for entry in entries)

    def sync(self) -> None:
        """What was renamed stays so over a power cut."""
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class BoundedFile:
    """An open file that takes at most so many bytes."""

    def __init__(self, descriptor: int, most: int) -> None:
        self._descriptor = descriptor
        self._left = most

    def write(self, chunk: bytes) -> None:
        """StoreError when the file would pass its limit, or the disk is full."""
        self._left -= len(chunk)
        if self._left < 0:
            raise StoreError("spool: a file would pass its limit of size, or the spool is full")
        view = memoryview(chunk)
        with _told("write", "a box"):
            while view:
                view = view[os.write(self._descriptor, view) :]


class Download:
    """A file as it comes, behind what came of it in an earlier visit."""

    def __init__(self, descriptor: int, most: int) -> None:
        self._descriptor = descriptor
        self._most = most
        self._file = BoundedFile(descriptor, most)

    def held(self, size: int) -> Iterator[bytes]:
        """What there is already of `size` bytes, in pieces of GRAIN; never all, so that there is something to ask
        for."""
        with _told("read", "memory"):
            present = min(os.fstat(self._descriptor).st_size, size - 1, self._most) // GRAIN * GRAIN
            os.ftruncate(self._descriptor, max(present, 0))
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            while chunk := os.read(self._descriptor, GRAIN):
                yield chunk
        self._file = BoundedFile(self._descriptor, self._most - present)

    def write(self, chunk: bytes) -> None:
        """StoreError when the file would pass its limit, or the disk is full."""
        self._file.write(chunk)

    def start_over(self) -> None:
        """What came is forgotten."""
        with _told("write", "memory"):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        self._file = BoundedFile(self._descriptor, self._most)


class Spool:
    """The three boxes below one directory, made where they are missing: 0700 with files 0600, or 2770 with files 0640
    where a group shares the directory above."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with _told("make", str(directory)):
            directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            for place in (directory, *(directory / name for name in ("inbox", "outbox", "memory"))):
                _make(place)
        self.inbox = Box(directory / "inbox")
        self.outbox = Box(directory / "outbox")
        self.memory = Box(directory / "memory")

    @contextlib.contextmanager
    def download(self, name: str, digest: bytes) -> Iterator[Download]:
        """The inbox's `name`, known by the SHA-256 that it shall have. It takes its name when the block ends well; when
        it does not, or the process is killed, what came is kept for the next visit. One is kept at a time."""
        part = _checked(f"part-{digest.hex()}")
        for other in self.memory.names("part-"):
            if other != part:
                self.memory.remove(other)
        path = self.memory.directory / part
        descriptor = _open_own(path)
        try:
            if _is_shared(self.inbox.directory):
                os.fchmod(descriptor, 0o640)
            yield Download(descriptor, min(limit(name), self.inbox.room()))
            with _told("write", "inbox"):
                os.fsync(descriptor)
                os.rename(path, self.inbox.directory / _checked(name))
                self.inbox.sync()
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Held by the one sync process that may write the inbox. StoreError when another holds it. The lock dies with
        its process."""
        with _told("lock", "memory"):
            descriptor = os.open(self._directory / "memory" / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise StoreError("spool: another bluezoned-sync is at work") from error
            yield
        finally:
            os.close(descriptor)


def _open_own(path: Path) -> int:
    """A plain file of our own with no second name, made anew where anything else stands: the other user may have laid a
    link here, to a file that only we can write."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with _told("write", path.parent.name):
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and status.st_nlink == 1:
                return os.open(path, flags)
        path.unlink(missing_ok=True)
        return os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)


def _is_shared(directory: Path) -> bool:
    return bool(directory.stat().st_mode & stat.S_ISGID)


def _make(directory: Path) -> None:
    """By umask, not chmod: the service's sandbox lets nobody set the setgid bit, while the kernel hands it down."""
    before = os.umask(0o007 if _is_shared(directory.parent) else 0o077)
    try:
        directory.mkdir(mode=0o770, exist_ok=True)
    finally:
        os.umask(before)


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except FileNotFoundError:
        return 0


@contextlib.contextmanager
def _told(verb: str, place: str) -> Iterator[None]:
    """Errors of the operating system in the words of the spool. No file name: it stands for an upload."""
    try:
        yield
    except OSError as error:
        reason = "the disk is full: free some space" if error.errno in _FULL else error.strerror
        raise StoreError(f"spool: cannot {verb} in {place}: {reason}") from error
