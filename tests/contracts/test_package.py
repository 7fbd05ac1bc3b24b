"""The package ships what the sources compile to, and a genesis only of what the constructors accept."""

from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlace.contracts import ADDRESSES, EconomyConfig, FeeShares, artifact, deployments
from interlace.errors import ChainError

if TYPE_CHECKING:
    from tests.contracts.evm import Evm

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "python/interlace/contracts"
CONFIG = EconomyConfig.development()


def test_artifacts_are_what_the_sources_compile_to(tmp_path: Path) -> None:
    build = subprocess.run(
        ["node", "build.mjs", "--out", tmp_path], cwd=ROOT / "contracts", capture_output=True, text=True, check=False
    )
    assert build.returncode == 0, f"{build.stderr}\nhint: `make test` installs the compiler"
    for folder in (f"{PACKAGE}/compiled", f"{PACKAGE}/kernels", "examples/compiled", "tests/contracts/artifacts"):
        built = {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
        committed = {path.name: path.read_bytes() for path in (ROOT / folder).iterdir()}
        assert built.keys() == committed.keys()
        assert [name for name in built if built[name] != committed[name]] == [], "run `make contracts` and commit"


def test_genesis_holds_the_artifacts(evm: Evm) -> None:
    for name, address in ADDRESSES.items():
        code = bytes.fromhex(evm.rpc("eth_getCode", address, "latest")[2:])
        shipped = artifact(name).runtime
        # Immutable values are zero in the artifact; everywhere else the two are equal.
        assert len(code) == len(shipped)
        assert all(a == b or b == 0 for a, b in zip(code, shipped, strict=True)), name
    assert evm.call("Settlement", "withdrawalDelay") == CONFIG.withdrawal_delay_seconds
    for meter, shares in enumerate(CONFIG.meters):
        assert evm.call("FeeRouter", "sharesOf", meter) == dataclasses.astuple(shares)
    assert evm.call("Validators", "threshold") == CONFIG.threshold


def test_deployments_are_in_the_order_of_the_addresses() -> None:
    made = deployments(CONFIG)
    assert [d["address"] for d in made] == list(ADDRESSES.values())
    assert [int(d["address"], 16) & 0xFF for d in made] == list(range(1, len(ADDRESSES) + 1))
    assert all(d["initcode"].startswith("0x") for d in made)


def test_an_unknown_contract() -> None:
    with pytest.raises(ChainError) as caught:
        artifact("Settlements")
    assert caught.value.code == "contracts.unknown"


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": 1},
        {"threshold": 4},
        {"validators": (), "threshold": 0},
        {"validators": (CONFIG.governor,) * 2},
        {"treasury": "0x" + "00" * 20},
        {"shares": FeeShares(node=4_999)},
        {"shares": FeeShares(node=-1, data=6_501)},
        {"validation_shares": FeeShares(node=4_999)},
        {"transaction_shares": FeeShares()},
        {"withdrawal_delay_seconds": CONFIG.settlement_grace_seconds},
        {"window_seconds": 0},
        {"stream_seconds": 0},
        {"sequencer": "0x" + "00" * 20},
        {"vote_seconds": 1 << 32},
        {"challenge_bond_wei": -1},
    ],
    ids=str,
)
def test_what_the_constructors_would_refuse_is_refused_before(change: dict[str, Any]) -> None:
    with pytest.raises(ChainError) as caught:
        dataclasses.replace(CONFIG, **change)
    assert caught.value.code == "contracts.bad-config"


def test_a_bad_address_is_the_chains_error() -> None:
    with pytest.raises(ChainError) as caught:
        dataclasses.replace(CONFIG, governor="0x12")
    assert caught.value.code == "chain.bad-address"
