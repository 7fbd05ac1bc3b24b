"""From a float graph and calibration data to an integer program.

A real number r stands as the integer q = r / scale, zero point 0. Weights have one scale per output channel (one for
all in the last layer, so that its i32 results compare), values have the scale at which the largest calibrated magnitude
that matters is 127 (see `ranges`). A product's i32 result returns to i8 by ``(acc * mult + 2^(shift-1)) >> shift`` with
mult / 2^shift = scale of x times scale of w over scale of y. A ReLU after a product or a sum is the lower bound 0 of
that step. A factor costs nothing: it is in the scale. A softmax has shares of 1/127, a normalised row steps of 1/4096.

Invariant: the program has the graph's operators in the graph's order; it passes the core's overflow proof, because
weights are narrowed where they must be (see `scales`).
What it does not do: it does not train; ranges outside the calibration data saturate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from interlace.errors import ProgramError
from interlace.models.builder import GraphBuilder
from interlace.models.float_graph import FloatGraph, consumers
from interlace.models.float_nodes import (
    Add,
    Affine,
    AveragePool,
    Constant,
    Conv,
    Dense,
    Lookup,
    MaxPool,
    Moving,
    Multiply,
    Normalise,
    Relu,
    Reshape,
    Scale,
    Slice,
    Softmax,
    Transpose,
)
from interlace.models.fold import without_affines
from interlace.models.movements import Movements
from interlace.models.program import Program
from interlace.models.ranges import measure
from interlace.models.scales import ACCUMULATOR_MAX, fixed_point, quantise_weights, scale_of
from interlace.models.tensor import FloatArray

_SCALES: Final = (1e-60, 1e60)
"""Between these, quotients of scales are numbers."""
_SHARES: Final = 127
_NORMALISED: Final = 4_096
_LARGEST_WEIGHT: Final = 2**16 - 1


@dataclass(frozen=True, slots=True)
class Lowered:
    """The program, the scales at its ends, and how many channels had to be narrowed."""

    program: Program
    input_scale: float
    output_scale: float
    narrowed_channels: int


@dataclass(slots=True)
class _State:
    """What is known of each float value on the way: its integer value, its scale."""

    graph: FloatGraph
    ranges: list[float]
    shapes: list[tuple[int, ...]]
    builder: GraphBuilder
    moves: Movements
    consumers: list[list[int]]
    value: dict[int, int] = field(default_factory=dict)
    scale: dict[int, float] = field(default_factory=dict)
    narrowed: int = 0

    def finish(self, value: int, number: int, scale: float) -> None:
        """Say which integer value stands for a float value, and its scale."""
        if not _SCALES[0] < scale < _SCALES[1]:
            raise ProgramError("model.range", f"the values that one operator computes are in steps of {scale:.3g}")
        self.value[value], self.scale[value] = number, scale
        self.moves.shapes[number] = self.shapes[value]


def lower(graph: FloatGraph, calibration: FloatArray) -> Lowered:
    """Return the integer program of `graph` with ranges measured on `calibration` ``[n, *input_shape]``."""
    if any(isinstance(node, Affine) for node in graph.nodes):
        graph = without_affines(graph, measure(graph, calibration[:1]).shapes)
    measured = measure(graph, calibration)
    builder = GraphBuilder(graph.input_shape)
    moves = Movements(builder, graph.input_shape)
    state = _State(graph, measured.largest, measured.shapes, builder, moves, consumers(graph))
    state.finish(0, 0, scale_of(measured.largest[0]))
    for index in range(len(graph.nodes)):
        if index + 1 not in state.value:
            _lower_node(state, index)
    last = len(graph.nodes)
    if state.value[last] == 0:
        raise ProgramError("model.unsupported-shape", "the output is the input, up to a factor")
    program = builder.build(state.value[last])
    return Lowered(program, state.scale[0], state.scale[last], state.narrowed)


def _lower_node(state: _State, index: int) -> None:
    node = state.graph.nodes[index]
    match node:
        case Dense() | Conv():
            _lower_layer(state, index, node)
        case Multiply():
            _lower_multiply(state, index, node)
        case Add():
            _lower_add(state, index, node)
        case Constant():
            _lower_constant(state, index, node)
        case Normalise():
            number = state.builder.normalise(state.value[node.x])
            _rescale(state, index + 1, number, np.array([1 / _NORMALISED]))
        case Softmax():
            _lower_softmax(state, index, node)
        case Lookup():
            _lower_lookup(state, index, node)
        case Scale():
            state.finish(index + 1, state.value[node.x], state.scale[node.x] * node.factor)
        case Affine():
            raise AssertionError("without_affines leaves none")
        case _:
            state.finish(index + 1, _kept(state, node), state.scale[node.x])


def _kept(state: _State, node: Moving | Relu | MaxPool | AveragePool) -> int:
    """Return the value of a node whose result has its operand's scale."""
    x, builder = state.value[node.x], state.builder
    match node:
        case Relu():
            return builder.relu(x)
        case MaxPool():
            return builder.max_pool(x, node.window, node.stride, node.pads)
        case AveragePool():
            return builder.average_pool(x, node.window, node.stride)
        case Reshape():
            return state.moves.reshape(x, node.shape)
        case Transpose():
            return state.moves.transpose(x, node.order)
        case Slice():
            return state.moves.slice(x, node.axis, node.start, node.length)


