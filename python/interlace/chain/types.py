"""What a node answers, typed: blocks, receipts and logs.

Invariant: numbers are ints, hashes and addresses are hex text as the node wrote them, data are bytes; `raw` keeps the
answer whole. Source: execution-apis, schemas `block`, `receipt`, `log`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

Json: TypeAlias = Any
"""A value of JSON; its shape is the method's."""


def to_int(value: str | int | None) -> int:
    """Read a JSON-RPC quantity; absent is zero."""
    if value is None:
        return 0
    return value if isinstance(value, int) else int(value, 16)


def to_bytes(value: str) -> bytes:
    """Read JSON-RPC data."""
    return bytes.fromhex(value.removeprefix("0x"))


@dataclass(frozen=True, slots=True)
class Log:
    """One event."""

    address: str
    topics: tuple[str, ...]
    data: bytes
    block_number: int
    transaction_hash: str
    log_index: int

    @classmethod
    def from_json(cls, raw: Json) -> Log:
        """Read a log object."""
        return cls(
            address=raw["address"],
            topics=tuple(raw["topics"]),
            data=to_bytes(raw["data"]),
            block_number=to_int(raw.get("blockNumber")),
            transaction_hash=raw.get("transactionHash") or "",
            log_index=to_int(raw.get("logIndex")),
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a transaction did."""

    transaction_hash: str
    block_number: int
    block_hash: str
    status: int
    """1 for success, 0 for failure."""
    gas_used: int
    effective_gas_price_wei: int
    contract_address: str | None
    logs: tuple[Log, ...]
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> Receipt:
        """Read a receipt object."""
        return cls(
            transaction_hash=raw["transactionHash"],
            block_number=to_int(raw["blockNumber"]),
            block_hash=raw["blockHash"],
            status=to_int(raw.get("status", "0x1")),
            gas_used=to_int(raw["gasUsed"]),
            effective_gas_price_wei=to_int(raw.get("effectiveGasPrice")),
            contract_address=raw.get("contractAddress"),
            logs=tuple(Log.from_json(log) for log in raw["logs"]),
            raw=raw,
        )

    @property
    def fee_wei(self) -> int:
        """What the sender paid for gas."""
        return self.gas_used * self.effective_gas_price_wei


@dataclass(frozen=True, slots=True)
class Block:
    """A block."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int
    """Unix seconds."""
    gas_used: int
    gas_limit: int
    base_fee_wei: int
    transactions: tuple[Json, ...]
    """Hashes, or transaction objects where they were asked for."""
    raw: Json = field(repr=False, compare=False)

    @classmethod
    def from_json(cls, raw: Json) -> Block:
        """Read a block object."""
        return cls(
            number=to_int(raw["number"]),
            hash=raw["hash"] or "",
            parent_hash=raw["parentHash"],
            timestamp=to_int(raw["timestamp"]),
            gas_used=to_int(raw["gasUsed"]),
            gas_limit=to_int(raw["gasLimit"]),
            base_fee_wei=to_int(raw.get("baseFeePerGas")),
            transactions=tuple(raw["transactions"]),
            raw=raw,
        )
