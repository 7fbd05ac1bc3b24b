"""A contract by its address and ABI: call, send, encode, and read events.

Invariant: what a method returns is decoded by the ABI; a revert names the contract's own error where the ABI has it.
What it does not do: it generates no code; names are looked up when they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interlace.chain.abi import Entry, Value, decode_values, encode_arguments, parse_abi, revert_reason
from interlace.chain.account import Account, checksum_address
from interlace.chain.client import Client
from interlace.chain.types import Log, Receipt
from interlace.errors import ChainError


@dataclass(frozen=True, slots=True)
class Event:
    """A decoded log."""

    name: str
    args: dict[str, Value]
    log: Log


class Contract:
    """A deployed contract.

    Parameters
    ----------
    client
        The node.
    address
        Where it lives.
    abi
        Its JSON ABI.
    """

    def __init__(self, client: Client, address: str, abi: Sequence[dict[str, Any]]) -> None:
        self.client = client
        self.address = checksum_address(address)
        self._entries = parse_abi(abi)

    @classmethod
    def deploy(
        cls,
        client: Client,
        account: Account,
        bytecode: bytes | str,
        abi: Sequence[dict[str, Any]],
        *args: Value,
        value_wei: int = 0,
        gas_limit: int | None = None,
    ) -> Contract:
        """Deploy a contract and return it."""
        receipt = client.deploy(account, bytecode, abi, args, value_wei=value_wei, gas_limit=gas_limit)
        if receipt.contract_address is None:
            raise ChainError("chain.rpc", f"receipt of {receipt.transaction_hash} names no contract")
        return cls(client, receipt.contract_address, abi)

    def _function(self, name: str, args: Sequence[Value]) -> Entry:
        functions = [entry for entry in self._entries if entry.kind == "function"]
        named = [entry for entry in functions if name in (entry.name, entry.signature)]
        fitting = [entry for entry in named if len(entry.inputs) == len(args)]
        if len(fitting) == 1:
            return fitting[0]
        if not named:
            known = ", ".join(sorted({entry.name for entry in functions}))
            raise ChainError("chain.no-function", f"{self.address} has no function {name!r}", hint=f"it has {known}")
        choices = ", ".join(entry.signature for entry in fitting or named)
        raise ChainError("chain.bad-arguments", f"{name} with {len(args)} arguments fits none or several of {choices}")

    def encode(self, name: str, *args: Value) -> bytes:
        """Return the calldata of a function; `name` may be a whole signature."""
        entry = self._function(name, args)
        return entry.digest[:4] + encode_arguments(entry.signature, entry.types, args)

    def call(self, name: str, *args: Value, sender: str | None = None, block: int | str = "latest") -> Value:
        """Call a function without changing anything: its value, or a tuple of several."""
        entry = self._function(name, args)
        try:
            output = self.client.call(self.address, self.encode(name, *args), sender, block)
        except ChainError as error:
            raise self._explain(error) from None
        types = [Entry("", "", (part,), ()).types[0] for part in entry.outputs]
        values = decode_values(entry.signature, types, output)
        return values[0] if len(values) == 1 else values

    def send(
        self, account: Account, name: str, *args: Value, value_wei: int = 0, gas_limit: int | None = None
    ) -> Receipt:
        """Call a function in a transaction and wait for its receipt."""
        try:
            return self.client.send(account, self.address, value_wei, self.encode(name, *args), gas_limit)
        except ChainError as error:
            raise self._explain(error) from None

    def _explain(self, error: ChainError) -> ChainError:
        """Name the contract's own error in a revert."""
        if error.code != "chain.reverted" or not isinstance(error.data, bytes) or not error.data:
            return error
        reason = revert_reason(error.data, self._entries)
        head = error.message.rpartition("reverted: ")[0]
        return ChainError(error.code, f"{head}reverted: {reason}", data=error.data)

    def events(self, receipt: Receipt | Sequence[Log]) -> list[Event]:
        """Decode the logs of this contract that its ABI knows."""
        logs = receipt.logs if isinstance(receipt, Receipt) else receipt
        known = {f"0x{entry.digest.hex()}": entry for entry in self._entries if entry.kind == "event"}
        found = []
        for log in logs:
            if log.address.lower() != self.address.lower() or not log.topics:
                continue
            entry = known.get(log.topics[0])
            if entry is not None:
                found.append(Event(entry.name, _event_args(entry, log), log))
        return found

    def logs(self, name: str, from_block: int | str = 0, to_block: int | str = "latest") -> list[Event]:
        """Return all events of this name in a range of blocks."""
        return self.events(self.client.logs(self.address, [self.topic(name)], from_block, to_block))

    def topic(self, name: str) -> str:
        """Return the first topic of an event's logs."""
        entry = next((entry for entry in self._entries if entry.kind == "event" and entry.name == name), None)
        if entry is None:
            raise ChainError("chain.no-function", f"{self.address} has no event {name!r}")
        return f"0x{entry.digest.hex()}"

    def __repr__(self) -> str:
        """Return the address."""
        return f"Contract({self.address})"


def _event_args(entry: Entry, log: Log) -> dict[str, Value]:
    """Indexed parameters stand in the topics, dynamic ones there as their hash; the rest in the data."""
    indexed = [bool(parameter.get("indexed")) for parameter in entry.inputs]
    plain_types = [kind for kind, is_indexed in zip(entry.types, indexed, strict=True) if not is_indexed]
    plain = iter(decode_values(entry.signature, plain_types, log.data))
    topics = iter(log.topics[1:])
    args: dict[str, Value] = {}
    for position, (parameter, kind, is_indexed) in enumerate(zip(entry.inputs, entry.types, indexed, strict=True)):
        name = str(parameter.get("name")) or str(position)
        if not is_indexed:
            args[name] = next(plain)
            continue
        topic = bytes.fromhex(next(topics, "0x")[2:])
        dynamic = kind in ("string", "bytes") or kind.endswith("]") or kind.startswith("(")
        args[name] = topic if dynamic else decode_values(entry.signature, [kind], topic)[0]
    return args
