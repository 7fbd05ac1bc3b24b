"""A small ONNX file of float32 numbers that are integers, written operator by operator.

Invariant: every constant equals its float32 number; one that does not is refused before anything is written.
Source: the ONNX operator set 13, ``MatMul``, ``Add``, ``Sub``, ``Mul``, ``Div``, ``Less``, ``Cast``, ``Relu``,
``Slice``, ``Reshape``.
What it does not do: it runs nothing and gives no operator a meaning; whoever reads the file does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from interlace.errors import ProgramError

OPSET: Final = 13
IR_VERSION: Final = 8
INPUT: Final = "input"


@dataclass(slots=True)
class Sheet:
    """Operators in order and their constants; the input is called ``input``.

    Attributes
    ----------
    operations
        (ONNX operator, names of operands, name of the result).
    constants
        Arrays by name: float32 numbers, or int64 for shapes and positions.
    """

    operations: list[tuple[str, tuple[str, ...], str]] = field(default_factory=list)
    constants: dict[str, npt.NDArray[np.generic]] = field(default_factory=dict)

    def numbers(self, values: npt.ArrayLike) -> str:
        """Add integers as a constant; returns its name.

        Raises
        ------
        ProgramError
            `model.not-exact` if one of them has no float32.
        """
        exact = np.asarray(values, dtype=object)
        floats = exact.astype(np.float32)
        if any(int(a) != int(b) for a, b in zip(floats.ravel().tolist(), exact.ravel().tolist(), strict=True)):
            raise ProgramError("model.not-exact", "an integer constant of more than 24 bits has no float32")
        return self._constant(floats)

    def positions(self, values: Sequence[int]) -> str:
        """Add int64 numbers as a constant; returns its name."""
        return self._constant(np.asarray(values, dtype=np.int64))

    def add(self, operator: str, *operands: str) -> str:
        """Add an operator; returns the name of its result."""
        name = f"v{len(self.operations)}"
        self.operations.append((operator, operands, name))
        return name

    def to_onnx(self, input_shape: Sequence[int], output: str, output_shape: Sequence[int]) -> bytes:
        """Return the file whose input and output have these shapes.

        Raises
        ------
        ProgramError
            `model.extra-missing` without the package onnx.
        """
        try:
            from onnx import TensorProto, helper, numpy_helper
        except ImportError:
            raise ProgramError("model.extra-missing", "onnx is not installed", hint="pip install onnx") from None
        nodes = []
        for operator, operands, name in self.operations:
            node = helper.make_node(operator, list(operands), [name])
            if operator == "Cast":
                node.attribute.append(helper.make_attribute("to", TensorProto.FLOAT))
            nodes.append(node)
        graph = helper.make_graph(
            nodes,
            "integers",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, list(input_shape))],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, list(output_shape))],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        written: bytes = model.SerializeToString()
        return written

    def _constant(self, array: npt.NDArray[np.generic]) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name
