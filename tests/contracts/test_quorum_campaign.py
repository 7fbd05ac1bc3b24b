"""Random lives of a beacon and of panels, each operation on the contracts and in the specification.

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

from spec import quorum as spec
from spec.quorum import NO_OUTPUT, Vote
from tests.contracts.panels import FALSE, LAZY, LIE, RUN, TERMS, TRUE, TRUTH, PanelStage, kept, staged
from tests.contracts.validating import BEACON, PERIOD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Operation = tuple[str, Callable[[], str]]

SEED = int(os.environ.get("INTERLACE_SEED", time.time() // 86_400))


@pytest.fixture(scope="module")
def stage() -> Iterator[PanelStage]:
    with staged() as found:
        yield found


class Campaign:
    """Draws operations: mostly one that the state asks for, sometimes any."""

    def __init__(self, stage: PanelStage, seed: int) -> None:
        self.stage, self.random, self.ends, self.nonce = stage, random.Random(seed), Counter[str](), 0
        self.committed: dict[tuple[bytes, str], tuple[Vote, str]] = {}
        self.claims: list[bytes] = [bytes(32)]
        self.asked: list[tuple[int, str]] = []

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
                stage.now += self.random.choice([1, 5, BEACON.commit_seconds, TERMS.reveal_seconds])
        stage.check_all()

    def useful(self) -> list[Operation]:
        """Return what is possible, and worth doing, at the second of the next operation."""
        stage, model, now = self.stage, self.stage.model, self.stage.now + 1
        found: list[Operation] = []
        number = stage.round
        states = model.beacon.rounds[number].states if number in model.beacon.rounds else {}
        for who in stage.people[:4]:
            if who not in states and now % PERIOD < BEACON.commit_seconds:
                found.append(("secret", lambda who=who: stage.commit_secret(who, number)))
            elif states.get(who) == 1 and now % PERIOD >= BEACON.commit_seconds and who != stage.people[number % 5]:
                found.append(("shown", lambda who=who: stage.reveal_secret(who, number)))
        running = {claim: p for claim, p in model.panels.items() if p.state < spec.UPHELD}
        for claim, p in running.items():
            found += self.useful_for(claim, p, now)
        if len(running) < 3:
            found.append(("ask", lambda: self.ask(self.random.randint(50, 5_000), self.random.choice([3, 3, 5]))))
        for who in stage.people:
            m = model.members.get(who)
            if m is None:
                found.append(("stake", lambda who=who: stage.act(who, "stake", self.random.randint(100_000, 900_000))))
            elif m.left_at and now >= m.left_at + TERMS.unbonding_seconds and not m.busy:
                found.append(("withdraw", lambda who=who: stage.act(stage.owner, "withdraw", who)))
        return found

    def useful_for(self, claim: bytes, p: spec.Panel, now: int) -> list[Operation]:
        """Return what a panel waits for; some members are absent, lazy or lie, which is known from the beginning."""
        stage, found = self.stage, []
        if p.state == spec.ASKED and now >= stage.model.beacon.ends_at(p.round):
            found.append(("draw", lambda: stage.act(self.someone(), "draw", claim)))
        for who, shown in p.drawn.items() if p.state == spec.DRAWN else ():
            mood = random.Random(f"{claim.hex()}{who}").random()
            votes = [TRUTH] * 6 + [LIE, LAZY, NO_OUTPUT]
            vote = votes[int(mood * len(votes))]
            if shown is None and mood * 97 % 1 < 0.9 and now < p.until - TERMS.reveal_seconds:
                found.append(("commit", lambda who=who, vote=vote: self.commit(who, claim, vote)))
            elif shown is False and p.until - TERMS.reveal_seconds <= now < p.until:
                # Some would like to change their mind.
                vote = self.random.choice([*[vote] * 9, LAZY])
                found.append(("reveal", lambda who=who, vote=vote: self.reveal(who, claim, vote)))
        if p.state == spec.DRAWN and (now >= p.until or len(p.shown) == p.n):
            found.append(("finish", lambda: stage.act(self.someone(), "finish", claim)))
        return found

    def any(self) -> Operation:
        """Return an operation that nobody asked for."""
        stage, who, other = self.stage, self.someone(), self.someone()
        claim = self.random.choice(self.claims)
        vote = self.random.choice([TRUTH, LIE, LAZY, NO_OUTPUT, Vote(TRUE, bytes(32)), Vote(bytes(32), RUN)])
        fee, n = self.random.randint(20, 60), self.random.randint(1, 7)
        again, prover = self.random.choice(self.asked or [(1, who)])
        operations: list[Operation] = [
            ("stake", lambda: stage.act(who, "stake", self.random.randint(99_990, 100_010))),
            ("resign", lambda: stage.act(who, "resign") if self.random.random() < 0.3 else ""),
            ("withdraw", lambda: stage.act(who, "withdraw", other)),
            ("claim", lambda: stage.act(who, "claim")),
            ("ask", lambda: stage.ask(again, fee, n, by=who, prover=prover, output=bytes(32))),
            ("ask", lambda: stage.ask(again, 70, self.random.choice([3, 7]), prover=prover, output=self.either())),
            *((name, lambda name=name: stage.act(who, name, claim)) for name in ("draw", "finish")),
            ("commit", lambda: self.commit(who, claim, vote, of=other)),
            ("reveal", lambda: self.reveal(who, claim, vote)),
        ]
        return self.random.choice(operations)

    def ask(self, fee: int, n: int) -> str:
        self.nonce += 1
        output, prover = self.either(), self.random.choice(self.stage.people[:3])
        refusal = self.stage.ask(self.nonce, fee, n, output=output, prover=prover)
        if not refusal:
            self.asked.append((self.nonce, prover))
            self.claims.append(self.stage.question(self.nonce, output=output, prover=prover).hash)
        return refusal

    def commit(self, who: str, claim: bytes, vote: Vote, of: str = "") -> str:
        refusal = self.stage.vote(who, claim, vote, of=of)
        if not refusal:
            self.committed[claim, who] = (vote, of or who)
        return refusal

    def reveal(self, who: str, claim: bytes, vote: Vote) -> str:
        return self.stage.show(who, claim, vote, fits=self.committed.get((claim, who)) == (vote, who))

    def either(self) -> bytes:
        return self.random.choice([TRUE, TRUE, FALSE])

    def someone(self) -> str:
        return self.random.choice(self.stage.people)


def test_the_contract_lives_as_the_specification_does(stage: PanelStage) -> None:
    print(f"seed {SEED}")
    with kept(stage):
        campaign = Campaign(stage, SEED)
        campaign.run(400)
    print(campaign.ends)
    # A campaign that never gets anywhere would hold every invariant too.
    assert all(campaign.ends[name] for name in ("shown", "draw", "commit", "reveal", "finish")), campaign.ends


@pytest.mark.soak
@pytest.mark.timeout(3_600)
def test_the_contract_lives_as_the_specification_does_for_long(stage: PanelStage) -> None:
    ends, states = Counter[str](), Counter[int]()
    for seed in range(60):
        with kept(stage):
            campaign = Campaign(stage, seed)
            campaign.run(1_000)
            ends += campaign.ends
            states.update(p.state for p in stage.model.panels.values())
    print(ends, states)
    wanted = ("shown", "draw", "commit", "reveal", "finish", "withdraw", "AlreadyAsked", "WrongReveal", "NotDrawn")
    assert all(ends[name] > 20 for name in wanted), ends
    assert all(states[end] > 5 for end in (spec.UPHELD, spec.REFUTED, spec.UNDECIDED)), states
