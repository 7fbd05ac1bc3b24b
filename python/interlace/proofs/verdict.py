"""What a verifier answers: every check by name, and what it may ask a chain.

Invariant: `Verdict.ok` is true only if no check failed; `Verdict.complete` only if in addition none was left out.
What it does not do: it checks nothing itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from interlace.errors import VerificationError


class Status(Enum):
    """Outcome of one check."""

    PASSED = "passed"
    FAILED = "failed"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its code (``verify.*``), its outcome and the values that decided it."""

    code: str
    status: Status
    detail: str

    @property
    def name(self) -> str:
        """The code without the room."""
        return self.code.removeprefix("verify.")


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks of one receipt, in the order in which they were made."""

    checks: tuple[Check, ...]

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.status is Status.FAILED)

    @property
    def unchecked(self) -> tuple[Check, ...]:
        """The checks that need a chain or a pinned key and were left out."""
        return tuple(check for check in self.checks if check.status is Status.UNCHECKED)

    @property
    def ok(self) -> bool:
        """Whether nothing contradicts the receipt."""
        return not self.failures

    @property
    def complete(self) -> bool:
        """Whether everything was checked and nothing contradicts the receipt."""
        return self.ok and not self.unchecked

    def __bool__(self) -> bool:
        """Return `ok`."""
        return self.ok

    def __str__(self) -> str:
        """Return one line per check."""
        width = max((len(check.name) for check in self.checks), default=0)
        return "\n".join(f"{check.status.value:<9} {check.name:<{width}}  {check.detail}" for check in self.checks)

    def raise_for_failure(self) -> None:
        """Raise the first failure.

        Raises
        ------
        VerificationError
            The code of the first check that failed; `data` has the codes of all that failed.
        """
        if self.failures:
            first = self.failures[0]
            raise VerificationError(first.code, first.detail, data=[check.code for check in self.failures])


class ChainView(Protocol):
    """The facts that only the chain knows; `interlace.serving.Ledger` answers them from the contracts."""

    def accepts_signature(self, payer: str, digest: bytes, signature: bytes) -> bool:
        """Return whether the contract at `payer` accepts the signature (ERC-1271); false if there is no contract."""
        ...

    def receipt_key(self, node: str) -> str | None:
        """Return the hot key that the node registered with Settlement, if any."""
        ...

    def program(self, program_id: bytes) -> tuple[int, int] | None:
        """Return (asset class, units) of a registered program, `None` if it is not registered."""
        ...

    @property
    def chain_id(self) -> int:
        """The chain's id."""
        ...

    @property
    def settlement(self) -> str:
        """Address of the Settlement contract."""
        ...

    @property
    def registry(self) -> str:
        """Address of the Programs contract."""
        ...

    @property
    def token(self) -> str:
        """Address of the credit token."""
        ...
