"""Audits with a beacon and disputes, on a chain of their own; each operation also in the specification.

Invariant: contract and specification refuse an operation by the same name or both do it; after it, audits, disputes,
beacon, validators and who acted hold what the specification says.
What it does not do: it chooses no operations; tests by name and the walk do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from interlace import _core
from interlace.contracts import ADDRESSES, AuditTerms, EconomyConfig
from spec.audited import Audits, Disputes, Terms
from spec.economy import Validators
from tests.contracts.evm import Evm, calldata
from tests.contracts.node import start
from tests.contracts.validating import PERIOD, Stage

TERMS = AuditTerms(
    rate_bp=3_000, answer_seconds=60, unbonding_seconds=400, max_rounds=2, max_in_flight=8, fine_wei=100_001
)
BOND, WINDOW, CLOCK = 1_009, 50, 40


class Auditing:
    """The contracts and their specification, at one time."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.evm = stage, stage.evm
        self.people = stage.people
        credit, places = stage.model_credit, ADDRESSES
        self.dispute = stage._deploy(
            "Dispute", ["address", "uint256", "uint64", "uint32"], [places["CreditToken"], BOND, WINDOW, CLOCK]
        )
        self.audits = stage._deploy(
            "Audits", ["address"] * 4 + ["uint256"] * len(TERMS.words),
            [places["CreditToken"], stage.beacon[1], self.dispute[1], places["Validators"], *TERMS.words],
        )  # fmt: skip
        for who in self.people:
            for contract in (self.dispute, self.audits):
                self.evm.send("CreditToken", "approve", contract[1], 1 << 255, sender=who)
        members = list(self.evm.call("Validators", "members"))
        self.model = Audits(
            credit, stage.model.beacon, Disputes(credit, BOND, WINDOW, CLOCK), Validators(credit, members, 2),
            Terms(*TERMS.words),
        )  # fmt: skip
        self.claims: dict[bytes, tuple[Any, ...]] = {}
        stage.now = max(stage.now, self.evm.now)

    @property
    def now(self) -> int:
        return self.stage.now

    def claim(self, who: str, nonce: int, chain_id: int = 0) -> bytes:
        """Make a claim of `who`; return its hash."""
        hashes = (_core.keccak256(b"program"), 1, _core.keccak256(b"in"), _core.keccak256(b"out"))
        claim = (chain_id or self.evm.chain_id, self.audits[1], *hashes, who, nonce)
        found: bytes = self.evm.call(self.audits, "claimHashOf", claim)
        self.claims[found] = claim
        return found

    def _both(self, who: str, contract: tuple[str, str], function: str, args: tuple[Any, ...], said: Any) -> str:
        found = self.stage.both(who, contract, function, args, said)
        self.model.check()
        for name, at in (("audits", self.audits), ("dispute", self.dispute)):
            assert self.evm.call("CreditToken", "balanceOf", at[1]) == self.model.credit.balance[name], name
        held = self.evm.call("CreditToken", "balanceOf", ADDRESSES["Validators"])
        assert held == self.model.credit.balance["validators"]
        return found

    def act(self, who: str, function: str, *args: Any) -> str:
        """Do it on both; claims are named by their hashes."""
        model, disputes, now = self.model, self.model.disputes, self.now + 1
        say: Callable[[], Any]
        contract, sent = self.audits, args
        match function:
            case "join":
                say = lambda: model.join(now, who, *args)  # noqa: E731
            case "resign":
                say = lambda: model.resign(now, who)  # noqa: E731
            case "withdraw":
                sent, say = (who,), lambda: model.withdraw(now, who)
            case "enter":
                claims = [(claim, self.claims[claim][6]) for claim in args[0]]
                sent, say = ([self.claims[claim] for claim in args[0]],), lambda: model.enter(now, who, claims)
            case "enterAgain":
                say = lambda: model.enter_again(now, who, *args)  # noqa: E731
            case "answer":
                say = lambda: model.answer(now, who, *args)  # noqa: E731
            case "close":
                say = lambda: model.close(now, who, *args)  # noqa: E731
            case "convict":
                say = lambda: model.convict(now, who, *args)  # noqa: E731
            case "post":
                contract, sent = self.dispute, (self.claims[args[0]], b"\x01" * 32, "")
                say = lambda: disputes.post(now, who, *args)  # noqa: E731
            case "challenge":
                contract, say = self.dispute, lambda: disputes.challenge(now, who, *args)
            case _:
                assert function == "timeout"
                contract, say = self.dispute, lambda: disputes.timeout(now, who, *args)
        return self._both(who, contract, function, sent, say)

    def compare(self) -> None:
        """Compare nodes, entries and verdicts."""
        for who, node in self.model.nodes.items():
            assert self.evm.call(self.audits, "nodeOf", who) == (node.stake, node.in_flight, node.leaves_at)
        # A call is executed at the time of the newest block.
        for claim, entry in self.model.entries.items():
            found = self.evm.call(self.audits, "entryOf", claim)
            assert (found[0].lower(), *found[1:]) == (
                entry.node, entry.round, entry.rounds, entry.answered, entry.closed,
            )  # fmt: skip
            assert self.verdict(claim) == self.model.verdict(self.evm.now, claim)

    def verdict(self, claim: bytes) -> int:
        found: int = self.evm.call(self.audits, "verdict", claim, self.people[0])
        return found

    def rounds(self, *people: str) -> None:
        """Let a round with these secrets pass; without people one without a value."""
        number = self.stage.round + 1
        if people:
            self.stage.run_round(*people)
        else:
            self.stage.until((number + 1) * PERIOD)

    def entered(self, who: str, first: int, count: int) -> list[bytes]:
        """Enter so many claims, numbered from `first`, and let their round pass."""
        claims = [self.claim(who, nonce) for nonce in range(first, first + count)]
        self.stage.until((self.stage.round + 1) * PERIOD)
        assert not self.act(who, "enter", claims)
        self.rounds(*self.people[7:])
        self.evm.mine_at(self.now + 1)
        self.stage.now += 1
        return claims

    def calldata_of(self, function: str, *args: Any) -> bytes:
        return calldata("Audits", function, *args)


@contextlib.contextmanager
def auditing() -> Iterator[Auditing]:
    """Yield a fresh one; everybody has credits."""
    with start(EconomyConfig.development()) as url:
        evm = Evm(url)
        yield Auditing(Stage(evm))
        evm.close()
