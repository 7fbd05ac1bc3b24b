"""The trace of a run in plain Python: the Merkle root over every value that a program computed.

Invariant: for every program and input, `Trace` has the root, tiles and paths that the package's has. It shares no code
with it.
Source: docs/disputes.md.
What it does not do: it takes any bytes as a value, also ones that the program did not compute: so liars are made.
"""

from __future__ import annotations

from collections.abc import Sequence

from eth_utils.crypto import keccak

from spec import tensor as spec

TILE_BYTES = 256
TILE, NODE, VALUES = b"\x02", b"\x03", b"\x04"
PRODUCTS = (spec.MATMUL, spec.CONV2D, spec.MULTIPLY)


def levels(leaves: Sequence[bytes], tag: bytes) -> list[list[bytes]]:
    """Return all levels of a tree, the leaves first: four hashes are one, a lone last one goes up as it is."""
    found = [list(leaves)]
    while len(found[-1]) > 1:
        groups = [found[-1][at : at + 4] for at in range(0, len(found[-1]), 4)]
        found.append([keccak(tag + b"".join(group)) if len(group) > 1 else group[0] for group in groups])
    return found


def path(tree: Sequence[Sequence[bytes]], leaf: int) -> list[bytes]:
    """Return the siblings from a leaf to the root, level by level, in their order."""
    siblings = []
    for level in tree:
        first = leaf - leaf % 4
        siblings += [level[at] for at in range(first, min(first + 4, len(level))) if at != leaf]
        leaf //= 4
    return siblings


def hidden(program: spec.Program) -> list[bool]:
    """Return which values are not published: sums of products that only requantisations read."""
    found = [False]
    for value, node in enumerate(program.nodes, start=1):
        readers = [other.operator for other in program.nodes if value in other.operands]
        found.append(node.operator in PRODUCTS and bool(readers) and set(readers) == {spec.REQUANTISE})
    return found


def elements(ty: spec.TensorType, values: Sequence[int]) -> bytes:
    """Return elements as they lie in tiles: little-endian, row by row."""
    return b"".join(value.to_bytes(spec.ELEMENT_BYTES[ty.dtype], "little", signed=True) for value in values)


class Trace:
    """The hashes over the values of one run, given as the bytes of their elements."""

    def __init__(self, program: spec.Program, values: Sequence[bytes]) -> None:
        self.program = program
        self.values = list(values)
        self.trees = [
            None if unseen else levels([keccak(TILE + tile) for tile in self._tiles(data)], NODE)
            for data, unseen in zip(values, hidden(program), strict=True)
        ]
        self.roots = [bytes(32) if tree is None else tree[-1][0] for tree in self.trees]
        self.tree = levels(self.roots, VALUES)

    @classmethod
    def of_run(cls, program: spec.Program, values: Sequence[int]) -> Trace:
        """Run the program and commit to what it computes."""
        results = [list(values), *spec.trace(program, values)]
        return cls(program, [elements(ty, result) for ty, result in zip(program.types, results, strict=True)])

    @staticmethod
    def _tiles(data: bytes) -> list[bytes]:
        return [data[at : at + TILE_BYTES] for at in range(0, len(data), TILE_BYTES)]

    @property
    def root(self) -> bytes:
        """Root over the values' roots."""
        return self.tree[-1][0]

    @property
    def output(self) -> bytes:
        """The output as an encoded tensor."""
        ty = self.program.types[-1]
        return spec.encode_tensor(ty.dtype, ty.dims, []) + self.values[-1]

    def hashes(self, value: int, level: int) -> list[bytes]:
        """Return a level of a value's tree, from the tiles up."""
        tree = self.trees[value]
        return [] if tree is None or level >= len(tree) else tree[level]

    def tile(self, value: int, tile: int) -> bytes:
        """Return the bytes of a tile."""
        return self.values[value][tile * TILE_BYTES : (tile + 1) * TILE_BYTES]

    def tile_path(self, value: int, tile: int) -> list[bytes]:
        """Return the siblings from a tile to its value's root."""
        tree = self.trees[value]
        return [] if tree is None else path(tree, tile)

    def value_path(self, value: int) -> list[bytes]:
        """Return the siblings from a value's root to the trace's."""
        return path(self.tree, value)
