"""Run again: the proof is salt and input, and the verifier has the program.

Invariant: it holds exactly if the program gives the claimed output on the claimed input.
Source: docs/integer-programs.md says what a run gives.
What it does not do: it carries no program.
"""

from __future__ import annotations

from typing import ClassVar

from interlace.errors import ProgramError, RecordError
from interlace.proofs.tiers.checking import Base, expect, failed, needed, program_links
from interlace.proofs.tiers.values import Context, Job, Proof, Way, malformed, pack, unpack
from interlace.proofs.verdict import Check
from interlace.records import Claim, hash_input, hash_output


class RerunProver:
    """Runs the program."""

    way: ClassVar[Way] = Way.RERUN
    gas = 0

    def prove(self, job: Job) -> tuple[Claim, Proof]:
        """Run a job; the proof is what it takes to run it again."""
        return job.claim(job.run()), Proof(self.way, pack(job.salt, job.input))


class RerunVerifier(Base):
    """Runs it again."""

    way: ClassVar[Way] = Way.RERUN

    def require(self, context: Context) -> None:
        """Raise ``tier.context`` without a program."""
        needed(context.program, "the program", self.way)

    def held(self, context: Context) -> int:
        """Return the program's size."""
        return len(context.program.to_bytes()) if context.program else 0

    def checks(self, claim: Claim, body: bytes, context: Context) -> list[Check]:
        """Return whether another run gives the same."""
        salt, data = unpack(body, 2)
        assert context.program is not None  # `require` saw to it
        checks = [*program_links(claim, context.program), input_link(claim, salt, data)]
        try:
            found = hash_output(context.program.run_bytes(data))
        except ProgramError as error:
            return [*checks, failed("verify.execution", error)]
        return [*checks, expect("verify.execution", found == claim.output_hash, "another run gives the claimed output")]


def input_link(claim: Claim, salt: bytes, data: bytes) -> Check:
    """Return whether salt and input are the claim's; raises ``tier.malformed`` for a salt that is none."""
    try:
        found = hash_input(salt, data)
    except RecordError as error:
        raise malformed(error.message) from None
    return expect("verify.input-hash", found == claim.input_hash, "salted hash of the input")
