"""Validation of data under attack, case by case; contract and specification refuse alike, and no unit is lost.

Invariant: whoever is right is paid, whoever was wrong or absent pays, and undecided means refund.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from typing import TYPE_CHECKING

import pytest

from spec import validation as spec
from spec.validation import Answer, pick
from tests.contracts.evm import refused
from tests.contracts.validating import (
    BEACON,
    FIRST_CLASS,
    LIE,
    PERIOD,
    SECOND_CLASS,
    TERMS,
    TRUTH,
    Stage,
    kept,
    staged,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

FEE = 1_000
NOTHING = Answer(spec.UNAVAILABLE, 0)


@pytest.fixture(scope="module")
def fresh() -> Iterator[Stage]:
    with staged() as found:
        yield found


@pytest.fixture
def stage(fresh: Stage) -> Iterator[Stage]:
    with kept(fresh) as found:
        yield found
        found.check_all()


def state(stage: Stage, number: int) -> int:
    found: int = stage.read("requestOf", number)[1]
    return found


def finished(stage: Stage, number: int) -> None:
    """End a request at the end of its time, by someone who has no part in it."""
    stage.until(max(stage.model.requests[number].until, stage.now + 1))
    assert not stage.act(stage.other_owner, "finish", number)


def slash(stage: Stage, who: str) -> int:
    return stage.model.members[who].weight * TERMS.slash_bp // 10_000


def voters(stage: Stage, number: int) -> list[str]:
    appeal = stage.model.requests[number].appeal
    assert appeal is not None
    return list(appeal.weights)


# ---- the way of a request ------------------------------------------------------------------------------------


def test_who_agrees_is_paid_and_the_score_is_there(stage: Stage) -> None:
    number, drawn = stage.drawn(fee=FEE)
    stage.answered(number, dict.fromkeys(drawn, TRUTH))
    assert stage.act(stage.owner, "finish", number) == "TooEarly"
    finished(stage, number)
    assert state(stage, number) == spec.VALIDATED
    assert stage.read("scoreOf", FIRST_CLASS)[:5] == (number, b"\x0c" * 32, b"\x0d" * 32, *TRUTH)
    for who in drawn:
        assert not stage.act(stage.owner, "collect", number, who)
        assert stage.act(who, "collect", number, who) == "NothingToCollect"
    # The first of the drawn has what the division leaves.
    assert [stage.evm.call(stage.router, "received", who) for who in drawn] == [334, 333, 333]
    assert stage.evm.call(stage.router, "lastMeter") == 1


def test_liar_convicted(stage: Stage) -> None:
    """One of three is wrong: it loses its part of the stake to the other two, and its seat."""
    number, (a, b, liar) = stage.drawn(fee=FEE)
    stage.answered(number, {a: TRUTH, b: TRUTH, liar: LIE})
    taken = slash(stage, liar)
    finished(stage, number)
    assert stage.model.owed == {a: taken // 2 + taken % 2, b: taken // 2}
    assert stage.model.members[liar].left_at
    assert stage.act(liar, "collect", number, liar) == "NothingToCollect"
    assert not stage.act(liar, "claim")
    assert stage.act(liar, "stake", TERMS.min_stake_wei) == "AlreadyMember"


def test_absent_pays_as_who_is_wrong(stage: Stage) -> None:
    number, (a, b, absent) = stage.drawn()
    stage.answered(number, {a: TRUTH, b: TRUTH})
    taken = slash(stage, absent)
    finished(stage, number)
    assert stage.model.owed[a] + stage.model.owed[b] == taken


def test_undecided_means_refund(stage: Stage) -> None:
    """Three answers, no majority: the fee goes back, and nobody who answered is slashed."""
    number, (a, b, c) = stage.drawn(fee=FEE)
    stage.answered(number, {a: TRUTH, b: LIE, c: NOTHING})
    finished(stage, number)
    assert state(stage, number) == spec.REFUNDED
    assert stage.model.owed == {stage.owner: FEE}
    assert stage.read("scoreOf", FIRST_CLASS)[0] == 0


def test_two_absent_pay_the_third_and_the_fee_goes_back(stage: Stage) -> None:
    number, (a, b, c) = stage.drawn(fee=FEE)
    stage.answered(number, {a: TRUTH})
    taken = slash(stage, b) + slash(stage, c)
    finished(stage, number)
    assert stage.model.owed == {stage.owner: FEE, a: taken}


def test_nobody_comes_and_nobody_is_slashed(stage: Stage) -> None:
    number, drawn = stage.drawn(fee=FEE)
    stage.answered(number, {})
    finished(stage, number)
    assert stage.model.owed == {stage.owner: FEE}
    assert not any(stage.model.members[who].left_at for who in drawn)


def test_data_that_nobody_gets_are_not_the_validators_loss(stage: Stage) -> None:
    number, drawn = stage.drawn(fee=FEE)
    stage.answered(number, dict.fromkeys(drawn, NOTHING))
    finished(stage, number)
    assert state(stage, number) == spec.UNAVAILABLE_STATE
    assert stage.read("scoreOf", FIRST_CLASS)[0] == 0
    assert sum(stage.model.fees.values()) == FEE


def test_the_later_request_counts_whichever_ends_first(stage: Stage) -> None:
    before = len(stage.model.requests)
    first, second = before + 1, before + 2
    for _ in range(2):
        assert not stage.request(stage.owner)
    stage.run_round(*stage.people[8:])
    answers = {first: LIE, second: TRUTH}
    for number in answers:
        assert not stage.act(stage.owner, "draw", number)
    requests = {number: stage.model.requests[number] for number in answers}
    for number, answer in answers.items():
        for who in requests[number].drawn:
            assert not stage.commit(who, number, answer)
    stage.until(requests[second].until - TERMS.reveal_seconds)
    for number, answer in answers.items():
        for who in requests[number].drawn:
            assert not stage.reveal(who, number, answer)
        assert not stage.act(stage.owner, "tally", number)
    for number in (second, first):
        finished(stage, number)
    assert state(stage, first) == spec.VALIDATED
    assert stage.read("scoreOf", FIRST_CLASS)[:5] == (second, b"\x0c" * 32, b"\x0d" * 32, *TRUTH)


# ---- commit and reveal ---------------------------------------------------------------------------------------


def test_a_copied_commitment_opens_for_nobody_else(stage: Stage) -> None:
    number, (a, thief, _) = stage.drawn()
    assert not stage.commit(a, number, TRUTH)
    assert not stage.commit(thief, number, TRUTH, of=a)
    stage.until(stage.model.requests[number].until - TERMS.reveal_seconds)
    assert not stage.reveal(a, number, TRUTH)
    # Neither by copying the reveal nor by its own salt.
    assert stage.reveal(thief, number, TRUTH, fits=False, of=a) == "WrongReveal"
    assert stage.reveal(thief, number, TRUTH, fits=False) == "WrongReveal"


def test_revealing_early_late_and_twice(stage: Stage) -> None:
    number, (a, b, c) = stage.drawn()
    r = stage.model.requests[number]
    assert not stage.commit(a, number, TRUTH)
    assert stage.commit(a, number, LIE) == "WrongPartState"
    stage.until(r.until - TERMS.reveal_seconds - 1)
    assert stage.reveal(a, number, TRUTH) == "NotRevealing"
    assert stage.commit(b, number, TRUTH) == "CommitOver"
    assert stage.reveal(a, number, LIE, fits=False) == "WrongReveal"
    assert not stage.reveal(a, number, TRUTH)
    assert stage.reveal(a, number, TRUTH) == "WrongPartState"
    assert stage.reveal(c, number, TRUTH) == "WrongPartState"
    assert stage.act(a, "tally", number) == "TooEarly"
    stage.until(r.until)
    assert stage.reveal(b, number, TRUTH) == "NotRevealing"
    assert not stage.act(a, "tally", number)
    assert stage.act(a, "tally", number) == "NotInState"


def test_who_is_not_drawn_has_no_say(stage: Stage) -> None:
    number, drawn = stage.drawn()
    other = next(who for who in stage.people[2:] if who not in drawn)
    assert stage.commit(other, number, TRUTH) == "NotDrawn"
    assert stage.reveal(other, number, TRUTH) == "NotDrawn"


@pytest.mark.parametrize("answer", [Answer(bytes(32), 5), Answer(b"\x01" * 32, 1_000_001), Answer(spec.UNAVAILABLE, 1)])
def test_an_impossible_report_is_not_revealed(stage: Stage, answer: Answer) -> None:
    number, (a, *_) = stage.drawn()
    assert not stage.commit(a, number, answer)
    stage.until(stage.model.requests[number].until - TERMS.reveal_seconds)
    assert stage.reveal(a, number, answer) == "BadReport"


def test_a_commitment_of_another_request_does_not_open(stage: Stage) -> None:
    number, (a, *_) = stage.drawn()
    here = stage.commitment(a, number, TRUTH)
    assert here != stage.commitment(a, number + 1, TRUTH)
    found = stage.evm.call(stage.validation, "commitmentOf", number, a, *TRUTH, b"\x05" * 32)
    assert found != stage.evm.call("DataValidation", "commitmentOf", number, a, *TRUTH, b"\x05" * 32)


# ---- who is drawn --------------------------------------------------------------------------------------------


def test_the_owner_of_the_asset_is_not_drawn(stage: Stage) -> None:
    """Its seat has nine tenths of all the stake; for another's class it is drawn, for its own it is not."""
    assert not stage.act(stage.owner, "stake", 10_000_000)
    for class_id, who in ((SECOND_CLASS, stage.other_owner), (FIRST_CLASS, stage.owner)):
        assert not stage.request(who, class_id)
        number = len(stage.model.requests)
        stage.run_round(*stage.people[8:])
        assert not stage.act(stage.people[9], "draw", number)
        assert (stage.owner in stage.model.requests[number].drawn) is (class_id == SECOND_CLASS)


