"""Every ONNX operator that is read, on small random graphs: the float graph computes what tract computes, and the
integers follow it.

tract (Sonos) shares no code with this package; a test here fails where it is not installed.
"""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, helper

from benches.small_networks import run_tract
from interlace.models import quantise
from interlace.models.onnx_import import read_onnx
from tests.models import onnx_models

RNG = np.random.default_rng(11)
VECTOR, SEQUENCE, IMAGE = [6], [4, 6], [2, 4, 6]


def node(op: str, inputs: str, outputs: str = "t", **attributes: object) -> NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), **attributes)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def integers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def number(value: float) -> np.ndarray:
    return np.array(value, dtype=np.float32)


def half_gelu() -> list[NodeProto]:
    """GELU as exporters wrote it before there was an operator: x · (1 + erf(x / sqrt 2)) / 2."""
    return [node("Div", "x r", "d"), node("Erf", "d", "e"), node("Add", "e o", "a"), node("Mul", "x a", "m"),
            node("Mul", "m h")]  # fmt: skip


GELU = {"r": number(2**0.5), "o": number(1), "h": number(0.5)}
MASK = np.where(np.tri(4, dtype=bool), 0, -np.inf).astype(np.float32)
SCORES = [node("Transpose", "x", "k", perm=[0, 2, 1]), node("MatMul", "x k", "z")]

