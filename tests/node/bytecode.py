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
    """Return creation code: copy what follows eleven bytes of code, and return it."""
    return bytes([0x60, len(runtime), 0x80, 0x60, 0x0B, 0x60, 0x00, 0x39, 0x60, 0x00, 0xF3]) + runtime