def test_who_comes_or_goes_after_the_request_moves_nothing(stage: Stage) -> None:
    """Nobody who knows the number can change who is drawn: not by joining, by leaving, or by taking the stake out."""
    leaver, early = stage.people[5], stage.people[6]
    assert not stage.act(early, "resign")
    stage.until(stage.now + TERMS.unbonding_seconds + 1)
    assert not stage.request(stage.owner)
    number = len(stage.model.requests)
    stage.run_round(*stage.people[8:])

    def drawn() -> list[str]:
        assert not stage.act(stage.people[9], "draw", number)
        return list(stage.model.requests[number].drawn)

    with kept(stage):
        expected = drawn()
    assert early not in expected
    assert not stage.act(stage.other_owner, "stake", 10_000_000)
    assert not stage.act(leaver, "resign")
    assert not stage.act(stage.owner, "withdraw", early)
    assert stage.act(leaver, "withdraw", leaver) == "StillBonded"
    assert drawn() == expected


def test_a_draw_that_comes_too_late_takes_a_later_round(stage: Stage) -> None:
    assert not stage.request(stage.owner)
    number = len(stage.model.requests)
    assert stage.act(stage.owner, "draw", number) == "NotOver"
    stage.run_round(*stage.people[8:])
    stage.until(stage.now + TERMS.draw_seconds + 2)
    assert not stage.act(stage.owner, "draw", number)
    r = stage.model.requests[number]
    assert (r.state, r.postponed) == (spec.REQUESTED, 1)


