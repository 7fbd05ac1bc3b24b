"""The main job from its beginning to its end, on real data, with everyone who takes part in an account of their own.

A data set is anchored, a model trained on it and registered as derived from it; a node serves the model in a process of
its own; a buyer pays for answers with vouchers; a third process verifies every receipt from files alone, and refuses
changed ones; the receipts are settled, the fees are split and claimed, and the sums are compared.

Invariant: nothing in the summary is assumed; each figure is counted, measured, or read from the chain.
What it does not do: it prints nothing (see `narrate`) and moves no clock but the developer chain's, which it says.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from interlace.contracts import ADDRESSES
from interlace.errors import ProgramError, UsageError
from interlace.serving import Budget

from .evidence import Evidence, Refusal
from .items import Answer, DataAsset, Model
from .ledger_check import Check, Share, claim_all, compare, routed_parts
from .narrate import Narrator, Silent
from .network import Network
from .party import Party
from .service import Service
from .units import Credits, format_amount, parse_amount

if TYPE_CHECKING:
    from .party import Bunch

PRICE = "0.002/call"
BUDGET_PER_CALL = "0.0025"
STAKE = "5"
MAX_CALLS = 5_000
CHUNK = 10
LICENCE = "CC-BY-4.0"


@dataclass
class Summary:
    """What happened, in numbers; amounts in credit-wei."""

    chain_id: int = 0
    rows: int = 0
    content_root: str = ""
    data_class: int = 0
    model_class: int = 0
    program_id: str = ""
    units: int = 0
    trained_rows: int = 0
    held_back: int = 0
    float_accuracy_held_back: float = 0.0
    integer_accuracy_held_back: float = 0.0
    calls: int = 0
    cost_per_call: int = 0
    paid: int = 0
    integer_correct: int = 0
    float_correct: int = 0
    calls_per_second: float = 0.0
    service_pid: int = 0
    verifier_pid: int = 0
    receipts_verified: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    released: int = 0
    window_seconds: int = 0
    shares: list[Share] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def balanced(self) -> bool:
        """Whether every sum came out to the last unit."""
        return bool(self.checks) and all(check.holds for check in self.checks)

    @property
    def ok(self) -> bool:
        """Whether everything went as it must."""
        refused = len(self.refusals) == 3 and all(refusal.refused for refusal in self.refusals)
        verified = self.calls == self.receipts_verified == self.released
        return self.balanced and refused and verified

    def to_json(self) -> dict[str, object]:
        """Return the summary as JSON members; amounts are decimal text."""
        plain = {name: value for name, value in vars(self).items() if not isinstance(value, list)}
        return {
            **plain,
            "cost_per_call": str(self.cost_per_call),
            "paid": str(self.paid),
            "refusals": [refusal.to_json() for refusal in self.refusals],
            "shares": [share.to_json() for share in self.shares],
            "checks": [check.to_json() for check in self.checks],
            "balanced": self.balanced,
            "ok": self.ok,
        }


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part."""

    data_owner: Party
    model_owner: Party
    node: Party
    buyer: Party
    holder: Party


