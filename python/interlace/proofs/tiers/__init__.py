"""Provers and verifiers of one claim, one of each for every way, behind one interface.

Invariant: all provers make the same claim of one job, byte for byte; each verifier answers with a `TierVerdict`,
whatever a stranger wrote.
Source: docs/proofs.md.
What it does not do: it settles nothing. Settlement asks the chain's contracts (`standing` asks the same question).
"""

from __future__ import annotations

from interlace.proofs.tiers.attested import QuorumProver, QuorumVerifier, attest
from interlace.proofs.tiers.checking import CONTRACTS, Standing, standing
from interlace.proofs.tiers.circuit import CircuitProver, CircuitVerifier
from interlace.proofs.tiers.disputed import DisputeProver, DisputeVerifier
from interlace.proofs.tiers.measure import Measured, measure, verifier_for
from interlace.proofs.tiers.prices import Prices, Quote, Terms, quote
from interlace.proofs.tiers.quoted import QuoteProver, QuoteVerifier
from interlace.proofs.tiers.rerun import RerunProver, RerunVerifier
from interlace.proofs.tiers.summed import SummedProgramVerifier, SummedProver, SummedVerifier
from interlace.proofs.tiers.values import (
    MAX_PROOF_BYTES,
    Context,
    Cost,
    Job,
    Proof,
    Prover,
    QuorumPolicy,
    TierVerdict,
    Verifier,
    Way,
)

__all__ = [
    "CONTRACTS",
    "MAX_PROOF_BYTES",
    "CircuitProver",
    "CircuitVerifier",
    "Context",
    "Cost",
    "DisputeProver",
    "DisputeVerifier",
    "Job",
    "Measured",
    "Prices",
    "Proof",
    "Prover",
    "QuorumPolicy",
    "QuorumProver",
    "QuorumVerifier",
    "Quote",
    "QuoteProver",
    "QuoteVerifier",
    "RerunProver",
    "RerunVerifier",
    "Standing",
    "SummedProgramVerifier",
    "SummedProver",
    "SummedVerifier",
    "Terms",
    "TierVerdict",
    "Verifier",
    "Way",
    "attest",
    "measure",
    "quote",
    "standing",
    "verifier_for",
]
