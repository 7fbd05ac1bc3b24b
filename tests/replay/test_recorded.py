"""Every recorded block: what its format determines is compared, and nothing differs."""

from __future__ import annotations

import pytest

from tests.conftest import data_dir
from tests.replay.recording import Document, replay_all

BYZANTIUM_BLOCK = 4_370_000


def reports(folder: str, at_least: int) -> list[Document]:
    found = replay_all(data_dir(f"evm/{folder}"))
    assert len(found) >= at_least
    for report in found:
        assert report["passed"], f"{report['number']}: {report['error']} {report['mismatches']}"
    return found


def test_mainnet_blocks_equal_their_headers() -> None:
    for report in reports("mainnet", 44):
        assert report["gas"] == "ok"
        assert report["gas_used"] == report["gas_expected"]
        assert report["logs_bloom"] == "ok"
        assert report["receipts_root"] == ("ok" if report["number"] >= BYZANTIUM_BLOCK else "none")
        assert report["state_root"] == "none"
        assert len(report["excluded"]) == (1 if report["number"] == 1_796_867 else 0), "only one block has an ommer"


def test_proven_blocks_equal_their_headers_and_state_roots() -> None:
    found = reports("mainnet_proofs", 8)
    for report in found:
        # Receipts before Byzantium hold state roots; the proofs give those too.
        for check in ("gas", "receipts_root", "logs_bloom", "state_root"):
            assert report[check] == "ok", (report["number"], check)
        assert report["excluded"] == []
    assert {report["number"] for report in found} >= {1, 1_920_000, 21_230_867}, "genesis' child, the DAO fork, Cancun"


def test_recent_blocks_equal_plain_revm() -> None:
    for report in reports("mainnet_recent", 1):
        assert report["plain_revm"] == "ok"
        assert report["gas"] == "ok"
        assert report["transactions"] == 170
        assert report["receipts_root"] == report["state_root"] == "none"


def test_op_stack_blocks_run_but_for_the_deposit() -> None:
    for report in reports("rise", 1):
        assert [entry["what"] for entry in report["excluded"]] == ["transaction 0: OP-stack deposit, type 0x7e"]
        assert report["transactions"] == 570, "571 are recorded, one of them is the deposit"
        assert report["receipts_root"] == "ok", "with the deposit's receipt taken as the remainder"
        assert report["gas"] == "none", "the header's total includes the deposit"
        assert 0 < report["gas_expected"] - report["gas_used"] <= 1_000_000, (
            "what is left is within the deposit's limit"
        )
        assert any("L1 data" in reason for reason in report["not_compared"])


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_reports_do_not_depend_on_threads(threads: int) -> None:
    def facts(report: Document) -> Document:
        return {key: value for key, value in report.items() if "seconds" not in key}

    path = data_dir("evm/mainnet_proofs")
    assert list(map(facts, replay_all(path, threads=threads))) == list(map(facts, replay_all(path, threads=3)))
