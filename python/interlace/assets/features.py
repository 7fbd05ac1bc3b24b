"""From rows to what a program takes: small integers by the schema alone, so that no data can move another's.

- number: floor((x - low) * 255 / (high - low)) - 128, limited to -128..127 (a copy that is moved out of its range stays
  near); a cell that is no number: 0;
- category: one feature for each declared value, 127 where it is, else 0;
- text: 256 features for each column; 127 where a word falls whose keccak256 starts with that byte, else 0.

A word is a run of letters, marks and digits, by Unicode 3.2's categories (L, M, N), or of characters it does not know.

Invariant: a row's features depend on the row and the schema, not on other rows, order, machine or Python.
What it does not do: it learns nothing (see `learner`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import groupby
from unicodedata import ucd_3_2_0 as frozen

import numpy as np
from numpy.typing import NDArray

from interlace._core import keccak256
from interlace.errors import AssetError

from .rows import Cell, Rows
from .schema import Column, Schema

TEXT_FEATURES = 256
MAX_FEATURES = 4_096
MAX_FEATURE_BYTES = 1 << 28
PRESENT = 127
SHINGLE = 5
"""Characters of a shingle."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Rows as integers, in the order of their hashes; equal rows stand side by side.

    Attributes
    ----------
    hashes
        Row hashes, ascending.
    features
        ``int8`` [rows, features].
    labels
        ``int64`` [rows]: number of the class, -1 where it is none of the declared ones.
    texts
        The canonical text of each row's text columns, where the schema has any; else empty.
    """

    hashes: tuple[bytes, ...]
    features: NDArray[np.int8]
    labels: NDArray[np.int64]
    texts: tuple[str, ...]


def width(schema: Schema) -> int:
    """Return the number of features.

    Raises
    ------
    AssetError
        ``asset.bad-schema`` for more than `MAX_FEATURES`.
    """
    count = sum({"number": 1, "text": TEXT_FEATURES}.get(c.kind, len(c.categories)) for c in schema.features)
    if count > MAX_FEATURES:
        raise AssetError("asset.bad-schema", f"{count} features > {MAX_FEATURES}", hint="declare fewer columns")
    return count


def prepare(rows: Rows, schema: Schema) -> Prepared:
    """Turn rows into integers.

    Raises
    ------
    AssetError
        ``asset.bad-rows`` when the columns are not the declared ones or the integers would not fit into 256 MiB.
    """
    schema.expect(rows)
    if len(rows) * width(schema) > MAX_FEATURE_BYTES:
        raise AssetError("asset.bad-rows", f"{len(rows)} rows of {width(schema)} features > {MAX_FEATURE_BYTES} bytes")
    order = sorted(range(len(rows)), key=rows.hashes.__getitem__)
    ordered = [rows.cells[place] for place in order]
    blocks = [np.zeros((len(rows), 0), dtype=np.int8)]
    texts: list[list[str]] = []
    for place, column in enumerate(schema.columns):
        if column.name == schema.target:
            continue
        cells = [row[place] for row in ordered]
        blocks.append(_block(column, cells))
        if column.kind == "text":
            texts.append(["" if value is None else str(value) for value in cells])
    number_of = {value: number for number, value in enumerate(schema.classes)}
    labels = np.array([number_of.get(row[schema.place], -1) for row in ordered], dtype=np.int64)
    joined = tuple(" ".join(parts) for parts in zip(*texts, strict=True))
    return Prepared(tuple(rows.hashes[place] for place in order), np.hstack(blocks), labels, joined)


def _block(column: Column, cells: Iterable[Cell]) -> NDArray[np.int8]:
    """Features of one column: ``int8`` [rows, features of the column]."""
    if column.kind == "number":
        return np.array(_scaled(column, cells), dtype=np.int8).reshape(-1, 1)
    if column.kind == "category":
        numbers = [[PRESENT * (value == known) for known in column.categories] for value in cells]
        return np.array(numbers, dtype=np.int8).reshape(-1, len(column.categories))
    made = []
    for value in cells:
        row = np.zeros(TEXT_FEATURES, dtype=np.int8)
        row[[_bucket(word) for word in words("" if value is None else str(value))]] = PRESENT
        made.append(row)
    return np.array(made, dtype=np.int8).reshape(-1, TEXT_FEATURES)


def _scaled(column: Column, cells: Iterable[Cell]) -> list[int]:
    """Numbers as -128 to 127; over common denominators, because most of a score's time goes here."""
    low, span = column.low, column.high - column.low
    by, below = 255 * span.denominator, low.denominator * span.numerator
    made = []
    for value in cells:
        scaled = 0
        if isinstance(value, Fraction):
            n, d = value.numerator, value.denominator
            scaled = max(-128, min(127, (n * low.denominator - low.numerator * d) * by // (d * below) - 128))
        made.append(scaled)
    return made


@lru_cache(maxsize=1 << 16)
def _bucket(word: str) -> int:
    return keccak256(word.encode())[0]


def words(text: str) -> list[str]:
    """Return the words of a canonical text, in order."""
    runs = groupby(text, key=lambda character: _in_word(character))
    return ["".join(run) for is_word, run in runs if is_word]


@lru_cache(maxsize=1 << 16)
def _in_word(character: str) -> bool:
    category = frozen.category(character)
    return category[0] in "LMN" or category == "Cn"


def shingles(text: str) -> frozenset[int]:
    """Return the text's shingles: of its words joined by single spaces, each run of five characters, hashed.

    A shingle is the first eight bytes of its keccak256; a shorter text is one shingle, an empty one has none.
    """
    joined = " ".join(words(text))
    if not joined:
        return frozenset()
    starts = range(max(1, len(joined) - SHINGLE + 1))
    return frozenset(int.from_bytes(keccak256(joined[i : i + SHINGLE].encode())[:8], "big") for i in starts)
