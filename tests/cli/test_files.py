"""`interlace verify` on files, and the verifier of the demo: what is named, what is refused, with which exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import interlace
from interlace.cli import verify as command
from interlace.cli.main import main
from interlace.errors import ServiceError, UsageError
from interlace.sdk.evidence import Evidence


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    """Two paid answers of a real service, as files."""
    folder = tmp_path_factory.mktemp("evidence")
    with interlace.devnet() as net:
        alice, bob = net.accounts("alice", "bob")
        features = [[i % 7, i % 3] for i in range(60)]
        data = alice.anchor((features, [i % 2 for i in range(60)]), name="numbers", licence="CC0-1.0")
        model = alice.train(data, "logistic")
        with alice.serve(model, "0.001/call") as service:
            answers = bob.ask_all(service, list(model.held_back[:2]), budget="0.01")
        model.program.save(folder / "program.ilp")
    (folder / "receipts").mkdir()
    for index, answer in enumerate(answers):
        (folder / "receipts" / f"{index}.json").write_bytes(answer.receipt.dumps())
    return folder


def test_receipts_are_verified_from_files(evidence: Path, capsys):
    assert main(["verify", str(evidence / "receipts"), "--program", str(evidence / "program.ilp")]) == 0
    assert capsys.readouterr().out.startswith("2 of 2 receipts verified by re-execution; known to a chain only")
    one = str(evidence / "receipts/0.json")
    assert main(["verify", one, "-p", str(evidence / "program.ilp"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["passed"], document["failed"]) == (1, 0)
    key = interlace.ReceiptFile.loads(Path(one).read_bytes()).receipt_key
    assert main(["verify", one, "-p", str(evidence / "program.ilp"), "--receipt-key", key]) == 0
    assert "receipt key equals the pinned one" in capsys.readouterr().out


def test_any_flipped_bit_of_a_receipt_file_is_exit_code_1(evidence: Path, tmp_path: Path, capsys):
    content = (evidence / "receipts/0.json").read_bytes()
    for position in range(0, 8 * len(content), 8 * len(content) // 12):
        changed = bytearray(content)
        changed[position // 8] ^= 1 << position % 8
        (tmp_path / "changed.json").write_bytes(changed)
        assert main(["verify", str(tmp_path / "changed.json"), "-p", str(evidence / "program.ilp"), "--json"]) == 1
        document = json.loads(capsys.readouterr().out)
        assert document["receipts"][0]["failures"]


def test_a_wrong_program_or_key_is_exit_code_1(evidence: Path, tmp_path: Path, capsys):
    (tmp_path / "empty.ilp").write_bytes(b"")
    receipts = str(evidence / "receipts")
    assert main(["verify", receipts, "-p", str(tmp_path / "empty.ilp")]) == 1
    assert "program-id" in capsys.readouterr().out
    other = "0x" + "11" * 20
    assert main(["verify", receipts, "-p", str(evidence / "program.ilp"), "--receipt-key", other]) == 1
    assert "receipt-key" in capsys.readouterr().out


def test_files_that_cannot_be_used_are_named(evidence: Path, tmp_path: Path, capsys):
    program, receipts = str(evidence / "program.ilp"), str(evidence / "receipts")
    (tmp_path / "none").mkdir()
    cases = [
        (["verify", str(tmp_path / "missing.json"), "-p", program], "cli.file"),
        (["verify", receipts, "-p", str(tmp_path / "missing.ilp")], "cli.file"),
        (["verify", str(tmp_path / "none"), "-p", program], "cli.no-receipts"),
    ]
    for words, code in cases:
        assert main(words) == 1
        assert capsys.readouterr().err.startswith(f"error[{code}]: ")


def test_receipts_have_bounds(evidence: Path, tmp_path: Path):
    program = evidence / "program.ilp"
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(interlace.records.MAX_FILE_BYTES + 1)
    with pytest.raises(UsageError, match=rf"^cli\.too-large: {large} "):
        command.verify([evidence / "receipts", large], [program])
    with pytest.raises(UsageError, match=r"^cli\.too-many: 100001 receipts > 100000"):
        command.verify([evidence / "receipts/0.json"] * (command.MAX_RECEIPTS + 1), [program])


def test_a_verifier_without_a_verdict_is_an_error(evidence: Path, tmp_path: Path):
    with pytest.raises(ServiceError, match=r"^service\.verifier: exit code 1: error\[cli\.no-receipts\]"):
        Evidence(tmp_path, [], evidence / "program.ilp").verify()
