"""A signed document of the authority: one line of signature, one line of canonical JSON, US-ASCII.

The first line is the base64 of a DER ECDSA P-256 signature over a tag and all that follows the line break. What a
document says is the matter of key_index and transparency_log.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from bluezoned.errors import AuthorityError

_LONGEST_SIGNATURE = 72
"""Bytes, DER; ECDSA P-256 never needs more."""

Content = TypeVar("Content")


class Reason(Enum):
    """Why a document is not believed."""

    WRONG_KEY = "its signature is not by the pinned authority, or it was changed"
    TOO_LARGE = "it is larger than allowed"
    MALFORMED = "it is not what it should be"


class DocumentError(AuthorityError):
    """A document that is not believed; nothing of it counts."""

    def __init__(self, what: str, reason: Reason) -> None:
        super().__init__(f"the authority's {what} is refused: {reason.value}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Form(Generic[Content]):
    """One kind of document."""

    what: str
    """Its name, for people."""
    tag: bytes
    """Signed in front, so that nothing else that the same key signs passes for it."""
    largest: int
    """Bytes."""
    kind: type[Content]
    is_sound: Callable[[Content], bool]
    """What the types alone cannot say."""

    def write(self, content: Content, signing_key: ec.EllipticCurvePrivateKey) -> bytes:
        """The signed bytes. DocumentError for what a reader would refuse."""
        body = msgspec.json.encode(content, order="sorted") + b"\n"
        signature = signing_key.sign(self.tag + body, ec.ECDSA(SHA256()))
        written = base64.b64encode(signature) + b"\n" + body
        self.peek(written)
        return written

    def read(self, data: bytes, public_key: ec.EllipticCurvePublicKey) -> Content:
        """The content, its signature verified before it is parsed. DocumentError says why not."""
        signature, body = self._split(data)
        try:
            public_key.verify(signature, self.tag + body, ec.ECDSA(SHA256()))
        except InvalidSignature as error:
            raise DocumentError(self.what, Reason.WRONG_KEY) from error
        return self._parse(body)

    def peek(self, data: bytes) -> Content:
        """The content without its signature checked, bounded all the same. DocumentError when it is none."""
        return self._parse(self._split(data)[1])

    def _split(self, data: bytes) -> tuple[bytes, bytes]:
        """The signature and what it is over."""
        if len(data) > self.largest:
            raise DocumentError(self.what, Reason.TOO_LARGE)
        line, newline, body = data.partition(b"\n")
        try:
            signature = base64.b64decode(line, validate=True)
        except binascii.Error as error:
            raise DocumentError(self.what, Reason.MALFORMED) from error
        # Only the one spelling of the signature counts: base64 has spare bits, and a file that can be changed without
        # being refused makes a reader ask what else can.
        if not newline or len(signature) > _LONGEST_SIGNATURE or base64.b64encode(signature) != line:
            raise DocumentError(self.what, Reason.MALFORMED)
        return signature, body

    def _parse(self, body: bytes) -> Content:
        try:
            content = msgspec.json.decode(body, type=self.kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise DocumentError(self.what, Reason.MALFORMED) from error
        if not body.isascii() or not self.is_sound(content):
            raise DocumentError(self.what, Reason.MALFORMED)
        return content
