"""The corpus in this folder: pinned by hash, agreeing with the engine, and still what the specification makes."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from interlace import _core

CORPUS = Path(__file__).parent / "corpus"
CASES = sorted(CORPUS.glob("*.json"))


def test_every_file_is_pinned():
    pinned = dict(reversed(line.split()) for line in (CORPUS / "SHA256SUMS").read_text().splitlines())
    assert pinned == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in CASES}
    assert len(CASES) == 14


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_engine_agrees_with_the_corpus(path: Path):
    case = json.loads(path.read_text())
    blocks = [bytes.fromhex(block) for block in case["blocks"]]
    parent = bytes.fromhex(case["parent"])
    found = json.loads(_core.execute_blocks(json.dumps(case["alloc"]), json.dumps(case["config"]), parent, blocks))
    for block, expected in zip(found, case["expected"], strict=True):
        assert block["hash"] == "0x" + expected["hash"]
        assert block["state_root"] == "0x" + expected["state_root"]
        assert sum(len(receipt["logs"]) for receipt in block["receipts"]) == len(expected["logs"])


@pytest.mark.soak
@pytest.mark.skipif(not os.environ.get("INTERLACE_SOAK"), reason="make soak makes the corpus again")
def test_the_specification_still_makes_this_corpus():
    script = CORPUS.parent.parent.parent / "scripts" / "make_corpus.py"
    assert subprocess.run([sys.executable, script, "--check"], check=False).returncode == 0
