"""Functions of one element that ONNX models have, in float64, and how they are put together.

Invariant: `Element` describes what an operator computes from one element of one value, so several operators in a row
become one table of an integer program.
What it does not do: it approximates nothing; `erf` is that of the C library.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from interlace.models.float_nodes import Function
from interlace.models.tensor import FloatArray

MAX_STEPS: Final = 64
"""Operators that one function may be made of: two equal operands double it, and no model needs so many."""

_erf = np.frompyfunc(math.erf, 1, 1)


def erf(x: FloatArray) -> FloatArray:
    """Error function."""
    return np.asarray(_erf(x), dtype=np.float64)


def gelu(x: FloatArray) -> FloatArray:
    """`x` times the normal distribution function of `x`."""
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2.0)))


def gelu_tanh(x: FloatArray) -> FloatArray:
    """The approximation of `gelu` by a hyperbolic tangent, as ONNX defines it."""
    return np.asarray(0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3))))


def sigmoid(x: FloatArray) -> FloatArray:
    """Logistic function, written so that nothing overflows."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def tanh(x: FloatArray) -> FloatArray:
    """Hyperbolic tangent."""
    return np.tanh(x)


@dataclass(frozen=True, slots=True)
class Element:
    """A function of the elements of value `base`, made of `steps` operators; with none it is the element itself."""

    base: int
    function: Function
    steps: int

    def then(self, function: Function) -> Element:
        """Return `function` of this."""
        first = self.function
        return Element(self.base, lambda x: function(first(x)), self.steps + 1)

    def combined(self, other: Element, operation: Callable[[FloatArray, FloatArray], FloatArray]) -> Element:
        """Return `operation` of this and another function of the same value."""
        left, right = self.function, other.function
        return Element(self.base, lambda x: operation(left(x), right(x)), self.steps + other.steps + 1)
