"""Requests as a hostile client writes them: grammars of parameters, good and bad, and of whole bodies.

Invariant: everything is drawn from the random source that is passed in, so that a seed is a campaign. The methods come
from the node (`_core.rpc_methods`), so that a new method is met without a change here: one that `SHAPES` does not know
gets parameters of all kinds.
What it does not do: it sends nothing and judges nothing; see `hardening_judge`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from interlace import _core

METHODS: tuple[str, ...] = tuple(_core.rpc_methods())

CHANGES_STATE = ("evm_", "hardhat_", "anvil_", "dev_", "eth_send", "personal_send", "miner_", "admin_", "tenderly_")
"""Prefixes of the methods that may change what the chain is; no other method may."""

Draw = Callable[[random.Random, "World"], Any]


@dataclass
class World:
    """Things that exist on the node under test, so that some requests get past the first check."""

    addresses: list[str] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    raw_transactions: list[str] = field(default_factory=list)
    filters: list[str] = field(default_factory=list)


def choose(rng: random.Random, *options: Draw) -> Draw:
    """Return one of `options`."""
    return options[rng.randrange(len(options))]


def hexed(rng: random.Random, size: int) -> str:
    """Return `size` random bytes as hex."""
    return f"0x{rng.randbytes(size).hex()}"


# ---- scalars

BAD_TEXT = (
    "",
    "0x",
    "0",
    "x",
    "0X1",
    "0x0x",
    "0xg",
    "0x1 ",
    " 0x1",
    "-0x1",
    "0x-1",
    "+1",
    "1e3",
    "NaN",
    "null",
    "true",
    "latest ",
    "LATEST",
    "\u0000",
    "0x\u0000",
    "\ud800",
    "\udc00\ud800",
    "\U0001f600",
    "é",
    "0x" + "f" * 63,
    "0x" + "f" * 64,
    "0x" + "f" * 65,
    "0x" + "0" * 500 + "1",
    "a" * 70_000,
    "%s%n",
    "../../etc/passwd",
    "'; drop table",
    "\r\n\r\n",
)
NUMBERS = (
    0,
    1,
    -1,
    2,
    127,
    128,
    255,
    256,
    65_535,
    2**31,
    2**32 - 1,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    2**64,
    2**128 - 1,
    2**128,
    2**255,
    2**256 - 1,
    2**256,
    -(2**63),
    0.0,
    -0.0,
    0.5,
    1e308,
    1e-320,
)


def junk(rng: random.Random, world: World, depth: int = 0) -> Any:
    """Return any JSON value."""
    kind = rng.randrange(12 if depth < 4 else 8)
    if kind < 2:
        return rng.choice(BAD_TEXT)
    if kind == 2:
        return rng.choice(NUMBERS)
    if kind == 3:
        return rng.choice((None, True, False))
    if kind == 4:
        return hexed(rng, rng.choice((0, 1, 19, 20, 21, 31, 32, 33, 100)))
    if kind < 8:
        return scalar(rng, world)
    if kind < 10:
        return [junk(rng, world, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(KEYS): junk(rng, world, depth + 1) for _ in range(rng.randrange(4))}


def quantity(rng: random.Random, _: World) -> Any:
    """Return a number as Ethereum writes it, or nearly."""
    kind = rng.randrange(8)
    number = rng.choice([value for value in NUMBERS if isinstance(value, int) and value >= 0])
    if kind < 4:
        return hex(rng.choice((0, 1, 5, 21_000, 100_000, 30_000_000, rng.randrange(1 << 20))))
    if kind < 6:
        return hex(number)
    if kind == 6:
        return rng.choice((number, str(number), f"0x0{number:x}", f"0X{number:x}"))
    return rng.choice(BAD_TEXT)


def address(rng: random.Random, world: World) -> Any:
    """Return an address: of the world, of a precompile, or wrong."""
    kind = rng.randrange(10)
    if kind < 5 and world.addresses:
        return rng.choice(world.addresses)
    if kind < 7:
        return f"0x{rng.randrange(1, 0x12):040x}"
    if kind == 7:
        return hexed(rng, 20)
    if kind == 8:
        return hexed(rng, rng.choice((0, 19, 21, 32)))
    return rng.choice(BAD_TEXT)


def word(rng: random.Random, world: World) -> Any:
    """Return 32 bytes: a hash of the world, random ones, or not quite."""
    kind = rng.randrange(8)
    if kind < 4 and world.hashes:
        return rng.choice(world.hashes)
    if kind < 6:
        return hexed(rng, 32)
    if kind == 6:
        return hexed(rng, rng.choice((0, 1, 31, 33, 64)))
    return rng.choice(BAD_TEXT)


def tag(rng: random.Random, world: World) -> Any:
    """Return a block: tag, number, EIP-1898 object, or wrong."""
    kind = rng.randrange(8)
    if kind < 3:
        return rng.choice(("latest", "earliest", "pending", "safe", "finalized"))
    if kind == 3:
        return hex(rng.randrange(8))
    if kind == 4:
        return quantity(rng, world)
    if kind == 5:
        return word(rng, world)
    if kind == 6:
        keys = rng.choice(
            (["blockHash"], ["blockNumber"], ["blockHash", "blockNumber"], ["blockHash", "requireCanonical"])
        )
        return {key: word(rng, world) if key == "blockHash" else quantity(rng, world) for key in keys}
    return junk(rng, world, 3)


def data(rng: random.Random, _: World) -> Any:
    """Return bytes: some programs, calldata, long ones, or wrong."""
    kind = rng.randrange(8)
    if kind < 3:
        return hexed(rng, rng.choice((0, 1, 4, 32, 36, 68, 200)))
    if kind == 3:
        return f"0x{code(rng).hex()}"
    if kind == 4:
        return "0x" + "00" * rng.choice((10_000, 49_152, 49_153))
    return rng.choice(BAD_TEXT) if kind == 5 else hexed(rng, rng.randrange(64))


def code(rng: random.Random) -> bytes:
    """Return runtime code: loops, growing memory, calls to itself, precompiles, or random opcodes."""
    programs = (
        "5b600056",
        "5b5a506000516000525b600456",
        "5f5ffd",
        "fe",
        "5f5ff3",
        "60ff60005260206000f3",
        "5b6000600060006000600030620fffff f1".replace(" ", "") + "50600056",
        "5b5a600051600101600052620100005160005260005600",
        "7f" + "ff" * 32 + "51",
        "7f" + "ff" * 32 + "5ff3",
        "63ffffffff5ff3",
        "6000356000526020600020",
        "5f5f5f5f5f30612710f15f5f5f5f5f30612710f1",
        "5f3560e01c",
        "30ff",
        "33ff",
        "365f5f375f5f365ff0",
        "600035ff",
        "5f545f5555",
        "5f5c60015f5d",
        "4660005260206000f3",
        "365f5f37365fa0",
    )
    if rng.randrange(3):
        return bytes.fromhex(rng.choice(programs))
    return rng.randbytes(rng.choice((1, 8, 40, 300)))


def boolean(rng: random.Random, _: World) -> Any:
    """Return true or false, or nearly."""
    return rng.choice((True, False, True, False, True, "true", 1, None))


def scalar(rng: random.Random, world: World) -> Any:
    """Return a scalar of some kind."""
    return choose(rng, quantity, address, word, tag, data, boolean)(rng, world)


# ---- objects

KEYS = (
    "from",
    "to",
    "gas",
    "gasPrice",
    "value",
    "data",
    "input",
    "nonce",
    "chainId",
    "type",
    "accessList",
    "address",
    "topics",
    "fromBlock",
    "toBlock",
    "blockHash",
    "balance",
    "code",
    "state",
    "stateDiff",
    "__proto__",
    "",
    "\u0000",
    "a" * 300,
)


def record(rng: random.Random, world: World, fields: dict[str, Draw]) -> dict[str, Any]:
    """Return an object with some of `fields`, now and then one that is foreign or of another kind."""
    some = [name for name in fields if rng.randrange(3) == 0] or list(fields)[: rng.randrange(2)]
    made = {name: fields[name](rng, world) for name in some}
    if rng.randrange(12) == 0:
        made[rng.choice(KEYS)] = junk(rng, world, 2)
    return made


def many(of: Draw, most: int = 4) -> Draw:
    """Return a grammar of lists, now and then of very long ones."""

    def draw(rng: random.Random, world: World) -> Any:
        if rng.randrange(60) == 0:
            one = of(rng, world)
            # Lists of long things, or of lists, would be a test of this machine's memory.
            return [one] * rng.choice((1_024, 1_025, 5_000)) if isinstance(one, str) and len(one) < 100 else [one]
        return [of(rng, world) for _ in range(rng.randrange(most + 1))]

    return draw


def optional(of: Draw) -> Draw:
    """Return `of`, or null, or junk."""

    def draw(rng: random.Random, world: World) -> Any:
        kind = rng.randrange(10)
        return None if kind == 0 else junk(rng, world, 2) if kind == 1 else of(rng, world)

    return draw


def access_list(rng: random.Random, world: World) -> Any:
    """Return an EIP-2930 list."""
    return many(lambda r, w: {"address": address(r, w), "storageKeys": many(word)(r, w)})(rng, world)


def authorizations(rng: random.Random, world: World) -> Any:
    """Return EIP-7702 authorisations."""
    fields: dict[str, Draw] = {
        "chainId": quantity,
        "address": address,
        "nonce": quantity,
        "yParity": quantity,
        "r": quantity,
        "s": quantity,
    }
    return many(lambda r, w: {name: of(r, w) for name, of in fields.items()}, 2)(rng, world)


CALL: dict[str, Draw] = {
    "from": address,
    "to": optional(address),
    "gas": quantity,
    "gasPrice": quantity,
    "maxFeePerGas": quantity,
    "maxPriorityFeePerGas": quantity,
    "value": quantity,
    "data": data,
    "input": data,
    "nonce": quantity,
    "chainId": quantity,
    "type": quantity,
    "accessList": access_list,
    "blobVersionedHashes": many(word),
    "maxFeePerBlobGas": quantity,
    "authorizationList": authorizations,
    "blobs": many(data, 1),
    "sidecar": junk,
    "maxFeePerDataGas": quantity,
}


def call(rng: random.Random, world: World) -> Any:
    """Return a call or transaction request."""
    made = record(rng, world, CALL)
    if rng.randrange(2):
        made["to"] = address(rng, world)
    return made


def overrides(rng: random.Random, world: World) -> Any:
    """Return state overrides."""
    slots = many(lambda r, w: (word(r, w), word(r, w)))
    fields: dict[str, Draw] = {
        "balance": quantity,
        "nonce": quantity,
        "code": lambda r, _: f"0x{code(r).hex()}",
        "movePrecompileToAddress": address,
        "state": lambda r, w: {str(key): value for key, value in slots(r, w)[:8]},
        "stateDiff": lambda r, w: {str(key): value for key, value in slots(r, w)[:8]},
    }
    return {str(address(rng, world)): record(rng, world, fields) for _ in range(rng.randrange(4))}


def block_overrides(rng: random.Random, world: World) -> Any:
    """Return block overrides."""
    fields: dict[str, Draw] = {
        "number": quantity,
        "difficulty": quantity,
        "time": quantity,
        "gasLimit": quantity,
        "coinbase": address,
        "random": word,
        "baseFee": quantity,
        "blobBaseFee": quantity,
        "blockHash": lambda r, w: {"1": word(r, w)},
        "baseFeePerGas": quantity,
        "feeRecipient": address,
        "prevRandao": word,
        "withdrawals": many(junk),
        "beaconRoot": word,
    }
    return record(rng, world, fields)


def log_filter(rng: random.Random, world: World) -> Any:
    """Return a question about logs."""
    topics = many(optional(lambda r, w: many(optional(word))(r, w) if r.randrange(2) else word(r, w)), 5)
    fields: dict[str, Draw] = {
        "fromBlock": tag,
        "toBlock": tag,
        "blockHash": word,
        "topics": topics,
        "address": lambda r, w: many(address)(r, w) if r.randrange(2) else address(r, w),
    }
    return record(rng, world, fields)


def filter_id(rng: random.Random, world: World) -> Any:
    """Return the id of a filter, living or not."""
    return rng.choice(world.filters) if world.filters and rng.randrange(3) else quantity(rng, world)


def mutated(rng: random.Random, raw: bytes) -> bytes:
    """Return `raw` with a few bytes changed, cut out, doubled or added."""
    out = bytearray(raw)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(out) + 1)
        kind = rng.randrange(5)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del out[at : at + rng.randrange(1, 9)]
        elif kind == 2:
            out[at:at] = out[at : at + rng.randrange(1, 40)]
        elif kind == 3:
            out[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif at < len(out):
            out[at] = rng.choice((0, 1, 0x7F, 0x80, 0x81, 0xB7, 0xB8, 0xBF, 0xC0, 0xF7, 0xF8, 0xFF))
    return bytes(out)


def raw_transaction(rng: random.Random, world: World) -> Any:
    """Return a signed transaction with a fault, RLP that is none, or the transaction itself."""
    kind = rng.randrange(10)
    if kind < 7 and world.raw_transactions:
        return f"0x{mutated(rng, bytes.fromhex(rng.choice(world.raw_transactions)[2:])).hex()}"
    if kind == 7:
        return f"0x{bytes([rng.randrange(8)]).hex()}{rng.randbytes(rng.randrange(60)).hex()}"
    if kind == 8:
        return "0x" + rng.choice(
            ("f8", "bf" + "ff" * 8, "ff" + "ff" * 8, "c0" * 5_000, "f7", "02", "03f9", "04" + "f8ff", "80", "c1" * 900)
        )
    return data(rng, world)


def typed_data(rng: random.Random, world: World) -> Any:
    """Return an EIP-712 document: cyclic types, arrays of arrays, and types that do not exist."""
    kinds = (
        "uint256",
        "address",
        "bytes",
        "bytes32",
        "string",
        "bool",
        "int8",
        "uint7",
        "bytes33",
        "A",
        "B",
        "A[]",
        "B[2]",
        "uint256[][][]",
        "uint256" + "[]" * 5_000,
        "uint256[99999999999]",
        "uint256[4294967296][4294967296]",
        "(uint256)",
        "",
        "[]",
        "A[",
        "fixed",
        "function",
    )

    def members(r: random.Random) -> list[Any]:
        return [{"name": r.choice(("a", "b", "", "a" * 200)), "type": r.choice(kinds)} for _ in range(r.randrange(4))]

    types = {name: members(rng) for name in ("A", "B", "EIP712Domain") if rng.randrange(4)}
    message = {name: junk(rng, world, 1) for name in ("a", "b") if rng.randrange(3)}
    document: Any = {
        "types": types,
        "primaryType": rng.choice(("A", "B", "C", "EIP712Domain", "")),
        "message": message,
        "domain": record(
            rng, world, {"name": junk, "version": junk, "chainId": quantity, "verifyingContract": address, "salt": word}
        ),
    }
    return json.dumps(document) if rng.randrange(3) == 0 else document


def percentiles(rng: random.Random, _: World) -> Any:
    """Return reward percentiles, rising or not."""
    made = [rng.choice((0, 1, 25.5, 50, 99.99, 100, 100.1, -1, 1e308)) for _ in range(rng.randrange(6))]
    return sorted(made) if rng.randrange(2) else made * rng.choice((1, 1, 40))


SHAPES: dict[str, list[Draw]] = {
    "web3_sha3": [data],
    "eth_getBalance": [address, tag],
    "eth_getCode": [address, tag],
    "eth_getTransactionCount": [address, tag],
    "eth_getStorageAt": [address, word, tag],
    "eth_getProof": [address, many(word), tag],
    "eth_getBlockByHash": [word, boolean],
    "eth_getBlockByNumber": [tag, boolean],
    "eth_getBlockReceipts": [tag],
    "eth_getBlockTransactionCountByHash": [word],
    "eth_getBlockTransactionCountByNumber": [tag],
    "eth_getUncleCountByBlockHash": [word],
    "eth_getUncleCountByBlockNumber": [tag],
    "eth_getUncleByBlockHashAndIndex": [word, quantity],
    "eth_getUncleByBlockNumberAndIndex": [tag, quantity],
    "eth_getTransactionByHash": [word],
    "eth_getTransactionByBlockHashAndIndex": [word, quantity],
    "eth_getTransactionByBlockNumberAndIndex": [tag, quantity],
    "eth_getTransactionReceipt": [word],
    "eth_call": [call, tag, overrides, block_overrides],
    "eth_estimateGas": [call, tag, overrides, block_overrides],
    "eth_createAccessList": [call, tag, overrides, block_overrides],
    "eth_feeHistory": [quantity, tag, percentiles],
    "eth_getLogs": [log_filter],
    "eth_newFilter": [log_filter],
    "eth_getFilterChanges": [filter_id],
    "eth_getFilterLogs": [filter_id],
    "eth_uninstallFilter": [filter_id],
    "eth_sendRawTransaction": [raw_transaction],
    "eth_sendTransaction": [call],
    "eth_signTransaction": [call],
    "eth_fillTransaction": [call],
    "eth_sign": [address, data],
    "personal_sign": [data, address],
    "eth_signTypedData_v4": [address, typed_data],
    "hardhat_setBalance": [address, quantity],
    "anvil_setBalance": [address, quantity],
    "evm_revert": [quantity],
    "anvil_revert": [quantity],
}


def small_number(rng: random.Random, world: World) -> Any:
    """Return a small number: mining a hundred thousand blocks is allowed, and would take all the time."""
    return rng.choice(
        (0, 1, 3, "0x2", hex(2**64), -1, "x", None, 1.5, {}, {"blocks": 2}, {"timestamp": quantity(rng, world)})
    )


ANY_KIND: list[Draw] = [
    quantity,
    address,
    word,
    tag,
    data,
    boolean,
    call,
    overrides,
    block_overrides,
    log_filter,
    raw_transaction,
    typed_data,
    junk,
]


def params(rng: random.Random, world: World, method: str) -> Any:
    """Return parameters for `method`: mostly of its shape, else too few, too many, of another kind, or no array."""
    shape = SHAPES.get(method)
    if method.startswith(("evm_", "hardhat_", "anvil_")) and shape is None:
        shape = [small_number, small_number]
    if shape is None:
        shape = [rng.choice(ANY_KIND) for _ in range(rng.randrange(4))]
    kind = rng.randrange(40)
    if kind == 0:
        return junk(rng, world)
    if kind == 1:
        return {"0": 1}
    made = [junk(rng, world, 2) if rng.randrange(14) == 0 else draw(rng, world) for draw in shape]
    if kind < 6:
        return made[: rng.randrange(len(made) + 1)]
    return [*made, junk(rng, world, 2)] if kind == 6 else made


IDS = (1, 0, -1, 2**53, 1.5, "a", "", "é", "\u0000", None, 2**64, 1e300, "x" * 1_000)
BAD_IDS: tuple[Any, ...] = ({}, [], [1], {"a": 1}, True)


def request(rng: random.Random, world: World, methods: tuple[str, ...] = METHODS) -> dict[str, Any]:
    """Return one request; nearly always a well-formed one."""
    method = rng.choice(methods)
    made: dict[str, Any] = {
        "jsonrpc": "2.0",
        "id": rng.choice(IDS),
        "method": method,
        "params": params(rng, world, method),
    }
    kind = rng.randrange(60)
    if kind == 0:
        made["id"] = rng.choice(BAD_IDS)
    elif kind == 1:
        del made[rng.choice(("jsonrpc", "method", "params", "id"))]
    elif kind == 2:
        made["method"] = rng.choice(
            (
                f"{method} ",
                "eth_",
                "_",
                "rpc_modules",
                "ETH_CALL",
                "",
                5,
                None,
                "a" * 10_000,
                "debug_traceCall",
                "\u0000",
            )
        )
    elif kind == 3:
        made["jsonrpc"] = rng.choice(("1.0", 2.0, None, "", [], "2.0 "))
    elif kind == 4:
        made[rng.choice(KEYS)] = junk(rng, world)
    return made


def body(rng: random.Random, world: World, methods: tuple[str, ...] = METHODS) -> bytes:
    """Return a body: one request, a batch, or text that is no JSON."""
    kind = rng.randrange(50)
    if kind < 40:
        return encoded(rng, request(rng, world, methods))
    if kind < 46:
        return encoded(
            rng,
            [request(rng, world, methods) if rng.randrange(9) else junk(rng, world) for _ in range(rng.randrange(6))],
        )
    text = encoded(rng, request(rng, world, methods))
    if kind == 46:
        return mutated(rng, text)
    if kind == 47:
        return text.replace(b'"method"', b'"method":"eth_chainId","method"').replace(b'"id"', b'"id":7,"id"')
    if kind == 48:
        return b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":' + rng.choice((b"[", b'{"a":')) * rng.choice(
            (100, 200, 20_000)
        )
    return rng.choice(
        (
            b"",
            b" ",
            b"[]",
            b"[[]]",
            b"{}",
            b"null",
            b"\xff\xfe",
            b"\xef\xbb\xbf{}",
            b"[,]",
            b'"',
            b"1e999",
            b"-",
            text + b" x",
            text + text,
            b"\x00",
        )
    )


def encoded(rng: random.Random, value: Any) -> bytes:
    """Return `value` as JSON; lone surrogates as escapes, or as the bytes that no UTF-8 has."""
    text = json.dumps(value, ensure_ascii=bool(rng.randrange(4)))
    return text.encode("utf-8", "surrogatepass")
