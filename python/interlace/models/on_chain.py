"""Integer programs on a chain: arrays go in and come out as with `Program.run`.

Invariant: what the chain answers is what `Program.run` returns, to the last bit; who wants to be sure compares.
Source: docs/ai-instructions.md.
What it does not do: it sends nothing but what `interlace.chain.programs` sends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from interlace.chain import Account, Client, programs
from interlace.errors import ProgramError
from interlace.models import tensor
from interlace.models.program import Program
from interlace.models.tensor import IntArray

_BIG: dict[str, np.dtype[Any]] = {"i8": np.dtype(">i1"), "i32": np.dtype(">i4")}


def to_elements(program: Program, values: npt.NDArray[np.generic]) -> bytes:
    """Return an input as contracts give it to the chain: one byte for each i8, four, the highest first, for each i32.

    Raises
    ------
    ProgramError
        ``tensor.dtype``, ``tensor.mismatch`` if it is not of the program's type and shape.
    """
    if tensor.dtype_name(values) != program.input_dtype:
        raise ProgramError("tensor.dtype", f"elements are {values.dtype}, the program takes {program.input_dtype}")
    if values.shape != program.input_shape:
        raise ProgramError("tensor.mismatch", f"the shape is {values.shape}, the program takes {program.input_shape}")
    return values.astype(_BIG[program.input_dtype]).tobytes()


def from_elements(program: Program, elements: bytes) -> IntArray:
    """Return an output that a contract got from the chain as an array of the program's output type and shape.

    Raises
    ------
    ProgramError
        ``tensor.mismatch`` if it has another number of bytes.
    """
    dtype = _BIG[program.output_dtype]
    if len(elements) != dtype.itemsize * int(np.prod(program.output_shape)):
        raise ProgramError(
            "tensor.mismatch", f"{len(elements)} bytes are no {program.output_dtype}{list(program.output_shape)}"
        )
    array = np.frombuffer(elements, dtype).reshape(program.output_shape)
    return array.astype(np.int8) if program.output_dtype == "i8" else array.astype(np.int32)


def register(
    client: Client, account: Account, program: Program, step: Callable[[int, int], None] = lambda _done, _all: None
) -> bytes:
    """Put a program into a chain's state, unless it is there, and return its id.

    Parameters and errors are those of `interlace.chain.programs.register_program`.
    """
    return programs.register_program(client, account, program.to_bytes(), step)


def infer(client: Client, program: Program, values: npt.NDArray[np.generic], block: int | str = "latest") -> IntArray:
    """Have the chain run a registered program on one input, in a call that changes nothing.

    Raises
    ------
    ProgramError
        ``tensor.dtype``, ``tensor.mismatch`` for another input than the program takes.
    ChainError
        ``chain.reverted`` with the reason, ``chain.no-instructions`` if the chain does not run programs.
    """
    return from_elements(program, programs.infer(client, program.id, to_elements(program, values), block))
