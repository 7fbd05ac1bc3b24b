"""Terms of beacon and validation: what a constructor refuses is refused before a genesis is written."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from eth_abi import encode

from interlace.contracts import ADDRESSES, BeaconTerms, EconomyConfig, ValidationTerms, artifact
from interlace.errors import ChainError
from tests.contracts.evm import refused

if TYPE_CHECKING:
    from tests.contracts.evm import Evm

CONFIG = EconomyConfig.development()
CREDIT = ADDRESSES["CreditToken"]


def deploy(evm: Evm, name: str, places: list[str], words: tuple[int, ...]) -> None:
    kinds = ["address"] * len(places) + ["uint256"] * len(words)
    code = artifact(name).initcode + encode(kinds, [*places, *words])
    evm.transact({"from": evm.accounts[0].address, "data": "0x" + code.hex(), "value": "0x0"})


@pytest.mark.parametrize(
    "change",
    [
        {"commit_seconds": 0}, {"reveal_seconds": 0}, {"commit_seconds": 30 * 86_400 + 1}, {"quorum": 0},
        {"quorum": 1_025}, {"bond_wei": 0}, {"bond_wei": 1 << 128},
    ],
    ids=str,
)  # fmt: skip
def test_a_beacon_that_cannot_be(evm: Evm, change: dict[str, int]) -> None:
    with pytest.raises(ChainError) as caught:
        BeaconTerms(**change)
    assert caught.value.code == "contracts.bad-config"
    words = {**dataclasses.asdict(BeaconTerms()), **change}
    refused("BadTerms", deploy, evm, "Beacon", [CREDIT], tuple(words.values()))


@pytest.mark.parametrize(
    "change",
    [
        {"draw_seconds": 0}, {"commit_seconds": 0}, {"reveal_seconds": 30 * 86_400 + 1}, {"window_seconds": 0},
        {"vote_seconds": 0}, {"slash_bp": 0}, {"slash_bp": 10_001}, {"min_stake_wei": 9_999}, {"min_fee_wei": 0},
        {"appeal_bond_wei": 0}, {"appeal_bond_wei": 1 << 112}, {"unbonding_seconds": 366 * 86_400},
    ],
    ids=str,
)  # fmt: skip
def test_a_validation_that_cannot_be(evm: Evm, change: dict[str, int]) -> None:
    with pytest.raises(ChainError) as caught:
        ValidationTerms(**change)
    assert caught.value.code == "contracts.bad-config"
    words = {**dataclasses.asdict(ValidationTerms()), **change}
    places = [ADDRESSES[name] for name in ("CreditToken", "Assets", "Beacon", "FeeRouter")]
    refused("BadTerms", deploy, evm, "DataValidation", places, tuple(words.values()))


def test_nobody_leaves_between_a_number_and_its_draw(evm: Evm) -> None:
    """Unbonding is longer than the time within which a draw counts, by a second at least."""
    frozen = CONFIG.beacon.max_wait_seconds + CONFIG.validation.draw_seconds
    assert evm.call("DataValidation", "freezeSeconds") == frozen
    places = [ADDRESSES[name] for name in ("CreditToken", "Assets", "Beacon", "FeeRouter")]
    short: Any = dataclasses.replace(CONFIG.validation, unbonding_seconds=frozen)
    with pytest.raises(ChainError) as caught:
        dataclasses.replace(CONFIG, validation=short)
    assert caught.value.code == "contracts.bad-config"
    refused("BadTerms", deploy, evm, "DataValidation", places, short.words)
    deploy(evm, "DataValidation", places, dataclasses.replace(short, unbonding_seconds=frozen + 1).words)
