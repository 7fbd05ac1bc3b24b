"""A service as a process of its own, seen from the process that started it.

Invariant: when the constructor returns, the service answers under `url`; after `stop` its process is gone, and every
receipt it gave is in the journal, from which `settle` makes payments, also after the process died.
A node has one folder with one journal and one receipt key, whatever it serves, because the contract counts nonces and
knows one key per node; so it has one service at a time, and a later one goes on where the journal ends.
What it does not do: the service never holds the payout key; it is given only the receipt key, and settlement happens
here. A node that loses its folder starts at nonces that may be used up.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from interlace.chain import Account
from interlace.errors import ServiceError
from interlace.records.assurance import Assurance
from interlace.serving import Journal, Limits, Progress, Settler
from interlace.serving.tiers import Means, works_of

from .units import Credits

if TYPE_CHECKING:
    from .items import Model
    from .network import Network

_KEY_FILE = "receipt-key.hex"
_PAYER_TTL_S = 0.1
"""How long a service on a developer chain believes what it saw of an escrow; elsewhere it is longer."""
_OPEN_SIZE = 32
"""Receipts that one transaction opens."""
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


class Service:
    """A running service of one model; a context manager. Made by `Party.serve`.

    Attributes
    ----------
    url
        Where it answers.
    model
        What it serves.
    folder
        Its program, model card, configuration, journal and log.
    """

    def __init__(
        self,
        net: Network,
        node: Account,
        model: Model,
        unit_price: int,
        *,
        prices: Mapping[Assurance, int] | None = None,
        port: int = 0,
    ) -> None:
        self.model = model
        self.folder = net.workdir / "nodes" / node.address
        self.unit_price = unit_price
        self.prices = dict(prices or {})
        self._net = net
        self._node = node
        self._process = self._start(port)
        try:
            self.url = self._wait()
        except BaseException:
            self.stop()
            raise
        net.on_close(self.stop)

    @property
    def cost(self) -> Credits:
        """What one call costs at receipt and vote."""
        return Credits(self.unit_price * self.model.program.units)

    @property
    def pid(self) -> int:
        """The service's process id."""
        return self._process.pid

    @property
    def program_file(self) -> Path:
        """The program, as a verifier takes it."""
        return self.folder / "artefact.ilp"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def settle(self, on_open: Callable[[int], None] | None = None) -> Progress:
        """Turn all receipts into payments, as far as the chain allows it now.

        Receipts of assurance 0 are released at once, those of assurance 1 when their window has passed, those of other
        tiers when the chain says that their claims hold: call again. Claims that were challenged are defended here.

        Parameters
        ----------
        on_open
            Called with a number of receipts after each transaction that opened at most so many.

        Raises
        ------
        ServiceError
            ``service.chain`` when the node does not answer, ``service.revert`` when the contract refuses the batch.
        """

        def opened(step: str) -> None:
            if step == "opened" and on_open is not None:
                on_open(_OPEN_SIZE)

        journal = Journal(self.folder / "journal.sqlite", "settler")
        try:
            # Calls of a tier that is no longer offered still need its work.
            tiers = {*self.prices, *journal.assured().result()}
            program = self.model.program.to_bytes()
            means = Means(self._net.client, self._node.address, program, self._node, self.url, opened)
            return Settler(
                journal, self._net.ledger, self._node.address, self._node, open_size=_OPEN_SIZE,
                works=works_of(tiers, means), on_step=opened,
            ).run_once()  # fmt: skip
        finally:
            journal.close()

    def stop(self) -> None:
        """Let the calls under way finish and end the process; a second call does nothing."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def __repr__(self) -> str:
        """Return what it serves and where."""
        return f"Service({self.model.name!r}, {self.url!r}, pid {self.pid})"

    def _start(self, port: int) -> subprocess.Popen[bytes]:
        """Write the configuration and start the process."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model.program.save(self.program_file)
        (self.folder / "card.json").write_bytes(self.model.card.to_json())
        self._register_key()
        config = {
            "program": "artefact.ilp",
            "card": "card.json",
            "rpc": self._net.url,
            "node": self._node.address,
            "receipt_key": {"key_file": _KEY_FILE},
            "unit_price": str(self.unit_price),
            "prices": {tier.label: str(price) for tier, price in self.prices.items()},
            "journal": "journal.sqlite",
            "name": self.model.name,
            "port": port,
            "limits": {"payer_ttl_s": _PAYER_TTL_S if self._net.is_developer_chain else Limits().payer_ttl_s},
        }
        (self.folder / "config.json").write_text(json.dumps(config, indent=2))
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "interlace.serving", str(self.folder / "config.json")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                # A Ctrl-C at the terminal is for us; we stop the service ourselves and let it finish its calls.
                start_new_session=True,
            )

    def _register_key(self) -> None:
        """See that the node has a receipt key in a file that only the owner reads, and that the chain knows it."""
        place = self.folder / _KEY_FILE
        if place.exists():
            key = Account.from_key(place.read_text().strip())
        else:
            key = Account.create()
            with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(key.key.hex())
        settlement = self._net.contract("Settlement")
        if settlement.call("receiptKeyOf", self._node.address).lower() != key.address.lower():
            settlement.send(self._node, "setReceiptKey", key.address)

    def _wait(self) -> str:
        """Return the address that the process prints as its first line."""
        stdout = self._process.stdout
        assert stdout is not None
        line, deadline = b"", time.monotonic() + START_TIMEOUT_S
        while not line.endswith(b"\n"):
            ready, _, _ = select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(stdout.fileno(), 65_536) if ready else b""
            if not part:
                raise ServiceError("service.start", f"the service did not start: {self._last_words()}")
            line += part
        return str(json.loads(line)["url"])

    def _last_words(self) -> str:
        """Return the end of the service's log, on one line."""
        try:
            text = (self.folder / "log.txt").read_bytes()[-500:].decode(errors="replace")
        except OSError:
            text = ""
        return " ".join(text.split()) or f"no log after {START_TIMEOUT_S:g} s"
