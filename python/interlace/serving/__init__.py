"""The paid inference service, its client, and settlement.

Invariant: a node is paid for what it served and nothing else: a voucher names payer, node, program, request, price and
limit before the work; a receipt names all of that and the result after it; both are checked by the contract.
What it does not do: no model is trained here and no asset registered; a service is a process of its own, started by
``python -m interlace.serving CONFIG.json`` or held in this one by `ServiceServer`.
"""

from __future__ import annotations

from interlace.serving.app import build_app
from interlace.serving.audited import AuditWork
from interlace.serving.budget import Budget
from interlace.serving.client import Reply, ServiceClient
from interlace.serving.disputes import DisputeWork
from interlace.serving.journal import Journal
from interlace.serving.ledger import Ledger
from interlace.serving.limits import Limits
from interlace.serving.proven import QuorumWork, SumcheckWork
from interlace.serving.server import ServiceServer
from interlace.serving.service import Service
from interlace.serving.settlement import Progress, Settler
from interlace.serving.wire import Offer

__all__ = [
    "AuditWork",
    "Budget",
    "DisputeWork",
    "Journal",
    "Ledger",
    "Limits",
    "Offer",
    "Progress",
    "QuorumWork",
    "Reply",
    "Service",
    "ServiceClient",
    "ServiceServer",
    "Settler",
    "SumcheckWork",
    "build_app",
]