def test_without_values_the_fee_goes_back_at_last(stage: Stage) -> None:
    assert not stage.request(stage.owner, fee=FEE)
    number = len(stage.model.requests)
    for _ in range(spec.MAX_POSTPONED + 1):
        stage.until(stage.model.beacon.ends_at(stage.model.requests[number].round))
        assert not stage.act(stage.other_owner, "draw", number)
    assert stage.model.owed == {stage.owner: FEE}
    assert stage.act(stage.owner, "draw", number) == "NotInState"
    assert stage.read("openRequests") == 0


def test_too_few_validators_mean_refund(stage: Stage) -> None:
    """Eight are there; seven can be drawn with one left to be asked, nine cannot."""
    _, drawn = stage.drawn(k=7)
    assert len(set(drawn)) == 7
    assert not stage.request(stage.owner, fee=FEE, k=9)
    number = len(stage.model.requests)
    stage.run_round(*stage.people[8:])
    assert not stage.act(stage.owner, "draw", number)
    assert state(stage, number) == spec.REFUNDED


def test_the_chance_of_a_pick_is_exactly_the_weight() -> None:
    weights = [5, 1, 0, 10, 4]
    found = [pick(weights, point) for point in range(sum(weights))]
    assert [found.count(place) for place in range(5)] == weights


def chance(weights: dict[str, int], k: int, group: set[str]) -> Fraction:
    """Exact chance that anyone of a group is among k drawn without replacement."""
    missed = Fraction(0)
    for order in permutations(weights, k):
        left, part = sum(weights.values()), Fraction(1)
        for who in order:
            part *= Fraction(weights[who], left)
            left -= weights[who]
        missed += part * (not group & set(order))
    return 1 - missed


