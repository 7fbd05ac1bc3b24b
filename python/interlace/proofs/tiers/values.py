"""What provers and verifiers of every tier pass to each other: a job, a proof, a context, a verdict with its cost.

Invariant: a job has one claim, whichever way it is proved; `Proof.decode` takes what `encode` writes and nothing else.
Source: docs/proofs.md, "One interface".
What it does not do: it proves and verifies nothing; the other modules of this folder do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol, Self

from interlace.chain import Client
from interlace.errors import RecordError, VerificationError
from interlace.models.program import Program
from interlace.proofs.sumcheck import SumcheckKey
from interlace.proofs.tee.policy import Policy
from interlace.proofs.verdict import Verdict
from interlace.records import Assurance, Claim, Domain, codec, hash_input, hash_output

if TYPE_CHECKING:
    from interlace.proofs.zk import Key

MAX_PROOF_BYTES: Final = 1 << 25
"""Longest proof that is read, its head included; room for the largest program's input and output."""
_MAGIC: Final = b"ILPF"
_VERSION: Final = 1
_HEAD: Final = 10
_LENGTH: Final = 4
NOBODY: Final = "0x" + "00" * 20


class Way(IntEnum):
    """A way to be convinced of a claim. Numbers below 16 are those of the tier that a payer asks for."""

    QUORUM = Assurance.QUORUM.value
    DISPUTE = Assurance.DISPUTE.value
    SUMCHECK = Assurance.SUMCHECK.value
    """For who holds the program's key."""
    ZK = Assurance.ZK.value
    RERUN = 16
    SUMCHECK_PROGRAM = 17
    """For who holds the program."""
    TEE = 18

    @property
    def label(self) -> str:
        """Its name as users write it: ``"sumcheck-program"``."""
        return self.name.lower().replace("_", "-")

    @property
    def assurance(self) -> Assurance | None:
        """The tier of a voucher that it is; None for a way that no contract decides."""
        return Assurance(self.value) if self < Way.RERUN else None

    @classmethod
    def of(cls, value: int | str) -> Way:
        """Return a way by its number or its name.

        Raises
        ------
        VerificationError
            ``tier.unknown``.

        Examples
        --------
        >>> Way.of("rerun").value
        16
        """
        for way in cls:
            if value in (way.value, way.label):
                return way
        names = ", ".join(f"{way.value} {way.label}" for way in cls)
        raise VerificationError("tier.unknown", f"no way to prove a claim is {value!r}"[:200], hint=f"one of {names}")


