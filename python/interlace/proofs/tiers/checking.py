"""What verifiers of all ways share: the clock around them, the claim's links, and how a chain's contract answers.

Invariant: a verdict has a failed check for a proof of another way, for bytes that are none, and for a claim of another
chain, registry or program; nothing that a stranger wrote raises.
Source: docs/proofs.md, "One interface"; contracts/src/interfaces/IAssurance.sol.
What it does not do: it knows nothing of any one way.
"""

from __future__ import annotations

import time
from enum import IntEnum
from typing import ClassVar, Final

from interlace.chain import Client, Contract
from interlace.contracts import ADDRESSES
from interlace.errors import VerificationError
from interlace.models.program import Program
from interlace.proofs.tiers.values import Context, Cost, Proof, TierVerdict, Way, address_of
from interlace.proofs.verdict import Check, Status
from interlace.records import Assurance, Claim

CONTRACTS: Final = {
    Assurance.AUDIT: "Audits",
    Assurance.QUORUM: "Quorum",
    Assurance.DISPUTE: "Dispute",
    Assurance.SUMCHECK: "SumcheckProofs",
    Assurance.ZK: "ZkVerifiers",
}
"""Which contract decides claims of a tier. One that has no address yet is not asked."""
_VERDICT: Final = [
    {
        "type": "function",
        "name": "verdict",
        "stateMutability": "view",
        "inputs": [{"name": "claimHash", "type": "bytes32"}, {"name": "payer", "type": "address"}],
        "outputs": [{"name": "", "type": "uint8"}],
    }
]


class Standing(IntEnum):
    """How a claim stands on a chain, as `IAssurance` numbers it."""

    NONE = 0
    OPEN = 1
    HOLDS = 2
    FAILS = 3


def standing(client: Client, tier: Assurance, claim_hash: bytes, payer: str) -> Standing | None:
    """Ask the contract of a tier how a claim stands; None if no contract of this version decides that tier.

    Raises
    ------
    ChainError
        What `Contract.call` raises when the chain has no such contract or does not answer.
    """
    address = ADDRESSES.get(CONTRACTS.get(tier, ""))
    if address is None:
        return None
    return Standing(int(Contract(client, address, _VERDICT).call("verdict", claim_hash, payer)))


def expect(code: str, holds: bool, detail: str) -> Check:
    """Return a check that passed or failed."""
    return Check(code, Status.PASSED if holds else Status.FAILED, detail)


def failed(code: str, error: Exception) -> Check:
    """Return a failed check; the detail has what was said of the bytes, cut to 300 characters."""
    return Check(code, Status.FAILED, f"{error}".replace("\n", " ")[:300])


def needed(value: object, what: str, way: Way) -> None:
    """Raise ``tier.context`` when the context has no such thing."""
    if value is None:
        raise VerificationError(
            "tier.context", f"to check {way.label} takes {what}", hint=f"pass it in Context; {way.label}"
        )


def program_links(claim: Claim, program: Program) -> list[Check]:
    """Return whether a claim is of this program and its arithmetic."""
    return id_links(claim, program.id, program.semantics)


def id_links(claim: Claim, program_id: bytes, semantics: int) -> list[Check]:
    """Return whether a claim is of the program with this id and version of the arithmetic."""
    return [
        expect("verify.program-id", claim.program_id == program_id, f"the claim is of program 0x{program_id.hex()}"),
        expect("verify.semantics", claim.semantics == semantics, f"semantics {claim.semantics}, held {semantics}"),
    ]


class Base:
    """A verifier but for its own checks."""

    way: ClassVar[Way]

    def verify(self, claim: Claim, proof: Proof, context: Context) -> TierVerdict:
        """Check a proof; see `Verifier.verify`."""
        self.require(context)
        start = time.perf_counter()
        checks = [
            expect("tier.way", proof.way is self.way, f"a proof by {proof.way.label}, checked as {self.way.label}"),
            *_links(claim, context),
        ]
        if any(check.status is Status.FAILED for check in checks):
            checks.append(Check("tier.format", Status.UNCHECKED, "not reached, since an earlier check failed"))
        else:
            checks += self._own(claim, proof.body, context)
        taken = (time.perf_counter() - start) * 1e3
        return TierVerdict(tuple(checks), self.way, Cost(taken, len(proof.encode()), self.held(context)))

    def _own(self, claim: Claim, body: bytes, context: Context) -> list[Check]:
        try:
            made = self.checks(claim, body, context)
        except VerificationError as error:
            if error.code != "tier.malformed":
                raise
            return [failed("tier.format", error)]
        checks = [expect("tier.format", True, "in canonical encoding"), *made]
        return [*checks, *_stands(self.way, claim, context)]

    def require(self, context: Context) -> None:
        """Raise ``tier.context`` when something is missing."""

    def held(self, context: Context) -> int:
        """Return how many bytes the verifier holds besides the proof."""
        del context
        return 0

    def checks(self, claim: Claim, body: bytes, context: Context) -> list[Check]:
        """Return this way's own checks; raises ``tier.malformed``."""
        raise NotImplementedError


def _links(claim: Claim, context: Context) -> list[Check]:
    checks = []
    for code, what, stated, found in (
        ("verify.chain", "chain", context.chain_id, claim.chain_id),
        ("tier.registry", "registry", context.registry and address_of(context.registry), claim.registry),
    ):
        if stated is None:
            checks.append(Check(code, Status.UNCHECKED, f"any {what} is accepted; the claim's is {found}"))
        else:
            checks.append(expect(code, stated == found, f"{what} {found}, accepted is {stated}"))
    return checks


def _stands(way: Way, claim: Claim, context: Context) -> list[Check]:
    """Return how the claim stands with the contract of its tier, where there is one and a chain was given."""
    if way.assurance is None or (context.chain is None and way is not Way.DISPUTE):
        return []
    code = "tier.standing"
    if context.chain is None:
        return [Check(code, Status.UNCHECKED, "how it stands is known to the chain only")]
    found = standing(context.chain, way.assurance, claim.hash(), context.payer)
    if found is None:
        return [Check(code, Status.UNCHECKED, f"no contract decides {way.label} yet")]
    name = CONTRACTS[way.assurance]
    if found is Standing.HOLDS:
        return [expect(code, True, f"{name} says that it holds")]
    if found is Standing.FAILS or (found is Standing.NONE and way is Way.DISPUTE):
        return [expect(code, False, f"{name} says that it {'fails' if found is Standing.FAILS else 'was not put up'}")]
    said = "nothing of it" if found is Standing.NONE else "that it is open"
    return [Check(code, Status.UNCHECKED, f"{name} says {said}")]
