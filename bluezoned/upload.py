"""One sealed message out, one signed receipt back: how a box publishes its own keys.

HPKE base mode (RFC 9180) to the authority's sealing key, padded to one size, so that neither the sync process nor a
proxy can read it and chaff looks the same. Layouts in docs/protocols/upload.md.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric import ec, mlkem, x25519
from cryptography.hazmat.primitives.hashes import SHA256

from bluezoned.errors import AuthorityError, ProtocolError
from bluezoned.key_export import INTERVAL, KEY_SIZES
from bluezoned.opaque import Opaque
from bluezoned.protocols.protocol import DiagnosisKey, Tier
from bluezoned.protocols.window import LONGEST_CHAIN

MOST_KEYS = 30
"""Keys of one upload: 14 days and today, twice over for days on which a publication cut one key in two."""

MOST_HEARINGS = 64
"""Published keys of which one upload tells how loud they were; 64 take 577 bytes of the 864 that thirty keys leave.
Who met more in two weeks tells of the first."""

KEY_TAG_SIZE = 8
"""First bytes of a published key, by which a hearing names it: a million keys differ in them."""

LOUDEST = 12
"""dB, either way."""

NONCE_SIZE = 16
CODE = re.compile(r"[0-9A-Z]{6,24}")
"""What a code can look like, once normalised; which ones exist is the authority's to know."""

_LONGEST_TYPED = 100
"""Characters as typed: 24 with as many spaces or dashes between as anybody needs."""

_PLAIN_SIZE = 2048
"""Bytes of the padded text. Thirty keys of 32 bytes take 1,184, 64 hearings 577."""

_ENCAPSULATED_SIZE = 1088 + 32
_TAG_SIZE = 16
SEALED_SIZE = _ENCAPSULATED_SIZE + _PLAIN_SIZE + _TAG_SIZE
"""Bytes of every sealed upload: ML-KEM-768 ciphertext and X25519 share, padded text, ChaCha20-Poly1305 tag."""

SEALING_KEY_SIZE = 1184 + 32
"""Bytes of the public sealing key: ML-KEM-768 encapsulation key, then X25519."""

PRIVATE_KEY_SIZE = 64 + 32
"""Bytes of the private one: ML-KEM seed, then X25519."""

_INFO = b"bluezoned upload v1"
"""Bound into the key: what is sealed for another purpose or version does not open."""

# Hybrid, because uploads are rare and say for years who was ill: what is recorded today must not open when a quantum
# computer breaks X25519. HKDF and ChaCha20-Poly1305, because no Pi before the 5 has AES instructions.
_SUITE = hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)

_VERSION = 1
_CHAFF_VERSION = 0
"""Of a text that says nothing and never will."""
_LATEST = 1 << 47  # ms; beyond any calendar, within any integer of a database
_PROTOCOLS = ("gaen", "bluezone", "dp3t")  # by their numbers on the wire
_HEAD = struct.Struct(f">BB24s{NONCE_SIZE}sBB")
_WINDOW = struct.Struct(">IH")
_HEARING = struct.Struct(f">{KEY_TAG_SIZE}sb")


class UploadError(ProtocolError):
    """A code, a sealed message or what goes into one that is not what it should be. Names shapes, never contents."""


