"""Zero-knowledge proofs by ezkl, which its user installs: the proof is its evidence.

Invariant: prover and verifier raise ``zk.extra-missing`` where ezkl is not installed; nothing is guessed without it.
Source: docs/zero-knowledge.md.
What it does not do: it makes no keys (`zk.setup`), and hides no input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from interlace.errors import ZkError
from interlace.models.tensor import decode
from interlace.proofs.tiers.checking import Base, expect, needed
from interlace.proofs.tiers.values import Context, Job, Proof, Way, malformed, same_program
from interlace.proofs.verdict import Check
from interlace.proofs.zk import Evidence, Key, verify
from interlace.proofs.zk.driver import load
from interlace.records import Claim

if TYPE_CHECKING:
    from pathlib import Path


class CircuitProver:
    """Makes proofs with a program's key."""

    way: ClassVar[Way] = Way.ZK
    gas = 0

    def __init__(self, key: Key) -> None:
        load()
        self.key = key

    def prove(self, job: Job) -> tuple[Claim, Proof]:
        """Run a job, and prove what came out; raises `zk.*`."""
        same_program(job, self.key.program)
        claim = job.claim(job.run())
        return claim, Proof(self.way, self.key.prove(claim, job.salt, decode(job.input)).encode())


class CircuitVerifier(Base):
    """Checks with the verifying key."""

    way: ClassVar[Way] = Way.ZK

    def require(self, context: Context) -> None:
        """Raise ``zk.extra-missing`` without ezkl, ``tier.context`` without a key."""
        load()
        needed(context.zk_key, "the program's key of its circuit", self.way)

    def held(self, context: Context) -> int:
        """Return the verifying key's size."""
        if context.zk_key is None:
            return 0
        file: Path = context.zk_key.folder / "verifying.key"
        return file.stat().st_size

    def checks(self, claim: Claim, body: bytes, context: Context) -> list[Check]:
        """Return whether the proof holds."""
        try:
            evidence = Evidence.from_bytes(body)
        except ZkError as error:
            raise malformed(error.message) from None
        key = context.zk_key
        assert key is not None  # `require` saw to it
        semantics = key.program.semantics
        detail = f"semantics {claim.semantics}, held {semantics}"
        return [
            expect("verify.semantics", claim.semantics == semantics, detail),
            *verify(claim, evidence, key).checks,
        ]
