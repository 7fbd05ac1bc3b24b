"""Quotes of trusted hardware: the proof is a quote and its collateral. "Verified quote, produced elsewhere".

Invariant: a quote that is about another claim, or of code that the policy does not name, fails.
Source: docs/tee.md.
What it does not do: it runs in no enclave and makes no quote; an `Enclave` is somebody's machine that is asked for one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from interlace.proofs import tee
from interlace.proofs.tiers.checking import Base, expect, needed
from interlace.proofs.tiers.values import Context, Job, Proof, Way, malformed, pack, unpack
from interlace.proofs.verdict import Check
from interlace.records import Claim

Enclave = Callable[[bytes], tuple[bytes, bytes]]
"""Takes 64 bytes of report data, and returns a quote that has them and its collateral; a quote without has ``b""``."""


class QuoteProver:
    """Runs the program here, and attaches what an enclave elsewhere signed.

    That the enclave ran the program is what its measurement says, or does not; nothing here can know.
    """

    way: ClassVar[Way] = Way.TEE
    gas = 0

    def __init__(self, enclave: Enclave) -> None:
        self.enclave = enclave

    def prove(self, job: Job) -> tuple[Claim, Proof]:
        """Run a job, and have its claim quoted."""
        claim = job.claim(job.run())
        return claim, Proof(self.way, pack(*self.enclave(tee.report_data(claim))))


class QuoteVerifier(Base):
    """Checks signatures, policy and report data."""

    way: ClassVar[Way] = Way.TEE

    def require(self, context: Context) -> None:
        """Raise ``tier.context`` without a policy, or without a time."""
        needed(context.quotes, "which enclaves are accepted", self.way)
        needed(context.now if context.chain is None else 0, "the time of the block, or a chain", self.way)

    def checks(self, claim: Claim, body: bytes, context: Context) -> list[Check]:
        """Return whether the quote holds; raises ``tee.extra-missing`` for an Intel quote without ``dcap-qvl``."""
        quote, collateral = unpack(body, 2)
        if quote[:1] == b"\x84" and collateral:
            raise malformed("a quote of this kind has no collateral")
        policy, now = context.quotes, context.now
        if now is None and context.chain is not None:
            now = context.chain.block().timestamp
        assert policy is not None  # `require` saw to it
        assert now is not None
        verdict = tee.verify(quote, collateral or None, now, policy, claim, root=context.quote_root)
        official = verdict.evidence is not None and verdict.evidence.official
        own = context.quote_root is not None
        detail = (
            "the vendor's root" if official else "a test's root, given in the context" if own else "no root reached"
        )
        return [*verdict.checks, expect("tier.root", official or (own and verdict.evidence is not None), detail)]
