"""A chain from Python: accounts, a node inside the process, a client for any node, contracts and hooks.

Invariant: nothing in this room runs once per transaction inside the node; blocks are built without Python.
What it does not do: it decides no rules of the chain; those are in the crates behind `interlace._core`.
"""

from __future__ import annotations

from interlace.chain.account import DEV_MNEMONIC, Account, checksum_address

__all__ = ["DEV_MNEMONIC", "Account", "checksum_address"]
