"""Measuring the integer kernel: each path of this machine and numpy's int32 product, in one run.

Invariant: every figure is the best of several repetitions of one product on one thread, and all results are compared
before any is reported.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from interlace.errors import ProgramError
from interlace.models import tensor
from interlace.models.builder import GraphBuilder
from interlace.models.program import Program


@dataclass(frozen=True, slots=True)
class TensorBench:
    """Figures of one product ``[rows, depth] · [depth, channels]``.

    Attributes
    ----------
    gmacs_per_second
        10^9 multiply-accumulates per second on one thread, by path; ``numpy`` is its int32 matmul.
    ratio_to_scalar, ratio_to_numpy
        The fastest path over the reference path and over numpy.
    """

    rows: int
    depth: int
    channels: int
    gmacs_per_second: dict[str, float]
    fastest: str
    ratio_to_scalar: float
    ratio_to_numpy: float

    def to_json(self) -> dict[str, object]:
        """Return the figures as JSON members."""
        return asdict(self)

    def to_text(self) -> str:
        """Return the figures as lines for people."""
        lines = [f"int8 product [{self.rows}, {self.depth}] x [{self.depth}, {self.channels}], one thread"]
        lines += [f"  {name:<8}{value:8.2f} GMAC/s" for name, value in self.gmacs_per_second.items()]
        lines.append(
            f"  {self.fastest} is {self.ratio_to_scalar:.1f}x scalar and {self.ratio_to_numpy:.1f}x numpy int32"
        )
        return "\n".join(lines)


def bench_tensor(rows: int = 64, depth: int = 1_024, channels: int = 1_024, repeats: int = 10) -> TensorBench:
    """Measure one product of random i8 on every path; raises `program.paths-differ` if two results differ."""
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (rows, depth), dtype=np.int8)
    weights = rng.integers(-128, 128, (depth, channels), dtype=np.int8)
    builder = GraphBuilder((rows, depth))
    program = builder.build(builder.matmul(0, weights, np.zeros(channels, dtype=np.int32)))
    data = tensor.encode(x)
    wide_x, wide_weights = x.astype(np.int32), weights.astype(np.int32)
    expected = wide_x @ wide_weights
    macs = rows * depth * channels
    figures = {"numpy": macs / _best(lambda: wide_x @ wide_weights, min(repeats, 3)) / 1e9}
    for path in Program.paths():
        if not np.array_equal(tensor.decode(program.core.run(data, path)), expected):
            raise ProgramError("program.paths-differ", f"path {path} does not give the integers of numpy")
        figures[path] = macs / _best(lambda path=path: program.core.run(data, path), repeats) / 1e9  # type: ignore[misc]
    fastest = max(Program.paths(), key=lambda path: figures[path])
    return TensorBench(
        rows,
        depth,
        channels,
        {name: round(value, 3) for name, value in figures.items()},
        fastest,
        round(figures[fastest] / figures["scalar"], 2),
        round(figures[fastest] / figures["numpy"], 2),
    )


def _best(work: Callable[[], object], repeats: int) -> float:
    """Shortest seconds of one call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)
