"""A client for any node that speaks Ethereum's JSON-RPC; a node in this process is asked the same way.

Invariant: transactions are signed here, keys never travel; a transaction that reverted raises, so that what `send`
returns succeeded. Batches are one request each way and keep their order.
What it does not do: it keeps no nonce between calls, so that several clients of one account do not drift apart.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from interlace import _core, _json
from interlace.chain.abi import Value, encode_arguments, parse_abi, revert_reason
from interlace.chain.access_list import BlockAccessList
from interlace.chain.account import Account, checksum_address
from interlace.chain.dependencies import BlockDependencies
from interlace.chain.transport import HttpTransport, Transport
from interlace.chain.types import Block, Json, Log, Receipt, to_bytes, to_int
from interlace.errors import ChainError, RpcError

MAX_BATCH: Final = 500
"""Requests in one body; longer batches are sent in several."""
MAX_DEPTH: Final = 512
"""Levels of arrays and objects in an answer; a trace has two for each call within a call."""
MAX_BLOCKS_PER_QUERY: Final = 5_000
"""Blocks whose logs are asked for at once."""
_REVERTED: Final = 3
_RECEIPT_PAUSES_SECONDS: Final = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True, slots=True)
class Call:
    """One transaction of `Client.send_many`."""

    to: str | None
    """Recipient; `None` creates a contract."""
    value_wei: int = 0
    data: bytes = b""
    gas_limit: int | None = None


def quantity(value: int) -> str:
    """Write a JSON-RPC quantity."""
    return hex(value)


def block_tag(block: int | str) -> str:
    """Write a block number or pass a tag or hash on."""
    return quantity(block) if isinstance(block, int) else block


class Client:
    """A node, asked over a transport.

    Parameters
    ----------
    target
        URL of a node, or a transport.
    timeout_seconds
        For one HTTP request.
    receipt_timeout_seconds
        How long `send` waits for a block with its transaction.
    """

    def __init__(
        self,
        target: str | Transport,
        *,
        timeout_seconds: float = 60.0,
        receipt_timeout_seconds: float = 60.0,
    ) -> None:
        self._transport = HttpTransport(target, timeout_seconds) if isinstance(target, str) else target
        self._receipt_timeout_seconds = receipt_timeout_seconds
        self._chain_id: int | None = None
        self._id = 0

    # ---- requests

    def _exchange(self, body: Json) -> Json:
        answer = self._transport.send(json.dumps(body).encode())
        try:
            return _json.loads(answer, MAX_DEPTH)
        except ValueError as error:
            raise ChainError("chain.http", f"the answer is no JSON: {error}: {answer[:100]!r}") from None

    def _request(self, method: str, params: Sequence[Json]) -> Json:
        self._id += 1
        return {"jsonrpc": "2.0", "id": self._id, "method": method, "params": list(params)}

    @staticmethod
    def _result(answer: Json) -> Json:
        if not isinstance(answer, dict):
            raise ChainError("chain.http", f"no JSON-RPC answer: {answer!r:.100}")
        error = answer.get("error")
        if error is not None:
            raise RpcError(int(error.get("code", 0)), str(error.get("message", "")), error.get("data"))
        return answer.get("result")

    def rpc(self, method: str, *params: Json) -> Json:
        """Ask one method and return its result.

        Raises
        ------
        RpcError
            When the node answers an error.
        """
        return self._result(self._exchange(self._request(method, params)))

    def batch(self, calls: Iterable[tuple[str, Sequence[Json]]]) -> list[Json]:
        """Ask many methods in few bodies; an answer that is an error stands in the list as an `RpcError`."""
        requests = [self._request(method, params) for method, params in calls]
        results: list[Json] = []
        for start in range(0, len(requests), MAX_BATCH):
            part = requests[start : start + MAX_BATCH]
            answers = self._exchange(part)
            if not isinstance(answers, list):
                self._result(answers)
                raise ChainError("chain.http", "a batch was answered by a single result")
            by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
            for request in part:
                try:
                    results.append(self._result(by_id.get(request["id"], {"error": {"message": "no answer"}})))
                except RpcError as error:
                    results.append(error)
        return results

    # ---- reading

    @property
    def chain_id(self) -> int:
        """Chain id, asked once."""
        if self._chain_id is None:
            self._chain_id = to_int(self.rpc("eth_chainId"))
        return self._chain_id

    def block_number(self) -> int:
        """Return the number of the newest block."""
        return to_int(self.rpc("eth_blockNumber"))

    def balance(self, address: str, block: int | str = "latest") -> int:
        """Return the balance of `address` in wei."""
        return to_int(self.rpc("eth_getBalance", address, block_tag(block)))

    def nonce(self, address: str, block: int | str = "pending") -> int:
        """Return the next nonce of `address`, transactions that wait included."""
        return to_int(self.rpc("eth_getTransactionCount", address, block_tag(block)))

    def code(self, address: str, block: int | str = "latest") -> bytes:
        """Return the code at `address`."""
        return to_bytes(self.rpc("eth_getCode", address, block_tag(block)))

    def block(self, block: int | str = "latest", *, full: bool = False) -> Block:
        """Return a block by number, tag or hash.

        Raises
        ------
        ChainError
            ``chain.unknown`` when there is no such block.
        """
        by_hash = isinstance(block, str) and block.startswith("0x") and len(block) == 66
        method = "eth_getBlockByHash" if by_hash else "eth_getBlockByNumber"
        raw = self.rpc(method, block_tag(block), full)
        if raw is None:
            raise ChainError("chain.unknown", f"no block {block}")
        return Block.from_json(raw)

    def dependencies(self, block: int | str = "latest", lanes: int = 2) -> BlockDependencies:
        """Return which transactions of a block wait for which, laid on `lanes` lanes. Interlace nodes alone know.

        Raises
        ------
        RpcError
            -32602 for no lanes, or above 256; -32000 for a block that is not there, and for the first.
        """
        return BlockDependencies.from_json(
            self.rpc("interlace_getBlockDependencies", block_tag(block), quantity(lanes))
        )

    def access_list(self, block: int | str = "latest") -> BlockAccessList:
        """Return all that a block reached and what it left there (EIP-7928). Interlace nodes alone know.

        Raises
        ------
        RpcError
            -32000 for a block that is not there, for the first, and before Spurious Dragon.
        """
        return BlockAccessList.from_json(self.rpc("interlace_getBlockAccessList", block_tag(block)))

    def raw_access_list(self, block: int | str = "latest") -> bytes:
        """Return the same as RLP, as `Chain.follow_block` takes it; errors are those of `access_list`."""
        return bytes.fromhex(self.rpc("interlace_getRawBlockAccessList", block_tag(block))[2:])

    def receipt(self, transaction_hash: str) -> Receipt | None:
        """Return the receipt of a transaction; `None` while it is in no block."""
        raw = self.rpc("eth_getTransactionReceipt", transaction_hash)
        return None if raw is None else Receipt.from_json(raw)

    def logs(
        self,
        address: str | Sequence[str] | None = None,
        topics: Sequence[str | Sequence[str] | None] = (),
        from_block: int | str = 0,
        to_block: int | str = "latest",
    ) -> list[Log]:
        """Return the logs of a range of blocks, by address and topics."""
        question: dict[str, Json] = {"fromBlock": block_tag(from_block), "toBlock": block_tag(to_block)}
        if address is not None:
            question["address"] = address if isinstance(address, str) else list(address)
        if topics:
            question["topics"] = list(topics)
        return [Log.from_json(raw) for raw in self.rpc("eth_getLogs", question)]

    def all_logs(
        self,
        address: str | Sequence[str] | None = None,
        topics: Sequence[str | Sequence[str] | None] = (),
        from_block: int = 0,
        to_block: int | None = None,
    ) -> Iterator[Log]:
        """Yield the logs of any range of blocks, oldest first; a node bounds its answers, so it is asked in pieces.

        Raises
        ------
        RpcError
            The node's, when it does not even answer for one block.
        """
        last = self.block_number() if to_block is None else to_block
        start, span = from_block, MAX_BLOCKS_PER_QUERY
        while start <= last:
            until = min(last, start + span - 1)
            try:
                found = self.logs(address, topics, start, until)
            except RpcError:
                if span == 1:
                    raise
                span = max(1, min(span, last - start + 1) // 2)
                continue
            yield from found
            start = until + 1

    def call(
        self,
        to: str,
        data: bytes,
        sender: str | None = None,
        block: int | str = "latest",
        value_wei: int = 0,
    ) -> bytes:
        """Execute a call that changes nothing and return its output.

        Raises
        ------
        ChainError
            ``chain.reverted`` with the reason.
        """
        request: dict[str, Json] = {"to": to, "data": f"0x{data.hex()}"}
        if sender is not None:
            request["from"] = sender
        if value_wei:
            request["value"] = quantity(value_wei)
        try:
            return to_bytes(self.rpc("eth_call", request, block_tag(block)))
        except RpcError as error:
            raise reverted(error, f"call of {to}") from None

    # ---- writing

    def send(
        self,
        account: Account,
        to: str | None,
        value_wei: int = 0,
        data: bytes = b"",
        gas_limit: int | None = None,
    ) -> Receipt:
        """Sign and send one transaction and wait for its receipt.

        Raises
        ------
        ChainError
            ``chain.reverted`` when it runs and fails, ``chain.timeout`` when no block takes it in time.
        RpcError
            When the node refuses it.
        """
        return self.send_many(account, [Call(to, value_wei, data, gas_limit)])[0]

    def send_many(self, account: Account, calls: Sequence[Call]) -> list[Receipt]:
        """Sign and send transactions in order, in one batch, and wait for their receipts.

        Raises
        ------
        ChainError
            As `send`; the first one that fails is told, the others may have run.
        """
        hashes = self.submit(account, calls)
        receipts = self.wait(hashes)
        for call, receipt in zip(calls, receipts, strict=True):
            if receipt.status != 1:
                raise self._failure(account, call, receipt)
        return receipts

    def submit(self, account: Account, calls: Sequence[Call]) -> list[str]:
        """Sign and send transactions in order without waiting, and return their hashes."""
        if not calls:
            return []
        # Before anything is asked: what cannot be encoded is refused without a request.
        recipients = [None if call.to is None else to_bytes(checksum_address(call.to)) for call in calls]
        values = [_word(call.value_wei) for call in calls]
        nonce, block = self.batch(
            [("eth_getTransactionCount", [account.address, "pending"]), ("eth_getBlockByNumber", ["latest", False])]
        )
        for answer in (nonce, block):
            if isinstance(answer, RpcError):
                raise answer
        base_fee_wei = to_int(block.get("baseFeePerGas"))
        tip_wei = to_int(self.rpc("eth_maxPriorityFeePerGas"))
        # Twice the base fee holds for six full blocks in a row, each of which raises it by an eighth.
        max_fee_wei = 2 * base_fee_wei + tip_wei
        gas_limits = self._gas_limits(account, calls)
        fields = [
            (
                to_int(nonce) + offset,
                gas_limit,
                max_fee_wei,
                tip_wei,
                recipients[offset],
                values[offset],
                bytes(call.data),
            )
            for offset, (call, gas_limit) in enumerate(zip(calls, gas_limits, strict=True))
        ]
        raws = _core.sign_transactions(account.key, self.chain_id, fields)
        hashes = self.batch([("eth_sendRawTransaction", [f"0x{raw.hex()}"]) for raw in raws])
        for answer in hashes:
            if isinstance(answer, RpcError):
                raise answer
        return hashes

    def _gas_limits(self, account: Account, calls: Sequence[Call]) -> list[int]:
        missing = [call for call in calls if call.gas_limit is None]
        requests = []
        for call in missing:
            request: dict[str, Json] = {"from": account.address, "value": quantity(call.value_wei)}
            if call.data:
                request["data"] = f"0x{call.data.hex()}"
            if call.to is not None:
                request["to"] = call.to
            requests.append(("eth_estimateGas", [request, "pending"]))
        estimates = iter(self.batch(requests) if requests else [])
        limits = []
        for call in calls:
            if call.gas_limit is not None:
                limits.append(call.gas_limit)
                continue
            estimate = next(estimates)
            if isinstance(estimate, RpcError):
                raise reverted(estimate, f"transaction to {call.to or 'a new contract'}")
            # The state may be another one when it runs: an eighth more is left for that.
            exact = to_int(estimate)
            limits.append(exact if exact == 21_000 else exact + exact // 8)
        return limits

    def wait(self, hashes: Sequence[str]) -> list[Receipt]:
        """Wait until every transaction is in a block, and return the receipts.

        Raises
        ------
        ChainError
            ``chain.timeout``.
        """
        found: dict[str, Receipt] = {}
        deadline = time.monotonic() + self._receipt_timeout_seconds
        pauses = iter(_RECEIPT_PAUSES_SECONDS)
        while len(found) < len(set(hashes)):
            time.sleep(next(pauses, _RECEIPT_PAUSES_SECONDS[-1]))
            missing = [one for one in dict.fromkeys(hashes) if one not in found]
            for one, raw in zip(
                missing, self.batch([("eth_getTransactionReceipt", [one]) for one in missing]), strict=True
            ):
                if isinstance(raw, RpcError):
                    raise raw
                if raw is not None:
                    found[one] = Receipt.from_json(raw)
            if len(found) < len(set(hashes)) and time.monotonic() >= deadline:
                late = next(one for one in hashes if one not in found)
                seconds = self._receipt_timeout_seconds
                raise ChainError("chain.timeout", f"transaction {late} is in no block after {seconds:g} s")
        return [found[one] for one in hashes]

    def _failure(self, account: Account, call: Call, receipt: Receipt) -> ChainError:
        what = f"transaction {receipt.transaction_hash} in block {receipt.block_number}"
        # A receipt does not say why; the same call after the block before does, unless its own block changed the cause.
        request: dict[str, Json] = {
            "from": account.address,
            "value": quantity(call.value_wei),
            "data": f"0x{call.data.hex()}",
        }
        if call.to is not None:
            request["to"] = call.to
        if call.gas_limit is not None:
            request["gas"] = quantity(call.gas_limit)
        try:
            self.rpc("eth_call", request, quantity(max(receipt.block_number - 1, 0)))
        except RpcError as error:
            told = reverted(error, what)
            if told is error:
                return ChainError("chain.reverted", f"{what}: {error.rpc_message}")
            return told
        return ChainError("chain.reverted", f"{what}: failed after {receipt.gas_used} gas")

    def deploy(
        self,
        account: Account,
        bytecode: bytes | str,
        abi: Sequence[dict[str, Any]] | None = None,
        args: Sequence[Value] = (),
        *,
        value_wei: int = 0,
        gas_limit: int | None = None,
    ) -> Receipt:
        """Deploy a contract; the receipt names its address.

        Raises
        ------
        ChainError
            ``chain.reverted`` when the constructor fails, ``chain.bad-arguments`` when `args` do not fit it.
        """
        initcode = to_bytes(bytecode) if isinstance(bytecode, str) else bytes(bytecode)
        constructor = next((entry for entry in parse_abi(abi or []) if entry.kind == "constructor"), None)
        types = constructor.types if constructor is not None else []
        initcode += encode_arguments("constructor", types, args)
        return self.send(account, None, value_wei, initcode, gas_limit)

    # ---- the developer's controls

    def mine(self, blocks: int = 1) -> int:
        """Make blocks now and return the number of the newest."""
        self.rpc("hardhat_mine", quantity(blocks))
        return self.block_number()

    def increase_time(self, seconds: int) -> int:
        """Move the chain's clock forward and make a block; return its timestamp."""
        self.rpc("evm_increaseTime", seconds)
        self.rpc("evm_mine")
        return self.block().timestamp

    def snapshot(self) -> str:
        """Remember the present state and return a name for it."""
        return str(self.rpc("evm_snapshot"))

    def revert(self, snapshot: str) -> None:
        """Go back to a snapshot.

        Raises
        ------
        ChainError
            ``chain.unknown`` when it does not exist or was used.
        """
        if not self.rpc("evm_revert", snapshot):
            raise ChainError("chain.unknown", f"no snapshot {snapshot}", hint="a snapshot can be used once")

    def set_balance(self, address: str, wei: int) -> None:
        """Set the balance of an account."""
        self.rpc("anvil_setBalance", address, quantity(wei))

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connections."""
        self.close()


def _word(value_wei: int) -> bytes:
    if not 0 <= value_wei < 1 << 256:
        raise ChainError("chain.bad-arguments", f"a value of {value_wei} wei is not between 0 and 2^256 - 1")
    return value_wei.to_bytes(32, "big")


def reverted(error: RpcError, what: str, decode: Callable[[bytes], str] = revert_reason) -> ChainError:
    """Turn the node's "execution reverted" into `chain.reverted` with the reason; return other errors unchanged."""
    if error.rpc_code != _REVERTED:
        return error
    data = to_bytes(error.data) if isinstance(error.data, str) else b""
    return ChainError("chain.reverted", f"{what} reverted: {decode(data)}", data=data)
