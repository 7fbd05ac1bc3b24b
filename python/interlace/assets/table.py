"""A numeric table as canonical bytes: what two people anchor is equal when the rows and columns are equal.

Layout: magic ``ILDS``, version u16 = 1, header length u32, header (canonical JSON: columns and target),
then the rows one after the other, each value 8 bytes: f64 or i64, little-endian; integers of every width
become i64 and floats f64.

Invariant: `decode(encode(t)) == t` and `encode(decode(b)) == b`; decoding refuses everything that `encode`
does not write. No NaN or infinity enters, and -0.0 is written as 0.0, so that equal tables have equal
bytes.
What it does not do: text columns, missing values; a file of another kind is anchored as the bytes it is.
"""

from __future__ import annotations

import csv
import io
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from interlace import _json
from interlace.errors import AssetError

MAGIC = b"ILDS"
VERSION = 1
MAX_COLUMNS = 65_536
MAX_HEADER_BYTES = 1 << 24
_PREFIX = struct.Struct("<4sHI")


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows of numbers with named columns.

    Parameters
    ----------
    values
        All cells, ``float64`` or ``int64`` [rows, columns], C order.
    columns
        One name per column, without duplicates.
    target
        Name of the column that a model learns to predict; empty when there is none.
    """

    values: NDArray[np.float64] | NDArray[np.int64]
    columns: tuple[str, ...]
    target: str = ""

    def __eq__(self, other: object) -> bool:
        """Compare cells, names, target and element type."""
        if not isinstance(other, Table):
            return NotImplemented
        return encode(self) == encode(other)

    def __hash__(self) -> int:
        """Hash the canonical bytes."""
        return hash(encode(self))

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self.values.shape[0])

    def features(self) -> NDArray[np.float64]:
        """Every column but the target, ``float64`` [rows, features]."""
        keep = [i for i, name in enumerate(self.columns) if name != self.target]
        return np.ascontiguousarray(self.values[:, keep], dtype=np.float64)

    def labels(self) -> NDArray[np.int64]:
        """The target column as class numbers, ``int64`` [rows].

        Raises
        ------
        AssetError
            ``asset.no-target`` when the table has no target, or its values are not whole numbers.
        """
        if not self.target:
            hint = "anchor (features, labels)"
            raise AssetError("asset.no-target", "the table names no target column", hint=hint)
        column = self.values[:, self.columns.index(self.target)]
        whole = column.astype(np.int64)
        if not np.array_equal(whole, column):
            raise AssetError("asset.no-target", f"column {self.target!r} holds more than whole numbers")
        return whole


def table(values: ArrayLike, columns: Sequence[str] | None = None, target: str = "") -> Table:
    """Build a table from a matrix of numbers.

    Raises
    ------
    AssetError
        ``asset.bad-table`` for a wrong shape, type, name or a value that is not finite.
    """
    array = np.asarray(values)
    if array.ndim != 2 or 0 in array.shape:
        raise AssetError("asset.bad-table", f"shape {array.shape} is not [rows, columns]")
    if array.dtype.kind not in "iufb":
        raise AssetError("asset.bad-table", f"element type {array.dtype} is not a number")
    if array.dtype == np.uint64 and bool((array > np.iinfo(np.int64).max).any()):
        raise AssetError("asset.bad-table", f"{int(array.max())} does not fit into 64 signed bits")
    names = tuple(columns) if columns is not None else tuple(f"x{i}" for i in range(array.shape[1]))
    _check_names(names, target, array.shape[1])
    if array.dtype.kind != "f":
        whole = np.array(array, dtype=np.int64, order="C")
        whole.flags.writeable = False
        return Table(whole, names, target)
    # -0.0 + 0.0 is 0.0: one spelling of zero.
    cells = np.array(array, dtype=np.float64, order="C") + 0.0
    if not np.isfinite(cells).all():
        row, column = (int(i) for i in np.argwhere(~np.isfinite(cells))[0])
        raise AssetError("asset.bad-table", f"row {row}, column {names[column]!r}: {cells[row, column]}")
    cells.flags.writeable = False
    return Table(cells, names, target)


def labelled(features: ArrayLike, labels: ArrayLike, target: str = "target") -> Table:
    """Build a table from a matrix of features and a vector of labels, the labels in the last column."""
    matrix, vector = np.asarray(features), np.asarray(labels)
    if matrix.ndim != 2 or vector.ndim != 1 or len(matrix) != len(vector):
        raise AssetError("asset.bad-table", f"features {matrix.shape} and labels {vector.shape} do not match")
    names = [f"x{i}" for i in range(matrix.shape[1])] + [target]
    return table(np.column_stack([matrix, vector]), names, target)


def read_csv(text: str, target: str = "") -> Table:
    """Read comma-separated numbers under one line of column names; all-integer text becomes integers."""
    lines = list(csv.reader(io.StringIO(text)))
    if len(lines) < 2:
        raise AssetError("asset.bad-table", f"{len(lines)} lines: a table has names and at least one row")
    names, body = lines[0], lines[1:]
    for number, line in enumerate(body, start=2):
        if len(line) != len(names):
            raise AssetError("asset.bad-table", f"line {number} has {len(line)} cells, not {len(names)}")
    try:
        return table(np.array([[int(cell) for cell in line] for line in body], dtype=np.int64), names, target)
    except (ValueError, OverflowError):
        pass  # not whole numbers: read as floats, below
    try:
        return table([[float(cell) for cell in line] for line in body], names, target)
    except ValueError as error:
        raise AssetError("asset.bad-table", str(error), hint="text columns cannot be a table") from error


def encode(value: Table) -> bytes:
    """Canonical bytes of a table."""
    kind = "f64" if value.values.dtype == np.float64 else "i64"
    header = _header(value.columns, value.target, kind, value.rows)
    order = "<f8" if kind == "f64" else "<i8"
    cells = value.values.astype(order, copy=False).tobytes("C")
    return _PREFIX.pack(MAGIC, VERSION, len(header)) + header + cells


def decode(content: bytes) -> Table:
    """Read canonical bytes back.

    Raises
    ------
    AssetError
        ``asset.not-a-table`` for bytes that `encode` does not write.
    """
    if len(content) < _PREFIX.size or content[:4] != MAGIC:
        raise _not("the bytes do not start as a table does")
    _, version, header_bytes = _PREFIX.unpack_from(content)
    if version != VERSION:
        raise _not(f"version {version} != {VERSION}")
    start = _PREFIX.size + header_bytes
    if header_bytes > MAX_HEADER_BYTES or start > len(content):
        raise _not(f"a header of {header_bytes} bytes in {len(content)}")
    header = content[_PREFIX.size : start]
    try:
        fields = _json.loads(header, 2)  # an object with the list of columns
        columns, target = tuple(fields["columns"]), fields["target"]
        kind, rows = fields["type"], fields["rows"]
    except (ValueError, KeyError, TypeError) as error:
        raise _not(f"header: {error}") from error
    words = (target, *columns)
    if kind not in ("f64", "i64") or type(rows) is not int or not all(isinstance(w, str) for w in words):
        raise _not("header fields have wrong types")
    if _header(columns, target, kind, rows) != header or len(content) - start != 8 * rows * len(columns):
        raise _not(f"{len(content) - start} bytes do not hold {rows} rows of {len(columns)} columns")
    cells = np.frombuffer(content, dtype="<f8" if kind == "f64" else "<i8", offset=start)
    value = table(cells.reshape(rows, len(columns)), columns, target)
    if encode(value) != content:
        raise _not("a zero is written as -0.0")
    return value


def _header(columns: Sequence[str], target: str, kind: str, rows: int) -> bytes:
    fields = {"columns": list(columns), "rows": rows, "target": target, "type": kind}
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _check_names(names: tuple[str, ...], target: str, width: int) -> None:
    if len(names) != width or len(set(names)) != len(names) or not all(names):
        raise AssetError("asset.bad-table", f"{len(names)} names for {width} columns; all must differ")
    if width > MAX_COLUMNS:
        raise AssetError("asset.bad-table", f"{width} columns > {MAX_COLUMNS}")
    if target and target not in names:
        hint = f"columns: {', '.join(names[:8])}"
        raise AssetError("asset.bad-table", f"no column is named {target!r}", hint=hint)


def _not(reason: str) -> AssetError:
    return AssetError("asset.not-a-table", reason, hint="anchor numbers as a table to train on them")
