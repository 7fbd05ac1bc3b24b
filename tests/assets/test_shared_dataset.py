"""The example of five contributors runs as it stands and says what the guide says."""

from __future__ import annotations

import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_five_contributors_are_paid_by_what_they_brought(tmp_path: Path):
    words = [sys.executable, "-W", "error", ROOT / "examples/shared_dataset.py"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    scores = {name: int(points) for name, points in re.findall(r"^(\w+) +\d+ rows, score +(\d+)", done.stdout, re.M)}
    shares = {name: int(bp) for name, bp in re.findall(r"^(\w+) +adds .*: +(\d+) bp$", done.stdout, re.M)}
    claims = {name: Decimal(sum_) for name, sum_ in re.findall(r"^(\w+) +claims ([\d.]+) credits$", done.stdout, re.M)}
    assert list(shares) == ["ana", "ben", "cleo", "dan", "eve"]
    assert sum(shares.values()) == 10_000
    assert shares["dan"] == 0 < shares["eve"] < min(shares["ana"], shares["ben"], shares["cleo"])
    assert scores["eve"] < scores["dan"] < scores["ben"]
    assert set(claims) == set(shares) - {"dan"}
    told = re.search(r"^20 calls paid ([\d.]+) credits to the data; (\d+) credit-wei stay$", done.stdout, re.M)
    assert told is not None, done.stdout
    assert sum(claims.values()) * 10**18 + int(told[2]) == Decimal(told[1]) * 10**18
