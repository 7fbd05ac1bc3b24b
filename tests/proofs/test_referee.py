"""The referee: every liar is convicted, whoever it is, however many there are; an honest trainer never is."""

from __future__ import annotations

import dataclasses
import threading

import numpy as np
import pytest

from interlace.errors import TrainingError
from interlace.proofs.training import (
    Claim,
    Defender,
    LocalWorker,
    Scope,
    judge,
    kernels,
    most_moves,
    play,
    play_shard,
    referee,
    steps,
    train,
)
from interlace.proofs.training.questions import Elements, Prefix
from interlace.proofs.training.referee import Place
from tests.proofs.training_cases import Spoiling, drawn_fault, faulty, small

FAULTS = 60


def lie(step: int, name: str, element: int):
    recipe, data, _ = small()
    execute = faulty(step, name, element)
    run = train(recipe, data, execute)
    return run, Defender.of(run, data, execute)


LIES = [lie(9, "dw0.next", 3), lie(9, "b1.next", 0), lie(17, "w1.next", 7)]


def match(liar, claim, *, first: bool, limit_s: float = 60.0):
    """Play the honest run against a claim; the liar sits on side 0 if `first`."""
    _, data, run = small()
    claims, parties = [run.claim, claim], [Defender.of(run, data), liar]
    if first:
        claims.reverse()
        parties.reverse()
    return play(tuple(claims), tuple(parties), limit_s)


def test_a_single_fault_anywhere_convicts_the_liar_at_its_place() -> None:
    recipe, _, run = small()
    rng, met, kinds = np.random.default_rng(6), 0, set()
    classes = {operator.name: type(operator) for operator in steps.plan(recipe).step}
    for number in range(FAULTS):
        step, name, element = drawn_fault(rng, recipe)
        false, liar = lie(step, name, element)
        if false.claim.root == run.claim.root:
            continue  # a later rounding or clamp took it away: the claim is true
        met += 1
        kinds.add(classes[name])
        finding = match(liar, false.claim, first=number % 2 == 0)
        assert finding.reasons == {0 if number % 2 == 0 else 1: "wrong"}
        assert finding.place == Place(step // recipe.interval, step, name, element)
        assert finding.moves <= most_moves(recipe)
        assert finding.right == finding.stated[1 if number % 2 == 0 else 0]
    assert met >= FAULTS // 2
    assert len(kinds) >= 8


def test_a_false_first_state_convicts() -> None:
    _, data, _ = small()
    execute = faulty(0, "w0", 6)
    run = train(small()[0], data, execute)
    finding = match(Defender.of(run, data, execute), run.claim, first=False)
    assert (finding.reasons, finding.place) == ({1: "wrong"}, Place(None, -1, "w0", 6))


def test_rows_that_the_recipe_does_not_draw_convict() -> None:
    recipe, data, _ = small()

    def execute(operator, inputs, context):
        if isinstance(operator, kernels.Draw):
            context = dataclasses.replace(context, step=context.step + 1)
        return operator.compute(inputs, context)

    run = train(recipe, data, execute)
    finding = match(Defender.of(run, data, execute), run.claim, first=True)
    assert (finding.reasons, finding.place.step, finding.place.operator) == ({0: "wrong"}, 0, "0.x")


def test_a_state_that_its_own_operators_do_not_make_convicts() -> None:
    recipe, data, run = small()
    claim = Claim(recipe, (*run.claim.checkpoints[:-1], bytes(32)))
    assert match(Defender.of(run, data), claim, first=True).reasons == {0: "contradiction"}

    class Forger(Defender):
        """Ends its ladders in what it claims."""

        def _made_segment(self, number):
            made = super()._made_segment(number)
            return type(made)(made.links[0], [*made.values[:-1], bytes(32)])

        def _made_ladder(self, scope):
            made = super()._made_ladder(scope)
            return type(made)(made.links[0], [*made.values[:-1], bytes(32)])

    finding = match(Forger.of(run, data), claim, first=False)
    assert (finding.reasons, finding.place.operator) == ({1: "wrong"}, "end")


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "spoil", [flip, lambda _: b"", lambda data: data + b"\0", lambda data: bytes(len(data)), lambda _: None]
)
def test_whatever_a_liar_answers_the_honest_trainer_is_not_convicted(spoil, first: bool) -> None:
    _, data, _ = small()
    run, defender = LIES[0]
    for turn in (1, 2, 4, 6, 10, 14, 16, 18):
        liar = Spoiling(defender.recipe, data, defender.states, defender.execute).begin(turn, spoil)
        finding = match(liar, run.claim, first=first)
        assert set(finding.reasons) == {0 if first else 1}
        assert set(finding.reasons.values()) <= {"malformed", "contradiction", "wrong"}


