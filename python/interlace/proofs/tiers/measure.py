"""A proof made and checked with its cost, by whichever way; and the verifier of each.

Invariant: a cost is of a proof that was made and checked here; its claim is the job's.
Source: docs/proofs.md, "One interface".
What it does not do: it repeats nothing; `interlace bench proofs` takes medians and memory.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Final

from interlace.proofs.tiers.attested import QuorumVerifier
from interlace.proofs.tiers.circuit import CircuitVerifier
from interlace.proofs.tiers.disputed import DisputeVerifier
from interlace.proofs.tiers.quoted import QuoteVerifier
from interlace.proofs.tiers.rerun import RerunVerifier
from interlace.proofs.tiers.summed import SummedProgramVerifier, SummedVerifier
from interlace.proofs.tiers.values import Context, Job, Proof, Prover, TierVerdict, Verifier, Way
from interlace.records import Claim

_VERIFIERS: Final[tuple[Verifier, ...]] = (
    RerunVerifier(), QuorumVerifier(), DisputeVerifier(), SummedVerifier(), SummedProgramVerifier(), CircuitVerifier(),
    QuoteVerifier(),
)  # fmt: skip


def verifier_for(way: Way | int | str) -> Verifier:
    """Return the verifier of a way, by its number or name.

    Raises
    ------
    VerificationError
        ``tier.unknown``.

    Examples
    --------
    >>> verifier_for("quorum").way.label
    'quorum'
    """
    found = Way.of(way)
    return next(verifier for verifier in _VERIFIERS if verifier.way is found)


@dataclass(frozen=True, slots=True)
class Measured:
    """A proof, what its verifier says, and both sides' cost in `verdict.cost`."""

    claim: Claim
    proof: Proof
    verdict: TierVerdict


def measure(prover: Prover, job: Job, context: Context) -> Measured:
    """Prove a job and check the proof; raises what either raises."""
    gas, start, cpu = prover.gas, time.perf_counter(), time.process_time()
    claim, proof = prover.prove(job)
    took, busy = time.perf_counter() - start, time.process_time() - cpu
    # The verifier reads what was sent, as a stranger would.
    verdict = verifier_for(prover.way).verify(claim, Proof.decode(proof.encode()), context)
    cost = replace(verdict.cost, gas=prover.gas - gas, prover_ms=took * 1e3, prover_cpu_ms=busy * 1e3)
    return Measured(claim, proof, replace(verdict, cost=cost))
