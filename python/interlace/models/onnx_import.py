"""Reading ONNX models: Gemm, MatMul, Conv, Relu, pools, Flatten, Reshape, Add; a Softmax or ArgMax tail is left off.

ONNX images are channels-first, ours channels-last: kernels and the rows of a matrix behind a Flatten are permuted here.

Invariant: for every accepted model the float graph computes what the ONNX operators compute, up to that permutation;
every other model is refused by name. The bytes are untrusted: nothing is read from outside them (no external data).
Source: the ONNX operator reference. What it does not do: dynamic shapes other than the batch, groups, dilations.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from interlace.errors import ProgramError
from interlace.models.float_graph import (
    Add,
    AveragePool,
    Conv,
    Dense,
    FloatGraph,
    FloatNode,
    MaxPool,
    Pads,
    Pair,
    Relu,
    Reshape,
    operands,
    positions,
)
from interlace.models.tensor import MAX_ELEMENTS, FloatArray, finite

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

MAX_ONNX_BYTES = 1 << 28
_TAIL = {"Softmax", "LogSoftmax", "ArgMax"}
# What exporters put behind the scores to look a label up.
_AFTER_TAIL = {"ArrayFeatureExtractor", "Cast", "Reshape", "Squeeze", "ZipMap"}
_SAME = {"Identity", "Dropout"}


def read_onnx(model: Any) -> tuple[FloatGraph, str]:  # noqa: ANN401 - message, bytes or path
    """Return the float graph of an ONNX model and the layout of its inputs, ``flat`` or ``nchw``.

    Parameters
    ----------
    model
        ``onnx.ModelProto``, its bytes, or the path of a file.

    Raises
    ------
    ProgramError
        `model.invalid-onnx`, `model.unsupported-operator`, `model.unsupported-shape`, `model.too-large`, ...
    """
    proto = _parse(model)
    reader = _start(proto.graph)
    for node in proto.graph.node:
        _read_node(reader, node)
    output = _output(reader, proto.graph)
    return _pruned(FloatGraph(reader.shapes[0], tuple(reader.nodes)), output), reader.layout


@dataclass(slots=True)
class _Reader:
    """What has been read: constants and values by name, shapes (channels last, no batch) by value."""

    constants: dict[str, npt.NDArray[np.generic]]
    shapes: list[tuple[int, ...]]
    layout: str
    values: dict[str, int]
    nodes: list[FloatNode] = field(default_factory=list)
    tail: set[str] = field(default_factory=set)
    # Values whose elements are in another order than ONNX has them: ours[i] is theirs[order[i]].
    orders: dict[int, npt.NDArray[np.intp]] = field(default_factory=dict)

    def add(self, node: FloatNode, shape: tuple[int, ...]) -> int:
        if prod(shape) > MAX_ELEMENTS:
            raise ProgramError("model.too-large", f"a value of shape {shape} has more than {MAX_ELEMENTS} elements")
        self.nodes.append(node)
        self.shapes.append(shape)
        return len(self.nodes)


def _import_onnx() -> Any:  # noqa: ANN401 - untyped library
    try:
        import onnx
    except ImportError:
        raise ProgramError(
            "model.extra-missing", "the package onnx is not installed", hint="pip install 'interlace[ml]'"
        ) from None
    return onnx


def _parse(source: Any) -> ModelProto:  # noqa: ANN401
    onnx = _import_onnx()
    if isinstance(source, (str, os.PathLike)):
        source = _read_file(Path(source))
    if isinstance(source, bytes):
        if len(source) > MAX_ONNX_BYTES:
            raise ProgramError("model.too-large", f"the model is larger than {MAX_ONNX_BYTES} bytes")
        try:
            source = onnx.load_model_from_string(source)
        except Exception as error:  # noqa: BLE001 - protobuf's errors have no public common class
            raise ProgramError("model.invalid-onnx", f"not an ONNX message: {error}") from None
    if not isinstance(source, onnx.ModelProto):
        raise ProgramError("model.unsupported-operator", f"{type(source).__name__} is not a model that is read")
    try:
        onnx.checker.check_model(source, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise ProgramError("model.invalid-onnx", str(error).strip()[:500]) from None
    return cast("ModelProto", source)


def _read_file(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_ONNX_BYTES:
            raise ProgramError("model.too-large", f"{path} is larger than {MAX_ONNX_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise ProgramError("model.invalid-onnx", f"{path}: {error.strerror}") from None


def _start(graph: GraphProto) -> _Reader:
    constants = {tensor.name: _constant(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise ProgramError("model.unsupported-shape", f"{len(inputs)} inputs; a program has one")
    dims = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]
    if len(dims) not in (2, 4) or dims[0] > 1 or min(dims[1:]) < 1:
        raise ProgramError("model.unsupported-shape", f"input {dims}: read are [batch, k] and [batch, c, h, w]")
    layout = "nchw" if len(dims) == 4 else "flat"
    shape = (dims[2], dims[3], dims[1]) if layout == "nchw" else (dims[1],)
    if prod(shape) > MAX_ELEMENTS:
        raise ProgramError("model.too-large", f"an input of shape {shape} has more than {MAX_ELEMENTS} elements")
    return _Reader(constants, [shape], layout, {inputs[0].name: 0})


def _constant(tensor: TensorProto) -> npt.NDArray[np.generic]:
    onnx = _import_onnx()
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ProgramError("model.invalid-onnx", f"{tensor.name} lies in another file", hint="save with embedded data")
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as error:
        raise ProgramError("model.invalid-onnx", f"{tensor.name}: {error}") from None


def _read_node(reader: _Reader, node: NodeProto) -> None:
    onnx = _import_onnx()
    attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
    if node.op_type == "Constant" and "value" in attributes:
        reader.constants[node.output[0]] = _constant(attributes["value"])
        return
    tail = next((name for name in node.input if name in reader.tail), None)
    if node.op_type in _TAIL or tail is not None:
        # A label or probabilities follow from the scores outside the program.
        if tail is not None and node.op_type not in _TAIL | _AFTER_TAIL | _SAME:
            raise _unsupported(node, "follows a Softmax or ArgMax, which is read only at the end")
        value = _value(reader, node, 0) if tail is None else reader.values[tail]
        reader.values |= dict.fromkeys(node.output, value)
        reader.tail.update(node.output)
        return
    widened = node.op_type == "Cast" and attributes["to"] in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    if node.op_type in _SAME or widened:
        reader.values[node.output[0]] = _value(reader, node, 0)
        return
    read = _OPERATORS.get(node.op_type)
    if read is None or node.domain not in ("", "ai.onnx"):
        raise _unsupported(node, "is not read", hint=f"read are {', '.join(sorted([*_OPERATORS, *_TAIL, *_SAME]))}")
    reader.values[node.output[0]] = read(reader, node, attributes)


def _unsupported(node: NodeProto, why: str, hint: str = "") -> ProgramError:
    name = f" {node.name!r}" if node.name else ""
    return ProgramError("model.unsupported-operator", f"operator {node.op_type}{name} {why}", hint=hint)


def _misshapen(node: NodeProto, why: str) -> ProgramError:
    return ProgramError("model.unsupported-shape", f"operator {node.op_type} {node.name!r}: {why}")


def _value(reader: _Reader, node: NodeProto, index: int) -> int:
    name = node.input[index]
    if name not in reader.values:
        raise _unsupported(node, f"takes {name!r}, which is not a computed value")
    return reader.values[name]


def _weights(reader: _Reader, node: NodeProto, index: int) -> FloatArray | None:
    """Return a constant operand as float64; None when the optional operand is absent."""
    if index >= len(node.input) or not node.input[index]:
        return None
    name = node.input[index]
    if name not in reader.constants:
        raise _unsupported(node, f"needs constant weights, {name!r} is computed")
    return finite(reader.constants[name], f"weights {name!r}")


# ---- products ------------------------------------------------------------------------------------


def _dense(reader: _Reader, node: NodeProto, matrix: FloatArray, bias: FloatArray | None) -> int:
    x = _value(reader, node, 0)
    shape = reader.shapes[x]
    if len(shape) != 1 or matrix.ndim != 2 or matrix.shape[0] != shape[0]:
        raise _misshapen(node, f"weights {matrix.shape} on a value of shape {shape}")
    if x in reader.orders:
        matrix = matrix[reader.orders[x]]
    outputs = matrix.shape[1]
    full = np.zeros(outputs) if bias is None else _channel_vector(node, bias, outputs, trailing=0)
    return reader.add(Dense(x, matrix, full), (outputs,))


def _channel_vector(node: NodeProto, constant: FloatArray, channels: int, *, trailing: int) -> FloatArray:
    """Return a constant that broadcasts over everything but the channels, which `trailing` axes follow."""
    shape = constant.shape
    beyond = shape[len(shape) - trailing :] if trailing else ()
    axes = shape[: len(shape) - trailing]
    if constant.size not in (1, channels) or any(dim != 1 for dim in (*beyond, *axes[:-1])):
        raise _misshapen(node, f"a constant of shape {shape} is not one number per channel")
    return np.broadcast_to(constant.ravel(), (channels,)).astype(np.float64)


def _gemm(reader: _Reader, node: NodeProto, attributes: dict[str, Any]) -> int:
    if attributes.get("transA", 0):
        raise _unsupported(node, "with transA is not read")
    matrix, bias = _weights(reader, node, 1), _weights(reader, node, 2)
    if matrix is None:
        raise _unsupported(node, "needs weights")
    matrix = matrix.T if attributes.get("transB", 0) else matrix
    scaled = None if bias is None else bias * attributes.get("beta", 1.0)
    return _dense(reader, node, matrix * attributes.get("alpha", 1.0), scaled)


def _matmul(reader: _Reader, node: NodeProto, attributes: dict[str, Any]) -> int:  # noqa: ARG001
    matrix = _weights(reader, node, 1)
    if matrix is None:
        raise _unsupported(node, "needs weights")
    return _dense(reader, node, matrix, None)


def _window(node: NodeProto, attributes: dict[str, Any], kernel: Pair | None = None) -> tuple[Pair, Pair, Pads]:
    """Return size, stride and pads of a window; refuse what an integer window has not."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise _unsupported(node, "with auto_pad is not read", hint="write the pads out")
    if set(attributes.get("dilations", [1])) != {1}:
        raise _unsupported(node, "with dilations is not read")
    if attributes.get("ceil_mode", 0):
        raise _unsupported(node, "with ceil_mode is not read")
    size = tuple(attributes.get("kernel_shape", kernel or ()))
    stride = tuple(attributes.get("strides", (1, 1)))
    pads = tuple(attributes.get("pads", (0, 0, 0, 0)))
    if (len(size), len(stride), len(pads)) != (2, 2, 4):
        raise _misshapen(node, "a window has two axes")
    if min(pads) < 0 or any(pad >= extent for pad, extent in zip(pads, size * 2, strict=True)):
        raise _misshapen(node, f"pads {pads} do not fit a window of {size}")
    return size, stride, pads


