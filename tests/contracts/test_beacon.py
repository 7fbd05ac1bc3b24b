"""The beacon under attack, case by case; contract and specification refuse alike, and no unit is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interlace.contracts import ADDRESSES
from spec.beacon import MAX_COMMITTERS
from tests.contracts.evm import refused
from tests.contracts.validating import BEACON, PERIOD, Stage, kept, secret_of, staged

if TYPE_CHECKING:
    from collections.abc import Iterator

BOND = BEACON.bond_wei


@pytest.fixture(scope="module")
def fresh() -> Iterator[Stage]:
    with staged() as found:
        yield found


@pytest.fixture
def stage(fresh: Stage) -> Iterator[Stage]:
    """At the first second of a round."""
    with kept(fresh) as found:
        found.until((found.round + 1) * PERIOD)
        yield found


def to_reveal(stage: Stage, number: int) -> None:
    stage.until(number * PERIOD + BEACON.commit_seconds)


def paid(stage: Stage, who: str, number: int) -> int:
    """Claim; return what came."""
    before = stage.model_credit.balance[who]
    assert not stage.claim_bond(who, number)
    return stage.model_credit.balance[who] - before


def test_the_value_is_that_of_the_specification(stage: Stage) -> None:
    a, b, c = stage.people[:3]
    values = []
    for people in ((a, b), (a, b, c)):
        number = stage.run_round(*people)
        stage.evm.mine_at(stage.now + 1)
        assert stage.evm.call(stage.beacon, "hasValue", number)
        found = stage.evm.call(stage.beacon, "value", number)
        assert found == stage.model.beacon.value(stage.now + 1, number)
        values.append(found)
        stage.now += 1
    assert values[0] != values[1]


def test_nobody_reads_a_value_before_its_end(stage: Stage) -> None:
    number = stage.run_round(*stage.people[:2])
    # The last block is still in the round.
    refused("NotOver", stage.evm.call, stage.beacon, "value", number)
    refused("NotOver", stage.evm.call, stage.beacon, "hasValue", number)
    stage.evm.mine_at(stage.now + 1)
    assert stage.evm.call(stage.beacon, "value", number)
    assert stage.evm.call(stage.beacon, "endsAt", number) == stage.now + 1


def test_a_round_below_the_quorum_has_no_value(stage: Stage) -> None:
    number = stage.run_round(stage.people[0])
    stage.evm.mine_at(stage.now + 1)
    assert not stage.evm.call(stage.beacon, "hasValue", number)
    refused("NoValue", stage.evm.call, stage.beacon, "value", number)


def test_copying_a_commit_opens_for_nobody_else(stage: Stage) -> None:
    a, thief, number = *stage.people[:2], stage.round
    assert not stage.commit_secret(a, number)
    assert not stage.commit_secret(thief, number, of=a)
    to_reveal(stage, number)
    assert not stage.reveal_secret(a, number)
    assert stage.reveal_secret(thief, number, of=a) == "WrongSecret"
    assert stage.reveal_secret(thief, number) == "WrongSecret"
    stage.until((number + 1) * PERIOD)
    assert stage.claim_bond(thief, number) == "BondForfeited"
    assert paid(stage, a, number) == 2 * BOND


def test_early_and_late(stage: Stage) -> None:
    a, b, number = *stage.people[:2], stage.round
    assert stage.commit_secret(a, number + 1) == "NotCommitting"
    assert stage.commit_secret(a, number - 1) == "NotCommitting"
    assert not stage.commit_secret(a, number)
    stage.until(number * PERIOD + BEACON.commit_seconds - 1)
    assert stage.reveal_secret(a, number) == "NotRevealing"
    assert stage.commit_secret(b, number) == "NotCommitting"
    stage.until((number + 1) * PERIOD - 1)
    assert not stage.reveal_secret(a, number)
    assert stage.reveal_secret(b, number) == "NotRevealing"


def test_twice_and_in_anothers_name(stage: Stage) -> None:
    a, b, number = *stage.people[:2], stage.round
    assert not stage.commit_secret(a, number)
    assert stage.commit_secret(a, number) == "AlreadyCommitted"
    to_reveal(stage, number)
    assert stage.reveal_secret(b, number, of=a) == "NotCommitted"
    assert not stage.reveal_secret(a, number)
    assert stage.reveal_secret(a, number) == "NotCommitted"
    assert stage.claim_bond(a, number) == "NotOver"
    stage.until((number + 1) * PERIOD)
    assert paid(stage, a, number) == BOND
    assert stage.claim_bond(a, number) == "NothingToClaim"
    assert stage.claim_bond(b, number) == "NothingToClaim"


def test_grinding_by_withholding_costs_the_bond(stage: Stage) -> None:
    """One who holds its secret back chooses between two values, and pays a bond to those who did not."""
    first, second, third, grinder = stage.people[:4]
    number = stage.round
    for who in (first, second, third, grinder):
        assert not stage.commit_secret(who, number)
    to_reveal(stage, number)
    for who in (first, second, third):
        assert not stage.reveal_secret(who, number)
    stage.until((number + 1) * PERIOD)
    assert stage.claim_bond(grinder, number) == "BondForfeited"
    shares = [paid(stage, who, number) - BOND for who in (third, first, second)]
    assert sum(shares) == BOND
    assert shares == [BOND // 3, BOND // 3 + BOND % 3, BOND // 3]


def test_if_nobody_shows_everyone_has_the_own_bond_back(stage: Stage) -> None:
    number = stage.round
    for who in stage.people[:3]:
        assert not stage.commit_secret(who, number)
    stage.until((number + 1) * PERIOD)
    assert [paid(stage, who, number) for who in stage.people[:3]] == [BOND] * 3
    assert stage.evm.call("CreditToken", "balanceOf", stage.beacon[1]) == 0


def test_a_secret_of_another_contract_or_round_does_not_open(stage: Stage) -> None:
    a, number = stage.people[0], stage.round
    mine = stage.evm.call(stage.beacon, "commitmentOf", number, a, secret_of(number, a))
    assert mine != stage.evm.call("Beacon", "commitmentOf", number, a, secret_of(number, a))
    assert mine != stage.evm.call(stage.beacon, "commitmentOf", number + 1, a, secret_of(number, a))
    assert stage.evm.call("Beacon", "MAX_COMMITTERS") == MAX_COMMITTERS


def test_without_the_bond_no_secret(stage: Stage) -> None:
    a, number = stage.people[0], stage.round
    rest = stage.model_credit.balance[a] - BOND + 1
    stage.evm.next_at(stage.now + 1)
    stage.evm.send("CreditToken", "transfer", ADDRESSES["CreditToken"], rest, sender=a)
    stage.model_credit.move(a, "nobody", rest)
    stage.now += 1
    assert stage.commit_secret(a, number) == "ERC20InsufficientBalance"
