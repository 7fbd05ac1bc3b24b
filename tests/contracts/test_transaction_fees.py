"""Transaction fees: what a block's maker receives, divided among node, validators, holders and treasury, to the wei."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlace.contracts import ADDRESSES
from tests.contracts.evm import ETHER, calldata, refused

if TYPE_CHECKING:
    from interlace.chain import Account
    from tests.contracts.world import World

FEES = "TransactionFees"


def fund(world: World, amount: int) -> None:
    world.evm.transact({"from": world.stranger.address, "to": ADDRESSES[FEES], "value": hex(amount)})


def claimed(world: World, who: Account) -> int:
    """Let `who` claim twice to a fresh address; return what came there."""
    heir = "0x" + who.address[2:10].lower() + "77" * 16
    world.send(who, FEES, "claim", heir)
    world.send(who, FEES, "claim", heir)
    return world.evm.balance(heir)


def test_the_tips_of_a_block_come_here_and_the_base_fee_is_burned(world: World) -> None:
    fees = ADDRESSES[FEES]
    before = int(world.evm.rpc("eth_getBlockByNumber", "latest", False)["miner"], 16)
    world.evm.rpc("anvil_setCoinbase", fees)
    try:
        tip = 3 * 10**9
        receipt = world.evm.transact(
            {
                "from": world.stranger.address, "to": world.payer.address, "value": "0x1",
                "maxPriorityFeePerGas": hex(tip), "maxFeePerGas": hex(100 * 10**9),
            }
        )  # fmt: skip
        block = world.evm.rpc("eth_getBlockByNumber", "latest", False)
        assert block["miner"] == fees.lower()
        assert int(block["baseFeePerGas"], 16) > 0
        assert world.evm.balance(fees) == tip * int(receipt["gasUsed"], 16) == world.evm.call(FEES, "undistributed")
    finally:
        world.evm.rpc("anvil_setCoinbase", f"0x{before:040x}")


def test_fees_are_divided_to_the_last_wei(world: World) -> None:
    shares, members = world.config.transaction_shares, world.validators
    node, treasury = world.evm.accounts[9], world.evm.accounts[8]
    assert (node.address, treasury.address) == (world.config.sequencer, world.config.treasury)
    world.send(world.payer, "StakingVault", "stake", value=1)
    first, second = 10**18 + 7, 9_999
    fund(world, first)
    world.send(world.stranger, FEES, "distribute")
    fund(world, second)
    world.send(world.stranger, FEES, "distribute")
    world.send(world.stranger, FEES, "distribute")
    part = {
        name: sum(amount * getattr(shares, name) // 10_000 for amount in (first, second))
        for name in ("validators", "holders", "treasury")
    }
    part["node"] = first + second - sum(part.values())
    assert claimed(world, node) == part["node"]
    assert claimed(world, treasury) == part["treasury"]
    each, left = divmod(part["validators"], len(members))
    assert [claimed(world, member) for member in members] == [each] * 3
    assert world.evm.call(FEES, "validatorsCarry") == left
    assert world.evm.balance(ADDRESSES[FEES]) == world.evm.call(FEES, "owed") == left
    assert world.evm.call(FEES, "totalDistributed") == first + second
    assert world.evm.call("StakingVault", "rewards", True)[0] == part["holders"]
    world.evm.mine_at(world.evm.now + 2 * world.config.stream_seconds)
    assert world.evm.call("StakingVault", "claimableNative", world.payer.address) == part["holders"]


def test_a_change_of_node_or_treasury_takes_nothing_that_was_divided(world: World) -> None:
    governor, heir = world.evm.accounts[9], world.stranger
    refused("NotGovernor", world.send, heir, FEES, "setNode", heir.address)
    refused("ZeroAddress", world.send, governor, FEES, "setNode", "0x" + "00" * 20)
    fund(world, 10_000)
    world.send(heir, FEES, "distribute")
    world.send(governor, FEES, "setNode", heir.address)
    world.send(governor, "FeeRouter", "setTreasury", heir.address)
    fund(world, 10_000)
    world.send(heir, FEES, "distribute")
    assert world.evm.call(FEES, "claimable", governor.address) == 7_000
    assert world.evm.call(FEES, "claimable", world.config.treasury) == 500
    assert world.evm.call(FEES, "claimable", heir.address) == 7_500


def test_a_node_that_calls_back_gets_nothing_twice(world: World) -> None:
    thief = world.evm.deploy("Reentrant", sender=world.stranger.address)
    world.send(world.evm.accounts[9], FEES, "setNode", thief[1])
    for attack in (calldata(FEES, "claim", thief[1]), calldata(FEES, "distribute")):
        fund(world, ETHER)
        world.send(world.stranger, FEES, "distribute")
        fund(world, 10_000)
        world.send(world.stranger, thief, "arm", ADDRESSES[FEES], attack)
        before = world.evm.balance(thief[1])
        world.send(world.stranger, thief, "execute", ADDRESSES[FEES], 0, calldata(FEES, "claim", thief[1]))
        assert world.evm.balance(thief[1]) - before == ETHER * 7 // 10
        world.send(world.stranger, FEES, "distribute")
        world.send(world.stranger, thief, "execute", ADDRESSES[FEES], 0, calldata(FEES, "claim", thief[1]))
    assert world.evm.balance(ADDRESSES[FEES]) == world.evm.call(FEES, "owed")
    assert world.evm.call(FEES, "totalDistributed") == 2 * (ETHER + 10_000)


def test_fees_without_a_holders_part_reach_nobody_staked(world: World) -> None:
    world.send(world.evm.accounts[9], "FeeRouter", "setShares", 2, (10_000, 0, 0, 0, 0, 0))
    fund(world, 12_345)
    world.send(world.stranger, FEES, "distribute")
    assert world.evm.call(FEES, "claimable", world.config.sequencer) == 12_345
    assert world.evm.call("StakingVault", "rewards", True)[0] == 0
