"""Ways to spoil bytes, for all that is read from the wire."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from bluezoned import protobuf
from bluezoned.protobuf import Field, ProtobufError

Mutation = Callable[[random.Random, bytearray], None]

_TELLING = (0, 1, 2, 0x08, 0x0A, 0x0B, 0x22, 0x3A, 0x42, 0x50, 0x7F, 0x80, 0xFF)
"""Bytes that mean something to somebody: tags of protobuf fields, signs of varints, the P of zip's PK."""

_LENGTHS = (b"\0", b"\x7f", b"\x80\1", b"\xff\xff\3", b"\xff\xff\xff\xff\x0f", b"\xff" * 9 + b"\1", b"\x80" * 12)
"""Varints: small, large, of 32 bits, of 64 bits, and one that never ends."""


def mutated(rng: random.Random, data: bytes, others: Sequence[bytes], most: int = 8) -> bytes:
    """`data` with up to `most` mutations, one of which may be a piece of one of `others`."""
    spoilt = bytearray(data)
    for _ in range(rng.randrange(1, most + 1)):
        rng.choice(_MUTATIONS)(rng, spoilt)
    if others and rng.random() < 0.1:
        _splice(rng, spoilt, rng.choice(others))
    return bytes(spoilt)


def flip(rng: random.Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _overwrite(rng: random.Random, data: bytearray) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((*_TELLING, rng.randrange(256)))


def _lie(rng: random.Random, data: bytearray) -> None:
    """A length or a number that is not so, as varint or in two or four bytes."""
    position = rng.randrange(len(data) + 1)
    lie = rng.choice((*_LENGTHS, rng.randbytes(2), b"\xff\xff", b"\xff" * 4, bytes(4)))
    data[position : position + len(lie)] = lie


def _insert(rng: random.Random, data: bytearray) -> None:
    position = rng.randrange(len(data) + 1)
    data[position:position] = rng.randbytes(rng.randrange(1, 9))


def _delete(rng: random.Random, data: bytearray) -> None:
    position = rng.randrange(len(data) + 1)
    del data[position : position + rng.randrange(1, 9)]


def _truncate(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _repeat(rng: random.Random, data: bytearray) -> None:
    position = rng.randrange(len(data) + 1)
    data += data[position : position + 4096]


def _splice(rng: random.Random, data: bytearray, other: bytes) -> None:
    start, position = rng.randrange(len(other) + 1), rng.randrange(len(data) + 1)
    data[position : position + rng.randrange(64)] = other[start : start + rng.randrange(256)]


# Flips twice: they spoil least, and so lead deepest.
_MUTATIONS: tuple[Mutation, ...] = (flip, flip, flip, _overwrite, _lie, _insert, _delete, _truncate, _repeat)


_NUMBERS = (0, 1, 5, 6, 143, 144, 145, 2160, 2161, (1 << 31) - 1, 1 << 31, 1 << 47, (1 << 63) - 1, (1 << 64) - 1)
_FIELDS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 1001, 1002, 1 << 28)
_MESSAGES = (6, 7, 8)
"""Fields of an export that are messages themselves."""


def reshaped(rng: random.Random, message: bytes) -> bytes:
    """An export's message with one to three of its fields changed, dropped or doubled, and the lengths around them
    right: what gets past the codec and must be refused for what it says."""
    for _ in range(rng.randrange(1, 4)):
        try:
            parts = list(protobuf.fields(memoryview(message)))
        except ProtobufError:
            return message  # an earlier change already spoilt it
        position = rng.randrange(len(parts) + 1)
        for chosen in parts[position : position + 1]:
            parts[position : position + 1] = _changed(rng, chosen)
        message = b"".join(map(_encoded, parts))
    return message


def _changed(rng: random.Random, part: Field) -> list[Field]:
    draw = rng.random()
    if draw < 0.1:
        return []
    if draw < 0.15:
        return [part] * rng.choice((2, 3, 20))
    if draw < 0.25:
        return [Field(rng.choice(_FIELDS), part.value)]
    if isinstance(part.value, int):
        return [Field(part.number, rng.choice((*_NUMBERS, part.value + 1, rng.getrandbits(rng.randrange(1, 65)))))]
    content = bytes(part.value)
    if part.number in _MESSAGES and draw < 0.9:
        return [Field(part.number, memoryview(reshaped(rng, content)))]
    return [Field(part.number, memoryview(mutated(rng, content, [], 2)))]


def _encoded(part: Field) -> bytes:
    if not isinstance(part.value, int):
        return protobuf.put_bytes(part.number, bytes(part.value))
    # The seconds at the beginning are of fixed size, and no other number is as large.
    fixed = part.number in (1, 2) and part.value > 1 << 30
    value = part.value & (1 << 64) - 1
    return protobuf.put_fixed64(part.number, value) if fixed else protobuf.put_varint(part.number, value)


_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    1,
    5,
    1.5,
    1e300,
    1 << 47,
    1 << 70,
    "",
    "..",
    "x" * 70_000,
    [],
    {},
    [[]],
    "\0",
    "a.zip",
)


def reshaped_json(rng: random.Random, document: Any) -> Any:
    """A JSON document with one value in it changed, dropped or doubled."""
    places = list(document.keys() if isinstance(document, dict) else range(len(document)))
    if not places:
        return rng.choice(_VALUES)
    place = rng.choice(places)
    if isinstance(document[place], dict | list) and rng.random() < 0.8:
        document[place] = reshaped_json(rng, document[place])
    elif rng.random() < 0.1:
        del document[place]
    elif isinstance(document, list) and rng.random() < 0.5:
        document.insert(rng.choice(places), document[place])
    else:
        document[place] = rng.choice(_VALUES)
    return document
