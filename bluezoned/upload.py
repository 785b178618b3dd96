"""One sealed message out, one signed receipt back: how a box publishes its own keys.

HPKE base mode (RFC 9180) to the authority's sealing key, padded to one size, so that neither the sync process nor a
proxy can read it and chaff looks the same. Layouts in docs/protocols/upload.md.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.hashes import SHA256

from bluezoned.errors import AuthorityError, ProtocolError
from bluezoned.key_export import INTERVAL, KEY_SIZES
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DiagnosisKey, Tier

MOST_KEYS = 30
"""Keys of one upload: 14 days and today, twice over for days on which a publication cut one key in two."""

NONCE_SIZE = 16
CODE = re.compile(r"[0-9A-Z]{6,24}")
"""What a code can look like, once normalised; which ones exist is the authority's to know."""

_PLAIN_SIZE = 2048
_ENCAPSULATED_SIZE = 1120
_TAG_SIZE = 16
SEALED_SIZE = _ENCAPSULATED_SIZE + _PLAIN_SIZE + _TAG_SIZE
"""Bytes of every sealed upload: ML-KEM-768 ciphertext and X25519 share, padded text, ChaCha20-Poly1305 tag."""

SEALING_KEY_SIZE = 1184 + 32
"""Bytes of the public sealing key: ML-KEM-768 encapsulation key, then X25519."""

PRIVATE_KEY_SIZE = 64 + 32
"""Bytes of the private one: ML-KEM seed, then X25519."""

_INFO = b"bluezoned upload v1"
# Hybrid, because uploads are rare and say for years who was ill: what is recorded today must not open when a quantum
# computer breaks X25519. HKDF and ChaCha20-Poly1305, because no Pi before the 5 has AES instructions.
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)

_VERSION = 1
_PROTOCOLS = tuple(KEY_SIZES)
_HEAD = struct.Struct(f">BB24s{NONCE_SIZE}sBB")
_WINDOW = struct.Struct(">IH")


class UploadError(ProtocolError):
    """A sealed message or a code that is not what it should be."""


@dataclass(frozen=True, slots=True)
class Upload:
    """What a box says: its keys, under a code."""

    code: str
    keys: tuple[DiagnosisKey, ...]
    """1 to 30 of one protocol. Tier, report type and onset do not travel: the authority sets them by its case."""
    nonce: Opaque
    """16 bytes that name this upload; the same upload sent again gets the same receipt."""

    def __repr__(self) -> str:
        return f"Upload({len(self.keys)} keys)"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the authority answers."""

    nonce: Opaque
    """Of the upload; zeros when it could not be opened."""
    accepted: bool
    problem: str
    """One word of the authority's list, empty when accepted."""
    tier: Tier | None
    """Under which the keys are published; None when refused."""
    at: int
    """ms."""


def normalise_code(text: str) -> str:
    """Upper case, without spaces and dashes. UploadError when no code can look like that."""
    code = re.sub(r"[\s-]", "", text).upper()
    if not CODE.fullmatch(code):
        raise UploadError("this is not a code: it has 8 digits, or 16 letters and digits")
    return code


# the sealing key


def generate_sealing_key() -> bytes:
    """A new private sealing key, 96 bytes raw, from the system's randomness."""
    seed = mlkem.MLKEM768PrivateKey.generate().private_bytes_raw()
    return seed + x25519.X25519PrivateKey.generate().private_bytes_raw()


def public_sealing_key(private_key: bytes) -> bytes:
    """The 1216 bytes that belong to a private key. UploadError when that is not one."""
    lattice, curve = _private_parts(private_key)
    return lattice.public_key().public_bytes_raw() + curve.public_key().public_bytes_raw()


