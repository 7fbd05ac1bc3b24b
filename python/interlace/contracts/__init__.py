"""The contracts of the economy: compiled artifacts, their fixed addresses, and the genesis deployments.

Invariant: what is deployed is what `contracts/build.mjs` writes from `contracts/src`, byte for byte; a test rebuilds
it. Addresses are the same on every chain of ours, because constructors run in place when genesis is built.
What it does not do: it sends no transaction; `artifact(name).abi` at `ADDRESSES[name]` is what a client needs.
"""

from __future__ import annotations

from interlace.contracts.artifacts import NAMES, ORGANISATION_PARTS, Artifact, artifact
from interlace.contracts.economy import (
    ADDRESSES,
    COMPUTE,
    METERS,
    TRANSACTION,
    VALIDATION,
    EconomyConfig,
    FeeShares,
    deployments,
    economy_deployments,
)
from interlace.contracts.terms import AuditTerms, BeaconTerms, QuorumTerms, ValidationTerms

__all__ = [
    "ADDRESSES",
    "COMPUTE",
    "METERS",
    "NAMES",
    "ORGANISATION_PARTS",
    "TRANSACTION",
    "VALIDATION",
    "Artifact",
    "AuditTerms",
    "BeaconTerms",
    "EconomyConfig",
    "FeeShares",
    "QuorumTerms",
    "ValidationTerms",
    "artifact",
    "deployments",
    "economy_deployments",
]
