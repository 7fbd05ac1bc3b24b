"""Sumcheck proofs: that a program maps these inputs to these outputs, checked without running it.

A proof is of a whole batch and is bound to a context of 32 bytes, the hash of a claim for instance. It is made for who
holds the program's *key* (a commitment to its matrices; the proof is longer), or for who holds the *program*.

Invariant: `SumcheckProof.verify` returns only if the proof holds; the probability that a false one does is argued in
docs/sumcheck.md. Keys and proofs are bytes that any of the two implementations reads.
Source: the crate `interlace-sumcheck` makes and checks the proofs; `spec/sumcheck.py` is a second verifier.
What it does not do: nothing is hidden (these are no zero-knowledge proofs); convolutions, products of values, softmax
and pools are not covered: `sumcheck.program` names the node.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from interlace import _core
from interlace.errors import VerificationError
from interlace.models.program import Program

NO_CONTEXT = bytes(32)
"""The context of a proof that is bound to nothing but its inputs and outputs."""


@dataclass(frozen=True, slots=True)
class SumcheckProof:
    """A proof with all that it is about; every field may come from a stranger."""

    program_id: bytes
    """Which program, 32 bytes."""
    context: bytes
    """What else it is bound to, 32 bytes."""
    inputs: bytes
    """Elements of all inputs, little-endian, without headers."""
    outputs: bytes
    """Elements of all outputs, likewise."""
    proof: bytes
    succinct: bool
    """Whether it is for who holds the key rather than the program."""

    def verify(self, holder: SumcheckKey | Program) -> None:
        """Check the proof.

        Parameters
        ----------
        holder
            The key for a succinct proof, the program for another.

        Raises
        ------
        VerificationError
            `sumcheck.holder` when the other of both is needed; `sumcheck.key-program` when it is another
            program's; else `sumcheck.*` for the first thing that does not hold.
        """
        if isinstance(holder, SumcheckKey) is not self.succinct:
            needed = "the key" if self.succinct else "the program"
            raise VerificationError("sumcheck.holder", f"this proof is for who holds {needed}")
        held = holder.program_id if isinstance(holder, SumcheckKey) else holder.id
        if held != self.program_id:
            raise VerificationError(
                "sumcheck.key-program", f"the proof is of program 0x{self.program_id.hex()}, not 0x{held.hex()}"
            )
        if isinstance(holder, SumcheckKey):
            holder.core.verify(self.context, self.inputs, self.outputs, self.proof)
        else:
            _core.sumcheck_verify_program(holder.core, self.context, self.inputs, self.outputs, self.proof)


class SumcheckKey:
    """What a verifier needs of a program: manifest, small weights, and a commitment to its matrices.

    Who holds the program can make the key and compare; who does not trusts that somebody did.

    Parameters
    ----------
    data
        The key's bytes; raises `sumcheck.malformed-key` if they are none.
    """

    __slots__ = ("core", "data")

    def __init__(self, data: bytes) -> None:
        self.core = _core.SumcheckKey(data)
        self.data = data

    @property
    def program_id(self) -> bytes:
        """Its program, 32 bytes."""
        return self.core.program_id


class SumcheckProver:
    """Makes proofs of one program; making it commits to the matrices, once.

    Parameters
    ----------
    program
        Raises `sumcheck.program` when an operator of it is not covered, `sumcheck.limit` when it is too large.
    """

    __slots__ = ("core", "program")

    def __init__(self, program: Program) -> None:
        self.core = _core.SumcheckProver(program.core)
        self.program = program

    @property
    def key(self) -> SumcheckKey:
        """The verifier's key."""
        return SumcheckKey(self.core.key)

    def prove(
        self, inputs: npt.NDArray[np.generic], *, context: bytes = NO_CONTEXT, succinct: bool = True
    ) -> SumcheckProof:
        """Run a batch and prove its outputs.

        Parameters
        ----------
        inputs
            Shape ``(n, *input_shape)`` of the program's type, 1 to 4,096 inputs.
        context
            32 bytes that the proof is bound to.
        succinct
            Whether the verifier holds the key only.
        """
        packed = np.ascontiguousarray(inputs).tobytes()
        outputs, proof = self.core.prove(packed, context, succinct)
        return SumcheckProof(self.program.id, context, packed, outputs, proof, succinct)
