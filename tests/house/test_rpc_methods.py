"""docs/rpc-methods.md says which methods a node answers, where, and which not; the node agrees."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from interlace import _core
from interlace.chain import Chain
from interlace.errors import RpcError

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/rpc-methods.md").read_text()
TOP, _, BOTTOM = PAGE.partition("## Not answered")
ANSWERED = re.findall(r"^\| `(\w+_\w+)` \| ", TOP, re.MULTILINE)
MISSING = re.findall(r"`(\w+_\w+)`", "".join(re.findall(r"^\| (`[^|]+) \|", BOTTOM, re.MULTILINE)))


def test_the_table_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/write_rpc_methods.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(ANSWERED) == _core.rpc_methods()


def test_what_is_said_to_be_missing_is_missing_and_the_rest_is_there() -> None:
    assert len(MISSING) > 50
    with Chain(port=None) as chain:
        for method in MISSING:
            with pytest.raises(RpcError) as caught:
                chain.client.rpc(method)
            assert caught.value.rpc_code == -32601, method
        for method in set(ANSWERED) - {"eth_subscribe", "eth_unsubscribe"}:
            try:
                chain.client.rpc(method)
            except RpcError as error:
                assert error.rpc_code != -32601, method  # noqa: PT017 - most need parameters, and say so


def test_methods_of_a_developers_chain_are_marked() -> None:
    places = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", PAGE, re.MULTILINE))
    assert places["evm_mine"] == "on a developer's chain"
    assert places["eth_call"] == "everywhere"
    assert places["eth_subscribe"] == "over a WebSocket"
