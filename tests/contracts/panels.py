"""A beacon and a Quorum on a chain of their own; each operation also in the specification.

Invariant: contract and specification refuse an operation by the same name or both do it; after it, both contracts hold
what the specification says, and so does who acted.
What it does not do: it chooses no operations; tests by name and the campaign do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from eth_abi import encode

from interlace import _core
from interlace.contracts import ADDRESSES, EconomyConfig, QuorumTerms
from spec import beacon as beacon_spec
from spec.economy import Credit
from spec.quorum import MAX_DRAWN, Question, Quorum, Terms, Vote
from spec.records import CLAIM, struct_hash
from tests.contracts.evm import ETHER, Evm
from tests.contracts.node import start
from tests.contracts.validating import BEACON, PERIOD, Stage, kept, salt_of

TERMS = QuorumTerms(
    draw_seconds=60, commit_seconds=40, reveal_seconds=40, unbonding_seconds=130, slash_bp=2_500,
    min_stake_wei=100_000, min_fee_wei=10, least_drawn=3,
)  # fmt: skip
TRUE, FALSE = b"\x11" * 32, b"\x22" * 32
RUN, GUESS = b"\x33" * 32, b"\x44" * 32
TRUTH, LIE, LAZY = Vote(TRUE, RUN), Vote(FALSE, b"\x55" * 32), Vote(TRUE, GUESS)
"""What an honest member finds, what liars agree on, and the vote of who repeats the claim without having run it."""


class PanelStage(Stage):
    """The contracts and their specification, at one time."""

    model: Any

    def __init__(self, evm: Evm) -> None:
        self.evm = evm
        self.people = [account.address.lower() for account in evm.accounts]
        self.owner, self.other_owner = self.people[:2]
        self.prover, self.other = self.owner, self.other_owner
        credit = ADDRESSES["CreditToken"]
        self.beacon = self._deploy("Beacon", ["address", *["uint64"] * 2, "uint32", "uint256"],
            [credit, BEACON.commit_seconds, BEACON.reveal_seconds, BEACON.quorum, BEACON.bond_wei])  # fmt: skip
        kinds = ["address"] * 2 + ["uint256"] * len(TERMS.words)
        self.validation = self._deploy("Quorum", kinds, [credit, self.beacon[1], *TERMS.words])
        self.model_credit = Credit()
        for who in self.people:
            evm.send("CreditToken", "deposit", sender=who, value=ETHER)
            self.model_credit.deposit(who, ETHER)
            for contract in (self.beacon, self.validation):
                evm.send("CreditToken", "approve", contract[1], 1 << 255, sender=who)
        seconds = (BEACON.commit_seconds, BEACON.reveal_seconds)
        at = (evm.chain_id, self.beacon[1])
        beacon = beacon_spec.Beacon(self.model_credit, at, seconds, BEACON.quorum, BEACON.bond_wei)
        self.model = Quorum(self.model_credit, beacon, self.validation[1], Terms(*TERMS.words))
        self.now = evm.now + PERIOD - evm.now % PERIOD

    def check(self, *people: str) -> None:
        """Compare money: of both contracts and the people named."""
        self.model.check()
        self.model.beacon.check()
        places = {"beacon": self.beacon[1], "quorum": self.validation[1]}
        for name in (*places, *people):
            held = self.evm.call("CreditToken", "balanceOf", places.get(name, name))
            assert held == self.model_credit.balance[name], name

    def check_all(self) -> None:
        """Compare everything that the specification knows."""
        self.model_credit.check()
        self.check(*self.people)
        assert [a.lower() for a in self.read("seats")] == list(self.model.members)
        assert self.read("totalStake") == sum(m.stake for m in self.model.members.values())
        assert self.read("openPanels") == sum(p.state < 3 for p in self.model.panels.values())
        for who in self.people:
            assert self.read("owed", who) == self.model.owed[who]
            found, m = self.read("memberOf", who), self.model.members.get(who)
            assert found == ((m.weight, m.since, m.left_at, m.stake, m.busy) if m else (0,) * 5)
        for claim, p in self.model.panels.items():
            found = self.read("panelOf", claim)
            assert (found[1], found[3], found[5], found[7]) == (p.state, p.postponed, len(p.shown), p.until)
            assert (found[8], found[9]) == (p.fee, p.round)
            assert found[12:] == (p.found or (bytes(32), bytes(32)))
            assert [part[0] for part in self.read("partsOf", claim)] == list(p.drawn)
            assert self.read("verdict", claim, self.other) == self.model.verdict(claim)
            assert self.read("askedFor", found[10]) == claim

    # ---- claims --------------------------------------------------------------------------------------

    def question(self, nonce: int, output: bytes = TRUE, prover: str = "", chain: int = 0) -> Question:
        """Return a claim of a prover by its hash and that of its job, and remember the claim."""
        prover = prover or self.prover
        claim = {
            "chainId": chain or self.evm.chain_id, "registry": ADDRESSES["Settlement"], "programId": b"\x01" * 32,
            "semantics": 1, "inputHash": b"\x02" * 32, "outputHash": output, "prover": prover, "jobNonce": nonce,
        }  # fmt: skip
        self.claim = tuple(claim.values())
        job = encode(
            ["address", "bytes32", "bytes32", "address", "uint64"],
            [claim[name] for name in ("registry", "programId", "inputHash", "prover", "jobNonce")],
        )
        text = {name: "0x" + value.hex() if isinstance(value, bytes) else str(value) for name, value in claim.items()}
        hashed = struct_hash("Claim", CLAIM, text)
        return Question(hashed, _core.keccak256(job), output, prover, not chain)

    # ---- operations ----------------------------------------------------------------------------------

    def ask(self, nonce: int, fee: int = 1_000, n: int = 3, *, by: str = "", where: str = "here", **claim: Any) -> str:
        """Ask for a panel about a claim of the prover."""
        q = self.question(nonce, **claim)
        who = by or q.prover
        said = lambda: self.model.request(self.now, who, q, fee, n, where)  # noqa: E731
        return self.both(who, self.validation, "request", (self.claim, fee, n, where), said)

    def act(self, who: str, function: str, *args: Any) -> str:
        """Call a function whose arguments are those of the specification, after time and sender."""
        model, now = self.model, self.now + 1
        calls: dict[str, tuple[tuple[Any, ...], Callable[[], Any]]] = {
            "stake": (args, lambda: model.stake(now, who, *args)),
            "resign": ((), lambda: model.resign(now, who)),
            "withdraw": (args, lambda: model.withdraw(now, *args)),
            "claim": ((who,), lambda: model.claim(who)),
            "draw": (args, lambda: model.draw(now, *args)),
            "finish": (args, lambda: model.finish(now, *args)),
        }
        sent, said = calls[function]
        return self.both(who, self.validation, function, sent, said)

    def vote(self, who: str, claim: bytes, vote: Vote, of: str = "") -> str:
        """Commit to a vote, or copy the commitment `of` another."""
        kinds = ["uint256", "address", "bytes32", "address", "bytes32", "bytes32", "bytes32"]
        of = of or who
        here = [self.evm.chain_id, self.validation[1], claim, of, *vote, salt_of(0, of)]
        said = lambda: self.model.commit(self.now, who, claim)  # noqa: E731
        return self.both(who, self.validation, "commit", (claim, _core.keccak256(encode(kinds, here))), said)

    def show(self, who: str, claim: bytes, vote: Vote, *, fits: bool = True, of: str = "") -> str:
        """Reveal; the test knows whether it fits what was committed."""
        said = lambda: self.model.reveal(self.now, who, claim, vote, fits)  # noqa: E731
        return self.both(who, self.validation, "reveal", (claim, *vote, salt_of(0, of or who)), said)

    # ---- ways through --------------------------------------------------------------------------------

    def panel(self, nonce: int, n: int = 3, fee: int = 1_000, **claim: Any) -> tuple[bytes, list[str]]:
        """Ask and draw; return the claim's hash and who is drawn."""
        assert not self.ask(nonce, fee=fee, n=n, **claim)
        hashed = self.question(nonce, **claim).hash
        self.run_round(*self.people[8:])
        assert not self.act(self.people[9], "draw", hashed)
        return hashed, list(self.model.panels[hashed].drawn)

    def voted(self, claim: bytes, votes: dict[str, Vote]) -> None:
        """Let the drawn commit and reveal these votes, and finish."""
        p = self.model.panels[claim]
        for who, vote in votes.items():
            assert not self.vote(who, claim, vote)
        self.until(max(p.until - TERMS.reveal_seconds, self.now + 1))
        for who, vote in votes.items():
            assert not self.show(who, claim, vote)
        if len(votes) < p.n:
            self.until(p.until)
        assert not self.act(self.other, "finish", claim)


@contextlib.contextmanager
def staged() -> Iterator[PanelStage]:
    """Yield a stage whose people, but the first two, have seats of different weights."""
    with start(EconomyConfig.development()) as url:
        evm = Evm(url)
        stage = PanelStage(evm)
        for i, who in enumerate(stage.people[2:]):
            assert not stage.act(who, "stake", 100_000 + 10_007 * i)
        yield stage
        evm.close()


__all__ = [
    "FALSE", "GUESS", "LAZY", "LIE", "MAX_DRAWN", "RUN", "TERMS", "TRUE", "TRUTH", "PanelStage", "kept", "staged",
]  # fmt: skip
