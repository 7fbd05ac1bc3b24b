"""ERC-8004's validation and reputation: have an agent's claims judged by the chain, and say what one thinks of it.

Invariant: an answer to `validate` is what a tier of assurance decided; feedback counts as paid only if the contract
found the paid call. Nothing is averaged here.
Source: docs/agent-registries.md.
What it does not do: it fetches no file that an agent or a client points to, and knows nobody behind an address.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from secrets import token_bytes
from typing import Any, Final

from interlace.chain import Account, Client, Contract
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import OrganisationError
from interlace.proofs.dispute import claim_struct
from interlace.records import Assurance, Claim

DECIMALS: Final = 18
"""Decimals of a mean."""
_ZERO: Final = "0x" + "00" * 20


@dataclass(frozen=True, slots=True)
class ValidationRequest:
    """A claim that an agent has had the registry asked about.

    Attributes
    ----------
    payer
        For whom the claim is to hold; the zero address where the tier asks nobody.
    salt
        32 random bytes: who sees the request under way cannot make it first under another agent.
    """

    agent_id: int
    assurance: Assurance
    claim: Claim
    payer: str = _ZERO
    salt: bytes = field(default_factory=lambda: token_bytes(32))

    @property
    def words(self) -> tuple[Any, ...]:
        """The request as the contract takes it."""
        return self.agent_id, int(self.assurance), self.payer, claim_struct(self.claim), self.salt


@dataclass(frozen=True, slots=True)
class Opinion:
    """How often something was said, and its mean."""

    count: int
    mean: Decimal


class AgentRegistries:
    """The registries of a chain.

    Parameters
    ----------
    client
        The node.

    Examples
    --------
    >>> AgentRegistries(net.client).reputation(1, [ana.address]).count  # doctest: +SKIP
    0
    """

    def __init__(self, client: Client) -> None:
        self._validation, self._validator, self._reputation = (
            Contract(client, ADDRESSES[name], artifact(name).abi)
            for name in ("ValidationRegistry", "ClaimValidator", "ReputationRegistry")
        )

    # ---- validation --------------------------------------------------------------------------------------------------

    def validate(self, account: Account, request: ValidationRequest, uri: str = "") -> bytes:
        """Ask the registry about a claim, as who acts for the agent; return the request's hash.

        Parameters
        ----------
        uri
            Where input and output can be had; 2,048 bytes at most.

        Raises
        ------
        ChainError
            ``chain.reverted``: ``NotAuthorised``, ``UnknownAgent``, ``AlreadyRequested``, ``TooLong``.
        """
        request_hash = bytes(self._validator.call("requestHashOf", request.words))
        where = self._validator.address
        self._validation.send(account, "validationRequest", where, request.agent_id, uri, request_hash)
        return request_hash

    def answer(self, account: Account, request: ValidationRequest) -> int:
        """Have a request answered by what its tier decided: 100 if the claim holds, 0 if it fails. Anyone may.

        Raises
        ------
        ChainError
            ``chain.reverted``: ``Undecided`` as long as the tier has not decided, ``NotTheAgents`` when the claim is
            another's, ``UnknownRequest`` when `validate` was not called.
        """
        receipt = self._validator.send(account, "answer", request.words)
        return next(int(e.args["response"]) for e in self._validator.events(receipt) if e.name == "Answered")

    def validations(self, agent_id: int, tier: Assurance | None = None) -> Opinion:
        """Return how many of an agent's claims the chain judged, of one tier or of all, and the mean from 0 to 100."""
        tag = "" if tier is None else tier.label
        count, mean = self._validation.call("getSummary", agent_id, [self._validator.address], tag)
        return Opinion(int(count), Decimal(int(mean)))

    # ---- reputation --------------------------------------------------------------------------------------------------

    def say(
        self,
        account: Account,
        agent_id: int,
        value: Decimal | int | str,
        tag: str = "",
        detail: str = "",
        *,
        leaf_id: bytes | None = None,
    ) -> int:
        """Say what one thinks of an agent; return the number of the feedback among one's own.

        Parameters
        ----------
        value
            With at most 18 decimals, below 2^127 / 10^18.
        tag, detail
            What it is about, such as ``"starred"`` and ``"speed"``; 64 bytes each at most.
        leaf_id
            Of a call that one paid the agent's wallet for, with assurance 1 or more: then it counts as paid.

        Raises
        ------
        OrganisationError
            ``org.bad-feedback`` for a value that is no number, or has more decimals.
        ChainError
            ``chain.reverted``: ``OwnAgent``, ``NotPaid``, ``AlreadySpokenOf``, ``BadValue``, ``TooLong``.
        """
        units, decimals = _units(value)
        words = (agent_id, units, decimals, tag, detail, "", "", bytes(32))
        if leaf_id is None:
            receipt = self._reputation.send(account, "giveFeedback", *words)
        else:
            receipt = self._reputation.send(account, "givePaidFeedback", leaf_id, *words)
        events = self._reputation.events(receipt)
        return next(int(event.args["feedbackIndex"]) for event in events if event.name == "NewFeedback")

    def take_back(self, account: Account, agent_id: int, index: int) -> None:
        """Take back one's own feedback; it stays readable and counts no more."""
        self._reputation.send(account, "revokeFeedback", agent_id, index)

    def reputation(
        self, agent_id: int, clients: list[str], tag: str = "", detail: str = "", *, paid_only: bool = False
    ) -> Opinion:
        """Return what these clients said of an agent.

        Parameters
        ----------
        clients
            1 to 64 addresses that one has a reason to hear; others are easily made up.
        paid_only
            Count only what was said of paid calls.

        Raises
        ------
        ChainError
            ``chain.reverted``: ``NoClients``, ``TooManyEntries``.
        """
        function = "getPaidSummary" if paid_only else "getSummary"
        count, mean, decimals = self._reputation.call(function, agent_id, clients, tag, detail)
        return Opinion(int(count), Decimal(int(mean)).scaleb(-int(decimals)))


def _units(value: Decimal | int | str) -> tuple[int, int]:
    """Return a number as whole units and how many decimals they have."""
    try:
        number = Decimal(value)
        exponent = number.normalize().as_tuple().exponent
    except (ArithmeticError, TypeError, ValueError):
        exponent = None
    if not isinstance(exponent, int) or not -DECIMALS <= exponent <= 38:
        hint = f"a number with at most {DECIMALS} decimals"
        raise OrganisationError("org.bad-feedback", f"{value!r} is no feedback"[:200], hint=hint)
    decimals = max(0, -exponent)
    return int(number.scaleb(decimals)), decimals


__all__ = ["AgentRegistries", "Opinion", "ValidationRequest"]