def test_a_stake_that_is_split_is_not_drawn_more_often() -> None:
    """Exact, by all orders: the chance that any of a staker's accounts is drawn is the same for one and for many."""
    others = {"b": 20, "c": 35, "d": 5}
    whole = chance({"a": 30, **others}, 3, {"a"})
    for parts in ([15, 15], [28, 1, 1], [10, 10, 10]):
        split = {f"a{i}": weight for i, weight in enumerate(parts)}
        assert chance({**split, **others}, 3, set(split)) == whole
    assert whole < 1


def test_the_contract_draws_by_weight(stage: Stage) -> None:
    """Many draws, by the same keccak as the contract's: as often as the weights say, within five deviations."""
    weights = {f"0x{i:040x}": weight for i, weight in enumerate((1_000, 2_000, 7_000))}
    draws = 4_000
    first = [spec.draw(weights, 1, i.to_bytes(32, "big"))[0] for i in range(draws)]
    for who, weight in weights.items():
        p = weight / 10_000
        assert abs(first.count(who) - draws * p) < 5 * (draws * p * (1 - p)) ** 0.5
    # That the contract's draw is the specification's is checked in every test that draws.
    number, drawn = stage.drawn(k=5)
    assert [part[0] for part in stage.read("partsOf", number)] == drawn


# ---- appeal --------------------------------------------------------------------------------------------------


def lazy_majority(stage: Stage) -> tuple[int, str, list[str]]:
    """Two of three agree on a lie; return the request, the honest one and the two."""
    number, (honest, *lazy) = stage.drawn(fee=FEE)
    stage.answered(number, {honest: TRUTH, **dict.fromkeys(lazy, LIE)})
    assert stage.model.requests[number].answer == LIE
    return number, honest, lazy


def test_honest_minority_of_a_lazy_majority_wins_on_appeal(stage: Stage) -> None:
    number, honest, lazy = lazy_majority(stage)
    assert not stage.appeal(honest, number, TRUTH)
    asked = voters(stage, number)
    for who in asked[:-1]:
        assert not stage.act(who, "vote", number, True)
    pot = sum(slash(stage, who) for who in lazy)
    # Decided before the end of the vote.
    assert not stage.act(stage.other_owner, "finish", number)
    reward = pot // 2
    each, rest = divmod(pot - reward, len(asked))
    assert stage.model.owed == {honest: TERMS.appeal_bond_wei + reward + each + rest, **dict.fromkeys(asked[:-1], each)}
    assert stage.model.fees == {(number, honest): FEE}
    assert all(stage.model.members[who].left_at for who in lazy)
    assert stage.read("scoreOf", FIRST_CLASS)[3:5] == TRUTH


def test_if_all_drawn_lie_the_fee_goes_back_and_the_truth_stands(stage: Stage) -> None:
    number, drawn = stage.drawn(fee=FEE)
    stage.answered(number, dict.fromkeys(drawn, LIE))
    assert not stage.appeal(stage.owner, number, TRUTH)
    for who in voters(stage, number):
        assert not stage.act(who, "vote", number, True)
    finished(stage, number)
    assert stage.read("scoreOf", FIRST_CLASS)[3:5] == TRUTH
    assert not stage.model.fees
    pot = sum(slash(stage, who) for who in drawn)
    assert sum(stage.model.owed.values()) == FEE + TERMS.appeal_bond_wei + pot


def test_a_wrong_appeal_loses_the_bond_to_who_refused_it(stage: Stage) -> None:
    """Bond grief: an appeal without a reason costs its bond, to the last unit, and changes nothing."""
    number, drawn = stage.drawn(fee=FEE)
    stage.answered(number, dict.fromkeys(drawn, TRUTH))
    assert not stage.appeal(stage.other_owner, number, LIE)
    asked = voters(stage, number)
    for who in asked:
        assert not stage.act(who, "vote", number, False)
    assert not stage.act(stage.owner, "finish", number)
    each, rest = divmod(TERMS.appeal_bond_wei, len(asked))
    assert stage.model.owed == {who: each + rest * (who == asked[0]) for who in asked}
    assert state(stage, number) == spec.PROPOSED
    finished(stage, number)
    assert state(stage, number) == spec.VALIDATED
    assert sum(stage.model.fees.values()) == FEE


