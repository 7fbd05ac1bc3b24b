"""Sumcheck proofs of one call: for who holds the program's key, or the program.

Invariant: it holds only if input and output hash to the claim, are tensors of the program's types, and are proved in
the context of the claim's hash.
Source: docs/sumcheck.md.
What it does not do: one proof of many calls is `interlace.proofs.sumcheck`; nothing is hidden.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from interlace.errors import VerificationError
from interlace.models.program import Program
from interlace.models.tensor import decode
from interlace.proofs.graph import Graph
from interlace.proofs.sumcheck import SumcheckKey, SumcheckProof, SumcheckProver
from interlace.proofs.tiers.checking import Base, expect, failed, id_links, needed
from interlace.proofs.tiers.rerun import input_link
from interlace.proofs.tiers.values import Context, Job, Proof, Way, pack, same_program, unpack
from interlace.proofs.verdict import Check
from interlace.records import Claim, hash_output


class SummedProver:
    """Makes sumcheck proofs of one program's calls; making it commits to the matrices, once.

    Parameters
    ----------
    program
        Raises `sumcheck.program` or `sumcheck.limit` when it is not covered.
    succinct
        Whether proofs are for who holds the key only.
    """

    gas = 0

    def __init__(self, program: Program, *, succinct: bool = True) -> None:
        self.prover, self.succinct = SumcheckProver(program), succinct
        self.way = Way.SUMCHECK if succinct else Way.SUMCHECK_PROGRAM

    @property
    def key(self) -> SumcheckKey:
        """The verifier's key."""
        return self.prover.key

    def prove(self, job: Job) -> tuple[Claim, Proof]:
        """Run a job, and prove what came out; the program is run by the prover of the sumcheck, and once more."""
        same_program(job, self.prover.program)
        output = job.run()
        claim = job.claim(output)
        made = self.prover.prove(decode(job.input)[np.newaxis], context=claim.hash(), succinct=self.succinct)
        return claim, Proof(self.way, pack(job.salt, job.input, output, made.proof))


class _Summed(Base):
    """What both verifiers share."""

    def _proved(self, claim: Claim, body: bytes, holder: SumcheckKey | Program, manifest: bytes) -> list[Check]:
        salt, data, output, made = unpack(body, 4)
        types = Graph.read(manifest).types
        heads = [
            b"ILTV" + bytes([t.dtype, len(t.dims)]) + b"".join(n.to_bytes(4, "big") for n in t.dims) for t in types
        ]
        head, tail = heads[0], heads[-1]
        program_id = holder.program_id if isinstance(holder, SumcheckKey) else holder.id
        checks = [
            *id_links(claim, program_id, int.from_bytes(manifest[4:6], "big")),
            input_link(claim, salt, data),
            expect("verify.output-hash", hash_output(output) == claim.output_hash, "hash of the output"),
            expect("tier.tensors", data.startswith(head) and output.startswith(tail), "tensors of the program's types"),
        ]
        ends = data[len(head) :], output[len(tail) :]
        proof = SumcheckProof(program_id, claim.hash(), *ends, made, isinstance(holder, SumcheckKey))
        try:
            # One input, and no more: a batch would prove other calls than the claim's.
            if len(ends[0]) != types[0].width * int(np.prod(types[0].dims)):
                raise VerificationError("sumcheck.length", f"{len(ends[0])} bytes are not one input")
            proof.verify(holder)
        except VerificationError as error:
            return [*checks, failed("tier.proof", error)]
        return [*checks, expect("tier.proof", True, "the sums hold for this input, claim and output")]


class SummedVerifier(_Summed):
    """Checks with the key."""

    way: ClassVar[Way] = Way.SUMCHECK

    def require(self, context: Context) -> None:
        """Raise ``tier.context`` without a key."""
        needed(context.sumcheck_key, "the program's key for sumchecks", self.way)

    def held(self, context: Context) -> int:
        """Return the key's size."""
        return len(context.sumcheck_key.data) if context.sumcheck_key else 0

    def checks(self, claim: Claim, body: bytes, context: Context) -> list[Check]:
        """Return whether the proof holds."""
        key = context.sumcheck_key
        assert key is not None  # `require` saw to it
        return self._proved(claim, body, key, key.data[4:])  # the manifest follows the magic


class SummedProgramVerifier(_Summed):
    """Checks with the program."""

    way: ClassVar[Way] = Way.SUMCHECK_PROGRAM

    def require(self, context: Context) -> None:
        """Raise ``tier.context`` without a program."""
        needed(context.program, "the program", self.way)

    def held(self, context: Context) -> int:
        """Return the program's size."""
        return len(context.program.to_bytes()) if context.program else 0

    def checks(self, claim: Claim, body: bytes, context: Context) -> list[Check]:
        """Return whether the proof holds."""
        program = context.program
        assert program is not None  # `require` saw to it
        return self._proved(claim, body, program, program.manifest)
