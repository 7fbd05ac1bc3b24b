"""Panels under attack, case by case; contract and specification refuse alike, and no unit is lost.

Invariant: who runs the program is paid, who repeats the claim is not, who is absent pays; undecided means refund.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from interlace.contracts import ADDRESSES, BeaconTerms, EconomyConfig, QuorumTerms, artifact
from interlace.errors import ChainError
from spec import quorum as spec
from spec.quorum import NO_OUTPUT, Vote
from tests.contracts.evm import refused
from tests.contracts.panels import FALSE, LAZY, LIE, RUN, TERMS, TRUE, TRUTH, PanelStage, kept, staged
from tests.contracts.test_validation_gas import full
from tests.contracts.validating import PERIOD

if TYPE_CHECKING:
    from collections.abc import Iterator

FEE = 1_000
PAGE = Path(__file__).resolve().parents[2] / "docs/audits.md"
CONFIG = EconomyConfig.development()


@pytest.fixture(scope="module")
def fresh() -> Iterator[PanelStage]:
    with staged() as found:
        yield found


@pytest.fixture
def stage(fresh: PanelStage) -> Iterator[PanelStage]:
    with kept(fresh):
        yield fresh
        fresh.check_all()


def verdict(stage: PanelStage, claim: bytes) -> int:
    found: int = stage.read("verdict", claim, stage.other)
    return found


def slash(stage: PanelStage, who: str) -> int:
    taken: int = stage.model.members[who].weight * TERMS.slash_bp // 10_000
    return taken


# ---- the way of a claim --------------------------------------------------------------------------------------


def test_who_ran_the_program_is_paid_and_the_claim_holds(stage: PanelStage) -> None:
    claim, drawn = stage.panel(1, fee=FEE)
    assert stage.prover not in drawn
    assert verdict(stage, claim) == spec.OPEN
    stage.voted(claim, dict.fromkeys(drawn, TRUTH))
    assert verdict(stage, claim) == spec.HOLDS
    assert stage.read("panelOf", claim)[12:] == TRUTH
    assert [stage.read("owed", who) for who in drawn] == [334, 333, 333]
    assert stage.act(stage.other, "finish", claim) == "NotInState"
    assert not stage.act(drawn[0], "claim")


def test_a_false_claim_fails_and_its_one_defender_has_no_part(stage: PanelStage) -> None:
    claim, drawn = stage.panel(1, output=FALSE)
    stage.voted(claim, {drawn[0]: LIE, drawn[1]: TRUTH, drawn[2]: TRUTH})
    assert verdict(stage, claim) == spec.FAILS
    # The minority has no part, and loses nothing.
    assert [stage.read("owed", who) for who in drawn] == [0, 500, 500]
    assert stage.model.members[drawn[0]].stake == stage.model.members[drawn[0]].weight


def test_who_repeats_the_claim_without_a_run_has_no_part(stage: PanelStage) -> None:
    """Two lazy members agree on the output, but no guess is the trace's root: nothing is decided by them."""
    claim, drawn = stage.panel(1)
    lazy = [LAZY, Vote(TRUE, b"\x66" * 32), TRUTH]
    stage.voted(claim, dict(zip(drawn, lazy, strict=True)))
    assert verdict(stage, claim) == spec.NONE
    assert [stage.read("owed", who) for who in drawn] == [TERMS.min_fee_wei] * 3
    assert stage.read("owed", stage.prover) == FEE - 3 * TERMS.min_fee_wei


def test_without_output_nothing_is_decided_and_showing_up_is_paid(stage: PanelStage) -> None:
    claim, drawn = stage.panel(1)
    stage.voted(claim, dict.fromkeys(drawn, NO_OUTPUT))
    assert verdict(stage, claim) == spec.NONE
    assert stage.read("owed", stage.prover) == FEE - 3 * TERMS.min_fee_wei
    # Nobody may ask again until a panel pleases.
    assert stage.ask(1) == "AlreadyAsked"


