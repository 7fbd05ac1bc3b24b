"""A beacon, a validation and a router that keeps, on a chain of their own; each operation also in the specification.

Invariant: contract and specification refuse an operation by the same name or both do it; after it, both contracts hold
what the specification says, and so does who acted.
What it does not do: it chooses no operations; tests by name and the campaign do.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

from eth_abi import encode

from interlace import _core
from interlace.contracts import ADDRESSES, BeaconTerms, EconomyConfig, ValidationTerms, artifact
from spec import beacon as beacon_spec
from spec.economy import Credit, Refused
from spec.validation import Answer, Terms, Validation
from tests.contracts.evm import ETHER, Evm, Reverted
from tests.contracts.node import start

BEACON = BeaconTerms(commit_seconds=15, reveal_seconds=15, quorum=2, bond_wei=1_000_003)
TERMS = ValidationTerms(
    draw_seconds=60, commit_seconds=40, reveal_seconds=40, window_seconds=40, vote_seconds=60, unbonding_seconds=130,
    slash_bp=2_500, min_stake_wei=100_000, min_fee_wei=10, appeal_bond_wei=50_001,
)  # fmt: skip
PERIOD = BEACON.commit_seconds + BEACON.reveal_seconds
TRUTH, LIE = Answer(b"\x11" * 32, 938_800), Answer(b"\x22" * 32, 1_000_000)
FIRST_CLASS, SECOND_CLASS = 1, 2


def salt_of(number: int, who: str) -> bytes:
    return _core.keccak256(number.to_bytes(32, "big") + who.encode())


def secret_of(number: int, who: str) -> bytes:
    return _core.keccak256(b"secret" + salt_of(number, who))


class Stage:
    """The contracts and their specification, at one time."""

    def __init__(self, evm: Evm) -> None:
        self.evm = evm
        self.people = [account.address.lower() for account in evm.accounts]
        self.owner, self.other_owner = self.people[:2]
        credit = ADDRESSES["CreditToken"]
        self.router = evm.deploy("RouterDouble", credit, sender=self.owner)
        self.beacon = self._deploy("Beacon", ["address", *["uint64"] * 2, "uint32", "uint256"],
            [credit, BEACON.commit_seconds, BEACON.reveal_seconds, BEACON.quorum, BEACON.bond_wei])  # fmt: skip
        places = [credit, ADDRESSES["Assets"], self.beacon[1], self.router[1]]
        self.validation = self._deploy(
            "DataValidation", ["address"] * 4 + ["uint256"] * len(TERMS.words), [*places, *TERMS.words]
        )
        self.model_credit = Credit()
        for who in self.people:
            evm.send("CreditToken", "deposit", sender=who, value=ETHER)
            self.model_credit.deposit(who, ETHER)
            for contract in (self.beacon, self.validation):
                evm.send("CreditToken", "approve", contract[1], 1 << 255, sender=who)
        for who in (self.owner, self.other_owner):
            evm.send("Assets", "createClass", "u", b"\x01" * 32, 0, "p", sender=who)
        at = (evm.chain_id, self.beacon[1])
        seconds = (BEACON.commit_seconds, BEACON.reveal_seconds)
        model = beacon_spec.Beacon(self.model_credit, at, seconds, BEACON.quorum, BEACON.bond_wei)
        owners = {FIRST_CLASS: self.owner, SECOND_CLASS: self.other_owner}
        self.model = Validation(self.model_credit, model, self.validation[1], owners, Terms(*TERMS.words))
        self.now = evm.now + PERIOD - evm.now % PERIOD

    def _deploy(self, name: str, kinds: list[str], args: list[Any]) -> tuple[str, str]:
        code = artifact(name).initcode + encode(kinds, args)
        made = self.evm.transact({"from": self.owner, "data": "0x" + code.hex(), "value": "0x0"})
        return name, made["contractAddress"]

    # ---- one operation on both -----------------------------------------------------------------------

    def both(
        self, who: str, contract: tuple[str, str], function: str, args: tuple[Any, ...], said: Callable[[], Any]
    ) -> str:
        """Do it on the contract and in the specification, a second after the last; return the refusal, if any."""
        self.now += 1
        self.evm.next_at(self.now)
        found = wanted = ""
        self.gas = 0
        try:
            self.gas = int(self.evm.send(contract, function, *args, sender=who)["gasUsed"], 16)
        except Reverted as error:
            found = error.name
        try:
            said()
        except Refused as error:
            wanted = error.error
        assert found == wanted, f"{function}{args} by {who} at {self.now}: contract {found!r}, specification {wanted!r}"
        self.check(who)
        return found

    def check(self, *people: str) -> None:
        """Compare money: of both contracts, the router and the people named."""
        self.model.check()
        self.model.beacon.check()
        places = {"beacon": self.beacon[1], "validation": self.validation[1], "router": self.router[1]}
        for name in (*places, *people):
            held = self.evm.call("CreditToken", "balanceOf", places.get(name, name))
            assert held == self.model_credit.balance[name], name

    def check_all(self) -> None:
        """Compare everything that the specification knows."""
        self.model_credit.check()
        self.check(*self.people)
        assert [a.lower() for a in self.read("seats")] == list(self.model.members)
        assert self.read("totalStake") == sum(m.stake for m in self.model.members.values())
        for who in self.people:
            assert self.read("owed", who) == self.model.owed[who]
            found, m = self.read("memberOf", who), self.model.members.get(who)
            assert found == ((m.weight, m.since, m.left_at, m.stake, m.busy) if m else (0,) * 5)
            assert self.evm.call(self.router, "received", who) == self.model.routed[who]
        for number, r in self.model.requests.items():
            found = self.read("requestOf", number)
            answer = r.answer or Answer(bytes(32), 0)
            assert (found[1], found[3], found[6], found[14]) == (r.state, r.postponed, r.appeals, r.round)
            assert (found[10], found[5]) == answer
            assert [part[0] for part in self.read("partsOf", number)] == list(r.drawn)
            for who in r.drawn:
                assert self.read("feeOf", number, who) == self.model.fees.get((number, who), 0)
        for class_id in (FIRST_CLASS, SECOND_CLASS):
            assert self.read("scoreOf", class_id)[0] == self.model.scores.get(class_id, 0)

    def read(self, function: str, *args: Any) -> Any:
        return self.evm.call(self.validation, function, *args)

    # ---- the beacon ----------------------------------------------------------------------------------

    @property
    def round(self) -> int:
        """The round of the next operation."""
        return (self.now + 1) // PERIOD

    def commit_secret(self, who: str, number: int, of: str = "") -> str:
        """Commit to one's own secret, or copy the commitment `of` another."""
        chain, at = self.model.beacon.at
        hashed = beacon_spec.commitment(chain, at, number, of or who, secret_of(number, of or who))
        said = lambda: self.model.beacon.commit(self.now, who, number, hashed)  # noqa: E731
        return self.both(who, self.beacon, "commit", (number, hashed), said)

    def reveal_secret(self, who: str, number: int, of: str = "") -> str:
        secret = secret_of(number, of or who)
        said = lambda: self.model.beacon.reveal(self.now, who, number, secret)  # noqa: E731
        return self.both(who, self.beacon, "reveal", (number, secret), said)

    def claim_bond(self, who: str, number: int) -> str:
        said = lambda: self.model.beacon.claim(self.now, who, number)  # noqa: E731
        return self.both(who, self.beacon, "claim", (number, who), said)

    # ---- the validation ------------------------------------------------------------------------------

    def act(self, who: str, function: str, *args: Any) -> str:
        """Call a function whose arguments are those of the specification, after time and sender."""
        model, now = self.model, self.now + 1
        calls: dict[str, tuple[tuple[Any, ...], Callable[[], Any]]] = {
            "stake": (args, lambda: model.stake(now, who, *args)),
            "resign": ((), lambda: model.resign(now, who)),
            "withdraw": (args, lambda: model.withdraw(now, *args)),
            "claim": ((who,), lambda: model.claim(who)),
            "draw": (args, lambda: model.draw(now, *args)),
            "tally": (args, lambda: model.tally(now, *args)),
            "finish": (args, lambda: model.finish(now, *args)),
            "collect": (args, lambda: model.collect(*args)),
            "vote": (args, lambda: model.vote(now, who, *args)),
        }
        sent, said = calls[function]
        return self.both(who, self.validation, function, sent, said)

    def request(self, who: str, class_id: int = FIRST_CLASS, fee: int = 1_000, k: int = 3) -> str:
        args = (class_id, b"\x0c" * 32, b"\x0d" * 32, fee, k)
        said = lambda: self.model.request(self.now, who, class_id, fee, k)  # noqa: E731
        return self.both(who, self.validation, "request", args, said)

    def commitment(self, who: str, number: int, answer: Answer) -> bytes:
        kinds = ["uint256", "address", "uint256", "address", "bytes32", "uint32", "bytes32"]
        here = [self.evm.chain_id, self.validation[1], number, who, *answer, salt_of(number, who)]
        return _core.keccak256(encode(kinds, here))

    def commit(self, who: str, number: int, answer: Answer, of: str = "") -> str:
        """Commit to an answer, or copy the commitment `of` another."""
        hashed = self.commitment(of or who, number, answer)
        said = lambda: self.model.commit(self.now, who, number)  # noqa: E731
        return self.both(who, self.validation, "commit", (number, hashed), said)

    def reveal(self, who: str, number: int, answer: Answer, *, fits: bool = True, of: str = "") -> str:
        """Reveal; the test knows whether it fits what was committed."""
        args = (number, *answer, salt_of(number, of or who))
        said = lambda: self.model.reveal(self.now, who, number, answer, fits)  # noqa: E731
        return self.both(who, self.validation, "reveal", args, said)

    def appeal(self, who: str, number: int, answer: Answer) -> str:
        said = lambda: self.model.appeal(self.now, who, number, answer)  # noqa: E731
        return self.both(who, self.validation, "appeal", (number, *answer), said)

    # ---- ways through --------------------------------------------------------------------------------

    def until(self, second: int) -> None:
        """Let the next operation happen at `second`."""
        assert second > self.now
        self.now = second - 1

    def run_round(self, *people: str) -> int:
        """Let these people put secrets into the next round and show them; return its number, over."""
        number = self.round + 1
        self.until(number * PERIOD)
        for who in people:
            assert not self.commit_secret(who, number)
        self.until(number * PERIOD + BEACON.commit_seconds)
        for who in people:
            assert not self.reveal_secret(who, number)
        self.until((number + 1) * PERIOD)
        return number

    def drawn(self, k: int = 3, fee: int = 1_000) -> tuple[int, list[str]]:
        """Request and draw; return the number and who is drawn."""
        assert not self.request(self.owner, fee=fee, k=k)
        number = len(self.model.requests)
        self.run_round(*self.people[8:])
        assert not self.act(self.people[9], "draw", number)
        return number, list(self.model.requests[number].drawn)

    def answered(self, number: int, answers: dict[str, Answer]) -> None:
        """Let the drawn commit and reveal these answers, and count them."""
        r = self.model.requests[number]
        for who, answer in answers.items():
            assert not self.commit(who, number, answer)
        self.until(r.until - TERMS.reveal_seconds)
        for who, answer in answers.items():
            assert not self.reveal(who, number, answer)
        if len(answers) < r.k:
            self.until(r.until)
        assert not self.act(self.owner, "tally", number)


@contextlib.contextmanager
def staged() -> Iterator[Stage]:
    """Yield a stage whose people, but the first two, have seats of different weights."""
    with start(EconomyConfig.development()) as url:
        evm = Evm(url)
        stage = Stage(evm)
        for i, who in enumerate(stage.people[2:]):
            assert not stage.act(who, "stake", 100_000 + 10_007 * i)
        yield stage
        evm.close()


@contextlib.contextmanager
def kept(stage: Stage) -> Iterator[Stage]:
    """Yield the stage, and take back what was done to it."""
    taken, model, now = stage.evm.snapshot(), copy.deepcopy(stage.model), stage.now
    yield stage
    stage.evm.revert(taken)
    stage.model, stage.model_credit, stage.now = model, model.credit, now