def _absorb_relu(state: _State, value: int) -> tuple[int, int]:
    """Return the float value that a rescaling to `value` produces, and its lower bound."""
    users = state.consumers[value]
    if len(users) == 1 and isinstance(state.graph.nodes[users[0]], Relu):
        return users[0] + 1, 0
    return value, -128


def _is_last(state: _State, value: int) -> bool:
    """Whether a value reaches the output without arithmetic: its i32 is then the answer."""
    while users := state.consumers[value]:
        if len(users) > 1 or not isinstance(state.graph.nodes[users[0]], Moving | Scale):
            return False
        value = users[0] + 1
    return True


def _rescale(state: _State, value: int, number: int, scales: FloatArray) -> None:
    """Bring an i32 value with these scales of its channels to i8, unless it is the answer."""
    if _is_last(state, value):
        state.finish(value, number, float(scales[0]))
        return
    after, lo = _absorb_relu(state, value)
    scale = scale_of(state.ranges[after])
    multipliers, shift = fixed_point(scales / scale)
    requantised = state.builder.requantise(number, multipliers, shift, lo=lo)
    state.finish(value, requantised, scale)
    state.finish(after, requantised, scale)


def _lower_layer(state: _State, index: int, node: Dense | Conv) -> None:
    end, _ = _constant_after(state, index)
    integers = quantise_weights(node, state.scale[node.x], per_channel=not _is_last(state, end))
    state.narrowed += integers.narrowed
    x, builder = state.value[node.x], state.builder
    if isinstance(node, Conv):
        product = builder.conv2d(x, integers.weights, integers.bias, node.stride, node.pads)
    else:
        product = builder.matmul(x, integers.weights, integers.bias)
    _add_constant(state, index, product, integers.scales, integers.bound)


def _lower_multiply(state: _State, index: int, node: Multiply) -> None:
    product = state.builder.multiply(state.value[node.x], state.value[node.other], transposed=node.transposed)
    scales = np.array([state.scale[node.x] * state.scale[node.other] * node.factor])
    _add_constant(state, index, product, scales, 2**14 * state.shapes[node.x][-1])


def _constant_after(state: _State, index: int) -> tuple[int, FloatArray | None]:
    """Return a constant that is added to the result of a product and nothing else is done with, and the sum's value."""
    users = state.consumers[index + 1]
    if len(users) == 1 and isinstance(add := state.graph.nodes[users[0]], Add):
        other = add.other if add.x == index + 1 else add.x
        constant = state.graph.nodes[other - 1]
        if other > 0 and isinstance(constant, Constant):
            return users[0] + 1, constant.values
    return index + 1, None


def _add_constant(state: _State, index: int, product: int, scales: FloatArray, bound: int) -> None:
    """Add the constant that follows a product to its i32 result, where nothing is lost, if both fit."""
    end, constant = _constant_after(state, index)
    if constant is not None:
        integers = np.rint(constant / scales)
        if np.abs(integers).max() + bound <= ACCUMULATOR_MAX:
            shifted = state.moves.constant(integers.astype(np.int64))
            _rescale(state, end, state.builder.add_i32(product, shifted), scales)
            return
    _rescale(state, index + 1, product, scales)


def _lower_constant(state: _State, index: int, node: Constant) -> None:
    scale = scale_of(state.ranges[index + 1])
    (one,), shift = fixed_point(np.ones(1))
    number = state.moves.constant(np.rint(node.values / scale).astype(np.int64))
    state.finish(index + 1, state.builder.requantise(number, int(one), shift), scale)


def _lower_softmax(state: _State, index: int, node: Softmax) -> None:
    steps = np.arange(256) * state.scale[node.x]
    weights = np.rint(_LARGEST_WEIGHT * np.exp(-steps)).astype(np.int64)
    shares = state.builder.softmax(state.value[node.x], weights, causal=node.causal)
    state.finish(index + 1, shares, 1 / _SHARES)


def _lower_lookup(state: _State, index: int, node: Lookup) -> None:
    scale = scale_of(state.ranges[index + 1])
    with np.errstate(over="ignore", invalid="ignore"):
        results = node.function(np.arange(-128.0, 128.0) * state.scale[node.x]) / scale
    if np.isnan(results).any():
        raise ProgramError("model.not-finite", "a function has no value at an argument within the range of its operand")
    entries = np.rint(np.clip(results, -128, 127)).astype(np.int64)
    state.finish(index + 1, state.builder.table(state.value[node.x], entries), scale)


def _lower_add(state: _State, index: int, node: Add) -> None:
    value, lo = _absorb_relu(state, index + 1)
    scale = scale_of(state.ranges[value])
    ratios = np.array([state.scale[node.x], state.scale[node.other]]) / scale
    (left, right), shift = fixed_point(ratios)
    total = state.builder.add_i8(state.value[node.x], state.value[node.other], (int(left), int(right)), shift, lo=lo)
    state.finish(index + 1, total, scale)
    state.finish(value, total, scale)
