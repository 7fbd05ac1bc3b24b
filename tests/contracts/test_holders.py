"""Holders: stake, votes, unbonding, and rewards that are released over time, each rule by name; amounts to the unit.

Invariant: times are fixed to the second, so that what is released is known.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace.contracts import ADDRESSES
from spec.economy import CREDIT, NATIVE, Credit, S, Token, Vault
from tests.contracts.evm import ETHER, calldata, refused

if TYPE_CHECKING:
    from interlace.chain import Account
    from tests.contracts.world import World

VAULT = "StakingVault"


def ask(world: World, view: str, *args: Any) -> Any:
    return world.evm.call(VAULT, view, *(arg if isinstance(arg, (int, bool)) else arg.address for arg in args))


def at(world: World, second: int, who: Account, function: str, *args: Any, value: int = 0) -> int:
    """Send at a second and return it."""
    world.evm.next_at(second)
    world.send(who, VAULT, function, *args, value=value)
    return second


@pytest.fixture
def start(world: World) -> int:
    """Return the first second of a period that is still to come."""
    length = world.config.stream_seconds
    return (world.evm.now // length + 2) * length


# ---- stake, votes, unbonding ---------------------------------------------------------------------------


def test_votes_follow_the_stake_and_its_history(world: World) -> None:
    who, other = world.stranger, world.payer
    world.send(who, VAULT, "stake", value=10)
    block = int(world.evm.rpc("eth_blockNumber"), 16)
    world.send(who, VAULT, "stake", value=5)
    world.send(who, VAULT, "delegate", other.address)
    assert ask(world, "getVotes", other) == 15
    assert ask(world, "getPastVotes", who, block) == 10
    assert ask(world, "getPastTotalSupply", block) == 10
    world.send(who, VAULT, "requestUnstake", 9)
    assert (ask(world, "getVotes", other), ask(world, "stakeOf", who)) == (6, 6)
    world.send(world.payer, VAULT, "addReward", 10**6)
    world.send(who, VAULT, "claim", who.address)
    # Neither rewards nor claims are votes, and what was counted for a block stays.
    assert (ask(world, "getVotes", other), ask(world, "getPastVotes", who, block)) == (6, 10)


def test_a_stake_is_withdrawn_after_the_unbonding_time_and_not_before(world: World) -> None:
    who, wait = world.stranger, world.config.unbonding_seconds
    world.send(who, VAULT, "stake", value=10)
    refused("InsufficientStake", world.send, who, VAULT, "requestUnstake", 11)
    refused("ZeroAmount", world.send, who, VAULT, "requestUnstake", 0)
    refused("ZeroAmount", world.send, who, VAULT, "stake")
    first = at(world, world.evm.now + 5, who, "requestUnstake", 3)
    second = at(world, first + 5, who, "requestUnstake", 4)
    assert ask(world, "unbondingOf", who) == ((3, first + wait), (4, second + wait))
    assert (ask(world, "totalStake"), ask(world, "totalUnbonding")) == (3, 7)
    world.evm.next_at(first + wait - 1)
    refused("NothingToWithdraw", world.send, who, VAULT, "withdraw", who.address)
    heir = "0x" + "11" * 20
    at(world, first + wait, who, "withdraw", heir)
    assert world.evm.balance(heir) == 3
    assert ask(world, "unbondingOf", who) == ((4, second + wait),)
    at(world, second + wait, who, "withdraw", heir)
    assert (world.evm.balance(heir), ask(world, "totalUnbonding")) == (7, 0)
    assert world.evm.balance(ADDRESSES[VAULT]) == 3
    refused("NothingToWithdraw", world.send, who, VAULT, "withdraw", heir)


def test_a_queue_is_bounded_and_nobody_is_kept_in(world: World) -> None:
    who, wait = world.stranger, world.config.unbonding_seconds
    world.send(who, VAULT, "stake", value=100)
    for _ in range(8):
        world.send(who, VAULT, "requestUnstake", 1)
    refused("TooManyUnbonding", world.send, who, VAULT, "requestUnstake", 92)
    at(world, world.evm.now + wait, who, "withdraw", who.address)
    world.send(who, VAULT, "requestUnstake", 92)
    assert ask(world, "stakeOf", who) == 0


def test_a_holder_that_calls_back_gets_nothing_twice(world: World, start: int) -> None:
    """A contract withdraws and claims again while it is paid."""
    thief = world.evm.deploy("Reentrant", sender=world.stranger.address)
    vault = ADDRESSES[VAULT]

    def execute(data: bytes, value: int = 0) -> None:
        world.send(world.stranger, thief, "execute", vault, value, data, value=value)

    world.evm.next_at(start)
    execute(calldata(VAULT, "stake"), 10)
    world.send(world.payer, VAULT, "stake", value=10)
    world.send(world.payer, VAULT, "addNativeReward", value=1_000)
    execute(calldata(VAULT, "requestUnstake", 4))
    world.evm.mine_at(start + 2 * world.config.stream_seconds)
    for function in ("withdraw", "claimNative"):
        before = world.evm.balance(thief[1])
        due = 4 if function == "withdraw" else world.evm.call(VAULT, "claimableNative", thief[1])
        attack = calldata(VAULT, function, thief[1])
        world.send(world.stranger, thief, "arm", vault, attack)
        execute(attack)
        assert world.evm.balance(thief[1]) - before == due > 0
    claimed = world.evm.call(VAULT, "rewards", True)[1]
    owed = ask(world, "totalStake") + ask(world, "totalUnbonding") + 1_000 - claimed
    assert world.evm.balance(vault) == owed


# ---- rewards over time ---------------------------------------------------------------------------------


@pytest.mark.parametrize("native", [False, True])
def test_a_reward_is_released_evenly_over_the_next_period(world: World, start: int, native: bool) -> None:
    who, length = world.payer, world.config.stream_seconds
    at(world, start, who, "stake", value=1)
    reward = 1_000_003
    if native:
        at(world, start + 7, world.stranger, "addNativeReward", value=reward)
    else:
        at(world, start + 7, world.stranger, "addReward", reward)
    claimable = "claimableNative" if native else "claimable"
    for second in (0, 1, 17, length - 1, length, 3 * length):
        world.evm.mine_at(start + length + second)
        assert ask(world, claimable, who) == reward * min(second, length) // length
    heir = "0x" + "12" * 20
    world.send(who, VAULT, "claimNative" if native else "claim", heir)
    assert (world.evm.balance(heir) if native else world.credits(heir)) == reward
    assert ask(world, "rewards", native)[:5] == (reward, reward, 0, 0, 0)
    refused("ZeroAmount", world.send, who, VAULT, *(("addNativeReward",) if native else ("addReward", 0)))


def test_a_stake_around_a_reward_gains_nothing(world: World, start: int) -> None:
    """Somebody with a hundred times the stake enters before a reward arrives and leaves after it."""
    honest, thief, length = world.payer, world.stranger, world.config.stream_seconds
    at(world, start, honest, "stake", value=ETHER)
    at(world, start + 10, thief, "stake", value=100 * ETHER)
    world.send(world.node, VAULT, "addReward", 10**9)
    at(world, world.evm.now + 1, thief, "requestUnstake", 100 * ETHER)
    world.evm.mine_at(start + 2 * length)
    assert ask(world, "claimable", thief) == 0
    assert ask(world, "claimable", honest) == 10**9


def test_who_enters_late_has_no_part_in_what_was_released_before(world: World, start: int) -> None:
    early, late, length = world.payer, world.node, world.config.stream_seconds
    at(world, start, early, "stake", value=3)
    at(world, start + 1, world.stranger, "addReward", 603)
    half = start + length + length // 2
    at(world, half, late, "stake", value=4)
    assert (ask(world, "claimable", early), ask(world, "claimable", late)) == (300, 0)
    world.evm.mine_at(start + 2 * length)
    owed = [ask(world, "accruedScaled", who) for who in (early, late)]
    assert [units // ETHER for units in owed] == [430, 172]
    assert sum(owed) + ask(world, "rewards", False)[6] == 603 * ETHER


def test_rewards_wait_while_nothing_is_staked(world: World, start: int) -> None:
    """The first to stake gets none of it at once: it begins to be released in the period after."""
    who, length = world.payer, world.config.stream_seconds
    at(world, start, world.stranger, "addReward", 100)
    enters = at(world, start + 10 * length + 5, who, "stake", value=1)
    assert ask(world, "claimable", who) == 0
    world.evm.mine_at(enters - 5 + length)
    assert ask(world, "claimable", who) == 0
    world.evm.mine_at(enters - 5 + length + length // 2)
    assert ask(world, "claimable", who) == 50
    at(world, world.evm.now + 1, who, "requestUnstake", 1)
    left = ask(world, "rewards", False)[2]
    assert left == 100 - ask(world, "claimable", who) > 0
    world.evm.mine_at(start + 30 * length)
    assert ask(world, "rewards", False)[2:5] == (left, 0, 0)


def test_nobody_stretches_a_release(world: World, start: int) -> None:
    """Dust every few seconds neither shifts nor slows what others brought."""
    who, length = world.payer, world.config.stream_seconds
    at(world, start, who, "stake", value=1)
    at(world, start + 1, world.stranger, "addReward", 10**6)
    for second in range(length - 3, 2 * length, 11):
        at(world, start + second, world.stranger, "addReward", 1)
    world.evm.mine_at(start + 2 * length)
    assert ask(world, "claimable", who) >= 10**6


# ---- properties of the rule itself, on the specification -----------------------------------------------


def vault(stakes: dict[str, int]) -> Vault:
    credit, native = Credit(), Token()
    for who in (*stakes, "giver"):
        credit.deposit(who, 10**24)
        native.balance[who] = 10**24
    made = Vault(credit, native, 60, 20)
    for who, amount in stakes.items():
        made.stake(1_000, who, amount)
    return made


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_what_is_owed_depends_on_neither_order_nor_number_of_claims(seed: int) -> None:
    rng = random.Random(seed)
    stakes = {f"h{i}": rng.randint(1, 10 ** rng.randint(1, 20)) for i in range(rng.randint(1, 5))}
    rewards = sorted(
        (rng.randint(1_000, 1_200), rng.randint(1, 10 ** rng.randint(1, 20)), rng.choice((CREDIT, NATIVE)))
        for _ in range(6)
    )
    ends = []
    for claims in (0, 3, 40):
        v = vault(stakes)
        paid = dict.fromkeys(stakes, 0)
        looked = [(rng.randint(1_000, 1_300), "", "") for _ in range(claims)]
        for now, amount, asset in sorted([*rewards, *looked], key=lambda event: event[0]):
            if asset:
                v.add_reward(now, "giver", amount, asset)
            else:
                who = rng.choice([*stakes])
                paid[who] += v.claim(now, who)
            v.check()
        v.advance(1_400)
        ends.append([(paid[who] * S + v.owed(who), v.owed(who, NATIVE)) for who in stakes])
    assert ends[0] == ends[1] == ends[2]
    assert sum(owed for owed, _ in ends[0]) <= sum(a for _, a, asset in rewards if asset == CREDIT) * S


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_entry_dilutes_nothing_that_was_released(seed: int) -> None:
    rng = random.Random(seed)
    v = vault({"a": rng.randint(1, 10**20), "b": rng.randint(1, 10**20)})
    for now in sorted(rng.randint(1_000, 1_100) for _ in range(4)):
        v.add_reward(now, "giver", rng.randint(1, 10**20))
    now = rng.randint(1_100, 1_150)
    v.advance(now)
    before = {who: v.owed(who) for who in ("a", "b")}
    v.stake(now, "giver", 10**22)
    assert {who: v.owed(who) for who in ("a", "b")} == before
    assert v.owed("giver") == 0
    v.request_unstake(now, "giver", 10**22)
    v.advance(2_000)
    assert v.owed("giver") == 0
    v.check()