def _swept(reader: _Reader, node: NodeProto, x: int, size: Pair, stride: Pair, pads: Pads) -> tuple[int, int, int]:
    """Return the shape of the places of a window, with the channels of `x`."""
    shape = reader.shapes[x]
    if len(shape) != 3:
        raise _misshapen(node, f"a value of shape {shape} is not an image")
    height, width, channels = shape
    down = positions(height, pads[0], pads[2], size[0], stride[0])
    across = positions(width, pads[1], pads[3], size[1], stride[1])
    if down < 1 or across < 1:
        raise _misshapen(node, f"a window of {size} is larger than the image {shape}")
    return down, across, channels


def _conv(reader: _Reader, node: NodeProto, attributes: dict[str, Any]) -> int:
    x, kernel, bias = _value(reader, node, 0), _weights(reader, node, 1), _weights(reader, node, 2)
    if attributes.get("group", 1) != 1:
        raise _unsupported(node, "with groups is not read")
    if kernel is None or kernel.ndim != 4:
        raise _misshapen(node, "a kernel has four axes")
    size, stride, pads = _window(node, attributes, (kernel.shape[2], kernel.shape[3]))
    down, across, channels = _swept(reader, node, x, size, stride, pads)
    if kernel.shape[1:] != (channels, *size):
        raise _misshapen(node, f"a kernel of shape {kernel.shape} on {channels} channels")
    full = np.zeros(len(kernel)) if bias is None else _channel_vector(node, bias, len(kernel), trailing=0)
    conv = Conv(x, np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)), full, stride, pads)
    return reader.add(conv, (down, across, len(kernel)))


