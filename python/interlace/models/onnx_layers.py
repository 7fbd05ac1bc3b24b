"""ONNX operators with weights and windows: Gemm, MatMul, Conv and the pools.

Invariant: kernels, and the rows of a matrix behind a flattened image, are permuted to channels-last.
What it does not do: it reads no product of two values by itself, see `onnx_attention`.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from interlace.models.float_graph import positions
from interlace.models.float_nodes import AveragePool, Conv, Dense, MaxPool, Pads, Pair
from interlace.models.onnx_attention import read_product
from interlace.models.onnx_reader import (
    Attributes,
    Read,
    Reader,
    integers_of,
    misshapen,
    sample_axis,
    unsupported,
    value_of,
    weights_of,
)
from interlace.models.tensor import FloatArray

if TYPE_CHECKING:
    from onnx import NodeProto

MAX_WINDOW = 1 << 10


# ---- products ------------------------------------------------------------------------------------


def _dense(reader: Reader, node: NodeProto, matrix: FloatArray, bias: FloatArray | None) -> int:
    x = value_of(reader, node, 0)
    shape = reader.theirs(x)
    if matrix.ndim != 2 or matrix.shape[0] != shape[-1]:
        raise misshapen(node, f"weights {matrix.shape} on a value of shape {shape}")
    if x in reader.channels_last and len(shape) == 1:
        matrix = matrix[flat_order(*reader.channels_last[x])]
    else:
        x = reader.plain(x)
    outputs = matrix.shape[1]
    full = np.zeros(outputs) if bias is None else _bias(node, bias, outputs)
    if len(shape) <= 2:
        return reader.add(Dense(x, matrix, full), (*shape[:-1], outputs))
    rows = prod(shape[:-1])
    flat = reader.reshape(x, (rows, shape[-1]))
    return reader.reshape(reader.add(Dense(flat, matrix, full), (rows, outputs)), (*shape[:-1], outputs))


def flat_order(height: int, width: int, channels: int) -> npt.NDArray[np.intp]:
    """Return for each element of an image flattened channels-last its place in ONNX's order."""
    return np.arange(height * width * channels).reshape(channels, height, width).transpose(1, 2, 0).ravel()


def _bias(node: NodeProto, constant: FloatArray, channels: int) -> FloatArray:
    """Return a bias, ``[channels]`` or one number, as an array of all channels."""
    if constant.size not in (1, channels) or any(dim != 1 for dim in constant.shape[:-1]):
        raise misshapen(node, f"a constant of shape {constant.shape} is not one number per channel")
    return np.broadcast_to(constant.ravel(), (channels,)).astype(np.float64)


def _gemm(reader: Reader, node: NodeProto, attributes: Attributes) -> int:
    if attributes.get("transA", 0):
        raise unsupported(node, "with transA is not read")
    matrix, bias = weights_of(reader, node, 1), weights_of(reader, node, 2)
    if matrix is None:
        raise unsupported(node, "needs weights")
    matrix = matrix.T if attributes.get("transB", 0) else matrix
    scaled = None if bias is None else bias * attributes.get("beta", 1.0)
    return _dense(reader, node, matrix * attributes.get("alpha", 1.0), scaled)


def _matmul(reader: Reader, node: NodeProto, attributes: Attributes) -> int:
    if node.input[1] not in reader.constants:
        return read_product(reader, node, attributes)
    matrix = weights_of(reader, node, 1)
    if matrix is None:
        raise unsupported(node, "needs weights")
    return _dense(reader, node, matrix, None)


# ---- windows -------------------------------------------------------------------------------------


def _window(node: NodeProto, attributes: Attributes, kernel: Pair | None = None) -> tuple[Pair, Pair, Pads]:
    """Return size, stride and pads of a window; refuse what an integer window has not."""
    if attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise unsupported(node, "with auto_pad is not read", hint="write the pads out")
    if set(attributes.get("dilations", [1])) != {1}:
        raise unsupported(node, "with dilations is not read")
    if attributes.get("ceil_mode", 0):
        raise unsupported(node, "with ceil_mode is not read")
    size = tuple(attributes.get("kernel_shape", kernel or ()))
    stride = tuple(attributes.get("strides", (1, 1)))
    pads = tuple(attributes.get("pads", (0, 0, 0, 0)))
    if (len(size), len(stride), len(pads)) != (2, 2, 4):
        raise misshapen(node, "a window has two axes")
    if min(pads) < 0 or any(pad >= extent for pad, extent in zip(pads, size * 2, strict=True)):
        raise misshapen(node, f"pads {pads} do not fit a window of {size}")
    return size, stride, pads


