"""Zero-knowledge proofs of integer programs by ezkl, which its user installs (extra ``[zk]``).

Invariant: a claim and its proof are checked the same way here and by the contract ZkVerifiers: tensors hash to the
claim, and the proof's public numbers are input, claim and output.
What it does not do: inputs are public; reference strings made here are for development; ezkl is neither shipped nor
audited by us.
"""

from __future__ import annotations

from interlace.proofs.zk.circuit import Circuit, translate
from interlace.proofs.zk.driver import compile_solidity
from interlace.proofs.zk.evidence import Evidence
from interlace.proofs.zk.prover import Key, Plan, plan, setup, verify
from interlace.proofs.zk.srs import Srs, ceremony_srs, development_srs

__all__ = [
    "Circuit",
    "Evidence",
    "Key",
    "Plan",
    "Srs",
    "ceremony_srs",
    "compile_solidity",
    "development_srs",
    "plan",
    "setup",
    "translate",
    "verify",
]
