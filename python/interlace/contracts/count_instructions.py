"""Instructions of a processor that a kernel's call takes, counted by valgrind: the same on idle and busy machines.

Invariant: a count is that of one call alone, with code analysed and translated: what a process that makes the call once
more retires beyond one that does not. Without valgrind there is no count, and it is said why.
Source: cachegrind's "I refs" (the valgrind manual). It shows programs a processor without the newest vector units, so
code that chooses among them chooses others than in the time that is measured.
What it does not do: cycles, misses of a cache; the kernel's side of a system call.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from interlace import _core

MACHINES: dict[str, str | None] = {"plain": None, "engine": "plain", "analysed": "analysed"}
"""What executes, as figures call it, and what the core calls it."""

TIMEOUT_SECONDS = 1800.0
"""A count that takes longer is given up: it is 50 times slower than the call itself."""

Call = tuple[bytes, bytes]
"""A contract's code, and the input of a call of it."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What was counted.

    Attributes
    ----------
    instructions
        For each call, what it takes on each of `MACHINES`; none where nothing was counted.
    absent
        Why nothing was counted; empty if it was.
    """

    instructions: tuple[dict[str, int] | None, ...]
    absent: str = ""


def count(calls: Sequence[Call]) -> Counts:
    """Count the instructions of these calls, on each machine."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        return Counts((None,) * len(calls), "valgrind is not installed")
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder)
        given = logs / "calls.json"
        given.write_text(json.dumps([[code.hex(), data.hex()] for code, data in calls]))
        command = [valgrind, "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
        command += [f"--log-file={folder}/%p.log", sys.executable, "-m", __name__, str(given)]
        # Random seeds of hashing would add noise of their own.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, env=environment, timeout=TIMEOUT_SECONDS, check=True
            )
            rows: list[dict[str, int]] = json.loads(done.stdout)
            return Counts(tuple(_differences(logs, row) for row in rows))
        except subprocess.CalledProcessError as error:
            reason = f"it ended with status {error.returncode}"
        except subprocess.TimeoutExpired:
            reason = f"it took longer than {TIMEOUT_SECONDS:.0f} seconds"
        except (OSError, ValueError) as error:
            reason = str(error)
    return Counts((None,) * len(calls), f"valgrind did not count: {reason}")


def _differences(logs: Path, processes: dict[str, int]) -> dict[str, int]:
    counts = {machine: references((logs / f"{process}.log").read_text()) for machine, process in processes.items()}
    nothing = counts.pop("nothing")
    return {machine: counted - nothing for machine, counted in counts.items()}


def references(log: str) -> int:
    """Return the instructions that a log of cachegrind tells.

    Raises
    ------
    ValueError
        It tells none.
    """
    found = re.search(r"I\s+refs:\s+([\d,]+)", log)
    if found is None:
        raise ValueError("a log without instructions")
    return int(found[1].replace(",", ""))


def _forked(kernel: _core.BenchKernel, machine: str) -> int:
    """Make a call in a process of its own, which is this one up to here, and return that process's number."""
    process = os.fork()
    if process == 0:
        status = 1
        try:
            if machine != "nothing":
                kernel.call(MACHINES[machine])
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(process, 0)
    if status != 0:
        raise ChildProcessError(f"a call ended with status {status}")
    return process


def main(path: str) -> None:
    """Make the calls that the file names, under valgrind, and print which process made which."""
    rows = []
    for code, data in json.loads(Path(path).read_text()):
        kernel = _core.BenchKernel(bytes.fromhex(code), bytes.fromhex(data))
        for vm in MACHINES.values():
            kernel.call(vm)
        rows.append({machine: _forked(kernel, machine) for machine in ("nothing", *MACHINES)})
    print(json.dumps(rows))


if __name__ == "__main__":
    main(sys.argv[1])
