"""Seeded random chains of every fork: accounts, contracts, transactions of all types, and some that are not valid.

Invariant: a case is plain data (genesis objects, RLP, expected values), made by EELS alone; the same seed gives the
same case.
"""

from __future__ import annotations

import dataclasses
from random import Random
from typing import Any

from engine_code import Coder, push
from engine_oracle import CHAIN_ID, ORDER, SYSTEM_CONTRACTS, Chain, Fork, address_of, config_of, make_state, sign
from ethereum.crypto.hash import keccak256
from ethereum_rlp import rlp
from ethereum_types.bytes import Bytes0, Bytes20, Bytes32
from ethereum_types.numeric import U64, U256, Uint

ETHER = 10**18
DEPOSIT_CONTRACT = bytes.fromhex("00000000219ab540356cbb839cbe05303d7705fa")
DEPOSIT_EVENT = bytes.fromhex("649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5")
WITHDRAWAL_REQUESTS = bytes.fromhex("00000961ef480eb55e80d19ad83579a64c007002")
CONSOLIDATION_REQUESTS = bytes.fromhex("0000bbddc7ce488642fb579f8b00f3a590007251")
TYPES = {0: "Frontier", 1: "Berlin", 2: "London", 3: "Cancun", 4: "Prague"}


@dataclasses.dataclass
class Draft:
    """A transaction before it is signed; fields that its type lacks are not used."""

    kind: int
    key: bytes
    nonce: int
    to: bytes
    value: int = 0
    data: bytes = b""
    gas: int = 300_000
    fee_cap: int = 10**10
    tip: int = 10**9
    access: list[Any] = dataclasses.field(default_factory=list)
    blob_hashes: list[bytes] = dataclasses.field(default_factory=list)
    blob_fee_cap: int = 10**9
    authorizations: list[Any] = dataclasses.field(default_factory=list)
    chain_id: int = CHAIN_ID
    protected: bool = True

    def fields(self) -> list[Any]:
        """Return what is signed, in order."""
        number, call = Uint(self.nonce), [self.to, Uint(self.value), self.data]
        if self.kind == 0:
            return [number, Uint(self.fee_cap), Uint(self.gas), *call]
        chain = Uint(self.chain_id)
        if self.kind == 1:
            return [chain, number, Uint(self.fee_cap), Uint(self.gas), *call, self.access]
        fees = [Uint(self.tip), Uint(self.fee_cap), Uint(self.gas)]
        extra: list[Any] = []
        if self.kind == 3:
            extra = [Uint(self.blob_fee_cap), self.blob_hashes]
        elif self.kind == 4:
            extra = [self.authorizations]
        return [chain, number, *fees, *call, self.access, *extra]

    def encode(self, fork: Fork) -> Any:
        """Sign; return what EELS takes as an element of a body."""
        fields = self.fields()
        if self.kind:
            prefix = bytes([self.kind])
            parity, r, s = sign(self.key, keccak256(prefix + rlp.encode(fields)))
            return prefix + rlp.encode([*fields, Uint(parity), Uint(r), Uint(s)])
        suffix = [Uint(self.chain_id), Uint(0), Uint(0)] if self.protected else []
        parity, r, s = sign(self.key, keccak256(rlp.encode(fields + suffix)))
        v = parity + (35 + 2 * self.chain_id if self.protected else 27)
        module = fork.part("transactions")
        cls = getattr(module, "LegacyTransaction", None) or module.Transaction
        to = Bytes20(self.to) if self.to else Bytes0(b"")
        numbers = (U256(self.nonce), Uint(self.fee_cap), Uint(self.gas), to, U256(self.value), self.data)
        return cls(*numbers, U256(v), U256(r), U256(s))


