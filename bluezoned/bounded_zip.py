"""Zip archives of a few known members, read as if an enemy had written them.

Not the standard library's reader: that one builds an object for each entry of the directory before anybody can ask how
many there are (24 MiB of entries took it 200 MB), and knows spanned, encrypted and self-extracting archives that no
export is. Source: PKWARE APPNOTE.TXT 6.3.10, sections 4.3.6 to 4.3.16. Knows no member by name.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import BinaryIO, NamedTuple

from bluezoned.errors import ProtocolError

STEEPEST = 20
"""Times that a member may grow when unpacked. Keys are random and do not shrink: exports of 28 to 48 bytes a key grow
less than threefold, deflate alone allows a thousandfold."""

SMALLEST = 4096
"""Bytes up to which a member may grow by any factor: a list without keys is mostly header."""

CHUNK = 1 << 16
"""Bytes read and unpacked at a time: at a quarter each call costs more than its bytes, at four times nothing is won."""

_LARGEST_DIRECTORY = 1 << 14
"""Bytes. A few entries with short names take some hundreds, whatever extra fields their writer adds."""

_LOCAL = struct.Struct("<4s4xH16xHH")
_ENTRY = struct.Struct("<4s4xHH4xLLLHHH8xL")
_END = struct.Struct("<4sHHHHLLH")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1 << 0
_HARMLESS_FLAGS = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 11
"""How hard deflate tried, sizes repeated behind the member (Go and Java write so), names in UTF-8."""


class Flaw(Enum):
    """What is wrong with an archive."""

    FOREIGN = "it is no zip archive"
    DAMAGED = "it ends early or is damaged"
    ENCRYPTED = "it is encrypted"
    UNEXPECTED = "it holds what it should not: another member, one twice, or one packed in an unusual way"
    TOO_LARGE = "it is larger than allowed, or grows too much when unpacked"


class ArchiveError(ProtocolError):
    """An archive that is not unpacked."""

    def __init__(self, flaw: Flaw) -> None:
        super().__init__(flaw.value)
        self.flaw = flaw


class _Entry(NamedTuple):
    """One line of the directory, as `_ENTRY` unpacks it."""

    signature: bytes
    flags: int
    method: int
    checksum: int
    packed_size: int
    size: int
    name_size: int
    extra_size: int
    comment_size: int
    offset: int
    """Of the local header."""


def pack(members: Mapping[str, bytes]) -> bytes:
    """The archive, deflated, dated 1980: the same bytes for the same members."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def unpack(data: bytes, most: Mapping[str, int]) -> dict[str, bytes]:
    """The members, each one of `most` and of at most that many bytes; one may be missing. ArchiveError says what is
    wrong."""
    archive = Archive(io.BytesIO(data), most)
    return {name: archive.read(name) for name in archive.names}


class Archive:
    """An archive in a file that is only read, a chunk at a time: members that never are whole in memory.

    The file may change under the reader, who then gets an ArchiveError or other bytes: nothing here is a promise that
    two readings give the same.
    """

    def __init__(self, file: BinaryIO, most: Mapping[str, int]) -> None:
        """Reads the directory: each member one of `most` and of at most that many bytes. ArchiveError."""
        self._file = file
        directory, count = _directory(file, len(most))
        self._entries: dict[str, _Entry] = {}
        position = 0
        while position < len(directory):
            entry, name, position = _entry(directory, position)
            if name in self._entries:
                raise ArchiveError(Flaw.UNEXPECTED)
            _require_bounded(entry, name, most)
            self._entries[name] = entry
        if len(self._entries) != count:
            raise ArchiveError(Flaw.DAMAGED)

    @property
    def names(self) -> list[str]:
        """The members that are there."""
        return list(self._entries)

    def read(self, name: str) -> bytes:
        """The whole of a member."""
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """A member, in pieces of at most CHUNK bytes. Its size and checksum are known to be right only at the end:
        what came before an ArchiveError counts for nothing."""
        entry = self._entries[name]
        packed = self._packed(name.encode(), entry)
        size = checksum = 0
        for chunk in packed if entry.method == _STORED else _inflated(packed):
            size += len(chunk)
            # The size in the directory may lie: no further than it claims.
            if size > entry.size:
                raise ArchiveError(Flaw.TOO_LARGE if entry.method == _DEFLATED else Flaw.DAMAGED)
            checksum = zlib.crc32(chunk, checksum)
            yield chunk
        if size != entry.size or checksum != entry.checksum:
            raise ArchiveError(Flaw.DAMAGED)

    def _packed(self, name: bytes, entry: _Entry) -> Iterator[bytes]:
        """The member as it lies in the file."""
        position = entry.offset + _LOCAL.size
        signature, method, name_size, extra_size = _LOCAL.unpack(self._exactly(entry.offset, _LOCAL.size))
        if signature != b"PK\3\4" or method != entry.method or self._exactly(position, name_size) != name:
            raise ArchiveError(Flaw.DAMAGED)
        position += name_size + extra_size
        end = position + entry.packed_size
        while position < end:
            chunk = self._exactly(position, min(CHUNK, end - position))
            position += len(chunk)
            yield chunk

    def _exactly(self, position: int, size: int) -> bytes:
        self._file.seek(position)
        found = self._file.read(size)
        if len(found) != size:
            raise ArchiveError(Flaw.DAMAGED)
        return found


