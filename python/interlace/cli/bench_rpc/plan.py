"""How much one run measures.

Invariant: everything is bounded, in number and in time; equal plans ask equal work of every node.
"""

from __future__ import annotations

from dataclasses import dataclass

SENDERS = 100
CONNECTIONS = 4
BATCH = 100
CALL_CONNECTIONS = (1, 16)


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of one run.

    Attributes
    ----------
    rounds
        How often each node is measured; medians are reported.
    transactions
        Transfers, and again ERC-20 transfers, of each round; a multiple of the 100 senders.
    one_by_one
        Transactions sent over one connection, each after the receipt of the one before.
    one_by_one_seconds
        When to stop sending them on a node that is slow; the rate is that of what was sent.
    block
        Transfers in the block whose receipts are read; a multiple of the 100 senders.
    call_seconds
        How long calls are made over each number of connections.
    """

    rounds: int = 3
    transactions: int = 5_000
    one_by_one: int = 1_000
    one_by_one_seconds: float = 60.0
    block: int = 2_800
    call_seconds: float = 2.0

    @property
    def per_sender(self) -> int:
        """Transactions of each sender in one phase."""
        return self.transactions // SENDERS

    @classmethod
    def quick(cls) -> Plan:
        """Return a plan that takes some seconds: enough to see that everything works, not to quote a figure."""
        return cls(rounds=1, transactions=1_000, one_by_one=100, one_by_one_seconds=5.0, block=500, call_seconds=0.3)
