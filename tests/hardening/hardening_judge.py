"""What must hold of every answer, and of the node after it.

Invariant: `Judge.ask` raises `Broken` for an answer that is no JSON-RPC answer to its request, for a code that
docs/errors does not list, and for -32603, which is always a fault of the node. `Judge.fingerprint` is what methods that
may not change the chain leave as it is.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

from eth_account import Account as Signer
from eth_utils.address import to_checksum_address

from interlace.chain import Call, Chain

from .hardening_grammar import CHANGES_STATE, World

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/errors/chain.md").read_text()
DOCUMENTED = {int(code) for code in re.findall(r"^\| (-?\d+) \|", PAGE, re.MULTILINE)}
"""The numbers that docs/errors/chain.md lists."""

LOG = bytes.fromhex("366000600037600035602036036020a100")


REVERTED = 3
"""The one error whose text is as long as somebody's contract makes it."""
MAX_MESSAGE = 1_100
"""Characters of any other error's text: an answer does not hand an absurd request back."""


class Broken(AssertionError):  # noqa: N818 - a promise, not an error of a caller
    """A promise of the node is broken; the message holds the request."""


class Judge:
    """A chain with something on it, and the checks of every exchange with it.

    Parameters
    ----------
    chain
        A running chain.
    rng
        Draws which transactions the world begins with.
    """

    def __init__(self, chain: Chain, rng: random.Random) -> None:
        self.chain = chain
        self.exchanges = 0
        self.world = World()
        self._furnish(rng)

    def _furnish(self, rng: random.Random) -> None:
        client, (alice, bob) = self.chain.client, self.chain.accounts[:2]
        runtime = LOG
        creation = bytes([0x60, len(runtime), 0x80, 0x60, 0x0B, 0x60, 0x00, 0x39, 0x60, 0x00, 0xF3]) + runtime
        log = client.deploy(alice, creation).contract_address
        assert log is not None
        for number in range(4):
            receipt = client.send(alice, log, data=number.to_bytes(32, "big") + b"x" * rng.randrange(40))
            self.world.hashes.append(receipt.transaction_hash)
        self.world.addresses = [alice.address, bob.address, log]
        self.world.hashes += [client.block(number).hash for number in range(3)]
        tip = 10**9
        listed = [{"address": to_checksum_address(log), "storageKeys": ["0x" + "00" * 32]}]
        kinds: tuple[dict[str, Any], ...] = (
            {"gasPrice": 10 * tip},
            {"gasPrice": 10 * tip, "accessList": listed},
            {"maxFeePerGas": 10 * tip, "maxPriorityFeePerGas": tip},
        )
        log = to_checksum_address(log)
        signer = Signer.from_key(bob.key)
        for nonce, fees in enumerate(kinds):
            fields = {
                "nonce": nonce,
                "to": log,
                "value": 1,
                "gas": 60_000,
                "chainId": 31_337,
                "data": b"\1" * 40,
                **fees,
            }
            self.world.raw_transactions.append(f"0x{bytes(signer.sign_transaction(fields).raw_transaction).hex()}")
        authorization = signer.sign_authorization({"chainId": 31_337, "address": log, "nonce": 9})
        fields = {
            "nonce": 3,
            "to": log,
            "value": 0,
            "gas": 90_000,
            "chainId": 31_337,
            "maxFeePerGas": 10 * tip,
            "maxPriorityFeePerGas": tip,
            "authorizationList": [authorization],
        }
        self.world.raw_transactions.append(f"0x{bytes(signer.sign_transaction(fields).raw_transaction).hex()}")
        for method, parameters in (
            ("eth_newFilter", [{}]),
            ("eth_newBlockFilter", []),
            ("eth_newPendingTransactionFilter", []),
        ):
            self.world.filters.append(str(client.rpc(method, *parameters)))
        client.rpc("evm_setAutomine", False)
        client.submit(alice, [Call(bob.address, 5, b"", 21_000)])

    def fingerprint(self) -> str:
        """Return what reading must not change: the head with its state root, the pool, and a balance."""
        node = self.chain._running()
        calls = (
            ("eth_getBlockByNumber", ["latest", True]),
            ("txpool_content", []),
            ("eth_getBalance", [self.world.addresses[0], "latest"]),
            ("eth_getTransactionCount", [self.world.addresses[0], "pending"]),
        )
        bodies = [{"jsonrpc": "2.0", "id": n, "method": m, "params": p} for n, (m, p) in enumerate(calls)]
        return node.request(json.dumps(bodies).encode()).decode()

    def ask(self, body: bytes) -> Any:
        """Send `body` to the node in this process and judge the answer."""
        return self.judge(body, self.chain._running().request(body))

    def judge(self, body: bytes, answer: bytes) -> Any:
        """Return the answer as JSON.

        Raises
        ------
        Broken
            When it breaks a promise; the message holds both.
        """
        self.exchanges += 1
        try:
            self._check(body, answer)
        except Broken as broken:
            raise Broken(f"{broken}\nrequest: {body[:3_000]!r}\nanswer: {answer[:1_000]!r}") from None
        return json.loads(answer) if answer else None

    def _check(self, body: bytes, answer: bytes) -> None:
        try:
            asked = json.loads(body.decode())
        except (ValueError, RecursionError):
            asked = ...
        if not answer:
            silent = [asked] if isinstance(asked, dict) else asked if isinstance(asked, list) else []
            if not silent or not all(isinstance(one, dict) and "id" not in one for one in silent):
                raise Broken("no answer")
            return
        try:
            given = json.loads(answer.decode())
        except ValueError as error:
            raise Broken(f"the answer is no JSON: {error}") from None
        for one in given if isinstance(given, list) else [given]:
            self._check_one(one)
        if isinstance(asked, dict) and isinstance(given, dict):
            self._check_id(asked, given, body)
        elif (
            isinstance(asked, list)
            and asked
            and isinstance(given, dict)
            and given["error"]["code"] not in (-32600, -32700)
        ):
            raise Broken("a batch got a single answer")

    def _check_one(self, one: Any) -> None:
        if not isinstance(one, dict) or one.get("jsonrpc") != "2.0" or "id" not in one:
            raise Broken("the answer is no JSON-RPC answer")
        if ("result" in one) == ("error" in one) or not one.keys() <= {"jsonrpc", "id", "result", "error"}:
            raise Broken("the answer needs a result or an error, and nothing else")
        if "error" in one:
            error = one["error"]
            if type(error.get("code")) is not int or not isinstance(error.get("message"), str) or not error["message"]:
                raise Broken("the error has no code or no message")
            if error["code"] == -32603:
                raise Broken("an internal error")
            if error["code"] not in DOCUMENTED:
                raise Broken(f"code {error['code']} is not documented")
            if len(error["message"]) > MAX_MESSAGE and error["code"] != REVERTED:
                raise Broken(f"an error message of {len(error['message'])} characters")

    def _check_id(self, asked: dict[str, Any], given: dict[str, Any], body: bytes) -> None:
        code = given.get("error", {}).get("code")
        if given["id"] is None and code in (-32600, -32700):
            return  # No request, so perhaps no id that could be read.
        if body.count(b'"id"') > 1:
            return  # Which of two ids is meant is anybody's guess.
        if "id" not in asked:
            raise Broken("a notification was answered")
        same = given["id"] == asked["id"] or (isinstance(asked["id"], float) and float(given["id"]) == asked["id"])
        if not same:
            raise Broken(f"id {given['id']!r} instead of {asked['id']!r}")

    @staticmethod
    def may_change(method: object) -> bool:
        """Whether a method of this name may change the chain or the pool."""
        return isinstance(method, str) and method.startswith(CHANGES_STATE)
