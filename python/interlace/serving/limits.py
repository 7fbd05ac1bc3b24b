"""Every bound of a service in one place.

Invariant: memory held for requests is at most (workers + queue) * max_body_bytes, plus the journal's queue.
What it does not do: it measures nothing; the bounds are enforced where they are named.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a service, with defaults that suit one machine.

    Parameters
    ----------
    workers
        Programs that run at the same time.
    queue
        Requests that may wait beyond those; one more is refused with ``service.busy``.
    max_body_bytes
        Largest request body.
    body_timeout_s
        How long a client may take to send the head of a request, and how long its body.
    max_batch
        Calls in one batch request.
    max_deadline_s
        How far ahead a voucher's deadline may lie; the service remembers unanswered vouchers that long.
    max_unsettled
        Served calls that may wait for settlement; beyond it new calls are refused with ``service.unsettled``.
    max_assured
        Served calls of tiers from audit on whose claims can still be doubted; their inputs are kept. Beyond it new
        calls of such tiers are refused with ``service.unsettled``.
    rate_per_s
        Requests per second over all clients, with a burst of the same size; beyond it ``service.rate``.
    payer_ttl_s
        How long a payer's escrow, as the chain stated it, is believed; one that does not cover a call is read again.
    max_payers
        Payers whose state is kept in memory.
    drain_s
        How long a stopping service waits for requests that are under way.
    """

    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    queue: int = 64
    max_body_bytes: int = 8 << 20
    body_timeout_s: float = 10.0
    max_batch: int = 64
    max_deadline_s: int = 600
    max_unsettled: int = 10_000
    max_assured: int = 1_000
    rate_per_s: float = 2_000.0
    payer_ttl_s: float = 2.0
    max_payers: int = 10_000
    drain_s: float = 10.0