def test_who_is_absent_pays_those_who_came(stage: PanelStage) -> None:
    claim, drawn = stage.panel(1)
    taken = slash(stage, drawn[2])
    stage.voted(claim, {drawn[0]: TRUTH, drawn[1]: TRUTH})
    assert verdict(stage, claim) == spec.HOLDS
    assert [stage.read("owed", who) for who in drawn] == [500 + (taken + 1) // 2, 500 + taken // 2, 0]
    assert stage.read("memberOf", drawn[2])[2] > 0
    claim, drawn = stage.panel(2)
    stage.voted(claim, {})
    assert verdict(stage, claim) == spec.NONE
    assert stage.read("owed", stage.prover) == FEE


def test_the_last_commitment_begins_the_reveals_and_no_reveal_comes_before_it(stage: PanelStage) -> None:
    claim, drawn = stage.panel(1)
    for who in drawn[:2]:
        assert not stage.vote(who, claim, TRUTH)
    assert stage.show(drawn[0], claim, TRUTH) == "NotRevealing"
    assert stage.vote(drawn[0], claim, TRUTH) == "WrongPartState"
    assert not stage.vote(drawn[2], claim, TRUTH)
    for who in drawn:
        assert not stage.show(who, claim, TRUTH)
    assert stage.show(drawn[0], claim, TRUTH) == "WrongPartState"
    assert not stage.act(stage.other, "finish", claim)


def test_a_copied_commitment_opens_for_nobody_else(stage: PanelStage) -> None:
    claim, drawn = stage.panel(1)
    assert not stage.vote(drawn[0], claim, TRUTH)
    assert not stage.vote(drawn[1], claim, TRUTH, of=drawn[0])
    stage.until(stage.model.panels[claim].until - TERMS.reveal_seconds)
    assert stage.vote(drawn[2], claim, TRUTH) == "CommitOver"
    assert not stage.show(drawn[0], claim, TRUTH)
    assert stage.show(drawn[1], claim, TRUTH, of=drawn[0], fits=False) == "WrongReveal"
    assert stage.act(stage.other, "finish", claim) == "TooEarly"
    stage.until(stage.model.panels[claim].until)
    assert stage.show(drawn[1], claim, TRUTH, of=drawn[0]) == "NotRevealing"


@pytest.mark.parametrize("vote", [Vote(TRUE, bytes(32)), Vote(bytes(32), RUN)])
def test_a_vote_has_both_parts_or_none(stage: PanelStage, vote: Vote) -> None:
    claim, drawn = stage.panel(1)
    for who in drawn:
        assert not stage.vote(who, claim, vote)
    assert stage.show(drawn[0], claim, vote) == "BadVote"


# ---- who asks, and how often ---------------------------------------------------------------------------------


def test_what_is_no_question(stage: PanelStage) -> None:
    assert stage.ask(1, by=stage.other) == "NotTheProver"
    assert stage.ask(1, chain=1) == "NotThisChain"
    assert stage.ask(1, output=bytes(32)) == "ZeroHash"
    assert [stage.ask(1, n=n) for n in (1, 4, 17)] == ["BadCount"] * 3
    assert stage.ask(1, fee=29) == "FeeTooSmall"
    assert stage.ask(1, where="x" * 257) == "TooLong"
    unknown = stage.question(9).hash
    for function in ("draw", "finish"):
        assert stage.act(stage.other, function, unknown) == "NotInState"
    assert stage.vote(stage.other, unknown, TRUTH) == "NotInState"
    claim, _ = stage.panel(1)
    assert stage.vote(stage.other, claim, TRUTH) == "NotDrawn"


def test_another_output_for_the_same_job_is_no_second_question(stage: PanelStage) -> None:
    """Or a prover would ask about one output after the other until a panel of its friends is drawn."""
    assert not stage.ask(1)
    assert stage.ask(1, output=FALSE) == "AlreadyAsked"
    assert not stage.ask(2, output=FALSE)
    assert not stage.ask(1, prover=stage.other)


def test_a_question_without_a_draw_is_forgotten_and_can_be_asked_again(stage: PanelStage) -> None:
    assert not stage.ask(1)
    claim = stage.question(1).hash
    assert stage.act(stage.other, "draw", claim) == "NotOver"
    for _ in range(spec.MAX_POSTPONED + 1):
        assert claim in stage.model.panels
        stage.until((stage.model.panels[claim].round + 1) * PERIOD)
        assert not stage.act(stage.other, "draw", claim)
    assert claim not in stage.model.panels
    assert stage.read("owed", stage.prover) == FEE
    assert verdict(stage, claim) == spec.NONE
    assert not stage.ask(1)


def test_a_draw_that_comes_late_takes_another_number(stage: PanelStage) -> None:
    assert not stage.ask(1)
    claim = stage.question(1).hash
    first = stage.run_round(*stage.people[8:])
    stage.until((first + 1) * PERIOD + TERMS.draw_seconds + 1)
    assert not stage.act(stage.other, "draw", claim)
    assert stage.model.panels[claim].round > first


def test_more_members_than_there_are_is_a_refund(stage: PanelStage) -> None:
    assert not stage.ask(1, n=9)
    stage.run_round(*stage.people[8:])
    assert not stage.act(stage.other, "draw", stage.question(1).hash)
    assert stage.read("owed", stage.prover) == FEE


def test_a_prover_with_a_seat_is_not_drawn_for_its_own_claim(stage: PanelStage) -> None:
    prover = stage.people[5]
    claim, _ = stage.panel(1, n=7, prover=prover)
    drawn = [part[0] for part in stage.read("partsOf", claim)]
    assert sorted([*drawn, prover]) == sorted(stage.model.members)


def test_who_is_drawn_cannot_leave_before_the_end(stage: PanelStage) -> None:
    claim, drawn = stage.panel(1)
    assert not stage.act(drawn[0], "resign")
    stage.until(stage.model.members[drawn[0]].left_at + TERMS.unbonding_seconds)
    assert stage.act(stage.other, "withdraw", drawn[0]) == "StillDrawn"
    assert not stage.act(stage.other, "finish", claim)
    assert not stage.act(stage.other, "withdraw", drawn[0])


# ---- terms and costs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"draw_seconds": 0}, {"commit_seconds": 0}, {"reveal_seconds": 30 * 86_400 + 1}, {"slash_bp": 0},
        {"slash_bp": 10_001}, {"min_stake_wei": 9_999}, {"min_fee_wei": 0}, {"min_fee_wei": 1 << 112},
        {"unbonding_seconds": 366 * 86_400}, {"least_drawn": 1}, {"least_drawn": 4}, {"least_drawn": 17},
    ],
    ids=str,
)  # fmt: skip
def test_a_quorum_that_cannot_be(stage: PanelStage, change: dict[str, int]) -> None:
    with pytest.raises(ChainError) as caught:
        QuorumTerms(**change)
    assert caught.value.code == "contracts.bad-config"
    words = {**dataclasses.asdict(TERMS), **change}.values()
    kinds = ["address"] * 2 + ["uint256"] * len(TERMS.words)
    refused("BadTerms", stage._deploy, "Quorum", kinds, [ADDRESSES["CreditToken"], stage.beacon[1], *words])


