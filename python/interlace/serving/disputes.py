"""The work of the tier dispute: put a claim up with a bond, defend it, take the bond back.

Invariant: a claim is put up at most once, and only with a trace that this machine computed and whose output is the
claim's; so a node that serves what its program gives wins every game that it answers in time.
How: where a claim stands is asked of the contract before each step, so what was sent and not seen is not repeated.
Source: docs/disputes.md, `interlace.proofs.board`.
What it does not do: it challenges nobody; a watcher does. It keeps nothing on disk.
"""

from __future__ import annotations

import math
from typing import Final

from interlace import _core
from interlace.errors import ProgramError, ServiceError, VerificationError
from interlace.proofs.board import CHALLENGED, FELL, POSTED, STANDS, Board
from interlace.proofs.dispute import MAX_TENSOR, Defender
from interlace.records.assurance import Assurance
from interlace.serving.logs import event
from interlace.serving.tiers import Job, Means, Ready, TierWork, register

MAX_WHERE: Final = 256
"""Bytes that the contract takes of where an input can be had."""
_HEAD_BYTES: Final = 64
"""More than the head of an encoded tensor takes."""


@register
class DisputeWork(TierWork):
    """Puts claims up on Dispute and defends them."""

    tier = Assurance.DISPUTE

    def __init__(self, means: Means) -> None:
        super().__init__(means)
        self.board = Board(means.client)
        self.program = _core.Program.from_bytes(means.program)

    def check(self, unfinished: int) -> None:
        """Check the sizes that a game can be about, and that a bond is at hand or on its way back."""
        program = self.program
        shapes = (program.input_dtype, program.input_shape), (program.output_dtype, program.output_shape)
        longest = max(math.prod(shape) * (1 if dtype == "i8" else 4) for dtype, shape in shapes)
        if longest + _HEAD_BYTES > MAX_TENSOR:
            raise ServiceError("service.tier", f"dispute: a tensor of {longest} bytes; a game takes {MAX_TENSOR}")
        if len(self.means.where.encode()) > MAX_WHERE:
            raise ServiceError("service.tier", f"dispute: a public address of more than {MAX_WHERE} bytes")
        if self.means.account is not None:
            _ = self.means.sender
        held = self._credits()
        if unfinished == 0 and held < self.board.bond:
            raise ServiceError(
                "service.tier",
                f"dispute: node {self.means.node} has {held} credit-wei, a claim needs a bond of {self.board.bond}",
                hint="put credits on the node's account, one bond for each claim that waits for its window",
            )

    def ready(self, job: Job) -> Ready:
        """Put the claim up, unless it is."""
        claim_hash = job.claim.hash()
        status = self.board.outcome(claim_hash)
        if status:
            return Ready.NEVER if status == FELL else Ready.OPEN
        try:
            side = self.defender(job)
        except (VerificationError, ProgramError) as error:
            # Opened, it would hold the payer's money and be refunded; put up, it would cost the bond.
            event("a claim cannot be defended", level=40, claim=claim_hash.hex(), code=error.code)
            return Ready.NEVER
        sender = self.means.sender
        if self._credits() < self.board.bond:
            event("no credits for a bond", level=30, claim=claim_hash.hex(), bond=self.board.bond)
            return Ready.LATER
        self.board.post(sender, job.claim, side.trace.root, self.means.where)
        self.means.on_step("posted")
        return Ready.OPEN

    def tend(self, job: Job) -> bool:
        """Answer a challenge, call time on a challenger who has none left, or take the bond back after the window."""
        claim_hash = job.claim.hash()
        game = self.board.game(claim_hash)
        status = game["status"]
        if status in (STANDS, FELL):
            if status == FELL:
                event("a claim fell", level=40, claim=claim_hash.hex(), challenger=game["challenger"])
            return True
        if status not in (POSTED, CHALLENGED):
            return job.final
        now, sender = self.board.client.block().timestamp, self.means.sender
        if status == POSTED:
            if now < game["until"]:
                return False
            self.board.contract.send(sender, "settle", claim_hash)
            self.means.on_step("bond")
            return True
        if game["phase"] % 2 == 1:
            made = self.board.step(sender, self.defender(job), job.from_block)
            event("a claim is defended", claim=claim_hash.hex(), move="" if made is None else made[0].name)
            self.means.on_step("moved")
        elif now > game["moved"] + game["challenger_left"]:
            self.board.contract.send(sender, "timeout", claim_hash)
            self.means.on_step("moved")
        return False

    def defender(self, job: Job) -> Defender:
        """Return the side that defends a job's claim, by a run of its own."""
        trace = self.program.trace(job.input)
        return Defender(job.claim, self.program.manifest, self.program.weights, trace, job.salt, job.input)

    def _credits(self) -> int:
        return int(self.board.credit.call("balanceOf", self.means.node))
