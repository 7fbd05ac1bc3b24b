"""Credit, validators, router and programs: each rule of a contract that has no file of its own.

Invariant: amounts are compared to the unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from eth_account.messages import encode_typed_data

from interlace import _core
from interlace.contracts import ADDRESSES
from tests.contracts.evm import ETHER, calldata, refused
from tests.contracts.world import PROGRAMS, UNITS, manifest

if TYPE_CHECKING:
    from tests.contracts.world import World

PARTS = ("node", "data", "model", "validators", "holders", "treasury")


# ---- credit --------------------------------------------------------------------------------------------


def test_credits_are_locked_native_tokens(world: World) -> None:
    who, supply = world.stranger, world.evm.call("CreditToken", "totalSupply")
    assert supply == world.evm.balance(ADDRESSES["CreditToken"])
    world.send(who, "CreditToken", "deposit", value=7)
    assert world.evm.balance(ADDRESSES["CreditToken"]) == supply + 7
    world.send(who, "CreditToken", "withdraw", 7)
    assert world.evm.call("CreditToken", "totalSupply") == world.evm.balance(ADDRESSES["CreditToken"]) == supply
    refused("ZeroAmount", world.send, who, "CreditToken", "deposit")
    refused("ZeroAmount", world.send, who, "CreditToken", "withdraw", 0)
    refused("ERC20InsufficientBalance", world.send, who, "CreditToken", "withdraw", world.credits(who) + 1)


def test_forced_native_tokens_back_nothing(world: World) -> None:
    supply = world.evm.call("CreditToken", "totalSupply")
    world.evm.deploy("Forcer", ADDRESSES["CreditToken"], sender=world.stranger.address, value=5)
    assert world.evm.call("CreditToken", "totalSupply") == supply
    assert world.evm.balance(ADDRESSES["CreditToken"]) == supply + 5


def test_a_receiver_that_calls_back_withdraws_no_more_than_it_has(world: World) -> None:
    thief = world.evm.deploy("Reentrant", sender=world.stranger.address)
    deposit, attack = calldata("CreditToken", "deposit"), calldata("CreditToken", "withdraw", 10)
    world.send(world.stranger, thief, "execute", ADDRESSES["CreditToken"], 10, deposit, value=10)
    world.send(world.stranger, thief, "arm", ADDRESSES["CreditToken"], attack)
    world.send(world.stranger, thief, "execute", ADDRESSES["CreditToken"], 0, attack)
    assert (world.evm.call(thief, "attempts"), world.evm.call(thief, "successes")) == (1, 0)
    assert world.evm.balance(thief[1]) == 10


@pytest.mark.parametrize("split", [True, False])
def test_x402_pays_with_a_random_nonce_once_and_in_time(world: World, split: bool) -> None:
    message = {
        "from": world.payer.address, "to": world.node.address, "value": 5, "validAfter": 0,
        "validBefore": world.evm.now + 1_000, "nonce": b"\xee" * 32,
    }  # fmt: skip
    kinds = ("address", "address", "uint256", "uint256", "uint256", "bytes32")
    types = {"TransferWithAuthorization": [{"name": n, "type": k} for n, k in zip(message, kinds, strict=True)]}
    domain = {
        "name": "Interlace Credit", "version": "1", "chainId": world.evm.chain_id,
        "verifyingContract": ADDRESSES["CreditToken"],
    }  # fmt: skip
    signable = encode_typed_data(domain, types, message)
    digest = _core.keccak256(b"\x19" + signable.version + signable.header + signable.body)
    signature = world.payer.sign_digest(digest)
    head = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,"
    name = head + ("uint8,bytes32,bytes32)" if split else "bytes)")
    tail: list[Any] = [signature[64], signature[:32], signature[32:64]] if split else [signature]

    def pay(**changes: Any) -> None:
        world.send(world.stranger, "CreditToken", name, *{**message, **changes}.values(), *tail)

    before = world.credits(world.node)
    refused("ERC3009InvalidSignature", pay, value=6)
    pay()
    assert world.credits(world.node) == before + 5
    refused("ERC3009UsedAuthorization", pay)
    world.evm.next_at(message["validBefore"])
    refused("ERC3009InvalidAuthorizationTime", pay)


# ---- validators ----------------------------------------------------------------------------------------


def test_validators_share_equally_and_the_remainder_is_carried(world: World) -> None:
    first = world.validators[0]
    world.send(world.stranger, "Validators", "addReward", 10)
    assert (world.evm.call("Validators", "acc"), world.evm.call("Validators", "carry")) == (3, 1)
    world.send(world.stranger, "Validators", "addReward", 2)
    assert (world.evm.call("Validators", "acc"), world.evm.call("Validators", "carry")) == (4, 0)
    before = world.credits(first)
    world.send(first, "Validators", "claim", first.address)
    world.send(first, "Validators", "claim", first.address)
    assert world.credits(first) - before == 4
    refused("NotValidator", world.send, world.stranger, "Validators", "claim", world.stranger.address)
    assert world.evm.call("Validators", "members") == tuple(v.address.lower() for v in world.validators)


# ---- router --------------------------------------------------------------------------------------------


def test_a_fee_is_divided_to_the_last_unit(world: World) -> None:
    tokens = {class_id: world.mint(class_id, 1) for class_id in (1, 2, 3)}
    world.send(world.payer, "StakingVault", "stake", value=1)
    call = world.serve(unit_price=123_456_789_123)
    world.open([call])
    cost, shares = call.receipt.cost, world.config.shares
    part = {name: cost * getattr(shares, name) // 10_000 for name in PARTS}
    part["node"] += cost - sum(part.values())
    claimable = lambda who: world.evm.call("FeeRouter", "claimable", who)  # noqa: E731
    assert claimable(world.node.address) == part["node"]
    assert claimable(world.config.treasury) == part["treasury"]
    assert world.pending(tokens[3]) == part["model"]
    assert world.pending(tokens[1]) == part["data"] * 7_000 // 10_000
    assert world.pending(tokens[2]) == part["data"] - part["data"] * 7_000 // 10_000
    world.evm.mine_at(world.evm.now + 2 * world.config.stream_seconds)
    assert world.evm.call("StakingVault", "claimable", world.payer.address) == part["holders"]
    assert world.evm.call("Validators", "acc") * 3 + world.evm.call("Validators", "carry") == part["validators"]
    assert sum(part.values()) == cost
    assert world.credits(ADDRESSES["FeeRouter"]) == part["node"] + part["treasury"]
    before = world.credits(world.stranger)
    world.send(world.node, "FeeRouter", "claim", world.stranger.address)
    world.send(world.node, "FeeRouter", "claim", world.stranger.address)
    assert world.credits(world.stranger) - before == part["node"]


def test_a_fee_of_one_wei_is_the_nodes(world: World) -> None:
    token = world.mint(4, 1)
    program = manifest(1, tail=b"tiny")
    world.send(world.model_owner, "Programs", "register", program, 4)
    fields = {"asset_class": 4, "program_id": _core.keccak256(program), "unit_price": 1}
    world.open([world.serve(**fields, receipt={"units": 1, "cost": 1})])
    assert world.evm.call("FeeRouter", "claimable", world.node.address) == 1
    assert world.pending(token) == 0


def test_only_the_governor_changes_shares_and_they_add_up(world: World) -> None:
    governor = world.evm.accounts[9]
    assert governor.address == world.config.governor
    shares = (10_000, 0, 0, 0, 0, 0)
    refused("NotGovernor", world.send, world.stranger, "FeeRouter", "setShares", 0, shares)
    refused("NotGovernor", world.send, world.stranger, "FeeRouter", "setTreasury", world.stranger.address)
    refused("NotGovernor", world.send, world.stranger, "FeeRouter", "setGovernor", world.stranger.address)
    refused("SharesDoNotAddUp", world.send, governor, "FeeRouter", "setShares", 0, (9_999, 0, 0, 0, 0, 0))
    refused("ZeroAddress", world.send, governor, "FeeRouter", "setTreasury", "0x" + "00" * 20)
    world.send(governor, "FeeRouter", "setShares", 0, shares)
    call = world.serve()
    world.open([call])
    assert world.evm.call("FeeRouter", "claimable", world.node.address) == call.receipt.cost
    world.send(governor, "FeeRouter", "setGovernor", world.stranger.address)
    refused("NotGovernor", world.send, governor, "FeeRouter", "setShares", 0, shares)
    world.send(world.stranger, "FeeRouter", "setTreasury", world.stranger.address)


def test_each_meter_has_its_caller_and_its_shares(world: World) -> None:
    governor, router = world.evm.accounts[9], ADDRESSES["FeeRouter"]
    node, validation = world.node.address, world.evm.call("FeeRouter", "validation")
    assert validation == "0x1ace" + "0b".zfill(36)
    for meter in (0, 1):
        refused("NotMetersCaller", world.send, world.stranger, "FeeRouter", "route", meter, node, 3, 1)
    refused("UnknownMeter", world.send, world.stranger, "FeeRouter", "route", 2, node, 3, 1)
    refused("UnknownMeter", world.evm.call, "FeeRouter", "sharesOf", 3)
    refused("UnknownMeter", world.send, governor, "FeeRouter", "setShares", 3, (10_000, 0, 0, 0, 0, 0))
    for shares in ((9_999, 1, 0, 0, 0, 0), (9_999, 0, 1, 0, 0, 0)):
        refused("TransactionsHaveNoClass", world.send, governor, "FeeRouter", "setShares", 2, shares)
    world.send(governor, "FeeRouter", "setShares", 1, (7_000, 0, 1_000, 0, 0, 2_000))
    world.send(world.payer, "CreditToken", "transfer", validation, 1_001)
    for caller in (validation, ADDRESSES["Settlement"]):
        world.evm.rpc("anvil_impersonateAccount", caller)
        world.evm.rpc("anvil_setBalance", caller, hex(ETHER))
    world.evm.send("CreditToken", "approve", router, 1_001, sender=validation)
    refused("NotMetersCaller", world.evm.send, "FeeRouter", "route", 0, node, 1, 1_001, sender=validation)
    settlement = ADDRESSES["Settlement"]
    refused("NotMetersCaller", world.evm.send, "FeeRouter", "route", 1, node, 1, 1_001, sender=settlement)
    world.evm.send("FeeRouter", "route", 1, node, 1, 1_001, sender=validation)
    routed = [world.evm.call("FeeRouter", "routedOf", meter) for meter in (0, 1, 2)]
    assert (routed, world.evm.call("FeeRouter", "totalRouted")) == ([0, 1_001, 0], 1_001)
    assert world.evm.call("FeeRouter", "claimable", node) == 701
    assert world.evm.call("Assets", "unsharedOf", 1, ADDRESSES["CreditToken"]) == 100
    assert world.evm.call("FeeRouter", "claimable", world.config.treasury) == 200


# ---- programs ------------------------------------------------------------------------------------------


def test_a_program_is_what_its_manifest_says(world: World) -> None:
    program = world.evm.call("Programs", "get", PROGRAMS[3])
    assert program == (3, b"\x11" * 32, world.model_owner.address.lower(), UNITS[3], 99)
    refused("UnknownProgram", world.evm.call, "Programs", "get", bytes(32))


@pytest.mark.parametrize(
    ("error", "data", "class_id"),
    [
        ("ManifestTooShort", manifest(5, tail=b""), 3),
        ("BadMagic", manifest(5, magic=b"ILTQ"), 3),
        ("UnknownSemantics", manifest(5, semantics=2), 3),
        ("ZeroUnits", manifest(0), 3),
        ("NotClassOwner", manifest(5), 1),
        ("UnknownClass", manifest(5), 99),
        ("AlreadyRegistered", manifest(UNITS[3]), 4),
    ],
)
def test_a_manifest_that_is_not_acceptable(world: World, error: str, data: bytes, class_id: int) -> None:
    refused(error, world.send, world.model_owner, "Programs", "register", data, class_id)


def test_a_data_set_runs_no_program(world: World) -> None:
    refused("NotAModel", world.send, world.data_owner, "Programs", "register", manifest(5), 1)
