"""Merkle trees as in RFC 9162: roots of growing trees, inclusion proofs, consistency proofs.

Leaves come in as hashes already (`record.leaf_hash`, prefix 0x00); nodes have prefix 0x01, so no record can
pass for a node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that only grows: its size and the roots of its full subtrees, largest first.

    Enough to compute the root and to go on, with at most one hash a bit of the size.
    """

    __slots__ = ("peaks", "size")

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size < 0 or size.bit_count() != len(peaks):
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} full subtrees (got {len(peaks)})")
        self.size = size
        self.peaks = list(peaks)

    def add(self, leaf: bytes) -> None:
        # As in a binary counter: every trailing one bit of the size is a subtree that is full now.
        carried, size = leaf, self.size
        while size & 1:
            carried = node_hash(self.peaks.pop(), carried)
            size >>= 1
        self.peaks.append(carried)
        self.size += 1

    def root(self) -> bytes:
        if not self.peaks:
            return hashlib.sha256(b"").digest()
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def copy(self) -> Frontier:
        return Frontier(self.size, self.peaks)


def root(leaves: Sequence[bytes]) -> bytes:
    frontier = Frontier()
    for leaf in leaves:
        frontier.add(leaf)
    return frontier.root()


def _split(size: int) -> int:
    """The largest power of two below `size`: how many leaves go left (RFC 9162, 2.1.1)."""
    return 1 << ((size - 1).bit_length() - 1)


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root, lowest first (RFC 9162, 2.1.3.1)."""
    if not 0 <= index < len(leaves):
        raise ValueError(f"index must be from 0 to {len(leaves) - 1} (got {index})")
    if len(leaves) == 1:
        return []
    k = _split(len(leaves))
    if index < k:
        return [*inclusion_proof(leaves[:k], index), root(leaves[k:])]
    return [*inclusion_proof(leaves[k:], index - k), root(leaves[:k])]


def root_from_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a proof leads to (RFC 9162, 2.1.3.2); ValueError when the proof has the wrong length."""
    if not 0 <= index < size:
        raise ValueError(f"index must be from 0 to {size - 1} (got {index})")
    position, last, reached = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ValueError("the proof is too long")
        if position & 1 or position == last:
            reached = node_hash(sibling, reached)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            reached = node_hash(reached, sibling)
        position, last = position >> 1, last >> 1
    if last != 0:
        raise ValueError("the proof is too short")
    return reached


def consistency_proof(leaves: Sequence[bytes], first_size: int) -> list[bytes]:
    """Shows that the tree of `first_size` leaves is a beginning of this one (RFC 9162, 2.1.4.1)."""
    if not 0 < first_size <= len(leaves):
        raise ValueError(f"first_size must be from 1 to {len(leaves)} (got {first_size})")
    return _subproof(leaves, first_size, whole=True)


def _subproof(leaves: Sequence[bytes], first_size: int, *, whole: bool) -> list[bytes]:
    if first_size == len(leaves):
        return [] if whole else [root(leaves)]
    k = _split(len(leaves))
    if first_size <= k:
        return [*_subproof(leaves[:k], first_size, whole=whole), root(leaves[k:])]
    return [*_subproof(leaves[k:], first_size - k, whole=False), root(leaves[:k])]


def is_consistent(
    first_size: int, first_root: bytes, second_size: int, second_root: bytes, proof: Sequence[bytes]
) -> bool:
    """Verifies a consistency proof (RFC 9162, 2.1.4.2)."""
    if not 0 < first_size <= second_size:
        return False
    if first_size == second_size:
        return not proof and first_root == second_root
    path = list(proof)
    if first_size.bit_count() == 1:
        path.insert(0, first_root)
    if not path:
        return False
    position, last = first_size - 1, second_size - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    first = second = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            first, second = node_hash(sibling, first), node_hash(sibling, second)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            second = node_hash(second, sibling)
        position, last = position >> 1, last >> 1
    return last == 0 and first == first_root and second == second_root
