"""What every way to prove an answer costs beside running the program: both sides, memory, bytes and gas, in one run.

Invariant: every figure of a row is of the same program and inputs; what is proved is what the native run returned, and
every proof is verified before its time counts. Memory is that of a process for each figure.
What it does not do: with several inputs in one proof it measures the ways that can prove them at once, and no chain.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from interlace.chain import Chain
from interlace.contracts import economy_deployments
from interlace.errors import ProgramError
from interlace.models.builder import GraphBuilder
from interlace.models.program import Program
from interlace.models.tensor import decode
from interlace.proofs.sumcheck import SumcheckProver
from interlace.proofs.tiers.bench import LEFT_OUT, Bench, job_of, why_no_circuit
from interlace.proofs.tiers.values import Way

MODELS: dict[str, tuple[int, ...]] = {
    "2k": (64, 32, 10),
    "85k": (64, 256, 256, 10),
    "300k": (256, 512, 256, 64, 10),
    "1M": (512, 1024, 512, 10),
}
"""Widths of dense networks by about how many parameters they have."""
NATIVE_RUNS: Final = 100
"""Runs of the program for each round, one timed alone, so that their median is as robust as that of proofs."""


@dataclass(frozen=True, slots=True)
class ProofFigures:
    """One tier of one model and batch; times in milliseconds, the median of the rounds.

    Attributes
    ----------
    proof_bytes, key_bytes
        What is carried, and what the verifier holds besides.
    prover_gas, chain_gas
        Gas of putting a claim up, and of deciding it: the largest game of a dispute, or verifying a proof. None where
        there is none.
    peak_mb
        Megabytes (10^6 bytes) that making the proof adds to a process that has run the program; None if not measured.
    """

    model: str
    parameters: int
    batch: int
    tier: str
    prove_ms: float
    verify_ms: float
    native_ms: float
    proof_bytes: int
    key_bytes: int
    prover_gas: int | None = None
    chain_gas: int | None = None
    peak_mb: float | None = None

    @property
    def prove_ratio(self) -> float:
        """The prover's time over that of running the program."""
        return self.prove_ms / self.native_ms

    @property
    def verify_ratio(self) -> float:
        """The verifier's time over that of running the program."""
        return self.verify_ms / self.native_ms


