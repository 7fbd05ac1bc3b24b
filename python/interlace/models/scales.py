"""Scales of values and weights, and rescaling by a 31-bit multiplier and a shift.

Invariant: the weights of a product pass the core's overflow proof by construction: where Σ|w|·128 + |bias| of a channel
would pass 2^31 - 1, that channel's weights are narrowed until it does not.
What it does not do: it knows no graph, see `lower`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from interlace.errors import ProgramError
from interlace.models.float_nodes import Conv, Dense
from interlace.models.tensor import FloatArray

ACCUMULATOR_MAX: Final = 2**31 - 1
_LEAST_SCALE: Final = 1e-30


def scale_of(largest: float) -> float:
    """Return the real value of one integer step; a value that is always zero gets an arbitrary one."""
    return largest / 127 if largest > _LEAST_SCALE else 1.0


@dataclass(frozen=True, slots=True)
class IntegerWeights:
    """i8 weights, i32 bias, the scale of each channel's accumulator, how many channels had to be narrowed."""

    weights: npt.NDArray[np.int8]
    bias: npt.NDArray[np.int32]
    scales: FloatArray
    narrowed: int

    @property
    def bound(self) -> int:
        """What no accumulator passes, as the core proves it."""
        matrix = self.weights.reshape(-1, len(self.bias)).astype(np.int64)
        return int((np.abs(matrix).sum(axis=0) * 128 + np.abs(self.bias.astype(np.int64))).max())


def quantise_weights(node: Dense | Conv, x_scale: float, *, per_channel: bool) -> IntegerWeights:
    """Return the weights and bias of a product with a value of scale `x_scale` as integers."""
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
        over = np.abs(integers).sum(axis=0) * 128 + np.abs(bias) > ACCUMULATOR_MAX
        if not over.any():
            break
        over = over if per_channel else np.full_like(over, fill_value=True)
        scales, narrowed = np.where(over, scales * 2, scales), narrowed | over
    else:
        raise ProgramError("model.range", "a layer's bias is too large for its inputs and weights to be integers")
    weights = integers.astype(np.int8).reshape(node.weights.shape)
    return IntegerWeights(weights, bias.astype(np.int32), scales * x_scale, int(narrowed.sum()))


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
