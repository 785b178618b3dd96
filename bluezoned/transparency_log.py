"""The authority's transparency log: what it says of it, signed, and what a box makes of that.

Each leaf tells which batches a publishing run made and commits to the codes that were issued before it. A box keeps
the log's frontier; whoever changes or leaves out anything that it has seen can no longer show it a log that fits.
Specified in docs/protocols/transparency-log.md.
"""

from __future__ import annotations

import hashlib
import itertools
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

from msgspec import Meta

from bluezoned import key_rotation, merkle_tree
from bluezoned.errors import AuthorityError
from bluezoned.key_rotation import Rotation
from bluezoned.merkle_tree import HASH_SIZE, Frontier
from bluezoned.signed_document import Form

LARGEST = 4 << 20
"""Bytes. A leaf takes 48 and each of its batches 80: hourly batches of three protocols for 14 days are 100 KiB."""

TILE = 64
"""Leaf hashes in one archive file, 2 KiB: a box that was off for a year fetches some 150 of them once."""

TILE_SIZE = TILE * HASH_SIZE
"""Bytes of that file."""

SALT_SIZE = 32
FEWEST_COMMITMENTS = 16
"""Below which a leaf's codes are padded with random ones, so that a small ward's cases cannot be counted."""

_Hash = Annotated[bytes, Meta(min_length=HASH_SIZE, max_length=HASH_SIZE)]
_Authority = Annotated[str, Meta(pattern=r"^[ -~]{1,64}\Z")]
_Number = Annotated[int, Meta(ge=0, lt=1 << 47)]
_LEAF = struct.Struct(f">Q{HASH_SIZE}sH")
_BATCH = struct.Struct(f">Q{HASH_SIZE}s")


@dataclass(frozen=True, slots=True)
class LoggedBatch:
    """A batch as its leaf tells it."""

    sequence: _Number
    sha256: _Hash
    """Of export.bin, which is what was signed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one leaf holds."""

    leaf: _Number
    """Its number, from 0."""
    at: _Number
    """ms, of the publishing run."""
    codes: _Hash
    """Root of the commitments to the codes issued since the leaf before."""
    batches: Annotated[tuple[LoggedBatch, ...], Meta(max_length=1000)]

    def content(self) -> bytes:
        """The bytes that the leaf's hash is of."""
        told = b"".join(_BATCH.pack(batch.sequence, batch.sha256) for batch in self.batches)
        return _LEAF.pack(self.at, self.codes, len(self.batches)) + told


@dataclass(frozen=True, slots=True)
class TransparencyLog:
    """The log's end, as the authority signs it."""

    authority: _Authority
    at: _Number
    """ms, when it was signed."""
    size: _Number
    """Leaves."""
    root: _Hash
    first: _Number
    """Of `leaves`; a multiple of TILE. Those before stand in the archive."""
    peaks: Annotated[tuple[_Hash, ...], Meta(max_length=48)]
    """The frontier at `first`, for a box that never saw this log."""
    leaves: tuple[_Hash, ...]
    """Hashes of leaf `first` and all after."""
    entries: tuple[Entry, ...]
    """What those leaves hold whose batches are still listed; ascending."""
    rotations: Annotated[tuple[Rotation, ...], Meta(max_length=key_rotation.MOST)] = ()
    """As in the index: which signing key followed which, looked at before the signature."""

    def knows(self, sha256: bytes) -> bool:
        """Whether a batch with this digest is in it."""
        return any(batch.sha256 == sha256 for entry in self.entries for batch in entry.batches)


class Contradiction(Enum):
    """Why a signed log is not the continuation of the one that was seen."""

    FORK = "it contradicts what was signed before: somebody changed what had been published"
    TURNED_BACK = "it is older than one seen before: the server or a mirror is turned back"
    ARCHIVE = "its archive does not fit what was seen: a mirror spoilt it, or what had been published was changed"
    GAP = "it lacks what came since this box last saw it; its archive is fetched at the next visit"


