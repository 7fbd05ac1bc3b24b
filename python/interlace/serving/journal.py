"""The service's journal: which vouchers were admitted, what was answered, what is settled.

Invariant: a call that returned is on disk (SQLite, WAL, synchronous=FULL). An answer leaves the service only after its
receipt is durable, so a crash at any moment loses no receipt; a voucher has one row, and (payer, nonce) is unique, so
nothing is admitted twice.
How: one thread owns the connection and commits whatever has queued up as one transaction (group commit); each operation
runs in a savepoint of its own, so that one refusal leaves the others untouched.
The salt and input of a call are kept only for tiers that others may doubt, and only until nobody can any more.
What it does not do: it checks no signature and knows no chain. Rows stay until `prune` is called; about 1 KiB a call.
"""

from __future__ import annotations

import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final, TypeVar

from interlace.errors import ServiceError
from interlace.records import Claim, Receipt, Voucher

T = TypeVar("T")
VERSION: Final = 2
QUEUE: Final = 4096
"""Operations that may wait for the writer; beyond this the caller waits."""
GROUP: Final = 256
"""Operations that one transaction holds at most."""

_SCHEMA: Final = """
CREATE TABLE calls (
    voucher_hash BLOB PRIMARY KEY, payer TEXT NOT NULL, nonce BLOB NOT NULL, state INTEGER NOT NULL,
    amount TEXT NOT NULL, deadline BLOB NOT NULL, voucher BLOB NOT NULL, voucher_signature BLOB NOT NULL,
    claim BLOB, receipt BLOB, receipt_signature BLOB, output BLOB, batch BLOB, leaf_index INTEGER, failure TEXT,
    UNIQUE (payer, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX open_calls ON calls (payer, state);
CREATE INDEX calls_by_state ON calls (state);
CREATE INDEX calls_by_batch ON calls (batch, leaf_index);
CREATE TABLE batches (
    root BLOB PRIMARY KEY, count INTEGER NOT NULL, from_block INTEGER NOT NULL, batch_id INTEGER, done INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""


# Since version 2. A journal of version 1 has no calls of such tiers, so it needs nothing but the empty table.
_ASSURED: Final = """
CREATE TABLE assured (
    voucher_hash BLOB PRIMARY KEY, claim_hash BLOB NOT NULL, tier INTEGER NOT NULL, salt BLOB NOT NULL,
    input BLOB NOT NULL, from_block INTEGER, done INTEGER NOT NULL
) STRICT;
CREATE INDEX assured_by_claim ON assured (claim_hash);
CREATE INDEX assured_open ON assured (done, voucher_hash);
"""


class State(IntEnum):
    """Where a call stands; SERVED and BATCHED are answered and not yet taken from the payer's escrow."""

    ADMITTED = 0
    SERVED = 1
    BATCHED = 2
    OPENED = 3
    SETTLED = 4
    FAILED = 5


@dataclass(frozen=True, slots=True)
class Served:
    """A finished call as the journal keeps it."""

    voucher: Voucher
    voucher_signature: bytes
    claim: Claim
    receipt: Receipt
    receipt_signature: bytes
    output: bytes


