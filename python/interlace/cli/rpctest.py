"""`interlace rpctest`: recorded exchanges of JSON-RPC are asked again, and every answer compared.

Invariant: exit code 0 only if no case failed and at least one was there. A case that is left out is in the file of
exceptions beside this one, with the sentence of the specification that it contradicts, and counts as skipped.
What it does not do: it measures no time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from interlace.errors import ChainError

from . import output

if TYPE_CHECKING:
    import httpx

    from .rpc_cases import Case

EXCEPTIONS: Final = Path(__file__).with_name("rpc_exceptions.json")
"""Cases that contradict the specification: name, the sentence, and where it stands."""
MAX_EXCEPTIONS: Final = 5
TIMEOUT_S: Final = 60.0
_FORKS: Final = {
    "HIVE_FORK_HOMESTEAD": "homesteadBlock",
    "HIVE_FORK_TANGERINE": "eip150Block",
    "HIVE_FORK_SPURIOUS": "eip158Block",
    "HIVE_FORK_BYZANTIUM": "byzantiumBlock",
    "HIVE_FORK_CONSTANTINOPLE": "constantinopleBlock",
    "HIVE_FORK_PETERSBURG": "petersburgBlock",
    "HIVE_FORK_ISTANBUL": "istanbulBlock",
    "HIVE_FORK_MUIR_GLACIER": "muirGlacierBlock",
    "HIVE_FORK_BERLIN": "berlinBlock",
    "HIVE_FORK_LONDON": "londonBlock",
    "HIVE_FORK_ARROW_GLACIER": "arrowGlacierBlock",
    "HIVE_FORK_GRAY_GLACIER": "grayGlacierBlock",
    "HIVE_MERGE_BLOCK_ID": "mergeNetsplitBlock",
    "HIVE_TERMINAL_TOTAL_DIFFICULTY": "terminalTotalDifficulty",
    "HIVE_CHAIN_ID": "chainId",
}
"""Names of `forkenv.json`, and what they are called in a genesis document."""
_TIMED: Final = re.compile(r"HIVE_(\w+?)_(TIMESTAMP|BLOB_TARGET|BLOB_MAX|BLOB_BASE_FEE_UPDATE_FRACTION)\Z")
_BLOB: Final = {
    "BLOB_TARGET": "target",
    "BLOB_MAX": "max",
    "BLOB_BASE_FEE_UPDATE_FRACTION": "baseFeeUpdateFraction",
}

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Recorded cases, with genesis.json and chain.rlp.")]
Filter = Annotated[str | None, typer.Option("--filter", "-f", help="Part of a case's name, or a regular expression.")]
Url = Annotated[str | None, typer.Option("--url", help="Ask this node instead of one of ours.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def rpctest(folder: Folder, pattern: Filter = None, url: Url = None, json: AsJson = False) -> int:
    """Ask recorded JSON-RPC requests again and compare every answer.

    A node is started on the folder's genesis, its forks taken from forkenv.json and its blocks from chain.rlp. Exit
    code 0 if no case fails, 1 otherwise, 2 if there is nothing to ask.

    Example: interlace rpctest execution-apis/tests --filter eth_call
    """
    try:
        cases = load(folder, pattern)
        exceptions = read_exceptions()
        with asked(folder, url) as client:
            results = run(client, cases, exceptions)
    except ChainError as error:
        output.show_error(error, as_json=json)
        return 2
    failures = [result for result in results if result["outcome"] == "failed"]
    counts = {kind: sum(result["outcome"] == kind for result in results) for kind in ("passed", "failed", "skipped")}
    if json:
        output.emit_json({**counts, "cases": results})
    else:
        for result in results:
            for line in result["reasons"] if result["outcome"] != "passed" else ():
                output.data(f"{result['outcome']} {result['name']}: {line}")
        output.data(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if failures else 0


def load(folder: Path, pattern: str | None) -> list[Case]:
    """Read the cases below `folder` whose name matches, in the order of their names.

    Raises
    ------
    ChainError
        ``rpctest.bad-case``, ``rpctest.no-cases``, ``rpctest.bad-filter``.
    """
    from .rpc_cases import read_case

    try:
        wanted = re.compile(pattern or "")
    except re.error as error:
        raise ChainError("rpctest.bad-filter", f"{pattern!r} is no regular expression: {error}") from None
    cases = [read_case(path) for path in sorted(folder.glob("*/*.io"))]
    found = [case for case in cases if wanted.search(case.name)]
    if not found:
        raise ChainError("rpctest.no-cases", f"no case is left to run in {folder}", hint="check the path and --filter")
    return found


def read_exceptions(path: Path = EXCEPTIONS) -> dict[str, str]:
    """Return the excepted cases with their reasons.

    Raises
    ------
    ChainError
        ``rpctest.bad-exceptions`` when there are more than five, or one cites nothing.
    """
    listed = json.loads(path.read_text())
    complete = all(item.keys() == {"case", "sentence", "source", "reason"} and all(item.values()) for item in listed)
    if len(listed) > MAX_EXCEPTIONS or not complete:
        raise ChainError(
            "rpctest.bad-exceptions", f"{path.name}: at most {MAX_EXCEPTIONS} cases, each with its sentence"
        )
    return {item["case"]: f"{item['reason']} ({item['source']}: {item['sentence']!r})" for item in listed}


def genesis_of(folder: Path) -> dict[str, Any]:
    """Return the genesis document with the forks that forkenv.json names.

    Raises
    ------
    ChainError
        ``rpctest.bad-chain`` when a file is missing or no JSON, or names a setting that is not known.
    """
    try:
        genesis = json.loads((folder / "genesis.json").read_text())
        environment = json.loads((folder / "forkenv.json").read_text())
        config = genesis["config"]
        for name, value in environment.items():
            timed = _TIMED.match(name)
            if name in _FORKS:
                config[_FORKS[name]] = int(value)
            elif timed and timed[2] == "TIMESTAMP":
                config[f"{timed[1].lower()}Time"] = int(value)
            elif timed:
                schedule = config.setdefault("blobSchedule", {}).setdefault(timed[1].lower(), {})
                schedule[_BLOB[timed[2]]] = int(value)
            elif name == "HIVE_DEPOSIT_CONTRACT_ADDRESS":
                config["depositContractAddress"] = value
            elif name != "HIVE_NETWORK_ID":
                raise ValueError(f"forkenv.json: {name} is not known")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ChainError("rpctest.bad-chain", f"{folder}: {error}") from None
    return dict(genesis)


@contextmanager
def asked(folder: Path, url: str | None) -> Iterator[httpx.Client]:
    """Open a connection to the node that is asked; ours is started and stopped here.

    Raises
    ------
    ChainError
        ``rpctest.bad-chain``, ``chain.bad-genesis``, ``chain.bad-block``.
    """
    import httpx

    from interlace.chain import Chain
    from interlace.chain.folder import blocks_of

    if url is not None:
        with httpx.Client(base_url=url, timeout=TIMEOUT_S) as client:
            yield client
        return
    # Nothing is mined: what cases send stays in the pool, and the head stays the file's.
    with Chain(genesis_of(folder), port=0, block_time_ms=0) as chain:
        for block in blocks_of(folder / "chain.rlp", code="rpctest.bad-chain"):
            chain.import_block(block)
        with httpx.Client(base_url=chain.url, timeout=TIMEOUT_S) as client:
            yield client


def run(client: httpx.Client, cases: list[Case], exceptions: dict[str, str]) -> list[dict[str, Any]]:
    """Ask every case and return what came of it; a bar moves on a terminal."""
    from rich.progress import track

    console = output.console()
    shown = track(cases, "asking", console=console, transient=True) if console.is_terminal else cases
    return [outcome(client, case, exceptions.get(case.name)) for case in shown]


def outcome(client: httpx.Client, case: Case, exception: str | None) -> dict[str, Any]:
    """Ask one case."""
    if exception is not None:
        return {"name": case.name, "outcome": "skipped", "reasons": [exception]}
    reasons = [line for exchange in case.exchanges for line in _ask(client, exchange.request, exchange.expected, case)]
    return {"name": case.name, "outcome": "failed" if reasons else "passed", "reasons": reasons}


def _ask(client: httpx.Client, request: bytes, expected: object, case: Case) -> list[str]:
    import httpx

    from interlace import _json

    from .rpc_cases import MAX_DEPTH, differences

    try:
        response = client.post("", content=request, headers={"content-type": "application/json"})
        found = _json.loads(response.content, MAX_DEPTH)
    except (httpx.HTTPError, ValueError) as error:
        return [f"no answer: {error}"]
    return differences(expected, found, shape_only=case.shape_only)
