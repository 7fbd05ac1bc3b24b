"""The economy's flows: what came in by each meter, to whom it went, what was claimed, and what stakers have and earn.

===============  ================================================================================================
figure           meaning; all integers, in the smallest unit of the asset (credits or native tokens)
===============  ================================================================================================
meter            fees that came in, how often, and the six parts; for transactions also what waits to be divided
pot              where parts lie until they are claimed: earned = claimed + waiting + claimable
waiting          came in and is nobody's yet: not released to stakers, or not divided among the block's parties
claimable        can be claimed now, with fractions that rounding carries
per token        what a token (10^18 wei), staked from the beginning to now without a break, has earned
===============  ================================================================================================

The pot of classes is what lies in Assets in credits and what was claimed from there: payments that came to a class
without the router count, since nothing tells them apart.

Invariant: every figure is a sum over events up to one block, or a view at that block, whose hash is in the answer.
Source: docs/economy.md, docs/contracts.md.
What it does not do: it reads no fees of blocks whose fee recipient is another than TransactionFees.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from interlace.chain import Client, Contract
from interlace.contracts import ADDRESSES, COMPUTE, METERS, TRANSACTION, artifact
from interlace.errors import AssetError

PARTIES = ("node", "data", "model", "validators", "holders", "treasury")
CREDITS, NATIVE = "credits", "native"
_SOURCES = ("Assets", "FeeRouter", "StakingVault", "TransactionFees", "Validators")


@dataclass(frozen=True, slots=True)
class Meter:
    """One meter.

    Attributes
    ----------
    name, asset
        What the fees are for, and ``credits`` or ``native``.
    fees
        How many sums were divided.
    amount
        All that came in: the parts and what waits.
    parts, shares
        By party: what it got, and basis points that it gets from now on.
    waiting
        Came in and was not divided yet.
    """

    name: str
    asset: str
    fees: int
    amount: int
    parts: Mapping[str, int]
    shares: Mapping[str, int]
    waiting: int = 0

    def to_json(self) -> dict[str, object]:
        """Return the members for JSON, amounts as decimal text."""
        return {
            "name": self.name,
            "asset": self.asset,
            "fees": self.fees,
            "amount": str(self.amount),
            "waiting": str(self.waiting),
            "parts": {party: str(part) for party, part in self.parts.items()},
            "shares": dict(self.shares),
        }


@dataclass(frozen=True, slots=True)
class Pot:
    """Where parts lie until they are claimed; see the head of this file."""

    name: str
    asset: str
    earned: int
    claimed: int
    waiting: int = 0

    @property
    def claimable(self) -> int:
        """What can be claimed now, carried fractions included."""
        return self.earned - self.claimed - self.waiting

    def to_json(self) -> dict[str, object]:
        """Return the members for JSON, amounts as decimal text."""
        amounts = ("earned", "claimed", "waiting", "claimable")
        return {"name": self.name, "asset": self.asset, **{name: str(getattr(self, name)) for name in amounts}}


@dataclass(frozen=True, slots=True)
class Staking:
    """The vault: native wei staked, on the way out and withdrawn; what a whole staked token earned, by asset.

    `releasing` is what the present period releases, by asset, and `period_seconds` how long a period is.
    """

    stakers: int
    staked: int
    unbonding: int
    withdrawn: int
    period_seconds: int
    unbonding_seconds: int
    per_token: Mapping[str, int]
    releasing: Mapping[str, int]

    def to_json(self) -> dict[str, object]:
        """Return the members for JSON, amounts as decimal text."""
        return {
            "stakers": self.stakers,
            "staked": str(self.staked),
            "unbonding": str(self.unbonding),
            "withdrawn": str(self.withdrawn),
            "period_seconds": self.period_seconds,
            "unbonding_seconds": self.unbonding_seconds,
            "per_token": {asset: str(amount) for asset, amount in self.per_token.items()},
            "releasing": {asset: str(amount) for asset, amount in self.releasing.items()},
        }


@dataclass(frozen=True, slots=True)
class Flows:
    """Everything up to one block."""

    chain_id: int
    block: int
    block_hash: str
    meters: tuple[Meter, ...]
    pots: tuple[Pot, ...]
    staking: Staking

    def to_json(self) -> dict[str, object]:
        """Return the document that `interlace economy --json` prints."""
        return {
            "chain_id": self.chain_id,
            "block": self.block,
            "block_hash": self.block_hash,
            "meters": [meter.to_json() for meter in self.meters],
            "pots": [pot.to_json() for pot in self.pots],
            "staking": self.staking.to_json(),
        }


@dataclass
class _Sums:
    """What events add up to: counts and parts by meter, sums by contract and event, stakes by account."""

    fees: Counter[int] = field(default_factory=Counter)
    parts: Counter[tuple[int, str]] = field(default_factory=Counter)
    amounts: Counter[tuple[str, str]] = field(default_factory=Counter)
    stakes: Counter[str] = field(default_factory=Counter)


def measure_flows(client: Client) -> Flows:
    """Read a chain's events and views as of its newest block.

    Raises
    ------
    AssetError
        ``asset.no-economy`` when the chain has no such contracts; ``asset.chain-changed`` when the block became
        another while it was read.
    """
    if not client.code(ADDRESSES["TransactionFees"]):
        raise AssetError(
            "asset.no-economy", "this chain has no contracts of the economy", hint="start one: interlace up"
        )
    block = client.block()
    contracts = {name: Contract(client, ADDRESSES[name], artifact(name).abi) for name in (*_SOURCES, "CreditToken")}
    sums = _add_up(client, contracts, block.number)

    def view(name: str, function: str, *args: Any) -> Any:  # noqa: ANN401 - what the ABI says
        return contracts[name].call(function, *args, block=block.number)

    meters = tuple(_meter(number, sums, view) for number in range(len(METERS)))
    rewards = {CREDITS: view("StakingVault", "rewards", False), NATIVE: view("StakingVault", "rewards", True)}
    pots = _pots(sums, meters, rewards, view)
    vault: Callable[..., Any] = lambda function: view("StakingVault", function)  # noqa: E731
    staking = Staking(
        stakers=sum(stake > 0 for stake in sums.stakes.values()),
        staked=vault("totalStake"),
        unbonding=vault("totalUnbonding"),
        withdrawn=sums.amounts["StakingVault", "Withdrawn"],
        period_seconds=vault("streamSeconds"),
        unbonding_seconds=vault("unbondingSeconds"),
        # The index is units per wei, times 10^18: the same number is units per token of 10^18 wei.
        per_token={asset: facts[5] for asset, facts in rewards.items()},
        releasing={asset: facts[3] for asset, facts in rewards.items()},
    )
    if client.block(block.number).hash != block.hash:
        raise AssetError("asset.chain-changed", f"block {block.number} is no longer {block.hash}", hint="read again")
    return Flows(client.chain_id, block.number, block.hash, meters, pots, staking)


def _add_up(client: Client, contracts: Mapping[str, Contract], last: int) -> _Sums:
    """Read all events up to a block."""
    sums = _Sums()
    names = {contracts[name].address.lower(): name for name in _SOURCES}
    for log in client.all_logs([ADDRESSES[name] for name in _SOURCES], to_block=last):
        name = names[log.address.lower()]
        for event in contracts[name].events([log]):
            args: Any = event.args
            if event.name in ("Routed", "Distributed"):
                meter = args.get("meter", TRANSACTION)
                sums.fees[meter] += 1
                for party in PARTIES:
                    sums.parts[meter, party] += args.get(f"{party}Part", 0)
            elif event.name in ("Staked", "Unstaked"):
                sums.stakes[str(args["account"])] += args["amount"] * (1 if event.name == "Staked" else -1)
            elif name != "Assets" or str(args.get("asset", "")).lower() == ADDRESSES["CreditToken"].lower():
                sums.amounts[name, event.name] += args.get("amount", 0)
    return sums


def _meter(number: int, sums: _Sums, view: Callable[..., Any]) -> Meter:
    parts = {party: sums.parts[number, party] for party in PARTIES}
    waiting = view("TransactionFees", "undistributed") if number == TRANSACTION else 0
    shares = dict(zip(PARTIES, view("FeeRouter", "sharesOf", number), strict=True))
    asset = NATIVE if number == TRANSACTION else CREDITS
    return Meter(METERS[number], asset, sums.fees[number], sum(parts.values()) + waiting, parts, shares, waiting)


def _pots(
    sums: _Sums, meters: tuple[Meter, ...], rewards: Mapping[str, Any], view: Callable[..., Any]
) -> tuple[Pot, ...]:
    """Return where the parts lie; rewards that came to holders and validators without the router are among theirs."""
    amounts = sums.amounts
    routed = meters[:TRANSACTION]
    kept = sum(meter.parts[party] for meter in routed for party in ("node", "treasury"))
    shared = meters[TRANSACTION]
    claimed = amounts["Assets", "Claimed"] + amounts["Assets", "UnsharedClaimed"]
    held = view("CreditToken", "balanceOf", ADDRESSES["Assets"])
    holders = [
        Pot("holders", asset, facts[0], facts[1], facts[2] + facts[3] - facts[4]) for asset, facts in rewards.items()
    ]
    return (
        Pot("node and treasury", CREDITS, kept, amounts["FeeRouter", "Claimed"]),
        Pot("data and model", CREDITS, claimed + held, claimed),
        Pot("validators", CREDITS, amounts["Validators", "Rewarded"], amounts["Validators", "Claimed"]),
        holders[0],
        Pot(
            "node, validators and treasury",
            NATIVE,
            shared.amount - shared.parts["holders"],
            amounts["TransactionFees", "Claimed"],
            shared.waiting,
        ),
        holders[1],
    )


__all__ = ["COMPUTE", "Flows", "Meter", "Pot", "Staking", "measure_flows"]
