"""The first look at many published keys: which may have been met. In Python, and in compiled code where it was built.

That is optional. One file serves every Python of a machine, since it knows nothing of Python: it stands beside this
module as `libsieve.so`, put there by whoever installs (compile.sh). Without it, or where it does not agree with Python,
Python does the same at two to four times the processor time (docs/matching.md).
"""

from __future__ import annotations

import ctypes
from array import array
from bisect import bisect_left
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from bluezoned.protocols import block_cipher, registry
from bluezoned.protocols.block_cipher import BLOCK
from bluezoned.protocols.protocol import DAY, Beginnings, Derivation, TracingProtocol

PLACE = Path(__file__).with_name("libsieve.so")

_VERSION = 1
"""Also in sieve.c."""

_LONGEST_LABEL = 22
"""Bytes: with a secret of 32 one block of the hash."""

_SIZES = {Derivation.CHAIN: (32, 0), Derivation.HKDF_AES: (16, 16), Derivation.HMAC_AES: (32, 32)}
"""Bytes of a secret, and of the cipher's key where there is one."""

_SPARSENESS = 32
"""Bits for each number that is held, 32 kB a day for five thousand: two numbers in a hundred pass them and cost a
search. With a quarter as many it is eight; with four times as many, a day no longer fits a small processor's cache."""

Sieve = Callable[[Sequence[bytes]], list[int]]
"""Secrets to the positions of those that may have been met."""


class Numbers(Protocol):
    """What was sighted on one day: the first four bytes of each id, as little-endian numbers."""

    def __contains__(self, number: object) -> bool: ...

    def sieve(self, beginnings: Beginnings) -> Sieve:
        """Which secrets have an id that begins so."""


class PlainNumbers:
    """In Python."""

    def __init__(self, numbers: set[int]) -> None:
        # A copy has half the table of a set that grew: more of it fits a cache.
        self._numbers = set(numbers)

    def __contains__(self, number: object) -> bool:
        return number in self._numbers

    def sieve(self, beginnings: Beginnings) -> Sieve:
        """See Numbers."""
        of, holds_none = beginnings.of, self._numbers.isdisjoint

        def passing(secrets: Sequence[bytes]) -> list[int]:
            return [position for position, secret in enumerate(secrets) if not holds_none(of(secret))]

        return passing


_POINTER, _NUMBER = ctypes.c_void_p, ctypes.c_uint32


class _Recipe(ctypes.Structure):
    """`struct recipe` of sieve.c."""

    _fields_ = (
        *(
            (name, _POINTER)
            for name in ("transform", "initialize", "update", "context", "blocks", "encrypted", "label")
        ),
        *((name, _NUMBER) for name in ("label_size", "derivation", "secret_size", "days", "count")),
    )


class _Day(ctypes.Structure):
    """`struct day` of sieve.c."""

    _fields_ = (("bits", _POINTER), ("sorted", _POINTER), ("count", _NUMBER), ("shift", _NUMBER))


class Core:
    """The compiled code, and the libcrypto that it works with."""

    def __init__(self, library: ctypes.CDLL, libcrypto: ctypes.CDLL) -> None:
        self.sieve = library.sieve
        self.libcrypto = libcrypto
        self.functions = [
            ctypes.cast(getattr(libcrypto, name), _POINTER).value
            for name in ("SHA256_Transform", "EVP_EncryptInit_ex", "EVP_EncryptUpdate")
        ]

    def numbers(self, numbers: set[int]) -> Numbers:
        """For the compiled code to look in."""
        return _CompiledNumbers(self, numbers)


