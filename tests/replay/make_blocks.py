"""Makes the recordings in `blocks/`: small blocks on mainnet's fork schedule, executed by EELS, proven from its tries.

Each block transfers, writes and erases slots (so that storage tries split and collapse), creates a contract, destroys
one and reverts; from London on with typed transactions, from Shanghai on with withdrawals. Accounts and slots that no
transaction touches have no proofs, so the state is known in part only, as in the recordings of real blocks.

Invariant: the output depends on this file and on EELS alone; nothing of the package under test is imported.
Run as a program, it writes the files again: ``python -m tests.replay.make_blocks``.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coincurve import PrivateKey
from ethereum.crypto.hash import keccak256
from ethereum_rlp import rlp
from ethereum_types.bytes import Bytes, Bytes8, Bytes20, Bytes32, Bytes256
from ethereum_types.numeric import U64, U256, Uint

Json = dict[str, Any]

FOLDER = Path(__file__).parent / "blocks"
GWEI = 10**9
COINBASE = bytes.fromhex("c0" * 20)
WRITER, DESTROYER, REVERTER, SHRINKER = (bytes([0xA0 + index]) * 20 for index in range(4))
# sstore(calldata[0], calldata[32]); log1(topic 0); stop
WRITING = "60203560003555600060006000a100"
CODES = {
    WRITER: WRITING,
    SHRINKER: WRITING,
    # selfdestruct(caller)
    DESTROYER: "33ff",
    # revert(0, 0); an invalid opcode before Byzantium, with the same end
    REVERTER: "60006000fd",
}
#: Storage before the block, by account and slot. Slot 3 of the shrinker is never touched and therefore not proven, but
#: erasing slot 1 leaves it alone in its trie: its node is needed, and only the proof made after the block shows it.
STORAGE = {WRITER: {1: 7, 2: 9}, SHRINKER: {1: 7, 3: 9}}
#: Slots that transactions touch.
PROVEN = {WRITER: (1, 2, 5), SHRINKER: (1,)}
#: Deploys one byte, 0x01.
INITCODE = bytes.fromhex("6001600053" + "60016000f3")
KEYS = [keccak256(f"recorded block, sender {index}".encode()) for index in range(2)]
BYSTANDERS = [keccak256(f"recorded block, bystander {index}".encode())[:20] for index in range(24)]


@dataclasses.dataclass(frozen=True, slots=True)
class Rules:
    """One fork: where EELS keeps it, and a place on mainnet's schedule where it is in force."""

    module: str
    number: int
    timestamp: int

    def part(self, path: str) -> Any:
        """Import a module of the fork."""
        return importlib.import_module(f"ethereum.forks.{self.module}.{path}")


RULES = [
    Rules("homestead", 1_150_010, 1_457_981_500),
    Rules("byzantium", 4_370_010, 1_508_131_500),
    Rules("london", 12_965_010, 1_628_166_900),
    Rules("cancun", 19_426_600, 1_710_338_300),
]


def has(record: Any, field: str) -> bool:
    """Tell whether a dataclass of this fork has `field`."""
    return field in {known.name for known in dataclasses.fields(record)}


def address_of(key: bytes) -> bytes:
    """Return the address of a private key."""
    return keccak256(PrivateKey(key).public_key.format(compressed=False)[1:])[12:]


def hex_of(value: object) -> str:
    """Write a number as a quantity and bytes as data."""
    return "0x" + bytes(value).hex() if isinstance(value, bytes) else hex(int(value))  # type: ignore[call-overload]


# ---- transactions ----------------------------------------------------------------------------------


