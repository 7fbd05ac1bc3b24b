"""Compiled contracts, read from the package's own files.

Invariant: reading works from a source tree, an installed wheel and a zip alike (importlib.resources), once per process.
Source: `contracts/build.mjs`, which writes the files under `compiled/` and `kernels/`.
What it does not do: it compiles nothing; no compiler is needed at run time.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

from interlace.errors import ChainError

NAMES = (
    "CreditToken", "StakingVault", "Assets", "Programs", "Validators", "FeeRouter", "Settlement", "Readers",
    "Exchange", "Beacon", "DataValidation", "TransactionFees", "Agents", "OrganisationFactory", "Dispute", "Quorum",
    "Audits", "CallChains", "SumcheckProofs", "ZkVerifiers", "ValidationRegistry", "ClaimValidator",
    "ReputationRegistry",
)  # fmt: skip
"""Every contract that ships, in the order of their addresses, which is the order of deployment."""

ORGANISATION_PARTS: Final = ("Timelock", "Policy", "Members", "Organisation")
"""What the factory makes for each organisation, in the order in which it takes their code; no fixed address."""

KERNELS = ("Token", "Pool", "Tick", "Hash", "Sort", "Ray", "Model", "Signature")
"""Contracts that are measured and never deployed: `interlace bench vm`."""

INFERENCE: Final = "Inference"
"""One that is measured on a chain: `interlace bench infer`."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One compiled contract.

    Attributes
    ----------
    abi
        The JSON ABI, as compilers and clients exchange it.
    initcode
        What a deployment runs; constructor arguments follow it.
    runtime
        The code that stays, with zeros where the constructor writes immutable values.
    selectors
        Function signature to four bytes of hex.
    """

    name: str
    abi: list[dict[str, Any]] = field(repr=False)
    initcode: bytes = field(repr=False)
    runtime: bytes = field(repr=False)
    selectors: dict[str, str] = field(repr=False)


@functools.cache
def artifact(name: str) -> Artifact:
    """Return a compiled contract by its name.

    Raises
    ------
    ChainError
        ``contracts.unknown`` for a name that is in none of `NAMES` and `ORGANISATION_PARTS`.
    """
    known = (*NAMES, *ORGANISATION_PARTS)
    if name not in known:
        raise ChainError("contracts.unknown", f"no contract is named {name!r}", hint=f"one of {', '.join(known)}")
    return _read("compiled", name)


@functools.cache
def kernel(name: str) -> Artifact:
    """Return a contract that is measured by its name.

    Raises
    ------
    ChainError
        ``contracts.unknown`` for a name that is neither in `KERNELS` nor `INFERENCE`.
    """
    if name not in (*KERNELS, INFERENCE):
        raise ChainError("contracts.unknown", f"no kernel is named {name!r}", hint=f"one of {', '.join(KERNELS)}")
    return _read("kernels", f"{name}Kernel")


def _read(folder: str, name: str) -> Artifact:
    text = (resources.files(__package__) / folder / f"{name}.json").read_text(encoding="utf-8")
    data = json.loads(text)
    return Artifact(
        name=name,
        abi=data["abi"],
        initcode=bytes.fromhex(data["initcode"][2:]),
        runtime=bytes.fromhex(data["runtime"][2:]),
        selectors=data["selectors"],
    )
