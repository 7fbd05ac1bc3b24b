"""The nodes under measurement: each a process of its own, started for one round and ended after it.

Invariant: a node listens on loopback alone, on a port that was free; what was started is ended, also after an error.
What it does not do: anvil is not installed by this package. Without one, ours is measured alone.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from interlace.cli.bench_rpc.wire import Connection, wrong
from interlace.errors import ChainError, UsageError

START_SECONDS = 30.0
_POLL_SECONDS = 0.001
_TICKS = 100
"""Ticks per second in /proc; the same on every Linux."""


@dataclass(frozen=True, slots=True)
class Program:
    """How to start a node; `{port}` stands for its port."""

    name: str
    command: tuple[str, ...]


def ours() -> Program:
    """Return our node as a user starts it."""
    return Program("interlace", (sys.executable, "-m", "interlace.cli", "up", "--quiet", "--port", "{port}"))


def anvil(path: Path) -> Program:
    """Return anvil with the gas limit of our blocks.

    anvil 1.7.1 never finishes a block once as many transactions are ready as `--max-transactions` allows, 1,000 by
    default; above the number that is sent, it does.
    """
    words = (str(path), "--quiet", "--port", "{port}", "--gas-limit", "60000000", "--max-transactions", "20000")
    return Program("anvil", words)


def find_anvil(path: Path | None = None) -> Program | None:
    """Return anvil at `path`; by default that of npm's `@foundry-rs/anvil` under this folder, or that on PATH.

    Raises
    ------
    UsageError
        ``cli.file`` when there is no program at `path`.
    """
    if path is not None:
        if not path.is_file():
            raise UsageError("cli.file", f"{path}: no such program", hint="npm install @foundry-rs/anvil")
        return anvil(path)
    # The program itself, not npm's script: starting node first would count as anvil's cold start.
    for folder in (Path("node_modules"), Path("tests/clients/node_modules")):
        for found in sorted(folder.glob("@foundry-rs/anvil-*/bin/anvil")):
            return anvil(found.resolve())
    found_on_path = shutil.which("anvil")
    return anvil(Path(found_on_path)) if found_on_path else None


class Node:
    """A running node."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, start_seconds: float) -> None:
        self.port = port
        self.start_seconds = start_seconds
        """From the start of the process to the first answer."""
        self._process = process

    def rss_mb(self) -> float | None:
        """Return resident memory in MiB, where the system tells it."""
        try:
            text = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return None
        return int(text.partition("VmRSS:")[2].split()[0]) / 1024

    def cpu_seconds(self) -> float | None:
        """Return user and system time so far, where the system tells it."""
        try:
            fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / _TICKS


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(program: Program) -> Iterator[Node]:
    """Start `program`, wait for its first answer, and end it with the block."""
    port = _free_port()
    command = [word.replace("{port}", str(port)) for word in program.command]
    with tempfile.TemporaryFile() as log:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            _wait(process, port, start)
            yield Node(process, port, time.perf_counter() - start)
        except ChainError as error:
            log.seek(0, 2)
            log.seek(max(0, log.tell() - 1_000))
            raise wrong(f"{program.name}: {error.message}\n{log.read().decode(errors='replace')}".rstrip()) from None
        finally:
            _end(process)


def _wait(process: subprocess.Popen[bytes], port: int, start: float) -> None:
    while True:
        try:
            with Connection(port) as connection:
                connection.call("eth_chainId")
                return
        except ConnectionError:
            if process.poll() is not None:
                raise wrong(f"ended with {process.returncode} before its first answer") from None
            if time.perf_counter() - start > START_SECONDS:
                raise wrong(f"no answer within {START_SECONDS:g} s") from None
            time.sleep(_POLL_SECONDS)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
