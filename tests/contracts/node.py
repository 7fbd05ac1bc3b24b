"""Starts the node that the contract tests run on: our own, with the economy in its genesis.

Invariant: the contracts get there as on every chain of ours, by constructors that run in place at genesis.
What it does not do: it offers no other node.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from interlace.chain import Chain, Deployment
from interlace.contracts import deployments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from interlace.contracts import EconomyConfig


@contextlib.contextmanager
def start(config: EconomyConfig) -> Iterator[str]:
    """Yield the URL of a fresh chain."""
    made = [Deployment(d["address"], bytes.fromhex(d["initcode"][2:])) for d in deployments(config)]
    with Chain(port=0, deployments=made) as chain:
        yield chain.url