# What is computed from `x` into `t`, constants, the shape of one input.
CASES: dict[str, tuple[list[NodeProto], dict[str, np.ndarray], list[int]]] = {
    "MatMul of a sequence": ([node("MatMul", "x w")], {"w": floats(6, 5)}, SEQUENCE),
    "MatMul and bias": ([node("MatMul", "x w", "m"), node("Add", "b m")],
                        {"w": floats(6, 5), "b": floats(5)}, SEQUENCE),
    "MatMul of matrices": ([node("MatMul", "x w")], {"w": floats(6, 5)}, [3, 4, 6]),
    "MatMul of an image's rows": ([node("Relu", "x", "r"), node("MatMul", "r w")], {"w": floats(6, 5)}, IMAGE),
    "MatMul of two values": (
        [node("MatMul", "x a", "q"), node("MatMul", "x b", "k"), node("Transpose", "k", "kt", perm=[0, 2, 1]),
         node("MatMul", "q kt")],
        {"a": floats(6, 5), "b": floats(6, 5)}, SEQUENCE,
    ),
    "MatMul of heads": (
        [node("Reshape", "x s", "r"), node("Transpose", "r", "q", perm=[0, 2, 1, 3]),
         node("Transpose", "r", "k", perm=[0, 2, 3, 1]), node("MatMul", "q k", "z"), node("MatMul", "z q")],
        {"s": integers(0, 0, 2, -1)}, SEQUENCE,
    ),
    "MatMul of what is transposed twice": (
        [node("Reshape", "x s", "r"), node("Transpose", "r", "q", perm=[0, 2, 1, 3]),
         node("Transpose", "q", "k", perm=[0, 1, 3, 2]), node("MatMul", "q k")],
        {"s": integers(-1, 4, 2, 3)}, SEQUENCE,
    ),
    "Softmax": ([*SCORES, node("Softmax", "z", "p", axis=-1), node("MatMul", "p x")], {}, SEQUENCE),
    "Softmax of a vector": ([node("Softmax", "x", "p"), node("MatMul", "p w")], {"w": floats(6, 3)}, VECTOR),
    "Softmax of scaled scores": (
        [*SCORES, node("Div", "z d", "s"), node("Softmax", "s", "p", axis=2), node("MatMul", "p x")],
        {"d": number(2.5)}, SEQUENCE,
    ),
    "causal mask": (
        [*SCORES, node("Add", "z mask", "s"), node("Softmax", "s", "p"), node("MatMul", "p x")],
        {"mask": MASK}, SEQUENCE,
    ),
    "causal mask with a batch, first": (
        [*SCORES, node("Add", "mask z", "s"), node("Dropout", "s", "i"), node("Softmax", "i", "p"),
         node("MatMul", "p x")],
        {"mask": np.maximum(MASK, -1e9)[None]}, SEQUENCE,
    ),
    "LayerNormalization": (
        [node("LayerNormalization", "x g b", axis=-1)], {"g": floats(6), "b": floats(6)}, SEQUENCE,
    ),
    "LayerNormalization into a product": (
        [node("LayerNormalization", "x g b", "n", axis=2, epsilon=1e-3), node("MatMul", "n w")],
        {"g": floats(6), "b": floats(6), "w": floats(6, 5)}, SEQUENCE,
    ),
    "LayerNormalization without bias": (
        [node("LayerNormalization", "x g", "n"), node("Add", "n x")], {"g": floats(6)}, SEQUENCE,
    ),
    "LayerNormalization of a vector": ([node("LayerNormalization", "x g")], {"g": np.ones(6, np.float32)}, VECTOR),
    "Gelu": ([node("Gelu", "x")], {}, SEQUENCE),
    "Gelu by tanh": ([node("Gelu", "x", approximate="tanh")], {}, SEQUENCE),
    "Gelu by Erf": (half_gelu(), GELU, SEQUENCE),
    "Erf": ([node("Erf", "x")], {}, SEQUENCE),
    "Tanh": ([node("Tanh", "x")], {}, VECTOR),
    "Tanh of an image": ([node("Tanh", "x")], {}, IMAGE),
    "Sigmoid": ([node("Sigmoid", "x")], {}, VECTOR),
    "SiLU": ([node("Sigmoid", "x", "s"), node("Mul", "s x")], {}, SEQUENCE),
    "a function of a function": ([node("Tanh", "x", "a"), node("Sub", "a h", "b"), node("Sigmoid", "b")],
                                 {"h": number(0.5)}, VECTOR),
    "functions of one value added": ([node("Tanh", "x", "a"), node("Add", "x a")], {}, VECTOR),
    "Mul by a number": ([node("Mul", "x c", "m"), node("MatMul", "m w")],
                        {"c": number(0.3), "w": floats(6, 3)}, VECTOR),
    "Mul by a negative number": ([node("Relu", "x", "r"), node("Mul", "c r")], {"c": number(-0.3)}, SEQUENCE),
    "Mul by channel": ([node("Relu", "x", "r"), node("Mul", "r c")], {"c": floats(6)}, SEQUENCE),
    "Mul by channel of an image": ([node("Relu", "x", "r"), node("Mul", "r c")], {"c": floats(2, 1, 1)}, IMAGE),
    "Mul of a product": ([node("MatMul", "x w", "m"), node("Mul", "m c")], {"w": floats(6, 3), "c": floats(3)}, VECTOR),
    "Mul twice": ([node("Mul", "x c", "m"), node("Div", "m d", "n"), node("Relu", "n")],
                  {"c": number(0.3), "d": number(3)}, IMAGE),
    "Add by channel": ([node("Relu", "x", "r"), node("Add", "r c")], {"c": floats(1, 6)}, SEQUENCE),
    "Add to a flattened image": ([node("Flatten", "x", "f"), node("Add", "f c", "a"), node("MatMul", "a w")],
                                 {"c": floats(48), "w": floats(48, 3)}, IMAGE),
    "Add by position": ([node("Relu", "x", "r"), node("Add", "r c")], {"c": floats(1, 4, 6)}, SEQUENCE),
    "Add by position of an image": ([node("Relu", "x", "r"), node("Add", "r c")], {"c": floats(2, 4, 6)}, IMAGE),
    "Add by position to a product": (
        [node("MatMul", "x w", "m"), node("Add", "m b", "n"), node("Add", "c n", "o"), node("Relu", "o")],
        {"w": floats(6, 5), "b": floats(5), "c": floats(4, 5)}, SEQUENCE,
    ),
    "Add of relative positions": (
        [*SCORES, node("Add", "z c", "s"), node("Softmax", "s", "p"), node("MatMul", "p x")],
        {"c": floats(4, 4)}, SEQUENCE,
    ),
    "Sub": ([node("Sub", "x c")], {"c": floats(6)}, SEQUENCE),
    "Sub from a number": ([node("Sub", "c x")], {"c": number(1.5)}, SEQUENCE),
    "Reshape": ([node("Reshape", "x s", "r"), node("MatMul", "r w")],
                {"s": integers(0, 3, 8), "w": floats(8, 3)}, SEQUENCE),
    "Reshape of an image": ([node("Reshape", "x s", "r"), node("MatMul", "r w")],
                            {"s": integers(0, 8, -1), "w": floats(6, 3)}, IMAGE),
    "Reshape of a flattened image": ([node("Flatten", "x", "f"), node("Reshape", "f s", "r"), node("MatMul", "r w")],
                                     {"s": integers(-1, 6, 8), "w": floats(8, 3)}, IMAGE),
    "patches of an image": (
        [node("Conv", "x w", "c", kernel_shape=[2, 2], strides=[2, 2]), node("Reshape", "c s", "r"),
         node("Transpose", "r", "q", perm=[0, 2, 1]), node("MatMul", "q m")],
        {"w": floats(5, 2, 2, 2), "s": integers(0, 5, 6), "m": floats(5, 3)}, IMAGE,
    ),
    "a sequence as an image": ([node("Reshape", "x s", "r"), node("Conv", "r w", kernel_shape=[2, 1])],
                               {"s": integers(0, 2, 4, 3), "w": floats(3, 2, 2, 1)}, SEQUENCE),
    "Transpose of an image": ([node("Transpose", "x", "r", perm=[0, 2, 3, 1]), node("MatMul", "r w")],
                              {"w": floats(2, 3)}, IMAGE),
    "Split by lengths": ([node("Split", "x s", "a b", axis=2), node("MatMul", "b w")],
                         {"s": integers(2, 4), "w": floats(4, 3)}, SEQUENCE),
    "Split evenly": ([node("Split", "x", "a b", axis=-1, num_outputs=2), node("Add", "a b")], {}, SEQUENCE),
    "Split of a product": ([node("MatMul", "x w", "m"), node("Split", "m", "a b", axis=2, num_outputs=2),
                            node("Transpose", "b", "c", perm=[0, 2, 1]), node("MatMul", "a c")],
                           {"w": floats(6, 10)}, SEQUENCE),
    "Slice": ([node("Slice", "x a b c")],
              {"a": integers(1, -4), "b": integers(3, 2**62), "c": integers(1, 2)}, SEQUENCE),
    "Slice of a slice": ([node("Slice", "x a b c", "r"), node("Slice", "r a b c")],
                         {"a": integers(1), "b": integers(100), "c": integers(1)}, SEQUENCE),
    "Gather of a position": ([node("Gather", "x i", axis=1)], {"i": integers(-1)[0]}, SEQUENCE),
    "ReduceMean of a sequence": ([node("ReduceMean", "x a", keepdims=0)], {"a": integers(1)}, SEQUENCE),
    "ReduceMean, its axis kept": ([node("ReduceMean", "x a", "m"), node("MatMul", "m w")],
                                  {"a": integers(-2), "w": floats(6, 3)}, SEQUENCE),
    "ReduceMean of an image": ([node("ReduceMean", "x a", keepdims=0)], {"a": integers(2, 3)}, IMAGE),
    "Flatten of a sequence": ([node("Flatten", "x", "f"), node("MatMul", "f w")], {"w": floats(24, 3)}, SEQUENCE),
    "Identity of a constant": ([node("Identity", "w", "v"), node("MatMul", "x v")], {"w": floats(6, 3)}, VECTOR),
}  # fmt: skip