def signed(fields: dict[str, Any], key: bytes, *, typed: bool) -> tuple[bytes, Json]:
    """Sign a transaction; return its bytes and its JSON-RPC form."""
    names = ["nonce", "gasPrice", "gas", "to", "value", "input"]
    if typed:
        names = [
            "chainId",
            "nonce",
            "maxPriorityFeePerGas",
            "maxFeePerGas",
            "gas",
            "to",
            "value",
            "input",
            "accessList",
        ]
    values = [Uint(fields[name]) if isinstance(fields[name], int) else fields[name] for name in names]
    prefix = b"\x02" if typed else b""
    signature = PrivateKey(key).sign_recoverable(keccak256(prefix + rlp.encode(values)), hasher=None)
    parity = signature[64]
    r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
    first = parity if typed else 27 + parity
    encoded = prefix + rlp.encode([*values, Uint(first), Uint(r), Uint(s)])
    document = {name: hex_of(fields[name]) for name in names if name != "accessList"}
    document |= {"type": hex(len(prefix) * 2), "v": hex(first), "r": hex(r), "s": hex(s)}
    document |= {"hash": hex_of(keccak256(encoded)), "from": hex_of(address_of(key))}
    if typed:
        document |= {"accessList": [], "yParity": hex(parity)}
    if not fields["to"]:
        document["to"] = None
    return encoded, document


def write_call(slot: int, value: int) -> bytes:
    """Return the call data that makes the writer write."""
    return slot.to_bytes(32, "big") + value.to_bytes(32, "big")


def transactions(*, typed: bool) -> list[tuple[bytes, Json]]:
    """Return the block's transactions, signed."""
    steps: list[tuple[int, bytes, bytes, int]] = [
        (0, bytes.fromhex("b0" * 20), b"", 1),
        (0, WRITER, write_call(1, 0), 0),
        (1, WRITER, write_call(5, 6), 0),
        (1, b"", INITCODE, 0),
        (0, DESTROYER, b"", 0),
        (1, REVERTER, b"", 3),
        (1, WRITER, write_call(2, 0), 0),
        (0, SHRINKER, write_call(1, 0), 0),
    ]
    nonces = [0, 0]
    made = []
    for index, (who, to, data, value) in enumerate(steps):
        prices = {"gasPrice": 20 * GWEI, "maxFeePerGas": 30 * GWEI, "maxPriorityFeePerGas": GWEI}
        fields = {"nonce": nonces[who], "gas": 100_000, "to": to, "value": value, "input": data, "accessList": []}
        nonces[who] += 1
        made.append(signed({"chainId": 1, **fields, **prices}, KEYS[who], typed=typed and index % 2 == 1))
    return made


# ---- proofs ----------------------------------------------------------------------------------------


def proof(rules: Rules, leaves: dict[Bytes, Bytes], key: bytes) -> list[str]:
    """Return the nodes on the way to `key`, root first, as `eth_getProof` does."""
    trie = rules.part("trie")
    path = trie.bytes_to_nibble_list(keccak256(key))
    nodes: list[str] = []
    level = 0
    while leaves:
        node = trie.patricialize(leaves, Uint(level))
        if isinstance(node, trie.LeafNode):
            fields: tuple[Any, ...] = (trie.nibble_list_to_compact(node.rest_of_key, True), node.value)
        elif isinstance(node, trie.ExtensionNode):
            fields = (trie.nibble_list_to_compact(node.key_segment, False), node.subnode)
        else:
            fields = (*node.subnodes, node.value)
        encoded = rlp.encode(fields)
        if not nodes or len(encoded) >= 32:
            nodes.append("0x" + encoded.hex())
        if isinstance(node, trie.LeafNode):
            break
        if isinstance(node, trie.ExtensionNode):
            if path[level : level + len(node.key_segment)] != node.key_segment:
                break
            level += len(node.key_segment)
        else:
            leaves = {leaf: value for leaf, value in leaves.items() if leaf[level] == path[level]}
            level += 1
    return nodes


