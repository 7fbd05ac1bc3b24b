"""A dry run of a proposal: its calls, made by the timelock on the state of now, and what they would change.

Invariant: what is shown is what the calls did in the node's simulation, taken from their events: policies before and
after, votes before and after, credits and native tokens that moved. An event of any other contract is shown by its
address and topic, never left out.
Source: `eth_simulateV1`.
What it does not do: it keeps nothing; the state may be another one when the proposal is executed. Calls of the
organisation itself are not rehearsed, since it only obeys what it executes itself; they are marked so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from interlace.chain import Client, Contract, checksum_address
from interlace.chain.abi import Value, parse_abi, revert_reason
from interlace.chain.client import quantity
from interlace.chain.contract import Event
from interlace.chain.types import Log
from interlace.contracts import ADDRESSES, NAMES, ORGANISATION_PARTS, artifact

from .effects import Effect, Parts, encode
from .history import Change, change_of

NATIVE: Final = "0xeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
"""Where a simulation writes transfers of native tokens, in the form of a token's events."""


@dataclass(frozen=True, slots=True)
class Moved:
    """Money that moved: credit-wei, or native wei if `native`."""

    sender: str
    receiver: str
    amount: int
    native: bool


@dataclass(frozen=True, slots=True)
class Votes:
    """A member's votes before and after."""

    account: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Step:
    """One effect of the dry run.

    Attributes
    ----------
    ok
        Whether its call succeeds; `None` for one that cannot be rehearsed.
    reason
        Why it fails.
    policies, votes, money
        What it changes.
    skipped
        Addresses that an award passes over.
    other
        Events of other contracts: their address and first topic.
    """

    effect: Effect
    ok: bool | None
    reason: str
    policies: tuple[Change, ...] = ()
    votes: tuple[Votes, ...] = ()
    money: tuple[Moved, ...] = ()
    skipped: tuple[str, ...] = ()
    other: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """A dry run; effects are all or nothing, so one that fails fails the proposal."""

    steps: tuple[Step, ...]

    @property
    def ok(self) -> bool:
        """Whether no effect fails."""
        return all(step.ok is not False for step in self.steps)

    def __str__(self) -> str:
        """Return a line for each change, before and after."""
        return "\n".join(line for step in self.steps for line in _lines(step))


def rehearse(client: Client, parts: Parts, effects: Sequence[Effect]) -> Rehearsal:
    """Make the calls of `effects` one after the other, and take them back."""
    calls = [encode(effect, parts) for effect in effects]
    known = [target != parts.organisation for target, _, _ in calls]
    asked = [
        {"from": parts.timelock, "to": target, "value": quantity(value), "data": f"0x{data.hex()}"}
        for (target, value, data), rehearsed in zip(calls, known, strict=True)
        if rehearsed
    ]
    request = {"blockStateCalls": [{"calls": asked}], "traceTransfers": True}
    answers = iter(client.rpc("eth_simulateV1", request, "latest")[0]["calls"] if asked else [])
    reader = _Reader(client, parts)
    steps = []
    for effect, rehearsed in zip(effects, known, strict=True):
        if rehearsed:
            steps.append(reader.step(effect, next(answers)))
        else:
            steps.append(Step(effect, None, "a call of the organisation itself is not rehearsed"))
    return Rehearsal(tuple(steps))


class _Reader:
    """Reads what a simulated call answers."""

    def __init__(self, client: Client, parts: Parts) -> None:
        self._policy = Contract(client, parts.policy, artifact("Policy").abi)
        self._members = Contract(client, parts.members, artifact("Members").abi)
        self._money = [
            Contract(client, address, artifact("CreditToken").abi) for address in (ADDRESSES["CreditToken"], NATIVE)
        ]

    def step(self, effect: Effect, answer: dict[str, Any]) -> Step:
        if answer["status"] != "0x1":
            return Step(effect, False, _reason(answer.get("error", {})))
        logs = [Log.from_json(raw) for raw in answer["logs"]]
        policy, members = self._policy.events(logs), self._members.events(logs)
        money = [[event for event in token.events(logs) if event.name == "Transfer"] for token in self._money]
        own = {token.address.lower() for token in (self._policy, self._members, *self._money)}
        return Step(
            effect,
            True,
            "",
            tuple(change_of(event) for event in policy if event.name == "Changed"),
            tuple(_votes(event) for event in members if event.name == "WeightChanged"),
            tuple(_moved(event, bool(native)) for native, events in enumerate(money) for event in events),
            tuple(checksum_address(event.args["account"]) for event in members if event.name == "Skipped"),
            tuple(
                (checksum_address(log.address), log.topics[0] if log.topics else "")
                for log in logs
                if log.address.lower() not in own
            ),
        )


def _reason(error: dict[str, Any]) -> str:
    data = error.get("data")
    if not isinstance(data, str):
        return str(error.get("message", "failed"))
    # Whichever contract refuses: the errors of all of ours are known.
    errors = [entry for name in (*NAMES, *ORGANISATION_PARTS) for entry in parse_abi(artifact(name).abi)]
    return revert_reason(bytes.fromhex(data[2:]), errors)


def _votes(event: Event) -> Votes:
    return Votes(checksum_address(event.args["account"]), event.args["oldWeight"], event.args["newWeight"])


def _moved(event: Event, native: bool) -> Moved:
    sender, receiver, amount = event.args.values()
    return Moved(checksum_address(sender), checksum_address(receiver), amount, native)


def _lines(step: Step) -> list[str]:
    if step.ok is not True:
        verb = "fails" if step.ok is False else "unknown"
        return [f"{type(step.effect).__name__} {verb}: {step.reason}"]
    lines = [f"{c.kind}{_of(c.subject)}: {_shown(c.old)} -> {_shown(c.new)}" for c in step.policies]
    lines += [f"votes of {v.account}: {v.before} -> {v.after}" for v in step.votes]
    for moved in step.money:
        unit = "native wei" if moved.native else "credit-wei"
        lines.append(f"{moved.amount} {unit}: {moved.sender} -> {moved.receiver}")
    lines += [f"passed over: {who}" for who in step.skipped]
    lines += [f"event of {address}: {topic}" for address, topic in step.other]
    return lines or [f"{type(step.effect).__name__}: no event"]


def _of(subject: int | bytes) -> str:
    if isinstance(subject, bytes):
        return f" of program 0x{subject.hex()}"
    return f" of class {subject}" if subject else ""


def _shown(value: Value) -> str:
    if value is None:
        return "not set"
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
