"""viem and ethers, unmodified, take the node for their own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from interlace.chain import Chain

HERE = Path(__file__).parent


def run(script: str, node: Chain, token: dict[str, Any]) -> dict[str, Any]:
    """Run a script with the node's addresses and the artifact on stdin; return the JSON it prints."""
    command = ["node", str(HERE / script), node.url, node.ws_url]
    done = subprocess.run(command, input=json.dumps(token), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed


@pytest.mark.parametrize("script", ["viem_client.mjs", "viem_actions.mjs", "ethers_client.mjs", "ethers_actions.mjs"])
def test_deploy_transfer_logs_and_subscriptions(script: str, node: Chain, token: dict[str, Any]) -> None:
    seen = run(script, node, token)
    # The node is asked as well, so that a script which passes without touching it would be noticed.
    assert node.client.rpc("eth_getCode", seen["address"], "latest") != "0x"
