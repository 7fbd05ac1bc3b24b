"""The economy's flows on a real run: every figure against views read by hand, and the chart against the figures."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import interlace
from interlace.assets.flows import PARTIES, measure_flows
from interlace.chain import Chain
from interlace.cli.economy_chart import METER_HEIGHT, draw
from interlace.cli.main import main
from interlace.contracts import ADDRESSES, METERS, EconomyConfig
from interlace.errors import AssetError

ETHER = 10**18
VALIDATION = "0x1ace" + "0b".zfill(36)
DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def run():
    """Fees of two meters and a reward from elsewhere; holders of whom one leaves; some parts are claimed."""
    with interlace.devnet() as net:
        ann, ben, carl = net.accounts("ann", "ben", "carl")
        ann.stake("3")
        ben.stake("1.000000000000000001")
        carl.fund("5")
        assets, router = net.contract("Assets"), net.contract("FeeRouter")
        assets.send(ann.account, "createDerivedClass", 1, "", bytes(32), 0, "", [], (1, 0))
        # No contract for data validation is needed to see what becomes of its fees: only its address counts.
        credit = net.contract("CreditToken")
        credit.send(carl.account, "transfer", VALIDATION, 10_007)
        net.client.rpc("anvil_impersonateAccount", VALIDATION)
        net.client.rpc("anvil_setBalance", VALIDATION, hex(ETHER))
        for contract, name, *args in (
            (credit, "approve", router.address, 10_007),
            (router, "route", 1, ben.address, 1, 7),
            (router, "route", 1, ben.address, 1, 10_000),
        ):
            call = {"from": VALIDATION, "to": contract.address, "data": "0x" + contract.encode(name, *args).hex()}
            net.client.wait([net.client.rpc("eth_sendTransaction", call)])
        credit.send(carl.account, "approve", ADDRESSES["StakingVault"], 999)
        net.contract("StakingVault").send(carl.account, "addReward", 999)
        net.contract("TransactionFees").send(carl.account, "distribute")
        net.pass_time(125)
        ben.claim("node")
        ann.claim("holder")
        ann.claim_native("holder")
        ben.unstake("1")
        net.pass_time(60)
        ben.withdraw_stake()
        ben.unstake("0.000000000000000001")
        yield net, (ann, ben, carl)


def test_every_figure_is_what_the_contracts_say(run):
    net, (ann, ben, carl) = run
    found = measure_flows(net.client)
    everyone = [ann.address, ben.address, carl.address, net.treasury.address, *(v.address for v in net.validators)]
    everyone.append(EconomyConfig.development().sequencer)
    view = lambda name, *args: net.contract(name).call(*args)  # noqa: E731
    claimable = {
        name: sum(view(name, "claimable", who) for who in set(everyone))
        for name in ("FeeRouter", "StakingVault", "Validators", "TransactionFees")
    }
    compute, validation, transactions = found.meters
    assert (compute.amount, compute.fees) == (0, 0) == (view("FeeRouter", "routedOf", 0), 0)
    assert (validation.amount, validation.fees) == (10_007, 2) == (view("FeeRouter", "routedOf", 1), 2)
    assert validation.parts["node"] == 8_007
    fees = net.contract("TransactionFees")
    assert transactions.amount == fees.call("totalDistributed") + transactions.waiting
    assert transactions.waiting == fees.call("undistributed") > 0
    for number, meter in enumerate(found.meters):
        assert sum(meter.parts.values()) + meter.waiting == meter.amount
        assert tuple(meter.shares.values()) == view("FeeRouter", "sharesOf", number)
    router, classes, validators, holders, native, holders_native = found.pots
    assert (router.claimed, router.claimable) == (8_007, claimable["FeeRouter"])
    assert (classes.earned, classes.claimed) == (500, 0)
    assert validators.claimable - claimable["Validators"] == view("Validators", "carry") < 3
    assert (holders.earned, holders.claimed) == (500 + 999, view("StakingVault", "rewards", False)[1])
    assert 0 <= holders.claimable - claimable["StakingVault"] <= 3
    assert native.claimable - claimable["TransactionFees"] == fees.call("validatorsCarry") < 3
    assert holders_native.earned == transactions.parts["holders"]
    assert holders_native.claimed > 0
    assert holders_native.waiting > 0
    staking = found.staking
    assert (staking.stakers, staking.staked, staking.unbonding, staking.withdrawn) == (1, 3 * ETHER, 1, ETHER)
    assert (staking.period_seconds, staking.unbonding_seconds) == (60, 60)
    # Ann held three tokens all the time, and is the only one who claimed.
    hers = holders.claimed + view("StakingVault", "claimable", ann.address)
    assert 0 <= 3 * staking.per_token["credits"] - hers + 3 <= 6


def test_the_command_shows_the_same(run, capsys, tmp_path):
    net, _ = run
    chart = tmp_path / "flows.svg"
    assert main(["economy", "--rpc", net.url, "--json", "--chart", str(chart)]) == 0
    said, found = json.loads(capsys.readouterr().out), measure_flows(net.client)
    assert said == json.loads(json.dumps(found.to_json()))
    assert chart.read_text() == draw(found)
    assert main(["economy", "--url", net.url]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = {line[:15].strip(): line.split()[-len(PARTIES) - 3 :] for line in lines[3:6]}
    assert list(shown) == list(METERS)
    assert shown["data validation"][:2] == ["2", "<0.000000001"]
    assert "staked: 3 by 1; on the way out: <0.000000001 (60 s each); withdrawn: 1" in lines
    for wrong in (tmp_path / "flows.png", tmp_path / "no folder/flows.svg"):
        assert main(["economy", "--rpc", net.url, "--chart", str(wrong)]) == 1
        assert "error[cli.chart]" in capsys.readouterr().err


def test_a_chart_has_a_band_for_each_part(run):
    net, _ = run
    found = measure_flows(net.client)
    root = ElementTree.fromstring(draw(found))
    paths = [e for e in root.iter() if e.tag.endswith("path")]
    # Compute had no fees: its bands are those of its shares, and pale.
    assert [path.get("fill-opacity") for path in paths].count("0.2") == 6
    heights = [float(re.search(r" v([\d.]+) ", path.get("d"))[1]) for path in paths]
    assert abs(sum(heights) - len(METERS) * METER_HEIGHT) < 0.1
    assert len(paths) == 6 + 6 + 4


def test_what_cannot_be_read_is_refused(run, monkeypatch):
    net, _ = run
    with Chain(port=None) as chain, pytest.raises(AssetError, match=r"^asset\.no-economy: "):
        measure_flows(chain.client)
    client, real = net.client, net.client.block
    answers = iter([real(), dataclasses.replace(real(), hash="0x" + "11" * 32)])
    monkeypatch.setattr(client, "block", lambda *_: next(answers))
    with pytest.raises(AssetError, match=r"^asset\.chain-changed: "):
        measure_flows(client)


def test_the_page_names_the_shares_that_are_the_defaults():
    rows = re.findall(
        r"^\| (compute|data validation|transactions) \| ([\d,]+(?: \| [\d,]+){5}) \|$",
        (DOCS / "economy.md").read_text(),
        re.MULTILINE,
    )
    named = {name: tuple(int(bp.replace(",", "")) for bp in cells.split(" | ")) for name, cells in rows}
    meters = EconomyConfig.development().meters
    assert named == {name: dataclasses.astuple(shares) for name, shares in zip(METERS, meters, strict=True)}
