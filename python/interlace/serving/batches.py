"""The settler's half of the journal: which served calls form a batch, and how far each batch is.

Invariant: a batch's leaves and their order are on disk before its root is sent anywhere, so the same tree can always be
built again; a call is in at most one batch.
What it does not do: it asks no chain; what is written here is what `Settler` has seen there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from interlace.records import Claim, Domain, settlement_leaf
from interlace.records.assurance import Assurance
from interlace.serving.journal import Journal, Served, State, served_of
from interlace.serving.tiers import Job

_ANSWER = "voucher, voucher_signature, claim, receipt, receipt_signature, output"


@dataclass(frozen=True, slots=True)
class Batch:
    """A committed or soon committed root; `from_block` bounds the search for its commitment."""

    root: bytes
    count: int
    from_block: int
    batch_id: int | None


@dataclass(frozen=True, slots=True)
class Leaf:
    """A served call as a leaf of a batch."""

    served: Served
    state: State

    @property
    def voucher_hash(self) -> bytes:
        """The key of the call in the journal."""
        return self.served.receipt.voucher_hash

    def leaf_id(self, domain: Domain) -> bytes:
        """Return the leaf, which is also its id on chain."""
        return settlement_leaf(self.voucher_hash, self.served.receipt.digest(domain))


class Batches:
    """Batches in `journal`; every method returns once its change is durable."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def waiting(self, limit: int) -> list[Leaf]:
        """Return at most `limit` served calls that are in no batch, by payer and nonce."""

        def work(connection: sqlite3.Connection) -> list[Leaf]:
            query = f"SELECT state, {_ANSWER} FROM calls WHERE state = ? ORDER BY payer, nonce LIMIT ?"
            return _leaves(connection.execute(query, (State.SERVED, limit)))

        return self._journal.submit(work).result()

    def create(self, root: bytes, leaves: Sequence[Leaf], from_block: int) -> None:
        """Write down a batch with its leaves in order."""

        def work(connection: sqlite3.Connection) -> None:
            row = (root, len(leaves), from_block)
            connection.execute("INSERT INTO batches (root, count, from_block, done) VALUES (?, ?, ?, 0)", row)
            connection.executemany(
                "UPDATE calls SET state = ?, batch = ?, leaf_index = ? WHERE voucher_hash = ? AND state = ?",
                [(State.BATCHED, root, i, leaf.voucher_hash, State.SERVED) for i, leaf in enumerate(leaves)],
            )

        self._journal.submit(work).result()

    def unfinished(self) -> list[Batch]:
        """Return the batches that have leaves to open or release."""

        def work(connection: sqlite3.Connection) -> list[Batch]:
            query = "SELECT root, count, from_block, batch_id FROM batches WHERE done = 0 ORDER BY from_block, root"
            return [Batch(*row) for row in connection.execute(query)]

        return self._journal.submit(work).result()

    def leaves(self, root: bytes) -> list[Leaf]:
        """Return all leaves of a batch in order."""

        def work(connection: sqlite3.Connection) -> list[Leaf]:
            return _leaves(
                connection.execute(f"SELECT state, {_ANSWER} FROM calls WHERE batch = ? ORDER BY leaf_index", (root,))
            )

        return self._journal.submit(work).result()

    def committed(self, root: bytes, batch_id: int) -> None:
        """Write down the id that the chain gave a batch."""
        self._journal.submit(
            lambda connection: connection.execute("UPDATE batches SET batch_id = ? WHERE root = ?", (batch_id, root))
        ).result()

    def mark(self, leaves: Iterable[Leaf], state: State, failure: str | None = None) -> None:
        """Write down what the chain says of leaves; a finished leaf is never changed again."""
        rows = [(state, failure, leaf.voucher_hash, State.SETTLED) for leaf in leaves]
        if rows:
            update = "UPDATE calls SET state = ?, failure = ? WHERE voucher_hash = ? AND state < ?"
            self._journal.submit(lambda connection: connection.executemany(update, rows)).result()

    def jobs(self) -> list[Job]:
        """Return the work of tiers that is not over, one job for each claim."""

        def work(connection: sqlite3.Connection) -> list[Job]:
            query = (
                "SELECT assured.tier, calls.claim, assured.salt, assured.input, calls.output, calls.payer,"
                " MIN(COALESCE(assured.from_block, 0)), MIN(calls.state) FROM assured JOIN calls USING (voucher_hash)"
                " WHERE assured.done = 0 GROUP BY assured.claim_hash ORDER BY assured.claim_hash"
            )
            return [_job(row) for row in connection.execute(query)]

        return self._journal.submit(work).result()

    def job(self, leaf: Leaf, block: int) -> Job | None:
        """Return the work that a leaf's tier needs, begun at `block` if it was not before; `None` if none is kept."""

        def work(connection: sqlite3.Connection) -> Job | None:
            begin = "UPDATE assured SET from_block = ? WHERE voucher_hash = ? AND from_block IS NULL"
            connection.execute(begin, (block, leaf.voucher_hash))
            query = (
                "SELECT assured.tier, calls.claim, assured.salt, assured.input, calls.output, calls.payer,"
                " assured.from_block, calls.state FROM assured JOIN calls USING (voucher_hash) WHERE voucher_hash = ?"
            )
            row = connection.execute(query, (leaf.voucher_hash,)).fetchone()
            return None if row is None else _job(row)

        return self._journal.submit(work).result()

    def end(self, job: Job) -> None:
        """Write down that nothing is left to do for a job, and forget its input: nobody can doubt it any more."""
        update = "UPDATE assured SET done = 1, salt = x'', input = x'' WHERE claim_hash = ?"
        self._journal.submit(lambda connection: connection.execute(update, (job.claim.hash(),))).result()

    def finish(self, root: bytes) -> bool:
        """Close a batch if all its leaves are settled or have failed; return whether it is closed."""

        def work(connection: sqlite3.Connection) -> bool:
            query = "SELECT COUNT(*) FROM calls WHERE batch = ? AND state < ?"
            left = connection.execute(query, (root, State.SETTLED)).fetchone()[0]
            if left == 0:
                connection.execute("UPDATE batches SET done = 1 WHERE root = ?", (root,))
            return bool(left == 0)

        return self._journal.submit(work).result()


def _job(row: tuple[Any, ...]) -> Job:
    tier, claim, salt, input_, output, payer, from_block, state = row
    final = state >= State.SETTLED
    return Job(Assurance(tier), Claim.decode(claim), salt, input_, output, payer, from_block or 0, final)


def _leaves(rows: Iterable[tuple[object, ...]]) -> list[Leaf]:
    found = []
    for state, *answer in rows:
        served = served_of(tuple(answer))  # type: ignore[arg-type]
        if served is not None and isinstance(state, int):
            found.append(Leaf(served, State(state)))
    return found
