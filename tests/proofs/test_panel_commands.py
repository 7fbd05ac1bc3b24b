"""`interlace quorum`: members as processes run them, killed after each step, and what is shown of a panel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from interlace.chain import ETHER, Chain
from interlace.cli.main import main
from interlace.contracts import economy_deployments
from interlace.proofs.panel import Panels
from interlace.records import Claim, hash_input, hash_output, to_base64
from tests.proofs.dispute_game import SALT
from tests.proofs.test_panel import CASE, OTHERS, PROVER, TERMS, run_round

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STAKE = f"{TERMS.min_stake_wei / 10**18:g}"


@pytest.fixture
def chain() -> Iterator[Chain]:
    with Chain(port=0, deployments=economy_deployments()) as made:
        panels = Panels(made.client)
        for account in (PROVER, *OTHERS):
            panels.credit.send(account, "deposit", value_wei=50 * ETHER)
        yield made


def test_members_from_the_command_line(chain: Chain, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs/one.ilp").write_bytes(CASE.program.to_bytes())
    (tmp_path / "inputs").mkdir()
    for index, account in enumerate(OTHERS[:3]):
        (tmp_path / f"{index}.key").write_text(account.key.hex())

    def member(index: int, *more: str) -> dict[str, Any]:
        words = [
            "quorum", "member", str(tmp_path / "programs"), "--key-file", str(tmp_path / f"{index}.key"),
            "--store", str(tmp_path / f"{index}.votes"), "--inputs", str(tmp_path / "inputs"), "--rpc", chain.url,
            "--once", "--json", *more,
        ]  # fmt: skip
        assert main(words) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    def show() -> dict[str, Any]:
        assert main(["quorum", "show", claim.hash().hex(), "--rpc", chain.url, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    assert [member(index, "--stake", STAKE)["events"] for index in range(3)] == [[]] * 3
    chain.client.increase_time(2)
    hashes = hash_input(SALT, CASE.input_bytes), hash_output(CASE.true.output)
    claim = Claim(chain.client.chain_id, PROVER.address, CASE.program.id, 1, *hashes, PROVER.address, 1)
    document = {"salt": "0x" + SALT.hex(), "input": to_base64(CASE.input_bytes)}
    (tmp_path / f"inputs/0x{claim.hash().hex()}.json").write_text(json.dumps(document))
    Panels(chain.client).request(PROVER, claim)
    assert (show()["state"], show()["parts"], show()["prover"]) == ("asked", [], PROVER.address)
    run_round(chain, show()["round"])
    # Each call is a process of its own: nothing but the file of votes lasts.
    done = [event["what"] for _ in range(4) for index in range(3) for event in member(index)["events"]]
    assert done == ["drawn", *["committed"] * 3, *["revealed"] * 3, "upheld"]
    found = show()
    assert (found["state"], found["output_hash"]) == ("upheld", "0x" + hash_output(CASE.true.output).hex())
    assert {part["state"] for part in found["parts"]} == {"revealed"}
    assert sum(int(member(index)["owed_wei"]) for index in range(3)) == int(found["fee_wei"])
    words = ["quorum", "show", claim.hash().hex(), "--rpc", chain.url]
    assert main(words) == 0
    assert "upheld" in capsys.readouterr().out


def test_what_is_no_panel_is_said(chain: Chain, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quorum", "show", "00" * 32, "--rpc", chain.url]) == 1
    assert "audit.no-panel" in capsys.readouterr().err
    assert main(["quorum", "show", "12", "--rpc", chain.url]) == 1
    assert "cli.claim-hash" in capsys.readouterr().err
