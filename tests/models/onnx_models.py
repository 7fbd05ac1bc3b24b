"""Small ONNX models written with onnx.helper, for the tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

OPSET = 17


def model(
    nodes: Sequence[NodeProto],
    weights: dict[str, np.ndarray],
    input_dims: Sequence[int | str],
    output_dims: Sequence[int | str] | None,
    output_type: int = TensorProto.FLOAT,
    opset: int = OPSET,
) -> ModelProto:
    """Return a model from ``x`` to ``y``; without `output_dims` ONNX infers them."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(input_dims))],
        [helper.make_tensor_value_info("y", output_type, output_dims and list(output_dims))],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return proto if output_dims else shape_inference.infer_shapes(proto)


def evaluate(proto: ModelProto, inputs: np.ndarray) -> np.ndarray:
    """Run the reference evaluator of the onnx package."""
    return ReferenceEvaluator(proto).run(None, {"x": inputs.astype(np.float32)})[0]


def floats(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1))).astype(np.float32)


def residual_cnn(rng: np.random.Generator) -> ModelProto:
    """Every operator that is read, in one network: two inputs channels, 9x8 images, five classes."""
    nodes = [
        helper.make_node("Conv", ["x", "w1", "b1"], ["c1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["r1"]),
        helper.make_node("Conv", ["r1", "w2"], ["c2"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "b2"], ["a2"]),
        helper.make_node("Add", ["a2", "r1"], ["s2"]),
        helper.make_node("Relu", ["s2"], ["r2"]),
        helper.make_node("MaxPool", ["r2"], ["p2"], kernel_shape=[3, 2], strides=[2, 2], pads=[1, 0, 1, 0]),
        helper.make_node("Conv", ["p2", "w3", "b3"], ["c3"], kernel_shape=[2, 2], strides=[1, 2]),
        helper.make_node("AveragePool", ["c3"], ["v3"], kernel_shape=[2, 1]),
        helper.make_node("Relu", ["v3"], ["r3"]),
        helper.make_node("Flatten", ["r3"], ["f"]),
        helper.make_node("Gemm", ["f", "w4", "b4"], ["g"], transB=1, alpha=0.5, beta=2.0),
        helper.make_node("Relu", ["g"], ["r4"]),
        helper.make_node("MatMul", ["r4", "w5"], ["m"]),
        helper.make_node("Add", ["m", "b5"], ["z"]),
        helper.make_node("Softmax", ["z"], ["y"], axis=1),
    ]
    weights = {
        "w1": floats(rng, 6, 2, 3, 3),
        "b1": floats(rng, 6),
        "w2": floats(rng, 6, 6, 3, 3),
        "b2": floats(rng, 6, 1, 1),
        "w3": floats(rng, 4, 6, 2, 2),
        "b3": floats(rng, 4),
        "w4": floats(rng, 12, 24),
        "b4": floats(rng, 12),
        "w5": floats(rng, 12, 5),
        "b5": floats(rng, 5),
    }
    return model(nodes, weights, ["batch", 2, 9, 8], ["batch", 5])


def feature_cnn(kernels: np.ndarray, weights: np.ndarray, bias: np.ndarray) -> ModelProto:
    """Convolution, ReLU, pool, one linear layer: digits as [batch, 1, 8, 8] to ten scores, by ArgMax."""
    nodes = [
        helper.make_node("Conv", ["x", "kernels"], ["c"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Reshape", ["p", "flat"], ["f"]),
        helper.make_node("Gemm", ["f", "weights", "bias"], ["z"]),
        helper.make_node("ArgMax", ["z"], ["y"], axis=1, keepdims=0),
    ]
    constants = {
        "kernels": kernels.astype(np.float32),
        "weights": weights.astype(np.float32),
        "bias": bias.astype(np.float32),
        "flat": np.array([0, -1], dtype=np.int64),
    }
    return model(nodes, constants, [None, 1, 8, 8], [None], TensorProto.INT64)
