"""What the rows of a data set are meant to be: declared columns, ranges, categories and classes.

Invariant: a schema has one spelling (`to_json`), so that its hash can be compared; a cell conforms or not by exact
comparison of fractions and texts.
What it does not do: it guesses no types and fills nothing in; what is not declared is not judged.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

from interlace._core import keccak256
from interlace.errors import AssetError

from .rows import MAX_COLUMNS, Cell, Raw, Rows, cell
from .table import Table

Kind = Literal["number", "category", "text"]
MAX_CLASSES = 256
MAX_CATEGORIES = 1_024


@dataclass(frozen=True)
class Column:
    """One column.

    Parameters
    ----------
    name
        As in the rows.
    kind
        ``number``, ``category`` or ``text``.
    low, high
        Smallest and largest number that conform, both included, `low` < `high`.
    categories
        What a category may be; canonical cells, made by `category`.
    required
        Whether a missing cell counts against completeness.
    """

    name: str
    kind: Kind
    low: Fraction = Fraction(0)
    high: Fraction = Fraction(0)
    categories: tuple[Cell, ...] = ()
    required: bool = True

    def __post_init__(self) -> None:
        """Refuse a declaration that no cell or every cell would meet."""
        if self.kind == "number" and not self.low < self.high:
            raise _bad(f"column {self.name!r}: {self.low} is not below {self.high}")
        if self.kind == "category":
            count = len(self.categories)
            if not 1 <= count <= MAX_CATEGORIES or len(set(self.categories)) != count or None in self.categories:
                raise _bad(f"column {self.name!r} has {count} categories; 1 to {MAX_CATEGORIES} different ones")
        if self.kind not in ("number", "category", "text"):
            raise _bad(f"column {self.name!r}: kind {self.kind!r} is not number, category or text")

    def conforms(self, value: Cell) -> bool:
        """Tell whether a cell that is not missing is what the column declares."""
        if self.kind == "number":
            return isinstance(value, Fraction) and self.low <= value <= self.high
        return self.kind == "text" or value in self._known

    @cached_property
    def _known(self) -> frozenset[Cell]:
        return frozenset(self.categories)


def number(name: str, low: float | Fraction, high: float | Fraction, *, required: bool = True) -> Column:
    """Declare numbers from `low` to `high`, both included; a float means the fraction that its bits are."""
    ends = cell(low), cell(high)
    if not isinstance(ends[0], Fraction) or not isinstance(ends[1], Fraction):
        raise _bad(f"column {name!r}: {low} to {high} is no range of numbers")
    return Column(name, "number", ends[0], ends[1], required=required)


def category(name: str, categories: Sequence[Raw], *, required: bool = True) -> Column:
    """Declare one of several values."""
    return Column(name, "category", categories=tuple(map(cell, categories)), required=required)


def text(name: str, *, required: bool = True) -> Column:
    """Declare words."""
    return Column(name, "text", required=required)


@dataclass(frozen=True)
class Schema:
    """The columns in order, one of which is the label.

    Parameters
    ----------
    columns
        One for each column of the rows.
    target
        Name of the label: a category of 2 to 256 classes.

    Raises
    ------
    AssetError
        ``asset.bad-schema``.
    """

    columns: tuple[Column, ...]
    target: str

    def __post_init__(self) -> None:
        """Check names and target."""
        names = self.names
        if not 2 <= len(names) <= MAX_COLUMNS or len(set(names)) != len(names) or not all(names):
            raise _bad(f"{len(names)} columns; 2 to {MAX_COLUMNS} different names are possible")
        if self.target not in names or self.label.kind != "category":
            raise _bad(f"target {self.target!r} is no column of categories", hint="declare it with category()")
        if not 2 <= len(self.classes) <= MAX_CLASSES:
            raise _bad(f"{len(self.classes)} classes; 2 to {MAX_CLASSES} are possible")

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def place(self) -> int:
        """Place of the target among the columns."""
        return self.names.index(self.target)

    @property
    def label(self) -> Column:
        """The target column."""
        return self.columns[self.place]

    @property
    def classes(self) -> tuple[Cell, ...]:
        """The declared classes, in the order in which a program counts them."""
        return self.label.categories

    @property
    def features(self) -> tuple[Column, ...]:
        """Every column but the target."""
        return tuple(column for column in self.columns if column.name != self.target)

    def expect(self, rows: Rows) -> None:
        """Refuse rows whose columns are not the declared ones in the declared order (``asset.bad-rows``)."""
        if rows.columns != self.names:
            raise AssetError(
                "asset.bad-rows",
                f"columns {', '.join(rows.columns[:8])}, declared are {', '.join(self.names[:8])}",
                hint="name and order the columns as the schema does",
            )

    def to_json(self) -> str:
        """Canonical text."""
        columns = [
            {
                "categories": [None if value is None else str(value) for value in column.categories],
                "high": str(column.high),
                "kind": column.kind,
                "low": str(column.low),
                "name": column.name,
                "numeric": [isinstance(value, Fraction) for value in column.categories],
                "required": column.required,
            }
            for column in self.columns
        ]
        body = {"columns": columns, "target": self.target}
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    def hash(self) -> bytes:
        """keccak256 of the canonical text."""
        return keccak256(self.to_json().encode())


def schema_of(value: Table) -> Schema:
    """Declare a table's columns by what it holds: numbers from smallest to largest, the target's values as classes.

    For a table that is known to be good; what is to be judged needs a schema from elsewhere. A column of one value
    becomes a range of one above it.

    Raises
    ------
    AssetError
        ``asset.no-target``, ``asset.bad-schema``.
    """
    classes = sorted({int(label) for label in value.labels()})
    columns = []
    for place, name in enumerate(value.columns):
        if name == value.target:
            columns.append(category(name, classes))
        else:
            low, high = (Fraction(end.item()) for end in (value.values[:, place].min(), value.values[:, place].max()))
            columns.append(number(name, low, high if low < high else low + 1))
    return Schema(tuple(columns), value.target)


def _bad(reason: str, hint: str = "") -> AssetError:
    return AssetError("asset.bad-schema", reason, hint=hint)