def test_an_exception_loses_and_silence_loses() -> None:
    run, _ = LIES[0]

    class Raising:
        def answer(self, question):
            raise SystemExit(question)

    class Silent:
        def answer(self, _question):
            threading.Event().wait()

    assert match(Raising(), run.claim, first=True).reasons == {0: "malformed"}
    assert match(Silent(), run.claim, first=False, limit_s=2.0).reasons == {1: "late"}


def test_one_honest_trainer_stands_against_a_majority() -> None:
    recipe, data, run = small()
    one, two, three = LIES
    played_badly = Spoiling.of(run, data).begin(3, flip)
    entries = [one, one, two, (run, played_badly), three, one, (run, Defender.of(run, data)), two]
    told = judge([entry[0].claim for entry in entries], [entry[1] for entry in entries], 60)
    assert told.root == run.claim.root
    # The one who claims the truth and answers badly loses its own match, if it has to play, and no other's.
    assert set(told.convicted) - {3} == {0, 1, 2, 4, 5, 7}
    assert 6 not in told.convicted
    assert told.matches <= len(entries) - 1
    assert told.moves <= told.matches * most_moves(recipe)


def test_those_who_agree_are_not_judged_and_two_liars_can_both_lose() -> None:
    _, data, run = small()
    agreed = judge([run.claim] * 2, [Defender.of(run, data)] * 2)
    assert (agreed.root, agreed.convicted, agreed.matches) == (run.claim.root, {}, 0)
    silly = [Spoiling.of(made[0], data, made[1].execute).begin(1, lambda _: b"") for made in LIES[:2]]
    both = judge([LIES[0][0].claim, LIES[1][0].claim], silly)
    assert (both.root, set(both.convicted)) == (None, {0, 1})


def test_a_check_taken_away_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the check of openings a liar has the referee compute from its own inputs and convict the honest side."""
    _, data, run = small()
    false, defender = lie(9, "0.gb1", 0)

    class Inventing(Defender):
        def answer(self, question):
            answer = super().answer(question)
            return bytes(len(answer)) if isinstance(question, Elements) else answer

    liar = Inventing(defender.recipe, data, defender.states, defender.execute)
    claims = false.claim, run.claim
    assert play(claims, (liar, Defender.of(run, data))).reasons == {0: "malformed"}
    monkeypatch.setattr(referee.commit, "opened", lambda data, *_: data[:32])
    assert 1 in play(claims, (liar, Defender.of(run, data))).reasons


def test_a_false_prefix_is_refused() -> None:
    _, data, run = small()
    false, defender = LIES[0]

    class Rewriting(Defender):
        def answer(self, question):
            answer = super().answer(question)
            return bytes(len(answer)) if isinstance(question, Prefix) else answer

    liar = Rewriting(defender.recipe, data, defender.states, defender.execute)
    assert play((false.claim, run.claim), (liar, Defender.of(run, data))).reasons == {0: "malformed"}


@pytest.mark.parametrize("first", [True, False])
def test_a_worker_that_lies_about_a_shard_is_convicted(first: bool) -> None:
    recipe, data, run = small()
    step, shard = 12, 1
    state = run.states[step // recipe.interval]
    execute = faulty(step, "1.gw0", 4)
    reports = [LocalWorker(recipe, data, how).report(step, state, shard) for how in (execute, steps.plainly)]
    parties = [Defender(recipe, data, {step: state}, how) for how in (execute, steps.plainly)]
    if not first:
        reports.reverse()
        parties.reverse()
    hashes = tuple(report.hash(recipe) for report in reports)
    scope = Scope("shard", step, shard)
    finding = play_shard(recipe, scope, steps.hash_of(recipe, step, state), hashes, tuple(parties))
    assert finding.reasons == {0 if first else 1: "wrong"}
    assert finding.place == Place(3, step, "1.gw0", 4)
    with pytest.raises(TrainingError, match=r"^training\.claim: "):
        play_shard(recipe, scope, bytes(32), (hashes[0], hashes[0]), tuple(parties))


def test_what_cannot_be_judged_is_refused() -> None:
    recipe, data, run = small()
    other = train(small(1)[0], data)
    party = Defender.of(run, data)
    with pytest.raises(TrainingError, match=r"^training\.parties: "):
        judge([run.claim], [party])
    with pytest.raises(TrainingError, match=r"^training\.claim: "):
        judge([run.claim, other.claim], [party, party])
    with pytest.raises(TrainingError, match=r"^training\.claim: "):
        play((run.claim, run.claim), (party, party))
    with pytest.raises(TrainingError, match=r"^training\.claim: "):
        Claim(recipe, run.claim.checkpoints[1:])
    with pytest.raises(TrainingError, match=r"^training\.state: "):
        Defender(recipe, data, {}).answer(Elements(Scope("step", 3), "w0", (0,)))