@dataclass(frozen=True, slots=True)
class ProofBench:
    """All rows, and what was left out and why."""

    rows: list[ProofFigures]
    left_out: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON members."""
        rows = [asdict(row) | {"prove_ratio": row.prove_ratio, "verify_ratio": row.verify_ratio} for row in self.rows]
        return {"rows": rows, "left_out": self.left_out}

    def to_text(self) -> str:
        """Return the figures as a table for people."""
        head = ("native ms", "prove ms", "x native", "verify ms", "x native", "adds MB", "proof kB", "held kB")
        names = (*head, "post gas", "decide gas")
        lines = [f"{'model':<6}{'inputs':>7}  {'tier':<17}" + "".join(f"{name:>11}" for name in names)]
        for row in self.rows:
            times = (f"{row.native_ms:.3f}", f"{row.prove_ms:.2f}", _times(row.prove_ratio), f"{row.verify_ms:.2f}")
            memory = "-" if row.peak_mb is None else f"{row.peak_mb:.1f}"
            sizes = (_times(row.verify_ratio), memory, f"{row.proof_bytes / 1e3:.1f}", f"{row.key_bytes / 1e3:.1f}")
            gas = ("-" if gas is None else f"{gas:,}" for gas in (row.prover_gas, row.chain_gas))
            cells = "".join(f"{cell:>11}" for cell in (*times, *sizes, *gas))
            lines.append(f"{row.model:<6}{row.batch:>7}  {row.tier:<17}{cells}")
        return "\n".join([*lines, *(f"left out: {why}" for why in self.left_out)])


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"


def dense(widths: tuple[int, ...], seed: int = 0) -> Program:
    """Return a dense network with random weights and a relu after each layer but the last."""
    rng = np.random.default_rng(seed)
    builder = GraphBuilder((widths[0],))
    value = 0
    for index, (depth, channels) in enumerate(pairwise(widths)):
        bias = rng.integers(-1_000, 1_000, channels)
        value = builder.matmul(value, rng.integers(-127, 128, (depth, channels)), bias)
        if index + 2 < len(widths):
            value = builder.requantise(value, 1_500_000_000, 30 + int(np.log2(depth) / 2) + 6, 0, 127)
    return builder.build(value)


def bench_proofs(
    names: list[str] | None = None,
    batch: int = 1,
    rounds: int = 3,
    step: Callable[[str], None] = lambda _: None,
    *,
    compiler: Path | None = None,
) -> ProofBench:
    """Measure every tier on models of `MODELS`, all by default, with `batch` inputs at once.

    Parameters
    ----------
    compiler
        The folder ``contracts`` of a checkout; without it the gas of a proof by ezkl is left out.

    Raises
    ------
    ProgramError
        ``program.unknown-model`` for a name that none has.
    VerificationError
        ``tier.no-measurement`` when a proof does not hold, or a process that measures memory fails.
    """
    for name in names or []:
        if name not in MODELS:
            raise ProgramError("program.unknown-model", f"no model is {name!r}", hint=f"one of {', '.join(MODELS)}")
    rows = []
    if batch > 1:
        for name in names or list(MODELS):
            step(name)
            rows += _batched(name, batch, rounds)
        return ProofBench(rows, ["quorum, dispute, zk, tee: they prove one input at a time"])
    left_out = [f"{way.label}: {why}" for way, why in LEFT_OUT]
    with Chain(port=None, deployments=economy_deployments()) as chain:
        bench = Bench(chain, compiler)
        for name in names or list(MODELS):
            step(name)
            program = dense(MODELS[name])
            rows += _single(name, program, rounds, bench)
            if why := why_no_circuit(program):
                left_out.append(f"{Way.ZK.label} of {name}: {why}")
    return ProofBench(rows, left_out)


def _native(program: Program, inputs: np.ndarray, rounds: int) -> float:
    """Median milliseconds of a run; of more runs than there are rounds, since they are short and cost little."""
    return _median(rounds * NATIVE_RUNS, lambda: program.run_batch(inputs))


def _single(name: str, program: Program, rounds: int, bench: Bench) -> list[ProofFigures]:
    native = _native(program, decode(job_of(program).input)[np.newaxis], rounds)
    rows = []
    for found in bench.measure(name, program, rounds):
        cost = found.cost
        rows.append(
            ProofFigures(
                name, len(program.weights), 1, found.way.label, cost.prover_ms or 0.0, cost.verifier_ms, native,
                cost.carried_bytes, cost.held_bytes, cost.gas or None, found.chain_gas, found.peak_mb,
            )
        )  # fmt: skip
    return rows


def _batched(name: str, batch: int, rounds: int) -> list[ProofFigures]:
    program = dense(MODELS[name])
    inputs = np.random.default_rng(1).integers(-128, 128, (batch, *program.input_shape)).astype(np.int8)
    expected = program.run_batch(inputs).tobytes()
    native = _native(program, inputs, rounds)
    prover = SumcheckProver(program)
    key = prover.key
    rows = []

    def row(tier: Way, prove: float, verify: float, proof: int, key_bytes: int) -> None:
        parameters = len(program.weights)
        rows.append(ProofFigures(name, parameters, batch, tier.label, prove, verify, native, proof, key_bytes))

    row(Way.RERUN, native, native, 0, len(program.to_bytes()))
    for tier, succinct in ((Way.SUMCHECK, True), (Way.SUMCHECK_PROGRAM, False)):
        holder = key if succinct else program
        proof = prover.prove(inputs, succinct=succinct)
        if proof.outputs != expected:
            raise ProgramError("program.paths-differ", "the prover computed other outputs than the program")
        prove = _median(rounds, lambda succinct=succinct: prover.prove(inputs, succinct=succinct))  # type: ignore[misc]
        verify = _median(rounds, lambda proof=proof, holder=holder: proof.verify(holder))  # type: ignore[misc]
        row(tier, prove, verify, len(proof.proof), len(key.data) if succinct else len(program.to_bytes()))
    return rows


def _median(rounds: int, work: Callable[[], object]) -> float:
    """Median milliseconds of `rounds` runs."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times) * 1e3
