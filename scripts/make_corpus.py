"""Write the engine's own corpus: one small chain of every fork, made by the executable specification (EELS).

Usage: .venv/bin/python scripts/make_corpus.py [--check]

Each case is a JSON file in tests/engine/corpus; `SHA256SUMS` beside them pins the bytes. With `--check`, nothing is
written and the exit code is 1 if what would be written differs from what is there.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CORPUS = ROOT / "tests" / "engine" / "corpus"
SEED, BLOCKS, TRANSACTIONS = 2026, 2, 6


def files() -> dict[str, str]:
    """Return the corpus: file name to text."""
    sys.path.insert(0, str(ROOT / "tests" / "engine"))
    from engine_chain import Maker
    from engine_oracle import FORKS

    cases = {f"{fork.name}.json": Maker(fork, SEED).case(BLOCKS, TRANSACTIONS) for fork in FORKS}
    texts = {name: json.dumps(case, separators=(",", ":"), sort_keys=True) + "\n" for name, case in cases.items()}
    sums = (f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in sorted(texts.items()))
    return {**texts, "SHA256SUMS": "".join(sums)}


def main(arguments: list[str]) -> int:
    """Write the corpus, or compare it."""
    wanted = files()
    if arguments == ["--check"]:
        present = {path.name: path.read_text() for path in CORPUS.iterdir()}
        different = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
        print("\n".join(f"differs: {name}" for name in different) or "the corpus is what the specification makes")
        return int(bool(different))
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    CORPUS.mkdir(parents=True, exist_ok=True)
    for name, text in wanted.items():
        (CORPUS / name).write_text(text)
    print(f"{len(wanted) - 1} cases, {sum(map(len, wanted.values()))} bytes in {CORPUS.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
