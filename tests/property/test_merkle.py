"""The Merkle tree against the recursive definition of RFC 6962, and its proofs against tampering."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pantheon.core.errors import VerificationError
from pantheon.core.merkle import MerkleTree, check_consistency, check_inclusion

LEAVES = st.lists(st.binary(max_size=8), max_size=40)


def naive_root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(m: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return [*naive_path(m, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(m - k, leaves[k:]), naive_root(leaves[:k])]


def naive_proof(m: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return [*naive_proof(m, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_proof(m - k, leaves[k:], False), naive_root(leaves[:k])]


@given(LEAVES)
def test_every_prefix_has_the_root_of_the_recursive_definition(leaves: list[bytes]) -> None:
    """Growing leaf by leaf comes to the defined root at every size."""
    tree = MerkleTree(leaves)
    assert tree.size == len(leaves)
    for size in range(len(leaves) + 1):
        assert tree.root(size) == naive_root(leaves[:size])


@given(LEAVES.filter(bool), st.data())
def test_inclusion_proofs_are_the_defined_ones_and_verify(leaves: list[bytes], data: st.DataObject) -> None:
    """The audit path is RFC 6962's, and it verifies for its own leaf and place alone."""
    tree = MerkleTree(leaves)
    size = data.draw(st.integers(1, len(leaves)))
    place = data.draw(st.integers(0, size - 1))
    proof = tree.prove_inclusion(place, size)
    assert list(proof) == naive_path(place, leaves[:size])
    check_inclusion(leaves[place], place, size, proof, tree.root(size))
    with pytest.raises(VerificationError):
        check_inclusion(leaves[place] + b"!", place, size, proof, tree.root(size))
    with pytest.raises(VerificationError):
        check_inclusion(leaves[place], place, size, (*proof, b"\0" * 32), tree.root(size))
    if proof:
        with pytest.raises(VerificationError):
            check_inclusion(leaves[place], place, size, proof[:-1], tree.root(size))


@given(LEAVES, st.data())
def test_consistency_proofs_are_the_defined_ones_and_verify(leaves: list[bytes], data: st.DataObject) -> None:
    """A log proves that it continues its own beginning, and no other."""
    tree = MerkleTree(leaves)
    size = data.draw(st.integers(0, len(leaves)))
    old = data.draw(st.integers(0, size))
    proof = tree.prove_consistency(old, size)
    if 0 < old < size:
        assert list(proof) == naive_proof(old, leaves[:size])
    check_consistency(old, tree.root(old), size, tree.root(size), proof)
    if old:
        with pytest.raises(VerificationError):
            check_consistency(old, b"\1" * 32, size, tree.root(size), proof)
    with pytest.raises(VerificationError):
        check_consistency(old, tree.root(old), size, b"\1" * 32, (*proof, b"\0" * 32))


@given(LEAVES.filter(lambda leaves: len(leaves) > 1), st.data())
def test_a_rewritten_past_cannot_be_proven(leaves: list[bytes], data: st.DataObject) -> None:
    """After an edit of any old leaf no proof of the new tree leads from the old root."""
    old = data.draw(st.integers(1, len(leaves) - 1))
    before = MerkleTree(leaves).root(old)
    edited = list(leaves)
    edited[data.draw(st.integers(0, old - 1))] += b"x"
    forged = MerkleTree(edited)
    with pytest.raises(VerificationError):
        check_consistency(old, before, forged.size, forged.root(), forged.prove_consistency(old))


def test_what_is_not_there_has_no_root_and_no_proof() -> None:
    """Sizes and places beyond the tree are refused."""
    tree = MerkleTree([b"a", b"b"])
    for wrong in (lambda: tree.root(3), lambda: tree.prove_inclusion(2), lambda: tree.prove_consistency(3)):
        with pytest.raises(ValueError):
            wrong()
    for place, size in ((-1, 2), (2, 2)):
        with pytest.raises(VerificationError):
            check_inclusion(b"a", place, size, (), tree.root())
    with pytest.raises(VerificationError):
        check_consistency(3, tree.root(), 2, tree.root(), ())
    with pytest.raises(VerificationError):
        check_consistency(1, b"x" * 32, 2, tree.root(), ())
