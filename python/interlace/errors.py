"""The error tree of the package: one class per room, one stable code per mistake.

::

    InterlaceError(code, message, hint, data)
      ChainError         a node that does not start, stop or answer as asked
        RpcError         a JSON-RPC error object: numeric `rpc_code`, revert data
      ProgramError       an integer program, model or tensor that is not acceptable
      RecordError        a claim, voucher or receipt that does not decode, link or verify
        VerificationError  evidence that contradicts a receipt
      TrainingError      a training run, claim or worker's report that is not acceptable
      UsageError         a call of the SDK or a command that cannot be meant
      ZkError            a statement that cannot be proved, or tools for it that are missing
      AssetError         an asset that cannot be anchored, derived or claimed
      OrganisationError  an organisation, proposal or vote that is not acceptable
      ServiceError       a request that a service refuses, or a service that does not answer
        BudgetError      a payment that the buyer's own policy forbids

Invariant: `code` is dotted lower case, `<room>.<mistake>`, and has a line in docs/errors.md; a test walks both.
The message carries the offending values, `hint` says what to do next. Secrets never enter either.
"""

from __future__ import annotations

from typing import Any


class InterlaceError(Exception):
    """Base of everything this package raises on purpose.

    Parameters
    ----------
    code
        Stable identifier, for example ``voucher.expired``.
    message
        What happened, with the offending values.
    hint
        What the caller can do next; empty when there is nothing useful to say.
    data
        Machine-readable detail, for example revert data.
    """

    def __init__(self, code: str, message: str, *, hint: str = "", data: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.data: Any = data

    def __str__(self) -> str:
        """Return ``code: message``, followed by the hint on a line of its own."""
        text = f"{self.code}: {self.message}"
        return f"{text}\nhint: {self.hint}" if self.hint else text


class ChainError(InterlaceError):
    """A node that does not start, stop or answer as asked."""


class RpcError(ChainError):
    """A JSON-RPC error object; `rpc_code` is its number and `data` its data member."""

    def __init__(self, rpc_code: int, message: str, data: object = None) -> None:
        super().__init__("chain.rpc", f"{message} (JSON-RPC {rpc_code})", data=data)
        self.rpc_code = rpc_code
        self.rpc_message = message


class ProgramError(InterlaceError):
    """An integer program, model or tensor that is not acceptable."""


class RecordError(InterlaceError):
    """A claim, voucher or receipt that does not decode, link or verify."""


class VerificationError(RecordError):
    """Evidence that contradicts a receipt."""


class TrainingError(InterlaceError):
    """A training run, claim or worker's report that is not acceptable."""


class UsageError(InterlaceError):
    """A call of the SDK or a command that cannot be meant as it was made."""


class ZkError(InterlaceError):
    """A statement that cannot be proved in zero knowledge, or a tool for it that is missing or fails."""


class AssetError(InterlaceError):
    """An asset that cannot be anchored, derived or claimed."""


class OrganisationError(InterlaceError):
    """An organisation, proposal or vote that is not acceptable."""


class ServiceError(InterlaceError):
    """A request that a service refuses, or a service that does not answer."""


class BudgetError(ServiceError):
    """A payment that the buyer's own policy forbids."""


_ROOMS: dict[str, type[InterlaceError]] = {
    "chain": ChainError,
    "engine": ChainError,
    "replay": ChainError,
    "fixtures": ChainError,
    "rpctest": ChainError,
    "contracts": ChainError,
    "program": ProgramError,
    "tensor": ProgramError,
    "model": ProgramError,
    "record": RecordError,
    "claim": RecordError,
    "voucher": ServiceError,
    "receipt": RecordError,
    "verify": VerificationError,
    "sumcheck": VerificationError,
    "tee": VerificationError,
    "tier": VerificationError,
    "audit": VerificationError,
    "training": TrainingError,
    "zk": ZkError,
    "sdk": UsageError,
    "cli": UsageError,
    "asset": AssetError,
    "org": OrganisationError,
    "service": ServiceError,
    "budget": BudgetError,
    "explorer": ServiceError,
}


def from_code(code: str, message: str, hint: str = "") -> InterlaceError:
    """Build the exception whose class belongs to the room that `code` names; used by the Rust border."""
    return _ROOMS.get(code.partition(".")[0], InterlaceError)(code, message, hint=hint)