def account_proof(rules: Rules, state: Any, address: bytes, slots: Iterable[int], number: int) -> list[Json]:
    """Return one entry of the cache: the question and the answer."""
    trie, state_of = rules.part("trie"), rules.part("state")
    accounts = trie._prepare_trie(state._main_trie, lambda who: state_of.storage_root(state, who))
    storage = state._storage_tries.get(Bytes20(address))
    values = trie._prepare_trie(storage) if storage else {}
    keys = [slot.to_bytes(32, "big") for slot in slots]
    return [
        {"block_no": number, "address": hex_of(address), "indices": [hex_of(key) for key in keys]},
        {
            "address": hex_of(address),
            "accountProof": proof(rules, accounts, address),
            "storageProof": [{"key": hex_of(key), "proof": proof(rules, values, key)} for key in keys],
        },
    ]


# ---- blocks ----------------------------------------------------------------------------------------


def state_before(rules: Rules) -> Any:
    """Return the state that the block starts from."""
    module, types = rules.part("state"), rules.part("fork_types")
    state = module.State()

    def put(address: bytes, balance: int, code: bytes = b"") -> None:
        account = types.Account(nonce=Uint(1 if code else 0), balance=U256(balance), code=Bytes(code))
        module.set_account(state, Bytes20(address), account)

    for address in [*map(address_of, KEYS), *BYSTANDERS]:
        put(address, 10**18)
    for address, code in CODES.items():
        put(address, 5, bytes.fromhex(code))
    for address, slots in STORAGE.items():
        for slot, value in slots.items():
            module.set_storage(state, Bytes20(address), Bytes32(slot.to_bytes(32, "big")), U256(value))
    return state


def header_of(rules: Rules, **values: Any) -> Any:
    """Return a header of the fork; what is not given is what an empty block has."""
    header = rules.part("blocks").Header
    empty_root = keccak256(rlp.encode(b""))
    proof_of_stake = rules.module == "cancun"
    blank = {
        "parent_hash": Bytes32(bytes(32)),
        "ommers_hash": keccak256(rlp.encode(())),
        "coinbase": Bytes20(COINBASE),
        "state_root": empty_root,
        "transactions_root": empty_root,
        "receipt_root": empty_root,
        "bloom": Bytes256(bytes(256)),
        "difficulty": Uint(0 if proof_of_stake else 131_072),
        "gas_limit": Uint(8_000_000),
        "gas_used": Uint(0),
        "extra_data": Bytes(b"recorded"),
        "mix_digest": Bytes32(bytes(32)),
        "prev_randao": Bytes32(b"\x0a" * 32),
        "nonce": Bytes8(bytes(8)),
        "base_fee_per_gas": Uint(GWEI),
        "withdrawals_root": empty_root,
        "blob_gas_used": U64(0),
        "excess_blob_gas": U64(0),
        "parent_beacon_block_root": Bytes32(b"\x0b" * 32),
    }
    known = {field.name for field in dataclasses.fields(header)}
    return header(**{name: value for name, value in {**blank, **values}.items() if name in known})


def environment(rules: Rules, state: Any, header: Any, parent: Any) -> Any:
    """Return the environment of `header` as EELS wants it."""
    block = rules.part("vm").BlockEnvironment
    values = {field.name: getattr(header, field.name, None) for field in dataclasses.fields(block)}
    values |= {"chain_id": U64(1), "state": state, "time": header.timestamp}
    values |= {"block_gas_limit": header.gas_limit, "block_hashes": [keccak256(rlp.encode(parent))]}
    return block(**values)


def json_header(header: Any) -> Json:
    """Return a header as JSON-RPC shows it."""
    names = {
        "ommers_hash": "sha3Uncles",
        "coinbase": "miner",
        "receipt_root": "receiptsRoot",
        "bloom": "logsBloom",
        "mix_digest": "mixHash",
        "prev_randao": "mixHash",
    }

    def camel(name: str) -> str:
        first, *rest = name.split("_")
        return first + "".join(word.capitalize() for word in rest)

    fields = {field.name: getattr(header, field.name) for field in dataclasses.fields(header)}
    document = {names.get(name, camel(name)): hex_of(value) for name, value in fields.items()}
    return {**document, "hash": hex_of(keccak256(rlp.encode(header))), "transactions": [], "uncles": []}


