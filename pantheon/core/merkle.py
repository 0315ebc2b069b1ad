"""The Merkle tree of an append-only log: roots, inclusion proofs and consistency proofs.

Invariants (property-tested against the recursive definition):
- a root depends on every leaf, its place and their number;
- appending costs amortised one hash; a root or a proof costs a logarithm of them.

Source: RFC 6962, section 2.1; verification of proofs as in RFC 9162, sections 2.1.3.2 and 2.1.4.2.
"""

import hashlib
from collections.abc import Iterable, Sequence

from pantheon.core.errors import VerificationError

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()
MAX_PROOF = 64
"""Hashes in any proof over fewer than 2^63 leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class MerkleTree:
    """A tree that grows leaf by leaf and remembers the hashes of all its complete subtrees.

    It takes 64 bytes a leaf.

    Args:
        leaves: data of the first leaves.
    """

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._rows: list[bytearray] = [bytearray()]
        """Row ``k`` holds the hash of every complete subtree over 2^k leaves, from the left."""
        for data in leaves:
            self.append(data)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._rows[0]) // HASH_BYTES

    def append(self, data: bytes) -> None:
        """Add a leaf."""
        place, row, found = self.size, 0, leaf_hash(data)
        self._rows[0] += found
        while place % 2:
            found = node_hash(self._at(row, place - 1), found)
            place, row = place // 2, row + 1
            if row == len(self._rows):
                self._rows.append(bytearray())
            self._rows[row] += found

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first ``size`` leaves, by default all.

        Raises:
            ValueError: the tree is smaller.
        """
        wanted = self._checked(size)
        return self._subtree(0, wanted) if wanted else EMPTY_ROOT

    def prove_inclusion(self, place: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the hashes that lead from the leaf at ``place`` to the root over ``size`` leaves.

        Raises:
            ValueError: there is no such leaf.
        """
        end = self._checked(size)
        if not 0 <= place < end:
            raise ValueError(f"no leaf {place} among {end}")
        begin, proof = 0, []
        while end - begin > 1:
            middle = begin + _split(end - begin)
            if place < middle:
                proof.append(self._subtree(middle, end))
                end = middle
            else:
                proof.append(self._subtree(begin, middle))
                begin = middle
        return tuple(reversed(proof))

    def prove_consistency(self, old: int, size: int | None = None) -> tuple[bytes, ...]:
        """Return the hashes that show that the first ``old`` of ``size`` leaves are those of an earlier tree.

        Raises:
            ValueError: ``old`` is larger than ``size``.
        """
        end = self._checked(size)
        if not 0 <= old <= end:
            raise ValueError(f"{old} leaves are no beginning of {end}")
        if old in (0, end):
            return ()
        begin, proof, whole = 0, [], True
        while old != end:
            middle = begin + _split(end - begin)
            if old <= middle:
                proof.append(self._subtree(middle, end))
                end = middle
            else:
                proof.append(self._subtree(begin, middle))
                begin, whole = middle, False
        if not whole:
            proof.append(self._subtree(begin, end))
        return tuple(reversed(proof))

    def _checked(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise ValueError(f"the tree has {self.size} leaves, not {size}")
        return size

    def _at(self, row: int, place: int) -> bytes:
        return bytes(self._rows[row][place * HASH_BYTES : (place + 1) * HASH_BYTES])

    def _subtree(self, begin: int, end: int) -> bytes:
        """Return the root over leaves ``begin`` to ``end``; ``begin`` lies where a subtree of that size begins."""
        parts = []
        while begin < end:
            row = (end - begin).bit_length() - 1
            parts.append(self._at(row, begin >> row))
            begin += 1 << row
        found = parts.pop()
        while parts:
            found = node_hash(parts.pop(), found)
        return found


def check_inclusion(data: bytes, place: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf is at its place in a tree.

    Raises:
        VerificationError: it is not, or the proof is malformed.
    """
    if not 0 <= place < size or len(proof) > MAX_PROOF:
        raise VerificationError(f"no proof can show leaf {place} of {size}")
    found, node, last = leaf_hash(data), place, size - 1
    for one in proof:
        if last == 0:
            raise VerificationError("the inclusion proof is too long")
        if node % 2 or node == last:
            found = node_hash(one, found)
            while node % 2 == 0 and node:
                node, last = node // 2, last // 2
        else:
            found = node_hash(found, one)
        node, last = node // 2, last // 2
    if last or found != root:
        raise VerificationError(f"the inclusion proof of leaf {place} does not lead to the root")


def check_consistency(old: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Check that a tree continues an earlier one.

    Raises:
        VerificationError: it does not, or the proof is malformed.
    """
    if not 0 <= old <= size or len(proof) > 2 * MAX_PROOF:
        raise VerificationError(f"no proof can show that {size} leaves continue {old}")
    if old == size or old == 0:
        if proof or (old == size and old_root != root) or (old == 0 and old_root != EMPTY_ROOT):
            raise VerificationError(f"the log of {size} records does not continue the one of {old}")
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise VerificationError("the consistency proof is empty")
    node, last = old - 1, size - 1
    while node % 2:
        node, last = node // 2, last // 2
    first = second = path[0]
    for one in path[1:]:
        if last == 0:
            raise VerificationError("the consistency proof is too long")
        if node % 2 or node == last:
            first, second = node_hash(one, first), node_hash(one, second)
            while node % 2 == 0 and node:
                node, last = node // 2, last // 2
        else:
            second = node_hash(second, one)
        node, last = node // 2, last // 2
    if last or first != old_root or second != root:
        raise VerificationError(f"the log of {size} records does not continue the one of {old}")


def _split(count: int) -> int:
    """Return the largest power of two below ``count``."""
    return 1 << ((count - 1).bit_length() - 1)
