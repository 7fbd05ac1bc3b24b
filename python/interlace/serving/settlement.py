"""Settlement: turn the journal's receipts into payments. Commit a root, open its leaves, release what was held.

What a tier needs before a leaf is opened and while its claim can be doubted is the work of `tiers`, done here in turn.

Invariant: each voucher is settled at most once, whenever and however often the process dies. Nothing is decided from
memory: a batch is on disk before its root is sent; before every step the chain is asked how far that batch and each of
its leaves are; and the contract marks every nonce. A step that was sent and not seen is found on chain, or sent again.
How: `run_once` does everything that can be done now and returns; call it again until nothing is left.
What it does not do: it judges no claim: a leaf of a tier is released when its contract says that the claim holds, and
its cost is given back when that says it fails or did not decide in time. It opens no leaf that the contract would
refuse; such a leaf is tried again until the voucher's time for settlement is over, then it is written down as failed
with the contract's reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from interlace.chain import Account
from interlace.errors import InterlaceError, ServiceError
from interlace.records import Domain, MerkleTree
from interlace.records.assurance import Assurance
from interlace.serving.batches import Batch, Batches, Leaf
from interlace.serving.journal import Journal, State
from interlace.serving.ledger import MAX_OPEN, MAX_RELEASE, LeafState, LeafStatus, Ledger, RevertError, TierVerdict
from interlace.serving.logs import LOGGER, event
from interlace.serving.tiers import FIRST_TIER, Ready, TierWork

_FINAL: Final = frozenset({"NonceUsed", "SettledLate"})
"""Reasons that time cannot cure; a leaf refused for any other one is tried again."""


@dataclass(frozen=True, slots=True)
class Progress:
    """What one pass did, and what is left: calls by where they stand."""

    opened: int
    released: int
    waiting: int
    failed: int
    refunded: int = 0
    at_stake: int = 0
    """Claims whose work is not over: they can be doubted, or their bonds are not back."""

    @property
    def done(self) -> bool:
        """Whether nothing is left to settle, and no claim to defend."""
        return self.waiting == 0 and self.at_stake == 0


class Settler:
    """Settles the receipts of one node.

    Parameters
    ----------
    journal
        The service's journal; the settler's own process opens it with role ``"settler"``.
    ledger
        The contracts.
    node
        The operator's address, which is paid.
    account
        Who sends the transactions: the node or its receipt key; it needs native tokens for gas.
    max_batch
        Leaves of one root at most.
    open_size
        Leaves opened by one transaction at most.
    works
        What is done for tiers from audit on, by the tier; leaves of a tier that is not here are not opened.
    on_step
        Called after each durable step with its name; for progress and for tests that stop there.
    """

    def __init__(
        self,
        journal: Journal,
        ledger: Ledger,
        node: str,
        account: Account,
        *,
        max_batch: int = 1024,
        open_size: int = 32,
        works: Mapping[Assurance, TierWork] | None = None,
        on_step: Callable[[str], None] | None = None,
    ) -> None:
        self._batches = Batches(journal)
        self._journal = journal
        self._ledger = ledger
        self._domain = Domain(ledger.chain_id, ledger.settlement)
        self._node = node
        self._account = account
        self._max_batch = max_batch
        self._open_size = min(open_size, MAX_OPEN)
        self._works = works or {}
        self._on_step = on_step or (lambda _: None)

    def run_once(self) -> Progress:
        """Do everything that can be done now.

        Raises
        ------
        ServiceError
            ``service.chain`` when the node does not answer, ``service.revert`` when a commitment is refused,
            ``service.journal``; whatever was done before stays done.
        """
        opened = released = refunded = 0
        while self._gather():
            pass
        for batch in self._batches.unfinished():
            batch_id = self._commit(batch)
            opened += self._open(batch, batch_id)
            some = self._release(batch)
            released, refunded = released + some[0], refunded + some[1]
            self._batches.finish(batch.root)
        self._tend()
        counts = self._journal.counts().result()
        waiting = counts[State.SERVED] + counts[State.BATCHED] + counts[State.OPENED]
        at_stake = sum(self._journal.assured().result().values())
        failed = counts[State.FAILED]
        event("settled", opened=opened, released=released, waiting=waiting, failed=failed, at_stake=at_stake)
        return Progress(opened, released, waiting, failed, refunded, at_stake)

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Settle every `every_s` seconds until `stop` is set; an error is logged and the next pass tries again."""
        while not stop.is_set():
            try:
                self.run_once()
            except ServiceError as error:
                event("settlement failed, will try again", level=30, code=error.code, error=error.message)
            except Exception:  # noqa: BLE001
                # The last line of defence: receipts that nobody settles any more would be lost without a word.
                LOGGER.exception("settlement failed unexpectedly, will try again")
            stop.wait(every_s)

    def _step(self, name: str) -> None:
        self._on_step(name)

    def _gather(self) -> bool:
        """Form a batch of what was served; return whether there was any."""
        leaves = self._batches.waiting(self._max_batch)
        if not leaves:
            return False
        root = MerkleTree([leaf.leaf_id(self._domain) for leaf in leaves]).root
        self._batches.create(root, leaves, self._ledger.block_number())
        self._step("batched")
        return True

    def _commit(self, batch: Batch) -> int:
        """Return the batch's id on chain, after committing it if that has not been done."""
        if batch.batch_id is not None:
            return batch.batch_id
        found = self._ledger.find_batch(self._node, batch.root, batch.from_block)
        if found is None:
            self._ledger.commit(self._account, self._node, batch.root, batch.count)
            self._step("committed")
            found = self._ledger.find_batch(self._node, batch.root, batch.from_block)
        if found is None:
            raise ServiceError("service.chain", f"root 0x{batch.root.hex()} was committed and is not found")
        self._batches.committed(batch.root, found)
        return found

    def _open(self, batch: Batch, batch_id: int) -> int:
        """Open what is not open yet; return how many leaves were opened."""
        leaves = self._batches.leaves(batch.root)
        tree = MerkleTree([leaf.leaf_id(self._domain) for leaf in leaves])
        waiting = [(i, leaf) for i, leaf in enumerate(leaves) if leaf.state is State.BATCHED]
        seen = self._note([leaf for _, leaf in waiting])
        closed = [
            pair
            for pair, state in zip(waiting, seen, strict=True)
            if state.status is LeafStatus.UNKNOWN and self._ready(batch_id, tree, *pair)
        ]
        opened = 0
        for start in range(0, len(closed), self._open_size):
            opened += self._open_some(batch_id, tree, closed[start : start + self._open_size])
        return opened

    def _open_some(self, batch_id: int, tree: MerkleTree, leaves: Sequence[tuple[int, Leaf]]) -> int:
        """Open leaves together; if the contract refuses them, find by halving which it refuses."""
        proofs = [tree.proof(index) for index, _ in leaves]
        try:
            self._ledger.open(self._account, batch_id, [leaf.served for _, leaf in leaves], proofs)
        except RevertError as error:
            if len(leaves) > 1:
                half = len(leaves) // 2
                parts = (leaves[:half], leaves[half:])
                return sum(self._open_some(batch_id, tree, part) for part in parts)
            leaf = leaves[0][1]
            if self._note([leaf])[0].status is LeafStatus.UNKNOWN and error.name in _FINAL:
                self._batches.mark([leaf], State.FAILED, error.name)
            event("a leaf is not opened", level=30, voucher=leaf.voucher_hash.hex(), reason=error.name)
            return 0
        self._step("opened")
        self._note([leaf for _, leaf in leaves])
        return len(leaves)

    def _ready(self, batch_id: int, tree: MerkleTree, index: int, leaf: Leaf) -> bool:
        """Do what a leaf's tier needs before it is opened; return whether it may be opened now."""
        tier, voucher = Assurance(leaf.served.voucher.assurance), leaf.voucher_hash.hex()
        if tier < FIRST_TIER:
            return True
        work, job = self._works.get(tier), self._batches.job(leaf, self._ledger.block_number())
        if work is None or job is None:
            event("a leaf's tier is not worked for here", level=30, voucher=voucher, tier=tier.label)
            return False
        try:
            # A bond is put up only for a leaf that can be opened.
            self._ledger.check(batch_id, leaf.served, tree.proof(index))
            found = work.ready(job)
        except RevertError as error:
            if error.name in _FINAL:
                self._batches.mark([leaf], State.FAILED, error.name)
            event("a leaf would not be opened", level=30, voucher=voucher, reason=error.name)
            return False
        except InterlaceError as error:
            event("a leaf is not ready", level=30, voucher=voucher, code=error.code, error=error.message)
            return False
        if found is Ready.NEVER:
            self._batches.mark([leaf], State.FAILED, "tier")
        return found is Ready.OPEN

    def _tend(self) -> None:
        """Do what is due for claims that can be doubted; one that cannot be tended now does not hold up the others."""
        for job in self._batches.jobs():
            work = self._works.get(job.tier)
            if work is None:
                continue
            try:
                if work.tend(job):
                    self._batches.end(job)
                    self._step("ended")
            except InterlaceError as error:
                claim = job.claim.hash().hex()
                event("a claim is not tended", level=30, claim=claim, code=error.code, error=error.message)

    def _note(self, leaves: Sequence[Leaf]) -> list[LeafState]:
        """Write down where the chain says leaves are, and return that."""
        states = self._ledger.leaves([leaf.leaf_id(self._domain) for leaf in leaves])
        by_status: dict[LeafStatus, list[Leaf]] = {}
        for leaf, state in zip(leaves, states, strict=True):
            by_status.setdefault(state.status, []).append(leaf)
        for status, part in by_status.items():
            if status in (LeafStatus.PENDING, LeafStatus.CHALLENGED):
                self._batches.mark(part, State.OPENED)
            elif status is not LeafStatus.UNKNOWN:
                self._batches.mark(part, State.SETTLED, "refunded" if status is LeafStatus.REFUNDED else None)
        return states

    def _release(self, batch: Batch) -> tuple[int, int]:
        """Release what is due, give back what failed, end challenges; return how many were released and given back."""
        held = [leaf for leaf in self._batches.leaves(batch.root) if leaf.state is State.OPENED]
        now, due, lost, decided = self._ledger.now(), [], [], []
        for leaf, state in zip(held, self._note(held), strict=True):
            if state.status is LeafStatus.CHALLENGED:
                self._resolve(leaf)
            elif state.status is not LeafStatus.PENDING:
                continue
            elif state.assurance < FIRST_TIER:
                due += [leaf] if now >= state.window_end else []
            else:
                decided.append(leaf)
        said = self._ledger.verdicts([leaf.leaf_id(self._domain) for leaf in decided])
        for leaf, one in zip(decided, said, strict=True):
            due += [leaf] if one.verdict is TierVerdict.HOLDS else []
            lost += [leaf] if one.refund_from is not None and now >= one.refund_from else []
        released, refunded = (
            sum(
                self._end_some(part, release=release)
                for part in (leaves[start : start + MAX_RELEASE] for start in range(0, len(leaves), MAX_RELEASE))
            )
            for leaves, release in ((due, True), (lost, False))
        )
        return released, refunded

    def _end_some(self, leaves: Sequence[Leaf], *, release: bool) -> int:
        """Release or refund together; if the contract refuses, in halves: somebody else may have ended one of them."""
        end = self._ledger.release if release else self._ledger.refund
        try:
            end(self._account, [leaf.leaf_id(self._domain) for leaf in leaves])
        except RevertError as error:
            if len(leaves) > 1:
                half = len(leaves) // 2
                return self._end_some(leaves[:half], release=release) + self._end_some(leaves[half:], release=release)
            self._note(leaves)
            event("a leaf is not ended", level=30, voucher=leaves[0].voucher_hash.hex(), reason=error.name)
            return 0
        self._step("released" if release else "refunded")
        self._note(leaves)
        return len(leaves)

    def _resolve(self, leaf: Leaf) -> None:
        """End a challenge if the contract says that it is decided."""
        try:
            self._ledger.resolve(self._account, leaf.leaf_id(self._domain))
        except RevertError:
            return
        self._note([leaf])
