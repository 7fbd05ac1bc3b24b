"""The executable specification (EELS) as an oracle: it makes blocks, and says what they lead to.

Invariant: nothing here imports the package under test. A block is what `apply_body` of its fork made of it; the header
is filled in from that.
Source: PyPI `ethereum-execution`, `ethereum.forks.*`.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from coincurve import PrivateKey
from ethereum.crypto.hash import keccak256
from ethereum.exceptions import EthereumException
from ethereum_rlp import rlp
from ethereum_types.bytes import Bytes8, Bytes20, Bytes32, Bytes256
from ethereum_types.numeric import U64, U256, Uint

CHAIN_ID = 1337
SYSTEM_CONTRACTS = {
    "Cancun": {
        "000f3df6d732807ef1319fb7b8bb8522d0beac02": "3373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f35801560495762001fff810690815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062001fff015500",  # noqa: E501
    },
    "Prague": {
        "0000f90827f1c53a10cb7a02335b175320002935": "3373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111604257611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500",  # noqa: E501
        "00000961ef480eb55e80d19ad83579a64c007002": "3373fffffffffffffffffffffffffffffffffffffffe1460cb5760115f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff146101f457600182026001905f5b5f82111560685781019083028483029004916001019190604d565b909390049250505036603814608857366101f457346101f4575f5260205ff35b34106101f457600154600101600155600354806003026004013381556001015f35815560010160203590553360601b5f5260385f601437604c5fa0600101600355005b6003546002548082038060101160df575060105b5f5b8181146101835782810160030260040181604c02815460601b8152601401816001015481526020019060020154807fffffffffffffffffffffffffffffffff00000000000000000000000000000000168252906010019060401c908160381c81600701538160301c81600601538160281c81600501538160201c81600401538160181c81600301538160101c81600201538160081c81600101535360010160e1565b910180921461019557906002556101a0565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff14156101cd57505f5b6001546002828201116101e25750505f6101e8565b01600290035b5f555f600155604c025ff35b5f5ffd",  # noqa: E501
        "0000bbddc7ce488642fb579f8b00f3a590007251": "3373fffffffffffffffffffffffffffffffffffffffe1460d35760115f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff1461019a57600182026001905f5b5f82111560685781019083028483029004916001019190604d565b9093900492505050366060146088573661019a573461019a575f5260205ff35b341061019a57600154600101600155600354806004026004013381556001015f358155600101602035815560010160403590553360601b5f5260605f60143760745fa0600101600355005b6003546002548082038060021160e7575060025b5f5b8181146101295782810160040260040181607402815460601b815260140181600101548152602001816002015481526020019060030154905260010160e9565b910180921461013b5790600255610146565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff141561017357505f5b6001546001828201116101885750505f61018e565b01600190035b5f555f6001556074025ff35b5f5ffd0000",  # noqa: E501
    },
}


@dataclasses.dataclass(frozen=True, slots=True)
class Fork:
    """A fork as our configuration names it and as EELS files it."""

    name: str
    module: str

    def part(self, path: str) -> Any:
        """Import `ethereum.forks.<module>.<path>`."""
        return importlib.import_module(f"ethereum.forks.{self.module}.{path}")


FORKS = [
    Fork("Frontier", "frontier"),
    Fork("Homestead", "homestead"),
    Fork("TangerineWhistle", "tangerine_whistle"),
    Fork("SpuriousDragon", "spurious_dragon"),
    Fork("Byzantium", "byzantium"),
    Fork("Constantinople", "constantinople"),
    Fork("Istanbul", "istanbul"),
    Fork("Berlin", "berlin"),
    Fork("London", "london"),
    Fork("Paris", "paris"),
    Fork("Shanghai", "shanghai"),
    Fork("Cancun", "cancun"),
    Fork("Prague", "prague"),
    Fork("Osaka", "osaka"),
]
BLOCK_FIELDS = [
    ("Homestead", ["homesteadBlock"]),
    ("TangerineWhistle", ["eip150Block"]),
    ("SpuriousDragon", ["eip155Block", "eip158Block"]),
    ("Byzantium", ["byzantiumBlock"]),
    ("Constantinople", ["constantinopleBlock", "petersburgBlock"]),
    ("Istanbul", ["istanbulBlock"]),
    ("Berlin", ["berlinBlock"]),
    ("London", ["londonBlock"]),
    ("Paris", ["terminalTotalDifficulty"]),
    ("Shanghai", ["shanghaiTime"]),
    ("Cancun", ["cancunTime"]),
    ("Prague", ["pragueTime"]),
    ("Osaka", ["osakaTime"]),
]
ORDER = [fork.name for fork in FORKS]


def config_of(fork: Fork) -> dict[str, int]:
    """Return the genesis `config` under which `fork` is in force from the start."""
    active = [name for since, names in BLOCK_FIELDS if ORDER.index(since) <= ORDER.index(fork.name) for name in names]
    return {"chainId": CHAIN_ID, **dict.fromkeys(active, 0)}


def sign(key: bytes, digest: bytes) -> tuple[int, int, int]:
    """Return (parity, r, s)."""
    signature = PrivateKey(key).sign_recoverable(digest, hasher=None)
    return signature[64], int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")


def address_of(key: bytes) -> bytes:
    """Return the address of a private key."""
    return keccak256(PrivateKey(key).public_key.format(compressed=False)[1:])[12:]


def make_state(fork: Fork, alloc: dict[str, dict[str, Any]]) -> Any:
    """Put a genesis `alloc` into an EELS state."""
    module, types = fork.part("state"), fork.part("fork_types")
    state = module.State()
    for address, account in alloc.items():
        key = Bytes20(bytes.fromhex(address))
        code = bytes.fromhex(account.get("code", "0x")[2:])
        nonce, balance = Uint(int(account.get("nonce", "0x0"), 16)), U256(int(account["balance"], 16))
        module.set_account(state, key, types.Account(nonce=nonce, balance=balance, code=code))
        for slot, value in account.get("storage", {}).items():
            module.set_storage(state, key, Bytes32(bytes.fromhex(slot[2:])), U256(int(value, 16)))
    return state


@dataclasses.dataclass
class Chain:
    """A chain of one fork, made by EELS."""

    fork: Fork
    state: Any
    headers: list[Any] = dataclasses.field(default_factory=list)

    def header(self, **values: Any) -> Any:
        """Build a header of this fork from what it has and what is given."""
        cls = self.fork.part("blocks").Header
        blank = {
            "parent_hash": Bytes32(bytes(32)),
            "ommers_hash": keccak256(rlp.encode(())),
            "coinbase": Bytes20(b"\xc0" * 20),
            "state_root": Bytes32(bytes(32)),
            "transactions_root": keccak256(rlp.encode(b"")),
            "receipt_root": keccak256(rlp.encode(b"")),
            "bloom": Bytes256(bytes(256)),
            "difficulty": Uint(0 if self.at_least("Paris") else 131_072),
            "number": Uint(0),
            "gas_limit": Uint(30_000_000),
            "gas_used": Uint(0),
            "timestamp": U256(0),
            "extra_data": b"engine",
            "mix_digest": Bytes32(bytes(32)),
            "prev_randao": Bytes32(bytes(32)),
            "nonce": Bytes8(bytes(8)),
            "base_fee_per_gas": Uint(1_000_000_000),
            "withdrawals_root": keccak256(rlp.encode(b"")),
            "blob_gas_used": U64(0),
            "excess_blob_gas": U64(0),
            "parent_beacon_block_root": Bytes32(bytes(32)),
            "requests_hash": Bytes32(bytes(32)),
        }
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: values.get(name, blank[name]) for name in names})

    def at_least(self, name: str) -> bool:
        """Whether the fork is `name` or later."""
        return ORDER.index(self.fork.name) >= ORDER.index(name)

    def begin(self, **values: Any) -> None:
        """Make the first header, on the state as it is."""
        root = self.fork.part("state").state_root(self.state)
        self.headers.append(self.header(state_root=root, **values))

    def environment(self, state: Any, header: Any) -> Any:
        """Return the block environment of `header`."""
        cls = self.fork.part("vm").BlockEnvironment
        values = {
            "chain_id": U64(CHAIN_ID),
            "state": state,
            "block_gas_limit": header.gas_limit,
            "block_hashes": [keccak256(rlp.encode(past)) for past in self.headers],
            "coinbase": header.coinbase,
            "number": header.number,
            "time": header.timestamp,
            "difficulty": header.difficulty,
            "base_fee_per_gas": getattr(header, "base_fee_per_gas", None),
            "prev_randao": getattr(header, "prev_randao", None),
            "excess_blob_gas": getattr(header, "excess_blob_gas", None),
            "parent_beacon_block_root": getattr(header, "parent_beacon_block_root", None),
        }
        return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls)})

    def next_header(self, **values: Any) -> Any:
        """Return the header of the next block, but for what execution decides."""
        parent = self.headers[-1]
        fork = self.fork.part("fork")
        if self.at_least("London"):
            values["base_fee_per_gas"] = fork.calculate_base_fee_per_gas(
                parent.gas_limit, parent.gas_limit, parent.gas_used, parent.base_fee_per_gas
            )
        if self.at_least("Cancun"):
            values["excess_blob_gas"] = self.fork.part("vm.gas").calculate_excess_blob_gas(parent)
        return self.header(
            parent_hash=keccak256(rlp.encode(parent)),
            number=parent.number + Uint(1),
            gas_limit=parent.gas_limit,
            **values,
        )

    def apply(self, state: Any, header: Any, transactions: list[Any], rest: tuple[Any, ...]) -> Any:
        """Run `apply_body` of the fork; `rest` is its last argument, ommers or withdrawals."""
        arguments = (rest,) if not self.at_least("Paris") or self.at_least("Shanghai") else ()
        return self.fork.part("fork").apply_body(self.environment(state, header), tuple(transactions), *arguments)

    def refuses(self, header: Any, transactions: list[Any]) -> str | None:
        """Return the name of the error with which EELS refuses a body, or `None`; the state stays as it is."""
        try:
            self.apply(self.copy_state(), header, transactions, ())
        except EthereumException as error:
            return type(error).__name__
        return None

    def account(self, address: bytes) -> Any:
        """Return the account at `address` as it is now."""
        return self.fork.part("state").get_account(self.state, Bytes20(address))

    def copy_state(self) -> Any:
        """Return a state that can be changed without changing this chain's."""
        module, copy_trie = self.fork.part("state"), self.fork.part("trie").copy_trie
        tries = {address: copy_trie(trie) for address, trie in self.state._storage_tries.items()}
        return module.State(_main_trie=copy_trie(self.state._main_trie), _storage_tries=tries)

    def add(self, header: Any, transactions: list[Any], rest: tuple[Any, ...]) -> tuple[bytes, Any]:
        """Execute a block and append it; return its RLP and EELS's output."""
        output = self.apply(self.state, header, transactions, rest)
        trie = self.fork.part("trie")
        values = {
            "state_root": self.fork.part("state").state_root(self.state),
            "transactions_root": trie.root(output.transactions_trie),
            "receipt_root": trie.root(output.receipts_trie),
            "bloom": self.fork.part("bloom").logs_bloom(output.block_logs),
            "gas_used": output.block_gas_used,
        }
        ommers: tuple[Any, ...] = ()
        if not self.at_least("Paris"):
            ommers = rest
            values["ommers_hash"] = keccak256(rlp.encode(rest))
        if self.at_least("Shanghai"):
            values["withdrawals_root"] = trie.root(output.withdrawals_trie)
        if self.at_least("Cancun"):
            values["blob_gas_used"] = output.blob_gas_used
        if self.at_least("Prague"):
            values["requests_hash"] = self.fork.part("requests").compute_requests_hash(output.requests)
        header = dataclasses.replace(header, **values)
        body: tuple[Any, ...] = (header, tuple(transactions), ommers)
        if self.at_least("Shanghai"):
            body += (rest,)
        self.headers.append(header)
        return rlp.encode(body), output
