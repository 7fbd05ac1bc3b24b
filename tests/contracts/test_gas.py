"""What settling costs; the table of docs/contracts.md, which must stay true.

Invariant: a measured number is at most a tenth above the documented one, and not less than nine tenths of it.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlace.contracts import ADDRESSES

if TYPE_CHECKING:
    from interlace.chain import Account
    from tests.contracts.world import World

DISPUTE = 4
PAGE = Path(__file__).resolve().parents[2] / "docs/contracts.md"
ROW = re.compile(r"^\| (?P<what>[^|]+) \| (?P<gas>[\d,]+) \|$", re.MULTILINE)


def documented() -> dict[str, int]:
    """Return the numbers of the page."""
    table = PAGE.read_text().split("## Gas")[1]
    return {row["what"]: int(row["gas"].replace(",", "")) for row in ROW.finditer(table)}


def measure(world: World, assurance: int, count: int, ended: str = "release") -> tuple[int, int]:
    """Return the gas of open() and, above assurance 0, of how it `ended`, for one leaf of `count` in a call.

    What the tier of disputes is to release was put up and stands; what it is to refund was never put up.
    """
    calls = [world.serve(assurance=assurance, nonce=n) for n in range(1_000, 1_000 + count)]
    opened = int(world.open(calls)["gasUsed"], 16)
    if assurance == 0:
        return opened // count, 0
    end = world.evm.call("Settlement", "entryOf", calls[0].leaf_id)[1]
    if assurance == DISPUTE and ended == "release":
        world.send(world.node, "CreditToken", "approve", ADDRESSES["Dispute"], 1 << 255)
        for call in calls:
            world.send(world.node, "Dispute", "post", call.abi[2], b"\x44" * 32, "")
        end = world.evm.call("Dispute", "gameOf", calls[-1].claim.hash())[1]
    world.evm.next_at(end)
    done = world.send(world.stranger, "Settlement", ended, [call.leaf_id for call in calls])
    return opened // count, int(done["gasUsed"], 16) // count


def period_after(world: World) -> int:
    """Return the first second of the vault's next period."""
    length = world.config.stream_seconds
    return (world.evm.now // length + 1) * length


def holders(world: World) -> dict[str, int]:
    """Return the gas of what a holder does, with rewards of both kinds flowing."""
    who, evm, gas = world.payer, world.evm, dict[str, int]()

    def send(what: str, contract: str, function: str, *args: Any, sender: Account = who, value: int = 0) -> None:
        # In a new period each time, at the same second of it: both flows have something to divide, and always the same.
        evm.next_at(period_after(world) + 5)
        gas[what] = int(world.send(sender, contract, function, *args, value=value)["gasUsed"], 16)

    def arrive() -> None:
        evm.next_at(period_after(world))
        world.send(world.node, "StakingVault", "addReward", 10**9)
        evm.transact({"from": world.node.address, "to": ADDRESSES["TransactionFees"], "value": hex(10**15)})

    arrive()
    world.send(world.node, "TransactionFees", "distribute")
    arrive()
    send("distribute transaction fees", "TransactionFees", "distribute", sender=world.node)
    send("claim transaction fees, as node", "TransactionFees", "claim", who.address, sender=evm.accounts[9])
    for what, function, args, value in (
        ("stake more", "stake", (), 10),
        ("claim credits from the vault", "claim", (who.address,), 0),
        ("claim native tokens from the vault", "claimNative", (who.address,), 0),
        ("request to unstake", "requestUnstake", (5,), 0),
        ("withdraw a stake", "withdraw", (who.address,), 0),
    ):
        arrive()
        world.send(world.node, "TransactionFees", "distribute")
        send(what, "StakingVault", function, *args, value=value)
    return gas


@pytest.fixture
def warm(world: World) -> World:
    """Let every part have earned before: a token in each class, a stake, one paid call."""
    for class_id in (1, 2, 3):
        world.mint(class_id, 1)
    world.send(world.payer, "StakingVault", "stake", value=1)
    world.open([world.serve(nonce=900)])
    world.evm.mine_at(period_after(world))
    return world


def test_gas_is_as_documented(warm: World) -> None:
    measured = {}
    for count in (1, 16, 64):
        taken = warm.evm.snapshot()
        measured[f"open, assurance 0, {count} in a call, for each leaf"], _ = measure(warm, 0, count)
        warm.evm.revert(taken)
    for count in (1, 64):
        taken = warm.evm.snapshot()
        opened, released = measure(warm, 1, count)
        measured[f"open, assurance 1, {count} in a call, for each leaf"] = opened
        measured[f"release, {count} in a call, for each leaf"] = released
        warm.evm.revert(taken)
    for count, ended in itertools.product((1, 64), ("release", "refund")):
        taken = warm.evm.snapshot()
        opened, done = measure(warm, DISPUTE, count, ended)
        measured[f"open, assurance 4, {count} in a call, for each leaf"] = opened
        measured[f"{ended}, assurance 4, {count} in a call, for each leaf"] = done
        warm.evm.revert(taken)
    claim = warm.send(warm.node, "FeeRouter", "claim", warm.node.address)
    measured["claim from the router"] = int(claim["gasUsed"], 16)
    measured.update(holders(warm))
    print("\n".join(f"| {what} | {gas:,} |" for what, gas in measured.items()))
    page = documented()
    assert page.keys() == measured.keys()
    wrong = {what: (gas, page[what]) for what, gas in measured.items() if not 0.9 <= gas / page[what] <= 1.1}
    assert not wrong, f"measured and documented: {wrong}"
