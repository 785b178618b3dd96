"""The Range header. Cases of RFC 9110, section 14.1.2, and the odd ones."""

from __future__ import annotations

import pytest

from bluezoned.authority.http_range import BeyondEndError, part


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-499", range(500)),
        ("bytes=500-999", range(500, 1000)),
        ("bytes=-500", range(9500, 10000)),
        ("bytes=9500-", range(9500, 10000)),
        ("bytes=0-0", range(1)),
        ("bytes=9999-20000", range(9999, 10000)),
        ("bytes=-20000", range(10000)),
    ],
)
def test_range_is_read(header: str, expected: range) -> None:
    assert part(header, 10_000) == expected


@pytest.mark.parametrize(
    "header", ["", "bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,5-6", "pages=0-1", "bytes=a-b", "bytes=٣-٤", "0-1"]
)
def test_what_is_no_single_range_gets_the_whole(header: str) -> None:
    assert part(header, 10_000) is None


@pytest.mark.parametrize("header", ["bytes=10000-", "bytes=10000-10001", "bytes=-0"])
def test_range_beyond_the_end_is_refused(header: str) -> None:
    with pytest.raises(BeyondEndError):
        part(header, 10_000)
