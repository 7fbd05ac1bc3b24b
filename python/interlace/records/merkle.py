"""The settlement tree: one root on chain for a batch of (voucher, receipt) pairs.

Invariant: `proof_holds(leaf, tree.proof(i), tree.root)` for every leaf i, by the rule of OpenZeppelin's MerkleProof
(keccak256 of the pair in ascending order); leaves are hashed twice, so no inner node is a leaf.
Source: OpenZeppelin merkle-tree (array layout: children of i at 2i+1 and 2i+2, leaf k at 2n-2-k).
What it does not do: it does not sort leaves; the batch's order is the leaves' order.
"""

from __future__ import annotations

from collections.abc import Sequence

from interlace import _core
from interlace.errors import RecordError
from interlace.records.codec import WORD, fixed


def settlement_leaf(voucher_digest: bytes, receipt_digest: bytes) -> bytes:
    """Return keccak256(keccak256(abi.encode(voucherDigest, receiptDigest)))."""
    pair = fixed(voucher_digest, WORD, "voucher digest") + fixed(receipt_digest, WORD, "receipt digest")
    return _core.settlement_leaves(pair)


class MerkleTree:
    """A tree over `leaves` (32 bytes each, at least one).

    Raises
    ------
    RecordError
        ``record.no-leaves``, ``record.length``.
    """

    __slots__ = ("_count", "_nodes")

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self._count = len(leaves)
        self._nodes = _core.merkle_tree(b"".join(fixed(leaf, WORD, "leaf") for leaf in leaves))

    @classmethod
    def of_packed(cls, leaves: bytes) -> MerkleTree:
        """Return the tree over leaves that stand behind each other; raises as the constructor does."""
        tree = cls.__new__(cls)
        tree._count = len(leaves) // WORD
        tree._nodes = _core.merkle_tree(leaves)
        return tree

    def node(self, index: int) -> bytes:
        """Return a node by its place in the array: children of ``i`` at ``2 i + 1`` and ``2 i + 2``, 0 is the root."""
        return self._nodes[WORD * index : WORD * (index + 1)]

    def __len__(self) -> int:
        """Return the number of leaves."""
        return self._count

    @property
    def root(self) -> bytes:
        """The root, 32 bytes."""
        return self.node(0)

    def proof(self, leaf_index: int) -> list[bytes]:
        """Return the siblings from leaf `leaf_index` up to the root.

        Raises
        ------
        RecordError
            ``record.range`` when there is no such leaf.
        """
        if not 0 <= leaf_index < self._count:
            raise RecordError("record.range", f"leaf {leaf_index} of a tree with {self._count} leaves")
        node, siblings = 2 * self._count - 2 - leaf_index, []
        while node > 0:
            siblings.append(self.node(node + 1 if node % 2 else node - 1))
            node = (node - 1) // 2
        return siblings


def proof_holds(leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Return whether `proof` leads from `leaf` to `root`."""
    node = leaf
    for sibling in proof:
        node = _core.keccak256(min(node, sibling) + max(node, sibling))
    return node == root