def test_nobody_leaves_between_a_number_and_its_draw(stage: PanelStage) -> None:
    frozen = CONFIG.beacon.max_wait_seconds + CONFIG.quorum.draw_seconds
    assert stage.evm.call("Quorum", "freezeSeconds") == frozen
    short = dataclasses.replace(CONFIG.quorum, unbonding_seconds=frozen)
    with pytest.raises(ChainError) as caught:
        dataclasses.replace(CONFIG, quorum=short)
    assert caught.value.code == "contracts.bad-config"
    kinds = ["address"] * 2 + ["uint256"] * len(TERMS.words)
    places = [ADDRESSES["CreditToken"], ADDRESSES["Beacon"]]
    refused("BadTerms", stage._deploy, "Quorum", kinds, [*places, *short.words])


def test_the_page_has_the_terms_and_bounds_in_force(stage: PanelStage) -> None:
    text = PAGE.read_text()

    def cells(t: QuorumTerms) -> tuple[str, ...]:
        return (
            f"{t.draw_seconds:,} s, {t.commit_seconds:,} s, {t.reveal_seconds:,} s", f"{t.unbonding_seconds:,} s",
            f"{t.slash_bp:,} bp", f"{t.min_stake_wei / 10**18:g}, {t.min_fee_wei / 10**18:g}", str(t.least_drawn),
        )  # fmt: skip

    names = ("draw, commit, reveal", "unbonding", "slashed part", "least stake, least fee for each", "fewest members")
    for name, default, here in zip(names, cells(QuorumTerms()), cells(CONFIG.quorum), strict=True):
        assert f"| {name} | {default} | {here} |" in text
    times = [t.verdict_seconds(b) for t, b in ((QuorumTerms(), BeaconTerms()), (CONFIG.quorum, CONFIG.beacon))]
    assert f"| question to verdict, at most | {times[0]:,} s | {times[1]:,} s |" in text
    bounds = [stage.evm.call("Quorum", name) for name in ("MAX_DRAWN", "MAX_OPEN", "MAX_VALIDATORS", "MAX_WHERE")]
    rounds = stage.evm.call("Quorum", "MAX_POSTPONED") + 1
    drawn, running, seats, where = bounds
    assert f"At most {drawn} are drawn, {running} panels run at a time, {seats} members have a seat" in text
    assert f"`where` has at most {where} bytes, and a question waits for {rounds} rounds" in text
    assert len(artifact("Quorum").runtime) <= 24_576


