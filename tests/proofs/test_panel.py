"""Panels from Python: members who run programs, two of them killed in between; provers who lie or hide the input."""

from __future__ import annotations

import dataclasses
import random
from typing import TYPE_CHECKING

import pytest

from interlace.assets.randomness import BeaconParty
from interlace.chain import ETHER, Account, Chain
from interlace.contracts import EconomyConfig, economy_deployments
from interlace.errors import VerificationError
from interlace.proofs.panel import NO_OUTPUT, Done, Member, Panels, Vote
from interlace.records import Claim, hash_input, hash_output
from tests.proofs.dispute_game import SALT, draw, false_trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TERMS, BEACON = EconomyConfig.development().quorum, EconomyConfig.development().beacon
PROVER, *OTHERS = Account.list_from_mnemonic(6)
CASE = draw(8)
PROGRAMS = {CASE.program.id: CASE.program.core}


def fetch(_: Claim, where: str) -> tuple[bytes, bytes]:
    assert where == "shelf 3"
    return SALT, CASE.input_bytes


def gone(_: Claim, where: str) -> tuple[bytes, bytes]:
    raise TimeoutError(where)


@pytest.fixture(scope="module")
def chain() -> Iterator[Chain]:
    with Chain(port=None, deployments=economy_deployments()) as made:
        panels = Panels(made.client)
        for account in (PROVER, *OTHERS):
            panels.credit.send(account, "deposit", value_wei=50 * ETHER)
        for account in OTHERS[:3]:
            Member(panels, account, PROGRAMS, fetch).stake(TERMS.min_stake_wei)
        made.client.increase_time(2)
        yield made


def pass_until(chain: Chain, second: int) -> None:
    while (now := chain.client.block().timestamp) < second:
        chain.client.increase_time(second - now)


def run_round(chain: Chain, number: int) -> None:
    """Let two accounts put secrets into a round and show them, and the round end."""
    parties, period = [BeaconParty(chain.client, account) for account in OTHERS[3:5]], 60
    assert period == BEACON.commit_seconds + BEACON.reveal_seconds
    pass_until(chain, number * period)
    for party in parties:
        party.commit()
    pass_until(chain, number * period + BEACON.commit_seconds)
    for party in parties:
        party.reveal(number)
    pass_until(chain, (number + 1) * period)


def drawn(chain: Chain, nonce: int, output: bytes) -> bytes:
    """Ask for a panel and let its round end; return the claim's hash."""
    panels = Panels(chain.client)
    hashes = hash_input(SALT, CASE.input_bytes), hash_output(output)
    claim = Claim(chain.client.chain_id, PROVER.address, CASE.program.id, 1, *hashes, PROVER.address, nonce)
    claim_hash = panels.request(PROVER, claim, where="shelf 3")
    assert panels.advance(PROVER, claim_hash) == "asked"
    run_round(chain, panels.get(claim_hash).round)
    return claim_hash


def members(chain: Chain) -> list[Member]:
    panels = Panels(chain.client)
    return [Member(panels, account, PROGRAMS, fetch) for account in OTHERS[:3]]


def test_a_panel_upholds_a_true_claim_though_two_members_are_killed(chain: Chain, tmp_path: Path) -> None:
    claim_hash = drawn(chain, 1, CASE.true.output)
    first, second, third = members(chain)
    first.store = tmp_path / "votes"
    assert first.step() == [Done(claim_hash, "drawn")]
    assert [one.step() for one in (first, second, third)] == [[Done(claim_hash, "committed")]] * 3
    # One goes on by its file, though the input is gone; one by another run; with the last reveal everybody is paid.
    by_file = dataclasses.replace(first, fetch=gone, votes={})
    assert by_file.votes == {claim_hash: Vote(hash_output(CASE.true.output), CASE.true.root)}
    assert dataclasses.replace(first, store=None, fetch=gone, votes={}).step() == []
    by_run = dataclasses.replace(second, votes={})
    assert [one.step() for one in (by_file, by_run, third)] == [[Done(claim_hash, "revealed")]] * 3
    assert by_file.step() == [Done(claim_hash, "upheld")]
    panel = by_file.panels.get(claim_hash)
    assert (panel.state, panel.found) == ("upheld", Vote(hash_output(CASE.true.output), CASE.true.root))
    assert panel.found == Vote(hash_output(CASE.true.output), PROGRAMS[CASE.program.id].trace(CASE.input_bytes).root)
    assert sum(one.claim() for one in (first, second, third)) == panel.fee_wei == first.panels.least_fee()
    assert by_file.step() == []
    assert (tmp_path / "votes").read_text() == "{}"


def test_a_panel_refutes_a_false_claim(chain: Chain) -> None:
    false = false_trace(CASE, "output", random.Random(8))
    assert false is not None
    drawn(chain, 2, false.output)
    everyone = members(chain)
    ends = [done.what for _ in range(4) for one in everyone for done in one.step()]
    assert ends == ["drawn", *["committed"] * 3, *["revealed"] * 3, "refuted"]


def test_an_input_that_nobody_can_get_ends_in_a_refund(chain: Chain) -> None:
    claim_hash = drawn(chain, 3, CASE.true.output)
    everyone = members(chain)
    everyone[0].fetch, everyone[1].fetch = gone, lambda *_: (SALT, b"another input")
    everyone[2].programs = {}
    assert everyone[0].step() == [Done(claim_hash, "drawn")]
    # Who may get it yet waits until little time is left; who has not the program need not.
    assert [one.step() for one in everyone] == [[], [], [Done(claim_hash, "committed")]]
    pass_until(chain, everyone[0].panels.get(claim_hash).until - TERMS.reveal_seconds - TERMS.commit_seconds // 4)
    ends = [done.what for _ in range(3) for one in everyone for done in one.step()]
    assert ends == [*["committed"] * 2, *["revealed"] * 3, "undecided"]
    assert everyone[0].panels.get(claim_hash).found is None
    assert set(everyone[1].votes.values()) <= {NO_OUTPUT}


def test_what_is_no_panel_and_no_file_of_votes(chain: Chain, tmp_path: Path) -> None:
    panels, file = Panels(chain.client), tmp_path / "votes"
    with pytest.raises(VerificationError) as caught:
        panels.get(bytes(32))
    assert caught.value.code == "audit.no-panel"
    for text in ("", "[]", '{"00": []}', '{"' + "00" * 32 + '": ["00"]}', '{"x": 1}', " " * (1 << 20) + "{}"):
        file.write_text(text)
        with pytest.raises(VerificationError) as caught:
            Member(panels, PROVER, {}, fetch, file)
        assert caught.value.code == "audit.bad-store", text
