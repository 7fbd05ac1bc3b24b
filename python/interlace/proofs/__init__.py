"""Verifiers: does this receipt hold, given only the receipt and the program?

Invariant: a verdict lists every check by name; what was not checked is said, never assumed.
What it does not do: no node is needed and none is trusted; facts that only a chain knows (is this the node's key, what
does a contract payer accept) are checked when a `ChainView` is passed and reported as unchecked when not.
"""

from __future__ import annotations

from interlace.proofs.artefact import Artefact
from interlace.proofs.verdict import ChainView, Check, Status, Verdict
from interlace.proofs.verify import verify, verify_many

__all__ = ["Artefact", "ChainView", "Check", "Status", "Verdict", "verify", "verify_many"]
