"""Validation from Python: real data scored by drawn validators, the answer on chain, and the life of the asset."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from interlace.assets.life import life
from interlace.assets.randomness import BeaconParty
from interlace.assets.registry import contract
from interlace.assets.rows import Rows
from interlace.assets.score import Weights
from interlace.assets.validation import UNAVAILABLE, Answer, Rules, Validations, Validator
from interlace.chain import Account, Chain
from interlace.cli.main import main
from interlace.contracts import VALIDATION, EconomyConfig, economy_deployments
from interlace.errors import AssetError
from tests.assets.data_cases import real

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER, *OTHERS = Account.list_from_mnemonic(6)
TERMS, BEACON = EconomyConfig.development().validation, EconomyConfig.development().beacon
FEE = 10**18
ROWS, EVALUATION = real("wine")
RULES = Rules(EVALUATION)


def refused(code: str) -> Any:
    return pytest.raises(AssetError, match=f"^{code}: ")


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with Chain(port=0, deployments=economy_deployments()) as chain:
        for account in (OWNER, *OTHERS):
            contract(chain.client, "CreditToken").send(account, "deposit", value_wei=100 * 10**18)
        contract(chain.client, "Assets").send(OWNER, "createClass", "", bytes(32), 0, "")
        for account in OTHERS:
            Validator(chain.client, account).stake(TERMS.min_stake_wei)
        chain.client.increase_time(2)
        yield chain


def pass_until(chain: Chain, second: int) -> None:
    """Make a block at that second or after; many blocks in one second run ahead of the clock that is moved."""
    while (now := chain.client.block().timestamp) < second:
        chain.client.increase_time(second - now)


def run_round(chain: Chain, parties: list[BeaconParty]) -> int:
    """Put secrets in, show them, and let the round end; return its number."""
    period = BEACON.commit_seconds + BEACON.reveal_seconds
    pass_until(chain, (parties[0].phase().round + 1) * period)
    (number,) = {party.commit() for party in parties}
    with refused("asset.not-now"):
        parties[0].reveal(number)
    pass_until(chain, number * period + BEACON.commit_seconds)
    with refused("asset.not-now"):
        parties[0].commit()
    for party in parties:
        party.reveal(number)
    pass_until(chain, (number + 1) * period)
    return number


def test_a_class_gets_the_score_that_anyone_computes(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    validations = Validations(chain.client)
    request_id = validations.request(OWNER, 1, ROWS, RULES, FEE)
    assert validations.get(request_id).state == validations.advance(OWNER, request_id) == "requested"
    with refused("asset.not-drawn"):
        Validator(chain.client, OTHERS[0]).commit(request_id, UNAVAILABLE)
    parties = [BeaconParty(chain.client, account) for account in OTHERS[:2]]
    number = run_round(chain, parties)
    assert [party.claim(number) for party in parties] == [BEACON.bond_wei] * 2
    assert validations.advance(OWNER, request_id) == "drawn"
    drawn = [address for address, state in validations.get(request_id).parts if state == "drawn"]
    people = [Validator(chain.client, account) for account in OTHERS if account.address in drawn]
    assert len(people) == 3
    answers = [person.answer(request_id, ROWS, RULES) for person in people]
    for person, answer in zip(people, answers, strict=True):
        person.commit(request_id, answer)
    with refused("asset.not-now"):
        people[0].reveal(request_id, answers[0])
    pass_until(chain, validations.get(request_id).until - TERMS.reveal_seconds)
    for person, answer in zip(people, answers, strict=True):
        person.reveal(request_id, answer)
    assert validations.advance(OWNER, request_id) == "proposed"
    assert validations.score_of(1) is None
    pass_until(chain, validations.get(request_id).until)
    assert validations.advance(OWNER, request_id) == "validated"
    report = RULES.report(ROWS)
    found = validations.score_of(1)
    assert found is not None
    assert (found.content_hash, found.rules_hash, found.answer) == (
        ROWS.root,
        RULES.hash,
        Answer(report.hash, report["score"] * 100),
    )
    assert people[0].claim() == 0
    words = [moment.what for moment in life(chain.client, 1)]
    assert words[-4:] == ["validation asked for", "validators drawn", "score proposed", "validated"]
    assert main(["asset", "1", "--rpc", chain.url]) == 0
    assert f"ppm {report['score'] * 100}, request {request_id}" in capsys.readouterr().out.splitlines()[-1]
    assert main(["asset", "1", "--rpc", chain.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["score"]["report"] == "0x" + report.hash.hex()
    # Their parts of the fee go through the router, as fees of the second meter.
    router, shares = contract(chain.client, "FeeRouter"), EconomyConfig.development().validation_shares
    for person in people:
        person.collect(request_id)
    assert router.call("routedOf", VALIDATION) == FEE
    for account in (account for account in OTHERS if account.address in drawn):
        assert int(router.call("claimable", account.address)) >= FEE // 3 * shares.node // 10_000


def test_a_chain_without_the_contracts_has_no_scores() -> None:
    with Chain(port=None) as bare:
        assert Validations(bare.client).score_of(1) is None


def test_other_data_or_rules_are_not_what_was_requested(chain: Chain) -> None:
    request_id = Validations(chain.client).request(OWNER, 1, ROWS, RULES, FEE)
    validator = Validator(chain.client, OTHERS[0])
    fewer = Rows(ROWS.columns, ROWS.cells[1:])
    weighed = Rules(EVALUATION, weights=Weights(gain=2_000, unique=3_000))
    for rows, rules in (
        (fewer, RULES),
        (ROWS, weighed),
        (ROWS, Rules(EVALUATION, base=fewer)),
        (None, RULES),
        (ROWS, None),
    ):
        assert validator.answer(request_id, rows, rules) == UNAVAILABLE
    assert validator.answer(request_id, ROWS, Rules(EVALUATION, weights=Weights())) == Answer.of(RULES.report(ROWS))
    with refused("asset.no-such-request"):
        validator.answer(10**6, ROWS, RULES)


def test_a_validator_leaves_with_its_stake(chain: Chain) -> None:
    account = OTHERS[-1]
    validator, credit = Validator(chain.client, account), contract(chain.client, "CreditToken")
    busy = contract(chain.client, "DataValidation").call("memberOf", account.address)[4]
    before = int(credit.call("balanceOf", account.address))
    validator.resign()
    pass_until(chain, chain.client.block().timestamp + TERMS.unbonding_seconds)
    assert busy == 0
    validator.withdraw()
    assert int(credit.call("balanceOf", account.address)) - before == TERMS.min_stake_wei
