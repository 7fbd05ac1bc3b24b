"""How much memory a prover adds to a process that has the program and has run it: one process for each figure.

Invariant: the figure is the difference of the process's own high-water marks, before and after one proof.
Source: proc(5), ``VmHWM``; where there is no such file, getrusage's ``ru_maxrss``.
What it does not do: memory of a chain, of validators elsewhere and of verifiers is not in it.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Final

from interlace.errors import VerificationError
from interlace.proofs.tiers.values import Way

SECONDS: Final = 600
"""Longest that one proof may take."""


def high_water_kb() -> int:
    """Return the most memory that this process had, in kilobytes of 1,024 bytes."""
    # Of getrusage a child inherits its parent's mark, so it is the second choice.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def peak_mb(model: str, way: Way, folder: str = "", logrows: int = 0) -> float:
    """Return the megabytes (10^6 bytes) that a proof of a model of the bench adds, in a process of its own.

    Parameters
    ----------
    model
        Its name in `interlace.proofs.bench_proofs`.
    folder, logrows
        For ``zk``: where the key is, and how many rows its development string has, as a power of two.

    Raises
    ------
    VerificationError
        ``tier.no-measurement`` when that process fails.
    """
    command = [sys.executable, "-m", "interlace.proofs.tiers.peak", model, way.label, folder, str(logrows)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise VerificationError("tier.no-measurement", f"{way.label} took more than {SECONDS} s") from None
    if done.returncode:
        raise VerificationError("tier.no-measurement", f"memory of {way.label}: {done.stderr.strip()[-300:]}")
    return float(json.loads(done.stdout)) * 1024 / 1e6


def _main(model: str, label: str, folder: str, logrows: str) -> int:
    from interlace.proofs.bench_proofs import MODELS, dense
    from interlace.proofs.tiers.bench import alone, job_of

    job = job_of(dense(MODELS[model]))
    work = alone(Way.of(label), job, folder, int(logrows))
    job.run()
    before = high_water_kb()
    work()
    return high_water_kb() - before


if __name__ == "__main__":
    print(json.dumps(_main(*sys.argv[1:])))