class _CompiledNumbers:
    """Some eleven bytes for each number, where a set takes eighty."""

    def __init__(self, core: Core, numbers: set[int]) -> None:
        self._core = core
        self._sorted = array("I", sorted(numbers))
        # A number's bit is that of its highest bits.
        width = max(3, (len(self._sorted) * _SPARSENESS).bit_length())
        shift = 32 - width
        self._bits = bytearray(1 << width - 3)
        for number in self._sorted:
            place = number >> shift
            self._bits[place >> 3] |= 1 << (place & 7)
        # Neither grows any more, so their places in memory stay.
        self._first = ctypes.c_char.from_buffer(self._bits)
        self._day = _Day(ctypes.addressof(self._first), self._sorted.buffer_info()[0], len(self._sorted), shift)

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int):
            return False
        position = bisect_left(self._sorted, number)
        return position < len(self._sorted) and self._sorted[position] == number

    def sieve(self, beginnings: Beginnings) -> Sieve:
        """For secrets of the protocol's size, as the reader of a file lets through; ValueError for others."""
        recipe = beginnings.recipe
        secret_size, key_size = _SIZES[recipe.derivation]
        if len(recipe.label) > _LONGEST_LABEL or len(recipe.blocks) != recipe.count * BLOCK * bool(key_size):
            raise ValueError("the recipe does not fit the compiled code")
        context = block_cipher.Context(self._core.libcrypto)
        if key_size:
            context.choose(key_size)
        blocks, label = ctypes.c_char_p(recipe.blocks), ctypes.c_char_p(recipe.label)
        encrypted = ctypes.create_string_buffer(len(recipe.blocks) + BLOCK)
        structure = _Recipe(
            *self._core.functions,
            context.handle,
            ctypes.cast(blocks, _POINTER),
            ctypes.addressof(encrypted),
            ctypes.cast(label, _POINTER),
            len(recipe.label),
            recipe.derivation,
            secret_size,
            recipe.days,
            recipe.count,
        )
        return _Bound(self._core.sieve, structure, self._day, (blocks, label, encrypted, context, self)).passing


class _Bound:
    """The compiled function with what it is told each time."""

    def __init__(self, function: Callable[..., int], recipe: _Recipe, day: _Day, kept: object) -> None:
        self._function = function
        self._recipe, self._day = ctypes.byref(recipe), ctypes.byref(day)
        self._secret_size = recipe.secret_size
        self._kept = kept
        """What the structures point to: an address keeps nothing alive."""
        self._passed = ctypes.create_string_buffer(64)

    def passing(self, secrets: Sequence[bytes]) -> list[int]:
        """See Sieve."""
        if len(secrets) > len(self._passed):
            self._passed = ctypes.create_string_buffer(len(secrets))
        joined = b"".join(secrets)
        # Compiled code reads as far as it is told.
        if len(joined) != len(secrets) * self._secret_size:
            raise ValueError("secrets of another size than the protocol's")
        found = self._function(self._recipe, self._day, joined, len(secrets), self._passed)
        if found < 0:
            raise MemoryError
        return [position for position, passed in enumerate(self._passed.raw[: len(secrets)]) if passed] if found else []


def open_core(place: Path = PLACE) -> Core | None:
    """None where it was not built, was built for another machine or from another source, where libcrypto.so.3 is
    missing or without SHA256_Transform, which is deprecated there, and where one key is not told as Python tells it."""
    libcrypto = block_cipher.open_libcrypto()
    if libcrypto is None:
        return None
    try:
        library = ctypes.CDLL(str(place))
        if library.sieve_version() != _VERSION:
            return None
        library.sieve.argtypes = (_POINTER, _POINTER, ctypes.c_char_p, _NUMBER, _POINTER)
        core = Core(library, libcrypto)
    except (OSError, AttributeError):
        return None
    return core if all(_agrees(core, registry.by_name(name)) for name in registry.NAMES) else None


def _agrees(core: Core, protocol: TracingProtocol) -> bool:
    """Whether of three secrets it finds the one that was met, by the first of its ids or by its last."""
    secrets = [bytes((number,)) * protocol.key_size for number in range(3)]
    beginnings = protocol.beginnings(0, 0, range(0, DAY, protocol.rotation))
    numbers = beginnings.of(secrets[1])
    return all(core.numbers({number}).sieve(beginnings)(secrets) == [1] for number in (numbers[0], numbers[-1]))
