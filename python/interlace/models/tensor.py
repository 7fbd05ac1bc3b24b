"""Tensors between numpy and their wire form (magic ``ILTV``).

Invariant: `decode(encode(a))` equals `a`; only i8 and i32 arrays within the limits have a wire form, and whatever is
not one is refused with a `tensor.*` code before anything is computed.
What it does not do: it never rounds or casts; floats become integers in `quantise` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from interlace import _core
from interlace.errors import ProgramError

MAX_RANK = 8
MAX_ELEMENTS = 1 << 24

IntArray: TypeAlias = npt.NDArray[np.int8] | npt.NDArray[np.int32]
FloatArray: TypeAlias = npt.NDArray[np.float64]

_CODES = {"i8": 1, "i32": 2}
_WIDTHS = {"i8": 1, "i32": 4}


def dtype_name(array: npt.NDArray[np.generic]) -> str:
    """Return ``i8`` or ``i32``; refuse every other element type with `tensor.dtype`."""
    if array.dtype == np.int8:
        return "i8"
    if array.dtype == np.int32:
        return "i32"
    raise ProgramError(
        "tensor.dtype",
        f"elements are {array.dtype}, a tensor has int8 or int32",
        hint="convert float inputs with Quantised.prepare or ModelCard.prepare",
    )


def from_packed(data: bytes, name: str, shape: Sequence[int], offset: int = 0) -> IntArray:
    """Return little-endian ``i8`` or ``i32`` elements as an array of `shape`, without copying."""
    if name == "i8":
        return np.frombuffer(data, np.dtype("<i1"), offset=offset).reshape(shape)
    return np.frombuffer(data, np.dtype("<i4"), offset=offset).reshape(shape)


def encode(array: npt.NDArray[np.generic]) -> bytes:
    """Return the wire form of an int8 or int32 array of at most 8 axes.

    Raises
    ------
    ProgramError
        `tensor.dtype`, `tensor.limit` or `tensor.dimension`.
    """
    name = dtype_name(array)
    if array.ndim > MAX_RANK:
        raise ProgramError("tensor.limit", f"the tensor's rank is {array.ndim}, the limit is {MAX_RANK}")
    if array.size > MAX_ELEMENTS:
        raise ProgramError("tensor.limit", f"the tensor has {array.size} elements, the limit is {MAX_ELEMENTS}")
    if array.size == 0:
        raise ProgramError("tensor.dimension", f"an axis of the shape {array.shape} has extent 0")
    dims = b"".join(int(dim).to_bytes(4, "big") for dim in array.shape)
    return b"ILTV" + bytes([_CODES[name], array.ndim]) + dims + array.astype(f"<i{_WIDTHS[name]}", order="C").tobytes()


def decode(data: bytes) -> IntArray:
    """Return the array of a wire form; it shares the memory of `data` and cannot be written.

    Raises
    ------
    ProgramError
        `tensor.*` when `data` is not the wire form of a tensor.
    """
    name, shape = _core.tensor_type(data)
    return from_packed(data, name, shape, offset=6 + 4 * len(shape))


def finite(values: npt.ArrayLike, what: str) -> FloatArray:
    """Return `values` as float64; refuse what is not numbers, NaN and infinities."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ProgramError("tensor.dtype", f"{what} are not numbers: {error}") from None
    if not np.isfinite(array).all():
        at = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
        raise ProgramError("tensor.not-finite", f"{what} have {array[at]} at {at}")
    return array


def expect_shape(array: npt.NDArray[np.generic], shape: Sequence[int], what: str) -> None:
    """Refuse an array whose shape, without its first axis, is not `shape`."""
    if array.ndim < 1 or array.shape[1:] != tuple(shape):
        wanted = ", ".join(["n", *map(str, shape)])
        raise ProgramError("tensor.shape", f"{what} must have shape ({wanted}), not {array.shape}")
