"""Programs in a chain's state: storing their weights, registering them, and having them run.

Invariant: a program is known by its id, the hash of its manifest, on every chain alike; what is there already is not
sent again. Elements cross as the chain's instructions take them: one byte for each of 8 bits, four, the highest first,
for each of 32.
Source: docs/ai-instructions.md.
What it does not do: it makes no programs (`interlace.models` does).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from eth_utils.crypto import keccak

from interlace import _core
from interlace.errors import ChainError

from .account import Account, checksum_address
from .client import Call, Client
from .types import to_bytes

INFER: Final = checksum_address("0x00000000000000000000000000000000000a1001")
"""Runs a program: its id, then the input."""
REGISTER: Final = checksum_address("0x00000000000000000000000000000000000a1002")
"""Registers a program: its manifest, then the leaves of its weights."""
STORE: Final = checksum_address("0x00000000000000000000000000000000000a1003")
"""Stores a chunk of weights."""
EVAL: Final = checksum_address("0x00000000000000000000000000000000000a1004")
"""Runs a graph that is brought along: its bytes, its weights, then the input."""

SUMCHECK_KEY: Final = checksum_address("0x00000000000000000000000000000000000a1005")
"""Makes the key of a registered program, its id, and tells the key's hash."""
SUMCHECK_VERIFY: Final = checksum_address("0x00000000000000000000000000000000000a1006")
"""Checks a sumcheck proof: context, three lengths, key, inputs, outputs, proof."""

CHUNK_BYTES: Final = 24_575
"""Bytes of weights in one chunk at most."""
MAX_IN_FLIGHT: Final = 16
"""Chunks that are sent before the receipts of the earlier ones are waited for."""


def leaves_of(weights: bytes) -> list[bytes]:
    """Return the hash of each chunk of the weights, which is the code hash of where it lies."""
    return [keccak(b"\0" + weights[at : at + CHUNK_BYTES]) for at in range(0, len(weights), CHUNK_BYTES)]


def chunk_address(leaf: bytes) -> str:
    """Return where the chunk with this leaf lies."""
    return checksum_address(f"0x{keccak(b'interlace.chunk' + leaf)[12:].hex()}")


def program_address(program_id: bytes) -> str:
    """Return where a program's manifest and leaves lie."""
    return checksum_address(f"0x{keccak(b'interlace.program' + program_id)[12:].hex()}")


def is_registered(client: Client, program_id: bytes) -> bool:
    """Tell whether the newest state has the program."""
    return bool(to_bytes(client.rpc("eth_getCode", program_address(program_id), "latest")))


def register_program(
    client: Client, account: Account, program: bytes, step: Callable[[int, int], None] = lambda _done, _all: None
) -> bytes:
    """Store a program's weights and register it, and return its id. What is there already is left.

    Parameters
    ----------
    client, account
        Where, and who pays: about 43 million gas for a megabyte of weights, in transactions of a million each.
    program
        Manifest and weights, as `interlace.models.Program.to_bytes` gives them.
    step
        Told how many of the chunks are there, and how many there are.

    Raises
    ------
    InterlaceError
        ``program.*`` for bytes that are no program, before anything is sent; ``chain.no-instructions`` if the chain
        does not run programs; ``chain.reverted`` and others of `Client.send`.
    """
    valid = _core.Program.from_bytes(program)
    program_id, weights = bytes(valid.id), bytes(valid.weights)
    leaves = leaves_of(weights)
    if is_registered(client, program_id):
        step(len(leaves), len(leaves))
        return program_id
    _must_run_programs(client)
    asked = client.batch([("eth_getCode", [chunk_address(leaf), "latest"]) for leaf in leaves])
    missing = [index for index, code in enumerate(asked) if code == "0x"]
    step(len(leaves) - len(missing), len(leaves))
    for start in range(0, len(missing), MAX_IN_FLIGHT):
        some = missing[start : start + MAX_IN_FLIGHT]
        client.send_many(
            account, [Call(STORE, 0, weights[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]) for index in some]
        )
        step(len(leaves) - len(missing) + start + len(some), len(leaves))
    client.send(account, REGISTER, data=bytes(valid.manifest) + b"".join(leaves))
    return program_id


def infer(client: Client, program_id: bytes, elements: bytes, block: int | str = "latest") -> bytes:
    """Have the chain run a program in a call that changes nothing, and return the elements of its output.

    Raises
    ------
    ChainError
        ``chain.reverted`` with the reason, ``chain.no-instructions`` if the chain does not run programs.
    """
    output = client.call(INFER, program_id + elements, block=block)
    if not output:
        _must_run_programs(client)
    return output


def _must_run_programs(client: Client) -> None:
    # Stores a chunk of one byte in a call, which changes nothing; where there is no instruction, nothing answers.
    if client.call(STORE, b"\0") != keccak(bytes(2)):
        raise ChainError(
            "chain.no-instructions",
            "this chain does not run programs",
            hint="start it with Chain(instructions=True), or a genesis whose config has adaTime",
        )
