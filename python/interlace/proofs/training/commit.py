"""Commitments: a tensor as a tree over its elements, a state as a hash of roots, a sequence as a ladder.

A leaf of a tensor has its number and four elements (int64, big-endian; zeros after the last). A **ladder** of values
v1..vn from an anchor c0 is ci = keccak256(ci-1 ‖ vi), and its root is the tree over (i, ci): two ladders that agree at
i agree at everything up to i, which is what makes bisection find the first difference.

Invariant: a leaf names its place, so an opening of another place is refused; every proof has the length of its place.
Source: `interlace.records.merkle` (pairs in ascending order, leaves hashed twice, array layout).
What it does not do: a tree that a liar built may hold one place twice. No rule of the referee relies on it not to: a
value that both sides stated is the honest side's, whatever else a liar could have opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from interlace import _core
from interlace.proofs.training.chance import Array
from interlace.records.merkle import MerkleTree, proof_holds, settlement_leaf

WORD: Final = 32
LANES: Final = 4
"""Elements of one leaf."""


def leaf_count(size: int) -> int:
    """Return how many leaves a tensor of `size` elements has."""
    return -(-size // LANES)


def leaf_hash(number: int, content: bytes) -> bytes:
    """Return the leaf of a place and 32 bytes of content."""
    return settlement_leaf(number.to_bytes(WORD, "big"), content)


def _leaves(content: bytes) -> bytes:
    """Return the leaves of places 0.. whose contents stand behind each other."""
    count = len(content) // WORD
    pairs = np.zeros((count, 2 * WORD), dtype=np.uint8)
    pairs[:, WORD - 8 : WORD] = np.arange(count, dtype=">u8").view(np.uint8).reshape(count, 8)
    pairs[:, WORD:] = np.frombuffer(content, dtype=np.uint8).reshape(count, WORD)
    return _core.settlement_leaves(pairs.tobytes())


class TensorTree:
    """The tree of a tensor of at least one element.

    Parameters
    ----------
    tensor
        ``int64``, any shape; elements count in C order.
    """

    __slots__ = ("_content", "tree")

    def __init__(self, tensor: Array) -> None:
        flat = np.zeros(LANES * leaf_count(tensor.size), dtype=">i8")
        flat[: tensor.size] = tensor.reshape(-1)
        self._content = flat.tobytes()
        self.tree = MerkleTree.of_packed(_leaves(self._content))

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return self.tree.root

    def content(self, leaf: int) -> bytes:
        """Return the four elements of a leaf, 32 bytes."""
        return self._content[WORD * leaf : WORD * (leaf + 1)]

    def opening(self, leaf: int) -> bytes:
        """Return content and siblings of a leaf."""
        return self.content(leaf) + b"".join(self.tree.proof(leaf))


def depth(leaf: int, leaves: int) -> int:
    """Return how many siblings lead from a leaf to the root of a tree with so many leaves."""
    return (2 * leaves - 1 - leaf).bit_length() - 1


def opened(data: bytes, leaf: int, leaves: int, root: bytes) -> bytes | None:
    """Return the 32 bytes of content that an opening shows, `None` if it is none of this leaf under this root."""
    if not 0 <= leaf < leaves or len(data) != WORD * (1 + depth(leaf, leaves)):
        return None
    content, proof = data[:WORD], split(data[WORD:])
    return content if proof_holds(leaf_hash(leaf, content), proof, root) else None


def split(data: bytes) -> list[bytes]:
    """Return the words of 32 bytes that stand behind each other."""
    return [data[at : at + WORD] for at in range(0, len(data), WORD)]


def lanes(content: bytes) -> list[int]:
    """Return the four elements of a leaf's content."""
    return [int.from_bytes(content[at : at + 8], "big", signed=True) for at in range(0, WORD, 8)]


def state_hash(recipe_hash: bytes, step: int, roots: Sequence[bytes]) -> bytes:
    """Return the hash of a state: its tensors' roots, in the order of `steps.state_names`, before step `step`."""
    return _core.keccak256(b"interlace.training.state" + recipe_hash + step.to_bytes(8, "big") + b"".join(roots))


def link(before: bytes, value: bytes) -> bytes:
    """Return the next rung of a ladder."""
    return _core.keccak256(before + value)


class Ladder:
    """Values (32 bytes each, at least one) linked from an anchor, and the tree over the links.

    Rung ``i`` (1 to n) has value ``values[i - 1]``.
    """

    __slots__ = ("links", "tree", "values")

    def __init__(self, anchor: bytes, values: Sequence[bytes]) -> None:
        self.values = tuple(values)
        self.links = [anchor]
        for value in self.values:
            self.links.append(link(self.links[-1], value))
        self.tree = MerkleTree.of_packed(_leaves(b"".join(self.links[1:])))

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return self.tree.root

    def opening(self, rung: int) -> bytes:
        """Return the link before, the value and the siblings of rung `rung`."""
        return self.links[rung - 1] + self.values[rung - 1] + b"".join(self.tree.proof(rung - 1))


def rung_opened(data: bytes, rung: int, rungs: int, root: bytes) -> tuple[bytes, bytes] | None:
    """Return (link before, value) that an opening of a rung shows, `None` if it is none."""
    if len(data) < 2 * WORD:
        return None
    before, value = data[:WORD], data[WORD : 2 * WORD]
    held = opened(link(before, value) + data[2 * WORD :], rung - 1, rungs, root)
    return None if held is None else (before, value)
