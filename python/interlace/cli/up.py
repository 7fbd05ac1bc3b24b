"""`interlace up`: a developer chain with the economy's contracts and an explorer, until Ctrl-C.

Invariant: everything that was started is stopped, in reverse order, however the command ends; an address that cannot be
taken stops the command before anything is announced.
What it does not do: it keeps nothing unless it is told where. In a data directory all is kept before it is answered;
a dump is written at the end, not during the run.
"""

from __future__ import annotations

import contextlib
import json as json_module
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from interlace.errors import ChainError, InterlaceError, ServiceError, UsageError

from . import output
from .db import bars
from .history import HISTORY_HELP, blocks_of_history

if TYPE_CHECKING:
    from interlace.chain import Chain, Deployment
    from interlace.explorer.run import Explorer

EXPLORER_PORT = 8600
ECONOMY_FORKS = ("cancun", "prague", "osaka", "bpo1", "bpo2", "bpo3", "bpo4", "bpo5")
"""Forks with the instructions that the economy's contracts need (transient storage came with cancun)."""
GENESIS_OPTIONS = ("genesis", "fork", "chain_id", "balance", "gas_limit", "base_fee", "timestamp")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def up(
    context: typer.Context,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of JSON-RPC; 0 takes a free one.")] = 8545,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    explorer_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of the explorer; 8600 or a free one by default.")
    ] = None,
    explorer: Annotated[bool, typer.Option("--explorer/--no-explorer", help="Serve the explorer.")] = True,
    block_time: Annotated[
        float | None, typer.Option(min=0.001, max=3600, help="Seconds between blocks; without it one per transaction.")
    ] = None,
    no_mining: Annotated[bool, typer.Option("--no-mining", help="Make blocks only when asked.")] = False,
    order: Annotated[str, typer.Option(help="What a block takes first: fees (highest tip) or fifo.")] = "fees",
    threads: Annotated[
        int | None, typer.Option(min=1, max=256, help="Threads that execute a block; by default one a core.")
    ] = None,
    vm: Annotated[
        str, typer.Option(help="What executes code: analysed (translated once it is executed often) or plain (revm).")
    ] = "analysed",
    fork: Annotated[str, typer.Option(help="Ethereum's rules up to this fork.")] = "osaka",
    instructions: Annotated[
        bool,
        typer.Option("--instructions/--no-instructions", help="Whether contracts can have integer programs run."),
    ] = True,
    chain_id: Annotated[int, typer.Option(min=1, max=(1 << 63) - 1, help="Chain id.")] = 31337,
    accounts: Annotated[int, typer.Option(min=1, max=1000, help="How many funded accounts.")] = 10,
    balance: Annotated[int, typer.Option(min=0, max=10**12, help="Native tokens of each account.")] = 10_000,
    mnemonic: Annotated[str | None, typer.Option(help="Phrase of the accounts; by default the developers'.")] = None,
    gas_limit: Annotated[int, typer.Option(min=5_000, max=(1 << 63) - 1, help="Gas of a block.")] = 60_000_000,
    base_fee: Annotated[
        int | None, typer.Option(min=0, max=(1 << 63) - 1, help="Base fee of the first block in wei.")
    ] = None,
    timestamp: Annotated[
        int | None, typer.Option(min=0, max=(1 << 62), help="Unix seconds of genesis, where the clock starts.")
    ] = None,
    fee_recipient: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Who gets the tips of a block's transactions; by default the economy's contract."
        ),
    ] = None,
    auto_impersonate: Annotated[
        bool, typer.Option("--auto-impersonate", help="Let every account send without a signature.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Keep the chain in this folder, and go on from what it holds.")
    ] = None,
    durability: Annotated[
        str | None,
        typer.Option(help="What survives in it once it is answered: the end of the process, or a loss of power too."),
    ] = None,
    history: Annotated[str, typer.Option(help=HISTORY_HELP)] = "archive",
    state_memory: Annotated[
        int | None,
        typer.Option(
            metavar="MIB", min=1, max=1 << 20, help="Leave the state on disk, and hold so much of what is only read."
        ),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Go on from this dump if it exists, and write it again at the end.")
    ] = None,
    load_state: Annotated[Path | None, typer.Option(help="Start from this dump.")] = None,
    dump_state: Annotated[Path | None, typer.Option(help="Write a dump at the end.")] = None,
    genesis: Annotated[Path | None, typer.Option(help="A genesis file of your own (geth's format).")] = None,
    fork_url: Annotated[
        str | None,
        typer.Option(metavar="URL[@BLOCK]", help="Go on after a block of the chain at URL, its newest by default."),
    ] = None,
    fork_cache: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Where what is read of URL@BLOCK is kept; by default the user's cache."),
    ] = None,
    no_fork_cache: Annotated[bool, typer.Option("--no-fork-cache", help="Keep nothing of it on disk.")] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Host name under which others may address the node; may be repeated.")
    ] = None,
    config_out: Annotated[Path | None, typer.Option(help="Write addresses, accounts and keys as JSON.")] = None,
    log_format: Annotated[str, typer.Option(help="Log lines as text or json.")] = "text",
    quiet: Annotated[bool, typer.Option("--quiet", "--silent", "-q", help="No banner.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print addresses, accounts and keys as JSON.")] = False,
) -> int:
    """Start a developer chain: funded accounts, the economy's contracts, JSON-RPC over HTTP and WebSocket, an explorer.

    It is for development: the keys are public. The chain is in memory, unless --data-dir names a folder to keep it in
    (--durability process, which is the default there, or power), or --state a file to write it to at the end.
    Ctrl-C stops it.

    Example: interlace up --port 8545 --data-dir my-chain
    """
    from interlace.chain import DEV_MNEMONIC, Chain
    from interlace.contracts import ADDRESSES

    phrase = DEV_MNEMONIC if mnemonic is None else mnemonic
    if no_mining and block_time is not None:
        raise typer.BadParameter("--no-mining and --block-time exclude each other")
    if state is not None and (load_state is not None or dump_state is not None):
        raise typer.BadParameter("--state is both --load-state and --dump-state; give it alone")
    start, end = load_state, dump_state
    if state is not None:
        start, end = (state if state.exists() else None), state
    if start is not None:
        _refuse_genesis_options(context)
    promise = _durability(durability, data_dir)
    if state_memory is not None and data_dir is None:
        raise UsageError("cli.data-dir", "--state-memory needs --data-dir")
    if data_dir is not None and (start is not None or end is not None or fork_url is not None):
        raise UsageError("cli.data-dir", "--data-dir excludes --state, --load-state, --dump-state and --fork-url")
    if fork_url is not None and (genesis is not None or start is not None or base_fee is not None):
        raise UsageError("cli.fork", "--fork-url excludes --genesis, --base-fee, --state and --load-state")
    if fork_url is not None and end is not None:
        raise UsageError("cli.fork", "a fork cannot be dumped, so --fork-url excludes --state and --dump-state")
    chosen = str(context.get_parameter_source("fork")).endswith("COMMANDLINE")
    remote, block = _fork_target(fork_url)
    if no_fork_cache and fork_cache is not None:
        raise typer.BadParameter("--fork-cache and --no-fork-cache exclude each other")
    if remote is None and fork_cache is not None:
        raise UsageError("cli.fork", "--fork-cache needs --fork-url")
    economy = remote is None and genesis is None and start is None and fork.lower() in ECONOMY_FORKS
    chain = Chain(
        genesis,
        chain_id=chain_id,
        fork=fork if chosen or remote is None else None,
        fork_url=remote,
        fork_block=block,
        fork_cache=None if remote is None or no_fork_cache else fork_cache or _user_cache(),
        mnemonic=phrase,
        accounts=accounts,
        balance_ether=balance,
        gas_limit=gas_limit,
        base_fee_wei=base_fee,
        timestamp=timestamp,
        order=_order(order),
        fee_recipient=fee_recipient or (ADDRESSES["TransactionFees"] if economy else None),
        threads=threads,
        vm=_vm(vm),
        instructions=instructions,
        auto_impersonate=auto_impersonate,
        state=start,
        data_dir=data_dir,
        durability=promise,
        history=blocks_of_history(history),
        state_memory_mib=state_memory,
        host=host,
        port=port,
        block_time_ms=0 if no_mining else None if block_time is None else max(1, round(block_time * 1000)),
        deployments=_deployments(phrase) if economy else (),
        allowed_hosts=tuple(allow_host or ()),
        log_format=_log_format(log_format),
    )
    with contextlib.ExitStack() as running:
        running.callback(chain.stop)
        with _hints(data_dir), bars() as watch:
            chain.start(watch)
        page = (
            running.enter_context(_explorer(chain, host, explorer_port, port, allow_host or [])) if explorer else None
        )
        facts = _facts(chain, page, phrase, data_dir)
        if config_out is not None:
            _write(config_out, facts)
        if json:
            output.emit_json(facts)
        if not quiet:
            _banner(facts, host)
            chain.on_console(lambda line: output.talk(f"console.log: {line}"))
        _until_signal()
        if not quiet:
            output.talk("stopping")
        if end is not None:
            chain.dump_state(end)
    return 0


