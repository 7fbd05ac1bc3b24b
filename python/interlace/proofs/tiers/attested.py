"""A quorum: the proof is what the drawn validators signed.

Invariant: it holds if enough of those drawn attest the claim's output and nothing is carried that does not count, so
no stranger can change a byte of a proof and have it hold.
Source: docs/audits.md, "The quorum".
What it does not do: it asks no beacon; seed, round and validators are the verifier's own (`QuorumPolicy`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Final

from interlace.chain import Account
from interlace.errors import RecordError, VerificationError
from interlace.proofs.quorum import MAX_ATTESTATIONS, Outcome, members_of, quorum
from interlace.proofs.tiers.checking import Base, expect, failed, needed
from interlace.proofs.tiers.values import Context, Job, Proof, QuorumPolicy, Way, malformed
from interlace.proofs.verdict import Check
from interlace.records import Attestation, Claim, Domain, hash_output

_RECORD: Final = 32 * len(Attestation.fields)
_EACH: Final = _RECORD + 65

Ask = Callable[[Job, Claim, str], tuple[Attestation, bytes] | None]
"""Asks the member with an address for its attestation; None if it does not answer."""


def attest(job: Job, claim: Claim, account: Account, domain: Domain, round_: int) -> tuple[Attestation, bytes]:
    """Run a job as a member of a quorum, and sign what came out, whatever the claim says."""
    record = Attestation(claim.hash(), hash_output(job.run()), account.address, round_)
    return record, record.sign(domain, account)


class QuorumProver:
    """Runs the program and collects the attestations of those drawn.

    Parameters
    ----------
    policy
        Who is drawn.
    ask
        How a member is asked.
    gas
        That members pay; no contract counts attestations unless the chain has one.
    """

    way: ClassVar[Way] = Way.QUORUM
    gas = 0

    def __init__(self, policy: QuorumPolicy, ask: Ask) -> None:
        self.policy, self.ask = policy, ask

    def prove(self, job: Job) -> tuple[Claim, Proof]:
        """Run a job and have it attested.

        Raises
        ------
        VerificationError
            ``tier.no-quorum`` when fewer than needed attest the same output; ``audit.*`` for a policy that has no
            meaning.
        """
        claim, policy = job.claim(job.run()), self.policy
        members = members_of(claim, policy.n, policy.seed, policy.validators)
        found = [answer for member in members if (answer := self.ask(job, claim, member)) is not None]
        agreed = [(record, signature) for record, signature in found if record.output_hash == claim.output_hash]
        if len(agreed) < policy.k:
            raise VerificationError("tier.no-quorum", f"{len(agreed)} of {policy.n} attest it, {policy.k} are needed")
        body = b"".join(record.encode() + signature for record, signature in agreed)
        return claim, Proof(self.way, body)


class QuorumVerifier(Base):
    """Counts signatures."""

    way: ClassVar[Way] = Way.QUORUM

    def require(self, context: Context) -> None:
        """Raise ``tier.context`` without a policy."""
        needed(context.quorum, "which validators decide", self.way)

    def checks(self, claim: Claim, body: bytes, context: Context) -> list[Check]:
        """Return whether enough of those drawn signed the claim's output."""
        count, rest = divmod(len(body), _EACH)
        if rest or count > MAX_ATTESTATIONS:
            raise malformed(f"{len(body)} bytes are not at most {MAX_ATTESTATIONS} attestations of {_EACH}")
        votes = []
        for at in range(0, len(body), _EACH):
            try:
                record = Attestation.decode(body[at : at + _RECORD])
            except RecordError as error:
                raise malformed(error.message) from None
            votes.append((record, body[at + _RECORD : at + _EACH]))
        policy = context.quorum
        assert policy is not None  # `require` saw to it
        if claim.chain_id != policy.domain.chain_id:
            return [expect("verify.chain", False, f"a claim of chain {claim.chain_id}, not {policy.domain.chain_id}")]
        try:
            decision = quorum(
                claim, policy.k, policy.n, policy.seed, policy.validators, votes,
                domain=policy.domain, round_=policy.round,
            )  # fmt: skip
        except VerificationError as error:
            return [failed("tier.quorum", error)]
        confirmed = decision.outcome is Outcome.CONFIRMED
        agreeing = sum(output == claim.output_hash for output in decision.votes.values())
        idle = [f"{refused.code} at {refused.index}" for refused in decision.refused]
        spare = len(votes) - len(idle) - agreeing
        detail = f"{', '.join(idle[:8])}; {spare} for another output or twice" if idle or spare else "each one counts"
        return [
            expect("tier.attestations", not idle and not spare, detail),
            expect("tier.quorum", confirmed, f"{agreeing} of {policy.n} drawn attest it, {policy.k} are needed"),
        ]
