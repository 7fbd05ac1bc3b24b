"""Open to dispute: the proof is a trace root and the block in which the claim was put up with it.

Invariant: it holds only while the contract Dispute says so: unchecked as long as the claim can still be disputed.
Source: docs/disputes.md.
What it does not do: it watches nothing and runs nothing; `interlace.proofs.board.Watcher` does.
"""

from __future__ import annotations

from typing import ClassVar, Final

from interlace.chain import Account, Contract
from interlace.contracts import ADDRESSES, artifact
from interlace.proofs.board import Board
from interlace.proofs.tiers.checking import Base, expect
from interlace.proofs.tiers.values import Context, Job, Proof, Way, malformed
from interlace.proofs.verdict import Check, Status
from interlace.records import Claim

_HASH: Final = 32
_BODY: Final = _HASH + 8
_MOST_BLOCK: Final = 1 << 63


class DisputeProver:
    """Runs with a trace, and puts claims up with a bond.

    Parameters
    ----------
    board, account
        Where, and by whom: the claims' prover, who has the bond in credits.
    where
        Where input and salt can be had until the claim is settled.
    """

    way: ClassVar[Way] = Way.DISPUTE

    def __init__(self, board: Board, account: Account, where: str = "") -> None:
        self.board, self.account, self.where, self.gas = board, account, where, 0

    def prove(self, job: Job) -> tuple[Claim, Proof]:
        """Run a job and put its claim up; raises ``chain.reverted`` when the contract refuses it."""
        trace = job.program.core.trace(job.input)
        claim = job.claim(trace.output)
        receipt = self.board.post(self.account, claim, trace.root, self.where)
        self.gas += receipt.gas_used
        return claim, Proof(self.way, trace.root + receipt.block_number.to_bytes(8, "big"))


class DisputeVerifier(Base):
    """Asks the chain how the claim stands."""

    way: ClassVar[Way] = Way.DISPUTE

    def checks(self, claim: Claim, body: bytes, context: Context) -> list[Check]:
        """Return whether the claim was put up with this root; how it stands follows for all ways."""
        if len(body) != _BODY:
            raise malformed(f"{len(body)} bytes, not {_BODY}")
        root, block = body[:_HASH], int.from_bytes(body[_HASH:], "big")
        if block >= _MOST_BLOCK:
            raise malformed(f"block {block}")
        if context.chain is None:
            return [Check("tier.posted", Status.UNCHECKED, "whether it was put up is known to the chain only")]
        if block > context.chain.block_number():
            return [expect("tier.posted", False, f"there is no block {block}")]
        events = Contract(context.chain, ADDRESSES["Dispute"], artifact("Dispute").abi).logs("Posted", block, block)
        found = any((event.args["claimHash"], event.args["traceRoot"]) == (claim.hash(), root) for event in events)
        return [expect("tier.posted", found, f"put up in block {block} with trace root 0x{root.hex()}")]
