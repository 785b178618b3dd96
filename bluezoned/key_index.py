"""The signed index of an authority's batches: what there is, oldest to newest, and until when that is believed.

A signed_document; specified in docs/protocols/key-index.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from bluezoned import key_rotation
from bluezoned.key_export import LARGEST_FILE
from bluezoned.key_rotation import Rotation
from bluezoned.signed_document import Form
from bluezoned.upload import SEALING_KEY_SIZE

LARGEST = 4 << 20
"""Bytes. A batch takes about 200, so this is 20,000 of them: hourly ones of three protocols for 14 days are 1,008."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}\.zip")
_Name = Annotated[str, Meta(pattern=f"^{_NAME.pattern}\\Z")]
_Authority = Annotated[str, Meta(pattern=r"^[ -~]{1,64}\Z")]
_Protocol = Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}\Z")]
_Instant = Annotated[int, Meta(ge=0, lt=1 << 47)]
"""ms; beyond any calendar, within any integer."""
_Sequence = Annotated[int, Meta(ge=0, lt=1 << 47)]


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
    rotations: Annotated[tuple[Rotation, ...], Meta(max_length=key_rotation.MOST)] = ()
    """Which signing key followed which, oldest first; looked at before the signature, see key_rotation.follow."""


def is_batch_name(name: str) -> bool:
    """Whether `name` can be a batch's file name; it never is a path."""
    return _NAME.fullmatch(name) is not None


def _is_sound(index: KeyIndex) -> bool:
    sequences = [batch.sequence for batch in index.batches]
    ascending = all(earlier < later for earlier, later in zip([0, *sequences], sequences, strict=False))
    is_complete = max(sequences, default=0) <= index.sequence and index.issued < index.expires
    return ascending and is_complete and len({batch.name for batch in index.batches}) == len(sequences)


_FORM = Form("index", b"bluezoned index v1\n", LARGEST, KeyIndex, _is_sound)

write, read, peek = _FORM.write, _FORM.read, _FORM.peek
"""Sync peeks, without the signature, for names, sizes and digests; the daemon reads."""