@dataclass(frozen=True, slots=True)
class Job:
    """One paid call: what is to be run, and for whom.

    Attributes
    ----------
    salt
        32 bytes, so that nobody guesses the input from its hash.
    input
        An encoded tensor of the program's type and shape.
    prover, nonce
        Address of who answers; the number of the call.
    chain_id, registry
        Where the program is registered.
    """

    program: Program
    salt: bytes
    input: bytes
    prover: str
    nonce: int
    chain_id: int
    registry: str

    def run(self) -> bytes:
        """Return the encoded output; raises `program.*` for an input of another type or shape."""
        return self.program.run_bytes(self.input)

    def claim(self, output: bytes) -> Claim:
        """Return the claim that the output is this.

        Raises
        ------
        RecordError
            ``record.*`` for a salt, address or number out of range.
        """
        hashes = hash_input(self.salt, self.input), hash_output(output)
        program = self.program
        return Claim(
            self.chain_id, self.registry, program.id, program.semantics, *hashes, self.prover, self.nonce
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proof:
    """What convinces of a claim, to be stored beside a receipt and checked by somebody else."""

    way: Way
    body: bytes

    def encode(self) -> bytes:
        """Return magic ``ILPF``, version, number of the way, length of the body (u32, the highest first), the body."""
        return _MAGIC + bytes([_VERSION, self.way]) + len(self.body).to_bytes(_LENGTH, "big") + self.body

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read what `encode` wrote, at most `MAX_PROOF_BYTES`.

        Raises
        ------
        VerificationError
            ``tier.malformed``, ``tier.unknown``.
        """
        if not _HEAD <= len(data) <= MAX_PROOF_BYTES:
            raise malformed(f"{len(data)} bytes, not {_HEAD} to {MAX_PROOF_BYTES:,}")
        if not data.startswith(_MAGIC) or data[4] != _VERSION:
            raise malformed(f"it begins with 0x{data[:5].hex()}")
        stated = int.from_bytes(data[6:_HEAD], "big")
        if stated != len(data) - _HEAD:
            raise malformed(f"a body of {len(data) - _HEAD} bytes, stated are {stated}")
        return cls(Way.of(data[5]), bytes(data[_HEAD:]))


def malformed(why: str) -> VerificationError:
    """Return the error of bytes that are no proof."""
    return VerificationError("tier.malformed", f"no proof: {why}", hint="fetch it again; docs/proofs.md has the bytes")


def pack(*parts: bytes) -> bytes:
    """Return parts one after another, each behind its length (u32, the highest first)."""
    return b"".join(len(part).to_bytes(_LENGTH, "big") + part for part in parts)


def unpack(body: bytes, count: int) -> list[bytes]:
    """Return the `count` parts of which a body consists, and nothing else.

    Raises
    ------
    VerificationError
        ``tier.malformed``.
    """
    parts, at = [], 0
    for _ in range(count):
        start = at + _LENGTH
        at = start + int.from_bytes(body[at:start], "big")
        if start > len(body) or at > len(body):
            raise malformed("it ends too early")
        parts.append(body[start:at])
    if at != len(body):
        raise malformed(f"{len(body) - at} bytes follow it")
    return parts


@dataclass(frozen=True, slots=True)
class QuorumPolicy:
    """Which validators decide: `k` of the `n` that a beacon's round draws.

    Attributes
    ----------
    seed, round
        The beacon's value, 32 bytes, and which round it is of. Whoever checks takes them from the chain.
    validators
        (address, weight), in ascending order of the addresses.
    domain
        Under which attestations are signed.
    """

    k: int
    n: int
    seed: bytes
    round: int
    validators: Sequence[tuple[str, int]]
    domain: Domain


@dataclass(frozen=True, slots=True)
class Context:
    """What a verifier knows by itself; nothing of it is taken from a proof.

    Attributes
    ----------
    chain_id, registry
        Which claims are accepted; None leaves it unchecked.
    program
        For ``rerun`` and ``sumcheck-program``.
    sumcheck_key, zk_key
        Of the program, for ``sumcheck`` and ``zk``.
    quorum
        For ``quorum``.
    quotes, quote_root
        For ``tee``: which enclaves are accepted; DER of a test's root certificate in place of the vendor's.
    now
        Seconds since 1970 at which a quote has to be valid; a chain's newest block has it if None.
    chain, payer
        A node to ask how the claim stands, and as whose it is asked; without one that is unchecked.
    """

    chain_id: int | None = None
    registry: str | None = None
    program: Program | None = None
    sumcheck_key: SumcheckKey | None = None
    zk_key: Key | None = None
    quorum: QuorumPolicy | None = None
    quotes: Policy | None = None
    quote_root: bytes | None = None
    now: int | None = None
    chain: Client | None = None
    payer: str = NOBODY


@dataclass(frozen=True, slots=True)
class Cost:
    """What one proof cost.

    Attributes
    ----------
    prover_ms, prover_cpu_ms
        Of making it, by the clock and of all cores' time; None if only its verifier is known. Running the program is
        part of it.
    verifier_ms
        Of checking it, by the clock.
    carried_bytes
        Of the encoded proof.
    held_bytes
        Of what the verifier needs besides: program or key.
    gas
        That the prover paid for.
    """

    verifier_ms: float
    carried_bytes: int
    held_bytes: int
    gas: int = 0
    prover_ms: float | None = None
    prover_cpu_ms: float | None = None


@dataclass(frozen=True, slots=True)
class TierVerdict(Verdict):
    """All checks of one proof, which tier it is of, and what it cost."""

    way: Way
    cost: Cost

    @property
    def assurance(self) -> Assurance | None:
        """The tier of a voucher that this way is; None for one that no contract decides."""
        return self.way.assurance


class Prover(Protocol):
    """Makes proofs in one way."""

    @property
    def way(self) -> Way:
        """Which one."""
        ...

    @property
    def gas(self) -> int:
        """Gas that its proofs took so far."""
        ...

    def prove(self, job: Job) -> tuple[Claim, Proof]:
        """Run a job, and prove what came out.

        Raises
        ------
        InterlaceError
            The code says why it cannot be proved in this way.
        """
        ...


class Verifier(Protocol):
    """Checks proofs of one way."""

    @property
    def way(self) -> Way:
        """Which one."""
        ...

    def verify(self, claim: Claim, proof: Proof, context: Context) -> TierVerdict:
        """Check a proof; whatever a stranger wrote in claim and proof, the answer is a verdict.

        Raises
        ------
        VerificationError
            ``tier.context`` when the context lacks what this way needs.
        InterlaceError
            ``zk.extra-missing``, ``tee.extra-missing`` and ``chain.*``, when a tool or the chain is not there.
        """
        ...


def same_program(job: Job, program: Program) -> None:
    """Raise ``tier.other-program`` when a prover was made for another program than the job's."""
    if job.program.id != program.id:
        raise VerificationError(
            "tier.other-program",
            f"the job is of program 0x{job.program.id.hex()}, the prover of 0x{program.id.hex()}",
            hint="make a prover for the job's program",
        )


def address_of(text: str) -> str:
    """Return an address in EIP-55 form; raises ``tier.context`` if it is none."""
    try:
        return codec.address(text, "Context.registry")
    except RecordError as error:
        raise VerificationError("tier.context", error.message, hint="pass a registry's address") from None
