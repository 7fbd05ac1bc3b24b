"""From a float graph and calibration data to an integer program.

A real number r stands as the integer q = r / scale, zero point 0. Weights have one scale per output channel (one for
all in the last layer, so that its i32 results compare), values have the scale at which the largest calibrated magnitude
is 127. A product's i32 result returns to i8 by ``(acc * mult + 2^(shift-1)) >> shift`` with mult / 2^shift = scale of x
times scale of w over scale of y. A ReLU after a product or a sum is the lower bound 0 of that step.

Invariant: the program passes the core's overflow proof by construction: where Σ|w|·128 + |bias| of a channel would
pass 2^31 - 1, that channel's weights are narrowed until it does not.
What it does not do: it does not train; ranges outside the calibration data saturate.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from interlace.errors import ProgramError
from interlace.models.builder import GraphBuilder
from interlace.models.float_graph import (
    Add,
    AveragePool,
    Conv,
    Dense,
    FloatGraph,
    MaxPool,
    Relu,
    Reshape,
    operands,
)
from interlace.models.program import Program
from interlace.models.tensor import FloatArray

_ACCUMULATOR_MAX = 2**31 - 1
_LEAST_SCALE = 1e-30


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
    builder: GraphBuilder
    consumers: list[list[int]]
    value: dict[int, int] = field(default_factory=dict)
    scale: dict[int, float] = field(default_factory=dict)
    narrowed: int = 0


def lower(graph: FloatGraph, calibration: FloatArray) -> Lowered:
    """Return the integer program of `graph` with ranges measured on `calibration` ``[n, *input_shape]``."""
    ranges = _ranges(graph, calibration)
    consumers: list[list[int]] = [[] for _ in range(len(graph.nodes) + 1)]
    for index, node in enumerate(graph.nodes):
        for value in operands(node):
            consumers[value].append(index)
    state = _State(graph, ranges, GraphBuilder(graph.input_shape), consumers)
    state.value[0], state.scale[0] = 0, _scale(ranges[0])
    for index in range(len(graph.nodes)):
        if index + 1 not in state.value:
            _lower_node(state, index)
    last = len(graph.nodes)
    program = state.builder.build(state.value[last])
    return Lowered(program, state.scale[0], state.scale[last], state.narrowed)


def _ranges(graph: FloatGraph, calibration: FloatArray) -> list[float]:
    """Largest magnitude of every value over the calibration data."""
    ranges = np.zeros(len(graph.nodes) + 1)
    for piece in graph.pieces(calibration):
        values = graph.evaluate(piece)
        ranges = np.maximum(ranges, [np.abs(value).max() for value in values])
    if not np.isfinite(ranges).all():
        raise ProgramError("model.not-finite", "the model's values on the calibration data are not finite")
    return [float(value) for value in ranges]


def _scale(largest: float) -> float:
    """Real value of one integer step; a value that is always zero gets an arbitrary one."""
    return largest / 127 if largest > _LEAST_SCALE else 1.0


def _lower_node(state: _State, index: int) -> None:
    node, builder = state.graph.nodes[index], state.builder
    x, scale = state.value[node.x], state.scale[node.x]
    match node:
        case Dense() | Conv():
            _lower_product(state, index, node)
        case Add():
            _lower_add(state, index, node)
        case Relu():
            _finish(state, index + 1, builder.relu(x), scale)
        case MaxPool():
            _finish(state, index + 1, builder.max_pool(x, node.window, node.stride, node.pads), scale)
        case AveragePool():
            _finish(state, index + 1, builder.average_pool(x, node.window, node.stride), scale)
        case Reshape():
            _finish(state, index + 1, builder.reshape(x, node.shape), scale)


def _finish(state: _State, value: int, number: int, scale: float) -> None:
    state.value[value], state.scale[value] = number, scale


def _absorb_relu(state: _State, index: int) -> tuple[int, int]:
    """Return the float value that a rescaling after node `index` produces, and its lower bound."""
    users = state.consumers[index + 1]
    if len(users) == 1 and isinstance(state.graph.nodes[users[0]], Relu):
        return users[0] + 1, 0
    return index + 1, -128


def _is_last(state: _State, index: int) -> bool:
    """Whether the result of node `index` reaches the output without arithmetic: its i32 is then the answer."""
    value = index + 1
    while users := state.consumers[value]:
        if len(users) > 1 or not isinstance(state.graph.nodes[users[0]], Reshape):
            return False
        value = users[0] + 1
    return True


def _lower_product(state: _State, index: int, node: Dense | Conv) -> None:
    last = _is_last(state, index)
    weights, bias, scales = _quantise_weights(state, node, per_channel=not last)
    x, builder = state.value[node.x], state.builder
    if isinstance(node, Conv):
        product = builder.conv2d(x, weights, bias, node.stride, node.pads)
    else:
        product = builder.matmul(x, weights, bias)
    if last:
        _finish(state, index + 1, product, float(scales[0]))
        return
    value, lo = _absorb_relu(state, index)
    scale = _scale(state.ranges[value])
    multipliers, shift = fixed_point(scales / scale)
    requantised = builder.requantise(product, multipliers, shift, lo=lo)
    _finish(state, index + 1, requantised, scale)
    _finish(state, value, requantised, scale)


def _quantise_weights(
    state: _State, node: Dense | Conv, *, per_channel: bool
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int32], FloatArray]:
    """Return i8 weights, i32 bias and the scale of each channel's accumulator."""
    x_scale = state.scale[node.x]
    matrix = node.weights.reshape(-1, node.weights.shape[-1])
    largest = np.abs(matrix).max(axis=0)
    if not per_channel:
        largest = np.full_like(largest, largest.max())
    scales = np.where(largest > _LEAST_SCALE, largest / 127, 1.0)
    narrowed = np.zeros(len(scales), dtype=bool)
    # Doubling a channel's scale halves its integers; 64 doublings bring any finite channel to zero.
    for _ in range(65):
        integers = np.rint(matrix / scales)
        bias = np.rint(node.bias / (scales * x_scale))
        over = np.abs(integers).sum(axis=0) * 128 + np.abs(bias) > _ACCUMULATOR_MAX
        if not over.any():
            break
        over = over if per_channel else np.full_like(over, fill_value=True)
        scales, narrowed = np.where(over, scales * 2, scales), narrowed | over
    else:
        raise ProgramError("model.range", "a layer's bias is too large for its inputs and weights to be integers")
    state.narrowed += int(narrowed.sum())
    return integers.astype(np.int8).reshape(node.weights.shape), bias.astype(np.int32), scales * x_scale


def _lower_add(state: _State, index: int, node: Add) -> None:
    value, lo = _absorb_relu(state, index)
    scale = _scale(state.ranges[value])
    ratios = np.array([state.scale[node.x], state.scale[node.other]]) / scale
    (left, right), shift = fixed_point(ratios)
    total = state.builder.add_i8(state.value[node.x], state.value[node.other], (int(left), int(right)), shift, lo=lo)
    _finish(state, index + 1, total, scale)
    _finish(state, value, total, scale)


def fixed_point(ratios: FloatArray) -> tuple[npt.NDArray[np.int64], int]:
    """Return integers m in 1..2^31-1 and one shift s in 1..=62 with m / 2^s as near to `ratios` as 31 bits allow.

    The largest ratio gets all 31 bits; one that is more than 2^30 times smaller becomes the least multiplier, 1.
    """
    exponent = int(np.frexp(ratios.max())[1])
    shift = 31 - exponent
    if shift < 1:
        raise ProgramError("model.range", f"a rescaling by {ratios.max():.3g} is too large for 31 bits")
    shift = min(shift, 62)
    scaled = np.rint(np.ldexp(ratios, shift))
    return np.clip(scaled, 1, 2**31 - 1).astype(np.int64), shift
