"""Rows as they came, in one spelling: exact numbers, normalised text, missing cells; the input of scores.

A cell is missing (None), a number (an exact fraction) or text. A float is the fraction that its bits are; NaN is
missing; an infinity is text, so that no column of numbers takes it. Text that is a plain decimal number is that
number. Bytes of a cell: ``-``; ``#`` and n or n/d in lowest terms; ``'`` and UTF-8. A row is its cells with 0x1F
between them, and the hash of a row is the keccak256 of that. 0x1F cannot stand in a text, because control characters
become spaces.

Text is normalised by Unicode 3.2's NFKC and by case folding, both only within runs of characters that Unicode 3.2
knows; before that, what is invisible (Cf, and `INVISIBLE`) goes; after it, spaces and controls (Z, Cc) become one
space, and none at the ends; half of a surrogate pair becomes U+FFFD.

Invariant: rows that differ in spaces, case, width or invisible characters, or in the spelling of a number, have equal
hashes, whatever Python, locale and machine. Unicode guarantees folding and normalisation of assigned characters for
ever.
Source: UAX 15 and the Unicode stability policies; Python keeps the database of Unicode 3.2 for IDNA.
What it does not do: it judges nothing (see `schema`), and has no bytes of its own to be anchored (see `table`).
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from itertools import groupby
from typing import TypeAlias
from unicodedata import ucd_3_2_0 as frozen

import numpy as np

from interlace._core import keccak256
from interlace.errors import AssetError

from .table import Table

Cell: TypeAlias = Fraction | str | None
Raw: TypeAlias = str | int | float | Fraction | None

MAX_ROWS = 1 << 17
MAX_COLUMNS = 4_096
MAX_CELL_CHARACTERS = 1 << 16
MAX_NUMBER_BITS = 8_192
"""Bits of a numerator or denominator; the longest number that text can be has fewer."""
INVISIBLE = frozenset(
    [
        0xAD,
        0x34F,
        0x200B,
        *range(0x180B, 0x180E),
        *range(0xFE00, 0xFE10),
        *range(0x2066, 0x206A),
        *range(0xE0100, 0xE01F0),
    ]
)
"""Joiners, soft hyphens, selectors of variants: what later Unicode calls invisible and 3.2 does not."""
_NUMBER = re.compile(r"[+-]?[0-9]{1,400}(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?", re.ASCII)


def normalise(text: str) -> str:
    r"""Return the one spelling of a text.

    Examples
    --------
    >>> normalise("  \uff26ull\u200b  WIDTH ")
    'full width'
    """
    if text.isascii():
        known = text.lower()
    else:
        seen = "".join(character for character in text if not _is_invisible(character))
        runs = groupby(seen, key=lambda character: frozen.category(character) == "Cn")
        known = "".join("".join(run) if new else _fold("".join(run)) for new, run in runs)
    return " ".join(word for word in "".join(map(_plain, known)).split(" ") if word)


@lru_cache(maxsize=1 << 12)
def _is_invisible(character: str) -> bool:
    return frozen.category(character) == "Cf" or ord(character) in INVISIBLE


@lru_cache(maxsize=1 << 12)
def _plain(character: str) -> str:
    """Return a character as it stands in a cell; spaces, controls and half of a pair become one of each."""
    category = frozen.category(character)
    if category == "Cs":
        return "\ufffd"
    return " " if category[0] == "Z" or category == "Cc" else character


def _fold(run: str) -> str:
    return frozen.normalize("NFKC", frozen.normalize("NFKC", run).casefold())


def cell(value: Raw) -> Cell:
    """Return the canonical cell of a value.

    Raises
    ------
    AssetError
        ``asset.bad-rows`` for another type, a text of more than `MAX_CELL_CHARACTERS`, or a number of more
        than `MAX_NUMBER_BITS`.
    """
    if value is None:
        return None
    if isinstance(value, Fraction):
        return _bounded(value)
    if isinstance(value, str):
        if len(value) > MAX_CELL_CHARACTERS:
            raise _bad(f"a cell of {len(value)} characters > {MAX_CELL_CHARACTERS}")
        text = normalise(value)
        return Fraction(text) if _NUMBER.fullmatch(text) else text or None
    if isinstance(value, float | np.floating):
        number = float(value)
        return None if math.isnan(number) else str(number) if math.isinf(number) else Fraction(number)
    if isinstance(value, int | np.integer):
        return _bounded(Fraction(int(value)))
    raise _bad(f"a cell of type {type(value).__name__}", hint="cells are text, numbers or None")


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_NUMBER_BITS:
        raise _bad(f"a number of more than {MAX_NUMBER_BITS} bits")
    return value


def cell_bytes(value: Cell) -> bytes:
    """Canonical bytes of a cell; see the head of this file."""
    if value is None:
        return b"-"
    return b"'" + value.encode() if isinstance(value, str) else b"#" + str(value).encode()


@dataclass(frozen=True)
class Rows:
    """Rows under named columns.

    Parameters
    ----------
    columns
        Names, all different.
    cells
        One tuple of canonical cells for each row, as long as `columns`.

    Raises
    ------
    AssetError
        ``asset.bad-rows``.
    """

    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]

    def __post_init__(self) -> None:
        """Check the bounds and the shape."""
        width = len(self.columns)
        if not 1 <= width <= MAX_COLUMNS or len(set(self.columns)) != width or not all(self.columns):
            raise _bad(f"{width} columns; 1 to {MAX_COLUMNS} different names are possible")
        if len(self.cells) > MAX_ROWS:
            raise _bad(f"{len(self.cells)} rows > {MAX_ROWS}", hint="score the data in parts")
        wrong = next((i for i, row in enumerate(self.cells) if len(row) != width), None)
        if wrong is not None:
            raise _bad(f"row {wrong} has {len(self.cells[wrong])} cells, not {width}")
        if not all(value is None or isinstance(value, Fraction | str) for row in self.cells for value in row):
            raise _bad("a cell is neither text, nor a fraction, nor None", hint="build rows with rows()")

    @cached_property
    def hashes(self) -> tuple[bytes, ...]:
        """keccak256 of each row, in order."""
        return tuple(keccak256(b"\x1f".join(map(cell_bytes, row))) for row in self.cells)

    @cached_property
    def root(self) -> bytes:
        """Commitment to the rows, not their order: keccak256 of the hash of the names and of the sorted row hashes."""
        names = json.dumps(self.columns, separators=(",", ":"), ensure_ascii=True).encode()
        return keccak256(keccak256(names) + b"".join(sorted(self.hashes)))

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.cells)

    def take(self, places: Iterable[int]) -> Rows:
        """Return the rows at these places."""
        return Rows(self.columns, tuple(self.cells[place] for place in places))


def rows(columns: Sequence[str], values: Iterable[Sequence[Raw]]) -> Rows:
    """Build rows from values of any of the types of a cell; errors as `Rows` and `cell`."""
    return Rows(tuple(columns), tuple(tuple(map(cell, row)) for row in values))


def from_table(value: Table) -> Rows:
    """Return the rows of a canonical table."""
    return rows(value.columns, value.values.tolist())


def from_csv(text: str) -> Rows:
    """Read comma-separated values under one line of names; an empty cell is missing, a short line is refused.

    Raises
    ------
    AssetError
        ``asset.bad-rows``.
    """
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise _bad(f"not comma-separated values: {error}") from None
    if not lines:
        raise _bad("no line with the columns' names")
    return rows(lines[0], (line for line in lines[1:] if line))


def _bad(reason: str, hint: str = "") -> AssetError:
    return AssetError("asset.bad-rows", reason, hint=hint)
