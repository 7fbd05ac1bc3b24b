"""`interlace bench rpc`: a node as its users meet it, over sockets, with anvil beside it in the same run.

Invariant: a figure is reported only after every receipt it stands on had status 1 and every balance was exact; nodes
take turns in fresh processes of their own, the figures are medians, and every process that was started is ended.
What it does not do: transactions are signed before and answers are parsed after the clock ran, so that the figures are
the node's. It measures one machine that client and node share, no network and no disk.
"""

from __future__ import annotations

from interlace.cli.bench_rpc.nodes import Program, find_anvil, ours
from interlace.cli.bench_rpc.plan import Plan
from interlace.cli.bench_rpc.report import Report
from interlace.cli.bench_rpc.rounds import measure

__all__ = ["Plan", "Program", "Report", "find_anvil", "measure", "ours"]