def _directory(file: BinaryIO, most: int) -> tuple[memoryview, int]:
    """The directory, and how many entries it says to have: at most `most`."""
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    begun = file.read(4) == b"PK\3\4"
    file.seek(max(0, size - _END.size))
    tail = file.read(_END.size)
    if len(tail) < _END.size or not tail.startswith(b"PK\5\6"):
        raise ArchiveError(Flaw.DAMAGED if begun else Flaw.FOREIGN)
    end = size - _END.size
    _, disk, first_disk, count_here, count, length, start, comment_size = _END.unpack(tail)
    if disk or first_disk or comment_size or count_here != count or count > most:
        raise ArchiveError(Flaw.UNEXPECTED)
    if start + length != end:
        raise ArchiveError(Flaw.DAMAGED)
    if length > _LARGEST_DIRECTORY:
        raise ArchiveError(Flaw.UNEXPECTED)
    file.seek(start)
    directory = file.read(length)
    if len(directory) != length:
        raise ArchiveError(Flaw.DAMAGED)
    return memoryview(directory), count


def _entry(directory: memoryview, position: int) -> tuple[_Entry, str, int]:
    """The entry at `position`, its name, and where the next one begins."""
    if len(directory) - position < _ENTRY.size:
        raise ArchiveError(Flaw.DAMAGED)
    entry = _Entry._make(_ENTRY.unpack_from(directory, position))
    name_end = position + _ENTRY.size + entry.name_size
    after = name_end + entry.extra_size + entry.comment_size
    if entry.signature != b"PK\1\2" or after > len(directory):
        raise ArchiveError(Flaw.DAMAGED)
    return entry, bytes(directory[position + _ENTRY.size : name_end]).decode("ascii", "replace"), after


def _require_bounded(entry: _Entry, name: str, most: Mapping[str, int]) -> None:
    if entry.flags & _ENCRYPTED:
        raise ArchiveError(Flaw.ENCRYPTED)
    if name not in most or entry.method not in (_STORED, _DEFLATED) or entry.flags & ~_HARMLESS_FLAGS:
        raise ArchiveError(Flaw.UNEXPECTED)
    if entry.size > min(most[name], max(SMALLEST, entry.packed_size * STEEPEST)):
        raise ArchiveError(Flaw.TOO_LARGE)


def _inflated(packed: Iterable[bytes]) -> Iterator[bytes]:
    """The content, at most CHUNK bytes at a time, whatever the packed bytes claim to grow to."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for chunk in packed:
            if inflater.eof:
                raise ArchiveError(Flaw.DAMAGED)
            while True:
                content = inflater.decompress(chunk, CHUNK)
                if content:
                    yield content
                chunk = inflater.unconsumed_tail
                if not chunk and len(content) < CHUNK:
                    break
    except zlib.error as error:
        raise ArchiveError(Flaw.DAMAGED) from error
    if not inflater.eof or inflater.unused_data:
        raise ArchiveError(Flaw.DAMAGED)
