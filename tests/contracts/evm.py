"""A node seen by the contract tests: plain JSON-RPC, the ABI, and reverts by the name of their error.

Invariant: every call goes through the node's public RPC; nothing here knows how the node is made.
What it does not do: it hides no failure; a transaction that reverts raises `Reverted` with the contract's error.
"""

from __future__ import annotations

import functools
import itertools
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from eth_abi import decode, encode

from interlace import _core
from interlace.chain import Account
from interlace.contracts import ADDRESSES, ORGANISATION_PARTS, artifact

if TYPE_CHECKING:
    from collections.abc import Callable

ETHER = 10**18
ARTIFACTS = Path(__file__).parent / "artifacts"
BUILT_IN = {"Error": ("Error", ["string"]), "Panic": ("Panic", ["uint256"])}


class Reverted(Exception):  # noqa: N818 - what Ethereum calls it
    """A revert: the name of the contract's error and its values."""

    def __init__(self, name: str, values: tuple[Any, ...]) -> None:
        super().__init__(f"{name}{values}")
        self.name, self.values = name, values


def _type(member: dict[str, Any]) -> str:
    """Return the ABI type of a member, tuples spelled out."""
    kind: str = member["type"]
    if not kind.startswith("tuple"):
        return kind
    return f"({','.join(_type(m) for m in member['components'])}){kind.removeprefix('tuple')}"


@functools.cache
def double(name: str) -> dict[str, Any]:
    """Return a contract that only the tests use."""
    loaded: dict[str, Any] = json.loads((ARTIFACTS / f"{name}.json").read_text())
    return loaded


@functools.cache
def abi_of(name: str) -> list[dict[str, Any]]:
    return artifact(name).abi if name in ADDRESSES or name in ORGANISATION_PARTS else double(name)["abi"]


@functools.cache
def functions(name: str) -> dict[str, tuple[bytes, list[str], list[str]]]:
    """Return selector, inputs and outputs of each function, by name and by full signature."""
    found = {}
    for item in abi_of(name):
        if item["type"] == "function":
            inputs = [_type(m) for m in item["inputs"]]
            signature = f"{item['name']}({','.join(inputs)})"
            entry = (_core.keccak256(signature.encode())[:4], inputs, [_type(m) for m in item["outputs"]])
            found[item["name"]] = found[signature] = entry
    return found


@functools.cache
def errors() -> dict[bytes, tuple[str, list[str]]]:
    """Return name and types of every error of every contract, by selector."""
    names = [*ADDRESSES, *ORGANISATION_PARTS, *(p.stem for p in ARTIFACTS.glob("*.json"))]
    known = [(i["name"], [_type(m) for m in i["inputs"]]) for n in names for i in abi_of(n) if i["type"] == "error"]
    known += BUILT_IN.values()
    return {_core.keccak256(f"{name}({','.join(types)})".encode())[:4]: (name, types) for name, types in known}


def reverted(data: bytes) -> Reverted:
    """Name a revert by its data."""
    if data[:4] not in errors():
        return Reverted("", (data,))
    name, types = errors()[data[:4]]
    return Reverted(name, decode(types, data[4:]))


def refused(error: str, action: Callable[..., Any], *args: Any, **kwargs: Any) -> Reverted:
    """Run `action`, which must revert with `error`."""
    with pytest.raises(Reverted) as caught:
        action(*args, **kwargs)
    assert caught.value.name == error
    return caught.value


def calldata(contract: str, function: str, *args: Any) -> bytes:
    selector, inputs, _ = functions(contract)[function]
    return selector + encode(inputs, args)


class Evm:
    """A node with unlocked developer accounts and the economy in its genesis."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=60)
        self._ids = itertools.count(1)
        self.accounts = Account.list_from_mnemonic(10)
        self.chain_id = int(self.rpc("eth_chainId"), 16)

    def rpc(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params}
        answer = self._http.post("", json=body).json()
        if "error" in answer:
            data = answer["error"].get("data")
            if isinstance(data, str) and data.startswith("0x"):
                raise reverted(bytes.fromhex(data[2:]))
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    @staticmethod
    def at(contract: str | tuple[str, str]) -> tuple[str, str]:
        """Return name and address: a predeploy by its name, another as (name, address)."""
        return (contract, ADDRESSES[contract]) if isinstance(contract, str) else contract

    def call(self, contract: str | tuple[str, str], function: str, *args: Any, sender: str | None = None) -> Any:
        """Call a view; a single result comes without its tuple."""
        name, address = self.at(contract)
        request = {"to": address, "data": "0x" + calldata(name, function, *args).hex()}
        if sender:
            request["from"] = sender
        raw = bytes.fromhex(self.rpc("eth_call", request, "latest")[2:])
        values = decode(functions(name)[function][2], raw)
        return values[0] if len(values) == 1 else values

    def send(
        self, contract: str | tuple[str, str], function: str, *args: Any, sender: str, value: int = 0
    ) -> dict[str, Any]:
        """Send a transaction from an unlocked account; return its receipt or raise `Reverted`."""
        name, address = self.at(contract)
        data = "0x" + calldata(name, function, *args).hex()
        return self.transact({"from": sender, "to": address, "data": data, "value": hex(value)})

    def transact(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send and return the receipt; the gas limit is fixed, so that a revert is mined as one."""
        tx_hash = self.rpc("eth_sendTransaction", {"gas": hex(16_000_000), **request})
        receipt: dict[str, Any] | None = None
        for _ in range(2_000):
            if (receipt := self.rpc("eth_getTransactionReceipt", tx_hash)) is not None:
                break
            time.sleep(0.005)
        assert receipt is not None, f"{tx_hash} was not mined in ten seconds"
        if receipt["status"] == "0x0":
            replay = {key: request[key] for key in ("from", "to", "data", "value") if key in request}
            # Nothing but the nonce has changed, so a call on top of that block, at its time, gives the reason.
            self.rpc("eth_call", replay, receipt["blockNumber"])
            raise AssertionError(f"{tx_hash} reverted, and does not when called again")
        return receipt

    def deploy(self, name: str, *args: Any, sender: str, value: int = 0) -> tuple[str, str]:
        """Deploy a contract of the tests; return (name, address)."""
        initcode = bytes.fromhex(double(name)["initcode"][2:])
        inputs = next((i["inputs"] for i in abi_of(name) if i["type"] == "constructor"), [])
        data = "0x" + (initcode + encode([_type(m) for m in inputs], args)).hex()
        receipt = self.transact({"from": sender, "data": data, "value": hex(value)})
        return name, receipt["contractAddress"]

    def balance(self, address: str) -> int:
        return int(self.rpc("eth_getBalance", address, "latest"), 16)

    @property
    def now(self) -> int:
        """Timestamp of the newest block."""
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def next_at(self, timestamp: int) -> None:
        """Fix the timestamp of the next block."""
        self.rpc("evm_setNextBlockTimestamp", hex(timestamp))

    def mine_at(self, timestamp: int) -> None:
        """Make an empty block at a timestamp."""
        self.next_at(timestamp)
        self.rpc("evm_mine")

    def snapshot(self) -> str:
        taken: str = self.rpc("evm_snapshot")
        return taken

    def revert(self, snapshot: str) -> None:
        assert self.rpc("evm_revert", snapshot)
