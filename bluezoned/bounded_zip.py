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
from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from bluezoned.errors import ProtocolError

STEEPEST = 20
"""Times that a member may grow when unpacked. Keys are random and do not shrink: exports of 28 to 48 bytes a key grow
less than threefold, deflate alone allows a thousandfold."""

SMALLEST = 4096
"""Bytes up to which a member may grow by any factor: a list without keys is mostly header."""

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
    wrong. Never holds more than the members themselves beside `data`."""
    view = memoryview(data)
    directory, count = _directory(view, len(most))
    entries: dict[str, _Entry] = {}
    position = 0
    while position < len(directory):
        entry, name, position = _entry(directory, position)
        if name in entries:
            raise ArchiveError(Flaw.UNEXPECTED)
        _require_bounded(entry, name, most)
        entries[name] = entry
    if len(entries) != count:
        raise ArchiveError(Flaw.DAMAGED)
    return {name: _member(view, name.encode(), entry) for name, entry in entries.items()}


def _directory(data: memoryview, most: int) -> tuple[memoryview, int]:
    """The directory, and how many entries it says to have: at most `most`."""
    if len(data) < _END.size or bytes(data[-_END.size :][:4]) != b"PK\5\6":
        raise ArchiveError(Flaw.DAMAGED if bytes(data[:4]) == b"PK\3\4" else Flaw.FOREIGN)
    end = len(data) - _END.size
    _, disk, first_disk, count_here, count, size, start, comment_size = _END.unpack_from(data, end)
    if disk or first_disk or comment_size or count_here != count or count > most:
        raise ArchiveError(Flaw.UNEXPECTED)
    if start + size != end:
        raise ArchiveError(Flaw.DAMAGED)
    return data[start:end], count


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


def _member(data: memoryview, name: bytes, entry: _Entry) -> bytes:
    """The member's content, its size and checksum as the directory says."""
    if len(data) - entry.offset < _LOCAL.size:
        raise ArchiveError(Flaw.DAMAGED)
    signature, method, name_size, extra_size = _LOCAL.unpack_from(data, entry.offset)
    name_end = entry.offset + _LOCAL.size + name_size
    if signature != b"PK\3\4" or method != entry.method or data[name_end - name_size : name_end] != name:
        raise ArchiveError(Flaw.DAMAGED)
    packed = data[name_end + extra_size :][: entry.packed_size]
    content = bytes(packed) if method == _STORED else _inflate(packed, entry.size)
    if len(packed) != entry.packed_size or len(content) != entry.size or zlib.crc32(content) != entry.checksum:
        raise ArchiveError(Flaw.DAMAGED)
    return content


def _inflate(packed: memoryview, size: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # The size in the directory may lie: unpack one byte more than it claims and no further.
        content = inflater.decompress(packed, size + 1)
    except zlib.error as error:
        raise ArchiveError(Flaw.DAMAGED) from error
    if len(content) > size:
        raise ArchiveError(Flaw.TOO_LARGE)
    if not inflater.eof or inflater.unused_data:
        raise ArchiveError(Flaw.DAMAGED)
    return content
