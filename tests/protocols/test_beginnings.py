"""The quick first look at many keys tells of each the same as its whole expansion, by whichever library."""

from __future__ import annotations

import ctypes
import os

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from bluezoned.opaque import Opaque
from bluezoned.protocols import block_cipher, registry
from bluezoned.protocols.protocol import DAY, DiagnosisKey, TracingProtocol
from bluezoned.protocols.short_hash import hkdf16

MONDAY = 20_759 * DAY


@pytest.fixture(params=registry.NAMES)
def protocol(request: pytest.FixtureRequest) -> TracingProtocol:
    return registry.by_name(request.param)


def test_every_rotation_of_a_day_begins_as_expanded(protocol: TracingProtocol) -> None:
    secret = os.urandom(protocol.key_size)
    starts = range(MONDAY, MONDAY + DAY, protocol.rotation)

    found = protocol.beginnings(0, MONDAY, starts).of(secret)

    expanded = protocol.expand(DiagnosisKey(protocol.name, Opaque(secret), MONDAY, MONDAY + DAY))
    assert list(found) == [int.from_bytes(window.rolling_id[:4], "little") for window in expanded]


def test_some_rotations_of_a_later_day_are_among_what_comes(protocol: TracingProtocol) -> None:
    secret = os.urandom(protocol.key_size)
    days = 0 if protocol.name == "gaen" else 3
    midnight = MONDAY + days * DAY
    starts = [midnight + number * protocol.rotation for number in (0, 7, 50)]

    found = protocol.beginnings(days, midnight, starts).of(secret)

    key = DiagnosisKey(protocol.name, Opaque(secret), MONDAY, midnight + DAY)
    windows = [window for window in protocol.expand(key) if window.start in starts]
    assert len(windows) >= 1
    assert {int.from_bytes(window.rolling_id[:4], "little") for window in windows} <= set(found)


def libcrypto() -> ctypes.CDLL:
    library = block_cipher.open_libcrypto()
    assert library is not None, "libcrypto.so.3 is a part of every Debian from 12 on"
    return library


@given(
    keys=st.lists(st.binary(min_size=16, max_size=16) | st.binary(min_size=32, max_size=32)), count=st.integers(1, 150)
)
def test_both_libraries_encrypt_alike(keys: list[bytes], count: int) -> None:
    blocks = b"".join(number.to_bytes(16) for number in range(count))
    fast, slow = block_cipher.encrypting_fast(blocks, libcrypto()), block_cipher.encrypting_slowly(blocks)

    assert [bytes(fast(key))[: len(blocks)] for key in keys] == [slow(key) for key in keys]


def test_what_is_encrypted_stays_when_memory_is_reused() -> None:
    blocks = bytes(96)
    encrypt = block_cipher.encrypting_fast(blocks, libcrypto())
    reused = [ctypes.c_int(7) for _ in range(10_000)]

    encrypted = bytes(encrypt(bytes(16)))[: len(blocks)]

    assert encrypted == block_cipher.encrypting_slowly(blocks)(bytes(16))
    assert {number.value for number in reused} == {7}


def test_a_key_of_another_size_is_refused() -> None:
    encrypt = block_cipher.encrypting_fast(bytes(16), libcrypto())

    for size in (0, 15, 17, 24, 31):
        with pytest.raises(ValueError, match="16 or 32"):
            encrypt(bytes(size))


@given(secret=st.binary(max_size=64), label=st.binary(max_size=80))
def test_short_hkdf_is_hkdf(secret: bytes, label: bytes) -> None:
    assert hkdf16(secret, label) == HKDF(algorithm=SHA256(), length=16, salt=None, info=label).derive(secret)
