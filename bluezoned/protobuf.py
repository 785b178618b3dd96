"""The little of Protocol Buffers that key exports need: varints, fixed64, bytes; bounded, streaming, no schema.

Source: protobuf.dev, "Encoding". Knows no message by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from bluezoned.errors import ProtocolError

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field as it stands in the bytes."""

    number: int
    value: int | memoryview
    """An int for VARINT, FIXED64 and FIXED32; the bytes for LENGTH."""


def fields(data: memoryview) -> Iterator[Field]:
    """Every field of one message in order, unknown ones too. ProtocolError when the bytes end early or use groups."""
    position, end = 0, len(data)
    while position < end:
        tag, position = _varint(data, position)
        number, kind = tag >> 3, tag & 7
        if number == 0:
            raise ProtocolError("a field without a number")
        if kind == VARINT:
            value, position = _varint(data, position)
            yield Field(number, value)
        elif kind == LENGTH:
            length, position = _varint(data, position)
            if length > end - position:
                raise ProtocolError("a field ends behind its message")
            yield Field(number, data[position : position + length])
            position += length
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
            if size > end - position:
                raise ProtocolError("a field ends behind its message")
            yield Field(number, int.from_bytes(data[position : position + size], "little"))
            position += size
        else:
            raise ProtocolError("a field of a kind that is not in use")


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(data) or shift > 63:
            raise ProtocolError("a number ends early or is too long")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position
        shift += 7


def zigzag(number: int) -> int:
    """The signed number behind a `sint32`."""
    return (number >> 1) ^ -(number & 1)


def put_varint(number: int, value: int) -> bytes:
    return _encode(number << 3 | VARINT) + _encode(value)


def put_signed(number: int, value: int) -> bytes:
    """As `sint32`."""
    return put_varint(number, (value << 1) ^ (value >> 63))


def put_fixed64(number: int, value: int) -> bytes:
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
