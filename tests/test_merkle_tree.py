"""The log's tree: the published roots, and proofs that hold for what is true and for nothing else."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bluezoned import merkle_tree
from bluezoned.merkle_tree import Frontier

VECTORS = json.loads((Path(__file__).parent / "vectors" / "merkle_tree.json").read_text())
PUBLISHED = [merkle_tree.leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"]]

sizes = st.integers(1, 70)


def leaves(count: int) -> list[bytes]:
    return [merkle_tree.leaf_hash(number.to_bytes(2)) for number in range(count)]


def spoilt(proof: list[bytes], which: int) -> list[bytes]:
    """The proof with one bit of one hash turned."""
    at = which % len(proof)
    return [*proof[:at], bytes([proof[at][0] ^ 1]) + proof[at][1:], *proof[at + 1 :]]


@pytest.mark.parametrize(("size", "root"), list(enumerate(VECTORS["roots"], 1)))
def test_roots_are_the_published_ones(size: int, root: str) -> None:
    assert merkle_tree.root(PUBLISHED[:size]).hex() == root


def test_the_empty_tree_has_the_root_of_the_specification() -> None:
    assert Frontier().root().hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(sizes, st.data())
def test_a_frontier_grown_in_steps_is_that_of_the_whole(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, size))

    grown = Frontier().extended(leaves(size)[:first]).extended(leaves(size)[first:])

    assert grown == Frontier().extended(leaves(size))


def test_a_frontier_of_the_wrong_number_of_hashes_is_refused() -> None:
    with pytest.raises(ValueError, match="one hash for each bit"):
        Frontier(5, (bytes(32),))


@given(sizes, st.data())
def test_each_leaf_is_shown_to_be_included_at_its_place_alone(size: int, data: st.DataObject) -> None:
    all_leaves, index = leaves(size), data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda at: at != index)) if size > 1 else index + 1
    root, proof = merkle_tree.root(all_leaves), merkle_tree.inclusion_proof(all_leaves, index)

    assert merkle_tree.is_included(all_leaves[index], index, size, proof, root)
    assert not merkle_tree.is_included(all_leaves[index], other, size, proof, root)
    assert not merkle_tree.is_included(leaves(size + 1)[-1], index, size, proof, root)
    assert not merkle_tree.is_included(all_leaves[index], index, size, [*proof, bytes(32)], root)
    if proof:
        assert not merkle_tree.is_included(all_leaves[index], index, size, spoilt(proof, other), root)
        assert not merkle_tree.is_included(all_leaves[index], index, size, proof[:-1], root)


@given(sizes, st.data())
def test_each_earlier_tree_is_shown_to_be_the_beginning_of_a_later_one(size: int, data: st.DataObject) -> None:
    all_leaves, earlier = leaves(size), data.draw(st.integers(1, size))
    before, after = merkle_tree.root(all_leaves[:earlier]), merkle_tree.root(all_leaves)
    proof = merkle_tree.consistency_proof(all_leaves, earlier)

    assert merkle_tree.is_consistent(earlier, before, size, after, proof)
    assert not merkle_tree.is_consistent(earlier, bytes(32), size, after, proof)
    assert not merkle_tree.is_consistent(earlier, before, size, bytes(32), proof)
    if proof:
        assert not merkle_tree.is_consistent(earlier, before, size, after, spoilt(proof, size))
        assert not merkle_tree.is_consistent(earlier, before, size, after, proof[:-1])


@given(sizes, st.data())
def test_a_fork_has_no_proof(size: int, data: st.DataObject) -> None:
    earlier = data.draw(st.integers(1, size))
    changed = data.draw(st.integers(0, earlier - 1))
    forked = leaves(size)
    forked[changed] = merkle_tree.leaf_hash(b"another")
    before = merkle_tree.root(leaves(size)[:earlier])

    proof = merkle_tree.consistency_proof(forked, earlier)

    assert not merkle_tree.is_consistent(earlier, before, size, merkle_tree.root(forked), proof)
