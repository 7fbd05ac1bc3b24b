"""Terms of beacon and validation: what a constructor refuses is refused before a genesis is written."""

from __future__ import annotations

import dataclasses
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from eth_abi import encode

from interlace.contracts import ADDRESSES, BeaconTerms, EconomyConfig, ValidationTerms, artifact
from interlace.errors import ChainError
from tests.contracts.evm import refused

if TYPE_CHECKING:
    from tests.contracts.evm import Evm

PAGE = Path(__file__).resolve().parents[2] / "docs/data-validation.md"
CREDIT_WEI = 10**18
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


def cells(b: BeaconTerms, v: ValidationTerms) -> dict[str, list[str]]:
    """Return what the cells of the page's table begin with."""
    seconds, credits_of = "{:,} s".format, lambda wei: f"{wei / CREDIT_WEI:g}"
    return {
        "beacon: commit, reveal": [seconds(b.commit_seconds), seconds(b.reveal_seconds)],
        "quorum, bond": [str(b.quorum), f"{credits_of(b.bond_wei)} credit"],
        "draw, commit, reveal": [seconds(s) for s in (v.draw_seconds, v.commit_seconds, v.reveal_seconds)],
        "window, vote": [seconds(v.window_seconds), seconds(v.vote_seconds)],
        "unbonding": [seconds(v.unbonding_seconds)],
        "slashed part": [f"{v.slash_bp:,} bp"],
        "least stake, least fee for each, appeal's bond": [
            credits_of(wei) for wei in (v.min_stake_wei, v.min_fee_wei, v.appeal_bond_wei)
        ],
    }


def test_the_page_has_the_terms_and_bounds_in_force(evm: Evm) -> None:
    text = PAGE.read_text()
    columns = cells(BeaconTerms(), ValidationTerms()), cells(CONFIG.beacon, CONFIG.validation)
    for name, default in columns[0].items():
        found = next(line for line in text.splitlines() if line.startswith(f"| {name} |")).split("|")[2:4]
        assert found[0].strip().startswith(", ".join(default)), name
        assert found[1].strip().startswith(", ".join(columns[1][name])), name
    bounds = {
        "secrets of a round": evm.call("Beacon", "MAX_COMMITTERS"),
        "seats": evm.call("DataValidation", "MAX_VALIDATORS"),
        "drawn for a request": evm.call("DataValidation", "MAX_DRAWN"),
        "requests that are not finished": evm.call("DataValidation", "MAX_OPEN"),
        "appeals of a request": evm.call("DataValidation", "MAX_APPEALS"),
        "rounds that a request waits for": evm.call("DataValidation", "MAX_POSTPONED") + 1,
        "score": evm.call("DataValidation", "MAX_SCORE_PPM"),
    }
    for name, value in bounds.items():
        assert f"| {name} | {value:,} |" in text


def test_the_page_has_the_chance_of_a_majority_of_seats() -> None:
    for drawn in (3, 15):
        chance = sum(comb(drawn, j) * 2 ** (drawn - j) for j in range(drawn // 2 + 1, drawn + 1)) / 3**drawn
        assert f"{chance:.0%} of {drawn}".replace("%", " %") in PAGE.read_text()
