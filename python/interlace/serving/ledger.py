"""The economy's contracts as the service, the settler, the buyer and the verifier need them, through any node.

Invariant: every answer is read from the chain when it is asked for; nothing is cached but what can never change (chain
id, addresses, terms fixed by the constructor).
Source: ABIs in contracts/src (Settlement, Escrow, Programs), ERC-1271.
What it does not do: it decides nothing; a revert comes back as `RevertError` with the contract's own error name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import Final, Protocol

from eth_abi.abi import decode, encode

from interlace import _core
from interlace.chain import Account, checksum_address
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import ChainError, RpcError, ServiceError
from interlace.records import Claim, Receipt, Voucher
from interlace.serving.journal import Served

MAX_OPEN: Final = 64
"""Leaves that one transaction opens at most (Settlement.MAX_OPEN)."""
MAX_RELEASE: Final = 256
"""Leaves that one transaction releases at most (Settlement.MAX_RELEASE)."""


def _tuple(kind: type[Voucher | Claim | Receipt]) -> str:
    return "(" + ",".join(f"uint{field.bits}" if field.kind == "uint" else field.kind for field in kind.fields) + ")"


# A claim's chain id is a uint256 on chain; we hold it in 64 bits.
_CLAIM: Final = _tuple(Claim).replace("(uint64,", "(uint256,", 1)
_LEAF: Final = f"({_tuple(Voucher)},bytes,{_CLAIM},{_tuple(Receipt)},bytes)"


class LeafStatus(IntEnum):
    """Settlement.Status."""

    UNKNOWN = 0
    PENDING = 1
    CHALLENGED = 2
    RELEASED = 3
    REFUNDED = 4


@dataclass(frozen=True, slots=True)
class PayerState:
    """What backs a payer's vouchers: credit-wei in escrow and not asked back; and whether the payer is a contract."""

    escrow: int
    is_contract: bool


@dataclass(frozen=True, slots=True)
class LeafState:
    """Where a leaf stands; `window_end` is in unix seconds."""

    status: LeafStatus
    window_end: int


class RevertError(ServiceError):
    """A contract refused: `name` is its error, for example ``NonceUsed``."""

    def __init__(self, name: str, call: str) -> None:
        super().__init__("service.revert", f"{call} reverts with {name}")
        self.name = name


def selector(signature: str) -> bytes:
    """Return the first four bytes of a signature's hash."""
    return _core.keccak256(signature.encode())[:4]


def _errors() -> dict[bytes, str]:
    """Map selectors of all custom errors of the contracts to their names."""
    found = {}
    for contract in ("Settlement", "FeeRouter", "Programs", "Assets", "CreditToken"):
        for entry in artifact(contract).abi:
            if entry["type"] == "error":
                types = ",".join(item["type"] for item in entry["inputs"])
                found[selector(f"{entry['name']}({types})")] = str(entry["name"])
    return found


class Node(Protocol):
    """Whatever answers JSON-RPC: `interlace.chain.Client`, or a `Chain` in this process."""

    def request(self, method: str, params: Sequence[object]) -> object:
        """Return the result of one call, or raise `RpcError` or `ChainError`."""
        ...


