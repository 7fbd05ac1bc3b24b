"""What of attention and movements is not read, by name and with stable codes; graphs that are made to do harm."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper

from benches.small_networks import transformer_model, transformer_weights
from interlace.errors import ProgramError
from interlace.models import quantise
from interlace.models.float_graph import FloatGraph
from interlace.models.float_nodes import Affine, Dense, Relu, Scale
from interlace.models.lower import lower
from interlace.models.onnx_import import read_onnx
from tests.models import onnx_models

OPERATOR, SHAPE, LARGE, INVALID = (
    "model.unsupported-operator", "model.unsupported-shape", "model.too-large", "model.invalid-onnx",
)  # fmt: skip


def node(op: str, inputs: str, outputs: str = "y", **attributes: object) -> NodeProto:
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"the {op}", **attributes)


def integers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, dtype=np.float32)


SQUARE, SEQUENCE, IMAGE = [4, 4], [4, 6], [2, 4, 6]
HIDDEN = np.where(np.tri(4, dtype=bool), 0, -np.inf).astype(np.float32)
SHIFTED = np.where(np.tri(4, k=1, dtype=bool), 0, -np.inf).astype(np.float32)


@pytest.mark.parametrize(
    ("nodes", "weights", "shape", "code", "named"),
    [
        # Attention.
        ([node("MatMul", "w x")], {"w": ones(4, 4)}, SEQUENCE, OPERATOR, "the MatMul.*value first"),
        ([node("MatMul", "x x")], {}, [1], OPERATOR, "the MatMul.*two vectors"),
        ([node("Reshape", "x s", "r"), node("MatMul", "r r")], {"s": integers(0, 2, 2, 2, 2)}, SQUARE,
         SHAPE, "the MatMul"),
        ([node("Softmax", "x", "s", axis=1), node("Relu", "s")], {}, SEQUENCE, SHAPE, "the Softmax.*last one"),
        ([node("Add", "x m", "a"), node("Softmax", "a", "s"), node("Relu", "s")], {"m": SHIFTED}, SQUARE,
         OPERATOR, "the Add.*not causal"),
        ([node("Add", "x m", "a"), node("Softmax", "a", "s"), node("Relu", "s")], {"m": HIDDEN.T}, SQUARE,
         OPERATOR, "the Add.*not causal"),
        ([node("Add", "x m", "a"), node("Softmax", "a", "s"), node("Relu", "s")],
         {"m": np.array([0, 0, 0, -1e9], np.float32)}, SQUARE, OPERATOR, "the Add.*not causal"),
        ([node("Add", "x m", "a"), node("Relu", "a")], {"m": HIDDEN}, SQUARE, OPERATOR, "the Relu.*causal mask"),
        ([node("Add", "x m")], {"m": HIDDEN}, SQUARE, SHAPE, "outputs"),
        ([node("LayerNormalization", "x g", axis=1)], {"g": ones(4, 6)}, SEQUENCE, SHAPE, "the LayerNormalization"),
        ([node("LayerNormalization", "x g")], {"g": ones(1)}, SEQUENCE, SHAPE, "the LayerNormalization.*channels"),
        ([node("LayerNormalization", "x g")], {"g": ones(4_097)}, [4_097], SHAPE, "4097"),
        ([node("LayerNormalization", "x g", "z mean"), node("Relu", "mean")], {"g": ones(6)}, SEQUENCE,
         OPERATOR, "mean"),
        # Elements.
        ([node("Mul", "x x", "a"), node("Relu", "a", "b"), node("Mul", "a b")], {}, SEQUENCE,
         OPERATOR, "two different"),
        ([node("Div", "x x")], {}, SEQUENCE, OPERATOR, "the Div"),
        ([node("Div", "c x")], {"c": ones(1)}, SEQUENCE, OPERATOR, "the Div"),
        ([node("Sub", "x x")], {}, SEQUENCE, OPERATOR, "the Sub"),
        ([node("Mul", "x c")], {"c": ones(0)}, [1], SHAPE, "the Mul"),
        ([node("Div", "x c")], {"c": 0 * ones(1)}, SEQUENCE, "tensor.not-finite", "the Div"),
        ([node("Mul", "x c")], {"c": ones(4, 1)}, SEQUENCE, SHAPE, "differs by position"),
        ([node("Add", "x c", "a"), node("Relu", "a")], {"c": ones(3, 4, 6)}, SEQUENCE, SHAPE, "the Add"),
        ([node("Add", "x c", "a"), node("Relu", "a")], {"c": ones(5, 1, 4, 6)}, SEQUENCE, SHAPE, "the Add"),
        ([node("Add", "x c")], {"c": np.nan * ones(1)}, SEQUENCE, "tensor.not-finite", "the Add"),
        ([node("Gather", "x i", "g", axis=1), node("Add", "x g")], {"i": integers(0)[0]}, SQUARE,
         SHAPE, "the Add.*differ"),
        # Movements.
        ([node("Transpose", "x")], {}, SEQUENCE, SHAPE, "the Transpose.*batch"),
        ([node("Transpose", "x", perm=[1, 0, 2])], {}, SEQUENCE, SHAPE, "the Transpose.*batch"),
        ([node("Reshape", "x s")], {"s": integers(-1, 6)}, SEQUENCE, SHAPE, "the Reshape"),
        ([node("Reshape", "x s")], {"s": integers(0, 1, 1, 4, 2, 3)}, SEQUENCE, SHAPE, "4 axes"),
        ([node("Slice", "x a b c d")], {"a": integers(0), "b": integers(4), "c": integers(1), "d": integers(2)},
         SEQUENCE, OPERATOR, "the Slice.*steps"),
        ([node("Slice", "x a b c")], {"a": integers(3), "b": integers(3), "c": integers(1)}, SEQUENCE, SHAPE, "none"),
        ([node("Slice", "x a b")], {"a": integers(0), "b": integers(1)}, SEQUENCE, SHAPE, "the Slice.*axis 0"),
        ([node("Split", "x", "y z", axis=0, num_outputs=2)], {}, SEQUENCE, SHAPE, "the Split.*axis 0"),
        ([node("Gather", "x i", axis=1)], {"i": integers(0, 1)}, SEQUENCE, OPERATOR, "the Gather"),
        ([node("ReduceMean", "x a")], {"a": integers(2)}, SEQUENCE, SHAPE, "the ReduceMean"),
        ([node("ReduceMean", "x")], {}, SEQUENCE, SHAPE, "the ReduceMean"),
        ([node("ReduceMean", "x a")], {"a": integers(1)}, [1_025, 2], SHAPE, "1025"),
        ([node("ReduceMean", "x a")], {"a": integers(1)}, IMAGE, SHAPE, "the ReduceMean"),
        ([node("Conv", "x w")], {"w": ones(1, 4, 1)}, SEQUENCE, SHAPE, "the Conv"),
        ([node("Einsum", "x x", equation="bij,bkj->bik")], {}, SEQUENCE, OPERATOR, "(?s)the Einsum.*read are.*Gelu"),
        ([node("Concat", "x x", axis=1)], {}, SEQUENCE, OPERATOR, "the Concat"),
    ],
)  # fmt: skip
def test_what_is_not_read_is_refused_by_name(nodes, weights, shape, code, named) -> None:
    graph = onnx_models.model(nodes, weights, ["n", *shape], None, opset=20)
    with pytest.raises(ProgramError, match=named) as error:
        read_onnx(graph)
    assert error.value.code == code


def wide(nodes: list[NodeProto], weights: dict[str, np.ndarray], shape: list[int]) -> str:
    with pytest.raises(ProgramError) as error:
        read_onnx(onnx_models.model(nodes, weights, ["n", *shape], None, opset=20))
    return error.value.code


def test_small_files_that_ask_for_much() -> None:
    outer = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "z")]
    assert wide([*outer, node("Flatten", "z")], {}, [5_000, 1]) == LARGE
    long = [node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "z"), node("Flatten", "z")]
    assert wide(long, {}, [1, 131_072]) == SHAPE
    # No value is too large, but all together are.
    chain = [node("Relu", "x" if index == 0 else f"v{index - 1}", f"v{index}") for index in range(40)]
    assert wide([*chain, node("Flatten", "v39")], {}, [1_024, 1_024]) == LARGE
    assert wide([node("Relu", "x", "r"), node("Add", "r c", "a"), node("Flatten", "a")],
                {"c": np.zeros((1_025, 1_024), np.float32)}, [1_025, 1_024]) == SHAPE  # fmt: skip


def test_a_function_that_doubles_itself_stays_small() -> None:
    """Forty doublings of one function would be 2^40 evaluations if each kept both its operands."""
    nodes = [node("Tanh", "x", "v0")]
    nodes += [node("Add", f"v{index} v{index}", f"v{index + 1}") for index in range(40)]
    proto = onnx_models.model([*nodes, node("Identity", "v40")], {}, ["n", 3], ["n", 3], opset=20)
    inputs = np.array([[1.0, -0.5, 0.25]])
    np.testing.assert_allclose(read_onnx(proto)[0].outputs(inputs), np.tanh(inputs) * 2.0**40)
    np.testing.assert_allclose(quantise(proto, inputs).outputs(inputs), np.tanh(inputs) * 2.0**40, rtol=0.1)


def test_a_long_chain_of_functions_is_no_deep_recursion() -> None:
    nodes = [node("Tanh", "x" if index == 0 else f"v{index - 1}", f"v{index}") for index in range(3_000)]
    proto = onnx_models.model([*nodes, node("Identity", "v2999")], {}, ["n", 2], ["n", 2], opset=20)
    expected = np.array([[0.5, -1.0]])
    for _ in range(3_000):
        expected = np.tanh(expected)
    np.testing.assert_allclose(read_onnx(proto)[0].outputs(np.array([[0.5, -1.0]])), expected)


def test_a_graph_that_goes_in_circles() -> None:
    nodes = [node("Add", "x b", "a"), node("Relu", "a", "b"), node("Identity", "a")]
    with pytest.raises(ProgramError) as error:
        read_onnx(onnx_models.model(nodes, {}, ["n", 4], ["n", 4]))
    assert error.value.code == INVALID


def test_a_constant_that_says_it_is_larger_than_it_is() -> None:
    proto = onnx_models.model([node("MatMul", "x w")], {"w": ones(4, 4)}, ["n", 4], ["n", 4])
    proto.graph.initializer[0].dims[:] = [1 << 40, 1 << 20]
    with pytest.raises(ProgramError) as error:
        read_onnx(proto)
    assert error.value.code == INVALID


def test_a_graph_without_outputs() -> None:
    proto = onnx_models.model([node("Relu", "x")], {}, ["n", 4], ["n", 4])
    del proto.graph.output[:]
    with pytest.raises(ProgramError, match="outputs") as error:
        read_onnx(proto)
    assert error.value.code == SHAPE


def test_a_constant_of_text() -> None:
    text = helper.make_tensor("c", TensorProto.STRING, [1], [b"no number"])
    graph = helper.make_graph(
        [node("Add", "x c")],
        "text",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [text],
    )
    with pytest.raises(ProgramError) as error:
        read_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
    assert error.value.code == INVALID


def test_changed_bytes_of_a_transformer_end_in_a_code() -> None:
    original = transformer_model(transformer_weights(np.random.default_rng(0), 1), causal=True).SerializeToString()
    rng = np.random.default_rng(1)
    # Names, operators and attributes stand at the beginning, shapes and weights behind.
    rooms = []
    for _ in range(150):
        changed = bytearray(original)
        for at in rng.integers(0, 3_000, size=rng.integers(1, 4)):
            changed[at] = rng.integers(256)
        try:
            read_onnx(bytes(changed))
        except ProgramError as error:
            rooms.append(error.code.partition(".")[0])
    assert len(rooms) > 50
    assert set(rooms) <= {"model", "tensor"}


@pytest.mark.parametrize(
    ("nodes", "code"),
    [
        ((Scale(0, 2.0),), SHAPE),
        ((Relu(0), Scale(1, 1e-40), Scale(2, 1e-40), Dense(3, np.eye(2), np.zeros(2))), "model.range"),
        ((Relu(0), Scale(1, 1e200), Scale(2, 1e200), Relu(3)), "model.not-finite"),
        ((Relu(0), Affine(1, np.ones(2), np.full(2, np.inf)), Relu(2)), "model.not-finite"),
    ],
)
def test_factors_that_leave_nothing(nodes: tuple, code: str) -> None:
    with pytest.raises(ProgramError) as error, np.errstate(over="ignore"):
        lower(FloatGraph((2,), nodes), np.ones((3, 2)))
    assert error.value.code == code


def test_a_factor_for_each_of_too_many_channels_by_itself() -> None:
    graph = FloatGraph((4_097,), (Relu(0), Affine(1, np.arange(4_097.0), np.zeros(4_097)), Relu(2)))
    with pytest.raises(ProgramError) as error:
        lower(graph, np.ones((1, 4_097)))
    assert error.value.code == LARGE