def _swept(reader: Reader, node: NodeProto, x: int, size: Pair, stride: Pair, pads: Pads) -> tuple[int, int, int]:
    """Return the shape of the places of a window, with the channels of image `x`."""
    height, width, channels = reader.channels_last[x]
    down = positions(height, pads[0], pads[2], size[0], stride[0])
    across = positions(width, pads[1], pads[3], size[1], stride[1])
    if down < 1 or across < 1:
        raise misshapen(node, f"a window of {size} is larger than the image {(height, width, channels)}")
    return down, across, channels


def _add_image(reader: Reader, node: Conv | MaxPool | AveragePool, shape: tuple[int, int, int]) -> int:
    result = reader.add(node, shape)
    reader.channels_last[result] = shape
    return result


def _conv(reader: Reader, node: NodeProto, attributes: Attributes) -> int:
    x = reader.image(node, value_of(reader, node, 0))
    kernel, bias = weights_of(reader, node, 1), weights_of(reader, node, 2)
    if attributes.get("group", 1) != 1:
        raise unsupported(node, "with groups is not read")
    if kernel is None or kernel.ndim != 4:
        raise misshapen(node, "a kernel has four axes")
    size, stride, pads = _window(node, attributes, (kernel.shape[2], kernel.shape[3]))
    down, across, channels = _swept(reader, node, x, size, stride, pads)
    if kernel.shape[1:] != (channels, *size):
        raise misshapen(node, f"a kernel of shape {kernel.shape} on {channels} channels")
    full = np.zeros(len(kernel)) if bias is None else _bias(node, bias, len(kernel))
    conv = Conv(x, np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)), full, stride, pads)
    return _add_image(reader, conv, (down, across, len(kernel)))


def _max_pool(reader: Reader, node: NodeProto, attributes: Attributes) -> int:
    x = reader.image(node, value_of(reader, node, 0))
    size, stride, pads = _window(node, attributes)
    return _add_image(reader, MaxPool(x, size, stride, pads), _swept(reader, node, x, size, stride, pads))


def _average_pool(reader: Reader, node: NodeProto, attributes: Attributes) -> int:
    x = reader.image(node, value_of(reader, node, 0))
    size, stride, pads = _window(node, attributes)
    if any(pads):
        raise unsupported(node, "with pads is not read")
    return _add_image(reader, AveragePool(x, size, stride), _swept(reader, node, x, size, stride, pads))


def _global_average_pool(reader: Reader, node: NodeProto, attributes: Attributes) -> int:  # noqa: ARG001
    return _mean_of_image(reader, reader.image(node, value_of(reader, node, 0)))


def _mean_of_image(reader: Reader, x: int) -> int:
    height, width, channels = reader.channels_last[x]
    return _add_image(reader, AveragePool(x, (height, width), (1, 1)), (1, 1, channels))


def _reduce_mean(reader: Reader, node: NodeProto, attributes: Attributes) -> int:
    """A mean over the places of an image or over a sequence is a pool."""
    x = value_of(reader, node, 0)
    theirs = reader.theirs(x)
    listed = attributes.get("axes") or integers_of(reader, node, 1) or []
    axes = {sample_axis(node, axis, theirs) for axis in listed}
    kept = bool(attributes.get("keepdims", 1))
    if x in reader.channels_last and len(theirs) == 3 and axes == {1, 2}:
        mean = _mean_of_image(reader, x)
        return mean if kept else reader.reshape(mean, (theirs[0],))
    if len(theirs) != 2 or axes != {0}:
        raise misshapen(node, f"a mean over axes {sorted(listed)} of a batch of shape {theirs}")
    rows, channels = theirs
    if rows > MAX_WINDOW:
        raise misshapen(node, f"a mean of {rows} positions, at most {MAX_WINDOW} are read")
    column = reader.reshape(reader.plain(x), (rows, 1, channels))
    mean = reader.add(AveragePool(column, (rows, 1), (1, 1)), (1, 1, channels))
    return reader.reshape(mean, (1, channels) if kept else (channels,))


OPERATORS: dict[str, Read] = {
    "AveragePool": _average_pool,
    "Conv": _conv,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
    "ReduceMean": _reduce_mean,
}
