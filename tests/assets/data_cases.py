"""What the tests of this folder share: real rows, small drawn ones, and the way into the specification."""

from __future__ import annotations

import random
from fractions import Fraction

from sklearn import datasets

from interlace._core import keccak256
from interlace.assets.evaluation import Evaluation, split
from interlace.assets.rows import Rows, from_table
from interlace.assets.schema import Schema, schema_of
from interlace.assets.table import labelled
from spec import data_value

SEED = keccak256(b"a round of a beacon")


def real(name: str) -> tuple[Rows, Evaluation]:
    """Return the training rows of a scikit-learn data set, and an evaluation by the rest."""
    bunch = getattr(datasets, f"load_{name}")()
    made = labelled(bunch.data, bunch.target)
    schema = schema_of(made)
    training, held_back = split(from_table(made), schema, SEED)
    return training, Evaluation(schema, held_back, SEED)


def dealt(rows: Rows, hands: int) -> list[Rows]:
    """Deal the rows out in turn."""
    return [rows.take(range(start, len(rows), hands)) for start in range(hands)]


def flipped(rows: Rows, classes: int) -> Rows:
    """Every label replaced by the next class; labels are whole numbers in the last column."""
    return Rows(rows.columns, tuple((*row[:-1], (row[-1] + 1) % classes) for row in rows.cells))


def shaken(rows: Rows, schema: Schema, part: float, seed: int = 7) -> Rows:
    """Every number moved by up to `part` of its column's range."""
    chance, step = random.Random(seed), 1_000_000
    moved = []
    for row in rows.cells:
        cells = list(row)
        for place, column in enumerate(schema.columns):
            if column.kind == "number":
                cells[place] += (column.high - column.low) * Fraction(round(chance.uniform(-part, part) * step), step)
        moved.append(tuple(cells))
    return Rows(rows.columns, tuple(moved))


def spec_columns(schema: Schema) -> list[data_value.Column]:
    """Return a schema as the specification takes it."""
    return [data_value.Column(c.name, c.kind, c.low, c.high, c.categories, c.required) for c in schema.columns]
