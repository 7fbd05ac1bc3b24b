"""A chain from Python: accounts, a node inside the process, a client for any node, contracts and hooks.

Invariant: nothing in this room runs once per transaction inside the node; blocks are built without Python.
What it does not do: it decides no rules of the chain; those are in the crates behind `interlace._core`.
"""

from __future__ import annotations

from interlace.chain.access_list import AccountAccess, BlockAccessList, FollowedBlock
from interlace.chain.account import DEV_MNEMONIC, Account, checksum_address
from interlace.chain.client import Call, Client
from interlace.chain.contract import Contract, Event
from interlace.chain.dependencies import BlockDependencies
from interlace.chain.node import ETHER, Chain, Deployment
from interlace.chain.predictor import Lesson, Predictor, Weight
from interlace.chain.types import Block, Log, Receipt

__all__ = [
    "DEV_MNEMONIC",
    "ETHER",
    "Account",
    "AccountAccess",
    "Block",
    "BlockAccessList",
    "BlockDependencies",
    "Call",
    "Chain",
    "Client",
    "Contract",
    "Deployment",
    "Event",
    "FollowedBlock",
    "Lesson",
    "Log",
    "Predictor",
    "Receipt",
    "Weight",
    "checksum_address",
]
