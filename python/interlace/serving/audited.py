"""The work of the tier audit: enter claims for the beacon's draw, and put up and defend those that are drawn.

Invariant: a claim whose output this machine does not get is not entered; each step asks the contract first, so after a
crash nothing is done twice.
Source: docs/audits.md, "On chain".
What it does not do: it puts up no stake; a node joins by `Audits.join` itself, since the stake is not one service's.
"""

from __future__ import annotations

from interlace.models import Program
from interlace.proofs.audit_stakes import FAILS, OPEN, Audits
from interlace.records.assurance import Assurance
from interlace.serving.disputes import DisputeWork
from interlace.serving.logs import event
from interlace.serving.proven import is_right
from interlace.serving.tiers import Job, Means, Ready, refuse, register


@register
class AuditWork(DisputeWork):
    """Enters claims, and defends those that are drawn as `DisputeWork` does."""

    tier = Assurance.AUDIT

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self.audits = Audits(means.client)

    def check(self, unfinished: int) -> None:
        """Check what a dispute needs, and that the node's stake lets it enter a claim."""
        super().check(unfinished)
        if not self._room() and unfinished == 0:
            hint = f"join with at least {self.audits.fine_wei} credit-wei: interlace.proofs.audit_stakes.Audits.join"
            raise refuse(self.tier, f"node {self.means.node} has no stake in Audits for a claim", hint=hint)

    def ready(self, job: Job) -> Ready:
        """Enter the claim, unless it is."""
        claim_hash = job.claim.hash()
        if self.audits.entry(claim_hash):
            return Ready.NEVER if self.audits.verdict(claim_hash) == FAILS else Ready.OPEN
        if not is_right(Program.from_bytes(self.means.program), job):
            return Ready.NEVER
        sender = self.means.sender
        if not self._room():
            event("as many claims in flight as the stake allows", level=30, claim=claim_hash.hex())
            return Ready.LATER
        self.audits.enter(sender, [job.claim])
        self.means.on_step("entered")
        return Ready.OPEN

    def tend(self, job: Job) -> bool:
        """Enter again, answer a draw, defend what was drawn, and close what is decided."""
        claim_hash = job.claim.hash()
        entry = self.audits.entry(claim_hash)
        if entry is None:
            return job.final
        verdict, sender = self.audits.verdict(claim_hash), self.means.sender
        if entry.answered and not super().tend(job):
            return False
        if entry.closed or verdict == FAILS:
            return True
        if verdict != OPEN:
            self.audits.send(sender, "close", claim_hash)
            self.means.on_step("closed")
            return True
        if entry.answered or self.means.client.block().timestamp < int(self.audits.beacon.call("endsAt", entry.round)):
            return False
        if not self.audits.beacon.call("hasValue", entry.round):
            self.audits.send(sender, "enterAgain", claim_hash)
            self.means.on_step("entered")
        elif super().ready(job) is Ready.OPEN:
            self.audits.send(sender, "answer", claim_hash)
            self.means.on_step("answered")
        return False

    def _room(self) -> bool:
        return self.audits.node(self.means.node).room > 0
