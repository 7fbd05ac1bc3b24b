"""Counters of a service in Prometheus text format 0.0.4.

Invariant: label values come from closed sets (codes, endpoints), so the number of series is bounded.
What it does not do: it keeps no history and names no payer.
"""

from __future__ import annotations

import bisect
import threading
from collections import Counter
from typing import Final

_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Thread-safe counters; `text` renders them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str]] = Counter()
        self._seconds: Counter[int] = Counter()
        self._sum = 0.0
        self._count = 0
        self._units = 0
        self._cost_wei = 0

    def request(self, endpoint: str, code: str, seconds: float) -> None:
        """Count one finished request: its endpoint, ``ok`` or its error code, and how long it took."""
        with self._lock:
            self._requests[endpoint, code] += 1
            self._seconds[bisect.bisect_left(_BUCKETS, seconds)] += 1
            self._sum += seconds
            self._count += 1

    def served(self, units: int, cost_wei: int) -> None:
        """Count one paid call."""
        with self._lock:
            self._units += units
            self._cost_wei += cost_wei

    def text(self, gauges: dict[str, tuple[str, int]]) -> str:
        """Render all series; `gauges` maps a name to its help text and value."""
        with self._lock:
            lines = [
                "# HELP interlace_requests_total Requests by endpoint and outcome.",
                "# TYPE interlace_requests_total counter",
            ]
            for (endpoint, code), count in sorted(self._requests.items()):
                lines.append(f'interlace_requests_total{{endpoint="{endpoint}",code="{code}"}} {count}')
            lines += ["# HELP interlace_request_seconds Time to answer.", "# TYPE interlace_request_seconds histogram"]
            below = 0
            for index, bound in enumerate(_BUCKETS):
                below += self._seconds[index]
                lines.append(f'interlace_request_seconds_bucket{{le="{bound}"}} {below}')
            lines.append(f'interlace_request_seconds_bucket{{le="+Inf"}} {self._count}')
            lines += [
                f"interlace_request_seconds_sum {self._sum:.6f}",
                f"interlace_request_seconds_count {self._count}",
            ]
            totals = {
                "units": ("Units of work served.", self._units),
                "cost_wei": ("Credit-wei served.", self._cost_wei),
            }
            for name, (text, value) in totals.items():
                lines += [f"# HELP interlace_{name}_total {text}", f"# TYPE interlace_{name}_total counter"]
                lines.append(f"interlace_{name}_total {value}")
        for name, (text, value) in gauges.items():
            lines += [f"# HELP interlace_{name} {text}", f"# TYPE interlace_{name} gauge", f"interlace_{name} {value}"]
        return "\n".join(lines) + "\n"
