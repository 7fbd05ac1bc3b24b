"""A chain in this process: started, stopped and extended from Python.

Invariant: a chain that is not started answers nothing, one that was stopped holds no thread, no port and no folder.
With a data directory, what was acknowledged is there at the next start; without one, what was on a stopped chain is
gone unless it was dumped, and starting again begins where the first start began.
What it does not do: it is a developer's chain. Its order may be reverted and its accounts' keys are public.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

from interlace import _core
from interlace.chain.access_list import FollowedBlock
from interlace.chain.account import DEV_MNEMONIC, Account, checksum_address
from interlace.chain.client import Client
from interlace.chain.controls import Controls, read_dump
from interlace.chain.hooks import ConsoleHook, Hook
from interlace.chain.namespaces import dispatcher
from interlace.chain.predictor import Predictor, PredictorHook
from interlace.chain.progress import Watch, watched
from interlace.chain.transport import NodeTransport
from interlace.chain.types import Block
from interlace.errors import ChainError

ETHER: Final = 10**18
"""Wei in one native token."""
_WILDCARD: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Deployment:
    """A contract whose constructor runs at genesis, in place."""

    address: str
    initcode: bytes
    """Creation code with the constructor's arguments appended."""
    value_wei: int = 0


class Chain(Controls):
    """A developer's chain inside this process.

    Parameters
    ----------
    genesis
        geth genesis document: a dict, JSON text or a path. Without it, one is made from the other parameters.
    chain_id, fork, mnemonic, accounts, balance_ether, deployments, gas_limit, base_fee_wei, timestamp
        What that genesis holds: every fork up to `fork` active from the start, and `accounts` of `mnemonic` with
        `balance_ether` each. `gas_limit` is per block, `base_fee_wei` the first block's, `timestamp` (Unix seconds)
        the time of genesis and of the chain's clock when it starts.
    instructions
        Whether contracts can have programs run (docs/ai-instructions.md), on a chain of Prague's rules or later that
        starts from a genesis of its own making.
    host, port
        Where JSON-RPC is served; port 0 takes a free one, `None` serves no socket at all.
    block_time_ms
        `None` mines as soon as a transaction is ready, 0 only when asked, else a block every so many milliseconds.
    order
        Which transactions a block takes first: those that tip most (``fees``) or those that came first (``fifo``).
    fee_recipient
        Who gets the tips of the blocks' transactions; nobody (address zero) by default. Base fees are burned.
    auto_impersonate
        Whether every account can send without a signature.
    threads
        Threads that execute a block, from 1 to 256; as many as the machine has cores by default.
    predictor
        How it is predicted which transactions of a block meet, so that they are not executed beside each other for
        nothing: by what was seen of the same calls before (``history``), not at all (``none``), or by a policy of one's
        own, such as `interlace.models.conflicts.OnlinePredictor`. Blocks come out the same.
    vm
        What executes code: what is executed often is translated first and checked for gas and stack a run of
        instructions at a time (``analysed``), or revm's interpreter executes all of it (``plain``). Results, gas and
        order of failures are the same.
    state
        A dump, or its file: the chain starts from it, genesis included; what describes another genesis is not used.
    data_dir
        Folder that the chain lives in, for one process at a time: started again, it goes on where it was. The
        parameters that describe a genesis must be those of the first start; contracts in it stay as they were. Without
        it, the chain is in memory.
    durability
        What an answer promises with a `data_dir`: ``process``, that what it tells survives the end of this process,
        however it ends; ``power``, that it survives a loss of power too, on a disk that flushes when it is told to.
    history
        How many blocks behind the newest one keep their states; `None` keeps all, with a `data_dir` those of all but
        the newest 129 blocks on disk. Other states cannot be read, proved, traced or gone back to; blocks, receipts and
        logs stay.
    checkpoint_bytes
        With a `data_dir`: how much the log grows before the oldest of the states in memory is written beside, so that
        the next start need not make it again; as much as the last one took, if that is more.
    state_memory_mib
        With a `data_dir`: leave accounts and slots in the files of the checkpoint, and hold at most so
        many MiB of those that were only read. In memory are the tries as well (about 65 bytes an account), and what
        was written since the start. `None` holds all of it.
    fork_url, fork_block
        JSON-RPC of another chain: this one goes on after its block `fork_block`, or its newest, and reads what it
        does not hold from there. Chain id, gas limit and clock are the remote's, and so are mainnet's rules; another
        chain follows osaka's, unless `fork` names others. Of that chain's earlier blocks and transactions it is asked
        when a client asks here.
    fork_cache
        Folder in which what was read of `fork_block` is kept for later starts, one file for each block; `None` keeps
        nothing. Of a block that is not named, nothing is kept.
    allowed_hosts, allowed_origins
        Names and web pages beyond loopback that may talk to the server.
    limits
        Bounds of the server and of calls by name, instead of those that docs/limits.md lists.
    log_format, log_level
        What the node writes to stderr: ``text`` or ``json``; ``off``, ``error``, ``warn``, ``info``, ``debug``.

    Examples
    --------
    >>> with Chain(port=None) as chain:
    ...     alice, bob = chain.accounts[:2]
    ...     receipt = chain.client.send(alice, bob.address, value_wei=ETHER)
    ...     chain.client.balance(bob.address) // ETHER
    10001
    """

    def __init__(
        self,
        genesis: dict[str, Any] | str | Path | None = None,
        *,
        chain_id: int = 31337,
        fork: str | None = None,
        mnemonic: str = DEV_MNEMONIC,
        accounts: int = 10,
        balance_ether: int = 10_000,
        host: str = "127.0.0.1",
        port: int | None = 8545,
        block_time_ms: int | None = None,
        deployments: Sequence[Deployment] = (),
        gas_limit: int = 60_000_000,
        base_fee_wei: int | None = None,
        timestamp: int | None = None,
        instructions: bool = True,
        order: Literal["fees", "fifo"] = "fees",
        fee_recipient: str | None = None,
        auto_impersonate: bool = False,
        threads: int | None = None,
        predictor: Literal["history", "none"] | Predictor = "history",
        vm: Literal["analysed", "plain"] = "analysed",
        state: str | Path | bytes | None = None,
        data_dir: str | Path | None = None,
        durability: Literal["process", "power"] = "process",
        history: int | None = None,
        checkpoint_bytes: int = 256 << 20,
        state_memory_mib: int | None = None,
        fork_url: str | None = None,
        fork_block: int | None = None,
        fork_cache: str | Path | None = None,
        allowed_hosts: Sequence[str] = (),
        allowed_origins: Sequence[str] = (),
        limits: Mapping[str, int] | None = None,
        log_format: Literal["text", "json"] = "text",
        log_level: str = "warn",
    ) -> None:
        self.accounts: tuple[Account, ...] = tuple(Account.list_from_mnemonic(accounts, mnemonic))
        """The developer accounts."""
        self._config = {
            "genesis": _document(genesis),
            "dev": {
                "chain_id": chain_id,
                "fork": fork or "osaka",
                "gas_limit": gas_limit,
                "balances": [(account.address, hex(balance_ether * ETHER)) for account in self.accounts],
                "deployments": [
                    (deployment.address, f"0x{deployment.initcode.hex()}", hex(deployment.value_wei))
                    for deployment in deployments
                ],
                "timestamp": _u64("timestamp", timestamp or 0),
                "base_fee_wei": None if base_fee_wei is None else _u64("base_fee_wei", base_fee_wei),
                "instructions": instructions,
            },
            "data_dir": _data_dir(data_dir, others=(state, fork_url)),
            "durability": durability,
            "history": None if history is None else _u64("history", history),
            "checkpoint_bytes": _u64("checkpoint_bytes", checkpoint_bytes),
            "read_bytes": None if state_memory_mib is None else _mib("state_memory_mib", state_memory_mib),
            "remote": _remote(
                fork_url, fork_block, fork, fork_cache, others=(genesis, state, deployments, base_fee_wei)
            ),
            "mining": _mining(block_time_ms),
            "beneficiary": "0x" + "00" * 20 if fee_recipient is None else checksum_address(fee_recipient),
            "gas_limit": None,
            "order": order,
            "start": timestamp,
            "auto_impersonate": auto_impersonate,
            "threads": None if threads is None else _u64("threads", threads),
            "predictor": predictor if isinstance(predictor, str) else "given",
            "vm": vm,
            "server": None
            if port is None
            else {
                "address": _address(host, port),
                "allowed_hosts": list(allowed_hosts),
                "allowed_origins": list(allowed_origins),
            },
            "limits": dict(limits or {}),
        }
        self._state = state
        self._log = (log_format, log_level)
        self._node: _core.Node | None = None
        self._client: Client | None = None
        self._hooks: list[tuple[Callable[[], Hook | ConsoleHook], Hook | ConsoleHook | None]] = []
        self._namespaces: dict[str, object] = {}
        self._predictor = None if isinstance(predictor, str) else predictor
        self._teacher: PredictorHook | None = None

    # ---- life

    def start(self, watch: Watch | None = None) -> Self:
        """Start the node and return this chain.

        Parameters
        ----------
        watch
            Called ten times a second while a data directory is read.

        Raises
        ------
        ChainError
            ``chain.running`` when it runs already, ``chain.port-in-use``, ``chain.bad-genesis``, ``chain.bad-config``,
            ``chain.bad-dump``, ``chain.fork-remote``, ``chain.other-genesis``, and those whose names begin with
            ``chain.data``.
        """
        if self._node is not None:
            raise ChainError("chain.running", "the chain is running already")
        _core.set_logging(*self._log)
        dump = None if self._state is None else read_dump(self._state)
        config, keys = json.dumps(self._config), [account.key for account in self.accounts]
        if self._config["data_dir"] is None:
            node = _core.Node(config, keys, dump)
        else:
            node = watched(lambda progress: _core.Node(config, keys, dump, progress), watch)
        try:
            for name, target in self._namespaces.items():
                node.add_namespace(name, dispatcher(name, target))
        except ChainError:
            node.stop()
            raise
        self._node = node
        self._client = Client(NodeTransport(node))
        self._hooks = [(start, start()) for start, _ in self._hooks]
        if self._predictor is not None:
            self._teacher = PredictorHook(self._predictor, node)
        return self

    def stop(self) -> None:
        """Stop the node: hooks, server and threads end. A second call does nothing."""
        node, self._node, self._client = self._node, None, None
        for _, hook in self._hooks:
            if hook is not None:
                hook.cancel()
        self._hooks = [(start, None) for start, _ in self._hooks]
        teacher, self._teacher = self._teacher, None
        if teacher is not None:
            teacher.cancel()
        if node is not None:
            node.stop()

    def __enter__(self) -> Self:
        """Start the chain unless it runs already."""
        return self if self._node is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the chain."""
        self.stop()

    def _running(self) -> _core.Node:
        if self._node is None:
            raise ChainError("chain.stopped", "the chain is not running", hint="call start(), or use `with Chain(...)`")
        return self._node

    # ---- what a user sees

    @property
    def client(self) -> Client:
        """A client within this process, without sockets."""
        self._running()
        assert self._client is not None
        return self._client

    @property
    def chain_id(self) -> int:
        """Chain id."""
        return self._running().chain_id

    @property
    def url(self) -> str:
        """URL of the JSON-RPC server.

        Raises
        ------
        ChainError
            ``chain.no-server`` when the chain was started without a port.
        """
        return f"http://{self._authority()}"

    @property
    def ws_url(self) -> str:
        """URL for WebSocket clients."""
        return f"ws://{self._authority()}"

    def _authority(self) -> str:
        address = self._running().address
        if address is None:
            raise ChainError("chain.no-server", "the chain serves no socket", hint="give it a port; 0 takes a free one")
        host, port = address
        host = _WILDCARD.get(host, host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def import_block(self, rlp: bytes) -> int:
        """Execute and commit a block that extends the head, and return its number.

        Raises
        ------
        ChainError
            ``chain.bad-block`` with the rule it breaks; nothing changed then.
        """
        return self._running().import_block(rlp)

    def follow_block(self, rlp: bytes, access_list: bytes) -> FollowedBlock:
        """As `import_block`, with what is said to be the block's access list (EIP-7928), as RLP.

        The block is executed on all cores without any transaction waiting for another, and the list is checked. A list
        that is wrong costs time and nothing else: `list_error` says what is wrong with it.

        Raises
        ------
        ChainError
            As `import_block`.
        """
        return FollowedBlock(*self._running().follow_block(rlp, access_list))

    # ---- extending

    def on_block(self, callback: Callable[[Block], object]) -> Callable[[], int]:
        """Call `callback` with every block after its commit, in a thread; usable as a decorator.

        Returns
        -------
        A function that answers how many events were dropped because `callback` was too slow.
        """
        return self._follow(
            lambda: Hook(callback, self._running().blocks(), Client(NodeTransport(self._running())).block)
        )

    def on_console(self, callback: Callable[[str], object]) -> Callable[[], int]:
        """Call `callback` with every line that a contract writes with console.log, in a thread; usable as a decorator.

        Lines come from transactions, once their block is committed, and from eth_call. Hardhat's console.sol and
        forge-std's write them; what is no line of theirs is shown as hex.

        Returns
        -------
        A function that answers how many executions were missed because `callback` was too slow.
        """
        return self._follow(lambda: ConsoleHook(callback, self._running().console()))

    def _follow(self, start: Callable[[], Hook | ConsoleHook]) -> Callable[[], int]:
        self._hooks.append((start, None if self._node is None else start()))

        def dropped() -> int:
            return sum(hook.dropped for known, hook in self._hooks if known is start and hook is not None)

        return dropped

    def add_namespace(self, name: str, target: object) -> None:
        """Serve the public methods of `target` as ``name_method``, before or after the start.

        Raises
        ------
        ChainError
            ``chain.bad-namespace`` when the name is reserved or malformed.
        """
        if self._node is not None:
            self._node.add_namespace(name, dispatcher(name, target))
        self._namespaces[name] = target

    def __repr__(self) -> str:
        """Return whether it runs and where."""
        if self._node is None:
            return "Chain(stopped)"
        return f"Chain(id {self._node.chain_id}, {self._node.address or 'in process'})"


def _remote(
    url: str | None, block: int | None, fork: str | None, cache: str | Path | None, others: Sequence[object]
) -> dict[str, Any] | None:
    if url is None:
        if block is not None or cache is not None:
            raise ChainError("chain.bad-config", "fork_block and fork_cache need fork_url")
        return None
    if any(other is not None and other != () for other in others):
        raise ChainError(
            "chain.bad-config", "a fork begins with its remote's state: no genesis, state, deployments or base_fee_wei"
        )
    return {
        "url": url,
        "block": None if block is None else _u64("fork_block", block),
        "fork": fork,
        "cache": None if cache is None else str(Path(cache).expanduser().absolute()),
    }


def _data_dir(folder: str | Path | None, others: Sequence[object]) -> str | None:
    if folder is None:
        return None
    if any(other is not None for other in others):
        raise ChainError(
            "chain.bad-config",
            "a chain in a data directory is no fork and starts from no dump",
            hint="a dump of a chain with the same genesis can be loaded once it runs",
        )
    return str(Path(folder).expanduser().absolute())


def _document(genesis: dict[str, Any] | str | Path | None) -> str | None:
    if genesis is None:
        return None
    if isinstance(genesis, dict):
        return json.dumps(genesis)
    if isinstance(genesis, str) and genesis.lstrip().startswith("{"):
        return genesis
    try:
        return Path(genesis).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ChainError("chain.bad-genesis", f"{genesis}: {error}") from None


def _u64(name: str, value: int) -> int:
    if not 0 <= value < 1 << 64:
        raise ChainError("chain.bad-config", f"{name} {value} is not between 0 and 2^64 - 1")
    return value


def _mib(name: str, value: int) -> int:
    if not 1 <= value <= 1 << 20:
        raise ChainError("chain.bad-config", f"{name} {value} is not between 1 and 1,048,576")
    return value << 20


def _mining(block_time_ms: int | None) -> str | int:
    if block_time_ms is None:
        return "instant"
    if block_time_ms < 0:
        raise ChainError("chain.bad-config", f"block_time_ms is {block_time_ms}, not None, 0 or positive")
    return "manual" if block_time_ms == 0 else block_time_ms


def _address(host: str, port: int) -> str:
    if not 0 <= port < 1 << 16:
        raise ChainError("chain.bad-config", f"port {port} is not between 0 and 65535")
    host = "127.0.0.1" if host == "localhost" else host
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