# ---- the rest ------------------------------------------------------------------------------------


def _relu(reader: _Reader, node: NodeProto, attributes: dict[str, Any]) -> int:  # noqa: ARG001
    x = _value(reader, node, 0)
    result = reader.add(Relu(x), reader.shapes[x])
    if x in reader.orders:
        reader.orders[result] = reader.orders[x]
    return result


def _max_pool(reader: _Reader, node: NodeProto, attributes: dict[str, Any]) -> int:
    x = _value(reader, node, 0)
    size, stride, pads = _window(node, attributes)
    return reader.add(MaxPool(x, size, stride, pads), _swept(reader, node, x, size, stride, pads))


def _average_pool(reader: _Reader, node: NodeProto, attributes: dict[str, Any]) -> int:
    x = _value(reader, node, 0)
    size, stride, pads = _window(node, attributes)
    if any(pads):
        raise _unsupported(node, "with pads is not read")
    return reader.add(AveragePool(x, size, stride), _swept(reader, node, x, size, stride, pads))


def _global_average_pool(reader: _Reader, node: NodeProto, attributes: dict[str, Any]) -> int:  # noqa: ARG001
    x = _value(reader, node, 0)
    if len(reader.shapes[x]) != 3:
        raise _misshapen(node, f"a value of shape {reader.shapes[x]} is not an image")
    size = (reader.shapes[x][0], reader.shapes[x][1])
    return reader.add(AveragePool(x, size, (1, 1)), _swept(reader, node, x, size, (1, 1), (0, 0, 0, 0)))