def test_a_false_appeal_shields_no_lie(stage: Stage) -> None:
    """Who lied has a friend appeal with another lie, so that nobody else can: it costs a bond, and then others can."""
    number, honest, lazy = lazy_majority(stage)
    assert not stage.appeal(stage.other_owner, number, NOTHING)
    assert stage.appeal(honest, number, TRUTH) == "NotInState"
    for who in voters(stage, number):
        assert not stage.act(who, "vote", number, False)
    assert not stage.act(stage.owner, "finish", number)
    assert stage.read("bondOfNextAppeal", number) == 2 * TERMS.appeal_bond_wei
    assert not stage.appeal(honest, number, TRUTH)
    for who in voters(stage, number):
        assert not stage.read("hasVoted", number, who)
        assert not stage.act(who, "vote", number, True)
        assert stage.read("hasVoted", number, who)
    assert not stage.act(stage.owner, "finish", number)
    assert stage.read("scoreOf", FIRST_CLASS)[3:5] == TRUTH
    assert all(stage.model.members[who].left_at for who in lazy)


def test_appeals_have_an_end(stage: Stage) -> None:
    number, drawn = stage.drawn(fee=FEE)
    stage.answered(number, dict.fromkeys(drawn, TRUTH))
    for _ in range(spec.MAX_APPEALS):
        assert state(stage, number) == spec.PROPOSED
        assert not stage.appeal(stage.other_owner, number, LIE)
        for who in voters(stage, number):
            assert not stage.act(who, "vote", number, False)
        assert not stage.act(stage.owner, "finish", number)
    assert state(stage, number) == spec.VALIDATED
    assert sum(stage.model.owed.values()) == TERMS.appeal_bond_wei * (2**spec.MAX_APPEALS - 1)


def test_bond_grief_with_sleeping_voters(stage: Stage) -> None:
    """One vote against is not a decision, so the fee goes back; but the bond is that voter's."""
    number, drawn = stage.drawn(fee=FEE)
    stage.answered(number, dict.fromkeys(drawn, TRUTH))
    assert not stage.appeal(stage.other_owner, number, LIE)
    awake = voters(stage, number)[0]
    assert not stage.act(awake, "vote", number, False)
    assert stage.act(stage.owner, "finish", number) == "TooEarly"
    finished(stage, number)
    assert stage.model.owed == {stage.owner: FEE, awake: TERMS.appeal_bond_wei}
    assert not any(stage.model.members[who].left_at for who in drawn)


def test_an_appeal_on_which_nobody_votes_is_undecided(stage: Stage) -> None:
    number, honest, _ = lazy_majority(stage)
    assert not stage.appeal(honest, number, TRUTH)
    finished(stage, number)
    assert stage.model.owed == {stage.owner: FEE, honest: TERMS.appeal_bond_wei}
    assert state(stage, number) == spec.REFUNDED


def test_more_than_half_is_not_two_thirds(stage: Stage) -> None:
    """Three of five want the truth: not enough to convict, and enough that the bond comes back."""
    number, honest, lazy = lazy_majority(stage)
    assert not stage.appeal(honest, number, TRUTH)
    asked = voters(stage, number)
    assert len(asked) == 5
    for i, who in enumerate(asked):
        assert not stage.act(who, "vote", number, 0 < i < 4)
    total, in_favour, against = stage.read("appealOf", number)[4:]
    assert total < 2 * in_favour
    assert 3 * in_favour < 2 * total
    assert in_favour + against == total
    finished(stage, number)
    assert stage.model.owed == {stage.owner: FEE, honest: TERMS.appeal_bond_wei}
    assert not any(stage.model.members[who].left_at for who in lazy)


def test_challenge_on_the_last_second(stage: Stage) -> None:
    number, honest, _ = lazy_majority(stage)
    until = stage.model.requests[number].until
    with kept(stage):
        stage.until(until)
        assert stage.appeal(honest, number, TRUTH) == "TooLate"
    stage.until(until - 1)
    assert not stage.appeal(honest, number, TRUTH)
    assert stage.act(stage.owner, "finish", number) == "TooEarly"
    # The vote ends the same way.
    until = stage.model.requests[number].until
    voter = voters(stage, number)[0]
    stage.until(until)
    assert stage.act(voter, "vote", number, True) == "TooLate"


def test_double_challenge(stage: Stage) -> None:
    number, honest, lazy = lazy_majority(stage)
    assert stage.appeal(honest, number, LIE) == "SameReport"
    assert not stage.appeal(honest, number, TRUTH)
    assert stage.appeal(stage.other_owner, number, NOTHING) == "NotInState"
    assert stage.appeal(lazy[0], number, TRUTH) == "NotInState"


