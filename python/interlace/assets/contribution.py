"""What each contributor's data are worth: measured on a committed evaluation, with shares that may follow.

The value of a set of contributors is the number of held-back rows that the integer program trained on their rows
answers rightly (see `learner`). Leave-one-out: what is lost without a contributor. Shapley: what it adds on average,
whoever was there before; exact for up to ten contributors, else estimated with a stated error (see `shapley`).

Shares: basis points in proportion to the Shapley values, those below 0 counted as 0, by largest remainder; they add
up to 10,000, or are all 0 when nobody added anything.

Invariant: equal rows, order of contributors, evaluation and method give equal reports. Without truncation the values of
all contributors add up to the value of all of them less that of none.
Source: docs/data-value.md; `spec/data_value.py` is the same in plain Python.
What it does not do: it measures usefulness to this evaluation and this learner, not truth, cost or rarity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from interlace.errors import AssetError

from .evaluation import Evaluation
from .pool import Pool
from .report import Difference, Report
from .rows import Rows
from .shapley import MAX_EXACT_PLAYERS, MAX_PLAYERS, Cached, Estimate, exact, sampled, shares

FORMAT = "interlace.contribution.v1"
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class Method:
    """How contributions are measured.

    Parameters
    ----------
    permutations
        Drawn for the estimate; 0: exact values.
    risk_bp
        Basis points of probability that some stated error is too small.
    tolerance
        Right answers at which a permutation is left; -1: never.
    deduplicate
        Credit rows that several contributors have to the first alone. Without, copies of a row are credited to all who
        have it, and who copies himself gains (docs/data-value.md).
    """

    permutations: int = 0
    risk_bp: int = 500
    tolerance: int = -1
    deduplicate: bool = True


def measure(contributors: Mapping[str, Rows], evaluation: Evaluation, method: Method | None = None) -> Report:
    """Measure what each contributor's rows add.

    Parameters
    ----------
    contributors
        Rows by name, in the order in which they were committed to.

    Raises
    ------
    AssetError
        ``asset.bad-contributors`` for none, too many or long names; ``asset.bad-rows``, ``asset.too-alike``,
        ``asset.too-many-evaluations``.
    """
    how = method or Method()
    _check(contributors, how)
    pool = Pool(evaluation, list(contributors.values()), deduplicate=how.deduplicate)
    value = Cached(pool.value)
    players = len(contributors)
    everyone = frozenset(range(players))
    alone_out = [value(everyone) - value(everyone - {i}) for i in range(players)]
    estimate = _estimate(players, value, evaluation, how)
    parts = shares(estimate.numerators)
    listed = [
        {
            "name": name,
            "rows_root": "0x" + rows.root.hex(),
            "rows": asdict(pool.facts[i]),
            "leave_one_out": alone_out[i],
            "shapley": estimate.numerators[i],
            "error_micro": estimate.error_micro[i],
            "truncated": estimate.truncated[i],
            "share_bp": parts[i],
        }
        for i, (name, rows) in enumerate(contributors.items())
    ]
    return Report(
        {
            "format": FORMAT,
            "evaluation": "0x" + evaluation.hash.hex(),
            "method": {name: int(setting) for name, setting in asdict(how).items()},
            "held_back": len(evaluation.held_back),
            "near_limit": evaluation.limit,
            "value_of_none": value(frozenset()),
            "value_of_all": value(everyone),
            "program": "0x" + pool.program(everyone).id.hex(),
            "shapley_denominator": estimate.denominator,
            "evaluations": value.count,
            "contributors": listed,
        }
    )


def verify_contribution(report: Report, contributors: Mapping[str, Rows], evaluation: Evaluation) -> list[Difference]:
    """Recompute a report from everyone's rows and return what differs; nothing does if it holds.

    Raises
    ------
    AssetError
        ``asset.bad-report`` when it names no method; otherwise as `measure`.
    """
    try:
        stated = report["method"]
        if any(type(setting) is not int for setting in stated.values()) or stated["deduplicate"] not in (0, 1):
            raise TypeError(f"settings {stated}")
        method = Method(**{**stated, "deduplicate": bool(stated["deduplicate"])})
    except (KeyError, TypeError, AttributeError) as error:
        raise AssetError("asset.bad-report", f"method: {error!s:.80}") from None
    return report.differences(measure(contributors, evaluation, method))


def share_ratios(report: Report) -> dict[str, int]:
    """Return the share of each contributor that has one, in basis points; they add up to 10,000 or there are none."""
    return {entry["name"]: entry["share_bp"] for entry in report["contributors"] if entry["share_bp"]}


def _estimate(players: int, value: Cached, evaluation: Evaluation, how: Method) -> Estimate:
    if how.permutations == 0:
        return exact(players, value)
    return sampled(
        players,
        value,
        evaluation.seed,
        permutations=how.permutations,
        bound=len(evaluation.held_back),
        risk_bp=how.risk_bp,
        tolerance=None if how.tolerance < 0 else how.tolerance,
    )


def _check(contributors: Mapping[str, Rows], how: Method) -> None:
    limit = MAX_PLAYERS if how.permutations else MAX_EXACT_PLAYERS
    names: Sequence[str] = list(contributors)
    if not 1 <= len(names) <= limit:
        hint = "set Method.permutations for more than ten"
        raise AssetError("asset.bad-contributors", f"{len(names)} contributors; 1 to {limit} are possible", hint=hint)
    if not all(0 < len(name) <= MAX_NAME for name in names):
        raise AssetError("asset.bad-contributors", f"a name has 1 to {MAX_NAME} characters")