def _private_parts(private_key: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    if len(private_key) != PRIVATE_KEY_SIZE:
        raise UploadError(f"a private sealing key has {PRIVATE_KEY_SIZE} bytes")
    return (
        mlkem.MLKEM768PrivateKey.from_seed_bytes(private_key[:64]),
        x25519.X25519PrivateKey.from_private_bytes(private_key[64:]),
    )


# the message


def seal(upload: Upload, sealing_key: bytes) -> bytes:
    """SEALED_SIZE bytes that only the authority can open; others each time (HPKE draws its own randomness). UploadError
    when the upload or the key is not what it should be."""
    if len(sealing_key) != SEALING_KEY_SIZE:
        raise UploadError(f"a sealing key has {SEALING_KEY_SIZE} bytes")
    try:
        public_key = hpke.MLKEM768X25519PublicKey(
            mlkem.MLKEM768PublicKey.from_public_bytes(sealing_key[:1184]),
            x25519.X25519PublicKey.from_public_bytes(sealing_key[1184:]),
        )
        return _SUITE.encrypt(_encode(upload), public_key, _INFO)
    except ValueError as error:
        raise UploadError("the sealing key is damaged") from error


def open_sealed(data: bytes, private_key: bytes) -> Upload:
    """The upload. UploadError for anything that is not one, without saying more to a stranger."""
    lattice, curve = _private_parts(private_key)
    if len(data) != SEALED_SIZE:
        raise UploadError(f"a sealed upload has {SEALED_SIZE} bytes")
    try:
        plain = _SUITE.decrypt(data, hpke.MLKEM768X25519PrivateKey(lattice, curve), _INFO)
    except (InvalidTag, ValueError) as error:
        raise UploadError("the upload was not sealed to this authority") from error
    return _decode(plain)


def _encode(upload: Upload) -> bytes:
    if not 1 <= len(upload.keys) <= MOST_KEYS or len(upload.nonce) != NONCE_SIZE or not CODE.fullmatch(upload.code):
        raise UploadError(f"an upload has 1 to {MOST_KEYS} keys, a nonce of {NONCE_SIZE} bytes and a code")
    protocol = upload.keys[0].protocol
    head = _HEAD.pack(
        _VERSION,
        len(upload.code),
        upload.code.encode(),
        upload.nonce,
        _PROTOCOLS.index(protocol),
        len(upload.keys),
    )
    body = bytearray(head)
    for key in upload.keys:
        if key.protocol != protocol or len(key.secret) != KEY_SIZES[protocol]:
            raise UploadError("the keys of an upload are of one protocol, each of its size")
        body += key.secret
        body += _WINDOW.pack(key.start // INTERVAL, (key.end - key.start) // INTERVAL)
    return bytes(body).ljust(_PLAIN_SIZE, b"\0")


def _decode(plain: bytes) -> Upload:
    version, code_size, code_field, nonce, protocol_number, count = _HEAD.unpack_from(plain)
    if version != _VERSION or protocol_number >= len(_PROTOCOLS) or not 1 <= count <= MOST_KEYS:
        raise UploadError("the upload is of another version or damaged")
    code = code_field[:code_size].decode("ascii", "replace")
    protocol = _PROTOCOLS[protocol_number]
    size = KEY_SIZES[protocol]
    position = _HEAD.size
    if not CODE.fullmatch(code) or any(code_field[code_size:]) or any(plain[position + count * (size + 6) :]):
        raise UploadError("the upload is of another version or damaged")
    keys = []
    for _ in range(count):
        interval, period = _WINDOW.unpack_from(plain, position + size)
        start = interval * INTERVAL
        keys.append(DiagnosisKey(protocol, Opaque(plain[position : position + size]), start, start + period * INTERVAL))
        position += size + _WINDOW.size
    return Upload(code, tuple(keys), Opaque(nonce))


# the receipt

_RECEIPT_TAG = b"bluezoned receipt v1\n"
"""Signed in front of a receipt: the same key signs exports ("EK Export v1") and indexes, and none may pass for
another."""

_RECEIPT = struct.Struct(f">{NONCE_SIZE}sB24sBQ")
_LONGEST_SIGNATURE = 72
RECEIPT_SIZE = _RECEIPT.size + 1 + _LONGEST_SIGNATURE
"""Bytes of every receipt, whatever it says."""

_NO_TIER = 255


def write_receipt(receipt: Receipt, signing_key: ec.EllipticCurvePrivateKey) -> bytes:
    """RECEIPT_SIZE bytes: the receipt, then the signature's length and the signature, padded with zeros."""
    body = _RECEIPT.pack(
        receipt.nonce,
        receipt.accepted,
        receipt.problem.encode(),
        _NO_TIER if receipt.tier is None else receipt.tier,
        receipt.at,
    )
    signature = signing_key.sign(_RECEIPT_TAG + body, ec.ECDSA(SHA256()))
    return body + bytes((len(signature),)) + signature.ljust(_LONGEST_SIGNATURE, b"\0")


def read_receipt(data: bytes, public_key: ec.EllipticCurvePublicKey) -> Receipt:
    """The receipt, its signature verified first. AuthorityError when it is not one of this authority's."""
    if len(data) != RECEIPT_SIZE:
        raise AuthorityError(f"a receipt has {RECEIPT_SIZE} bytes")
    body, size = data[: _RECEIPT.size], data[_RECEIPT.size]
    signature = data[_RECEIPT.size + 1 :][:size]
    try:
        public_key.verify(signature, _RECEIPT_TAG + body, ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise AuthorityError("the receipt is not signed by the pinned authority") from error
    nonce, accepted, problem, tier, at = _RECEIPT.unpack(body)
    try:
        known_tier = None if tier == _NO_TIER else Tier(tier)
        return Receipt(Opaque(nonce), accepted == 1, problem.rstrip(b"\0").decode("ascii"), known_tier, at)
    except ValueError as error:
        raise AuthorityError("the receipt is of a later version: install the newer bluezoned") from error
