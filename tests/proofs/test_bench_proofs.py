"""The measurement of proofs: real rows of every way, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from interlace.chain import Chain
from interlace.cli.main import app
from interlace.contracts import economy_deployments
from interlace.errors import ProgramError, VerificationError
from interlace.proofs import Status
from interlace.proofs.bench_proofs import MODELS, ProofBench, bench_proofs, dense
from interlace.proofs.tiers import Way, games, measure, peak
from interlace.proofs.tiers import bench as tiers_bench
from interlace.proofs.tiers.bench import Bench, job_of
from interlace.proofs.tiers.games import false_traces
from interlace.proofs.tiers.peak import peak_mb
from tests.proofs.test_zk import CONTRACTS, HERE, needs_ezkl

WAYS = ["rerun", "quorum", "dispute", "sumcheck", "sumcheck-program"]


def test_every_tier_is_measured() -> None:
    """Each row is of a proof that held, and names the cost of running the program beside it."""
    result = CliRunner().invoke(app, ["bench", "proofs", "2k", "--rounds", "1", "--json"])
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    rows = {row["tier"]: row for row in told["rows"]}
    assert list(rows) == WAYS + ["zk"] * HERE
    assert all(row["verify_ms"] > 0 and row["native_ms"] > 0 and row["prove_ratio"] > 0 for row in rows.values())
    assert rows["sumcheck"]["proof_bytes"] > rows["sumcheck-program"]["proof_bytes"] > 10_000
    # It commits to all tables; a run of the program needs next to nothing.
    assert rows["sumcheck"]["peak_mb"] > 1 > rows["rerun"]["peak_mb"] >= 0
    assert rows["quorum"]["peak_mb"] is None
    assert 60_000 < rows["dispute"]["prover_gas"] < 150_000 < rows["dispute"]["chain_gas"] < 2_000_000
    assert [gas for row in rows.values() if (gas := row["prover_gas"]) is not None] == [rows["dispute"]["prover_gas"]]
    assert told["left_out"][0].startswith("tee: a quote is produced elsewhere")
    assert HERE or told["left_out"][1].startswith("zk of 2k: ezkl is not installed")


def test_a_batch_is_measured_by_what_can_prove_one() -> None:
    found = bench_proofs(["2k"], batch=3, rounds=1)
    assert [row.tier for row in found.rows] == ["rerun", "sumcheck", "sumcheck-program"]
    assert {row.batch for row in found.rows} == {3}
    lines = found.to_text().splitlines()
    assert len({len(line) for line in lines[:4]}) == 1
    assert lines[4].startswith("left out: quorum")
    assert ProofBench([]).to_json() == {"rows": [], "left_out": []}


def test_an_unknown_model_is_refused() -> None:
    """The hint names the models there are."""
    with pytest.raises(ProgramError, match="no model is '9k'") as refused:
        bench_proofs(["9k"])
    assert refused.value.code == "program.unknown-model"
    assert "85k" in refused.value.hint


def test_a_game_counts_only_if_the_lie_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    program = dense((16, 12, 4))
    with Chain(port=None, deployments=economy_deployments()) as chain:
        bench = Bench(chain)
        job = job_of(program, bench.node.address, chain.client.chain_id)
        parts = list(false_traces(program, job.input))
        assert len(parts) == 2
        assert all(weights != program.weights for weights, _ in parts)
        # A prover who tells the truth cannot be made to fall.
        true = [(program.weights, program.core.trace(job.input))]
        monkeypatch.setattr(games, "false_traces", lambda *_: iter(true))
        with pytest.raises(VerificationError) as caught:
            games.largest_game(bench.board, bench.node, bench.doubter, job)
        assert caught.value.code == "verify.opening"


def test_a_contract_that_decides_a_proof_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(games.ON_CHAIN, Way.SUMCHECK_PROGRAM, lambda *_: 12_345)
    with Chain(port=None, deployments=economy_deployments()) as chain:
        rows = Bench(chain).measure("2k", dense(MODELS["2k"]), 1, memory=False)
    gas = {row.way: row.chain_gas for row in rows}
    assert gas[Way.SUMCHECK_PROGRAM] == 12_345
    assert 1_000_000 < (gas[Way.SUMCHECK] or 0) < 4_000_000
    assert {row.peak_mb for row in rows if row.way is not Way.ZK} == {None}


def test_a_proof_that_does_not_hold_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoilt(prover: object, job: object, context: object) -> object:
        made = measure(prover, job, context)  # type: ignore[arg-type]
        checks = tuple(replace(check, status=Status.FAILED) for check in made.verdict.checks)
        return replace(made, verdict=replace(made.verdict, checks=checks))

    monkeypatch.setattr(tiers_bench, "measure", spoilt)
    with Chain(port=None, deployments=economy_deployments()) as chain, pytest.raises(VerificationError) as caught:
        Bench(chain).measure("2k", dense(MODELS["2k"]), 1, memory=False)
    assert caught.value.code == "tier.no-measurement"
    with pytest.raises(VerificationError, match="KeyError") as caught:
        peak_mb("9k", Way.RERUN)
    assert caught.value.code == "tier.no-measurement"
    monkeypatch.setattr(peak, "SECONDS", 0.01)
    with pytest.raises(VerificationError, match="took more than") as caught:
        peak_mb("2k", Way.RERUN)
    assert caught.value.code == "tier.no-measurement"


@needs_ezkl
def test_the_gas_of_a_proof_by_ezkl() -> None:
    program = dense((3, 2))
    with Chain(port=None, deployments=economy_deployments()) as chain:
        rows = Bench(chain, CONTRACTS).measure("2k", program, 1, memory=False)
    assert rows[-1].way is Way.ZK
    assert (rows[-1].chain_gas or 0) > 100_000
