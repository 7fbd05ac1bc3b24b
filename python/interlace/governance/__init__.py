"""Organisations: people and agents who decide by vote over prices, shares, members, council, use of data and money;
and what is said of agents.

Invariant: a proposal is shown as what it does, in typed effects; calldata that is none of them is shown raw, never
hidden. What an organisation has decided follows from its events alone, and is checked against the hash that its
contract keeps.
Source: docs/organisations.md; `spec/organisation.py` is the same in plain Python.
What it does not do: it holds no keys and judges no proposal.
"""

from __future__ import annotations

from .effects import (
    Admit,
    Award,
    Call,
    Effect,
    Grant,
    Parts,
    Remove,
    SetAdmission,
    SetCouncil,
    SetDataUse,
    SetPrice,
    SetShares,
    Spend,
    decode,
    encode,
)
from .history import Change, History
from .organisation import Organisation, Proposal
from .registries import AgentRegistries, Opinion, ValidationRequest
from .rehearsal import Rehearsal, Step
from .terms import Seat, Terms

__all__ = [
    "Admit",
    "AgentRegistries",
    "Award",
    "Call",
    "Change",
    "Effect",
    "Grant",
    "History",
    "Opinion",
    "Organisation",
    "Parts",
    "Proposal",
    "Rehearsal",
    "Remove",
    "Seat",
    "SetAdmission",
    "SetCouncil",
    "SetDataUse",
    "SetPrice",
    "SetShares",
    "Spend",
    "Step",
    "Terms",
    "ValidationRequest",
    "decode",
    "encode",
]
