"""The one place that calls ezkl, a package that its user installs.

Invariant: nothing here reaches the network or the home directory; ezkl's own cache lies in ours. Failures are `zk.*`.
Source: ezkl 23.0.5 (`gen_settings`, `compile_circuit`, `setup`, `gen_witness`, `prove`, `verify`,
`create_evm_verifier`).
What it does not do: it ships nothing of ezkl, which names no licence.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from interlace.errors import ZkError

VERSION: Final = "23.0.5"
"""The only version of ezkl whose circuits were read."""
_SOLIDITY_SECONDS: Final = 120
# ezkl writes the source, and then fails to download a compiler. Every proxy is a port where nobody listens.
_WRITE_SOLIDITY: Final = """
import asyncio, sys, ezkl
async def write():
    await ezkl.create_evm_verifier(*sys.argv[1:])
asyncio.run(write())
"""
_NOWHERE: Final = "http://127.0.0.1:9"


def cache() -> Path:
    """Return the folder for what can be made again; ``XDG_CACHE_HOME`` moves it."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "interlace" / "ezkl"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def load() -> Any:  # noqa: ANN401 - ezkl has no types
    """Return the module ezkl.

    Raises
    ------
    ZkError
        `zk.extra-missing` if it is not installed, `zk.version` if it is another version than `VERSION`.
    """
    os.environ["EZKL_REPO_PATH"] = str(cache())
    try:
        import ezkl
    except ImportError:
        raise ZkError(
            "zk.extra-missing", "ezkl is not installed; it names no licence", hint="pip install 'interlace[zk]'"
        ) from None
    if ezkl.__version__ != VERSION:
        raise ZkError("zk.version", f"ezkl {ezkl.__version__} is installed", hint=f"pip install ezkl=={VERSION}")
    return ezkl


@contextlib.contextmanager
def speaking(what: str) -> Iterator[None]:
    """Turn what ezkl raises into `zk.driver`."""
    try:
        yield
    except RuntimeError as error:
        raise ZkError("zk.driver", f"ezkl could not {what}: {error}"[:500]) from None


def write_solidity(key: Path, settings: Path, srs: Path) -> str:
    """Return the source of the verifier contract of a key.

    Raises
    ------
    ZkError
        `zk.driver` if ezkl wrote none.
    """
    load()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "verifier.sol"
        arguments = [key, settings, source, Path(folder) / "verifier.abi", srs]
        proxies = dict.fromkeys(
            ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), _NOWHERE
        )
        # A process of its own: a thread of ezkl's may still run when an interpreter ends, and aborts it.
        done = subprocess.run(
            [sys.executable, "-c", _WRITE_SOLIDITY, *map(str, arguments)],
            env={**os.environ, **proxies, "HOME": folder, "NO_PROXY": "", "no_proxy": ""},
            capture_output=True,
            text=True,
            check=False,
            timeout=_SOLIDITY_SECONDS,
        )
        if not source.exists():
            raise ZkError("zk.driver", f"ezkl wrote no verifier: {done.stderr[-300:]}")
        return source.read_text()


def compile_solidity(source: str, contracts: Path) -> tuple[bytes, bytes]:
    """Return (initcode, runtime code) of a generated verifier.

    Parameters
    ----------
    source
        What `write_solidity` returned.
    contracts
        The folder ``contracts`` of a checkout after ``npm ci``.

    Raises
    ------
    ZkError
        `zk.compiler` without node or its packages, or if the source does not compile.
    """
    import json

    command = ["node", str(contracts / "verifier.mjs")]
    try:
        done = subprocess.run(
            command, input=source, capture_output=True, text=True, check=False, timeout=_SOLIDITY_SECONDS
        )
    except OSError as error:
        raise ZkError("zk.compiler", f"node does not start: {error.strerror}") from None
    if done.returncode != 0:
        raise ZkError("zk.compiler", done.stderr[:500] or "no message", hint=f"npm ci in {contracts}")
    made = json.loads(done.stdout)
    return bytes.fromhex(made["initcode"]), bytes.fromhex(made["runtime"])
