"""State roots of a chain whose state is edited at random, against the executable specification's trie in Python."""

from __future__ import annotations

import random

from ethereum.crypto.hash import keccak256
from ethereum.forks.shanghai import state as spec
from ethereum.forks.shanghai.fork_types import Account
from ethereum_types.bytes import Bytes20, Bytes32
from ethereum_types.numeric import U256, Uint

from interlace.chain import Chain

from .bytecode import RETURN_42
from .test_genesis import document

CONTRACTS = [f"0x{number:040x}" for number in (0xC0DE00, 0xC0DE01)]
ACCOUNTS = 1_500
ROUNDS = 5


def person(number: int) -> str:
    return f"0x{0xACC0000000 + number:040x}"


class Model:
    """The state as the specification holds it."""

    def __init__(self, alloc: dict[str, dict[str, object]]) -> None:
        self.state = spec.State()
        for address, account in alloc.items():
            code = bytes.fromhex(str(account.get("code", "0x"))[2:])
            self.set(address, int(str(account["balance"]), 16), code)
            for slot, value in dict(account.get("storage", {})).items():  # type: ignore[call-overload]
                self.store(address, int(slot, 16), int(value, 16))

    def set(self, address: str, balance: int, code: bytes = b"") -> None:
        exists = balance or code
        account = Account(Uint(0), U256(balance), code) if exists else None
        spec.set_account(self.state, Bytes20.fromhex(address[2:]), account)

    def store(self, address: str, slot: int, value: int) -> None:
        key = Bytes32(slot.to_bytes(32, "big"))
        spec.set_storage(self.state, Bytes20.fromhex(address[2:]), key, U256(value))

    def root(self) -> str:
        return f"0x{spec.state_root(self.state).hex()}"


def test_every_root_is_the_specifications() -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    rng = random.Random(seed)
    alloc: dict[str, dict[str, object]] = {person(n): {"balance": hex(n + 1)} for n in range(ACCOUNTS)}
    for number, contract in enumerate(CONTRACTS):
        slots = {f"0x{slot:064x}": f"0x{slot + 1:064x}" for slot in range(60 + 600 * number)}
        alloc[contract] = {"balance": "0x1", "code": f"0x{RETURN_42.hex()}", "storage": slots}
    model = Model(alloc)
    with Chain(document(alloc=alloc), port=None, block_time_ms=0) as chain:
        rpc = chain.client.rpc
        assert rpc("eth_getBlockByNumber", "0x0", False)["stateRoot"] == model.root()
        for _ in range(ROUNDS):
            for _ in range(rng.randrange(1, 300)):
                if rng.random() < 0.5:
                    # A third of the edits leave nothing of the account; a third make one that was not there.
                    address, balance = (
                        person(rng.randrange(ACCOUNTS * 3 // 2)),
                        rng.choice([0, 1, rng.randrange(1 << 90)]),
                    )
                    rpc("anvil_setBalance", address, hex(balance))
                    model.set(address, balance)
                else:
                    contract, slot, value = rng.choice(CONTRACTS), rng.randrange(900), rng.randrange(3)
                    rpc("anvil_setStorageAt", contract, hex(slot), f"0x{value:064x}")
                    model.store(contract, slot, value)
            rpc("evm_mine")
            root = rpc("eth_getBlockByNumber", "latest", False)["stateRoot"]
            assert root == model.root(), f"seed {seed}"
            proof = rpc("eth_getProof", rng.choice(CONTRACTS), [hex(rng.randrange(900))], "latest")
            assert f"0x{keccak256(bytes.fromhex(proof['accountProof'][0][2:])).hex()}" == root
            nodes = proof["storageProof"][0]["proof"]
            assert f"0x{keccak256(bytes.fromhex(nodes[0][2:])).hex()}" == proof["storageHash"]