def executed(rules: Rules, state: Any, header: Any, parent: Any, encoded: list[bytes]) -> tuple[Any, list[Json]]:
    """Let EELS execute the block on `state`; return its header and its withdrawals."""
    fork, trie, blocks = rules.part("fork"), rules.part("trie"), rules.part("blocks")
    legacy = getattr(rules.part("transactions"), "LegacyTransaction", None) or rules.part("transactions").Transaction
    body = [Bytes(raw) if raw[0] < 0x7F else rlp.decode_to(legacy, raw) for raw in encoded]
    rest: tuple[Any, ...] = ()
    withdrawals: list[Json] = []
    if has(header, "withdrawals_root"):
        rest = (blocks.Withdrawal(U64(7), U64(9), Bytes20(b"\xd0" * 20), U256(11)),)
        names = ("index", "validatorIndex", "address", "amount")
        withdrawals = [dict(zip(names, map(hex_of, (7, 9, b"\xd0" * 20, 11)), strict=True))]
    output = fork.apply_body(environment(rules, state, header, parent), tuple(body), rest)
    found = {
        "state_root": rules.part("state").state_root(state),
        "transactions_root": trie.root(output.transactions_trie),
        "receipt_root": trie.root(output.receipts_trie),
        "bloom": rules.part("bloom").logs_bloom(output.block_logs),
        "gas_used": output.block_gas_used,
    }
    if withdrawals:
        found["withdrawals_root"] = trie.root(output.withdrawals_trie)
    return dataclasses.replace(header, **found), withdrawals


def recording(rules: Rules) -> Json:
    """Return the cache of one block."""
    state = state_before(rules)
    root = rules.part("state").state_root(state)
    parent_number = rules.number - 1
    parent = header_of(rules, number=Uint(parent_number), timestamp=U256(rules.timestamp - 12), state_root=root)
    values: Json = {"parent_hash": keccak256(rlp.encode(parent))}
    if has(parent, "base_fee_per_gas"):
        calculate = rules.part("fork").calculate_base_fee_per_gas
        limit = parent.gas_limit
        values["base_fee_per_gas"] = calculate(limit, limit, parent.gas_used, parent.base_fee_per_gas)
    header = header_of(rules, number=Uint(rules.number), timestamp=U256(rules.timestamp), **values)

    made = transactions(typed=has(parent, "base_fee_per_gas"))
    created = keccak256(rlp.encode([Bytes20(address_of(KEYS[1])), Uint(1)]))[12:]
    beacon_roots = bytes.fromhex("000f3df6d732807ef1319fb7b8bb8522d0beac02")
    touched = [*map(address_of, KEYS), *CODES, COINBASE, created, b"\xb0" * 20, b"\xd0" * 20, bytes(20), beacon_roots]
    before = [account_proof(rules, state, who, PROVEN.get(who, ()), parent_number) for who in touched]
    header, withdrawals = executed(rules, state, header, parent, [raw for raw, _ in made])
    after = [account_proof(rules, state, who, PROVEN.get(who, ()), rules.number) for who in touched]

    block = json_header(header)
    block["transactions"] = [document for _, document in made]
    if withdrawals:
        block["withdrawals"] = withdrawals
    return {
        "full_blocks": [[{"block_no": parent_number}, json_header(parent)], [{"block_no": rules.number}, block]],
        "proofs": before + after,
        "code": [[{"block_no": parent_number, "address": hex_of(who)}, f"0x{code}"] for who, code in CODES.items()],
    }


def text(rules: Rules) -> str:
    """Return the file of one block."""
    return json.dumps(recording(rules), separators=(",", ":"), sort_keys=True) + "\n"


def main() -> None:
    """Write every file."""
    FOLDER.mkdir(exist_ok=True)
    for rules in RULES:
        (FOLDER / f"{rules.number}.json").write_text(text(rules))


if __name__ == "__main__":
    main()
