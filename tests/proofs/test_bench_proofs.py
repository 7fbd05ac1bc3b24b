"""The measurement of proofs: real rows, and a name that no model has."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from interlace.cli.main import app
from interlace.errors import ProgramError
from interlace.proofs.bench_proofs import bench_proofs


def test_every_tier_is_measured() -> None:
    """Each row is of a proof that held, and names the cost of running the program beside it."""
    result = CliRunner().invoke(app, ["bench", "proofs", "2k", "--rounds", "1", "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert [row["tier"] for row in rows] == ["re-run", "sumcheck", "with program"]
    assert all(row["verify_ms"] > 0 and row["native_ms"] > 0 for row in rows)
    assert rows[1]["proof_bytes"] > rows[2]["proof_bytes"] > 10_000


def test_an_unknown_model_is_refused() -> None:
    """The hint names the models there are."""
    with pytest.raises(ProgramError, match="no model is '9k'") as refused:
        bench_proofs(["9k"])
    assert refused.value.code == "program.unknown-model"
    assert "85k" in refused.value.hint