class Ledger:
    """The contracts behind one node.

    Parameters
    ----------
    client
        A node's client, or a chain in this process.
    settlement, registry, token
        Addresses, when they are not the usual ones.

    Raises
    ------
    ServiceError
        From every method: ``service.chain`` when the node does not answer, ``service.revert`` when a contract refuses.
    """

    def __init__(
        self,
        client: Node,
        *,
        settlement: str = ADDRESSES["Settlement"],
        registry: str = ADDRESSES["Programs"],
        token: str = ADDRESSES["CreditToken"],
    ) -> None:
        self._client = client
        self.settlement = checksum_address(settlement)
        self.registry = checksum_address(registry)
        self.token = checksum_address(token)

    # ---- reading -----------------------------------------------------------------------------------------------------

    @cached_property
    def chain_id(self) -> int:
        """The chain's id."""
        return int(str(self._rpc("eth_chainId")), 16)

    @cached_property
    def grace_seconds(self) -> int:
        """How long after its deadline a voucher can still be settled."""
        return self._number("graceSeconds()")

    def payer(self, payer: str) -> PayerState:
        """Return what backs a payer's vouchers."""
        escrow = self._number("escrowOf(address)", payer)
        asked_back, _ = decode(["uint128", "uint64"], self._call(self.settlement, "withdrawalOf(address)", payer))
        code = str(self._rpc("eth_getCode", payer, "latest"))
        return PayerState(max(0, escrow - int(asked_back)), len(code) > 2)

    def accepts_signature(self, payer: str, digest: bytes, signature: bytes) -> bool:
        """Return whether the contract at `payer` accepts the signature (ERC-1271); false if it is no contract."""
        data = selector("isValidSignature(bytes32,bytes)") + encode(["bytes32", "bytes"], [digest, signature])
        try:
            answer = self._eth_call(payer, data, "isValidSignature")
        except RevertError:
            return False
        return len(answer) >= 32 and answer[:32] == bytes.fromhex("1626ba7e") + bytes(28)

    def receipt_key(self, node: str) -> str | None:
        """Return the hot key of a node, `None` if it registered none."""
        key = self._call(self.settlement, "receiptKeyOf(address)", node)[12:32]
        return checksum_address(key) if any(key) else None

    def program(self, program_id: bytes) -> tuple[int, int] | None:
        """Return (asset class, units) of a program, `None` if it is not registered."""
        try:
            answer = self._call(self.registry, "get(bytes32)", program_id)
        except RevertError as error:
            if error.name == "UnknownProgram":
                return None
            raise
        class_id, _, _, units, _ = decode(["uint256", "bytes32", "address", "uint64", "uint32"], answer)
        return int(class_id), int(units)

    def leaf(self, leaf_id: bytes) -> LeafState:
        """Return where a leaf stands."""
        answer = self._call(self.settlement, "entryOf(bytes32)", leaf_id)
        _, window_end, status = decode(["address", "uint64", "uint8"], answer[:96])
        return LeafState(LeafStatus(status), int(window_end))

    def now(self) -> int:
        """Return the time of the newest block, unix seconds."""
        block = self._rpc("eth_getBlockByNumber", "latest", False)
        if not isinstance(block, dict):
            raise ServiceError("service.chain", "the node has no newest block")
        return int(str(block["timestamp"]), 16)

    def block_number(self) -> int:
        """Return the number of the newest block."""
        return int(str(self._rpc("eth_blockNumber")), 16)

    def find_batch(self, node: str, root: bytes, from_block: int) -> int | None:
        """Return the id of the batch that `node` committed with `root` in `from_block` or later."""
        topic = "0x" + _core.keccak256(b"Committed(uint256,address,bytes32,uint32)").hex()
        padded = "0x" + bytes(12).hex() + node[2:].lower()
        query = {"address": self.settlement, "fromBlock": hex(from_block), "topics": [topic, None, padded]}
        logs = self._rpc("eth_getLogs", query)
        for log in logs if isinstance(logs, list) else []:
            if str(log["data"])[2:66] == root.hex():
                return int(str(log["topics"][1]), 16)
        return None

    # ---- writing -----------------------------------------------------------------------------------------------------

    def commit(self, account: Account, node: str, root: bytes, count: int) -> None:
        """Commit a root; `account` is the node or its receipt key."""
        arguments = encode(["address", "bytes32", "uint32"], [node, root, count])
        self._send(account, "commit(address,bytes32,uint32)", arguments)

    def open_call(self, batch_id: int, leaves: Sequence[Served], proofs: Sequence[Sequence[bytes]]) -> bytes:
        """Return the call data that opens leaves."""
        values = [
            (
                decode([_tuple(Voucher)], leaf.voucher.encode())[0],
                leaf.voucher_signature,
                decode([_CLAIM], leaf.claim.encode())[0],
                decode([_tuple(Receipt)], leaf.receipt.encode())[0],
                leaf.receipt_signature,
            )
            for leaf in leaves
        ]
        types = ["uint256", f"{_LEAF}[]", "bytes32[][]"]
        return selector(f"open({','.join(types)})") + encode(types, [batch_id, values, [list(p) for p in proofs]])

    def try_call(self, data: bytes, account: Account) -> None:
        """Ask what Settlement would say to a call; `RevertError` when it would refuse."""
        self._eth_call(self.settlement, data, "Settlement", account.address)

    def send(self, account: Account, data: bytes) -> None:
        """Send a transaction to Settlement and wait for it.

        Raises
        ------
        RevertError
            When it was refused.
        """
        self._transact(account, data, "Settlement")

    def release(self, account: Account, leaf_ids: Sequence[bytes]) -> None:
        """Release leaves whose window is over."""
        self._send(account, "release(bytes32[])", encode(["bytes32[]"], [list(leaf_ids)]))

    def resolve(self, account: Account, leaf_id: bytes) -> None:
        """End a challenge that is decided."""
        self._send(account, "resolve(bytes32)", leaf_id)

    # ---- the node ----------------------------------------------------------------------------------------------------

    def _rpc(self, method: str, *params: object) -> object:
        try:
            return self._client.request(method, list(params))
        except RpcError:
            raise
        except ChainError as error:
            raise ServiceError("service.chain", f"the node does not answer {method}: {error.message}") from None

    def _number(self, signature: str, *arguments: str | bytes) -> int:
        return int.from_bytes(self._call(self.settlement, signature, *arguments)[:32], "big")

    def _call(self, to: str, signature: str, *arguments: str | bytes) -> bytes:
        """Call a view whose arguments are addresses (text) and words (bytes)."""
        words = b"".join(a if isinstance(a, bytes) else bytes(12) + bytes.fromhex(a[2:]) for a in arguments)
        return self._eth_call(to, selector(signature) + words, signature)

    def _eth_call(self, to: str, data: bytes, what: str, sender: str | None = None) -> bytes:
        call = {"to": to, "data": "0x" + data.hex()} | ({"from": sender} if sender else {})
        try:
            answer = str(self._rpc("eth_call", call, "latest"))
        except RpcError as error:
            raise self._revert(error, what) from None
        return bytes.fromhex(answer[2:])

    @staticmethod
    def _revert(error: RpcError, what: str) -> ServiceError:
        data = error.data if isinstance(error.data, str) else ""
        if error.rpc_code == 3 or data.startswith("0x"):
            name = _errors().get(bytes.fromhex(data[2:10]), data[:10] or "no reason")
            return RevertError(name, what)
        return ServiceError("service.chain", f"{what}: {error.message}")

    def _send(self, account: Account, signature: str, arguments: bytes) -> None:
        self._transact(account, selector(signature) + arguments, signature)

    def _transact(self, account: Account, data: bytes, what: str) -> None:
        raise NotImplementedError