def _user_cache() -> Path:
    """Return the folder for forks in the user's cache (XDG base directory specification)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "interlace" / "forks"


def _fork_target(text: str | None) -> tuple[str | None, int | None]:
    """Split URL[@BLOCK]; an `@` within the URL itself is never followed by digits alone."""
    if text is None:
        return None, None
    url, at, block = text.rpartition("@")
    return (url, int(block)) if at and block.isascii() and block.isdigit() else (text, None)


def _refuse_genesis_options(context: typer.Context) -> None:
    """Refuse what describes another genesis than that of the dump."""
    given = [name for name in GENESIS_OPTIONS if str(context.get_parameter_source(name)).endswith("COMMANDLINE")]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError("cli.state", f"a dump brings its own genesis, so {options} cannot be given with it")


def _deployments(phrase: str) -> list[Deployment]:
    """The economy, governed and validated by the last accounts of the phrase."""
    import dataclasses

    from interlace.chain import Account
    from interlace.contracts import EconomyConfig, economy_deployments

    people = [account.address for account in Account.list_from_mnemonic(10, phrase)]
    config = dataclasses.replace(
        EconomyConfig.development(),
        governor=people[9],
        sequencer=people[9],
        treasury=people[8],
        validators=tuple(people[5:8]),
    )
    return economy_deployments(config)


def _explorer(chain: Chain, host: str, wanted: int | None, rpc_port: int, hosts: list[str]) -> Explorer:
    """Start the explorer where it was asked for; by default at its usual port, or a free one if that is taken."""
    from interlace.explorer.economy import Economy
    from interlace.explorer.names import names
    from interlace.explorer.run import Explorer

    economy = Economy(chain.client)

    def at(port: int) -> Explorer:
        return Explorer(chain.url, economy.facts, names, host=host, port=port, allowed_hosts=hosts)

    if wanted is not None or rpc_port == 0:
        return at(wanted or 0)
    try:
        return at(EXPLORER_PORT)
    except ServiceError:
        return at(0)


def _facts(chain: Chain, page: Explorer | None, phrase: str, data_dir: Path | None) -> dict[str, object]:
    from interlace.contracts import ADDRESSES

    contracts = {name: at for name, at in ADDRESSES.items() if chain.client.code(at)}
    return {
        "rpc_url": chain.url,
        "ws_url": chain.ws_url,
        "explorer_url": page.url if page else None,
        "chain_id": chain.chain_id,
        "fork": chain.client.rpc("anvil_nodeInfo")["hardFork"],
        "block": chain.client.block_number(),
        "data_dir": None if data_dir is None else str(data_dir),
        "mnemonic": phrase,
        "accounts": [
            {
                "address": account.address,
                "private_key": "0x" + account.key.hex(),
                "balance_wei": str(chain.client.balance(account.address)),
            }
            for account in chain.accounts
        ],
        "contracts": contracts,
    }


def _banner(facts: dict[str, object], host: str) -> None:
    """Tell the person at the terminal where everything is."""
    rows = facts["accounts"]
    assert isinstance(rows, list)
    lines = ["", "Accounts (public keys of development: never fund them elsewhere)", ""]
    for index, row in enumerate(rows):
        native = int(row["balance_wei"]) // 10**18
        lines.append(f"  ({index}) {row['address']}  {native:>6,} native  {row['private_key']}")
    lines += ["", f"  phrase  {facts['mnemonic']}", ""]
    contracts = facts["contracts"]
    assert isinstance(contracts, dict)
    if contracts:
        lines += ["Contracts of the economy", ""]
        lines += [f"  {name:<15} {address}" for name, address in contracts.items()]
        lines.append("")
    lines += [f"Chain id   {facts['chain_id']} ({facts['fork']} rules)", f"JSON-RPC   {facts['rpc_url']}"]
    lines.append(f"WebSocket  {facts['ws_url']}")
    if facts["data_dir"]:
        lines.append(f"Data       {facts['data_dir']} (block {facts['block']})")
    if facts["explorer_url"]:
        lines.append(f"Explorer   {facts['explorer_url']}")
    if host not in _LOOPBACK:
        lines += ["", f"warning: {host} can be reached from other machines, and these keys are public"]
    lines += ["", "Ctrl-C stops it."]
    output.talk("\n".join(lines))


def _write(path: Path, facts: dict[str, object]) -> None:
    """Write the facts for the owner alone; the file appears whole or not at all."""
    part = path.with_name(path.name + ".part")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            json_module.dump(facts, file, indent=2)
        part.replace(path)
    except OSError as error:
        raise UsageError("cli.file", f"{path}: {error.strerror}", hint="choose another file") from error


def _until_signal() -> None:
    """Wait for Ctrl-C or SIGTERM."""
    stop = threading.Event()
    before = {kind: signal.signal(kind, lambda *_: stop.set()) for kind in (signal.SIGINT, signal.SIGTERM)}
    try:
        # A wait with a limit lets the interpreter run the handler on every platform.
        while not stop.wait(0.5):
            pass
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def _order(text: str) -> Literal["fees", "fifo"]:
    if text == "fees":
        return "fees"
    if text == "fifo":
        return "fifo"
    raise typer.BadParameter(f"{text!r} is neither fees nor fifo")


def _vm(text: str) -> Literal["analysed", "plain"]:
    if text == "analysed":
        return "analysed"
    if text == "plain":
        return "plain"
    raise typer.BadParameter(f"{text!r} is neither analysed nor plain")


def _log_format(text: str) -> Literal["text", "json"]:
    if text == "text":
        return "text"
    if text == "json":
        return "json"
    raise typer.BadParameter(f"{text!r} is neither text nor json")


def _durability(text: str | None, data_dir: Path | None) -> Literal["process", "power"]:
    if data_dir is None:
        if text not in (None, "memory"):
            raise UsageError("cli.data-dir", f"--durability {text} needs --data-dir", hint="without it, it is memory")
        return "process"
    if text is None or text == "process":
        return "process"
    if text == "power":
        return "power"
    raise UsageError("cli.data-dir", f"--durability {text} with --data-dir", hint="choose process or power")


@contextlib.contextmanager
def _hints(data_dir: Path | None) -> Iterator[None]:
    """Say what to do about a port or a folder that cannot be used."""
    hints = {
        "chain.port-in-use": "--port 0 takes a free one",
        "chain.data-locked": "stop the process that uses it, or choose another folder",
        "chain.data-io": "is there space, and may you write there?",
        "chain.other-genesis": f"give the options of its first start, or --genesis {data_dir}/genesis.json",
        "chain.data-damaged": "keep a copy of the folder; a backup of it, or a dump, has what is lost",
        "chain.data-contradiction": "keep a copy of the folder, and report it",
        "chain.data-format": "use the release that wrote it",
    }
    try:
        yield
    except ChainError as error:
        if error.code not in hints:
            raise
        raise InterlaceError(error.code, error.message, hint=hints[error.code]) from None
