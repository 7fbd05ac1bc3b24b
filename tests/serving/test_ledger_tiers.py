"""What the ledger tells of leaves that a tier of assurance decides, on the real Dispute.

Invariant: it tells what the contracts say, and refuses what they refuse, by the contract's own name.
What it does not do: it settles nothing by itself; that is the settler's.
"""

from __future__ import annotations

import pytest

from interlace.contracts import ADDRESSES
from interlace.records import Assurance, Claim, MerkleTree, Receipt, settlement_leaf, sign
from interlace.serving.journal import Served
from interlace.serving.ledger import LeafStatus, LeafVerdict, RevertError, TierVerdict
from tests.serving.conftest import PRICE


def opened(world, nonce: int, *, assurance: int = Assurance.DISPUTE, posted: bool = False) -> tuple[bytes, Claim]:
    """Open a leaf without a service, which does not offer the tier by itself."""
    ledger, call = world.ledger, world.call(world.payer(), nonce, assurance=assurance)
    voucher = call.voucher
    claim = Claim(
        chain_id=world.chain.chain_id, registry=ADDRESSES["Programs"], program_id=voucher.program_id, semantics=1,
        input_hash=voucher.request_hash, output_hash=b"\x33" * 32, prover=voucher.node, job_nonce=voucher.nonce,
    )  # fmt: skip
    units = world.program.units
    receipt = Receipt(voucher.digest(world.domain), claim.hash(), units, units * PRICE, ledger.now())
    leaf_id = settlement_leaf(receipt.voucher_hash, receipt.digest(world.domain))
    if posted:
        words = tuple(getattr(claim, field.attribute) for field in claim.fields)
        world.contract("Dispute").send(world.node, "post", words, b"\x44" * 32, "")
    tree = MerkleTree([leaf_id])
    ledger.commit(world.hot, world.node.address, tree.root, 1)
    batch = ledger.find_batch(world.node.address, tree.root, 0)
    assert batch is not None
    served = Served(voucher, call.voucher_signature, claim, receipt, sign(receipt, world.domain, world.hot), b"")
    ledger.open(world.hot, batch, [served], [tree.proof(0)])
    return leaf_id, claim


def forward(world, to: int) -> None:
    """Move the chain's clock to a second."""
    world.client.rpc("evm_setNextBlockTimestamp", hex(to))
    world.client.rpc("evm_mine")


def test_the_ledger_tells_and_ends_what_a_tier_decides(world) -> None:
    ledger = world.ledger
    assert ledger.tiers()[Assurance.DISPUTE] == ADDRESSES["Dispute"]
    assert Assurance.VOTE not in ledger.tiers()
    credit = world.contract("CreditToken")
    credit.send(world.node, "deposit", value_wei=10**18)
    credit.send(world.node, "approve", ADDRESSES["Dispute"], 1 << 255)
    put_up, claim = opened(world, 1, posted=True)
    silent, _ = opened(world, 2)
    voted, _ = opened(world, 3, assurance=Assurance.VOTE)
    assert [ledger.claim_of(leaf) for leaf in (put_up, voted, bytes(32))] == [claim.hash(), None, None]
    states = ledger.leaves([put_up, silent, voted, bytes(32)])
    assert [state.assurance for state in states] == [4, 4, 1, 0]
    end = states[1].window_end
    undecided = int(world.contract("Settlement").call("undecidedSeconds"))
    assert ledger.verdicts([put_up, silent]) == [
        LeafVerdict(TierVerdict.OPEN, states[0].window_end + undecided), LeafVerdict(TierVerdict.NONE, end),
    ]  # fmt: skip
    assert ledger.verdicts([]) == []
    for action, name in (
        (lambda: ledger.verdicts([put_up, voted]), "NotByVerdict"),
        (lambda: ledger.release(world.owner, [put_up]), "NotHeld"),
        (lambda: ledger.refund(world.owner, [silent]), "NotRefundable"),
    ):
        with pytest.raises(RevertError) as caught:
            action()
        assert caught.value.name == name
    forward(world, end)
    ledger.refund(world.owner, [silent])
    forward(world, int(world.contract("Dispute").call("gameOf", claim.hash())[1]))
    assert ledger.verdicts([put_up]) == [LeafVerdict(TierVerdict.HOLDS, None)]
    ledger.release(world.owner, [put_up])
    ended = [state.status for state in ledger.leaves([put_up, silent])]
    assert ended == [LeafStatus.RELEASED, LeafStatus.REFUNDED]
