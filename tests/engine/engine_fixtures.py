"""How a state test's transaction ends according to the executable specification (EELS).

Invariant: nothing here imports the package under test. The fork's own `process_transaction` runs; what it found out and
then drops (the top frame's error, the refund counter) is read where its message call returns it.
Source: PyPI `ethereum-execution`, `ethereum.forks.*`; execution-spec-tests, "State tests".
"""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest import mock

from engine_oracle import FORKS, Fork
from ethereum import trace
from ethereum.crypto.hash import keccak256
from ethereum.exceptions import EthereumException
from ethereum_rlp import rlp
from ethereum_types.bytes import Bytes20, Bytes32
from ethereum_types.numeric import U64, U256, Uint

#: The fixtures' names of forks, where EELS has others.
FIXTURE_NAMES = {"EIP150": "TangerineWhistle", "EIP158": "SpuriousDragon", "ConstantinopleFix": "Constantinople"}
BY_NAME = {fork.name: fork for fork in FORKS}
#: No instruction takes more operands.
MOST_OPERANDS = 17
#: Block hashes that a block can ask for.
HASHES = 256


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """What a transaction did: its top frame's error (a class of EELS, or none), gas, and logs as hexadecimal texts."""

    error: str | None
    gas_used: int
    gas_refunded: int
    logs: list[tuple[str, list[str], str]]


def ending(case: dict[str, Any], fork_name: str, indexes: dict[str, int]) -> Ending:
    """Execute the combination `indexes` of the fixture `case` as EELS does; every fixture has its signed bytes."""
    fork = BY_NAME[FIXTURE_NAMES.get(fork_name, fork_name)]
    transaction, result, output = _execute(fork, case, fork_name, indexes)
    # EIP-3529 lowered what may be refunded from a half to a fifth; where EIP-7623's floor is paid, nothing is.
    spent, paid = int(transaction.gas) - int(result.gas_left), int(output.block_gas_used)
    parts = 5 if FORKS.index(fork) >= FORKS.index(BY_NAME["London"]) else 2
    refund = min(spent // parts, int(result.refund_counter))
    refund = refund if paid == spent - refund else 0
    return Ending(
        error=type(result.error).__name__ if result.error else None,
        gas_used=paid,
        gas_refunded=refund,
        logs=[
            ("0x" + log.address.hex(), ["0x" + topic.hex() for topic in log.topics], "0x" + log.data.hex())
            for log in output.block_logs
        ],
    )


def lacks_gas_too(case: dict[str, Any], fork_name: str, indexes: dict[str, int]) -> bool:
    """Tell whether the instruction that lacks operands would, with enough of them, lack gas.

    The yellow paper (9.4.2) lists both as reasons to halt, in no order; EELS happens to look at the operands first.
    """
    fork = BY_NAME[FIXTURE_NAMES.get(fork_name, fork_name)]
    implementations = fork.part("vm.instructions").op_implementation
    lacked = []
    last: list[Any] = []

    def watch(evm: Any, event: Any) -> None:
        if isinstance(event, trace.OpStart):
            last[:] = [event.op, list(evm.stack)]
        if isinstance(event, trace.OpException) and type(event.error).__name__ == "StackUnderflowError":
            evm.stack[:] = [U256(0)] * MOST_OPERANDS + last[1]
            try:
                implementations[last[0]](evm)
                lacked.append(False)
            except EthereumException as error:
                lacked.append(type(error).__name__ == "OutOfGasError")

    before = trace.set_evm_trace(watch)
    try:
        _execute(fork, case, fork_name, indexes)
    finally:
        trace.set_evm_trace(before)
    return lacked[-1]


def _execute(fork: Fork, case: dict[str, Any], fork_name: str, indexes: dict[str, int]) -> tuple[Any, Any, Any]:
    """Return the transaction, what its message call gave, and what the block then holds."""
    (post,) = (post for post in case["post"][fork_name] if post["indexes"] == indexes)
    output = fork.part("vm").BlockOutput()
    module = fork.part("fork")
    call = module.process_message_call
    results: list[Any] = []

    def remember(message: Any) -> Any:
        results.append(call(message))
        return results[-1]

    transaction = _decode(fork, bytes.fromhex(post["txbytes"].removeprefix("0x")))
    with mock.patch.object(module, "process_message_call", remember):
        module.process_transaction(_environment(fork, case), output, transaction, Uint(0))
    (result,) = results
    return transaction, result, output


def _decode(fork: Fork, encoded: bytes) -> Any:
    transactions = fork.part("transactions")
    if encoded[0] < 0xC0:
        return transactions.decode_transaction(encoded)
    legacy = getattr(transactions, "LegacyTransaction", None) or transactions.Transaction
    return rlp.decode_to(legacy, encoded)


def _environment(fork: Fork, case: dict[str, Any]) -> Any:
    env = case["env"]
    number = _int(env["currentNumber"])
    # Block hashes are what the fixtures' tools invent: the hash of the number in decimal digits.
    hashes = [keccak256(str(past).encode()) for past in range(max(0, number - HASHES), number)]
    values = {
        "chain_id": U64(_int(case.get("config", {}).get("chainid", "0x1"))),
        "state": _state(fork, case["pre"]),
        "block_gas_limit": Uint(_int(env["currentGasLimit"])),
        "block_hashes": hashes,
        "coinbase": Bytes20(_bytes(env["currentCoinbase"])),
        "number": Uint(number),
        "time": U256(_int(env["currentTimestamp"])),
        "difficulty": Uint(_int(env.get("currentDifficulty", "0x0"))),
        "base_fee_per_gas": Uint(_int(env.get("currentBaseFee", "0xa"))),
        "prev_randao": Bytes32(_int(env.get("currentRandom", "0x0")).to_bytes(32, "big")),
        "excess_blob_gas": U64(_int(env.get("currentExcessBlobGas", "0x0"))),
        "parent_beacon_block_root": Bytes32(bytes(32)),
    }
    cls = fork.part("vm").BlockEnvironment
    return cls(**{field.name: values[field.name] for field in dataclasses.fields(cls)})


def _state(fork: Fork, accounts: dict[str, Any]) -> Any:
    module, types = fork.part("state"), fork.part("fork_types")
    state = module.State()
    for address, account in accounts.items():
        key = Bytes20(_bytes(address))
        nonce, balance = Uint(_int(account["nonce"])), U256(_int(account["balance"]))
        module.set_account(state, key, types.Account(nonce=nonce, balance=balance, code=_bytes(account["code"])))
        for slot, value in account["storage"].items():
            module.set_storage(state, key, Bytes32(_int(slot).to_bytes(32, "big")), U256(_int(value)))
    return state


def _int(text: str) -> int:
    return int(text, 16)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))
