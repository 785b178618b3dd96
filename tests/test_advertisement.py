"""AD structures in and out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.advertisement import LEGACY_SIZE, Advertisement, Reception, decode
from bluezoned.errors import ProtocolError

FLAGS = bytes.fromhex("02011a")
# Exposure Notification Bluetooth Specification v1.2, Advertising Payload: flags, UUID list, service data.
GAEN_FRAME = FLAGS + bytes.fromhex("03036ffd17166ffd") + bytes(range(20))

UINT16 = st.integers(0, 0xFFFF)


def advertisements() -> st.SearchStrategy[Advertisement]:
    """Such as fit a legacy PDU."""
    bodies = st.dictionaries(UINT16, st.binary(max_size=12), max_size=1)
    return st.builds(Advertisement, st.frozensets(UINT16, max_size=1), bodies, bodies)


@given(
    st.one_of(
        advertisements().filter(lambda a: sum(map(len, a.service_data.values())) <= 7),
        st.builds(Advertisement, st.frozensets(UINT16, max_size=14)),
    )
)
def test_decode_reverses_encode(advertisement: Advertisement) -> None:
    assert decode(advertisement.encode()) == advertisement


@given(st.binary(max_size=300))
def test_decode_reads_any_bytes(data: bytes) -> None:
    assert isinstance(decode(data), Advertisement)


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_zero_length_ends_the_significant_part(front: bytes, rest: bytes) -> None:
    structure = bytes((len(front) + 1, 0x09)) + front

    assert decode(structure + b"\0" + rest) == decode(structure)


def test_structures_are_read_in_any_order() -> None:
    reordered = GAEN_FRAME[7:] + GAEN_FRAME[:7]

    assert decode(reordered) == decode(GAEN_FRAME)


def test_published_gaen_frame_is_read() -> None:
    assert decode(GAEN_FRAME) == Advertisement(frozenset((0xFD6F,)), {0xFD6F: bytes(range(20))})


@pytest.mark.parametrize("size", range(8, len(GAEN_FRAME)))
def test_truncated_structure_is_dropped_and_what_stood_before_it_counts(size: int) -> None:
    assert decode(GAEN_FRAME[:size]) == Advertisement(frozenset((0xFD6F,)))


def test_incomplete_list_counts_like_a_complete_one() -> None:
    assert decode(bytes.fromhex("0502564e6ffd")).service_uuids == {0x4E56, 0xFD6F}


def test_half_a_uuid_is_dropped() -> None:
    assert decode(bytes.fromhex("0403564e6f")).service_uuids == {0x4E56}


@pytest.mark.parametrize("body", ["0116", "01ff", "021656", "02ffb5"])
def test_body_too_short_for_its_number_is_dropped(body: str) -> None:
    assert decode(bytes.fromhex(body)) == Advertisement()


@pytest.mark.parametrize("size", [28, 252, 253, 254, 300, 70_000])
def test_advertisement_beyond_a_legacy_pdu_is_refused(size: int) -> None:
    with pytest.raises(ProtocolError, match=f"{size + 4} bytes"):
        Advertisement(manufacturer_data={0x22B5: bytes(size)}).encode()


def test_advertisement_of_exactly_a_legacy_pdu_is_encoded() -> None:
    assert len(Advertisement(manufacturer_data={0x22B5: bytes(27)}).encode()) == LEGACY_SIZE


def test_text_forms_show_no_bytes() -> None:
    reception = Reception(Advertisement(frozenset((1,)), {2: b"SERVICE"}, {3: b"MAKER"}), -60, 0)

    assert "SERVICE" not in repr(reception)
    assert "MAKER" not in repr(reception)


def test_advertisements_serve_as_members_of_sets() -> None:
    assert len({decode(GAEN_FRAME), decode(GAEN_FRAME)}) == 1
