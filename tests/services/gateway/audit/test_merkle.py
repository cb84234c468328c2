"""Merkle trees and proofs as in RFC 9162, against the test vectors of Certificate Transparency."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.audit.merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    is_consistent,
    root,
    root_from_inclusion,
)
from services.gateway.audit.record import leaf_hash

# The leaves and roots that implementations of RFC 6962 and 9162 share.
VECTOR_LEAVES = [
    bytes.fromhex(text)
    for text in ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
]
VECTOR_ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

trees = st.lists(st.binary(max_size=4), min_size=1, max_size=40).map(lambda parts: [leaf_hash(part) for part in parts])


@pytest.mark.parametrize("size", range(1, 9))
def test_c_9_roots_are_those_of_the_test_vectors(size: int) -> None:
    leaves = [leaf_hash(leaf) for leaf in VECTOR_LEAVES[:size]]

    assert root(leaves).hex() == VECTOR_ROOTS[size - 1]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert Frontier().root() == hashlib.sha256(b"").digest()


def test_c_9_an_inclusion_proof_is_that_of_the_test_vectors() -> None:
    leaves = [leaf_hash(leaf) for leaf in VECTOR_LEAVES]

    assert [step.hex() for step in inclusion_proof(leaves, 0)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]


@given(trees, st.data())
def test_every_leaf_is_proved_to_be_included(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))

    assert root_from_inclusion(leaves[index], index, len(leaves), inclusion_proof(leaves, index)) == root(leaves)


@given(trees, st.data())
def test_another_leaf_is_not_proved_by_the_same_proof(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof(leaves, index)

    assert root_from_inclusion(leaf_hash(b"forged"), index, len(leaves), proof) != root(leaves)


@given(trees, st.data())
def test_a_proof_of_the_wrong_length_is_refused(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    proof = inclusion_proof(leaves, index)

    with pytest.raises(ValueError, match="too long"):
        root_from_inclusion(leaves[index], index, len(leaves), [*proof, bytes(32)])
    if proof:
        with pytest.raises(ValueError, match="too short"):
            root_from_inclusion(leaves[index], index, len(leaves), proof[:-1])


@given(trees, st.data())
def test_c_9_a_tree_that_only_grew_is_proved_consistent(leaves: list[bytes], data: st.DataObject) -> None:
    first = data.draw(st.integers(1, len(leaves)))
    proof = consistency_proof(leaves, first)

    assert is_consistent(first, root(leaves[:first]), len(leaves), root(leaves), proof)


@given(trees, st.data())
def test_a_tree_whose_past_was_changed_is_not_consistent(leaves: list[bytes], data: st.DataObject) -> None:
    first = data.draw(st.integers(1, len(leaves)))
    changed = data.draw(st.integers(0, first - 1))
    forged = [*leaves[:changed], leaf_hash(b"forged leaf"), *leaves[changed + 1 :]]

    assert not is_consistent(first, root(leaves[:first]), len(forged), root(forged), consistency_proof(forged, first))


@given(trees, st.data())
def test_a_frontier_goes_on_where_another_stopped(leaves: list[bytes], data: st.DataObject) -> None:
    middle = data.draw(st.integers(0, len(leaves)))
    first = Frontier()
    for leaf in leaves[:middle]:
        first.add(leaf)
    second = Frontier(first.size, first.peaks)
    for leaf in leaves[middle:]:
        second.add(leaf)

    assert second.root() == root(leaves)


def test_a_frontier_with_a_wrong_number_of_peaks_is_refused() -> None:
    with pytest.raises(ValueError, match="2 full subtrees"):
        Frontier(5, [bytes(32)])