class LogError(AuthorityError):
    """A signed log that does not continue the one that was seen; nothing of it counts."""

    def __init__(self, contradiction: Contradiction) -> None:
        super().__init__(f"the authority's log is refused: {contradiction.value}")
        self.contradiction = contradiction


def continued(log: TransparencyLog, seen: Frontier, archive: Sequence[bytes] = ()) -> Frontier:
    """The frontier after `log`, when that is an honest continuation of what was `seen`. LogError when it is none.

    archive: hashes of the leaves from `seen.size` on, as far as they are known from elsewhere; they prove themselves.
    """
    if log.size < seen.size:
        raise LogError(Contradiction.TURNED_BACK)
    if seen.size == 0:
        seen = Frontier(log.first, log.peaks)
    if seen.size < log.first:
        seen = seen.extended(archive[: log.first - seen.size])
    if seen.size < log.first:
        raise LogError(Contradiction.GAP)
    if seen.size == log.first and archive and seen.peaks != log.peaks:
        raise LogError(Contradiction.ARCHIVE)
    after = seen.extended(log.leaves[seen.size - log.first :])
    if after.root() != log.root:
        raise LogError(Contradiction.FORK)
    return after


def contradicts_itself(log: TransparencyLog) -> bool:
    """Whether its own leaves have another root than it says."""
    return Frontier(log.first, log.peaks).extended(log.leaves).root() != log.root


def contradict(earlier: TransparencyLog, later: TransparencyLog) -> bool:
    """Whether no tree has both as its past and present: who signed both has shown two histories. `later` is not the
    shorter one. AuthorityError when it no longer tells the leaves from the end of `earlier` on."""
    if contradicts_itself(later):
        return True
    if earlier.size < later.first:
        raise AuthorityError("the two logs are too far apart to be compared: the later one tells only the leaves from "
                             f"{later.first} on, and the earlier one ends with {earlier.size}")  # fmt: skip
    then = Frontier(later.first, later.peaks).extended(later.leaves[: earlier.size - later.first])
    return then.root() != earlier.root


def commitment(salt: bytes, code_digest: bytes) -> bytes:
    """To one issued code: 32 bytes that tell nothing until salt (32 bytes) and digest (32 bytes) are shown."""
    return hashlib.sha256(salt + code_digest).digest()


def codes_root(commitments: Sequence[bytes]) -> bytes:
    """Of one leaf; commitments: with the random ones that `padding_needed` asks for. Sorted, so that neither their
    order nor which ones are padding tells anything."""
    return merkle_tree.root([merkle_tree.leaf_hash(each) for each in sorted(commitments)])


def padding_needed(commitments: int) -> int:
    """How many random commitments fill a leaf's up to the next power of two, FEWEST_COMMITMENTS at least."""
    return max(FEWEST_COMMITMENTS, 1 << max(0, commitments - 1).bit_length()) - commitments


def tile_hashes(tile: bytes) -> list[bytes]:
    """What one archive file holds; an incomplete one holds nothing."""
    return [tile[at : at + HASH_SIZE] for at in range(0, TILE_SIZE, HASH_SIZE)] if len(tile) == TILE_SIZE else []


def first_leaf(oldest: int) -> int:
    """`TransparencyLog.first` when `oldest` is the first leaf whose entry is told."""
    return oldest - oldest % TILE


def _is_sound(log: TransparencyLog) -> bool:
    if log.first % TILE or log.first + len(log.leaves) != log.size or len(log.peaks) != log.first.bit_count():
        return False
    numbers = [entry.leaf for entry in log.entries]
    if any(earlier >= later for earlier, later in itertools.pairwise(numbers)):
        return False
    return all(
        log.first <= entry.leaf < log.size
        and log.leaves[entry.leaf - log.first] == merkle_tree.leaf_hash(entry.content())
        for entry in log.entries
    )


_FORM = Form("log", b"bluezoned log v1\n", LARGEST, TransparencyLog, _is_sound)

write, read, peek = _FORM.write, _FORM.read, _FORM.peek
