"""Re-execution by a quorum: who was drawn for a claim, and what their signed attestations come to.

Invariant: a decision follows from its arguments alone. It counts one vote for each drawn validator; whoever signed two
outputs for one claim and round has none, and both signatures are named. Nobody's bytes can make it fail: what does not
count is listed with its code.
Source: docs/audits.md, "The quorum"; `spec/audits.py` is a second implementation.
What it does not do: it runs no program and slashes nobody. A decision is the word of the quorum, which a majority of
colluding members can bend.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final

from interlace.errors import RecordError, VerificationError
from interlace.proofs.draw import MAX_DRAWN, draw
from interlace.records import Attestation, Claim, Domain, codec, recover_many

MAX_ATTESTATIONS: Final = 4 * MAX_DRAWN


class Outcome(Enum):
    """What a quorum found."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Refused:
    """An attestation that does not count: its place in the list, the code, and why."""

    index: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the attestations come to.

    Attributes
    ----------
    outcome
        ``CONFIRMED`` if enough members attest the claim's output, ``REFUTED`` if enough attest one other output,
        ``OPEN`` otherwise.
    output_hash
        The output that enough members attest, None while open.
    members
        Addresses of those drawn, in the order of the draw.
    votes
        Output hash by member, of those whose vote counts.
    equivocators
        Members who signed more than one output, each with the places of two such attestations.
    refused
        What does not count; the second attestation of an equivocator is among it.
    """

    outcome: Outcome
    output_hash: bytes | None
    members: tuple[str, ...]
    votes: Mapping[str, bytes]
    equivocators: Mapping[str, tuple[int, int]]
    refused: tuple[Refused, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """Members from whom nothing that counts is there."""
        return tuple(member for member in self.members if member not in self.votes)


def members_of(claim: Claim, n: int, seed: bytes, validators: Sequence[tuple[str, int]]) -> tuple[str, ...]:
    """Return the addresses of the `n` validators that `seed` draws for a claim.

    Parameters
    ----------
    validators
        (address, weight), in ascending order of the addresses, each once.

    Raises
    ------
    VerificationError
        ``audit.bad-quorum`` for addresses out of order; ``audit.bad-draw``.
    """
    try:
        addresses = [codec.address(address, "validator") for address, _ in validators]
    except RecordError as error:
        raise _bad(error.message) from None
    if any(first.lower() >= second.lower() for first, second in pairwise(addresses)):
        raise _bad("validators stand in ascending order of their addresses, each once")
    drawn = draw(seed, claim.hash(), [weight for _, weight in validators], n)
    return tuple(addresses[place] for place in drawn)


def quorum(
    claim: Claim,
    k: int,
    n: int,
    seed: bytes,
    validators: Sequence[tuple[str, int]],
    attestations: Sequence[tuple[Attestation, bytes]],
    *,
    domain: Domain,
    round_: int,
) -> Decision:
    """Decide a claim by `k` of the `n` validators that a beacon's round draws for it.

    Parameters
    ----------
    k, n
        More than half of `n` is needed: n < 2 k <= 2 n, and n is at most 256.
    seed
        The beacon's value in `round_`, 32 bytes.
    validators
        (address, weight), in ascending order of the addresses, as they stood before the round.
    attestations
        Records with their signatures, at most 1,024.
    domain
        Of the claim's chain.

    Raises
    ------
    VerificationError
        ``audit.bad-quorum``, ``audit.bad-draw``, ``audit.too-many``.
    """
    if not n < 2 * k <= 2 * n:
        raise _bad(f"{k} of {n}; it takes more than half, and no more than all")
    if claim.chain_id != domain.chain_id:
        raise _bad(f"a claim of chain {claim.chain_id} under the domain of chain {domain.chain_id}")
    if len(attestations) > MAX_ATTESTATIONS:
        raise VerificationError("audit.too-many", f"{len(attestations)} attestations, more than {MAX_ATTESTATIONS}")
    members = members_of(claim, n, seed, validators)
    claim_hash = claim.hash()
    signers = recover_many([a.digest(domain) for a, _ in attestations], [signature for _, signature in attestations])
    first: dict[str, int] = {}
    votes: dict[str, bytes] = {}
    equivocators: dict[str, tuple[int, int]] = {}
    refused: list[Refused] = []
    for index, ((attestation, _), signer) in enumerate(zip(attestations, signers, strict=True)):
        code, detail = "", ""
        if attestation.claim_hash != claim_hash:
            code, detail = "audit.wrong-claim", f"it is about claim 0x{attestation.claim_hash.hex()}"
        elif attestation.round != round_:
            code, detail = "audit.wrong-round", f"it is of round {attestation.round}, not {round_}"
        elif attestation.validator not in members:
            code, detail = "audit.not-drawn", f"{attestation.validator} was not drawn"
        elif signer != attestation.validator:
            code, detail = "audit.bad-signature", f"signed by {signer or 'nobody'}, not by {attestation.validator}"
        elif votes.get(attestation.validator, attestation.output_hash) != attestation.output_hash:
            code, detail = "audit.equivocation", f"{attestation.validator} signed another output, too"
            equivocators.setdefault(attestation.validator, (first[attestation.validator], index))
        else:
            first.setdefault(attestation.validator, index)
            votes[attestation.validator] = attestation.output_hash
        if code:
            refused.append(Refused(index, code, detail))
    counted = {member: output for member, output in votes.items() if member not in equivocators}
    found = next((output for output, count in Counter(counted.values()).items() if count >= k), None)
    outcome = Outcome.OPEN if found is None else Outcome.CONFIRMED if found == claim.output_hash else Outcome.REFUTED
    return Decision(outcome, found, members, counted, equivocators, tuple(refused))


def _bad(why: str) -> VerificationError:
    return VerificationError("audit.bad-quorum", why, hint="docs/audits.md has the rules")