class ReceiptError(AuthorityError):
    """A receipt that is not believed."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """How loud a published key was heard."""

    tag: Opaque
    """KEY_TAG_SIZE bytes."""
    loudness: int
    """dB above the others then, -LOUDEST..LOUDEST."""


@dataclass(frozen=True, slots=True)
class Upload:
    """What a box says: its keys, under a code."""

    code: str
    keys: tuple[DiagnosisKey, ...]
    """1 to 30 of one protocol. Tier, report type and onset do not travel: the authority sets them by its case."""
    nonce: Opaque
    """16 bytes that name this upload; the same upload sent again gets the same receipt."""
    hearings: tuple[Hearing, ...] = ()
    """Of up to 64 keys, each once, in the order of their tags."""

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
    # Whoever may ask for consent must not keep the daemon busy with megabytes of dashes.
    code = re.sub(r"[\s-]", "", text).upper() if len(text) <= _LONGEST_TYPED else ""
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


@lru_cache(maxsize=1)
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
    return _seal(_encode(upload), sealing_key)


def seal_chaff(sealing_key: bytes) -> bytes:
    """SEALED_SIZE bytes that say nothing, and look like an upload to all but the authority, which refuses them unseen
    and keeps nothing. Truly sealed: random bytes would be known by the bits that no key has."""
    return _seal(bytes((_CHAFF_VERSION,)).ljust(_PLAIN_SIZE, b"\0"), sealing_key)


def _seal(plain: bytes, sealing_key: bytes) -> bytes:
    if len(sealing_key) != SEALING_KEY_SIZE:
        raise UploadError(f"a sealing key has {SEALING_KEY_SIZE} bytes")
    try:
        public_key = hpke.MLKEM768X25519PublicKey(
            mlkem.MLKEM768PublicKey.from_public_bytes(sealing_key[:1184]),
            x25519.X25519PublicKey.from_public_bytes(sealing_key[1184:]),
        )
        return _SUITE.encrypt(plain, public_key, _INFO)
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
    if protocol not in KEY_SIZES:
        raise UploadError("the keys of an upload are of a protocol that is not known here")
    code = upload.code.encode()
    head = _HEAD.pack(_VERSION, len(code), code, upload.nonce, _PROTOCOLS.index(protocol), len(upload.keys))
    keys = b"".join(_encode_key(key, protocol) for key in upload.keys)
    return (head + keys + _encode_hearings(upload.hearings)).ljust(_PLAIN_SIZE, b"\0")


def _encode_hearings(hearings: tuple[Hearing, ...]) -> bytes:
    tags = [bytes(hearing.tag) for hearing in hearings]
    if len(hearings) > MOST_HEARINGS or tags != sorted(set(tags)) or any(len(tag) != KEY_TAG_SIZE for tag in tags):
        raise UploadError(f"an upload has at most {MOST_HEARINGS} hearings, of different keys, in order")
    if any(abs(hearing.loudness) > LOUDEST for hearing in hearings):
        raise UploadError(f"a loudness lies within {LOUDEST} dB")
    return bytes((len(hearings),)) + b"".join(_HEARING.pack(h.tag, h.loudness) for h in hearings)


def _encode_key(key: DiagnosisKey, protocol: str) -> bytes:
    if key.protocol != protocol or len(key.secret) != KEY_SIZES[protocol]:
        raise UploadError("the keys of an upload are of one protocol, each of its size")
    if key.start % INTERVAL or key.end % INTERVAL or not 0 <= key.start < key.end < _LATEST:
        raise UploadError("a key's window is not on the grid of ten minutes, or empty")
    if key.end - key.start > LONGEST_CHAIN:
        raise UploadError(f"a key's window is longer than {LONGEST_CHAIN} ms")
    return key.secret + _WINDOW.pack(key.start // INTERVAL, (key.end - key.start) // INTERVAL)


def _decode(plain: bytes) -> Upload:
    """What `_encode` makes, and nothing else: each upload has one form."""
    unreadable = UploadError("the upload is of another version or damaged")
    if len(plain) != _PLAIN_SIZE:
        raise unreadable
    version, code_size, code_field, nonce, protocol_number, count = _HEAD.unpack_from(plain)
    if version != _VERSION or protocol_number >= len(_PROTOCOLS):
        raise unreadable
    protocol = _PROTOCOLS[protocol_number]
    size = KEY_SIZES[protocol] + _WINDOW.size
    end = _HEAD.size + count * size
    starts = range(_HEAD.size, end, size)
    try:
        upload = Upload(
            code_field[:code_size].decode("ascii"),
            tuple(_decode_key(plain[start : start + size], protocol) for start in starts),
            Opaque(nonce),
            tuple(
                Hearing(Opaque(tag), loudness)
                for tag, loudness in _HEARING.iter_unpack(plain[end + 1 : end + 1 + plain[end] * _HEARING.size])
            ),
        )
    except (IndexError, struct.error, UnicodeDecodeError):
        # Not chained: the error of a decoder shows the byte that it stumbled over, and that is a code's.
        raise unreadable from None
    if _encode(upload) != plain:
        raise unreadable
    return upload


def _decode_key(data: bytes, protocol: str) -> DiagnosisKey:
    interval, period = _WINDOW.unpack(data[-_WINDOW.size :])
    start = interval * INTERVAL
    return DiagnosisKey(protocol, Opaque(data[: -_WINDOW.size]), start, start + period * INTERVAL)


# the receipt

_RECEIPT_TAG = b"bluezoned receipt v1\n"
"""Signed in front of a receipt: the same key signs exports ("EK Export v1") and indexes, and none may pass for
another."""

_RECEIPT = struct.Struct(f">{NONCE_SIZE}sB24sBQ")
_LONGEST_SIGNATURE = 72
RECEIPT_SIZE = _RECEIPT.size + 1 + _LONGEST_SIGNATURE
"""Bytes of every receipt, whatever it says."""

_NO_TIER = 255
_PROBLEM = re.compile(r"[a-z-]{1,24}")


def write_receipt(receipt: Receipt, signing_key: ec.EllipticCurvePrivateKey) -> bytes:
    """RECEIPT_SIZE bytes: the receipt, then the signature's length and the signature, padded with zeros. ReceiptError
    for one that a reader would refuse."""
    body = _encode_receipt(receipt)
    signature = signing_key.sign(_RECEIPT_TAG + body, ec.ECDSA(SHA256()))
    return body + bytes((len(signature),)) + signature.ljust(_LONGEST_SIGNATURE, b"\0")


def read_receipt(data: bytes, public_key: ec.EllipticCurvePublicKey) -> Receipt:
    """The receipt, its signature verified first. ReceiptError when it is not one of this authority's. Which upload it
    answers is for the caller to see from its nonce."""
    if len(data) != RECEIPT_SIZE:
        raise ReceiptError(f"a receipt has {RECEIPT_SIZE} bytes")
    body, size = data[: _RECEIPT.size], data[_RECEIPT.size]
    signature, padding = data[_RECEIPT.size + 1 :][:size], data[_RECEIPT.size + 1 + size :]
    if size > _LONGEST_SIGNATURE or any(padding):
        raise ReceiptError("the receipt is damaged")
    try:
        public_key.verify(signature, _RECEIPT_TAG + body, ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise ReceiptError("the receipt is not signed by the pinned authority") from error
    return _decode_receipt(body)


def _encode_receipt(receipt: Receipt) -> bytes:
    whole = len(receipt.nonce) == NONCE_SIZE and 0 <= receipt.at < _LATEST
    if receipt.accepted:
        consistent = receipt.tier is not None and not receipt.problem
    else:
        consistent = receipt.tier is None and _PROBLEM.fullmatch(receipt.problem) is not None
    if not whole or not consistent:
        raise ReceiptError("a receipt accepts under a tier, or names the problem in one word")
    tier = _NO_TIER if receipt.tier is None else receipt.tier
    return _RECEIPT.pack(receipt.nonce, receipt.accepted, receipt.problem.encode(), tier, receipt.at)


def _decode_receipt(body: bytes) -> Receipt:
    nonce, accepted, problem, tier, at = _RECEIPT.unpack(body)
    try:
        known_tier = None if tier == _NO_TIER else Tier(tier)
        receipt = Receipt(Opaque(nonce), accepted == 1, problem.rstrip(b"\0").decode("ascii"), known_tier, at)
    except ValueError as error:
        raise ReceiptError("the receipt is of a later version: install the newer bluezoned") from error
    if _encode_receipt(receipt) != body:
        raise ReceiptError("the receipt is of a later version: install the newer bluezoned")
    return receipt
