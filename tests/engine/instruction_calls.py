"""What the tests of STORE, REGISTER and INFER on a chain share: inputs, answers, contracts from code."""

from __future__ import annotations

from interlace.chain import Account, Client
from interlace.models import Program, on_chain
from tests.tensor.programs import random_input


def elements(program: Program, seed: int) -> bytes:
    """Draw an input, as the chain takes it."""
    return on_chain.to_elements(program, random_input(seed, program))


def answer(program: Program, seed: int) -> bytes:
    """Return what the chain should say to it."""
    output = program.run(random_input(seed, program))
    return output.astype(output.dtype.newbyteorder(">")).tobytes()


def deployed(client: Client, account: Account, code: bytes) -> str:
    """Deploy this code, of less than 256 bytes, and return where it is."""
    initcode = bytes.fromhex(f"60{len(code):02x}80600a3d393df300") + code
    address = client.send(account, None, data=initcode, gas_limit=300_000).contract_address
    assert address is not None
    return address
