"""The signed index of an authority's batches: what there is, oldest to newest, and until when that is believed.

First line the base64 of a DER ECDSA P-256 signature over the rest with a tag in front, then one line of canonical
JSON, US-ASCII. Specified in docs/protocols/key-index.md.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from bluezoned.errors import AuthorityError
from bluezoned.key_export import KEY_SIZES, LARGEST_FILE
from bluezoned.upload import SEALING_KEY_SIZE

LARGEST = 4 << 20
"""Bytes. A batch takes about 200, so this is 20,000 of them: hourly ones of three protocols for 14 days are 1,008."""

_TAG = b"bluezoned index v1\n"
"""Signed in front, so that neither an export nor a receipt passes for an index."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.zip")
_LATEST = 1 << 47
"""ms; beyond any calendar, within any integer."""


class Reason(Enum):
    """Why an index is not believed."""

    WRONG_KEY = "its signature is not by the pinned authority, or it was changed"
    TOO_LARGE = "it is larger than allowed"
    MALFORMED = "it is not an index of batches"


class KeyIndexError(AuthorityError):
    """An index that is not believed; nothing of it counts."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"the authority's index is refused: {reason.value}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Batch:
    """One key export as the index lists it."""

    sequence: int
    """From 1, without gaps."""
    name: str
    """A file name: letters, digits, `-` and `_`, ending in `.zip`."""
    size: int
    """Bytes."""
    sha256: bytes
    """32 bytes, of the whole file."""
    protocol: str
    start: int
    end: int
    """ms."""


@dataclass(frozen=True, slots=True)
class KeyIndex:
    """What an authority has published and not yet withdrawn for its age."""

    authority: str
    """Its name, as in the exports' key id."""
    sequence: int
    """Of the newest batch ever published, 0 before the first."""
    issued: int
    """ms; renewed at each publishing run, so that a mirror that stands still is noticed."""
    expires: int
    """ms; after it the index is worth nothing."""
    sealing_key: bytes
    """Public HPKE key for uploads."""
    batches: tuple[Batch, ...]
    """Oldest to newest."""


def write(index: KeyIndex, signing_key: ec.EllipticCurvePrivateKey) -> bytes:
    """The signed bytes."""
    document = {
        "authority": index.authority,
        "sequence": index.sequence,
        "issued": index.issued,
        "expires": index.expires,
        "sealing_key": base64.b64encode(index.sealing_key).decode(),
        "batches": [
            {
                "sequence": b.sequence,
                "name": b.name,
                "size": b.size,
                "sha256": b.sha256.hex(),
                "protocol": b.protocol,
                "start": b.start,
                "end": b.end,
            }
            for b in index.batches
        ],
    }
    body = json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii") + b"\n"
    signature = signing_key.sign(_TAG + body, ec.ECDSA(SHA256()))
    written = base64.b64encode(signature) + b"\n" + body
    peek(written)
    return written


def read(data: bytes, public_key: ec.EllipticCurvePublicKey) -> KeyIndex:
    """The index, its signature verified before it is parsed. KeyIndexError says why not."""
    signature, body = _split(data)
    try:
        public_key.verify(signature, _TAG + body, ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise KeyIndexError(Reason.WRONG_KEY) from error
    return _parse(body)


def peek(data: bytes) -> KeyIndex:
    """The index without its signature checked: for fetching what it names. Sizes and names are bounded, and a name is
    never a path. KeyIndexError when it is none."""
    return _parse(_split(data)[1])


def is_batch_name(name: str) -> bool:
    """Whether `name` can be a batch's file name; it never is a path."""
    return _NAME.fullmatch(name) is not None


def _split(data: bytes) -> tuple[bytes, bytes]:
    if len(data) > LARGEST:
        raise KeyIndexError(Reason.TOO_LARGE)
    line, newline, body = data.partition(b"\n")
    try:
        signature = base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError) as error:
        raise KeyIndexError(Reason.MALFORMED) from error
    if not newline or len(signature) > 80:
        raise KeyIndexError(Reason.MALFORMED)
    return signature, body


def _parse(body: bytes) -> KeyIndex:
    try:
        document = json.loads(body.decode("ascii"))
        index = KeyIndex(
            _text(document["authority"]),
            _number(document["sequence"]),
            _number(document["issued"]),
            _number(document["expires"]),
            base64.b64decode(_text(document["sealing_key"]), validate=True),
            tuple(_parse_batch(batch) for batch in document["batches"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise KeyIndexError(Reason.MALFORMED) from error
    sequences = [b.sequence for b in index.batches]
    if len(index.sealing_key) != SEALING_KEY_SIZE or sequences != sorted(set(sequences)):
        raise KeyIndexError(Reason.MALFORMED)
    if sequences and sequences[-1] > index.sequence:
        raise KeyIndexError(Reason.MALFORMED)
    return index


def _parse_batch(batch: Any) -> Batch:
    name, protocol, size = _text(batch["name"]), _text(batch["protocol"]), _number(batch["size"])
    sha256 = bytes.fromhex(_text(batch["sha256"]))
    if not _NAME.fullmatch(name) or protocol not in KEY_SIZES or len(sha256) != 32 or size > LARGEST_FILE:
        raise ValueError("a batch that cannot be")
    start, end = _number(batch["start"]), _number(batch["end"])
    return Batch(_number(batch["sequence"]), name, size, sha256, protocol, start, end)


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > 1 << 16:
        raise TypeError("not a text")
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < _LATEST:
        raise TypeError("not a number")
    return value
