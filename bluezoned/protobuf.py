"""The little of Protocol Buffers that key exports need: varints, fixed numbers, bytes; bounded, streaming, no schema.

Source: protobuf.dev, "Encoding". Knows no message by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bluezoned.errors import ProtocolError

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


class ProtobufError(ProtocolError):
    """Bytes that are no message."""


class EndsEarly(ProtobufError):
    """Bytes that begin like a message and stop in the middle of it."""

    def __init__(self) -> None:
        super().__init__("a message ends early")


class Field(NamedTuple):
    """One field as it stands in the bytes."""

    number: int
    value: int | memoryview
    """An int for VARINT, FIXED64 and FIXED32; the bytes for LENGTH, a view of the message's own."""


def fields(data: memoryview) -> Iterator[Field]:
    """Every field of one message in order, unknown ones too. EndsEarly; ProtobufError for a number of more than ten
    bytes and for groups, which no schema of today uses."""
    position = 0
    while position < len(data):
        found, position = field(data, position)
        yield found


def field(data: memoryview, position: int) -> tuple[Field, int]:
    """The field at `position`, and where the next one begins. Errors as of `fields`."""
    end = len(data)
    tag, position = _varint(data, position)
    number, kind = tag >> 3, tag & 7
    if number == 0:
        raise ProtobufError("a field without a number")
    if kind == VARINT:
        value, position = _varint(data, position)
        return Field(number, value), position
    if kind == LENGTH:
        length, position = _varint(data, position)
        if length > end - position:
            raise EndsEarly
        return Field(number, data[position : position + length]), position + length
    if kind in (FIXED64, FIXED32):
        size = 8 if kind == FIXED64 else 4
        if size > end - position:
            raise EndsEarly
        return Field(number, int.from_bytes(data[position : position + size], "little")), position + size
    raise ProtobufError("a field of a kind that is not in use")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """The number at `position`, cut to 64 bits as every reader does, and where the next one begins."""
    value = shift = 0
    while True:
        if position >= len(data):
            raise EndsEarly
        if shift > 63:
            raise ProtobufError("a number of more than ten bytes")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7


def zigzag(number: int) -> int:
    """The signed number behind a `sint32` or `sint64`."""
    return (number >> 1) ^ -(number & 1)


def put_varint(number: int, value: int) -> bytes:
    """A field of an unsigned number below 2^64."""
    return _encode(number << 3 | VARINT) + _encode(value)


def put_signed(number: int, value: int) -> bytes:
    """A `sint32` or `sint64`."""
    return put_varint(number, (value << 1) ^ (value >> 63))


def put_fixed64(number: int, value: int) -> bytes:
    """A `fixed64`."""
    return _encode(number << 3 | FIXED64) + value.to_bytes(8, "little")


def put_bytes(number: int, value: bytes) -> bytes:
    """Bytes, a text in UTF-8 or a message."""
    return _encode(number << 3 | LENGTH) + _encode(len(value)) + value


def _encode(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
