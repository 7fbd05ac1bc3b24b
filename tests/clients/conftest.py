"""One node and one compiled ERC-20 for the tests of other people's clients."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlace.chain import Chain

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


@pytest.fixture(scope="package")
def node() -> Iterator[Chain]:
    """Start a node as a user would, on free ports."""
    with Chain(port=0) as chain:
        yield chain


@pytest.fixture(scope="package")
def token() -> dict[str, Any]:
    """Compile OpenZeppelin's ERC-20 with the pinned compiler: {abi, bytecode}."""
    done = subprocess.run(["node", HERE / "compile.mjs"], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.stderr}\nhint: run `make test`, which installs the compiler"
    artifact: dict[str, Any] = json.loads(done.stdout)
    return artifact
