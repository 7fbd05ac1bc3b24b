"""What the trace adds to a run: `python benches/trace_overhead.py`.

Invariant: both are measured in turns in one process; the least of each counts.
Source: docs/disputes.md, "What it costs".
What it does not do: it compares nothing with others.
"""

from __future__ import annotations

import itertools
import time

import numpy as np

from interlace.models import GraphBuilder, Program, tensor

NETWORKS = ((1024, 1000, 10), (784, 1024, 200, 10), (1024, 512, 512, 512, 10), (256, *(360,) * 7, 10))
ROUNDS = 3_000


def network(widths: tuple[int, ...], rng: np.random.Generator) -> Program:
    """Return a perceptron with random weights."""
    builder, value = GraphBuilder((widths[0],)), 0
    for layer, (k, n) in enumerate(itertools.pairwise(widths)):
        value = builder.matmul(value, rng.integers(-127, 128, (k, n)), rng.integers(-999, 999, n))
        if layer < len(widths) - 2:
            value = builder.requantise(value, rng.integers(1 << 20, 1 << 22, n), 33, 0, 127)
    return builder.build(value)


def main() -> None:
    """Print weights, microseconds of a run and of a traced run, and their ratio."""
    rng = np.random.default_rng(1)
    for widths in NETWORKS:
        core = network(widths, rng).core
        data = tensor.encode(rng.integers(-128, 128, widths[0]).astype(np.int8))
        least = [float("inf")] * 2
        for _ in range(ROUNDS):
            for place, act in enumerate((core.run, core.trace)):
                start = time.perf_counter()
                act(data)
                least[place] = min(least[place], 1e6 * (time.perf_counter() - start))
        name = "-".join(map(str, widths))
        print(f"{name}: {len(core.weights):,} B, {least[0]:.1f} us, traced {least[1]:.1f}, {least[1] / least[0]:.2f}")


if __name__ == "__main__":
    main()
