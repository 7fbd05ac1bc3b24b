"""The world that the contract tests begin with, and the paid calls in it.

Classes: 1 and 2 are data sets, 3 a model that derives from them (70 : 30), 4 a model without parents, 5 one that was
fine-tuned from 3 and trained on more of 1; 3, 4 and 5 run.
Invariant: everything is signed and hashed by `interlace.records`, as a real node and a real payer do.
What it does not do: it serves nothing; output hashes are made up, since no contract can tell.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from interlace import _core
from interlace.chain import Account
from interlace.contracts import ADDRESSES, EconomyConfig
from interlace.records import Claim, Domain, MerkleTree, Receipt, Voucher, settlement_leaf
from spec.economy import Licence, Parent
from tests.contracts.evm import ETHER, Evm

UNITS = {3: 7_000, 4: 1_000_003, 5: 40_001}
"""Class of a model to the units of its program."""


def manifest(units: int, *, magic: bytes = b"ILTP", semantics: int = 1, tail: bytes = b"graph") -> bytes:
    """Return a manifest whose header is well formed; the contract reads no further."""
    header = magic + semantics.to_bytes(2, "big") + units.to_bytes(8, "big") + b"\x11" * 32 + (99).to_bytes(4, "big")
    return header + tail


PROGRAMS = {class_id: _core.keccak256(manifest(units)) for class_id, units in UNITS.items()}


@dataclass(frozen=True)
class Call:
    """A served call: voucher, claim, receipt and both signatures."""

    voucher: Voucher
    claim: Claim
    receipt: Receipt
    payer_signature: bytes
    node_signature: bytes
    domain: Domain

    @property
    def leaf_id(self) -> bytes:
        return settlement_leaf(self.voucher.digest(self.domain), self.receipt.digest(self.domain))

    @property
    def abi(self) -> tuple[Any, ...]:
        """Return the Leaf struct."""
        records = (dataclasses.astuple(r) for r in (self.voucher, self.claim, self.receipt))
        voucher, claim, receipt = records
        return (voucher, self.payer_signature, claim, receipt, self.node_signature)


def make_call(
    domain: Domain,
    payer_key: Account,
    receipt_key: Account,
    *,
    claim: dict[str, Any] | None = None,
    receipt: dict[str, Any] | None = None,
    **voucher: Any,
) -> Call:
    """Build a call that links up, unless a field of voucher, claim or receipt is given."""
    class_id = voucher.get("asset_class", 3)
    units = UNITS.get(class_id, 7_000)
    fields: dict[str, Any] = {
        "payer": payer_key.address, "asset_class": class_id, "program_id": PROGRAMS.get(class_id, PROGRAMS[3]),
        "request_hash": b"\x22" * 32, "unit_price": 10**9, "max_cost": 10**40, "token": ADDRESSES["CreditToken"],
        "assurance": 0, "nonce": 1,
    }  # fmt: skip
    v = Voucher(**{**fields, **voucher})
    c = Claim(
        **{
            "chain_id": domain.chain_id, "registry": ADDRESSES["Programs"], "program_id": v.program_id, "semantics": 1,
            "input_hash": v.request_hash, "output_hash": b"\x33" * 32, "prover": v.node, "job_nonce": v.nonce,
            **(claim or {}),
        }
    )  # fmt: skip
    r = Receipt(
        **{
            "voucher_hash": v.digest(domain), "claim_hash": c.hash(), "units": units, "cost": units * v.unit_price,
            "served_at": v.deadline - 10, **(receipt or {}),
        }
    )  # fmt: skip
    return Call(v, c, r, payer_key.sign_digest(v.digest(domain)), receipt_key.sign_digest(r.digest(domain)), domain)


@dataclass
class World:
    """A published economy on a node, with one account for each part."""

    evm: Evm
    config: EconomyConfig
    domain: Domain
    data_owner: Account
    model_owner: Account
    node: Account
    payer: Account
    stranger: Account
    receipt_key: Account
    validators: list[Account]

    @classmethod
    def publish(cls, evm: Evm, config: EconomyConfig) -> World:
        """Publish classes and programs, fund everyone with credits, fill the payer's escrow, name the receipt key."""
        domain = Domain(evm.chain_id, ADDRESSES["Settlement"])
        a = evm.accounts
        world = cls(evm, config, domain, *a[:5], receipt_key=Account(b"\x07" * 32), validators=a[5:8])
        for account in a:
            evm.send("CreditToken", "deposit", sender=account.address, value=100 * ETHER)
            for spender in ("StakingVault", "Assets", "Validators", "Settlement"):
                world.send(account, "CreditToken", "approve", ADDRESSES[spender], 1 << 255)
        data, model = world.data_owner, world.model_owner
        world.derive(data, 1, [])
        world.derive(data, 1, [])
        world.derive(model, 2, [Parent(1, 7_000), Parent(2, 3_000)])
        world.derive(model, 2, [])
        world.derive(model, 2, [Parent(1, 3_333), Parent(3, 6_667, 2)])
        for class_id, units in UNITS.items():
            world.send(model, "Programs", "register", manifest(units), class_id)
        world.send(world.node, "Settlement", "setReceiptKey", world.receipt_key.address)
        world.send(world.payer, "Settlement", "deposit", 50 * ETHER)
        return world

    def send(self, who: Account, contract: Any, function: str, *args: Any, value: int = 0) -> dict[str, Any]:
        return self.evm.send(contract, function, *args, sender=who.address, value=value)

    def derive(self, who: Account, kind: int, parents: list[Parent], licence: Licence = Licence()) -> int:  # noqa: B008
        """Create a class; return its number."""
        uri, policy = "interlace:test", "interlace:policy"
        self.send(who, "Assets", "createDerivedClass", kind, uri, b"\x01" * 32, 0, policy, parents, licence)
        count: int = self.evm.call("Assets", "classCount")
        return count

    def mint(
        self, class_id: int, share: int, *, to: Account | None = None, expire_at: int = 0, value: int = 100
    ) -> int:
        """Mint as the class's owner; return the token's number."""
        owner = self.evm.call("Assets", "classOwner", class_id)
        receiver = to.address if to else owner
        self.evm.send("Assets", "mint", class_id, receiver, value, share, expire_at, sender=owner)
        count: int = self.evm.call("Assets", "tokenCount")
        return count

    def serve(self, **changes: Any) -> Call:
        """Return a call that the payer signed for the node, served now; `changes` go to make_call."""
        payer, key = changes.pop("payer_key", self.payer), changes.pop("receipt_key", self.receipt_key)
        fields = {"node": self.node.address, "deadline": self.evm.now + 10, **changes}
        return make_call(self.domain, payer, key, **fields)

    def commit(self, calls: list[Call], node: Account | None = None) -> tuple[int, MerkleTree]:
        """Commit a batch; return its number and tree."""
        tree = MerkleTree([call.leaf_id for call in calls])
        node = node or self.node
        self.send(node, "Settlement", "commit", node.address, tree.root, len(calls))
        return self.evm.call("Settlement", "batchCount"), tree

    def open(self, calls: list[Call], node: Account | None = None) -> dict[str, Any]:
        """Commit a batch and open all of it."""
        batch, tree = self.commit(calls, node)
        proofs = [tree.proof(i) for i in range(len(calls))]
        return self.send(self.stranger, "Settlement", "open", batch, [call.abi for call in calls], proofs)

    def credits(self, who: Account | str) -> int:
        held: int = self.evm.call("CreditToken", "balanceOf", who if isinstance(who, str) else who.address)
        return held

    def status(self, call: Call) -> str:
        names = ("unknown", "pending", "challenged", "released", "refunded")
        return names[self.evm.call("Settlement", "entryOf", call.leaf_id)[2]]

    def pending(self, token_id: int, asset: str = ADDRESSES["CreditToken"]) -> int:
        owed: int = self.evm.call("Assets", "pendingRevenue", token_id, asset)
        return owed