class Story:
    """The job; `tell` runs it.

    Parameters
    ----------
    net
        A developer chain.
    calls
        How many answers are bought.
    narrator
        Who listens.

    Raises
    ------
    UsageError
        ``sdk.bad-calls`` unless 1 <= calls <= 5,000.
    """

    def __init__(self, net: Network, calls: int = 100, narrator: Narrator | None = None) -> None:
        if not 1 <= calls <= MAX_CALLS:
            raise UsageError("sdk.bad-calls", f"{calls} calls; 1 to {MAX_CALLS} are possible")
        self.net = net
        self.calls = calls
        self.narrator = narrator or Silent()
        self.summary = Summary(calls=calls)
        self.cast = Cast(*net.accounts("alice", "carol", "nina", "bob", "henry"))

    def tell(self) -> Summary:
        """Run the job to its end and return what happened."""
        started = time.monotonic()
        self._chain()
        data = self._anchor()
        model = self._train(data)
        self._register(data, model)
        with self._serve(model) as service:
            answers = self._buy(service, model)
        self._verify(service, answers)
        self._settle(service)
        self._share(data, model)
        self.summary.seconds = round(time.monotonic() - started, 2)
        return self.summary

    # ---- the steps -----------------------------------------------------------------------------------

    def _chain(self) -> None:
        with self.narrator.step("chain") as step:
            self.summary.chain_id = self.net.client.chain_id
            self.cast.holder.stake(STAKE)
            step.conclude(
                f"id {self.summary.chain_id} at {self.net.url}; {len(ADDRESSES)} contracts in its genesis; "
                f"{self.cast.holder.name} stakes {STAKE} native tokens"
            )

    def _anchor(self) -> DataAsset:
        with self.narrator.step("anchor") as step:
            data = self.cast.data_owner.anchor(_digits(), name="digits", licence=LICENCE)
            descriptor = data.descriptor
            self.summary.rows = descriptor.rows
            self.summary.content_root = "0x" + data.root.hex()
            self.summary.data_class = data.class_id
            step.conclude(
                f"{descriptor.rows:,} real images of digits, {descriptor.size_bytes:,} bytes, "
                f"root {_short(data.root)}: class {data.class_id} of {self.cast.data_owner.name}"
            )
            return data

    def _train(self, data: DataAsset) -> Model:
        with self.narrator.step("train") as step:
            model = self.cast.model_owner.train(data, "mlp", name="digits-mlp")
            s = self.summary
            s.held_back, s.trained_rows = len(model.held_back), data.descriptor.rows - len(model.held_back)
            s.float_accuracy_held_back, s.integer_accuracy_held_back = model.float_accuracy, model.integer_accuracy
            step.conclude(
                f"on {s.trained_rows:,} images; on {s.held_back} held back: floats {model.float_accuracy:.2%}, "
                f"integers {model.integer_accuracy:.2%}"
            )
            return model

    def _register(self, data: DataAsset, model: Model) -> None:
        with self.narrator.step("register") as step:
            self.cast.model_owner.publish(model)
            self.summary.model_class, self.summary.units = model.class_id, model.program.units
            self.summary.program_id = "0x" + model.program.id.hex()
            step.conclude(
                f"program {_short(model.program.id)} of {model.program.units:,} units as class {model.class_id} of "
                f"{self.cast.model_owner.name}, derived from class {data.class_id}"
            )

    def _serve(self, model: Model) -> Service:
        with self.narrator.step("serve") as step:
            service = self.cast.node.serve(model, PRICE)
            self.summary.service_pid = service.pid
            self.summary.cost_per_call = int(service.cost)
            step.conclude(
                f"by {self.cast.node.name} in process {service.pid} at {service.url}: {PRICE} asked, "
                f"{model.program.units:,} x {service.unit_price:,} credit-wei charged"
            )
            return service

    def _buy(self, service: Service, model: Model) -> list[Answer]:
        limit = Credits(parse_amount(BUDGET_PER_CALL) * self.calls)
        with self.narrator.step("buy", self.calls) as step:
            buyer, budget = self.cast.buyer, Budget(int(limit))
            buyer.deposit(format_amount(limit))
            rows = [i % len(model.held_back) for i in range(self.calls)]
            answers: list[Answer] = []
            started = time.monotonic()
            for start in range(0, self.calls, CHUNK):
                images = [model.held_back[row] for row in rows[start : start + CHUNK]]
                answers += buyer.ask_all(service, images, budget=budget, assurance=1)
                step.advance(len(images))
            took = time.monotonic() - started
            self._count(answers, model, rows)
            s = self.summary
            s.paid, s.calls_per_second = budget.spent, round(self.calls / took, 1)
            step.conclude(
                f"{buyer.name} has a budget of {limit} and pays {format_amount(s.paid)} for {self.calls} answers "
                f"by signed vouchers; {s.calls_per_second:.0f} calls/s"
            )
            step.remark(
                f"on these images the paid integers name {s.integer_correct} of {self.calls} rightly, "
                f"the float model {s.float_correct}"
            )
            return answers

    def _count(self, answers: list[Answer], model: Model, rows: list[int]) -> None:
        """Compare the paid answers, and the float model's on the same images, with the truth."""
        truth = [str(model.held_back_labels[row]) for row in rows]
        self.summary.integer_correct = sum(a.label == t for a, t in zip(answers, truth, strict=True))
        assert model.trained is not None
        floats = np.asarray(model.trained.model.predict(model.held_back[rows]))
        self.summary.float_correct = sum(str(f) == t for f, t in zip(floats, truth, strict=True))

    def _verify(self, service: Service, answers: list[Answer]) -> None:
        evidence = Evidence(self.net.workdir / "verifier", [a.receipt for a in answers], service.program_file)
        with self.narrator.step("verify") as step:
            outcome = evidence.verify()
            self.summary.verifier_pid, self.summary.receipts_verified = outcome.pid, outcome.passed
            step.conclude(
                f"process {outcome.pid}, which has only receipts and program, verifies {outcome.passed} of "
                f"{len(answers)} by running them again"
            )
        with self.narrator.step("tamper") as step:
            self.summary.refusals = evidence.tamper()
            refused = sum(refusal.refused for refusal in self.summary.refusals)
            step.conclude(f"{refused} of {len(self.summary.refusals)} with one flipped bit are refused")
            for refusal in self.summary.refusals:
                step.remark(refusal.line())

    def _settle(self, service: Service) -> None:
        with self.narrator.step("settle", self.calls) as step:
            first = service.settle(step.advance)
            window = int(self.net.contract("Settlement").call("windowSeconds"))
            self.net.pass_time(window)
            second = service.settle()
            self.summary.released, self.summary.window_seconds = second.released, window
            step.conclude(
                f"{first.opened} receipts opened under one root and held; {second.released} released after the "
                f"challenge window"
            )
            step.remark(f"the window of {window} s passed by evm_increaseTime: this is a developer chain")

    def _share(self, data: DataAsset, model: Model) -> None:
        with self.narrator.step("claim") as step:
            # The holders' part is released over the period after the one in which it came.
            period = int(self.net.contract("StakingVault").call("streamSeconds"))
            self.net.pass_time(2 * period)
            parts = routed_parts(self.net)
            cast, s = self.cast, self.summary
            claims: list[tuple[str, list[tuple[Party, Callable[[], Credits]]]]] = [
                ("node", [(cast.node, lambda: cast.node.claim("node"))]),
                ("data", [(cast.data_owner, lambda: cast.data_owner.claim(data))]),
                ("model", [(cast.model_owner, lambda: cast.model_owner.claim(model))]),
                ("validators", [(v, _claimer(v)) for v in self.net.validators]),
                ("holders", [(cast.holder, lambda: cast.holder.claim("holder"))]),
                ("treasury", [(self.net.treasury, lambda: self.net.treasury.claim("treasury"))]),
            ]
            s.shares = claim_all(parts, claims)
            everyone = [cast.buyer, *(party for _, claimed in claims for party, _ in claimed)]
            s.checks = compare(self.net, s.paid, parts, s.shares, cast.buyer, everyone)
            claimed = sum(share.claimed for share in s.shares)
            left = sum(share.part for share in s.shares) - claimed
            verdict = "all sums agree to the last unit" if s.balanced else "THE SUMS DO NOT AGREE"
            step.conclude(f"{Credits(claimed)} claimed by {len(everyone) - 1} accounts, {left} credit-wei of rounding")
            step.remark(f"{verdict} ({len(s.checks)} comparisons)")
            step.remark(f"the holders' part is released over {period} s, which passed in the same way")


def _claimer(validator: Party) -> Callable[[], Credits]:
    return lambda: validator.claim("validator")


def _digits() -> Bunch:
    """scikit-learn's bundled digits: 1,797 images of 8 x 8 pixels, from the UCI repository."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        hint = "pip install 'interlace[ml]'"
        raise ProgramError("model.extra-missing", "scikit-learn is not installed", hint=hint) from None
    digits: Bunch = load_digits()
    return digits


def _short(digest: bytes) -> str:
    return f"0x{digest[:4].hex()}…{digest[-2:].hex()}"
