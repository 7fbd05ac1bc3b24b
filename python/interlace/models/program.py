"""An integer program as Python sees it: load, run on arrays, describe.

Invariant: an object of this class holds a valid program; its bytes, id and results are those of the compiled core.
Format and semantics: docs/integer-programs.md.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from interlace import _core
from interlace.errors import ProgramError
from interlace.models import tensor
from interlace.models.tensor import IntArray

MAX_FILE_BYTES = (1 << 26) + (1 << 20)


class Program:
    """A valid integer program; make one with `from_bytes`, `load`, `GraphBuilder` or `quantise`.

    Equal programs have equal bytes, hence equal ids; a program can be used from several threads at once.
    """

    __slots__ = ("core",)

    def __init__(self, core: _core.Program) -> None:
        self.core = core

    @classmethod
    def from_bytes(cls, data: bytes) -> Program:
        """Validate `data` (manifest and weights); raises `program.*` naming what is wrong."""
        return cls(_core.Program.from_bytes(bytes(data)))

    @classmethod
    def assemble(cls, graph: bytes, weights: bytes) -> Program:
        """Put a true header before the bytes of a graph and validate the whole."""
        return cls(_core.Program.assemble(graph, weights))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Program:
        """Read an ``.ilp`` file; raises `program.unreadable`, `program.limit` or what `from_bytes` raises."""
        try:
            size = Path(path).stat().st_size
            if size > MAX_FILE_BYTES:
                raise ProgramError("program.limit", f"{path} has {size} bytes, the limit is {MAX_FILE_BYTES}")
            data = Path(path).read_bytes()
        except OSError as error:
            raise ProgramError("program.unreadable", f"{path}: {error.strerror}") from None
        return cls.from_bytes(data)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the program as an ``.ilp`` file; the file appears whole or not at all."""
        part = Path(f"{os.fspath(path)}.part")
        part.write_bytes(self.to_bytes())
        part.replace(path)

    def to_bytes(self) -> bytes:
        """Return manifest and weights."""
        return self.core.manifest + self.core.weights

    @property
    def id(self) -> bytes:
        """keccak256 of the manifest, 32 bytes."""
        return self.core.id

    @property
    def units(self) -> int:
        """Units of work of one run: a function of the graph alone."""
        return self.core.units

    @property
    def semantics(self) -> int:
        """Version of the semantics."""
        return self.core.semantics

    @property
    def manifest(self) -> bytes:
        """Header and graph: what the id is the hash of."""
        return self.core.manifest

    @property
    def weights(self) -> bytes:
        """The weights, as they stand behind the manifest."""
        return self.core.weights

    @property
    def weights_root(self) -> bytes:
        """Merkle root over the chunks of the weights, 32 bytes."""
        return self.core.weights_root

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input."""
        return tuple(self.core.input_shape)

    @property
    def input_dtype(self) -> str:
        """``i8`` or ``i32``."""
        return self.core.input_dtype

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return tuple(self.core.output_shape)

    @property
    def output_dtype(self) -> str:
        """``i8`` or ``i32``."""
        return self.core.output_dtype

    def run(self, values: npt.NDArray[np.generic], *, path: str | None = None) -> IntArray:
        """Run on one input of exactly the program's type and shape.

        Parameters
        ----------
        values
            int8 or int32 array.
        path
            Kernel path by name (`paths`); the fastest one when absent. All return the same bits.
        """
        return tensor.decode(self.core.run(tensor.encode(values), path))

    def run_bytes(self, data: bytes) -> bytes:
        """Run on one encoded tensor; returns the encoded output."""
        return self.core.run(data)

    def run_batch(self, values: npt.NDArray[np.generic], *, path: str | None = None) -> IntArray:
        """Run on `n` inputs, shape ``(n, *input_shape)``; returns shape ``(n, *output_shape)``."""
        if tensor.dtype_name(values) != self.input_dtype:
            raise ProgramError("tensor.dtype", f"elements are {values.dtype}, the program takes {self.input_dtype}")
        tensor.expect_shape(values, self.input_shape, "inputs")
        packed = self.core.run_batch(np.ascontiguousarray(values).data, path)
        return tensor.from_packed(packed, self.output_dtype, (len(values), *self.output_shape))

    def predict(self, values: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
        """Return for each of `n` inputs the index of the largest output, the lowest of equals."""
        outputs = self.run_batch(values)
        return np.asarray(outputs.reshape(len(values), -1).argmax(axis=1), dtype=np.int64)

    @staticmethod
    def paths() -> list[str]:
        """Kernel paths of this machine, slowest first."""
        return _core.Program.paths()

    def describe(self) -> str:
        """Return the program as a text table: one line per node."""
        rows = [("value", "operator", "of", "type", "units", "attributes")]
        rows.append(("0", "input", "", self._type(self.input_dtype, self.input_shape), "", ""))
        for index, (name, operands, dtype, shape, units, text) in enumerate(self.core.nodes()):
            of = ",".join(map(str, operands))
            rows.append((str(index + 1), name, of, self._type(dtype, tuple(shape)), f"{units:,}", text))
        widths = [max(len(row[column]) for row in rows) for column in range(6)]
        table = "\n".join("  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)).rstrip() for r in rows)
        size = len(self.manifest) + len(self.weights)
        return f"program 0x{self.id.hex()}\n{size:,} bytes, {self.units:,} units\n\n{table}\n"

    @staticmethod
    def _type(dtype: str, shape: tuple[int, ...]) -> str:
        return f"{dtype}[{','.join(map(str, shape))}]"

    def __eq__(self, other: object) -> bool:
        """Equal ids: the manifest commits to the weights."""
        return isinstance(other, Program) and self.id == other.id

    def __hash__(self) -> int:
        """Hash of the id."""
        return hash(self.id)

    def __repr__(self) -> str:
        """Return id, types and units."""
        return repr(self.core)
