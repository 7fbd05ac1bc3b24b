"""A network: a developer chain in this process, or a node behind a URL, with the contracts of the economy.

Invariant: `devnet()` and `connect()` give the same object with the same verbs; what a developer chain adds (accounts
with money by name, a clock that can be moved) is refused elsewhere, never imitated.
What it does not do: it keeps no keys but those of the developer accounts, which are public knowledge.
"""

from __future__ import annotations

import atexit
import re
import tempfile
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from interlace._core import keccak256
from interlace.assets.registry import Registry, contract
from interlace.assets.store import Store
from interlace.chain import Account, Chain, Client, Contract
from interlace.contracts import ADDRESSES, EconomyConfig, economy_deployments
from interlace.errors import UsageError
from interlace.serving import Ledger

if TYPE_CHECKING:
    from .party import Party

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_DEV_BALANCE_WEI = 10_000 * 10**18


class Network:
    """A chain with the economy's contracts, and a place for content; a context manager.

    Made by `devnet` or `connect`.

    Attributes
    ----------
    client
        The node's client.
    url
        The node's HTTP address, for services and other processes.
    store
        Where the content of data sets lies.
    workdir
        Where programs, journals and receipts lie.
    """

    def __init__(self, client: Client, url: str, workdir: str | Path | None, chain: Chain | None = None) -> None:
        self.client = client
        self.url = url
        self._chain = chain
        self._own_folder = tempfile.TemporaryDirectory(prefix="interlace-") if workdir is None else None
        self.workdir = Path(self._own_folder.name if self._own_folder else workdir or ".")
        self.store = Store(self.workdir / "content")
        self.registry = Registry(client)
        self.ledger = Ledger(client)
        self._parties: dict[str, Party] = {}
        self._closers: list[Callable[[], None]] = []
        # A program that ends without closing must not leave services behind.
        atexit.register(self.close)

    @property
    def is_developer_chain(self) -> bool:
        """Whether this chain runs in this process and may be given money and moved in time."""
        return self._chain is not None

    @property
    def chain(self) -> Chain:
        """The chain in this process.

        Raises
        ------
        UsageError
            ``sdk.not-a-devnet`` when the chain is behind a URL.
        """
        if self._chain is None:
            raise UsageError("sdk.not-a-devnet", f"{self.url} is not a chain of this process", hint="use devnet()")
        return self._chain

    # ---- people --------------------------------------------------------------------------------------

    def accounts(self, *names: str) -> list[Party]:
        """Return people by name, each with an account that follows from the name and 10,000 native tokens.

        Raises
        ------
        UsageError
            ``sdk.not-a-devnet``; ``sdk.bad-name`` for a name of other than lower-case letters, digits, ``-`` and ``_``.
        """
        return [self._named(name) for name in names]

    def party(self, account: Account, name: str = "") -> Party:
        """Return the verbs of the economy for an account of one's own."""
        from .party import Party

        return Party(self, account, name or account.address)

    @cached_property
    def validators(self) -> list[Party]:
        """The developer chain's validators: accounts 5 to 7 of the developers' phrase."""
        self._refuse_others()
        return [self.party(account, f"validator {i}") for i, account in enumerate(_developers()[5:8], start=1)]

    @cached_property
    def treasury(self) -> Party:
        """The developer chain's treasury: account 8 of the developers' phrase."""
        self._refuse_others()
        return self.party(_developers()[8], "treasury")

    def _refuse_others(self) -> Chain:
        """Return our chain; what follows from the developers' phrase means nothing on another one."""
        return self.chain

    def _named(self, name: str) -> Party:
        chain = self._refuse_others()
        if not _NAME.fullmatch(name):
            raise UsageError("sdk.bad-name", f"{name!r} is no name of an account", hint="for example alice")
        if name not in self._parties:
            account = Account(keccak256(b"interlace.devnet.account:" + name.encode()))
            chain.client.set_balance(account.address, _DEV_BALANCE_WEI)
            self._parties[name] = self.party(account, name)
        return self._parties[name]

    # ---- the chain -----------------------------------------------------------------------------------

    def contract(self, name: str) -> Contract:
        """Return a contract of the economy by name."""
        return contract(self.client, name)

    def pass_time(self, seconds: int) -> None:
        """Make a block whose time is at least `seconds` after the newest one's.

        Raises
        ------
        UsageError
            ``sdk.not-a-devnet``.
        """
        client = self.chain.client
        target = client.block().timestamp + seconds
        # Many blocks within one second run ahead of the clock that is moved here, so one step may not be enough.
        while (now := client.block().timestamp) < target:
            client.increase_time(target - now)

    # ---- life ----------------------------------------------------------------------------------------

    def on_close(self, closer: Callable[[], None]) -> None:
        """Call `closer` when this network closes; the last one added is called first."""
        self._closers.append(closer)

    def close(self) -> None:
        """Stop the services that were started here, and the chain if it is ours; a second call does nothing."""
        atexit.unregister(self.close)
        while self._closers:
            self._closers.pop()()
        self.client.close()
        if self._chain is not None:
            self._chain.stop()
        if self._own_folder is not None:
            self._own_folder.cleanup()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def __repr__(self) -> str:
        """Return where it is."""
        return f"Network({self.url!r})"


def devnet(*, port: int = 0, workdir: str | Path | None = None) -> Network:
    """Start a developer chain in this process, with the economy's contracts in its genesis.

    Parameters
    ----------
    port
        Port of its JSON-RPC on loopback; 0 takes a free one.
    workdir
        Folder for content, programs, journals and receipts; a temporary one when absent.

    Examples
    --------
    >>> with devnet() as net:
    ...     alice, bob = net.accounts("alice", "bob")
    ...     print(alice.balances().native)
    10000 credits
    """
    chain = economy_chain(port=port)
    return Network(chain.client, chain.url, workdir, chain)


def economy_chain(*, port: int = 0, host: str = "127.0.0.1", config: EconomyConfig | None = None) -> Chain:
    """Start a developer chain with the economy's contracts; `config` is the developers' one when absent."""
    made = economy_deployments(config)
    return Chain(port=port, host=host, deployments=made, fee_recipient=ADDRESSES["TransactionFees"]).start()


def connect(url: str, *, workdir: str | Path | None = None) -> Network:
    """Use the chain behind `url`.

    Raises
    ------
    ChainError
        When nothing answers there.
    UsageError
        ``sdk.no-economy`` when that chain has not the economy's contracts.
    """
    client = Client(url)
    if not client.code(ADDRESSES["Settlement"]):
        client.close()
        raise UsageError("sdk.no-economy", f"{url} has no contracts of the economy", hint="start one: interlace up")
    return Network(client, url, workdir)


def _developers() -> list[Account]:
    return Account.list_from_mnemonic(10)
