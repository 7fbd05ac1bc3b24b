"""What a proof costs beside running the program: prover, verifier, bytes, memory, in one run.

Invariant: every figure of a row is of the same program, the same inputs and this process; what is proved is what the
native run returned, and every proof is verified before its time counts.
What it does not do: it measures no chain; `interlace bench infer` and tests/contracts have gas.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from statistics import median

import numpy as np

from interlace.errors import ProgramError
from interlace.models.builder import GraphBuilder
from interlace.models.program import Program
from interlace.proofs.sumcheck import SumcheckProver

MODELS: dict[str, tuple[int, ...]] = {
    "2k": (64, 32, 10),
    "85k": (64, 256, 256, 10),
    "300k": (256, 512, 256, 64, 10),
    "1M": (512, 1024, 512, 10),
}
"""Widths of dense networks by about how many parameters they have."""


@dataclass(frozen=True, slots=True)
class ProofFigures:
    """One tier of one model and batch; times in milliseconds, the median of the rounds."""

    model: str
    parameters: int
    batch: int
    tier: str
    prove_ms: float
    verify_ms: float
    native_ms: float
    proof_bytes: int
    key_bytes: int

    @property
    def prove_ratio(self) -> float:
        """The prover's time over that of running the program."""
        return self.prove_ms / self.native_ms


@dataclass(frozen=True, slots=True)
class ProofBench:
    """All rows, and the most memory that the process had."""

    rows: list[ProofFigures]
    peak_mb: float

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON members."""
        rows = [asdict(row) | {"prove_ratio": row.prove_ratio} for row in self.rows]
        return {"rows": rows, "peak_mb": self.peak_mb}

    def to_text(self) -> str:
        """Return the figures as a table for people."""
        head = ("model", "inputs", "tier", "native ms", "prove ms", "x native", "verify ms", "proof kB", "key kB")
        lines = ["".join(f"{name:>12}" for name in head)]
        for row in self.rows:
            times = (f"{row.native_ms:.3f}", f"{row.prove_ms:.2f}", f"{row.prove_ratio:,.0f}", f"{row.verify_ms:.2f}")
            sizes = (f"{row.proof_bytes / 1e3:.0f}", f"{row.key_bytes / 1e3:.1f}")
            cells = (row.model, str(row.batch), row.tier, *times, *sizes)
            lines.append("".join(f"{cell:>12}" for cell in cells))
        lines.append(f"most memory of the process: {self.peak_mb:.0f} MB")
        return "\n".join(lines)


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
    names: list[str] | None = None, batch: int = 1, rounds: int = 3, step: Callable[[str], None] = lambda _: None
) -> ProofBench:
    """Measure every tier on models of `MODELS`, all by default, with `batch` inputs at once.

    Raises
    ------
    ProgramError
        ``program.unknown-model`` for a name that none has.
    """
    for name in names or []:
        if name not in MODELS:
            raise ProgramError("program.unknown-model", f"no model is {name!r}", hint=f"one of {', '.join(MODELS)}")
    rows = []
    for name in names or list(MODELS):
        step(name)
        rows += _measure(name, batch, rounds)
    return ProofBench(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3)


def _measure(name: str, batch: int, rounds: int) -> list[ProofFigures]:
    program = dense(MODELS[name])
    inputs = np.random.default_rng(1).integers(-128, 128, (batch, *program.input_shape)).astype(np.int8)
    expected = program.run_batch(inputs).tobytes()
    # One run may be shorter than the clock can tell.
    repeats = 200
    native = _median(rounds, lambda: [program.run_batch(inputs) for _ in range(repeats)]) / repeats
    prover = SumcheckProver(program)
    key = prover.key
    rows = []

    def row(tier: str, prove: float, verify: float, proof: int, key_bytes: int) -> None:
        parameters = len(program.weights)
        rows.append(ProofFigures(name, parameters, batch, tier, prove, verify, native, proof, key_bytes))

    row("re-run", native, native, 0, len(program.to_bytes()))
    for tier, succinct in (("sumcheck", True), ("with program", False)):
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