def test_the_interested_and_the_late_do_not_vote(stage: Stage) -> None:
    assert not stage.act(stage.owner, "stake", 10_000_000)
    stage.now += 1
    number, honest, lazy = lazy_majority(stage)
    appellant = next(who for who in stage.people[2:] if who not in (honest, *lazy))
    assert not stage.appeal(appellant, number, TRUTH)
    assert not stage.act(stage.other_owner, "stake", 10_000_000)
    for who in (stage.owner, appellant, honest, *lazy):
        assert stage.act(who, "vote", number, True) == "InterestedVoter"
    assert stage.act(stage.other_owner, "vote", number, True) == "NotEligible"
    voter = voters(stage, number)[0]
    assert not stage.act(voter, "vote", number, True)
    assert stage.act(voter, "vote", number, False) == "AlreadyVoted"
    total, in_favour, against = stage.read("appealOf", number)[4:]
    assert (total, in_favour, against) == (
        sum(stage.model.members[who].weight for who in voters(stage, number)), stage.model.members[voter].weight, 0,
    )  # fmt: skip


# ---- no one is kept ------------------------------------------------------------------------------------------


def test_who_is_drawn_leaves_after_its_request_and_not_before(stage: Stage) -> None:
    number, (a, b, c) = stage.drawn()
    assert not stage.act(a, "resign")
    assert stage.act(a, "resign") == "AlreadyLeft"
    stage.answered(number, {a: TRUTH, b: TRUTH, c: TRUTH})
    stage.until(stage.now + TERMS.unbonding_seconds + 1)
    assert stage.act(a, "withdraw", a) == "StillDrawn"
    # Anybody can end it, and a router that refuses is in nobody's way.
    stage.evm.next_at(stage.now + 1)
    stage.evm.send(stage.router, "refuse", True, sender=a)
    stage.now += 1
    assert not stage.act(stage.other_owner, "finish", number)
    assert not stage.act(stage.other_owner, "withdraw", a)
    refused("Refuses", stage.evm.call, stage.validation, "collect", number, a)
    stage.evm.next_at(stage.now + 1)
    stage.evm.send(stage.router, "refuse", False, sender=a)
    stage.now += 1
    assert not stage.act(a, "collect", number, a)


def test_seats_have_an_end_and_come_free(stage: Stage) -> None:
    """Quota race: of two who want the last seat the second is refused; a seat that was left can be freed by anyone."""
    assert stage.act(stage.owner, "stake", TERMS.min_stake_wei - 1) == "StakeTooSmall"
    for i in range(spec.MAX_VALIDATORS - len(stage.model.members) - 1):
        who = f"0x{0xFACE00 + i:040x}"
        stage.evm.rpc("hardhat_impersonateAccount", who)
        stage.evm.rpc("hardhat_setBalance", who, hex(10**18))
        for call in (
            ("CreditToken", "deposit", (), 10**17),
            ("CreditToken", "approve", (stage.validation[1], 10**17), 0),
        ):
            stage.evm.next_at(stage.now + 1)
            stage.now += 1
            stage.evm.send(call[0], call[1], *call[2], sender=who, value=call[3])
        stage.model_credit.deposit(who, 10**17)
        assert not stage.act(who, "stake", TERMS.min_stake_wei)
    assert not stage.act(stage.owner, "stake", TERMS.min_stake_wei)
    assert stage.act(stage.other_owner, "stake", 10 * TERMS.min_stake_wei) == "SetFull"
    assert not stage.act(stage.people[2], "resign")
    stage.until(stage.now + TERMS.unbonding_seconds + 2)
    assert not stage.act(stage.other_owner, "withdraw", stage.people[2])
    assert not stage.act(stage.other_owner, "stake", TERMS.min_stake_wei)
    # A full set can be drawn from, fifteen of it, within the gas of a transaction.
    stage.now += 1
    stage.drawn(k=15)
    assert stage.gas < 3_000_000


def test_two_calls_race_for_one_draw(stage: Stage) -> None:
    number, drawn = stage.drawn()
    assert stage.act(stage.people[3], "draw", number) == "NotInState"
    assert list(stage.model.requests[number].drawn) == drawn


def test_a_request_is_the_owners_and_pays_enough(stage: Stage) -> None:
    assert stage.request(stage.other_owner) == "NotClassOwner"
    for k in (1, 2, 4, 17):
        assert stage.request(stage.owner, k=k) == "BadCount"
    assert stage.request(stage.owner, fee=3 * TERMS.min_fee_wei - 1) == "FeeTooSmall"
    zero = (FIRST_CLASS, bytes(32), b"\x01" * 32, FEE, 3)
    refused("ZeroHash", stage.evm.send, stage.validation, "request", *zero, sender=stage.owner)
    stage.now += 1
    assert BEACON.commit_seconds < PERIOD