class Maker:
    """Makes one case."""

    def __init__(self, fork: Fork, seed: int) -> None:
        self.fork, self.rng = fork, Random(f"{fork.name}/{seed}")
        self.name = f"{fork.name}-{seed}"
        self.keys = [self.rng.randbytes(32) for _ in range(6)]
        self.senders = [address_of(key) for key in self.keys]
        self.contract_key = self.rng.randbytes(32)
        self.contracts = [self.rng.randbytes(20) for _ in range(4)] + [address_of(self.contract_key)]
        self.nonces = dict.fromkeys(self.keys, 0)
        self.coder = Coder(self.rng, fork.name, [*self.senders[:3], *self.contracts, self.rng.randbytes(20)])
        self.alloc = self.make_alloc()
        self.chain = Chain(fork, make_state(fork, self.alloc))
        self.chain.begin(gas_limit=Uint(30_000_000), gas_used=Uint(self.rng.choice([0, 15_000_000, 29_000_000])))
        self.parent = rlp.encode(self.chain.headers[0])

    def has(self, fork: str) -> bool:
        """Whether `fork` is in force."""
        return ORDER.index(self.fork.name) >= ORDER.index(fork)

    def make_alloc(self) -> dict[str, dict[str, Any]]:
        alloc: dict[str, dict[str, Any]] = {a.hex(): {"balance": hex(1000 * ETHER)} for a in self.senders}
        for address in self.contracts:
            storage = {f"0x{slot:064x}": f"0x{self.rng.randrange(1, 99):064x}" for slot in range(self.rng.randrange(4))}
            code = "0x" + self.coder.runtime().hex()
            alloc[address.hex()] = {"balance": hex(ETHER), "nonce": "0x1", "code": code, "storage": storage}
        for since, contracts in SYSTEM_CONTRACTS.items():
            if self.has(since):
                for name, code in contracts.items():
                    alloc[name] = {"balance": "0x0", "nonce": "0x1", "code": "0x" + code}
        if self.has("Prague"):
            # Logs its calldata as a deposit; the layout is the caller's business.
            code = b"\x36\x5f\x5f\x37" + push(DEPOSIT_EVENT) + b"\x36\x5f\xa1\x00"
            alloc[DEPOSIT_CONTRACT.hex()] = {"balance": "0x0", "nonce": "0x1", "code": "0x" + code.hex()}
        return alloc

    def draft(self, key: bytes | None = None) -> Draft:
        """Draft a valid transaction: a transfer, a creation, or a call, of a type that the fork knows."""
        rng = self.rng
        key = key or rng.choice(self.keys)
        kind = rng.choice([kind for kind, since in TYPES.items() if self.has(since)])
        draft = Draft(kind, key, self.nonces[key], rng.choice([*self.contracts, *self.contracts, *self.senders]))
        draft.protected = self.has("SpuriousDragon") and rng.random() < 0.7
        draft.value = rng.choice([0, 0, 1, rng.randrange(ETHER)])
        draft.data = rng.randbytes(rng.choice([0, 0, 4, 36, 200]))
        draft.gas = rng.choice([100_000, 300_000, 800_000])
        if kind >= 1 and rng.random() < 0.7:
            slots = [Bytes32(slot.to_bytes(32, "big")) for slot in range(rng.randrange(4))]
            draft.access = [[Bytes20(rng.choice(self.contracts)), slots]]
        if kind == 3:
            draft.blob_hashes = [b"\x01" + rng.randbytes(31) for _ in range(rng.choice([1, 1, 2]))]
        elif kind == 4:
            draft.authorizations = [self.authorization() for _ in range(rng.randrange(1, 3))]
        elif rng.random() < 0.25:
            draft.to, draft.data, draft.gas = b"", self.coder.initcode(self.coder.runtime()), 1_500_000
        elif self.has("Prague") and rng.random() < 0.25:
            self.make_request(draft)
        return draft

    def authorization(self) -> list[Any]:
        """Sign a delegation, often for a wrong nonce or chain, which then counts for nothing."""
        rng = self.rng
        key = rng.choice(self.keys)
        nonce = self.nonces[key] + rng.choice([0, 0, 1])
        chain = rng.choice([0, CHAIN_ID, CHAIN_ID, 5])
        target = rng.choice([*self.contracts, bytes(20)])
        fields = [Uint(chain), target, Uint(nonce)]
        parity, r, s = sign(key, keccak256(b"\x05" + rlp.encode(fields)))
        return [*fields, Uint(parity), Uint(r), Uint(s)]

    def make_request(self, draft: Draft) -> None:
        """Turn a draft into a deposit, a withdrawal request or a consolidation request."""
        rng = self.rng
        kind = rng.randrange(3)
        if kind == 0:
            parts = [rng.randbytes(size) for size in (48, 32, 8, 96, 8)]
            offsets = [160, 256, 320, 384, 512]
            head = b"".join(offset.to_bytes(32, "big") for offset in offsets)
            tail = b"".join(
                len(part).to_bytes(32, "big") + part.ljust(-(-len(part) // 32) * 32, b"\0") for part in parts
            )
            draft.to, draft.data, draft.value = DEPOSIT_CONTRACT, head + tail, 0
        elif kind == 1:
            draft.to, draft.data, draft.value = WITHDRAWAL_REQUESTS, rng.randbytes(56), rng.choice([0, 1, 1, 500])
        else:
            draft.to, draft.data, draft.value = CONSOLIDATION_REQUESTS, rng.randbytes(96), rng.choice([0, 1, 1, 500])
        draft.gas = 500_000

    def next_header(self) -> Any:
        values = {
            "timestamp": self.chain.headers[-1].timestamp + U256(self.rng.randrange(1, 15)),
            "coinbase": Bytes20(self.rng.choice([b"\xc0" * 20, *self.senders[:1]])),
            "prev_randao": Bytes32(self.rng.randbytes(32)),
            "parent_beacon_block_root": Bytes32(self.rng.randbytes(32)),
        }
        return self.chain.next_header(**values)

    def rest(self) -> tuple[Any, ...]:
        """Return withdrawals, or ommers before Paris."""
        rng = self.rng
        if self.has("Shanghai"):
            withdrawal = self.fork.part("blocks").Withdrawal
            targets = [*self.senders, *self.contracts, rng.randbytes(20)]
            amounts = [rng.choice([0, 1, 32 * 10**9]) for _ in range(rng.randrange(4))]
            return tuple(
                withdrawal(U64(i), U64(i), Bytes20(rng.choice(targets)), U256(a)) for i, a in enumerate(amounts)
            )
        number = int(self.chain.headers[-1].number) + 1
        if self.has("Paris") or number < 2 or rng.random() < 0.5:
            return ()
        return (self.chain.header(number=Uint(number - 1), coinbase=Bytes20(rng.randbytes(20))),)

    def block(self, size: int) -> tuple[bytes, dict[str, Any]]:
        """Make a block and say what EELS finds it leads to."""
        header = self.next_header()
        transactions: list[Any] = []
        for _ in range(size):
            draft = self.draft()
            transaction = draft.encode(self.fork)
            # A delegation in this very transaction may move the sender's nonce, or an earlier one its balance.
            if self.chain.refuses(header, [*transactions, transaction]) is None:
                transactions.append(transaction)
            self.nonces[draft.key] = self.nonce_after(header, transactions, draft.key)
        encoded, output = self.chain.add(header, transactions, self.rest())
        return encoded, self.expected(encoded, output, transactions)

    def nonce_after(self, header: Any, transactions: list[Any], key: bytes) -> int:
        """Return the nonce of `key` after `transactions`, which EELS tells: authorisations move nonces too."""
        state = self.chain.copy_state()
        self.chain.apply(state, header, transactions, ())
        account = self.fork.part("state").get_account(state, Bytes20(address_of(key)))
        return int(account.nonce)

    def expected(self, encoded: bytes, output: Any, transactions: list[Any]) -> dict[str, Any]:
        header = self.chain.headers[-1]
        logs = [[log.address.hex(), [t.hex() for t in log.topics], log.data.hex()] for log in output.block_logs]
        return {
            "hash": keccak256(rlp.encode(header)).hex(),
            "state_root": header.state_root.hex(),
            "receipts_root": header.receipt_root.hex(),
            "transactions_root": header.transactions_root.hex(),
            "logs_bloom": header.bloom.hex(),
            "gas_used": int(header.gas_used),
            "requests_hash": header.requests_hash.hex() if self.has("Prague") else None,
            "requests": [request.hex() for request in getattr(output, "requests", [])],
            "logs": logs,
            "transactions": len(transactions),
            "bytes": len(encoded),
        }

    def invalid(self) -> list[tuple[str, Draft]]:
        """Return transactions that are not valid now, each with the code of the reason."""
        key = self.keys[0]
        base = Draft(0, key, self.nonces[key], self.senders[1], protected=self.has("SpuriousDragon"))
        change = dataclasses.replace
        cases = [
            ("engine.nonce-too-high", change(base, nonce=base.nonce + 1)),
            ("engine.insufficient-funds", change(base, value=10**30)),
            ("engine.intrinsic-gas", change(base, gas=20_999)),
            ("engine.gas-above-block", change(base, gas=30_000_001)),
        ]
        if base.nonce:
            cases.append(("engine.nonce-too-low", change(base, nonce=base.nonce - 1)))
        if not self.has("SpuriousDragon"):
            cases.append(("engine.not-active", change(base, protected=True)))
        else:
            cases.append(("engine.wrong-chain-id", change(base, chain_id=5)))
        if self.has("Berlin"):
            future = [kind for kind, since in TYPES.items() if not self.has(since)]
            hashes, grants = [b"\x01" * 32], [self.authorization()]
            cases += [
                ("engine.not-active", change(base, kind=kind, blob_hashes=hashes, authorizations=grants))
                for kind in future
            ]
            cases.append(("engine.wrong-chain-id", change(base, kind=1, chain_id=5)))
        if self.has("London"):
            cases += [
                ("engine.fee-cap-too-low", change(base, fee_cap=1)),
                ("engine.fee-cap-too-low", change(base, kind=2, fee_cap=1, tip=1)),
                ("engine.tip-above-fee-cap", change(base, kind=2, tip=10**10 + 1)),
                ("engine.sender-has-code", change(base, key=self.contract_key, nonce=1)),
            ]
        if self.has("Shanghai"):
            oversize = change(base, to=b"", data=bytes(49_153), gas=5_000_000)
            cases.append(("engine.initcode-too-large", oversize))
        if self.has("Cancun"):
            blob = change(base, kind=3, blob_hashes=[b"\x01" * 32])
            cases += [
                ("engine.no-blobs", change(blob, blob_hashes=[])),
                ("engine.blob-version", change(blob, blob_hashes=[b"\x02" * 32])),
                ("engine.blob-fee-cap-too-low", change(blob, blob_fee_cap=0)),
                ("engine.blob-gas-above-block", change(blob, blob_hashes=[b"\x01" * 32] * 10)),
            ]
        if self.has("Prague"):
            cases.append(("engine.floor-gas", change(base, data=b"\xff" * 1000, gas=50_000)))
            cases.append(("engine.no-authorizations", change(base, kind=4, authorizations=[])))
        if self.has("Osaka"):
            cases.append(("engine.gas-above-cap", change(base, gas=2**24 + 1)))
            cases.append(("engine.too-many-blobs", change(blob, blob_hashes=[b"\x01" * 32] * 7)))
        return cases

    def case(self, blocks: int, size: int) -> dict[str, Any]:
        """Make the whole case."""
        made = [self.block(size) for _ in range(blocks)]
        return {
            "name": self.name,
            "config": config_of(self.fork),
            "alloc": self.alloc,
            "parent": self.parent.hex(),
            "blocks": [encoded.hex() for encoded, _ in made],
            "expected": [expected for _, expected in made],
        }