class Journal:
    """The journal at `path`, created if absent.

    Parameters
    ----------
    path
        The SQLite file; ``path.<role>.lock`` beside it is held while open.
    role
        ``"service"`` or ``"settler"``: one process each may have the journal open.

    Raises
    ------
    ServiceError
        ``service.journal-locked`` when another process plays the same role, ``service.journal`` when the file cannot be
        used, ``service.journal-version`` when another release wrote it.
    """

    def __init__(self, path: str | Path, role: str = "service") -> None:
        self.path = Path(path)
        self._lock = self._take_lock(role)
        self._queue: queue.Queue[tuple[Callable[[sqlite3.Connection], object], Future[object]] | None]
        self._queue = queue.Queue(maxsize=QUEUE)
        self._closed = False
        opened: Future[object] = Future()
        self._thread = threading.Thread(target=self._run, args=(opened,), name=f"journal-{role}", daemon=True)
        self._thread.start()
        try:
            opened.result()
        except BaseException:
            os.close(self._lock)
            raise

    def _take_lock(self, role: str) -> int:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = os.open(f"{self.path}.{role}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ServiceError("service.journal", f"{self.path}: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise ServiceError(
                "service.journal-locked",
                f"another {role} has {self.path} open",
                hint="stop it, or choose another journal",
            ) from None
        return lock

    # ---- the thread that owns the connection -------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        try:
            # Made before SQLite does, for its owner only; the files beside it get the same mode.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            connection = sqlite3.connect(self.path, isolation_level=None, timeout=30)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("BEGIN IMMEDIATE")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version in (0, 1):
                for statement in ((_SCHEMA if version == 0 else "") + _ASSURED).split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise ServiceError("service.journal", f"{self.path}: {error}") from None
        if version not in (0, 1, VERSION):
            raise ServiceError("service.journal-version", f"{self.path} has version {version}, this is {VERSION}")
        return connection

    def _run(self, opened: Future[object]) -> None:
        try:
            connection = self._open()
        except ServiceError as error:
            opened.set_exception(error)
            return
        opened.set_result(None)
        running = True
        while running:
            group = [self._queue.get()]
            while len(group) < GROUP and group[-1] is not None:
                try:
                    group.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            running = group[-1] is not None
            self._commit(connection, [item for item in group if item is not None])
        connection.close()

    @staticmethod
    def _commit(
        connection: sqlite3.Connection, group: Iterable[tuple[Callable[[sqlite3.Connection], object], Future[object]]]
    ) -> None:
        """Run a group as one transaction; results are handed out only after the commit is durable."""
        done: list[tuple[Future[object], object, BaseException | None]] = []
        group = list(group)
        try:
            connection.execute("BEGIN IMMEDIATE")
            for work, future in group:
                if not future.set_running_or_notify_cancel():
                    continue  # nobody waits for it any more, so it is not done
                connection.execute("SAVEPOINT one")
                try:
                    done.append((future, work(connection), None))
                except Exception as error:  # noqa: BLE001 - it is the caller's; this thread must live on
                    connection.execute("ROLLBACK TO one")
                    done.append((future, None, error))
                connection.execute("RELEASE one")
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            done = [(future, None, error) for _, future in group if not future.done() and not future.cancelled()]
        for future, result, failure in done:
            if isinstance(failure, sqlite3.Error):
                failure = ServiceError("service.journal", f"the journal refused a write: {failure}")
            if failure is not None:
                future.set_exception(failure)
            else:
                future.set_result(result)

    def submit(self, work: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Queue `work`; the future resolves after its transaction is durable."""
        future: Future[T] = Future()
        if self._closed:
            future.set_exception(ServiceError("service.journal", f"{self.path} is closed"))
        else:
            self._queue.put((work, future))  # type: ignore[arg-type]
        return future

    def close(self) -> None:
        """Finish what is queued and close; idempotent."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()
            os.close(self._lock)

    # ---- the service's operations ------------------------------------------------------------------------------------

    def admit(self, digest: bytes, voucher: Voucher, signature: bytes) -> Future[None]:
        """Record an admitted voucher.

        Raises
        ------
        ServiceError
            From the future: ``voucher.nonce`` when the payer has used this nonce or a higher one.
        """
        nonce = voucher.nonce.to_bytes(8, "big")

        def work(connection: sqlite3.Connection) -> None:
            last = connection.execute("SELECT MAX(nonce) FROM calls WHERE payer = ?", (voucher.payer,)).fetchone()[0]
            if last is not None and nonce <= last:
                raise nonce_error(voucher.nonce, int.from_bytes(last, "big"))
            deadline = voucher.deadline.to_bytes(8, "big")
            row = (digest, voucher.payer, nonce, State.ADMITTED, str(voucher.max_cost), deadline)
            connection.execute(
                "INSERT INTO calls (voucher_hash, payer, nonce, state, amount, deadline, voucher, voucher_signature)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*row, voucher.encode(), signature),
            )

        return self.submit(work)

    def serve(self, served: Served, request: tuple[bytes, bytes] | None = None) -> Future[None]:
        """Record the answer of an admitted voucher; a second answer for the same voucher changes nothing.

        `request` has salt and input of a call whose claim others may doubt.
        """
        receipt = served.receipt
        records = (served.claim.encode(), receipt.encode(), served.receipt_signature)
        answer = (str(receipt.cost), *records, served.output)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE calls SET state = ?, amount = ?, claim = ?, receipt = ?, receipt_signature = ?, output = ?"
                " WHERE voucher_hash = ? AND state = ?",
                (State.SERVED, *answer, receipt.voucher_hash, State.ADMITTED),
            )
            if request is not None:
                connection.execute(
                    "INSERT OR IGNORE INTO assured (voucher_hash, claim_hash, tier, salt, input, done)"
                    " VALUES (?, ?, ?, ?, ?, 0)",
                    (receipt.voucher_hash, receipt.claim_hash, served.voucher.assurance, *request),
                )

        return self.submit(work)

    def find(self, digest: bytes) -> Future[tuple[State, Served | None] | None]:
        """Look a voucher up by its digest: its state and, once there is one, its answer."""

        def work(connection: sqlite3.Connection) -> tuple[State, Served | None] | None:
            row = connection.execute(
                "SELECT state, voucher, voucher_signature, claim, receipt, receipt_signature, output"
                " FROM calls WHERE voucher_hash = ?",
                (digest,),
            ).fetchone()
            return None if row is None else (State(row[0]), served_of(row[1:]))

        return self.submit(work)

    def claim_input(self, claim_hash: bytes) -> Future[tuple[bytes, bytes] | None]:
        """Return salt and input of a claim that others may still doubt; `None` for any other."""

        def work(connection: sqlite3.Connection) -> tuple[bytes, bytes] | None:
            query = "SELECT salt, input FROM assured WHERE claim_hash = ? AND done = 0 LIMIT 1"
            row = connection.execute(query, (claim_hash,)).fetchone()
            return None if row is None else (row[0], row[1])

        return self.submit(work)

    def assured(self) -> Future[dict[int, int]]:
        """Return how many calls of each tier from audit on have work that is not over."""

        def work(connection: sqlite3.Connection) -> dict[int, int]:
            query = "SELECT tier, COUNT(*) FROM assured WHERE done = 0 GROUP BY tier"
            return dict(connection.execute(query).fetchall())

        return self.submit(work)

    def last_nonces(self) -> Future[dict[str, int]]:
        """Return the highest admitted nonce of every payer."""

        def work(connection: sqlite3.Connection) -> dict[str, int]:
            rows = connection.execute("SELECT payer, MAX(nonce) FROM calls GROUP BY payer").fetchall()
            return {payer: int.from_bytes(nonce, "big") for payer, nonce in rows}

        return self.submit(work)

    def open_amounts(self, payer: str, now: int) -> Future[dict[bytes, int]]:
        """Return what a payer still owes: vouchers neither settled nor (unanswered and past their deadline)."""

        def work(connection: sqlite3.Connection) -> dict[bytes, int]:
            rows = connection.execute(
                "SELECT voucher_hash, amount FROM calls"
                " WHERE payer = ? AND (state IN (1, 2) OR state = 0 AND deadline >= ?)",
                (payer, now.to_bytes(8, "big")),
            ).fetchall()
            return {digest: int(amount) for digest, amount in rows}

        return self.submit(work)

    def counts(self) -> Future[dict[State, int]]:
        """Return how many calls are in each state."""

        def work(connection: sqlite3.Connection) -> dict[State, int]:
            rows = connection.execute("SELECT state, COUNT(*) FROM calls GROUP BY state").fetchall()
            return dict.fromkeys(State, 0) | {State(state): count for state, count in rows}

        return self.submit(work)

    def prune(self, deadline_before: int) -> Future[int]:
        """Delete settled and failed calls whose deadline is before that unix second; return how many.

        Each payer's last call stays, so that its nonce stays taken, and so does one whose claim can still be doubted.
        Who asks again for a deleted one is refused.
        """

        def work(connection: sqlite3.Connection) -> int:
            deleted = connection.execute(
                "DELETE FROM calls WHERE state >= ? AND deadline < ?"
                " AND nonce < (SELECT MAX(nonce) FROM calls AS later WHERE later.payer = calls.payer)"
                " AND voucher_hash NOT IN (SELECT voucher_hash FROM assured WHERE done = 0)",
                (State.SETTLED, deadline_before.to_bytes(8, "big")),
            ).rowcount
            connection.execute(
                "DELETE FROM assured WHERE done = 1 AND voucher_hash NOT IN (SELECT voucher_hash FROM calls)"
            )
            return deleted

        return self.submit(work)


def nonce_error(nonce: int, last: int) -> ServiceError:
    """Return the refusal of a nonce that is not above the payer's last one."""
    return ServiceError(
        "voucher.nonce", f"nonce {nonce} is not above {last}, the last one admitted", hint=f"sign again with {last + 1}"
    )


def served_of(row: tuple[bytes | None, ...]) -> Served | None:
    """Return the answer in a row of (voucher, its signature, claim, receipt, its signature, output), if it has one."""
    voucher, voucher_signature, claim, receipt, receipt_signature, output = row
    if claim is None or receipt is None or receipt_signature is None or output is None:
        return None
    return Served(
        voucher=Voucher.decode(voucher or b""),
        voucher_signature=voucher_signature or b"",
        claim=Claim.decode(claim),
        receipt=Receipt.decode(receipt),
        receipt_signature=receipt_signature,
        output=output,
    )