def measured(stage: PanelStage) -> dict[str, int]:
    found = {}

    def of(what: str, refusal: str) -> None:
        assert not refusal
        found[what] = stage.gas

    of("ask, with 40 bytes of `where`", stage.ask(1, where="x" * 40))
    claim = stage.question(1).hash
    stage.run_round(*stage.people[8:])
    of("draw 3 of 8", stage.act(stage.other, "draw", claim))
    drawn = list(stage.model.panels[claim].drawn)
    of("commit to a vote", stage.vote(drawn[0], claim, TRUTH))
    for who in drawn[1:]:
        assert not stage.vote(who, claim, TRUTH)
    of("reveal it", stage.show(drawn[0], claim, TRUTH))
    for who in drawn[1:]:
        assert not stage.show(who, claim, TRUTH)
    of("finish, 3 drawn", stage.act(stage.other, "finish", claim))
    full(stage, 64 - len(stage.model.members))
    stage.now += 1
    claim, drawn = stage.panel(2, n=15)
    found["draw 15 of 64"] = stage.gas
    stage.voted(claim, dict.fromkeys(drawn[:8], TRUTH))
    found["finish, 15 drawn, 7 slashed"] = stage.gas
    return found


def test_gas_is_as_documented(stage: PanelStage) -> None:
    found = measured(stage)
    print("\n".join(f"| {what} | {gas:,} |" for what, gas in found.items()))
    row = re.compile(r"^\| (?P<what>[^|]+) \| (?P<gas>[\d,]+) \|$", re.MULTILINE)
    table = PAGE.read_text().split("### Gas")[1].split("###")[0]
    page = {match["what"]: int(match["gas"].replace(",", "")) for match in row.finditer(table)}
    assert page.keys() == found.keys()
    wrong = {what: (gas, page[what]) for what, gas in found.items() if not 0.9 <= gas / page[what] <= 1.1}
    assert not wrong, f"measured and documented: {wrong}"
