"""Whether data are any good: a score of 0 to 10,000 that anyone recomputes bit for bit.

====================  =============================================================================================
part, basis points     formula; rows without any: 0
====================  =============================================================================================
unique                 groups of near rows, without those known to the evaluation or the base, of all rows
complete               cells that are there, of the cells of required columns
schema                 cells that conform, of the cells that are there
labels                 rows of a declared class whose group does not contradict itself, of all rows
gain                   more right answers than without the data, of the held-back rows; a loss is 0 here
====================  =============================================================================================

Every part is floor(10,000 * a / b), and the score is floor(sum of weight * part / 10,000). Balance of classes is
reported, not judged.

Invariant: the report depends on the set of rows and how often each occurs, not on their order, the machine or the
Python.
Source: docs/data-value.md; `spec/data_value.py` is the same in plain Python.
What it does not do: it cannot tell whether rows are true, lawful or new to the world.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from interlace.errors import AssetError

from .evaluation import Evaluation
from .pool import Facts, Pool
from .report import Difference, Report
from .rows import Rows
from .schema import Schema

FORMAT = "interlace.data-score.v1"
BASIS_POINTS = 10_000


@dataclass(frozen=True, slots=True)
class Weights:
    """Basis points of the parts; they add up to 10,000.

    Raises
    ------
    AssetError
        ``asset.bad-weights``.
    """

    unique: int = 2_000
    complete: int = 1_500
    schema: int = 1_500
    labels: int = 2_000
    gain: int = 3_000

    def __post_init__(self) -> None:
        """Check the sum."""
        parts = tuple(asdict(self).values())
        if min(parts) < 0 or sum(parts) != BASIS_POINTS:
            raise AssetError(
                "asset.bad-weights", f"weights {parts} do not add up to {BASIS_POINTS} in parts of 0 or more"
            )


def score(rows: Rows, evaluation: Evaluation, *, base: Rows | None = None, weights: Weights | None = None) -> Report:
    """Score data against a committed evaluation.

    Parameters
    ----------
    base
        What is there already: rows near to one of these are not new, and the gain is over what these give.
    weights
        Of the parts; the default ones are in `Weights`.

    Raises
    ------
    AssetError
        ``asset.bad-rows``, ``asset.too-alike``.
    """
    chosen = weights or Weights()
    before = base if base is not None else Rows(rows.columns, ())
    pool = Pool(evaluation, [before, rows])
    facts, schema = pool.facts[1], evaluation.schema
    filled = _filled(rows, schema)
    without, both = pool.value([0]), pool.value([0, 1])
    held_back = len(evaluation.held_back)
    new = facts.groups - facts.held_back - facts.taken
    parts = {
        "unique": _bp(new, facts.rows),
        "complete": _bp(filled["required"], filled["required_cells"]),
        "schema": _bp(filled["conforming"], filled["cells"]),
        "labels": _bp(facts.labelled - facts.conflicting, facts.rows),
        "gain": _bp(max(0, both - without), held_back),
    }
    weighed = sum(asdict(chosen)[name] * part for name, part in parts.items())
    counts = pool.class_counts(1)
    return Report(
        {
            "format": FORMAT,
            "evaluation": "0x" + evaluation.hash.hex(),
            "rows_root": "0x" + rows.root.hex(),
            "base_root": "0x" + before.root.hex(),
            "near_limit": evaluation.limit,
            "weights": asdict(chosen),
            "rows": _json_of(facts),
            "cells": filled,
            "classes": counts,
            "balance_bp": _bp(min(counts) * len(counts), sum(counts)),
            "gain": {
                "held_back": held_back,
                "right_without": without,
                "right_with": both,
                "gain": both - without,
                "program_without": "0x" + pool.program([0]).id.hex(),
                "program_with": "0x" + pool.program([0, 1]).id.hex(),
            },
            "parts_bp": parts,
            "score": weighed // BASIS_POINTS if facts.rows else 0,
        }
    )


def verify_score(report: Report, rows: Rows, evaluation: Evaluation, *, base: Rows | None = None) -> list[Difference]:
    """Recompute a report from the data and return what differs; nothing does if it holds.

    Raises
    ------
    AssetError
        ``asset.bad-report`` when it has no weights to recompute it with; otherwise as `score`.
    """
    try:
        weights = Weights(**report["weights"])
    except (KeyError, TypeError, AssetError) as error:
        raise AssetError("asset.bad-report", f"weights: {error!s:.80}") from None
    return report.differences(score(rows, evaluation, base=base, weights=weights))


def _filled(rows: Rows, schema: Schema) -> dict[str, int]:
    """Count cells: all that are there, those that conform, and those of required columns."""
    cells = conforming = required = 0
    for row in rows.cells:
        for column, value in zip(schema.columns, row, strict=True):
            if value is not None:
                cells += 1
                conforming += column.conforms(value)
                required += column.required
    needed = sum(column.required for column in schema.columns) * len(rows)
    return {"cells": cells, "conforming": conforming, "required": required, "required_cells": needed}


def _json_of(facts: Facts) -> dict[str, int]:
    return asdict(facts)


def _bp(part: int, whole: int) -> int:
    return BASIS_POINTS * part // whole if whole else 0
