"""The Merkle tree of an append-only log, in the shape of RFC 9162 section 2.1 (and RFC 6962 before it).

Hashes are 32 bytes, SHA-256. A leaf is given by its hash; what leaves mean is transparency_log's matter.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HASH_SIZE = 32

EMPTY_ROOT = hashlib.sha256(b"").digest()
"""Of a tree without leaves."""


def leaf_hash(content: bytes) -> bytes:
    """Of what a leaf holds. The prefix keeps a node from passing for a leaf."""
    return hashlib.sha256(b"\0" + content).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


@dataclass(frozen=True, slots=True)
class Frontier:
    """All that has to be kept of a tree to append to it and to know its root: at most one hash for each bit of its
    size. Whoever keeps one notices any later change of the leaves before."""

    size: int = 0
    """Leaves."""
    peaks: tuple[bytes, ...] = ()
    """Roots of the complete subtrees, largest first: one for each bit that is set in `size`."""

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise ValueError("a frontier has one hash for each bit of its size")

    def extended(self, leaves: Iterable[bytes]) -> Frontier:
        """After appending leaves, given by their hashes."""
        size, peaks = self.size, list(self.peaks)
        for leaf in leaves:
            complete, size = size, size + 1
            while complete & 1:
                leaf = _node_hash(peaks.pop(), leaf)
                complete >>= 1
            peaks.append(leaf)
        return Frontier(size, tuple(peaks))

    def root(self) -> bytes:
        """The tree's root."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = _node_hash(peak, root)
        return root


def root(leaves: Sequence[bytes]) -> bytes:
    """Of a tree with these leaf hashes."""
    return Frontier().extended(leaves).root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes beside the way from leaf `index` to the root, lowest first (RFC 9162, 2.1.3.1)."""
    if len(leaves) == 1:
        return []
    split = _split(len(leaves))
    left, right = leaves[:split], leaves[split:]
    if index < split:
        return [*inclusion_proof(left, index), root(right)]
    return [*inclusion_proof(right, index - split), root(left)]


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> bool:
    """Whether `proof` shows that `leaf` stands at `index` of the tree with that size and root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for beside in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = _node_hash(beside, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = _node_hash(found, beside)
        at, last = at >> 1, last >> 1
    return last == 0 and found == expected


def consistency_proof(leaves: Sequence[bytes], earlier: int) -> list[bytes]:
    """That the tree of the first `earlier` leaves is the beginning of this one (RFC 9162, 2.1.4.1)."""
    return _subproof(leaves, earlier, True)


def _subproof(leaves: Sequence[bytes], earlier: int, is_known: bool) -> list[bytes]:
    if earlier == len(leaves):
        return [] if is_known else [root(leaves)]
    split = _split(len(leaves))
    left, right = leaves[:split], leaves[split:]
    if earlier <= split:
        return [*_subproof(left, earlier, is_known), root(right)]
    return [*_subproof(right, earlier - split, False), root(left)]


def is_consistent(earlier: int, earlier_root: bytes, size: int, later_root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether `proof` shows that the later tree begins with the earlier one, which has leaves (RFC 9162, 2.1.4.2)."""
    if earlier == size:
        return not proof and earlier_root == later_root
    if not 0 < earlier < size:
        return False
    path = list(proof)
    if earlier & (earlier - 1) == 0:
        path.insert(0, earlier_root)
    if not path:
        return False
    at, last = earlier - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = path[0]
    for beside in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            before, after = _node_hash(beside, before), _node_hash(beside, after)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            after = _node_hash(after, beside)
        at, last = at >> 1, last >> 1
    return last == 0 and before == earlier_root and after == later_root


def _split(size: int) -> int:
    """The largest power of two below `size`."""
    return 1 << (size - 1).bit_length() - 1
