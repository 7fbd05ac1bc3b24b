"""Yields on a real run: the figures against sums over every receipt of the chain, decoded here by hand."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import numpy as np
import pytest

import interlace
from interlace._core import keccak256
from interlace.assets.registry import Registry
from interlace.assets.yields import YEAR_SECONDS, _ancestors, _Book, measure_yields
from interlace.chain import Chain, Client
from interlace.chain.client import MAX_BLOCKS_PER_QUERY
from interlace.cli.main import main
from interlace.contracts import ADDRESSES
from interlace.errors import AssetError, RpcError


def refused(code: str):
    return pytest.raises(AssetError, match=f"^{code}: ")


@pytest.fixture(scope="module")
def run():
    """Two models of one data set are sold to two buyers, with stakes that change; returns the chain and its middle."""
    chance = np.random.default_rng(3)
    inputs = chance.normal(size=(90, 4))
    labels = (inputs[:, 0] > 0).astype(int)
    with interlace.devnet() as net:
        owner, friend, nina, bob, carl, henry = net.accounts("owner", "friend", "nina", "bob", "carl", "henry")
        henry.stake("3")
        shares = {owner.address: 7_001, friend.address: 2_999}
        data = owner.anchor((inputs, labels), name="drawn", licence="CC0-1.0", shares=shares)
        models = [nina.train(data, "logistic", name=name) for name in ("first", "second")]
        models[1].parents = ()
        with nina.serve(models[0], "0.003/call") as service:
            bob.ask_all(service, list(models[0].held_back[:5]), budget="1")
            carl.ask_all(service, list(models[0].held_back[:2]), budget="1")
            service.settle()
        middle = net.client.block_number()
        net.pass_time(1_000)
        henry.stake("5")
        net.pass_time(5_000)
        net.contract("StakingVault").send(henry.account, "requestUnstake", 4 * 10**18)
        net.pass_time(300)
        with nina.serve(models[0], "0.007/call") as service:
            bob.ask_all(service, list(models[0].held_back[:3]), budget="1")
            bob.ask_all(service, list(models[0].held_back[:4]), budget="1", assurance=1)
            service.settle()
            pending = net.client.block_number()
            net.pass_time(60)
            service.settle()
        yield net, data, models[0], (owner, friend), middle, pending


def word(data: bytes, place: int) -> int:
    return int.from_bytes(data[32 * place : 32 * place + 32], "big")


def by_receipts(net: interlace.Network, first: int, last: int):
    """Sums over all logs of all receipts, by topics and words; nothing of the package but keccak and the client."""
    names = (
        "Opened(bytes32,address,address,uint256,uint256,uint64,uint256,uint64)",
        "Released(bytes32,address,uint256)",
        "RevenueSettled(uint256,address,uint256)",
        "RevenueUnshared(uint256,address,uint256)",
        "Staked(address,uint256)",
        "Unstaked(address,uint256,uint64)",
        "Rewarded(address,uint256,uint256)",
    )
    topics = {"0x" + keccak256(name.encode()).hex(): name.partition("(")[0] for name in names}
    calls, fees, revenue, payers = Counter(), Counter(), Counter(), defaultdict(set)
    class_of, payer_of, rewards, stakes = {}, {}, 0, []
    for number in range(last + 1):
        time = int(net.client.rpc("eth_getBlockByNumber", hex(number), False)["timestamp"], 16)
        for receipt in net.client.rpc("eth_getBlockReceipts", hex(number)):
            for log in receipt["logs"]:
                name, data = topics.get(log["topics"][0]), bytes.fromhex(log["data"][2:])
                inside, vault = number >= first, log["address"].lower() == ADDRESSES["StakingVault"].lower()
                key = log["topics"][1] if len(log["topics"]) > 1 else ""
                if name == "Opened":
                    class_of[key], payer_of[key] = word(data, 1), log["topics"][2]
                elif name == "Released" and inside:
                    calls[class_of[key]] += 1
                    fees[class_of[key]] += word(data, 0)
                    payers[class_of[key]].add(payer_of[key])
                elif name in ("RevenueSettled", "RevenueUnshared") and inside:
                    revenue[int(key, 16)] += word(data, 0)
                elif name == "Rewarded" and vault and inside:
                    rewards += word(data, 0)
                elif name in ("Staked", "Unstaked"):
                    stakes.append((number, time, word(data, 0) * (1 if name == "Staked" else -1)))
        if number == first - 1:
            begin = time
    wei_seconds = sum(change * (time - max(begin, at if number >= first else begin)) for number, at, change in stakes)
    return calls, fees, revenue, payers, rewards, wei_seconds, time - begin


@pytest.mark.parametrize("window", ["all", "first half", "second half", "before the release"])
def test_every_figure_is_a_sum_over_receipts(run, window):
    net, data, model, _, middle, pending = run
    newest = net.client.block_number()
    first, last = {
        "all": (1, newest),
        "first half": (1, middle),
        "second half": (middle + 1, newest),
        "before the release": (middle + 1, pending),
    }[window]
    found = measure_yields(net.client, first, last)
    calls, fees, revenue, payers, rewards, wei_seconds, seconds = by_receipts(net, first, last)
    assert [sums.class_id for sums in found.classes] == sorted({data.class_id, model.class_id})
    for sums in found.classes:
        assert (sums.calls, sums.fees, sums.revenue) == (
            calls[sums.class_id],
            fees[sums.class_id],
            revenue[sums.class_id],
        )
        assert sums.payers == len(payers[sums.class_id])
    market = found.market
    assert (market.calls, market.fees, market.revenue) == (calls.total(), fees.total(), revenue.total())
    assert market.fees == found.routed
    assert market.payers == len(set().union(*payers.values()))
    stake = found.stake
    assert (stake.seconds, stake.wei_seconds, stake.rewards) == (seconds, wei_seconds, rewards)
    assert rewards > 0
    assert stake.mean == wei_seconds // seconds
    assert stake.return_micro == rewards * 10**6 * seconds // wei_seconds
    assert stake.year_micro == rewards * 10**6 * YEAR_SECONDS // wei_seconds
    expected = {"all": 14, "first half": 7, "second half": 7, "before the release": 3}[window]
    assert market.calls == expected


def test_prices_and_uses_of_a_model_and_its_data(run):
    net, data, model, (owner, friend), _, _ = run
    found = {sums.class_id: sums for sums in measure_yields(net.client).classes}
    of_data, of_model = found[data.class_id], found[model.class_id]
    assert (of_data.kind, of_model.kind) == ("dataset", "model")
    assert (of_data.calls, of_data.derived_calls, of_data.price_per_call) == (0, 14, None)
    assert (of_model.calls, of_model.payers, of_model.refunded) == (14, 2, 0)
    assert of_model.price_per_call == of_model.fees // 14
    assert of_data.revenue_per_call == of_data.revenue // 14
    # Those who share the data claim what the yields say that it earned.
    claimed = [int(owner.claim(data)), int(friend.claim(data))]
    assert claimed == [of_data.revenue * bp // 10_000 for bp in (7_001, 2_999)]
    assert of_data.revenue - sum(claimed) in (0, 1)


def test_the_command_prints_the_same(run, capsys):
    net = run[0]
    assert main(["yields", "--rpc", net.url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == measure_yields(net.client).to_json()
    assert main(["yields", "--rpc", net.url]) == 0
    shown = capsys.readouterr().out
    found = measure_yields(net.client)
    assert interlace.format_amount(found.market.fees) in shown
    assert "over 365 days" in shown
    assert main(["yields", "--rpc", net.url, "--from-block", "100000"]) == 1
    assert "asset.bad-window" in capsys.readouterr().err


def test_a_chain_without_anything_yields_nothing(capsys):
    with interlace.devnet() as net:
        with refused("asset.bad-window"):
            measure_yields(net.client)
        net.client.mine()
        found = measure_yields(net.client)
        assert found.classes == ()
        assert (found.market.price_per_call, found.stake.return_micro, found.stake.year_micro) == (None, None, None)
        assert main(["yields", "--rpc", net.url]) == 0
        assert "return -" in capsys.readouterr().out
        with refused("asset.bad-window"):
            measure_yields(net.client, 1, 2)
    with Chain(port=None) as chain, refused("asset.no-economy"):
        measure_yields(chain.client)


class Moody:
    """A client whose node bounds its answers, or whose chain changes while it is read."""

    def __init__(self, client, *, most_blocks=10**9, changes=False) -> None:
        self._client, self._most_blocks, self._changes, self._asked = client, most_blocks, changes, 0

    def __getattr__(self, name):  # noqa: D105
        return getattr(self._client, name)

    all_logs = Client.all_logs

    def logs(self, address, topics, from_block, to_block):
        if to_block - from_block >= self._most_blocks:
            raise RpcError(-32005, "too much")
        if self._changes and not self._asked:
            self._asked = 1
            self._client.rpc("anvil_reorg", 1, [])
        return self._client.logs(address, topics, from_block, to_block)


def test_a_node_that_bounds_its_answers_is_asked_in_parts(run):
    net = run[0]
    assert measure_yields(Moody(net.client, most_blocks=3)) == measure_yields(net.client)
    with pytest.raises(RpcError):
        measure_yields(Moody(net.client, most_blocks=0))
    assert MAX_BLOCKS_PER_QUERY > 3


def test_a_chain_that_changes_while_it_is_read_is_refused():
    with interlace.devnet() as net:
        net.accounts("alice")[0].stake("1")
        with refused("asset.chain-changed"):
            measure_yields(Moody(net.client, changes=True))


def test_calls_count_for_all_that_a_class_derives_from_once(run):
    net, data, _, (owner, _), _, _ = run
    assets, before = net.contract("Assets"), measure_yields(net.client)
    (model,) = [sums.class_id for sums in before.classes if sums.calls]
    assert {sums.class_id: sums.derived_calls for sums in before.classes}[data.class_id] == 14
    # What is above a class has no part in its calls, however it derives from it.
    parents = [(data.class_id, 5_000, 1), (model, 5_000, 2)]
    assets.send(owner.account, "createDerivedClass", 2, "", bytes(32), 0, "", parents, (1, 3))
    after = {sums.class_id: sums for sums in measure_yields(net.client).classes}
    assert after[data.class_id].derived_calls == 14
    books = {number: _Book(parents=above) for number, above in {1: (), 2: (1,), 3: (1, 2), 4: (3,)}.items()}
    assert [_ancestors(books, book) for book in books.values()] == [set(), {1}, {1, 2}, {1, 2, 3}]


def test_shares_must_add_up(run):
    net, data, _, (owner, _), _, _ = run
    registry = Registry(net.client)
    before = net.client.block_number()
    for shares in (
        {},
        {owner.address: 9_999},
        {owner.address: 10_001},
        {owner.address: 10_000, net.treasury.address: 0},
    ):
        with refused("asset.bad-shares"):
            registry.register_shared(owner.account, data.descriptor, shares)
    assert net.client.block_number() == before
