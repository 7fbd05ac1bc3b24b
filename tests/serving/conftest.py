"""One chain for all tests of this room, with the real contracts and a registered program; a fresh payer for each test.

Invariant: nothing here is a double: chain, contracts, service, journal and clients are those that users have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from interlace.chain import ETHER, Account, Chain, Client, Contract, Deployment
from interlace.contracts import ADDRESSES, EconomyConfig, artifact, deployments
from interlace.models import Program
from interlace.records import Domain, Voucher, hash_input, sign
from interlace.serving import Budget, Ledger, Limits, Service, ServiceClient, ServiceServer
from interlace.serving.wire import Call
from tests.proofs import sample

PRICE = 7
ESCROW = 10**9


@dataclass
class World:
    """The chain, who is who on it, and the way to make payers, services and clients."""

    chain: Chain
    node: Account
    hot: Account
    owner: Account
    asset_class: int
    program: Program
    folder: Path
    close: list[Callable[[], None]] = field(default_factory=list)

    @property
    def client(self) -> Client:
        return self.chain.client

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.client)

    def contract(self, name: str) -> Contract:
        return Contract(self.client, ADDRESSES[name], artifact(name).abi)

    @property
    def domain(self) -> Domain:
        return Domain(self.chain.chain_id, ADDRESSES["Settlement"])

    def deposit(self, payer: str, amount: int) -> None:
        """Put credits of the owner's into a payer's escrow."""
        self.contract("Settlement").send(self.owner, "depositFor", payer, amount)

    def payer(self, escrow: int = ESCROW) -> Account:
        """Return a new account with escrow."""
        account = Account.create()
        if escrow:
            self.deposit(account.address, escrow)
        return account

    def service(self, name: str = "journal.sqlite", **options) -> Service:
        """Return a service whose journal lies in the test's folder."""
        terms = {
            "node": self.node.address, "receipt_account": self.hot, "ledger": self.ledger, "unit_price": PRICE,
            "journal": self.folder / name, "name": "linear", "labels": ["north", "east", "south", "west"],
        }  # fmt: skip
        service = Service(self.program.to_bytes(), **{**terms, **options})
        self.close.append(service.close)
        return service

    def server(self, **options) -> ServiceServer:
        """Return a running server of a new service."""
        server = ServiceServer(self.service(**options)).start()
        self.close.append(server.stop)
        return server

    def buyer(self, url: str, payer: Account | None = None, budget: Budget | None = None, **options) -> ServiceClient:
        """Return a client with escrow and a budget."""
        client = ServiceClient(
            url, payer or self.payer(), budget or Budget(ESCROW), **{"program": self.program.to_bytes(), **options}
        )
        self.close.append(client.close)
        return client

    def call(self, signer: Account, nonce: int = 1, *, input_: bytes = sample.INPUT, **changes) -> Call:
        """Return a call that the service would admit, but for the members of the voucher that are changed."""
        salt = bytes(31) + bytes([nonce % 256])
        cost = self.program.units * PRICE
        terms = {
            "payer": signer.address, "node": self.node.address, "asset_class": self.asset_class,
            "program_id": self.program.id, "request_hash": hash_input(salt, input_), "unit_price": PRICE,
            "max_cost": cost, "token": ADDRESSES["CreditToken"], "assurance": 0, "nonce": nonce,
            "deadline": max(int(time.time()), self.ledger.now()) + 60,
        }  # fmt: skip
        voucher = Voucher(**{**terms, **changes})
        return Call(voucher, sign(voucher, self.domain, signer), salt, input_, self.domain)


@pytest.fixture(scope="session")
def chain() -> Iterator[Chain]:
    economy = [
        Deployment(one["address"], bytes.fromhex(one["initcode"][2:]))
        for one in deployments(EconomyConfig.development())
    ]
    with Chain(port=0, deployments=economy) as running:
        yield running


@pytest.fixture(scope="session")
def registered(chain: Chain) -> tuple[int, Program]:
    """Register the sample program for a model class, the hot key for the node, and give the owner credits."""
    node, hot, owner = chain.accounts[1:4]
    program = Program.from_bytes(sample.PROGRAM)

    def contract(name: str) -> Contract:
        return Contract(chain.client, ADDRESSES[name], artifact(name).abi)

    receipt = contract("Assets").send(owner, "createDerivedClass", 2, "memory:model", bytes(32), 0, "", [], (7, 0))
    (created,) = [e for e in contract("Assets").events(receipt) if e.name == "ClassCreated"]
    asset_class = created.args["classId"]
    contract("Programs").send(owner, "register", program.manifest, asset_class)
    contract("Settlement").send(node, "setReceiptKey", hot.address)
    contract("CreditToken").send(owner, "deposit", value_wei=100 * ETHER)
    contract("CreditToken").send(owner, "approve", ADDRESSES["Settlement"], 1 << 255)
    return asset_class, program


@pytest.fixture
def world(chain: Chain, registered: tuple[int, Program], tmp_path: Path) -> Iterator[World]:
    asset_class, program = registered
    world = World(chain, *chain.accounts[1:4], asset_class, program, tmp_path)
    yield world
    for close in reversed(world.close):
        close()


@pytest.fixture
def small() -> Limits:
    """Return tight limits, for tests that reach them."""
    return Limits(workers=1, queue=1, max_body_bytes=20_000, body_timeout_s=0.3, max_batch=4, drain_s=2.0)
