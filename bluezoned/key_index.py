"""The signed index of an authority's batches: what there is, oldest to newest, and until when that is believed.

First line the base64 of a DER ECDSA P-256 signature over the rest with a tag in front, then one line of canonical
JSON, US-ASCII. Specified in docs/protocols/key-index.md.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec import Meta

from bluezoned.errors import AuthorityError
from bluezoned.key_export import LARGEST_FILE
from bluezoned.upload import SEALING_KEY_SIZE

LARGEST = 4 << 20
"""Bytes. A batch takes about 200, so this is 20,000 of them: hourly ones of three protocols for 14 days are 1,008."""

_TAG = b"bluezoned index v1\n"
"""Signed in front, so that neither an export ("EK Export v1") nor a receipt passes for an index."""

_LONGEST_SIGNATURE = 72
"""Bytes, DER; ECDSA P-256 never needs more."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.zip")
_Name = Annotated[str, Meta(pattern=f"^{_NAME.pattern}\\Z")]
_Authority = Annotated[str, Meta(pattern=r"^[ -~]{1,64}\Z")]
_Protocol = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}\Z")]
_Instant = Annotated[int, Meta(ge=0, lt=1 << 47)]
"""ms; beyond any calendar, within any integer."""
_Sequence = Annotated[int, Meta(ge=0, lt=1 << 47)]


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

    sequence: _Sequence
    """From 1; the batches of one authority count together, whatever their protocol."""
    name: _Name
    """A file name: letters, digits, `-` and `_`, ending in `.zip`."""
    size: Annotated[int, Meta(ge=1, le=LARGEST_FILE)]
    """Bytes."""
    sha256: Annotated[bytes, Meta(min_length=32, max_length=32)]
    """32 bytes, of the whole file."""
    protocol: _Protocol
    """One that is not known here makes its batch unreadable, not the index."""
    start: _Instant
    end: _Instant
    """ms, as in the export."""


@dataclass(frozen=True, slots=True)
class KeyIndex:
    """What an authority has published and not yet withdrawn for its age."""

    authority: _Authority
    """Its name, as in the exports' key id."""
    sequence: _Sequence
    """Of the newest batch ever published, 0 before the first."""
    issued: _Instant
    """ms; renewed at each publishing run, so that a mirror that stands still is noticed."""
    expires: _Instant
    """ms; after it the index is worth nothing. The reader of the clock checks it."""
    sealing_key: Annotated[bytes, Meta(min_length=SEALING_KEY_SIZE, max_length=SEALING_KEY_SIZE)]
    """Public HPKE key for uploads."""
    batches: tuple[Batch, ...]
    """Oldest to newest."""


def write(index: KeyIndex, signing_key: ec.EllipticCurvePrivateKey) -> bytes:
    """The signed bytes. KeyIndexError for what a reader would refuse."""
    body = msgspec.json.encode(index, order="sorted") + b"\n"
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
    """The signature and what it is over."""
    if len(data) > LARGEST:
        raise KeyIndexError(Reason.TOO_LARGE)
    line, newline, body = data.partition(b"\n")
    try:
        signature = base64.b64decode(line, validate=True)
    except binascii.Error as error:
        raise KeyIndexError(Reason.MALFORMED) from error
    # Only the one spelling of the signature counts: base64 has spare bits, and a file that can be changed without
    # being refused makes a reader ask what else can.
    if not newline or len(signature) > _LONGEST_SIGNATURE or base64.b64encode(signature) != line:
        raise KeyIndexError(Reason.MALFORMED)
    return signature, body


def _parse(body: bytes) -> KeyIndex:
    try:
        index = msgspec.json.decode(body, type=KeyIndex)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise KeyIndexError(Reason.MALFORMED) from error
    sequences = [batch.sequence for batch in index.batches]
    ascending = all(earlier < later for earlier, later in zip([0, *sequences], sequences, strict=False))
    if not ascending or max(sequences, default=0) > index.sequence or index.expires <= index.issued:
        raise KeyIndexError(Reason.MALFORMED)
    if not body.isascii() or len({batch.name for batch in index.batches}) != len(sequences):
        raise KeyIndexError(Reason.MALFORMED)
    return index
