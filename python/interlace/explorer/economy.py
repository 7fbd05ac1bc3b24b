"""The economy as the explorer shows it: sums over the contracts' events, kept up to date block by block.

Invariant: every figure is a sum over events of the canonical chain: when the last block that was read is no
longer part of it (a revert to a snapshot, a reorganisation), everything is read again. Amounts are
integers, and text in JSON.
What it does not do: it stores nothing on disk and answers for the newest block only. Its memory grows with the classes,
programs and batches on the chain, and with the receipts that wait for release, not with those that are settled.
"""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from eth_abi.abi import decode

from interlace import _json
from interlace._core import keccak256
from interlace.chain.abi import canonical_type
from interlace.contracts import ADDRESSES, COMPUTE, artifact
from interlace.errors import RpcError, ServiceError

MAX_BLOCKS_PER_QUERY = 5_000
MAX_LISTED = 500
"""Classes, programs and settlements that one answer lists, the newest of each; sums are over all."""
_KINDS = {0: "class", 1: "dataset", 2: "model", 3: "agent"}
_SOURCES = ("Assets", "Programs", "FeeRouter", "Settlement", "Validators", "StakingVault")
_PARTIES = ("node", "data", "model", "validators", "holders", "treasury")


class Node(Protocol):
    """What this module needs of a client."""

    def rpc(self, method: str, *params: Any) -> Any:  # noqa: ANN401 - JSON values
        """Return the result of a JSON-RPC call."""
        ...


@dataclass
class _Sums:
    """Everything that was read so far; `block` is the last one, 32 bytes of its hash in `block_hash`."""

    block: int = -1
    block_hash: str = ""
    classes: dict[int, dict[str, Any]] = field(default_factory=dict)
    programs: list[dict[str, Any]] = field(default_factory=list)
    batches: dict[int, dict[str, Any]] = field(default_factory=dict)
    batch_of_leaf: dict[str, int] = field(default_factory=dict)
    paid: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_PARTIES, 0))
    routed: int = 0
    settled_calls: int = 0


