"""The sealed metadata beside a rolling id: which version speaks, at which transmit power.

GAEN's Associated Encrypted Metadata, whose layout and sealing Bluezone's metadata follows. It is encrypted, not
authenticated: a relay may flip its bits, so what comes out is believed only within bounds.
Source: Exposure Notification Cryptography Specification v1.2, Associated Encrypted Metadata; Bluetooth Specification
v1.2, Advertising Payload.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bluezoned.opaque import Opaque

SIZE = 4
"""Bytes: version, transmit power, two reserved (sent as zero, ignored when read)."""

PLAUSIBLE = range(-50, 21)
"""dBm, the bounds of GAEN receivers. A value outside is an error, or bits flipped to seem nearer or farther."""

_VERSION = 0x40
"""Bits 7:6 major version 1, bits 5:4 minor version 0, bits 3:0 reserved."""


def subkey(secret: bytes, label: bytes) -> bytes:
    """16 bytes: HKDF-SHA256 of `secret`, no salt, `label` as info."""
    return HKDF(algorithm=SHA256(), length=16, salt=None, info=label).derive(secret)


def seal(key: bytes, initial_counter: bytes, tx_power: int) -> Opaque:
    """4 bytes: AES-128-CTR over version and `tx_power` (dBm, -127..127 or ValueError), both bytes of `key` and of
    `initial_counter` being 16."""
    if not -127 <= tx_power <= 127:
        raise ValueError(f"a transmit power of {tx_power} dBm does not fit one signed byte")
    return Opaque(_crypt(key, initial_counter, bytes((_VERSION, tx_power & 0xFF, 0, 0))))


def tx_power(key: bytes, initial_counter: bytes, sealed: bytes) -> int | None:
    """dBm, or None when the major version is not ours or the power not PLAUSIBLE."""
    version, power, *_ = _crypt(key, initial_counter, sealed)
    if version >> 6 != _VERSION >> 6:
        return None
    signed = power - 256 if power > 127 else power
    return signed if signed in PLAUSIBLE else None


def _crypt(key: bytes, initial_counter: bytes, text: bytes) -> bytes:
    return Cipher(algorithms.AES128(key), modes.CTR(initial_counter)).encryptor().update(text)
