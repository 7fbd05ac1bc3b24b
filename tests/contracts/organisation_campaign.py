"""A random life of an organisation: people and agents join, vote, leave, are accused; councils veto; identities change
hands.

Invariant: the same seed gives the same life. After each step the specification and the contracts are compared in all
money and votes.
What it does not do: it chooses no step because it will succeed; about half of them are refused, and the name of the
refusal counts.
"""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

from spec import organisation as spec
from tests.contracts.evm import Reverted

if TYPE_CHECKING:
    from tests.contracts.organisation_world import OrgWorld

STEPS = (
    *("join",) * 6, *("admit",) * 4, *("award",) * 3, *("resign",) * 2, "remove", *("withdraw",) * 4, "lapse",
    *("challenge",) * 3, *("judge",) * 6, "expire", *("propose",) * 4, *("vote",) * 10, *("queue",) * 3,
    *("execute",) * 3, *("veto",) * 3, "identity", "wait",
)  # fmt: skip


# In which state somebody is who does a step, to whom it is done, and of what it is done, for it to have a chance.
WHOSE = {
    "join": ("none",),
    "resign": ("member", "applied"),
    "withdraw": ("leaving",),
    "vote": ("member",),
    "propose": ("member",),
}
WHOM = {"admit": ("applied",), "remove": ("member",), "challenge": ("member", "leaving")}
STATE_FOR = {"vote": "active", "queue": "succeeded", "execute": "queued", "veto": "queued"}


def play(org: OrgWorld, seed: int, count: int) -> int:
    """Take so many steps; return how many of them were done and not refused."""
    rng, done = random.Random(seed), 0
    for place in range(count):
        with contextlib.suppress(Reverted):
            _step(org, rng, place)
            done += 1
        if place % 8 == 7:
            org.compare()
    org.compare()
    return done


def _step(org: OrgWorld, rng: random.Random, place: int) -> None:
    operation = rng.choice(STEPS)
    who, other = _anyone(org, rng, WHOSE.get(operation, ())), _anyone(org, rng, WHOM.get(operation, ()))
    now = org.evm.now
    names = [name for name in org.spec.proposals if org.spec.state(name, now) == STATE_FOR.get(operation)]
    name = rng.choice((names if rng.random() < 0.8 else []) or [*org.spec.proposals][-3:] or [""])
    after = rng.choice((1, 1, 1, 5, 15))
    match operation:
        case "identity":
            _identity(org, rng)
        case "wait":
            org.evm.mine_at(org.evm.now + rng.choice((10, 40, 120)))
        case "propose":
            org.do(operation, who, f"proposal {place}", after=after)
        case "vote" if name:
            parts = rng.choice((spec.FOR, spec.FOR, spec.AGAINST, spec.ABSTAIN, None))
            divided = {spec.FOR: rng.randrange(30), spec.AGAINST: rng.randrange(10)}
            org.do(operation, who, name, parts or divided, after=after)
        case "queue" | "execute" | "veto" if name:
            org.do(operation, rng.choice((who, 5, 6, 7)), name, after=after)
        case "judge":
            accused = [org.who.index(address) for address in org.spec.challenges]
            org.do(operation, rng.choice((5, 6, 7, who)), rng.choice(accused or [other]), rng.random() < 0.6)
        case "join":
            org.do(operation, who, rng.choice((0, 0, *org.ids.values())), after=after)
        case "admit":
            org.do(operation, who, other, rng.randrange(1, 40), after=after)
        case "award":
            grants = [(i, rng.choice((0, org.ids.get(i, 0))), rng.randrange(1, 30)) for i in (who, other)]
            org.do(operation, who, rng.randbytes(1) * 32, grants, after=after)
        case "remove" | "lapse" | "challenge" | "expire":
            org.do(operation, who, other, after=after)
        case "resign" | "withdraw":
            org.do(operation, who, after=after)


def _anyone(org: OrgWorld, rng: random.Random, states: tuple[str, ...]) -> int:
    """Choose an account, mostly one in such a state."""
    known = org.spec.members
    fitting = [i for i, address in enumerate(org.who) if address in known and known[address].status in states]
    return rng.choice(fitting) if fitting and rng.random() < 0.8 else rng.randrange(10)


def _identity(org: OrgWorld, rng: random.Random) -> None:
    """Sell an identity, or let its owner name another wallet."""
    agent_id, wallet = rng.choice(list(org.ids.values())), rng.randrange(10)
    owner = [address.lower() for address in org.who].index(org.evm.call("Agents", "ownerOf", agent_id).lower())
    if rng.random() < 0.5:
        org.move_identity(agent_id, owner, wallet)
    else:
        org.name_wallet(agent_id, owner, wallet)
