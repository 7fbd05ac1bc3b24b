"""Optimism's RetroPGF3 counted again: 643 projects, and what each of the 501 that reached the quorum received.

Invariant: the published results, to half a hundredth of an OP, by the package and by its specification, which share no
code.
What it does not do: medians are the published ones; the ballots in the other file are rounded, and only their number is
compared.
"""

from __future__ import annotations

import csv
import functools
import json
from decimal import Decimal

from interlace.governance.rounds import Round, Tally, spending
from spec import organisation as spec
from tests.conftest import data_dir

POOL_OP = 30_000_000
WEI = 10**18
RULE = Round(min_ballots=17, min_median=1_500 * 100)


@functools.cache
def results() -> list[dict[str, str]]:
    """Return the published rows."""
    with (data_dir("dao") / "op_retropgf3_results_canonical.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tallies() -> dict[str, Tally]:
    """Return ballots and medians, in hundredths of an OP, by row: names are not unique."""
    cents = [Decimal(row["median amount"].replace(",", "")) * 100 for row in results()]
    assert all(one == int(one) for one in cents)
    return {
        str(i): Tally(int(row["ballots"]), int(one)) for i, (row, one) in enumerate(zip(results(), cents, strict=True))
    }


def test_the_quorum_of_every_project() -> None:
    told = [row["Quorum reached"] == "TRUE" for row in results()]
    assert (len(told), sum(told)) == (643, 501)
    assert [RULE.reached(tally) for tally in tallies().values()] == told
    assert [spec.retro_quorum(t.ballots, t.median) for t in tallies().values()] == told
    # Either half of the rule decides somewhere.
    assert sum(tally.ballots >= 17 for tally in tallies().values()) == 502
    assert sum(tally.median >= RULE.min_median for tally in tallies().values()) > 501


def test_the_ballots_are_as_many_as_published() -> None:
    with (data_dir("dao") / "op_retropgf3_anonymized_project_votes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cast = sorted(len(json.loads(row["amount"].replace("nan", "0"))) for row in rows)
    assert sum(cast) == 21_813
    assert cast == sorted(int(row["ballots"]) for row in results())


def test_every_payout_is_the_published_one() -> None:
    paid = RULE.payouts(tallies(), POOL_OP * WEI)
    inside = [tally.median for tally in tallies().values() if RULE.reached(tally)]
    assert list(paid.values()) == spec.retro_payouts(inside, POOL_OP * WEI)
    assert sum(paid.values()) == POOL_OP * WEI
    assert len(paid) == 501
    for place, wei in paid.items():
        told = Decimal(results()[int(place)]["OP Received"].replace(",", ""))
        assert abs(Decimal(wei) / WEI - told) <= Decimal("0.005"), results()[int(place)]["Project Name"]


def test_a_round_becomes_proposals_that_fit() -> None:
    paid = RULE.payouts(tallies(), POOL_OP * WEI)
    parts = spending({f"0x{int(place) + 1:040x}": wei for place, wei in paid.items()})
    assert [len(part) for part in parts] == [16] * 31 + [5]
    assert sum(spend.amount for part in parts for spend in part) == POOL_OP * WEI


def test_nobody_is_paid_without_a_quorum() -> None:
    assert RULE.payouts({"few": Tally(16, 10**9), "little": Tally(99, RULE.min_median - 1)}, 100) == {}
