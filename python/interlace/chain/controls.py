"""What a developer does to a chain by hand: the most used controls, typed, beside plain JSON-RPC.

Invariant: each control is one or two calls of the node's own methods, so that it does what they do; a context manager
undoes on leaving what it did on entering. Files appear whole or not at all.
What it does not do: the other controls are reached through `chain.client.rpc` under the names that Hardhat's and
Anvil's clients use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from interlace.chain.account import checksum_address
from interlace.chain.client import quantity
from interlace.chain.types import to_int
from interlace.errors import ChainError

if TYPE_CHECKING:
    from interlace import _core
    from interlace.chain.client import Client


class Impersonated:
    """An account whose transactions need no signature while it is impersonated."""

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self.address = address
        """Its address."""

    def send(self, to: str | None, value_wei: int = 0, data: bytes = b"", gas_limit: int | None = None) -> str:
        """Send a transaction from the account and return its hash.

        Raises
        ------
        RpcError
            When the node refuses it, for example because the account cannot pay for its gas.
        """
        request: dict[str, object] = {
            "from": self.address,
            "value": quantity(value_wei),
            "input": f"0x{data.hex()}",
        }
        if to is not None:
            request["to"] = to
        if gas_limit is not None:
            request["gas"] = quantity(gas_limit)
        return str(self._client.rpc("eth_sendTransaction", request))


class Time:
    """The chain's clock, in Unix seconds."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def now(self) -> int:
        """Timestamp of the newest block."""
        return self._client.block().timestamp

    def increase(self, seconds: int) -> int:
        """Move the clock forward, make a block and return its timestamp."""
        return self._client.increase_time(seconds)

    def set(self, timestamp: int) -> None:
        """Set the clock; it goes on from there. Blocks still are later than their parents."""
        # The method takes milliseconds for large numbers, so it is told nothing else.
        self._client.rpc("anvil_setTime", timestamp * 1000 if timestamp > 10**9 else timestamp)

    def set_next(self, timestamp: int) -> None:
        """Fix the timestamp of the next block.

        Raises
        ------
        RpcError
            When it is not after the newest block's.
        """
        self._client.rpc("evm_setNextBlockTimestamp", timestamp)

    def set_interval(self, seconds: int | None) -> None:
        """Make each block so many seconds later than its parent; `None` follows the clock again."""
        if seconds is None:
            self._client.rpc("anvil_removeBlockTimestampInterval")
        else:
            self._client.rpc("anvil_setBlockTimestampInterval", seconds)


class Controls:
    """The controls of a `Chain` that runs."""

    @property
    def client(self) -> Client:
        """A client within this process."""
        raise NotImplementedError

    def _running(self) -> _core.Node:
        raise NotImplementedError

    @property
    def time(self) -> Time:
        """The chain's clock."""
        return Time(self.client)

    def mine(self, blocks: int = 1) -> int:
        """Make blocks now and return the number of the newest."""
        return self.client.mine(blocks)

    def set_balance(self, address: str, wei: int) -> None:
        """Set the balance of an account."""
        self.client.set_balance(address, wei)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Undo on leaving whatever the chain did since entering: blocks, edits, clock and settings."""
        name = self.client.snapshot()
        try:
            yield
        finally:
            self.client.revert(name)

    @contextmanager
    def impersonate(self, address: str) -> Iterator[Impersonated]:
        """Send from `address` without its key, also where it is a contract."""
        address = checksum_address(address)
        self.client.rpc("anvil_impersonateAccount", address)
        try:
            yield Impersonated(self.client, address)
        finally:
            self.client.rpc("anvil_stopImpersonatingAccount", address)

    def dump_state(self, path: str | Path | None = None) -> bytes:
        """Return the whole chain (genesis, blocks, edits by hand) as bytes, and write them to `path` if it is given.

        Raises
        ------
        ChainError
            ``chain.state-file`` when the file cannot be written; an earlier file of that name is untouched then.
        """
        dump = self._running().dump_state()
        if path is not None:
            write_dump(Path(path), dump)
        return dump

    def load_state(self, dump: str | Path | bytes) -> int:
        """Put the chain of a dump in this one's place and return the number of its newest block.

        Raises
        ------
        ChainError
            ``chain.bad-dump`` when it is damaged, does not hold, or is of a chain with another genesis; nothing
            changed then. ``chain.state-file`` when the file cannot be read.
        """
        self._running().load_state(read_dump(dump))
        return to_int(self.client.rpc("eth_blockNumber"))


def read_dump(source: str | Path | bytes) -> bytes:
    """Return a dump, read from its file unless it is given."""
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise ChainError("chain.state-file", f"{source}: {error.strerror}") from None


def write_dump(path: Path, dump: bytes) -> None:
    """Write a dump for the owner alone; the file appears whole or not at all."""
    shadow = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        handle = os.open(shadow, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(dump)
            file.flush()
            os.fsync(file.fileno())
        shadow.replace(path)
    except OSError as error:
        shadow.unlink(missing_ok=True)
        raise ChainError("chain.state-file", f"{path}: {error.strerror}", hint="choose another file") from None
