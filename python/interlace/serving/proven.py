"""The work of the tiers sumcheck and quorum: have a claim proved, or run again by others, before its leaf is opened.

Invariant: a claim whose output this machine does not get is neither proved nor asked about; both steps ask the chain
first, so after a crash nothing is done twice.
Source: docs/sumcheck.md; docs/audits.md, "A quorum on chain".
What it does not do: it pays no member and believes none; the contracts do both.
"""

from __future__ import annotations

import numpy as np

from interlace.errors import ChainError, ProgramError, VerificationError
from interlace.models import Program, decode_tensor
from interlace.proofs.panel import Panels
from interlace.proofs.sumcheck import SumcheckProver
from interlace.proofs.sumcheck_chain import ProvenClaims
from interlace.records import hash_output
from interlace.records.assurance import Assurance
from interlace.serving.disputes import MAX_WHERE
from interlace.serving.logs import event
from interlace.serving.tiers import Job, Ready, TierWork, refuse, register

MAX_PROOF_BYTES = 400_000
"""Of a proof in one transaction: its bytes alone take 16 million gas."""


def is_right(program: Program, job: Job) -> bool:
    """Return whether this machine gets the claim's output; a node that does not must not ask others to."""
    try:
        right = hash_output(program.run_bytes(job.input)) == job.claim.output_hash
    except ProgramError:
        right = False
    if not right:
        event("a claim is not what this machine gets", level=40, claim=job.claim.hash().hex())
    return right


@register
class SumcheckWork(TierWork):
    """Proves claims and has the chain check the proofs."""

    tier = Assurance.SUMCHECK

    def check(self, unfinished: int) -> None:  # noqa: ARG002 - what is under way needs nothing more
        """Check that these proofs cover the program and fit a transaction, and that the chain can make the key."""
        program = Program.from_bytes(self.means.program)
        try:
            prover = SumcheckProver(program)
            zeros = np.zeros((1, *program.input_shape), {"i8": np.int8, "i32": np.int32}[program.input_dtype])
            size = len(prover.prove(zeros, context=bytes(32)).proof)
        except (ProgramError, VerificationError) as error:
            raise refuse(self.tier, f"the program is not covered: {error.code}: {error.message}") from None
        if size > MAX_PROOF_BYTES:
            raise refuse(self.tier, f"a proof has {size} bytes; a transaction takes {MAX_PROOF_BYTES}")
        proven = ProvenClaims(self.means.client)
        try:
            if proven.key_hash(program.id) is None:
                proven.contract.call("register", program.id)
        except ChainError as error:
            why = "put the program's weights on the chain (`interlace.models.on_chain.register`)"
            raise refuse(self.tier, f"the chain makes no key of the program: {error.message}", hint=why) from None

    def ready(self, job: Job) -> Ready:
        """Prove the claim, unless it is proved."""
        proven = ProvenClaims(self.means.client)
        if proven.holds(job.claim.hash()):
            return Ready.OPEN
        program = Program.from_bytes(self.means.program)
        if not is_right(program, job):
            return Ready.NEVER
        sender = self.means.sender
        proven.register(sender, program.id)
        proven.prove(sender, job.claim, job.salt, decode_tensor(job.input), SumcheckProver(program))
        self.means.on_step("proved")
        return Ready.OPEN

    def tend(self, job: Job) -> bool:  # noqa: ARG002
        """Nothing is left to do for what was proved."""
        return True


@register
class QuorumWork(TierWork):
    """Asks for panels, and keeps them going."""

    tier = Assurance.QUORUM

    def check(self, unfinished: int) -> None:  # noqa: ARG002 - what is under way needs nothing more
        """Check that the node can pay the members of one panel, and that they can have the input."""
        panels = Panels(self.means.client)
        settles, where = self.means.account is not None, self.means.where.encode()
        if settles:
            _ = self.means.sender
        if len(where) > MAX_WHERE or (settles and not where):
            raise refuse(self.tier, f"members get inputs at a public address of 1 to {MAX_WHERE} bytes")
        held, fee = int(panels.credit.call("balanceOf", self.means.node)), panels.least_fee()
        if held < fee:
            raise refuse(self.tier, f"node {self.means.node} has {held} credit-wei, a panel takes {fee}")

    def ready(self, job: Job) -> Ready:
        """Ask for a panel, unless one was asked for."""
        panels, claim_hash = Panels(self.means.client), job.claim.hash()
        try:
            state = panels.get(claim_hash).state
        except VerificationError:
            state = ""
        if state:
            return Ready.NEVER if state in ("refuted", "undecided") else Ready.OPEN
        if not is_right(Program.from_bytes(self.means.program), job):
            return Ready.NEVER
        sender = self.means.sender
        if int(panels.credit.call("balanceOf", sender.address)) < panels.least_fee():
            event("no credits for a panel", level=30, claim=claim_hash.hex())
            return Ready.LATER
        panels.request(sender, job.claim, where=self.means.where)
        self.means.on_step("asked")
        return Ready.OPEN

    def tend(self, job: Job) -> bool:
        """Draw and finish when it is time."""
        try:
            return Panels(self.means.client).advance(self.means.sender, job.claim.hash()) not in ("asked", "drawn")
        except VerificationError:
            return job.final
