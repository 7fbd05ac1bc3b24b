"""Runs slither over contracts/src and compares what it finds with docs/contracts-analysis.md: `make analyse`.

Invariant: the run fails on a finding that the page does not explain, and on an explanation of nothing; same sources
and same versions, same findings.
Source: slither's own detectors, all but those about gas; the compiler is the one that contracts/ pins.
What it does not do: it installs nothing, and it judges nothing. What a finding means stands on the page.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import json
import logging
import posixpath
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/contracts-analysis.md"
SOURCES = ROOT / "contracts/src"
LIBRARIES = ROOT / "contracts/node_modules"
SOLC = ROOT / "tests/clients/solc.cjs"
IMPORT = re.compile(r'^\s*import\s+(?:[^"\']*from\s+)?["\']([^"\']+)["\']', re.MULTILINE)
ROW = re.compile(r"^\| `(?P<check>[a-z0-9-]+)` \| (?P<places>`[^|]+`) \| (?P<why>[^|]+) \|$", re.MULTILINE)

Finding = tuple[str, str]
"""A detector, and the place that it names: `Contract.function` or `Contract.variable`."""


def explained(page: str) -> set[Finding]:
    """Return what the page explains; a row may name several places."""
    return {(row["check"], place) for row in ROW.finditer(page) for place in re.findall(r"`([^`]+)`", row["places"])}


def compare(found: set[Finding], known: set[Finding]) -> list[str]:
    """Return what is wrong, a line each."""
    lines = [f"not explained: {check} at {place}" for check, place in sorted(found - known)]
    return lines + [f"explained, but not found: {check} at {place}" for check, place in sorted(known - found)]


def lay_out(folder: Path) -> dict[str, str]:
    """Write the sources and all that they import into `folder`, under the names that they are imported by."""
    waiting = [f"src/{path.relative_to(SOURCES).as_posix()}" for path in SOURCES.rglob("*.sol")]
    seen: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        at = ROOT / "contracts" / name if name.startswith("src/") else LIBRARIES / name
        seen[name] = at.read_text()
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(seen[name])
        for other in IMPORT.findall(seen[name]):
            near = posixpath.normpath(posixpath.join(posixpath.dirname(name), other))
            waiting.append(near if other.startswith(".") else other)
    return seen


def place_of(finding: dict[str, Any]) -> str:
    """Return the contract and the member that a finding begins with."""
    element = finding["elements"][0]
    owner, names = element, [element["name"]]
    while owner["type"] not in ("contract", "pragma") and "parent" in owner["type_specific_fields"]:
        owner = owner["type_specific_fields"]["parent"]
        names.append(owner["name"])
    # Of a function and what stands in it, the function is the place.
    return ".".join(reversed(names[-2:]))


def analyse() -> set[Finding]:
    """Compile, run all detectors, and return their findings in our own sources."""
    from crytic_compile import CryticCompile
    from crytic_compile.platform.solc_standard_json import SolcStandardJson
    from slither import Slither
    from slither.detectors import all_detectors
    from slither.detectors.abstract_detector import AbstractDetector, DetectorClassification

    logging.getLogger("CryticCompile").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        sources = {file: {"content": text} for file, text in lay_out(Path(name)).items()}
        settings = {
            "optimizer": {"enabled": True, "runs": 1000},
            "evmVersion": "cancun",
            "viaIR": True,
            "outputSelection": {"*": {"*": ["abi", "evm.bytecode", "evm.deployedBytecode"], "": ["ast"]}},
        }
        request = {"language": "Solidity", "sources": sources, "settings": settings}
        with contextlib.chdir(name):
            unit = CryticCompile(SolcStandardJson(request), solc=str(SOLC))
            slither = Slither(unit, filter_paths=["@openzeppelin"])
            for member in vars(all_detectors).values():
                if not inspect.isclass(member) or not issubclass(member, AbstractDetector):
                    continue
                if member.IMPACT != DetectorClassification.OPTIMIZATION:
                    slither.register_detector(member)
            return {(f["check"], place_of(f)) for one in slither.run_detectors() for f in one}


def main() -> int:
    """Run and report; 1 if the page and the findings differ, 2 without slither."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    arguments = parser.parse_args()
    try:
        found = analyse()
    except ImportError as error:
        print(f"error: {error}\nhint: make analyse installs slither into an environment of its own", file=sys.stderr)
        return 2
    if arguments.json:
        print(json.dumps([{"detector": check, "place": place} for check, place in sorted(found)]))
    wrong = compare(found, explained(PAGE.read_text()))
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(found)} findings, {len(wrong)} that the page does not account for", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
