"""One range of bytes, as HTTP asks for it. Source: RFC 9110, section 14."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=([0-9]{0,15})-([0-9]{0,15})", re.ASCII)


class BeyondEndError(ValueError):
    """The range begins where nothing is (status 416)."""


def part(header: str, size: int) -> range | None:
    """The bytes that the Range header asks for of `size`; None when the whole is to be sent: no header, another unit,
    several ranges or nonsense, all of which a server may ignore. BeyondEndError when nothing of it is there."""
    found = _RANGE.fullmatch(header.strip())
    if found is None:
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:
        start, end = max(size - int(last), 0), size
    else:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= end:
        raise BeyondEndError
    return range(start, end)
