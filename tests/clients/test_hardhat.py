"""hardhat 3, unmodified, works on the node: plugins for viem and ethers, network helpers, unlocked and own keys."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from interlace.chain import Chain

HERE = Path(__file__).parent
PROJECT = HERE / "hardhat"
COMPILER = HERE.parents[1] / "contracts/node_modules/solc/soljson.js"


@pytest.mark.parametrize(("network", "passing"), [("unlocked", 9), ("signing", 8)])
def test_a_project_compiles_deploys_and_passes_its_tests(
    network: str, passing: int, node: Chain, tmp_path: Path
) -> None:
    program = PROJECT / "node_modules/.bin/hardhat"
    assert program.exists(), "hint: run `make test`, which installs hardhat"
    environment = {
        **os.environ,
        # hardhat 3 needs node 22, which the clients' package brings.
        "PATH": f"{HERE / 'node_modules/.bin'}{os.pathsep}{os.environ['PATH']}",
        "NODE_URL": node.url,
        "SOLC": str(COMPILER),
        "ARTIFACTS": str(tmp_path / "artifacts"),
        "CACHE": str(tmp_path / "cache"),
        "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true",
        "CI": "1",
    }
    before = node.client.block_number()
    done = subprocess.run(
        [str(program), "test", "nodejs", "--network", network],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # None was left out, and the node was asked.
    assert re.search(rf"\b{passing} passing\b", done.stdout), done.stdout
    assert node.client.block_number() > before
