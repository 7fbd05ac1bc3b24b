"""Gains and biases of channels, such as a LayerNormalization has, become part of the products behind them.

Invariant: the graph that comes back computes the same function and has no `Affine`: its gain and bias are in the
weights of every `Dense` that it leads to, through means and movements that keep channels apart. Where it leads to
anything else too, it is a product of its own with a diagonal matrix.
What it does not do: it touches no other node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from interlace.errors import ProgramError
from interlace.models.float_graph import FloatGraph, consumers
from interlace.models.float_nodes import (
    Affine,
    AveragePool,
    Conv,
    Dense,
    FloatNode,
    Reshape,
    Scale,
    Slice,
    Transpose,
    operands,
    renumbered,
)
from interlace.models.tensor import MAX_ELEMENTS, FloatArray

Pending: TypeAlias = tuple[FloatArray, FloatArray]


def without_affines(graph: FloatGraph, shapes: Sequence[tuple[int, ...]]) -> FloatGraph:
    """Return the graph with every `Affine` folded; `shapes` are those of all values, without the batch."""
    free = _free(graph, shapes)
    nodes: list[FloatNode] = []
    number = {0: 0}
    pending: dict[int, Pending] = {}
    for value, node in enumerate(graph.nodes, start=1):
        waiting = next((pending[x] for x in operands(node) if x in pending), None)
        if isinstance(node, Affine) and value in free:
            gain, bias = waiting or (np.ones_like(node.gain), np.zeros_like(node.bias))
            pending[value] = gain * node.gain, bias * node.gain + node.bias
            number[value] = number[node.x]
            continue
        if isinstance(node, Affine):
            nodes += _diagonal(number[node.x], node, shapes[value])
        elif isinstance(node, Dense) and waiting is not None:
            gain, bias = waiting
            full = node.bias + bias @ node.weights
            nodes.append(Dense(number[node.x], gain[:, None] * node.weights, full))
        else:
            nodes.append(renumbered(node, number))
            if waiting is not None:
                factor = node.factor if isinstance(node, Scale) else 1.0
                pending[value] = waiting[0], waiting[1] * factor
        number[value] = len(nodes)
    return replace(graph, nodes=tuple(nodes))


def _free(graph: FloatGraph, shapes: Sequence[tuple[int, ...]]) -> set[int]:
    """Return the values whose gain and bias a `Dense` can take over on every way."""
    users = consumers(graph)
    free: set[int] = set()
    for value in range(len(graph.nodes) - 1, 0, -1):
        readers = [(index + 1, graph.nodes[index]) for index in users[value]]
        if all(isinstance(n, Dense) or (v in free and _keeps_channels(n, shapes)) for v, n in readers):
            free.add(value)
    return free


def _keeps_channels(node: FloatNode, shapes: Sequence[tuple[int, ...]]) -> bool:
    match node:
        case Affine() | AveragePool() | Scale():
            return True
        case Reshape():
            return shapes[node.x][-1] == node.shape[-1]
        case Transpose():
            return node.order[-1] == len(node.order) - 1
        case Slice():
            return node.axis < len(shapes[node.x]) - 1
        case _:
            return False


def _diagonal(x: int, node: Affine, shape: tuple[int, ...]) -> list[FloatNode]:
    """Return a product that multiplies each channel by its own number."""
    channels = len(node.gain)
    if channels**2 > MAX_ELEMENTS:
        raise ProgramError("model.too-large", f"a factor for each of {channels} channels by itself takes their square")
    matrix = np.diag(node.gain)
    if len(shape) == 3:
        return [Conv(x, matrix[None, None], node.bias, (1, 1), (0, 0, 0, 0))]
    if len(shape) < 3:
        return [Dense(x, matrix, node.bias)]
    raise ProgramError("model.unsupported-shape", f"a factor for each channel of a value of shape {shape}")
