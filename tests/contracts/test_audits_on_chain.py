"""Sampled audits on a chain: by name, on random operations beside the specification, against cheaters, and their gas.

Invariant: after each operation contract and specification hold the same money.
Source: docs/audits.md, "On chain".
What it does not do: it plays no game of a dispute to its last element; tests/proofs/test_dispute.py does.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from statistics import mean, stdev

import pytest
from eth_abi import encode

from interlace.contracts import ADDRESSES, AuditTerms, BeaconTerms, EconomyConfig, artifact
from interlace.errors import ChainError
from interlace.proofs.audits import Terms as Formula
from spec.audited import FAILS, HOLDS, NONE, OPEN, Terms, cheat
from tests.contracts.auditing import CLOCK, TERMS, WINDOW, Auditing, auditing
from tests.contracts.evm import refused
from tests.contracts.validating import PERIOD

PAGE = Path(__file__).resolve().parents[2] / "docs/audits.md"
ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<gas>[\d,]+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def a() -> Iterator[Auditing]:
    with auditing() as found:
        yield found


def drawn_of(a: Auditing, claims: list[bytes]) -> list[bytes]:
    found = [claim for claim in claims if a.model.drawn(a.evm.now, claim)]
    assert found == [claim for claim in claims if a.evm.call(a.audits, "isDrawn", claim)]
    return found


def split(a: Auditing, who: str, first: int) -> tuple[list[bytes], list[bytes]]:
    """Enter claims until some are drawn and some are not; return both."""
    drawn: list[bytes] = []
    rest: list[bytes] = []
    while len(drawn) < 2 or not rest:
        claims = a.entered(who, first, 8)
        first += 8
        found = drawn_of(a, claims)
        spared = [claim for claim in claims if claim not in found]
        if not (len(found) >= 2 and spared):  # never kept in flight: this round is of no use
            a.stage.until(a.now + TERMS.answer_seconds + PERIOD)
            for claim in found:
                assert not a.act(a.people[0], "convict", claim)
            if spared:
                assert not a.act(who, "close", spared)
            assert not a.act(who, "join", TERMS.fine_wei * (len(found) + 1))
            continue
        drawn, rest = found, spared
    return drawn, rest


def test_the_life_of_claims(a: Auditing) -> None:
    node, doubter = a.people[1], a.people[2]
    assert a.act(node, "enter", [a.claim(node, 1)]) == "TooManyInFlight"
    assert a.act(node, "join", 0) == "ZeroAmount"
    assert not a.act(node, "join", 5 * TERMS.fine_wei)
    mine = a.claim(node, 2)
    assert a.act(node, "enter", []) == "BatchSize"
    assert a.act(node, "enter", [a.claim(doubter, 1)]) == "NotTheProver"
    assert a.act(node, "answer", mine) == "NotEntered"
    assert not a.act(node, "post", mine)
    assert a.act(node, "enter", [mine]) == "AlreadyPutUp"
    refused("NotThisChain", a.evm.send, a.audits, "enter", [(1, *a.claims[mine][1:])], sender=node)
    refused("BatchSize", a.evm.send, a.audits, "close", [mine] * 65, sender=node)
    a.stage.now = a.evm.now
    drawn, rest = split(a, node, 10)
    assert {a.verdict(claim) for claim in drawn} == {OPEN}
    assert {a.verdict(claim) for claim in rest} == {HOLDS}
    assert a.act(node, "enter", [rest[0]]) == "AlreadyEntered"
    assert a.act(node, "enterAgain", rest[0]) == "RoundHasValue"
    assert a.act(node, "answer", rest[0]) == "NotDrawn"
    assert a.act(node, "answer", drawn[0]) == "NotPutUp"
    assert a.act(doubter, "convict", drawn[0]) == "NotFailed"
    assert a.act(node, "close", [rest[0], drawn[0]]) == "NotDecided"
    assert not a.act(node, "close", rest)
    assert a.act(node, "close", rest) == "AlreadyClosed"
    assert not a.act(node, "post", drawn[0])
    assert not a.act(node, "answer", drawn[0])
    assert a.act(node, "answer", drawn[0]) == "AlreadyAnswered"
    assert not a.act(doubter, "challenge", drawn[0])
    a.stage.until(a.now + max(CLOCK, TERMS.answer_seconds) + 5)
    assert a.act(node, "answer", drawn[1]) == "TooLate"
    assert not a.act(doubter, "timeout", drawn[0])
    assert not a.act(node, "post", drawn[1])  # too late: that it is there changes nothing
    a.compare()
    assert {a.verdict(claim) for claim in drawn} == {FAILS}
    before = a.model.credit.balance[doubter]
    for claim in drawn:
        assert not a.act(doubter, "convict", claim)
        assert a.act(doubter, "convict", claim) == "AlreadyClosed"
    assert a.model.credit.balance[doubter] - before == len(drawn) * (TERMS.fine_wei // 2)
    a.compare()


def test_a_claim_that_stands_in_a_dispute_holds(a: Auditing) -> None:
    node = a.people[3]
    assert not a.act(node, "join", 2 * TERMS.fine_wei)
    drawn, rest = split(a, node, 1_000)
    for claim in drawn:
        assert not a.act(node, "post", claim)
        assert not a.act(a.people[0], "answer", claim)
    a.stage.until(a.now + WINDOW + 2)
    assert not a.act(node, "close", drawn + rest)
    a.compare()
    assert {a.verdict(claim) for claim in drawn + rest} == {HOLDS}
    assert a.act(node, "withdraw") == "NotLeaving"
    assert not a.act(node, "resign")
    assert a.act(node, "resign") == a.act(node, "join", 1) == a.act(node, "enter", [drawn[0]]) == "IsLeaving"
    assert a.act(node, "withdraw") == "TooEarly"
    a.stage.until(a.now + TERMS.unbonding_seconds)
    assert not a.act(node, "withdraw")


def test_rounds_without_a_value_end_undecided(a: Auditing) -> None:
    node = a.people[4]
    assert not a.act(node, "join", TERMS.fine_wei)
    claim = a.claim(node, 1)
    assert not a.act(node, "enter", [claim])
    assert not a.act(node, "resign")
    assert a.act(node, "enterAgain", claim) == "NotOver"
    a.rounds()
    assert not a.act(a.people[0], "enterAgain", claim)
    a.rounds()
    assert a.act(node, "enterAgain", claim) == "NoMoreRounds"
    assert a.act(node, "answer", claim) == "NoValue"
    a.compare()
    assert a.verdict(claim) == NONE
    a.stage.until(a.now + TERMS.unbonding_seconds)
    assert a.act(node, "withdraw") == "ClaimsInFlight"
    assert not a.act(node, "close", [claim])
    assert not a.act(node, "withdraw")


def walk(a: Auditing, rng: random.Random, steps: int, first: int) -> None:
    """Do random operations; most are refused, and all alike."""
    done = 0
    for step in range(steps):
        who = rng.choice(a.people[:5])
        waiting = [claim for claim, entry in a.model.entries.items() if not entry.closed]
        known = [*list(a.model.entries)[-3:], *waiting[:6], *waiting[-6:]] or [a.claim(who, 10**6)]
        what = rng.choice(["join", "enter", "enter", "enterAgain", "answer", "close", "convict", "post", "challenge",
                           "timeout", "resign", "withdraw", "rounds", "wait"])  # fmt: skip
        if what == "resign" and rng.randrange(5):
            what = "join"
        if what == "rounds":
            a.rounds(*rng.choice([[], a.people[7:9], a.people[7:10]]))
        elif what == "wait":
            a.stage.until(a.now + rng.randrange(2, 80))
        else:
            args = {
                "join": (rng.choice([0, TERMS.fine_wei, TERMS.fine_wei // 2]),), "resign": (), "withdraw": (),
                "enter": ([a.claim(who, first + step * 8 + i) for i in range(rng.randrange(1, 5))],),
                "close": (rng.sample(known, rng.randrange(1, min(4, len(known)) + 1)),),
            }.get(what, (rng.choice(known),))  # fmt: skip
            if what == "post":
                who = a.claims[args[0]][6]
            done += not a.act(who, what, *args)
    assert done > steps // 40
    a.evm.mine_at(a.now + 1)
    a.stage.now += 1
    a.compare()


def test_random_operations_beside_the_specification(a: Auditing) -> None:
    walk(a, random.Random(7), 120, 10_000)


@pytest.mark.soak
def test_thousands_of_random_operations(a: Auditing) -> None:
    for seed in range(6):
        walk(a, random.Random(seed), 300, 10**7 * (seed + 1))


# ---- cheaters

GAIN, FINE, FLIGHT = 50, 2_000, 10
MINIMAL = Formula(gain=GAIN, stake=FINE - FINE // 2, delay=FLIGHT, detection=Fraction(1)).minimal_rate()


@pytest.mark.parametrize("players", [400, pytest.param(20_000, marks=pytest.mark.soak)])
def test_cheaters_at_half_and_twice_the_minimal_rate(players: int) -> None:
    assert MINIMAL is not None
    rng = random.Random(11)
    for factor, sign in ((Fraction(1, 2), 1), (Fraction(2), -1)):
        terms = Terms(rate_bp=int(MINIMAL * factor * 10_000), max_in_flight=FLIGHT, fine=FINE)
        profits = [int(cheat(terms, GAIN, rng)) for _ in range(players)]
        assert sign * mean(profits) > 3 * stdev(profits) / players**0.5


def test_terms_know_the_largest_gain_that_they_deter() -> None:
    terms = AuditTerms()
    for gain, deters in ((terms.deterred_gain_wei, True), (terms.deterred_gain_wei + 1, False)):
        formula = Formula(gain=gain, stake=terms.lost_wei, delay=terms.max_in_flight, detection=Fraction(1))
        rate = formula.minimal_rate()
        assert rate is not None
        assert (Fraction(terms.rate_bp, 10_000) > rate) == deters


@pytest.mark.parametrize(
    "change",
    [
        {"rate_bp": 0}, {"rate_bp": 10_001}, {"answer_seconds": 0}, {"answer_seconds": 30 * 86_400 + 1},
        {"unbonding_seconds": 366 * 86_400}, {"unbonding_seconds": 3_600}, {"max_rounds": 0}, {"max_rounds": 17},
        {"max_in_flight": 0}, {"max_in_flight": 65_537}, {"fine_wei": 1}, {"fine_wei": 1 << 112},
    ],
    ids=str,
)  # fmt: skip
def test_terms_that_cannot_be(a: Auditing, change: dict[str, int]) -> None:
    with pytest.raises(ChainError) as caught:
        dataclasses.replace(EconomyConfig.development(), audits=AuditTerms(**change), beacon=BeaconTerms())
    assert caught.value.code == "contracts.bad-config"
    words = {**dataclasses.asdict(AuditTerms()), **change}
    places = [ADDRESSES[name] for name in ("CreditToken", "Beacon", "Dispute", "Validators")]
    code = artifact("Audits").initcode + encode(["address"] * 4 + ["uint256"] * 6, [*places, *words.values()])
    refused("BadTerms", a.evm.transact, {"from": a.people[0], "data": "0x" + code.hex(), "value": "0x0"})


# ---- gas


def test_gas_is_what_the_page_says(a: Auditing) -> None:
    node, gas = a.people[5], {}
    a.stage.now = max(a.now, a.evm.now)

    def of(what: str, function: str, *args: object, each: int = 1) -> None:
        assert not a.act(node, function, *args)
        gas[what] = a.stage.gas // each

    assert not a.act(node, "join", 50 * TERMS.fine_wei)
    one, many = a.claim(node, 1), [a.claim(node, nonce) for nonce in range(2, 66)]
    of("enter, 1 claim in a call", "enter", [one])
    a.rounds()
    of("enter again", "enterAgain", one)
    of("enter, 64 claims in a call, for each", "enter", many, each=64)
    a.rounds(*a.people[7:])
    a.evm.mine_at(a.now + 1)
    a.stage.now += 1
    drawn = drawn_of(a, many)
    assert not a.act(node, "post", drawn[0])
    of("answer", "answer", drawn[0])
    held = [claim for claim in many if claim not in drawn]
    of("close, 16 claims in a call, for each", "close", held[:16], each=16)
    a.stage.until(a.now + TERMS.answer_seconds)
    assert not a.act(a.people[6], "convict", drawn[1])  # the first one ever is dearer
    of("convict", "convict", drawn[2])
    table = {row["what"]: int(row["gas"].replace(",", "")) for row in ROW.finditer(PAGE.read_text())}
    assert gas.keys() <= table.keys(), sorted(gas.items())
    for what, measured in gas.items():
        assert 0.9 * table[what] <= measured <= 1.1 * table[what], gas
