"""Reading ONNX models: products, convolutions, pools, elementwise functions, attention, movements of elements.

A Softmax, LogSoftmax or ArgMax at the end is left off: a label or probabilities follow from the scores.

Invariant: for every accepted model the float graph computes what the ONNX operators compute, images channels-last;
every other model is refused by name. The bytes are untrusted: nothing is read from outside them (no external data).
Source: the ONNX operator reference. What it does not do: dynamic shapes other than the batch, groups, dilations,
masks that are not causal.
"""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from interlace.errors import ProgramError
from interlace.models import onnx_attention, onnx_elements, onnx_layers, onnx_shapes
from interlace.models.float_graph import FloatGraph
from interlace.models.float_nodes import operands, renumbered
from interlace.models.onnx_reader import Attributes, Read, Reader, Shape, in_one_order, unsupported, value_of
from interlace.models.tensor import MAX_ELEMENTS

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

MAX_ONNX_BYTES = 1 << 28
_TAIL = {"Softmax", "LogSoftmax", "ArgMax"}
# What exporters put behind the scores to look a label up.
_AFTER_TAIL = {"ArrayFeatureExtractor", "Cast", "Reshape", "Squeeze", "ZipMap"}
_SAME = {"Identity", "Dropout"}
_OPERATORS: dict[str, Read] = (
    onnx_layers.OPERATORS | onnx_elements.OPERATORS | onnx_shapes.OPERATORS | onnx_attention.OPERATORS
)


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
    reader = _start(proto)
    ends = _ends(proto.graph)
    for node in proto.graph.node:
        _read_node(reader, node, ends)
    output = _output(reader, proto.graph)
    return _pruned(reader, output), reader.layout


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


def _start(proto: ModelProto) -> Reader:
    graph = proto.graph
    constants = {tensor.name: _constant(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise ProgramError("model.unsupported-shape", f"{len(inputs)} inputs; a program has one")
    dims = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]
    if len(dims) not in (2, 3, 4) or dims[0] > 1 or min(dims[1:]) < 1:
        read = "[batch, k], [batch, m, k] and [batch, c, h, w]"
        raise ProgramError("model.unsupported-shape", f"input {dims}: read are {read}")
    layout = "nchw" if len(dims) == 4 else "flat"
    shape: Shape = (dims[2], dims[3], dims[1]) if layout == "nchw" else tuple(dims[1:])
    if prod(shape) > MAX_ELEMENTS:
        raise ProgramError("model.too-large", f"an input of shape {shape} has more than {MAX_ELEMENTS} elements")
    opset = max((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), default=1)
    reader = Reader(opset, constants, [shape], layout, {inputs[0].name: 0}, elements=prod(shape))
    if layout == "nchw":
        reader.channels_last[0] = (dims[2], dims[3], dims[1])
    return reader


def _constant(tensor: TensorProto) -> npt.NDArray[np.generic]:
    onnx = _import_onnx()
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ProgramError("model.invalid-onnx", f"{tensor.name} lies in another file", hint="save with embedded data")
    try:
        return np.asarray(onnx.numpy_helper.to_array(tensor))
    except (ValueError, TypeError) as error:
        raise ProgramError("model.invalid-onnx", f"{tensor.name}: {error}") from None


def _ends(graph: GraphProto) -> set[str]:
    """Return the names of results that lead to nothing but what may stand behind the scores."""
    unread = {name for node in graph.node if not _may_end(node) for name in node.input}
    ends: set[str] = set()
    for node in reversed(graph.node):
        if _may_end(node) and not unread.intersection(node.output):
            ends.update(node.output)
        else:
            unread.update(node.input)
    return ends


def _may_end(node: NodeProto) -> bool:
    return node.op_type in _TAIL | _AFTER_TAIL | _SAME


def _read_node(reader: Reader, node: NodeProto, ends: set[str]) -> None:
    onnx = _import_onnx()
    attributes: Attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    if node.op_type == "Constant" and "value" in attributes:
        reader.constants[node.output[0]] = _constant(attributes["value"])
        return
    tail = next((name for name in node.input if name in reader.tail), None)
    scores = node.op_type in _TAIL and (node.op_type != "Softmax" or ends.issuperset(node.output))
    if scores or tail is not None:
        # A label or probabilities follow from the scores outside the program.
        if tail is not None and node.op_type not in _TAIL | _AFTER_TAIL | _SAME:
            raise unsupported(node, "follows a LogSoftmax or ArgMax, which is read only at the end")
        value = value_of(reader, node, 0) if tail is None else reader.values[tail]
        reader.values |= dict.fromkeys(node.output, value)
        reader.tail.update(node.output)
        return
    widened = node.op_type == "Cast" and attributes["to"] in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    if node.op_type in _SAME or widened:
        _read_same(reader, node)
        return
    read = _OPERATORS.get(node.op_type)
    if read is None or node.domain not in ("", "ai.onnx"):
        raise unsupported(node, "is not read", hint=f"read are {', '.join(sorted({*_OPERATORS, *_TAIL, *_SAME}))}")
    results = read(reader, node, attributes)
    if isinstance(results, int):
        results = [results]
    # Outputs that are not read, such as LayerNormalization's mean, are missed when something takes them.
    reader.values |= dict(zip(node.output, results, strict=False))


def _read_same(reader: Reader, node: NodeProto) -> None:
    name, result = node.input[0], node.output[0]
    if name in reader.constants:
        reader.constants[result] = reader.constants[name]
    elif name in reader.masked:
        reader.masked[result] = reader.masked[name]
    else:
        reader.values[result] = value_of(reader, node, 0)


def _output(reader: Reader, graph: GraphProto) -> int:
    """Return the value all outputs come from."""
    found = {reader.values.get(output.name) for output in graph.output}
    value = found.pop() if len(found) == 1 else None
    if value is None or value == 0:
        raise ProgramError("model.unsupported-shape", "all outputs must come from one computed value")
    shape = reader.theirs(value)
    if value in reader.channels_last and not in_one_order(*reader.channels_last[value]):
        value = reader.plain(value)
    if prod(shape) != max(shape):
        raise ProgramError(
            "model.unsupported-shape",
            f"the output is an image or a matrix, of shape {shape}; a classifier ends in a vector",
            hint="take one position of a sequence with Gather or Slice, or their mean with ReduceMean",
        )
    return value


def _pruned(reader: Reader, output: int) -> FloatGraph:
    """Return the graph of what `output` needs, so that `output` is its last node."""
    needed = {output}
    for index in range(output - 1, -1, -1):
        if index + 1 in needed:
            needed.update(operands(reader.nodes[index]))
    number = {value: position for position, value in enumerate(sorted(needed | {0}))}
    nodes = tuple(renumbered(reader.nodes[value - 1], number) for value in sorted(needed - {0}))
    elements = sum(prod(reader.shapes[value]) for value in number)
    return FloatGraph(reader.shapes[0], nodes, elements)
