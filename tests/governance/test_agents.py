"""What is said of agents, from Python: the page runs, values keep their decimals, and refusals have their names."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest

import interlace
from interlace.errors import ChainError, OrganisationError
from interlace.governance import AgentRegistries, Opinion, ValidationRequest
from interlace.records import Assurance, Claim
from tests.sdk.snippets import ROOT, Page


def test_the_program_of_the_page_runs() -> None:
    program = Page(ROOT / "docs/agent-registries.md").program("python")
    assert "assert" in program
    exec(compile(program, "agent-registries", "exec"), {})


@pytest.fixture(scope="module")
def net() -> Iterator[interlace.Network]:
    with interlace.devnet() as network:
        yield network


def test_values_keep_their_decimals(net: interlace.Network) -> None:
    node, client, other = net.accounts("node", "client", "other")
    agent, registries = interlace.register_agent(node), AgentRegistries(net.client)
    values: tuple[Decimal | int | str, ...] = ("99.77", Decimal("-3.2"), 7, "1e2", "0.000000000000000001")
    for number, value in enumerate(values, start=1):
        assert registries.say(client.account, agent, value, "uptime", "day") == number
    mean = (Decimal("99.77") - Decimal("3.2") + 107 + Decimal("1e-18")) / 5
    expected = Opinion(5, mean.quantize(Decimal("1e-18"), rounding="ROUND_DOWN"))
    assert registries.reputation(agent, [client.address], "uptime", "day") == expected
    assert registries.reputation(agent, [client.address], paid_only=True) == Opinion(0, Decimal(0))
    registries.take_back(client.account, agent, 2)
    assert registries.reputation(agent, [client.address, other.address]).count == 4
    with pytest.raises(ChainError, match="OwnAgent"):
        registries.say(node.account, agent, 5)


@pytest.mark.parametrize("value", ["much", "1e-19", "NaN", "Infinity", "1e39", None])
def test_what_is_no_feedback_is_refused(net: interlace.Network, value: str) -> None:
    (client,) = net.accounts("client")
    with pytest.raises(OrganisationError) as caught:
        AgentRegistries(net.client).say(client.account, 1, value)
    assert caught.value.code == "org.bad-feedback"


def test_an_undecided_claim_has_no_answer(net: interlace.Network) -> None:
    node, anyone = net.accounts("prover", "anyone")
    agent, registries = interlace.register_agent(node), AgentRegistries(net.client)
    claim = Claim(
        net.client.chain_id, "0x" + "11" * 20, b"\1" * 32, 1, b"\2" * 32, b"\3" * 32, node.address, 1
    )  # fmt: skip
    first, second = (ValidationRequest(agent, Assurance.DISPUTE, claim) for _ in range(2))
    assert first.salt != second.salt
    assert registries.validate(node.account, first) != registries.validate(node.account, second)
    with pytest.raises(ChainError, match="Undecided"):
        registries.answer(anyone.account, first)
    assert registries.validations(agent) == Opinion(0, Decimal(0))
