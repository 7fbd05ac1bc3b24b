"""Assets: what draft ERC-8028 leaves open, one test for each hole; then lineage, quota and odd tokens.

Invariant: in every test the payouts of a class and asset never add up to more than it received.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from interlace import _core
from interlace.contracts import ADDRESSES
from spec.economy import Licence, Parent
from tests.contracts.evm import ETHER, abi_of, calldata, functions, refused

if TYPE_CHECKING:
    from interlace.chain import Account
    from tests.contracts.world import World

CREDIT = ADDRESSES["CreditToken"]
NATIVE = "0x" + "00" * 20
DRAFT_INTERFACE = [
    "getClassMeta(uint256)",
    "classOf(uint256)",
    "valueOf(uint256)",
    "shareRatioOf(uint256)",
    "expireAtOf(uint256)",
    "ownerOf(uint256)",
    "pendingRevenue(uint256,address)",
    "createClass(string,bytes32,uint8,string)",
    "updateClassMetadata(uint256,string,bytes32)",
    "updateClassPolicy(uint256,string)",
    "mint(uint256,address,uint256,uint256,uint64)",
    "transferToken(uint256,address)",
    "approveForClass(uint256,address,bool)",
    "isApprovedForClass(address,uint256,address)",
    "transferValue(uint256,uint256,uint256)",
    "recordUsage(uint256,bytes32,uint256)",
    "settleRevenueETH(uint256)",
    "settleRevenueERC20(uint256,address,uint256)",
    "claim(uint256,address,address)",
]
DRAFT_EVENTS = {
    "ClassCreated(uint256,string,bytes32)": [True, False, False],
    "ClassPolicyUpdated(uint256,string)": [True, False],
    "MetadataUpdated(uint256,string,bytes32)": [True, False, False],
    "Minted(uint256,uint256,address,uint256,uint256,uint64)": [True, True, False, False, False, False],
    "TransferToken(uint256,address,address)": [True, True, True],
    "ValueTransferred(uint256,uint256,uint256)": [True, True, False],
    "Expired(uint256)": [True],
    "UsageRecorded(uint256,bytes32,uint256,address)": [True, False, False, False],
    "RevenueSettled(uint256,address,uint256)": [True, True, False],
    "Claimed(uint256,address,address,uint256)": [True, True, True, False],
    "ApprovalForClass(address,uint256,address,bool)": [True, True, True, False],
}


def settle(world: World, class_id: int, amount: int) -> None:
    world.send(world.stranger, "Assets", "settleRevenueERC20", class_id, CREDIT, amount)


def claim(world: World, who: Account, token_id: int, asset: str = CREDIT) -> int:
    """Claim to the owner; return what arrived."""
    amount: int = world.evm.call("Assets", "claim", token_id, asset, who.address, sender=who.address)
    before = world.credits(who)
    world.send(who, "Assets", "claim", token_id, asset, who.address)
    assert asset != CREDIT or world.credits(who) - before == amount
    return amount


# ---- conformance and the holes a to j ------------------------------------------------------------------


def test_functions_and_events_are_the_drafts(world: World) -> None:
    interface_id = 0
    for signature in DRAFT_INTERFACE:
        assert signature in functions("Assets"), signature
        interface_id ^= int.from_bytes(_core.keccak256(signature.encode())[:4], "big")
    events = {
        f"{e['name']}({','.join(i['type'] for i in e['inputs'])})": [i["indexed"] for i in e["inputs"]]
        for e in abi_of("Assets")
        if e["type"] == "event"
    }
    assert DRAFT_EVENTS.items() <= events.items()
    assert world.evm.call("Assets", "supportsInterface", interface_id.to_bytes(4, "big"))
    assert world.evm.call("Assets", "supportsInterface", bytes.fromhex("01ffc9a7"))
    assert not world.evm.call("Assets", "supportsInterface", bytes.fromhex("ffffffff"))


def test_a_mint_after_revenue_takes_none_of_it(world: World) -> None:
    early = world.mint(1, 10)
    settle(world, 1, 100)
    late = world.mint(1, 10)
    assert (world.pending(early), world.pending(late)) == (100, 0)
    settle(world, 1, 100)
    assert (claim(world, world.data_owner, early), claim(world, world.data_owner, late)) == (150, 50)


def test_an_expired_token_keeps_what_it_earned_and_earns_no_more(world: World) -> None:
    expire_at = world.evm.now + 100
    dying, living = world.mint(1, 10, expire_at=expire_at), world.mint(1, 10)
    world.evm.next_at(expire_at)
    settle(world, 1, 100)
    world.evm.next_at(expire_at + 1)
    settle(world, 1, 100)
    assert not world.evm.call("Assets", "countedInShareOf", dying)
    assert (world.pending(dying), world.pending(living)) == (50, 150)
    world.evm.mine_at(expire_at + 10_000)
    assert (claim(world, world.data_owner, dying), claim(world, world.data_owner, living)) == (50, 150)
    refused("TokenExpired", world.send, world.data_owner, "Assets", "recordUsage", dying, bytes(32), 1)


def test_unclaimed_revenue_stays_with_a_transferred_token(world: World) -> None:
    token = world.mint(1, 10)
    settle(world, 1, 100)
    world.send(world.data_owner, "Assets", "transferToken", token, world.stranger.address)
    refused("NotTokenOwner", world.send, world.data_owner, "Assets", "claim", token, CREDIT, world.data_owner.address)
    assert claim(world, world.stranger, token) == 100


def test_a_share_that_does_not_fit_is_refused_and_not_cut(world: World) -> None:
    owner = world.data_owner
    refused("ShareRatioTooLarge", world.send, owner, "Assets", "mint", 1, owner.address, 0, 1 << 32, 0)
    token = world.mint(1, (1 << 32) - 1)
    assert world.evm.call("Assets", "shareRatioOf", token) == (1 << 32) - 1


def test_a_token_that_takes_a_fee_counts_with_what_arrived(world: World) -> None:
    fee_token = world.evm.deploy("FeeToken", 10_000, sender=world.stranger.address)
    world.send(world.stranger, fee_token, "approve", ADDRESSES["Assets"], 10_000)
    token = world.mint(1, 10)
    world_settle = (world.stranger, "Assets", "settleRevenueERC20", 1, fee_token[1], 1_000)
    refused("AssetNotAccepted", world.send, *world_settle)
    world.send(world.data_owner, "Assets", "acceptAsset", 1, fee_token[1])
    world.send(*world_settle)
    assert world.pending(token, fee_token[1]) == 990
    assert claim(world, world.data_owner, token, fee_token[1]) == 990
    assert world.evm.call(fee_token, "balanceOf", ADDRESSES["Assets"]) == 0


def test_rounding_is_carried_into_the_next_settlement(world: World) -> None:
    tokens = [world.mint(1, 1) for _ in range(3)]
    for _ in range(3):
        settle(world, 1, 1)
    carry = world.evm.call("Assets", "poolOf", 1, CREDIT)[1]
    owed = sum(world.evm.call("Assets", "pendingScaled", t, CREDIT) for t in tokens)
    assert owed + carry == 3 * ETHER
    assert [world.pending(t) for t in tokens] == [1, 1, 1]


def test_value_moves_to_a_later_expiry_only_where_the_class_allows_it(world: World) -> None:
    soon, late = world.evm.now + 1_000, world.evm.now + 2_000
    a, b, forever = world.mint(1, 0, expire_at=soon), world.mint(1, 0, expire_at=late), world.mint(1, 0)
    move = (world.data_owner, "Assets", "transferValue")
    world.send(*move, b, a, 10)
    refused("ExtensionForbidden", world.send, *move, a, b, 1)
    refused("ExtensionForbidden", world.send, *move, a, forever, 1)
    world.send(world.data_owner, "Assets", "setValueExtension", 1, True)
    world.send(*move, a, forever, 110)
    assert [world.evm.call("Assets", "valueOf", t) for t in (a, b, forever)] == [0, 90, 210]


def test_a_batch_of_usage_counts_once(world: World) -> None:
    token, root = world.mint(1, 0, value=100), b"\x09" * 32
    record = (world.data_owner, "Assets", "recordUsageRoot", token, bytes(32))
    world.send(*record, 60, root)
    refused("UsageRootReplayed", world.send, *record, 1, root)
    refused("InsufficientValue", world.send, *record, 41, b"\x0a" * 32)
    world.send(*record, 40, b"\x0a" * 32)
    assert world.evm.call("Assets", "valueOf", token) == 0


# ---- expiry above the bound ----------------------------------------------------------------------------


def test_more_expiries_than_one_call_works_off_change_nobodys_revenue(world: World) -> None:
    start, bound = world.evm.now + 500, world.evm.call("Assets", "MAX_STEPS")
    # The model's class: one token for ever, and twice the bound plus one that expire second by second.
    forever = world.mint(4, 1)
    dying = [world.mint(4, 1, expire_at=start + i) for i in range(2 * bound + 1)]
    settle(world, 4, 1_000 * (len(dying) + 1))
    assert world.pending(forever) == 1_000
    # At start + bound + 5 more are due than the bound: a direct settlement says so, a routed one is queued.
    world.evm.mine_at(start + bound + 5)
    refused("ExpiryBacklog", settle, world, 4, 1)
    refused("ExpiryBacklog", world.mint, 4, 1)
    world.evm.next_at(start + bound + 10)
    world.open([world.serve(asset_class=4)])
    queued, entries = world.evm.call("Assets", "queuedOf", 4)
    part = world.evm.call("FeeRouter", "totalRouted") * (2_000 + 1_500) // 10_000
    now = world.evm.now
    alive = [t for i, t in enumerate(dying) if start + i >= now]
    assert (queued, entries) == (part, 1)
    assert 0 < len(alive) < len(dying) - bound
    # Long after all have expired, the queue is divided among those that were alive when it came.
    world.evm.next_at(start + 10_000)
    for _ in range(4):
        world.send(world.stranger, "Assets", "expire", 4, bound)
    assert world.evm.call("Assets", "queuedOf", 4) == (0, 0)
    each = part // (len(alive) + 1)
    assert [world.pending(t) - 1_000 for t in dying] == [each if t in alive else 0 for t in dying]
    assert world.pending(forever) - 1_000 == each
    assert world.evm.call("Assets", "totalShareOf", 4) == 1


def test_a_routed_fee_without_live_shares_is_the_class_owners(world: World) -> None:
    refused("NoLiveShares", settle, world, 4, 100)
    refused("NoLiveShares", world.send, world.stranger, "Assets", "settleRevenueETH", 4, value=100)
    world.open([world.serve(asset_class=4)])
    unshared = world.evm.call("Assets", "unsharedOf", 4, CREDIT)
    assert unshared == world.evm.call("FeeRouter", "totalRouted") * 3_500 // 10_000
    token = world.mint(4, 10)
    assert world.pending(token) == 0
    take = ("Assets", "claimUnshared", 4, CREDIT, world.stranger.address)
    refused("NotClassOwner", world.send, world.stranger, *take)
    before = world.credits(world.stranger)
    world.send(world.model_owner, *take)
    world.send(world.model_owner, *take)
    assert world.credits(world.stranger) - before == unshared


def test_only_the_router_settles_as_the_router(world: World) -> None:
    refused("NotRouter", world.send, world.stranger, "Assets", "settleRouted", 1, 100)


# ---- dust, reentrancy, authority -----------------------------------------------------------------------


def test_one_wei_is_somebodys(world: World) -> None:
    a, b = world.mint(1, 1), world.mint(1, 2)
    settle(world, 1, 1)
    assert (claim(world, world.data_owner, a), claim(world, world.data_owner, b)) == (0, 0)
    settle(world, 1, 2)
    assert (claim(world, world.data_owner, a), claim(world, world.data_owner, b)) == (1, 2)


def test_a_receiver_that_calls_back_is_paid_once(world: World) -> None:
    thief = world.evm.deploy("Reentrant", sender=world.stranger.address)
    token, other = world.mint(1, 1), world.mint(1, 1)
    world.send(world.data_owner, "Assets", "transferToken", token, thief[1])
    world.send(world.stranger, "Assets", "settleRevenueETH", 1, value=1_000)
    attack = calldata("Assets", "claim", token, NATIVE, thief[1])
    world.send(world.stranger, thief, "arm", ADDRESSES["Assets"], attack)
    world.send(world.stranger, thief, "execute", ADDRESSES["Assets"], 0, attack)
    assert world.evm.call(thief, "attempts") == 1
    assert world.evm.call(thief, "successes") == 0
    assert world.evm.balance(thief[1]) == 500
    assert world.evm.balance(ADDRESSES["Assets"]) == world.pending(other, NATIVE) == 500


def test_a_token_that_calls_back_cannot_settle_twice(world: World) -> None:
    bad = world.evm.deploy("CallbackToken", 10_000, sender=world.stranger.address)
    world.send(world.data_owner, "Assets", "acceptAsset", 1, bad[1])
    token = world.mint(1, 1)
    world.send(world.stranger, bad, "approve", ADDRESSES["Assets"], 10_000)
    attack = calldata("Assets", "settleRevenueERC20", 1, bad[1], 1)
    world.send(world.stranger, bad, "arm", ADDRESSES["Assets"], attack)
    world.send(world.stranger, "Assets", "settleRevenueERC20", 1, bad[1], 100)
    assert not world.evm.call(bad, "reentered")
    assert world.pending(token, bad[1]) == 100


def test_who_may_do_what(world: World) -> None:
    owner, stranger, send = world.data_owner, world.stranger, world.send
    token = world.mint(1, 1)
    refused("NotClassOwner", send, stranger, "Assets", "mint", 1, stranger.address, 0, 1, 0)
    refused("NotClassOwner", send, stranger, "Assets", "updateClassMetadata", 1, "x", bytes(32))
    refused("NotClassOwner", send, stranger, "Assets", "updateClassPolicy", 1, "x")
    refused("NotClassOwner", send, stranger, "Assets", "transferClass", 1, stranger.address)
    refused("UnknownClass", send, owner, "Assets", "mint", 99, owner.address, 0, 1, 0)
    refused("UnknownToken", send, owner, "Assets", "claim", 99, CREDIT, owner.address)
    refused("NotTokenOwner", send, stranger, "Assets", "transferToken", token, stranger.address)
    refused("NotOwnerOrOperator", send, stranger, "Assets", "recordUsage", token, bytes(32), 1)
    send(owner, "Assets", "approveForClass", 1, stranger.address, True)
    send(stranger, "Assets", "recordUsage", token, bytes(32), 1)
    refused("NotTokenOwner", send, stranger, "Assets", "claim", token, CREDIT, stranger.address)
    send(owner, "Assets", "approveForClass", 1, stranger.address, False)
    refused("NotOwnerOrOperator", send, stranger, "Assets", "recordUsage", token, bytes(32), 1)
    refused("ExpiresInThePast", send, owner, "Assets", "mint", 1, owner.address, 0, 1, world.evm.now - 1)
    refused("ZeroAddress", send, owner, "Assets", "mint", 1, NATIVE, 0, 1, 0)
    refused("ClassMismatch", send, owner, "Assets", "transferValue", token, world.mint(2, 1), 1)


@pytest.mark.parametrize(
    ("error", "parents", "weights"),
    [
        ("UnknownParent", [6], [10_000]),
        ("ParentsNotAscending", [2, 1], [5_000, 5_000]),
        ("ParentsNotAscending", [1, 1], [5_000, 5_000]),
        ("ParentsNotAscending", [0], [10_000]),
        ("WeightsDoNotAddUp", [1, 2], [5_000, 4_999]),
        ("ZeroWeight", [1, 2], [10_000, 0]),
        ("TooManyParents", list(range(1, 18)), [1] * 17),
    ],
)
def test_lineage_is_acyclic_and_adds_up(world: World, error: str, parents: list[int], weights: list[int]) -> None:
    made = [Parent(parent, weight) for parent, weight in zip(parents, weights, strict=True)]
    refused(error, world.derive, world.model_owner, 2, made)
    refused("UnknownKind", world.derive, world.model_owner, 0, [Parent(1, 10_000)])
    for relation in (0, 5):
        refused("UnknownRelation", world.derive, world.model_owner, 2, [Parent(1, 10_000, relation)])
    assert world.evm.call("Assets", "parentsOf", 3) == ((1, 7_000, 1), (2, 3_000, 1))
    assert world.evm.call("Assets", "parentsOf", 5) == ((1, 3_333, 1), (3, 6_667, 2))


def test_nothing_is_more_permissive_than_what_it_derives_from(world: World) -> None:
    owner, maker = world.data_owner, world.model_owner
    by, alike, reserved, kept = Licence(7, 1), Licence(7, 3), Licence(1), Licence(0x8002, 0x4000)
    numbers = {licence: world.derive(owner, 1, [], licence) for licence in (by, alike, reserved, kept)}

    def derive(parents: list[Licence], licence: Licence) -> int:
        weights = [10_000 - len(parents) + 1] + [1] * (len(parents) - 1)
        made = [Parent(numbers[parent], weight) for parent, weight in zip(parents, weights, strict=True)]
        return world.derive(maker, 2, made, licence)

    assert world.evm.call("Assets", "licenceOf", derive([by], Licence(2, 1))) == (2, 1)
    refused("NotDerivable", derive, [by, reserved], Licence(1, 1))
    refused("MorePermissive", derive, [by], Licence(15, 1))
    refused("DutyDropped", derive, [by], Licence(7, 0))
    refused("NotAlike", derive, [alike], Licence(3, 3))
    refused("NotAlike", derive, [alike], Licence(7, 7))
    assert derive([by, alike], alike)
    # Bits without a name are held to the same rule.
    refused("MorePermissive", derive, [kept], Licence(0x9002, 0x4000))
    refused("DutyDropped", derive, [kept], Licence(2, 0))
    assert derive([kept], kept)
    refused("MorePermissive", derive, [by, kept], Licence(7, 0x4001))
    assert derive([by, kept], Licence(2, 0x4001))


def test_a_licence_is_widened_within_those_of_the_parents_and_never_narrowed(world: World) -> None:
    owner, maker = world.data_owner, world.model_owner
    data = world.derive(owner, 1, [], Licence(2, 1))
    model = world.derive(maker, 2, [Parent(data, 10_000)], Licence(0, 9))
    widen = lambda who, number, *licence: world.send(who, "Assets", "widenLicence", number, licence)  # noqa: E731
    refused("NotClassOwner", widen, maker, data, 7, 0)
    for narrower in ((0, 1), (4, 1), (2, 3), (0, 0)):
        refused("LicenceNarrowed", widen, owner, data, *narrower)
    refused("NotDerivable", world.derive, maker, 2, [Parent(model, 10_000)], Licence(0, 9))
    refused("MorePermissive", widen, maker, model, 6, 9)
    refused("DutyDropped", widen, maker, model, 2, 8)
    widen(maker, model, 2, 1)
    widen(owner, data, 7, 0)
    # What was derived keeps its licence until its own owner widens it.
    assert world.evm.call("Assets", "licenceOf", model) == (2, 1)
    widen(maker, model, 7, 0)
    assert world.evm.call("Assets", "licenceOf", model) == (7, 0)
    # A class made as the draft has it may be charged for, and nothing derives from it.
    world.send(owner, "Assets", "createClass", "uri", bytes(32), 0, "policy")
    plain = world.evm.call("Assets", "classCount")
    assert world.evm.call("Assets", "licenceOf", plain) == (1, 0)
    refused("NotDerivable", world.derive, maker, 2, [Parent(plain, 10_000)], Licence(1))


def test_a_sale_owes_the_class_owner_what_it_asks_for(world: World) -> None:
    call, send, owner = world.evm.call, world.send, world.data_owner
    token = world.mint(1, 5, to=world.stranger)
    assert call("Assets", "supportsInterface", bytes.fromhex("2a55205a")) is True
    assert call("Assets", "royaltyInfo", token, 10**20) == (owner.address.lower(), 0)
    refused("NotClassOwner", send, world.stranger, "Assets", "setRoyalty", 1, 1)
    refused("RoyaltyTooLarge", send, owner, "Assets", "setRoyalty", 1, 10_001)
    send(owner, "Assets", "setRoyalty", 1, 333)
    for price in (0, 30, 31, 10**20, 2**256 - 1):
        assert call("Assets", "royaltyInfo", token, price) == (owner.address.lower(), price * 333 // 10_000)
    send(owner, "Assets", "transferClass", 1, world.payer.address)
    assert call("Assets", "royaltyInfo", token, 10_000) == (world.payer.address.lower(), 333)
    refused("UnknownToken", call, "Assets", "royaltyInfo", 99, 1)


def test_a_class_accepts_a_bounded_number_of_assets(world: World) -> None:
    for i in range(6):
        world.send(world.data_owner, "Assets", "acceptAsset", 1, f"0x{0xAA00 + i:040x}")
    refused("TooManyAssets", world.send, world.data_owner, "Assets", "acceptAsset", 1, f"0x{0xBB00:040x}")
    refused("AssetAlreadyAccepted", world.send, world.data_owner, "Assets", "acceptAsset", 1, CREDIT)
