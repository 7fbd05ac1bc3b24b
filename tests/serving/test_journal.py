"""The journal: durable before it returns, one row for a voucher, one process for a role."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from interlace.errors import ServiceError
from interlace.records import Voucher
from interlace.serving import Journal
from interlace.serving.journal import State
from tests.proofs import sample

VOUCHER = sample.served().voucher


def voucher(nonce: int) -> Voucher:
    return sample.served(nonce=nonce).voucher


def test_what_returned_is_on_disk(tmp_path) -> None:
    journal = Journal(tmp_path / "j")
    journal.admit(b"a" * 32, voucher(1), b"s").result()
    with sqlite3.connect(tmp_path / "j") as other:
        assert other.execute("SELECT COUNT(*) FROM calls").fetchone() == (1,)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()
    journal.close()
    reopened = Journal(tmp_path / "j")
    assert reopened.last_nonces().result() == {sample.PAYER.address: 1}
    assert reopened.find(b"a" * 32).result() == (State.ADMITTED, None)
    assert reopened.find(b"b" * 32).result() is None
    reopened.close()


def test_a_nonce_is_admitted_once_and_ascending_also_within_one_group(tmp_path) -> None:
    journal = Journal(tmp_path / "j")
    nonces = [3, 3, 2, 4, (1 << 64) - 1, 5]
    futures = [journal.admit(bytes([i]) * 32, voucher(nonce), b"s") for i, nonce in enumerate(nonces)]
    outcome = [getattr(future.exception(), "code", "ok") for future in futures]
    assert outcome == ["ok", "voucher.nonce", "voucher.nonce", "ok", "ok", "voucher.nonce"]
    journal.close()


def test_one_process_for_a_role(tmp_path) -> None:
    service, settler = Journal(tmp_path / "j"), Journal(tmp_path / "j", "settler")
    for role in ("service", "settler"):
        with pytest.raises(ServiceError) as caught:
            Journal(tmp_path / "j", role)
        assert caught.value.code == "service.journal-locked"
    service.close()
    Journal(tmp_path / "j").close()
    settler.close()


def test_files_that_are_no_journal_are_refused_and_left_alone(tmp_path) -> None:
    (tmp_path / "text").write_text("not a database, " * 100)
    (tmp_path / "folder").mkdir()
    with sqlite3.connect(tmp_path / "newer") as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    for name, code in (
        ("text", "service.journal"),
        ("folder", "service.journal"),
        ("newer", "service.journal-version"),
    ):
        with pytest.raises(ServiceError) as caught:
            Journal(tmp_path / name)
        assert caught.value.code == code
    with pytest.raises(ServiceError) as caught:
        Journal(tmp_path / "text" / "below")
    assert caught.value.code == "service.journal"
    assert (tmp_path / "text").read_text().startswith("not a database")


def test_a_closed_journal_refuses(tmp_path) -> None:
    journal = Journal(tmp_path / "j")
    journal.close()
    journal.close()
    with pytest.raises(ServiceError) as caught:
        journal.counts().result()
    assert caught.value.code == "service.journal"


def test_pruning_keeps_what_is_open_and_each_last_nonce(tmp_path) -> None:
    journal = Journal(tmp_path / "j")
    deadline = VOUCHER.deadline
    for nonce in range(1, 5):
        journal.admit(bytes([nonce]) * 32, voucher(nonce), b"s").result()
    settled = [bytes([nonce]) * 32 for nonce in (1, 2, 4)]
    update = "UPDATE calls SET state = ? WHERE voucher_hash = ?"
    journal.submit(lambda c: c.executemany(update, [(State.SETTLED, one) for one in settled])).result()
    assert journal.prune(deadline).result() == 0
    assert journal.prune(deadline + 1).result() == 2
    assert journal.last_nonces().result() == {sample.PAYER.address: 4}
    assert journal.find(bytes([3]) * 32).result() == (State.ADMITTED, None)
    assert journal.admit(b"x" * 32, voucher(1), b"s").exception().code == "voucher.nonce"
    journal.close()


def test_whatever_an_operation_raises_or_whoever_stops_waiting_the_journal_goes_on(tmp_path) -> None:
    journal = Journal(tmp_path / "j")

    def broken(_: sqlite3.Connection) -> None:
        raise ValueError("a row that does not decode")

    with pytest.raises(ValueError, match="does not decode"):
        journal.submit(broken).result(timeout=10)
    held, go = threading.Event(), threading.Event()

    def slow(_: sqlite3.Connection) -> None:
        held.set()
        go.wait(10)

    first = journal.submit(slow)
    assert held.wait(10)
    given_up = journal.admit(b"a" * 32, voucher(1), b"s")
    assert given_up.cancel()
    go.set()
    first.result(timeout=10)
    # What nobody waits for any more is not done, and the next one is.
    journal.admit(b"b" * 32, voucher(1), b"s").result(timeout=10)
    assert journal.find(b"a" * 32).result(timeout=10) is None
    journal.close()


def test_nobody_else_reads_the_journal(tmp_path) -> None:
    journal = Journal(tmp_path / "j")
    journal.admit(b"a" * 32, voucher(1), b"s").result()
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
    journal.close()