def built(case: str) -> tuple[ModelProto, list[int]]:
    """Return the model of a case, its result flattened, because a program read from ONNX ends in a vector."""
    nodes, weights, shape = CASES[case]
    nodes = [*nodes, helper.make_node("Flatten", ["t"], ["y"])]
    return onnx_models.model(nodes, weights, ["n", *shape], ["n", None], opset=20), shape


@pytest.mark.parametrize("case", CASES)
def test_the_operator_is_read_as_tract_computes_it(case: str) -> None:
    proto, shape = built(case)
    rng = np.random.default_rng(3)
    inputs = rng.standard_normal((64, *shape)).astype(np.float32)
    expected = run_tract(proto, inputs)
    graph, layout = read_onnx(proto)
    ours = graph.outputs(np.float64(inputs.transpose(0, 2, 3, 1) if layout == "nchw" else inputs))
    np.testing.assert_allclose(ours.reshape(len(inputs), -1), expected, atol=1e-4)
    quantised = quantise(proto, inputs)
    errors = quantised.outputs(inputs) - expected
    # A mean of numbers that cancel out is small, and keeps the steps of what it is the mean of.
    rms = 0.05 if case == "ReduceMean of an image" else 0.025
    assert np.sqrt((errors**2).mean()) < rms * np.sqrt((expected**2).mean())
    assert np.abs(errors).max() < 0.06 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("opset", "nodes"),
    [
        (12, [node("Softmax", "x", "t", axis=2)]),
        (12, [node("Softmax", "x", "s", axis=-1), node("Split", "s", "t u", axis=2, split=[2, 4])]),
        (17, [node("ReduceMean", "x", axes=[1], keepdims=0)]),
        (17, [node("Split", "x", "t u", axis=1)]),
    ],
)
def test_forms_of_older_opsets(opset: int, nodes: list[NodeProto]) -> None:
    # A factor behind it, so that no Softmax is the end of a classifier.
    nodes = [*nodes, node("Flatten", "t", "f"), node("Mul", "f c", "y")]
    proto = onnx_models.model(nodes, {"c": number(2)}, ["n", *SEQUENCE], ["n", None], opset=opset)
    inputs = np.random.default_rng(3).standard_normal((5, *SEQUENCE))
    np.testing.assert_allclose(read_onnx(proto)[0].outputs(inputs), run_tract(proto, inputs), atol=1e-5)


def operators(case: str) -> list[str]:
    proto, shape = built(case)
    program = quantise(proto, np.random.default_rng(3).standard_normal((8, *shape))).program
    return [node[0] for node in program.core.nodes()]


def test_what_costs_nothing_has_no_operator() -> None:
    assert operators("Mul by a number") == ["matmul"]
    assert operators("Mul twice").count("clamp") == 1
    assert operators("Transpose of an image") == ["reshape", "matmul", "reshape"]
    assert operators("Gelu by Erf") == operators("Gelu") == ["table", "reshape"]
    assert operators("LayerNormalization into a product") == ["normalise", "requantise", "matmul", "reshape"]
    assert operators("MatMul of what is transposed twice") == ["reshape", "transpose", "multiply", "reshape"]
    assert operators("Slice of a slice") == ["slice", "reshape"]
    assert operators("Split of a product").count("slice") == 0
    assert operators("causal mask")[1:3] == ["requantise", "softmax"]
    assert "add_i8" not in operators("Add by position to a product")
