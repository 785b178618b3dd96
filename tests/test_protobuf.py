"""The codec against Google's, and against bytes that are no message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned import protobuf
from bluezoned.protobuf import EndsEarly, Field, ProtobufError
from tests import gaen_schema

numbers = st.integers(0, (1 << 64) - 1)


def fields(data: bytes) -> list[Field]:
    return list(protobuf.fields(memoryview(data)))


@given(st.integers(1, (1 << 29) - 1), numbers, st.binary(max_size=300))
def test_what_is_put_is_found(number: int, value: int, content: bytes) -> None:
    data = (
        protobuf.put_varint(number, value) + protobuf.put_fixed64(number, value) + protobuf.put_bytes(number, content)
    )

    assert fields(data) == [(number, value), (number, value), (number, content)]


@given(st.integers(-(1 << 31), (1 << 31) - 1))
def test_signed_numbers_are_found(value: int) -> None:
    ((_, encoded),) = fields(protobuf.put_signed(6, value))

    assert isinstance(encoded, int)
    assert protobuf.zigzag(encoded) == value


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(0, (1 << 31) - 1), st.binary(max_size=40))
def test_a_key_is_encoded_as_by_google(onset: int, start: int, secret: bytes) -> None:
    theirs = gaen_schema.TemporaryExposureKey(
        key_data=secret, rolling_start_interval_number=start, days_since_onset_of_symptoms=onset
    )

    ours = protobuf.put_bytes(1, secret) + protobuf.put_varint(3, start) + protobuf.put_signed(6, onset)

    assert theirs.SerializeToString() == ours


@given(st.binary(max_size=60))
def test_bytes_that_google_refuses_are_refused_or_skipped(data: bytes) -> None:
    """We are stricter about groups only; nobody writes them."""
    try:
        found = fields(data)
    except ProtobufError:
        return
    assert all(number > 0 for number, _ in found)


@pytest.mark.parametrize("data", [b"\x08", b"\x08\x80", b"\x09" + bytes(7), b"\x0d" + bytes(3), b"\x0a\x02x", b"\x80"])
def test_a_message_that_stops_in_the_middle_says_so(data: bytes) -> None:
    with pytest.raises(EndsEarly):
        fields(data)


@pytest.mark.parametrize("data", [b"\x00\x00", b"\x0b\x0c", b"\x0e", b"\x08" + b"\x80" * 10 + b"\x01"])
def test_what_no_message_has_is_refused(data: bytes) -> None:
    with pytest.raises(ProtobufError):
        fields(data)


def test_a_length_beyond_all_memory_is_refused() -> None:
    with pytest.raises(EndsEarly):
        fields(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f")


def test_numbers_beyond_64_bits_are_cut_as_by_google() -> None:
    data = b"\x20" + b"\xff" * 9 + b"\x7f"

    assert fields(data) == [(4, (1 << 64) - 1)]
    assert gaen_schema.TemporaryExposureKey.FromString(data).rolling_period == -1  # type: ignore[attr-defined]


def test_negative_numbers_of_others_are_read_as_64_bits() -> None:
    theirs = gaen_schema.TemporaryExposureKey(rolling_period=-1).SerializeToString()

    assert fields(theirs) == [(4, (1 << 64) - 1)]
