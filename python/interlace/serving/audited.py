"""The work of the tier audit: enter claims for the beacon's draw, and put up and defend those that are drawn.

Invariant: a claim whose output this machine does not get is not entered; each step asks the contract first, so after a
crash nothing is done twice.
Source: docs/audits.md, "On chain".
What it does not do: it puts up no stake; a node joins Audits by itself, since the stake is not one service's.
"""

from __future__ import annotations

from typing import Any, Final

from interlace.chain import Contract
from interlace.contracts import ADDRESSES, artifact
from interlace.models import Program
from interlace.proofs.dispute import claim_struct
from interlace.records.assurance import Assurance
from interlace.serving.disputes import DisputeWork
from interlace.serving.logs import event
from interlace.serving.proven import is_right
from interlace.serving.tiers import Job, Means, Ready, refuse, register

_OPEN, _FAILS = 1, 3
"""Verdicts of `IAssurance`."""
_ENTRY: Final = ("node", "round", "rounds", "answered", "closed")


@register
class AuditWork(DisputeWork):
    """Enters claims, and defends those that are drawn as `DisputeWork` does."""

    tier = Assurance.AUDIT

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self.audits = Contract(means.client, ADDRESSES["Audits"], artifact("Audits").abi)
        self.beacon = Contract(means.client, str(self.audits.call("beacon")), artifact("Beacon").abi)

    def check(self, unfinished: int) -> None:
        """Check what a dispute needs, and that the node's stake lets it enter a claim."""
        super().check(unfinished)
        if not self._room() and unfinished == 0:
            hint = "approve credits to Audits and join it with at least one fine"
            raise refuse(self.tier, f"node {self.means.node} has no stake in Audits for a claim", hint=hint)

    def ready(self, job: Job) -> Ready:
        """Enter the claim, unless it is."""
        claim_hash = job.claim.hash()
        if int(self._entry(claim_hash)["node"], 16):
            return Ready.NEVER if self._verdict(claim_hash) == _FAILS else Ready.OPEN
        if not is_right(Program.from_bytes(self.means.program), job):
            return Ready.NEVER
        sender = self.means.sender
        if not self._room():
            event("as many claims in flight as the stake allows", level=30, claim=claim_hash.hex())
            return Ready.LATER
        self.audits.send(sender, "enter", [claim_struct(job.claim)])
        self.means.on_step("entered")
        return Ready.OPEN

    def tend(self, job: Job) -> bool:
        """Enter again, answer a draw, defend what was drawn, and close what is decided."""
        claim_hash = job.claim.hash()
        entry = self._entry(claim_hash)
        if not int(entry["node"], 16):
            return job.final
        verdict, sender = self._verdict(claim_hash), self.means.sender
        if entry["answered"] and not super().tend(job):
            return False
        if entry["closed"] or verdict == _FAILS:
            return True
        if verdict != _OPEN:
            self.audits.send(sender, "close", [claim_hash])
            self.means.on_step("closed")
            return True
        if entry["answered"] or self._now() < int(self.beacon.call("endsAt", entry["round"])):
            return False
        if not self.beacon.call("hasValue", entry["round"]):
            self.audits.send(sender, "enterAgain", claim_hash)
            self.means.on_step("entered")
        elif super().ready(job) is Ready.OPEN:
            self.audits.send(sender, "answer", claim_hash)
            self.means.on_step("answered")
        return False

    def _room(self) -> bool:
        stake, in_flight, leaves_at = self.audits.call("nodeOf", self.means.node)
        return bool(stake) and not leaves_at and in_flight < self.audits.call("capacityOf", self.means.node)

    def _entry(self, claim_hash: bytes) -> dict[str, Any]:
        return dict(zip(_ENTRY, self.audits.call("entryOf", claim_hash), strict=True))

    def _verdict(self, claim_hash: bytes) -> int:
        return int(self.audits.call("verdict", claim_hash, "0x" + "00" * 20))

    def _now(self) -> int:
        return self.means.client.block().timestamp
