"""What the beacon and a validation cost; the table of docs/data-validation.md, which must stay true within a tenth."""

from __future__ import annotations

import re
from pathlib import Path

from tests.contracts.validating import BEACON, LIE, PERIOD, TERMS, TRUTH, Stage, staged

PAGE = Path(__file__).resolve().parents[2] / "docs/data-validation.md"
ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<gas>[\d,]+) \|$", re.MULTILINE)


def documented() -> dict[str, int]:
    table = PAGE.read_text().split("## Gas")[1]
    return {row["what"]: int(row["gas"].replace(",", "")) for row in ROW.finditer(table)}


def full(stage: Stage, seats: int) -> None:
    """Give so many more accounts a seat."""
    for i in range(seats):
        who = f"0x{0xFACE00 + i:040x}"
        stage.evm.rpc("hardhat_impersonateAccount", who)
        stage.evm.rpc("hardhat_setBalance", who, hex(10**18))
        for call in (("deposit", (), 10**17), ("approve", (stage.validation[1], 10**17), 0)):
            stage.now += 1
            stage.evm.next_at(stage.now)
            stage.evm.send("CreditToken", call[0], *call[1], sender=who, value=call[2])
        stage.model_credit.deposit(who, 10**17)
        assert not stage.act(who, "stake", TERMS.min_stake_wei)


def of(stage: Stage, refusal: str) -> int:
    assert not refusal
    return stage.gas


def measure(stage: Stage) -> dict[str, int]:
    who, found = stage.people[8], {}
    number = stage.round + 1
    stage.until(number * PERIOD)
    assert not stage.commit_secret(stage.people[9], number)
    found["put a secret into the beacon"] = of(stage, stage.commit_secret(who, number))
    stage.until(number * PERIOD + BEACON.commit_seconds)
    assert not stage.reveal_secret(stage.people[9], number)
    found["show it"] = of(stage, stage.reveal_secret(who, number))
    stage.until((number + 1) * PERIOD)
    found["have the bond back"] = of(stage, stage.claim_bond(who, number))
    found["take a seat"] = of(stage, stage.act(stage.other_owner, "stake", TERMS.min_stake_wei))
    stage.now += 1
    found["ask for a validation"] = of(stage, stage.request(stage.owner))
    number, drawn = stage.drawn(k=3)
    found["draw 3 of 9"] = stage.gas
    found["commit to an answer"] = of(stage, stage.commit(drawn[0], number, TRUTH))
    for i, other in enumerate(drawn[1:]):
        assert not stage.commit(other, number, (TRUTH, LIE)[i])
    stage.until(stage.model.requests[number].until - TERMS.reveal_seconds)
    found["reveal it"] = of(stage, stage.reveal(drawn[0], number, TRUTH))
    for i, other in enumerate(drawn[1:]):
        assert not stage.reveal(other, number, (TRUTH, LIE)[i])
    found["count 3 answers"] = of(stage, stage.act(stage.owner, "tally", number))
    stage.until(stage.model.requests[number].until)
    found["finish, 3 drawn, one slashed"] = of(stage, stage.act(stage.owner, "finish", number))
    full(stage, 64 - len(stage.model.members))
    stage.now += 1
    number, drawn = stage.drawn(k=15)
    found["draw 15 of 64"] = stage.gas
    stage.answered(number, {who: TRUTH if i < 8 else LIE for i, who in enumerate(drawn)})
    found["count 15 answers"] = stage.gas
    found["appeal, 64 seats"] = of(stage, stage.appeal(stage.owner, number, LIE))
    appeal = stage.model.requests[number].appeal
    assert appeal is not None
    asked = list(appeal.weights)
    found["vote"] = of(stage, stage.act(asked[0], "vote", number, True))
    for who in asked[1:]:
        assert not stage.act(who, "vote", number, True)
    worst = f"finish, 15 drawn, {len(drawn) - 7} slashed, all others voted"
    found[worst] = of(stage, stage.act(stage.owner, "finish", number))
    return found


def test_gas_of_validation_is_as_documented() -> None:
    with staged() as stage:
        measured = measure(stage)
    print("\n".join(f"| {what} | {gas:,} |" for what, gas in measured.items()))
    page = documented()
    assert page.keys() == measured.keys()
    wrong = {what: (gas, page[what]) for what, gas in measured.items() if not 0.9 <= gas / page[what] <= 1.1}
    assert not wrong, f"measured and documented: {wrong}"
