"""The contract Dispute beside its specification: random operations, right and wrong ones, in time and late.

Invariant: `dispute_beside` compares everything that can be seen after every operation; the long walk is `soak`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from interlace.chain import Chain
from interlace.proofs.board import Board
from tests.proofs.dispute_beside import Walk, fund_actors, open_chain


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Chain, Board]]:
    with open_chain() as chain:
        yield chain, fund_actors(chain)


def walks(world: tuple[Chain, Board], seeds: range) -> Counter[str]:
    chain, board = world
    ends: Counter[str] = Counter()
    for seed in seeds:
        walk = Walk(board, chain, seed)
        try:
            ends.update(walk.run())
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, after {len(walk.ends)} operations: {error}") from error
        ends[f"status {walk.both.model.status}"] += 1
    return ends


def test_random_operations_end_alike(world: tuple[Chain, Board]) -> None:
    ends = walks(world, range(70))
    for name in (
        "NotInState", "NotInPhase", "NotTheProver", "NotTheChallenger", "OwnClaim", "AlreadyPosted", "TooLate",
        "TooEarly", "ZeroRoot", "TooLong", "WrongCount", "WrongRoot", "WrongProgram", "ERC20InsufficientBalance",
        "status 3", "status 4",
    ):  # fmt: skip
        assert ends[name], f"no operation ended with {name}: {ends}"


@pytest.mark.soak
@pytest.mark.parametrize("part", range(20))
def test_ten_thousand_walks_end_alike(part: int) -> None:
    first = 10_000 + 500 * part
    with open_chain() as chain:
        ends = walks((chain, fund_actors(chain)), range(first, first + 500))
    assert ends["status 4"] >= 100, ends
