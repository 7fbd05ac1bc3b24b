"""What a node does so that answers of a tier are paid: before a leaf is opened, and while its claim can be doubted.

Invariant: both steps are asked again and again, after a crash as well; each asks the chain first and does only what is
still to be done there. A tier that nobody registered here is not offered and its leaves are not opened.
How: one class for each tier from audit on, entered with `register`; `works_of` makes those that a node needs.
What it does not do: it commits and opens nothing; `Settler` does. Tiers receipt and vote need no work.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, Final, TypeVar

from interlace.chain import Account, Client
from interlace.errors import ServiceError
from interlace.records import Claim
from interlace.records.assurance import Assurance

FIRST_TIER: Final = Assurance.AUDIT
"""The first tier that another contract than Settlement decides."""


class Ready(Enum):
    """Whether a leaf may be opened."""

    OPEN = "open"
    """Everything is done that has to be done before."""
    LATER = "later"
    """Not yet: something is missing that time or money may bring."""
    NEVER = "never"
    """Nothing can make the chain say that its claim holds."""


@dataclass(frozen=True, slots=True)
class Job:
    """A paid call of a tier, as its work needs it.

    Attributes
    ----------
    salt, input, output
        What the claim's hashes are over; input and output are encoded tensors.
    payer
        Who pays.
    from_block
        A block before the first transaction for this job, so that its events lie behind it.
    final
        Whether the leaf is settled, or can never be opened.
    """

    tier: Assurance
    claim: Claim
    salt: bytes
    input: bytes
    output: bytes
    payer: str
    from_block: int
    final: bool


@dataclass(frozen=True, slots=True)
class Means:
    """What a node has for its work.

    Attributes
    ----------
    account
        Who sends; absent in a process that only checks whether the work could be done.
    program
        The program's bytes (``.ilp``).
    where
        The service's public address, below which inputs can be had.
    on_step
        Called after each durable step with its name.
    """

    client: Client
    node: str
    program: bytes
    account: Account | None = None
    where: str = ""
    on_step: Callable[[str], None] = lambda _: None

    @property
    def sender(self) -> Account:
        """The account that sends.

        Raises
        ------
        ServiceError
            ``service.tier`` when there is none, or it is not the node's own: a claim is its prover's.
        """
        if self.account is None or self.account.address != self.node:
            raise ServiceError(
                "service.tier",
                f"claims of node {self.node} are put up by its own account",
                hint="give the settler the node's key, or offer only receipt and vote",
            )
        return self.account


class TierWork(ABC):
    """The work of one tier for one program and node.

    Parameters
    ----------
    means
        What the node has.

    Raises
    ------
    InterlaceError
        From `ready` and `tend`: they are asked again on the next pass, and other jobs go on.
    """

    tier: ClassVar[Assurance]

    def __init__(self, means: Means) -> None:
        self.means = means

    @abstractmethod
    def check(self, unfinished: int) -> None:
        """Check that program, node and chain can do this tier; `unfinished` jobs of it are under way.

        Raises
        ------
        ServiceError
            ``service.tier`` saying what is missing.
        """

    @abstractmethod
    def ready(self, job: Job) -> Ready:
        """Do what has to be done before the job's leaf is opened."""

    @abstractmethod
    def tend(self, job: Job) -> bool:
        """Do what is due now; return whether nothing will ever be left to do for the job."""


def refuse(tier: Assurance, why: str, hint: str = "") -> ServiceError:
    """Return the error that says why a node cannot do a tier."""
    return ServiceError("service.tier", f"{tier.label}: {why}", hint=hint or "leave its price out of the configuration")


_WORKS: Final[dict[Assurance, type[TierWork]]] = {}
W = TypeVar("W", bound=type[TierWork])


def register(work: W) -> W:
    """Enter the class that does a tier's work; it replaces one that was entered before."""
    _WORKS[work.tier] = work
    return work


def works_of(tiers: Iterable[int], means: Means) -> dict[Assurance, TierWork]:
    """Return the work of each tier that needs any.

    Raises
    ------
    ServiceError
        ``service.tier`` for a tier that no class here can do.
    """
    needed = [Assurance.of(tier) for tier in sorted(tiers) if tier >= FIRST_TIER]
    for tier in needed:
        if tier not in _WORKS:
            known = ", ".join(one.label for one in sorted(_WORKS))
            raise ServiceError(
                "service.tier", f"this release cannot do the work of {tier.label}", hint=f"it can: {known}"
            )
    return {tier: _WORKS[tier](means) for tier in needed}