class Economy:
    """Reads the economy of one chain; safe to ask from several threads."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lock = threading.Lock()
        self._sums = _Sums()
        self._events = _event_table()

    def facts(self) -> Mapping[str, object]:
        """Return the contents of ``/api/economy`` as of the newest block.

        Raises
        ------
        ServiceError
            ``explorer.node`` when the node answers something that is no chain's answer.
        """
        with self._lock:
            if self._request("eth_getCode", ADDRESSES["FeeRouter"], "latest") == "0x":
                return {"present": False}
            self._update()
            return self._document()

    def _update(self) -> None:
        sums = self._sums
        if sums.block >= 0:
            known = self._request("eth_getBlockByNumber", hex(sums.block), False)
            if not known or known["hash"] != sums.block_hash:
                sums = self._sums = _Sums()
        last = int(self._request("eth_blockNumber"), 16)
        span = MAX_BLOCKS_PER_QUERY
        while sums.block < last:
            until = min(last, sums.block + span)
            try:
                logs = self._logs(sums.block + 1, until)
            except RpcError:
                # A node bounds what one question may return; ask for less before giving up.
                if span == 1:
                    raise
                span = max(1, min(span, last - sums.block) // 2)
                continue
            for log in logs:
                self._apply(log)
            block = self._request("eth_getBlockByNumber", hex(until), False)
            sums.block, sums.block_hash = until, str(block["hash"])

    def _logs(self, first: int, until: int) -> list[Mapping[str, Any]]:
        sources = [ADDRESSES[name] for name in _SOURCES]
        found = self._request("eth_getLogs", {"fromBlock": hex(first), "toBlock": hex(until), "address": sources})
        return list(found)

    def _apply(self, log: Mapping[str, Any]) -> None:
        known = self._events.get(log["topics"][0])
        if known is None:
            return
        name, inputs = known
        indexed = [entry for entry in inputs if entry["indexed"]]
        plain = [entry for entry in inputs if not entry["indexed"]]
        values = {e["name"]: _word(e["type"], t) for e, t in zip(indexed, log["topics"][1:], strict=True)}
        data = decode([entry["type"] for entry in plain], bytes.fromhex(log["data"][2:]))
        values |= {entry["name"]: value for entry, value in zip(plain, data, strict=True)}
        handler = getattr(self, f"_on_{name}", None)
        if handler is not None:
            handler(values, log)

    def _on_ClassCreated(self, event: Mapping[str, Any], _: Mapping[str, Any]) -> None:  # noqa: N802 - event's name
        self._sums.classes[event["classId"]] = {
            "id": event["classId"],
            "kind": "class",
            "creator": "",
            "parents": [],
            "revenue": 0,
            **_described(event["metadataURI"], event["integrityHash"]),
        }

    def _on_ClassOwnerChanged(self, event: Mapping[str, Any], _: Mapping[str, Any]) -> None:  # noqa: N802
        asset = self._sums.classes[event["classId"]]
        asset["creator"] = asset["creator"] or event["owner"]

    def _on_ClassDerived(self, event: Mapping[str, Any], _: Mapping[str, Any]) -> None:  # noqa: N802
        asset = self._sums.classes[event["classId"]]
        asset["kind"] = _KINDS.get(event["kind"], "class")
        asset["parents"] = [{"id": parent, "bp": weight} for parent, weight, _ in event["parents"]]

    def _on_ProgramRegistered(self, event: Mapping[str, Any], _: Mapping[str, Any]) -> None:  # noqa: N802
        program = {"id": "0x" + event["programId"].hex(), "class_id": event["classId"], "units": event["units"]}
        self._sums.programs.append(program)

    def _on_RevenueSettled(self, event: Mapping[str, Any], _: Mapping[str, Any]) -> None:  # noqa: N802
        if str(event["asset"]).lower() == ADDRESSES["CreditToken"].lower():
            self._sums.classes[event["classId"]]["revenue"] += event["amount"]

    _on_RevenueUnshared = _on_RevenueSettled  # noqa: N815

    def _on_Routed(self, event: Mapping[str, Any], _: Mapping[str, Any]) -> None:  # noqa: N802
        if event["meter"] != COMPUTE:  # the page is about paid calls; `interlace economy` has all meters
            return
        self._sums.routed += event["amount"]
        for party in _PARTIES:
            self._sums.paid[party] += event[f"{party}Part"]

    def _on_Committed(self, event: Mapping[str, Any], log: Mapping[str, Any]) -> None:  # noqa: N802
        self._sums.batches[event["batchId"]] = {
            "root": "0x" + event["root"].hex(),
            "node": event["node"],
            "leaves": event["count"],
            "transaction": log["transactionHash"],
            "opened": 0,
            "released": 0,
            "refunded": 0,
            "paid": 0,
        }

    def _on_Opened(self, event: Mapping[str, Any], _: Mapping[str, Any]) -> None:  # noqa: N802
        self._sums.batch_of_leaf[event["leafId"].hex()] = event["batchId"]
        self._sums.batches[event["batchId"]]["opened"] += 1

    def _on_Released(self, event: Mapping[str, Any], _: Mapping[str, Any]) -> None:  # noqa: N802
        batch = self._sums.batches[self._sums.batch_of_leaf.pop(event["leafId"].hex())]
        batch["released"] += 1
        batch["paid"] += event["cost"]
        self._sums.settled_calls += 1

    def _on_Refunded(self, event: Mapping[str, Any], _: Mapping[str, Any]) -> None:  # noqa: N802
        self._sums.batches[self._sums.batch_of_leaf.pop(event["leafId"].hex())]["refunded"] += 1

    def _document(self) -> dict[str, object]:
        sums = self._sums
        shares = decode(["uint16"] * 6, self._view("FeeRouter", "sharesOf(uint8)", COMPUTE))
        token = {
            "name": decode(["string"], self._view("CreditToken", "name()"))[0],
            "symbol": decode(["string"], self._view("CreditToken", "symbol()"))[0],
            "supply": str(int.from_bytes(self._view("CreditToken", "totalSupply()"), "big")),
        }
        return {
            "present": True,
            "block": sums.block,
            "token": token,
            "routed": str(sums.routed),
            "settled_calls": sums.settled_calls,
            "split": [
                {"name": party, "bp": bp, "paid": str(sums.paid[party])}
                for party, bp in zip(_PARTIES, shares, strict=True)
            ],
            "class_count": len(sums.classes),
            "classes": [
                asset | {"revenue": str(asset["revenue"])} for asset in list(sums.classes.values())[-MAX_LISTED:]
            ],
            "programs": sums.programs[-MAX_LISTED:],
            "settlements": [
                batch | {"state": _state(batch), "paid": str(batch["paid"])}
                for batch in list(reversed(sums.batches.values()))[:MAX_LISTED]
            ],
        }

    def _view(self, contract: str, signature: str, *words: int) -> bytes:
        data = "0x" + (keccak256(signature.encode())[:4] + b"".join(word.to_bytes(32, "big") for word in words)).hex()
        return bytes.fromhex(self._request("eth_call", {"to": ADDRESSES[contract], "data": data}, "latest")[2:])

    def _request(self, method: str, *params: object) -> Any:  # noqa: ANN401 - a JSON value
        answer = self._node.rpc(method, *params)
        if answer is None and method != "eth_getBlockByNumber":
            raise ServiceError("explorer.node", f"the node answers {method} with nothing")
        return answer


def _event_table() -> dict[str, tuple[str, list[Mapping[str, Any]]]]:
    """Map topics to (name, inputs) for the events of `_SOURCES`, structs spelled out."""
    table: dict[str, tuple[str, list[Mapping[str, Any]]]] = {}
    for contract in _SOURCES:
        for entry in artifact(contract).abi:
            if entry["type"] == "event":
                inputs: list[Mapping[str, Any]] = [{**item, "type": canonical_type(item)} for item in entry["inputs"]]
                signature = f"{entry['name']}({','.join(item['type'] for item in inputs)})"
                table["0x" + keccak256(signature.encode()).hex()] = (entry["name"], inputs)
    return table


def _word(kind: str, topic: str) -> object:
    return decode([kind], bytes.fromhex(topic[2:]))[0]


def _described(uri: str, integrity_hash: bytes) -> dict[str, str]:
    """Name and content of a class from its descriptor, if that is on chain and hashes to what the class says."""
    prefix = "data:application/json;base64,"
    plain = {"name": uri[:80] or "unnamed", "content": "0x" + integrity_hash.hex()}
    try:
        text = base64.b64decode(uri.removeprefix(prefix), validate=True)
        body = _json.loads(text, 2)  # a model card holds lists
        if not uri.startswith(prefix) or keccak256(text) != integrity_hash:
            return plain
        return {"name": str(body["name"])[:80], "content": str(body.get("content_root") or body["program_id"])[:66]}
    except (binascii.Error, ValueError, AttributeError, KeyError, TypeError):
        return plain


def _state(batch: Mapping[str, int]) -> str:
    done = batch["released"] + batch["refunded"]
    if batch["opened"] == 0:
        return "committed"
    if done < batch["opened"]:
        return "pending"
    return "released" if batch["refunded"] == 0 else "decided"
