"""Runs the ONNX files that circuits are written as on Python's integers, without any code of the package.

Invariant: exact at every size; a division gives either of the two quotients that ezkl 23.0.5 accepts, as the caller
chooses.
Source: the ONNX operator set 13; ezkl's division holds q to |v - q·d| < d.
What it does not do: it knows only the operators that the circuits have.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

Divide = Callable[[int, int], int]


def floor(v: int, d: int) -> int:
    return v // d


def ceiling(v: int, d: int) -> int:
    return -(-v // d)


def nearest(v: int, d: int) -> int:
    return (2 * v + d) // (2 * d)


def run(file: bytes, values: list[int], divide: Divide) -> list[int]:
    """Return the elements of the output."""
    graph = onnx.load_from_string(file).graph
    known: dict[str, Any] = {}
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        exact = [int(n) for n in array.ravel().tolist()]
        assert exact == array.ravel().tolist()
        known[tensor.name] = np.array(exact, dtype=object).reshape(array.shape)
    known[graph.input[0].name] = np.array(values, dtype=object)[None]
    for node in graph.node:
        known[node.output[0]] = apply(node.op_type, [known[name] for name in node.input], divide)
    return [int(n) for n in known[graph.output[0].name].ravel()]


def apply(operator: str, of: list[Any], divide: Divide) -> Any:
    match operator:
        case "MatMul":
            return of[0] @ of[1]
        case "Add":
            return of[0] + of[1]
        case "Sub":
            return of[0] - of[1]
        case "Mul":
            return of[0] * of[1]
        case "Div":
            (d,) = of[1].ravel()
            return np.vectorize(lambda v: divide(v, d), otypes=[object])(of[0])
        case "Less":
            return np.vectorize(int, otypes=[object])(of[0] < of[1])
        case "Cast":
            return of[0]
        case "Relu":
            return np.maximum(of[0], 0)
        case "Slice":
            (start,), (end,), _ = (n.ravel() for n in of[1:])
            return of[0][:, start:end]
        case "Reshape":
            return of[0].reshape([int(n) for n in of[1]])
        case _:
            raise AssertionError(f"no circuit has {operator}")
