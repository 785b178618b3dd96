"""What an archive may be, and that a bad one costs nothing."""

import io
import struct
import tracemalloc
import zipfile
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned import bounded_zip
from bluezoned.bounded_zip import ArchiveError, Flaw

MOST = {"a": 100_000, "b": 1_000}
MEBIBYTE = 1 << 20


def zipped(members: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytearray:
    """As the standard library writes it, two members of one name included."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as archive:
        archive.comment = comment
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return bytearray(packed.getvalue())


def flaw_of(data: bytes | bytearray) -> Flaw:
    with pytest.raises(ArchiveError) as caught:
        bounded_zip.unpack(bytes(data), MOST)
    return caught.value.flaw


def directory(data: bytearray) -> int:
    return data.index(b"PK\1\2")


@given(st.dictionaries(st.sampled_from(sorted(MOST)), st.binary(max_size=500)))
def test_what_is_packed_is_unpacked(members: dict[str, bytes]) -> None:
    assert bounded_zip.unpack(bounded_zip.pack(members), MOST) == members


def test_packing_is_deterministic() -> None:
    assert bounded_zip.pack({"a": b"x" * 99}) == bounded_zip.pack({"a": b"x" * 99})


def test_stored_members_are_read() -> None:
    assert bounded_zip.unpack(bytes(zipped([("a", b"stored")], zipfile.ZIP_STORED)), MOST) == {"a": b"stored"}


def test_sizes_may_stand_behind_the_member() -> None:
    """As Go and Java write, with zeros in the local header."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"streamed")

    assert pipe.getvalue()[6] & 8
    assert bounded_zip.unpack(pipe.getvalue(), MOST) == {"a": b"streamed"}


@pytest.mark.parametrize("data", [b"", b"PK", b"<html>", b"PK\5\6", bytes(22)])
def test_something_else_is_no_archive(data: bytes) -> None:
    assert flaw_of(data) is Flaw.FOREIGN


@given(st.data())
def test_every_truncation_is_refused(data: st.DataObject) -> None:
    whole = zipped([("a", b"some content"), ("b", b"more")])
    end = data.draw(st.integers(4, len(whole) - 1))

    assert flaw_of(whole[:end]) is Flaw.DAMAGED


@given(st.data())
def test_a_flipped_bit_is_refused_or_changes_nothing(data: st.DataObject) -> None:
    members = [("a", b"some content"), ("b", b"more")]
    flipped = zipped(members)
    position = data.draw(st.integers(0, len(flipped) - 1))
    flipped[position] ^= 1 << data.draw(st.integers(0, 7))

    try:
        unpacked = bounded_zip.unpack(bytes(flipped), MOST)
    except ArchiveError:
        return
    assert unpacked == dict(members)


@pytest.mark.parametrize("name", ["c", "../a", "/a", "A", "a/", "\u0430"])
def test_another_member_is_refused(name: str) -> None:
    """The last is a Cyrillic a."""
    assert flaw_of(zipped([(name, b"x")])) is Flaw.UNEXPECTED


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_member_twice_is_refused() -> None:
    assert flaw_of(zipped([("a", b"x"), ("a", b"y")])) is Flaw.UNEXPECTED


def test_more_entries_than_counted_are_refused() -> None:
    lying = zipped([("a", b"x"), ("b", b"y")])
    lying[-14:-10] = struct.pack("<HH", 1, 1)

    assert flaw_of(lying) is Flaw.DAMAGED


def test_a_comment_is_refused() -> None:
    """It could hold a second end of the directory: what other readers would then see is not what was checked."""
    assert flaw_of(zipped([("a", b"x")], comment=b"see below")) is Flaw.DAMAGED


@pytest.mark.parametrize(
    ("offset", "value"), [(4, 1), (6, 1), (8, 2), (10, 2), (20, 1)], ids=["disk", "first", "here", "count", "comment"]
)
def test_an_unusual_end_of_the_directory_is_refused(offset: int, value: int) -> None:
    odd = zipped([("a", b"x")])
    struct.pack_into("<H", odd, len(odd) - 22 + offset, value)

    assert flaw_of(odd) is Flaw.UNEXPECTED


def test_more_entries_than_members_are_refused_unread() -> None:
    lying = zipped([("a", b"x")])
    struct.pack_into("<HH", lying, len(lying) - 14, 3, 3)

    assert flaw_of(lying) is Flaw.UNEXPECTED


def test_a_directory_of_another_size_than_claimed_is_refused() -> None:
    lying = zipped([("a", b"x")])
    struct.pack_into("<L", lying, len(lying) - 10, 1)

    assert flaw_of(lying) is Flaw.DAMAGED


def test_something_between_the_directory_and_its_end_is_refused() -> None:
    parted = zipped([("a", b"x")])
    parted[-22:-22] = b"between"

    assert flaw_of(parted) is Flaw.DAMAGED


@pytest.mark.parametrize("bit", [4, 5, 6, 13], ids=["enhanced", "patch", "strong", "masked"])
def test_unusual_flags_are_refused(bit: int) -> None:
    odd = zipped([("a", b"x")])
    struct.pack_into("<H", odd, directory(odd) + 8, 1 << bit)

    assert flaw_of(odd) is Flaw.UNEXPECTED


def test_a_member_packed_otherwise_than_listed_is_refused() -> None:
    lying = zipped([("a", b"x")], zipfile.ZIP_STORED)
    struct.pack_into("<H", lying, directory(lying) + 10, zipfile.ZIP_DEFLATED)

    assert flaw_of(lying) is Flaw.DAMAGED


def test_an_encrypted_member_is_refused() -> None:
    locked = zipped([("a", b"x")])
    locked[directory(locked) + 8] |= 1

    assert flaw_of(locked) is Flaw.ENCRYPTED


@pytest.mark.parametrize("method", [1, 9, 12, 14, 93, 99])
def test_unusual_packing_is_refused(method: int) -> None:
    odd = zipped([("a", b"x")])
    struct.pack_into("<H", odd, directory(odd) + 10, method)

    assert flaw_of(odd) is Flaw.UNEXPECTED


def test_a_member_beyond_its_bound_is_refused() -> None:
    assert flaw_of(zipped([("b", bytes(1_001))])) is Flaw.TOO_LARGE


def test_a_member_that_grows_too_much_is_refused() -> None:
    assert flaw_of(zipped([("a", bytes(90_000))])) is Flaw.TOO_LARGE


def test_a_member_larger_than_it_claims_is_refused() -> None:
    lying = zipped([("a", bytes(4_000))])
    struct.pack_into("<L", lying, directory(lying) + 24, 3_999)

    assert flaw_of(lying) is Flaw.TOO_LARGE


def test_a_member_smaller_than_it_claims_is_refused() -> None:
    lying = zipped([("a", bytes(4_000))])
    struct.pack_into("<L", lying, directory(lying) + 24, 4_001)

    assert flaw_of(lying) is Flaw.DAMAGED


def test_something_behind_the_packed_content_is_refused() -> None:
    packed = zlib.compress(b"x", wbits=-15)
    longer = zipped([("a", b"x")]).replace(packed, packed + b"y")
    struct.pack_into("<L", longer, directory(longer) + 20, len(packed) + 1)
    struct.pack_into("<L", longer, len(longer) - 6, directory(longer))

    assert flaw_of(longer) is Flaw.DAMAGED


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    bomb = zipped([("a", bytes(64 * MEBIBYTE))])
    struct.pack_into("<L", bomb, directory(bomb) + 24, 4_000)

    assert peak_of(bytes(bomb)) < MEBIBYTE


def test_a_directory_of_half_a_million_entries_costs_nothing() -> None:
    entry = struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + b"a"
    many = 500_000
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, many & 0xFFFF, many & 0xFFFF, many * len(entry), 0, 0)

    assert peak_of(entry * many + end) < MEBIBYTE


def peak_of(data: bytes) -> int:
    """Bytes that refusing it took at most."""
    tracemalloc.start()
    try:
        flaw_of(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
