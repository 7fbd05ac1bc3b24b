"""Contracts small enough to be written by hand, as runtime code; `creation` wraps one for deployment."""

from __future__ import annotations

RETURN_42 = bytes.fromhex("602a60005260206000f3")
"""Return the word 42, whatever the call."""
STORE = bytes.fromhex("60003560005500")
"""Store the first word of the calldata in slot 0."""
LOG = bytes.fromhex("366000600037600035602036036020a100")
"""Emit one log: the first word of the calldata is the topic, the rest the data."""
REVERT = bytes.fromhex("366000600037366000fd")
"""Revert with the calldata as revert data."""
BURN = bytes.fromhex("5b600056")
"""Loop until the gas is gone."""
TIME = bytes.fromhex("4260005260206000f3")
"""Return the block's timestamp."""


def creation(runtime: bytes) -> bytes:
    """Return creation code: copy what follows these few bytes of code, and return it."""
    size = bytes([0x60, len(runtime)]) if len(runtime) < 256 else b"\x61" + len(runtime).to_bytes(2, "big")
    return size + bytes([0x80, 0x60, len(size) + 9, 0x60, 0x00, 0x39, 0x60, 0x00, 0xF3]) + runtime


_CODES = {
    "stop": 0x00,
    "calldataload": 0x35,
    "pop": 0x50,
    "mstore": 0x52,
    "sload": 0x54,
    "sstore": 0x55,
    "gas": 0x5A,
    "log1": 0xA1,
    "create": 0xF0,
    "call": 0xF1,
    "return": 0xF3,
    "delegatecall": 0xF4,
    "create2": 0xF5,
    "staticcall": 0xFA,
    "selfdestruct": 0xFF,
}


def assemble(program: str) -> bytes:
    """Assemble words: names of instructions, and numbers or ``0x`` data, which are pushed at their own length."""
    code = b""
    for word in program.split():
        if word in _CODES:
            code += bytes([_CODES[word]])
        else:
            data = bytes.fromhex(word[2:]) if word.startswith("0x") else int(word).to_bytes(1, "big")
            code += bytes([0x5F + len(data)]) + data
    return code
