"""Random lives of beacon and validation, each operation on the contracts and in the specification.

Invariant: the same refusals by name, and after each operation the same money to the last unit; at times, everything.
The seed rotates by the day and is printed; INTERLACE_SEED fixes it. `make soak` runs a long one.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from spec import validation as spec
from tests.contracts.validating import BEACON, FIRST_CLASS, LIE, PERIOD, TERMS, TRUTH, Stage, kept, staged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spec.validation import Answer

SEED = int(os.environ.get("INTERLACE_SEED", time.time() // 86_400))
NOTHING = spec.Answer(spec.UNAVAILABLE, 0)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    with staged() as found:
        yield found


class Campaign:
    """Draws operations: mostly one that the state asks for, sometimes any."""

    def __init__(self, stage: Stage, seed: int) -> None:
        self.stage, self.random, self.ends = stage, random.Random(seed), Counter[str]()
        self.committed: dict[tuple[int, str], tuple[Answer, str]] = {}

    def run(self, operations: int) -> None:
        stage = self.stage
        for count in range(operations):
            useful = self.useful()
            name, operation = self.random.choice(useful) if useful and self.random.random() < 0.85 else self.any()
            refusal = operation()
            self.ends[refusal or name] += 1
            if count % 40 == 0:
                stage.check_all()
            if not useful or self.random.random() < 0.1:
                stage.now += self.random.choice([1, 5, BEACON.commit_seconds, TERMS.window_seconds])
        stage.check_all()

    def useful(self) -> list[tuple[str, Callable[[], str]]]:
        """Return what is possible, and worth doing, at the second of the next operation."""
        stage, model, now = self.stage, self.stage.model, self.stage.now + 1
        found: list[tuple[str, Callable[[], str]]] = []
        number = stage.round
        states = model.beacon.rounds[number].states if number in model.beacon.rounds else {}
        for who in stage.people[:4]:
            if who not in states and now % PERIOD < BEACON.commit_seconds:
                found.append(("secret", lambda who=who: stage.commit_secret(who, number)))
            elif states.get(who) == 1 and now % PERIOD >= BEACON.commit_seconds and who != stage.people[number % 5]:
                found.append(("shown", lambda who=who: stage.reveal_secret(who, number)))
            if model.beacon.rounds.get(number - 1) and self.random.random() < 0.2:
                found.append(("bond", lambda who=who: stage.claim_bond(who, number - 1)))
        running = [n for n, r in model.requests.items() if r.state < spec.VALIDATED]
        for n in running:
            found += self.useful_for(n, model.requests[n], now)
        if len(running) < 3:
            k = self.random.choice([3, 3, 5])
            found.append(
                ("request", lambda: stage.request(stage.owner, FIRST_CLASS, self.random.randint(50, 5_000), k))
            )
        for who in stage.people:
            m = model.members.get(who)
            if m is None:
                found.append(("stake", lambda who=who: stage.act(who, "stake", self.random.randint(100_000, 900_000))))
            elif m.left_at and now >= m.left_at + TERMS.unbonding_seconds and not m.busy:
                found.append(("withdraw", lambda who=who: stage.act(stage.owner, "withdraw", who)))
        for n, who in model.fees:
            found.append(("collect", lambda n=n, who=who: stage.act(who, "collect", n, who)))
        return found

    def useful_for(self, n: int, r: spec.Request, now: int) -> list[tuple[str, Callable[[], str]]]:
        """Return what a request waits for."""
        stage, found = self.stage, []
        if r.state == spec.REQUESTED and now >= stage.model.beacon.ends_at(r.round):
            found.append(("draw", lambda: stage.act(self.someone(), "draw", n)))
        if r.state == spec.DRAWN:
            for who, shown in r.drawn.items():
                # Some are lazy, some lie; which, is known from the beginning.
                mood = random.Random(f"{n}{who}").random()
                right = NOTHING if random.Random(f"data {n}").random() < 0.2 else TRUTH
                answer = right if mood < 0.65 else LIE
                if shown is None and mood < 0.93 and now < r.until - TERMS.reveal_seconds:
                    found.append(("commit", lambda who=who, answer=answer: self.commit(who, n, answer)))
                elif shown is False and r.until - TERMS.reveal_seconds <= now < r.until:
                    found.append(("reveal", lambda who=who, answer=answer: self.reveal(who, n, answer)))
            if now >= r.until:
                found.append(("tally", lambda: stage.act(self.someone(), "tally", n)))
        if r.state == spec.PROPOSED and now < r.until and self.random.random() < 0.3:
            answer = TRUTH if r.answer != TRUTH else LIE
            found.append(("appeal", lambda: stage.appeal(self.someone(), n, answer)))
        if r.state == spec.APPEALED and r.appeal is not None:
            for who in (other for other in r.appeal.weights if other not in r.appeal.votes):
                honest = (r.appeal.answer == TRUTH) is (random.Random(f"{n}v{who}").random() < 0.9)
                found.append(("vote", lambda who=who, honest=honest: stage.act(who, "vote", n, honest)))
        if r.state in (spec.PROPOSED, spec.APPEALED) and now >= r.until:
            found.append(("finish", lambda: stage.act(self.someone(), "finish", n)))
        return found

    def any(self) -> tuple[str, Callable[[], str]]:
        """Return an operation that nobody asked for."""
        stage, who, other = self.stage, self.someone(), self.someone()
        class_id, fee, k = self.random.choice([1, 2]), self.random.randint(20, 60), self.random.randint(2, 6)
        n = self.random.randint(1, len(stage.model.requests) + 1)
        answer = self.random.choice(
            [TRUTH, LIE, NOTHING, spec.Answer(bytes(32), 1), spec.Answer(b"\x33" * 32, 1_000_001)]
        )
        round_number = stage.round - self.random.randint(-1, 2)
        yes = self.random.random() < 0.5
        return self.random.choice(
            [
                ("secret", lambda: stage.commit_secret(who, round_number, of=other)),
                ("shown", lambda: stage.reveal_secret(who, round_number, of=other)),
                ("bond", lambda: stage.claim_bond(who, round_number)),
                ("stake", lambda: stage.act(who, "stake", self.random.randint(99_990, 100_010))),
                ("resign", lambda: stage.act(who, "resign") if self.random.random() < 0.3 else ""),
                ("withdraw", lambda: stage.act(who, "withdraw", other)),
                ("claim", lambda: stage.act(who, "claim")),
                ("request", lambda: stage.request(who, class_id, fee, k)),
                *((name, lambda name=name: stage.act(who, name, n)) for name in ("draw", "tally", "finish")),
                ("commit", lambda: self.commit(who, n, answer, of=other)),
                ("reveal", lambda: self.reveal(who, n, answer)),
                ("appeal", lambda: stage.appeal(who, n, answer)),
                ("vote", lambda: stage.act(who, "vote", n, yes)),
                ("collect", lambda: stage.act(who, "collect", n, other)),
            ]
        )  # fmt: skip

    def commit(self, who: str, n: int, answer: Answer, of: str = "") -> str:
        refusal = self.stage.commit(who, n, answer, of=of)
        if not refusal:
            self.committed[n, who] = (answer, of or who)
        return refusal

    def reveal(self, who: str, n: int, answer: Answer) -> str:
        return self.stage.reveal(who, n, answer, fits=self.committed.get((n, who)) == (answer, who))

    def someone(self) -> str:
        return self.random.choice(self.stage.people)


def test_the_contracts_live_as_the_specification_does(stage: Stage) -> None:
    print(f"seed {SEED}")
    with kept(stage):
        campaign = Campaign(stage, SEED)
        campaign.run(450)
    print(campaign.ends)
    # A campaign that never gets anywhere would hold every invariant too.
    assert all(campaign.ends[name] for name in ("shown", "draw", "tally", "finish", "NotInState")), campaign.ends


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_the_contracts_live_as_the_specification_does_for_long(stage: Stage) -> None:
    ends, states = Counter[str](), Counter[int]()
    for seed in range(60):
        with kept(stage):
            campaign = Campaign(stage, seed)
            campaign.run(1_000)
            ends += campaign.ends
            states.update(r.state for r in stage.model.requests.values())
    print(ends, states)
    wanted = ("shown", "draw", "reveal", "tally", "appeal", "vote", "finish", "collect", "withdraw", "BondForfeited")
    assert all(ends[name] > 20 for name in wanted), ends
    assert all(states[end] for end in (spec.VALIDATED, spec.UNAVAILABLE_STATE, spec.REFUNDED)), states