def _flatten(reader: _Reader, node: NodeProto, attributes: dict[str, Any]) -> int:
    if attributes.get("axis", 1) != 1:
        raise _unsupported(node, "on another axis than 1 is not read")
    return _flat(reader, _value(reader, node, 0))


def _flat(reader: _Reader, x: int) -> int:
    shape = reader.shapes[x]
    if len(shape) == 1:
        return x
    height, width, channels = shape
    theirs = np.arange(prod(shape)).reshape(channels, height, width).transpose(1, 2, 0).ravel()
    result = _reshaped(reader, x, (prod(shape),))
    if (np.diff(theirs) != 1).any():
        reader.orders[result] = theirs
    return result


def _reshaped(reader: _Reader, x: int, shape: tuple[int, ...]) -> int:
    """Reshape, seeing through a reshape before it and leaving out one that changes nothing."""
    before = reader.nodes[x - 1] if x > 0 else None
    source = before.x if isinstance(before, Reshape) else x
    return source if reader.shapes[source] == shape else reader.add(Reshape(source, shape), shape)


def _reshape(reader: _Reader, node: NodeProto, attributes: dict[str, Any]) -> int:
    x = _value(reader, node, 0)
    target = reader.constants.get(node.input[1])
    if target is None or attributes.get("allowzero", 0):
        raise _unsupported(node, "needs a constant shape")
    shape = reader.shapes[x]
    theirs = (shape[2], *shape[:2]) if len(shape) == 3 else shape
    rest = [int(dim) for dim in target.ravel()[1:]]
    rest = [theirs[axis] if dim == 0 and axis < len(theirs) else dim for axis, dim in enumerate(rest)]
    if rest.count(-1) == 1:
        known = prod(dim for dim in rest if dim != -1)
        rest = [prod(shape) // max(known, 1) if dim == -1 else dim for dim in rest]
    if target.size == 0 or int(target.ravel()[0]) not in (-1, 0, 1) or prod(rest) != prod(shape) or min(rest) < 1:
        raise _misshapen(node, f"the shape {target.tolist()} of one input with shape {theirs}")
    if len(rest) == 1:
        return _flat(reader, x)
    plain = len(rest) == 3 and (rest[0] == 1 or rest[1] * rest[2] == 1)
    if len(shape) != 1 or not plain or x in reader.orders:
        raise _misshapen(node, f"from {theirs} to {rest}: read are flattening and images of one channel")
    return _reshaped(reader, x, (rest[1], rest[2], rest[0]))


def _add(reader: _Reader, node: NodeProto, attributes: dict[str, Any]) -> int:  # noqa: ARG001
    constant = next((name for name in node.input if name in reader.constants), None)
    if constant is not None:
        return _add_bias(reader, node, constant)
    x, other = _value(reader, node, 0), _value(reader, node, 1)
    if reader.shapes[x] != reader.shapes[other]:
        raise _misshapen(node, f"shapes {reader.shapes[x]} and {reader.shapes[other]} differ")
    if (x in reader.orders) != (other in reader.orders):
        raise _misshapen(node, "one operand is a flattened image, the other is not")
    result = reader.add(Add(x, other), reader.shapes[x])
    if x in reader.orders:
        reader.orders[result] = reader.orders[x]
    return result


def _add_bias(reader: _Reader, node: NodeProto, constant: str) -> int:
    """A constant added to a product becomes part of its bias."""
    x = _value(reader, node, 1 if node.input[0] == constant else 0)
    product = reader.nodes[x - 1] if x > 0 else None
    if not isinstance(product, Dense | Conv):
        raise _unsupported(node, "of a constant is read only after MatMul, Gemm or Conv")
    trailing = 2 if isinstance(product, Conv) else 0
    values = finite(reader.constants[constant], f"weights {constant!r}")
    bias = product.bias + _channel_vector(node, values, len(product.bias), trailing=trailing)
    return reader.add(replace(product, bias=bias), reader.shapes[x])


_OPERATORS: dict[str, Callable[[_Reader, Any, dict[str, Any]], int]] = {
    "Add": _add,
    "AveragePool": _average_pool,
    "Conv": _conv,
    "Flatten": _flatten,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "Relu": _relu,
    "Reshape": _reshape,
}


# ---- the end -------------------------------------------------------------------------------------


def _output(reader: _Reader, graph: GraphProto) -> int:
    """Return the value all outputs come from."""
    found = {reader.values.get(output.name) for output in graph.output}
    value = found.pop()
    if found or value is None or value == 0:
        raise ProgramError("model.unsupported-shape", "all outputs must come from one computed value")
    if value in reader.orders or (len(reader.shapes[value]) == 3 and prod(reader.shapes[value][:2]) > 1):
        raise ProgramError("model.unsupported-shape", "the output is an image; a classifier ends in a vector")
    return value


def _pruned(graph: FloatGraph, output: int) -> FloatGraph:
    """Return the graph of what `output` needs, so that `output` is its last node."""
    needed = {output}
    for index in range(output - 1, -1, -1):
        if index + 1 in needed:
            needed.update(operands(graph.nodes[index]))
    number = {value: position for position, value in enumerate(sorted(needed | {0}))}
    nodes: list[FloatNode] = []
    for value in sorted(needed - {0}):
        node = graph.nodes[value - 1]
        if isinstance(node, Add):
            nodes.append(replace(node, x=number[node.x], other=number[node.other]))
        else:
            nodes.append(replace(node, x=number[node.x]))
    return FloatGraph(graph.input_shape, tuple(nodes))
