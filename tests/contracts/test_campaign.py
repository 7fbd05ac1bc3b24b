"""Ten thousand random sequences: all of them on the specification, a rotating sample of them on the contracts.

Among the users are receivers that call back or refuse what they are sent, and classes earn in a token that keeps a part
of each transfer and in one that calls back in the middle of it. One sequence in eight ends with everybody leaving.
Invariant: sum(claimable) + sum(claimed) + dust == sum(paid) after every operation; every contract holds what it owes.
Whoever leaves gets the same, in whatever order they leave, and nobody can be kept.
The sample's first seed rotates by the day and is printed; INTERLACE_SEED fixes it. `make soak` runs all on the
contracts, more than a hundred thousand operations.
"""

from __future__ import annotations

import copy
import os
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from interlace.chain import Account
from spec.economy import Settlement
from tests.contracts import campaign
from tests.contracts.campaign import Sequence
from tests.contracts.evm import Evm
from tests.contracts.node import start
from tests.contracts.side_by_side import LEAVES, Bench, addresses

if TYPE_CHECKING:
    from collections.abc import Iterator

SEQUENCES = 10_000
SAMPLE_SECONDS = 30
FIRST = int(os.environ.get("INTERLACE_SEED", time.time() // 86_400 * 997)) % SEQUENCES


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Start a chain whose validators are the driver's actors."""
    with start(campaign.config_for(addresses(Account.from_mnemonic(0)))) as url:
        evm = Evm(url)
        yield Bench(evm)
        evm.close()


def test_ten_thousand_sequences_conserve_every_unit() -> None:
    world, operations, outcomes, queued, struck = campaign.base(), 0, Counter[str](), 0, 0
    for seed in range(SEQUENCES):
        sequence = Sequence(seed, 1_800_000_000, world)
        for _, drawn in sequence.segments():
            operations += len(drawn)
            outcomes.update(op.calls[-1][1] for op in drawn if not op.error)
            queued += any(c.queue for c in sequence.world.assets.classes.values())
        struck += sequence.struck
    # A campaign that never gets anywhere would hold every invariant too.
    assert operations > 15 * SEQUENCES
    assert struck > 200
    assert outcomes["acceptAsset"] > 100
    rare = (
        "resolve",
        "release",
        "refund",
        "set",
        "claim",
        "claimUnshared",
        "requestUnstake",
        "withdraw",
        "transferValue",
        "expire",
        "claimNative",
        "distribute",
        "setShares",
    )
    assert all(outcomes[name] > 200 for name in rare), outcomes
    assert queued > 100


def test_whoever_leaves_gets_the_same_in_any_order() -> None:
    world = campaign.base()
    for seed in range(0, 800, LEAVES):
        sequence = Sequence(seed, 1_800_000_000, world)
        for _ in sequence.segments():
            pass
        other = copy.deepcopy(sequence)
        for leaving, order in ((sequence, seed), (other, seed + 1)):
            refused = [op for _, drawn in leaving.leave(order) for op in drawn if op.error]
            # Whoever has nothing to take is told so; nobody is refused what is theirs.
            assert {op.error for op in refused} <= {
                "ZeroAmount",
                "NotValidator",
                "NoWithdrawalRequested",
                "NothingToWithdraw",
            }
            campaign.assert_all_have_left(leaving.world)
        assert campaign.purses(sequence.world) == campaign.purses(other.world), seed


def test_the_contracts_do_what_the_specification_does(bench: Bench) -> None:
    """Play sequences side by side for a fixed time; at least fifty."""
    print(f"first seed {FIRST}")
    end, played, operations = time.monotonic() + SAMPLE_SECONDS, 0, 0
    while time.monotonic() < end or played < 50:
        operations += bench.play((FIRST + played) % SEQUENCES)
        played += 1
    print(f"{played} sequences, {operations} operations")


@pytest.mark.parametrize("rule", ["releasable", "refundable"])
def test_books_that_pay_for_less_than_a_verdict_are_noticed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    """Books that release what is still open, or refund what holds, differ from the contract within a few sequences."""
    careless = {
        "releasable": lambda books, leaf_id: books.said.get(leaf_id) in ("open", "holds"),
        "refundable": lambda *_: True,
    }
    tiers = (Sequence.open, Sequence.answer, Sequence.release, Sequence.refund)
    monkeypatch.setattr(Sequence, "draw", lambda sequence: sequence.rng.choice(tiers)(sequence))
    bench.play(FIRST)
    monkeypatch.setattr(Settlement, rule, careless[rule])
    with pytest.raises(AssertionError, match="seed"):
        sum(map(bench.play, range(FIRST, FIRST + 40)))


@pytest.mark.soak
@pytest.mark.timeout(7_200)
def test_the_contracts_do_what_the_specification_does_ten_thousand_times(bench: Bench) -> None:
    began, operations = time.monotonic(), 0
    for seed in range(SEQUENCES):
        operations += bench.play(seed)
    print(f"{operations} operations in {time.monotonic() - began:.0f} seconds")
    assert operations > 100_000
