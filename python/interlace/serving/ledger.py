"""The economy's contracts as the service, the settler, the buyer and the verifier need them, through any node.

Invariant: every answer is read from the chain when it is asked for; nothing is cached but what can never change.
Source: contracts/src (Settlement, Escrow, Programs), ERC-1271.
What it does not do: it decides nothing; a revert comes back as `RevertError` with the contract's own error name.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeVar

from interlace.chain import Account, Client, Contract, checksum_address
from interlace.chain.abi import parse_abi
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import ChainError, RpcError, ServiceError
from interlace.records import Assurance, Claim, Receipt, Voucher
from interlace.serving.journal import Served

MAX_OPEN: Final = 64
"""Leaves that one transaction opens at most (Settlement.MAX_OPEN)."""
MAX_RELEASE: Final = 256
"""Leaves that one transaction releases, or refunds, at most (Settlement.MAX_RELEASE)."""
SIGNATURE_GAS: Final = 500_000
"""Gas that a contract payer gets to answer for one signature (Settlement.SIGNATURE_GAS)."""
_OUT_OF_GAS: Final = ("gas required exceeds", "out of gas", "gas limit")
"""What nodes say of a transaction that needs more gas than one can have."""
_ERC1271_ABI: Final = [
    {
        "type": "function",
        "name": "isValidSignature",
        "inputs": [{"name": "hash", "type": "bytes32"}, {"name": "signature", "type": "bytes"}],
        "outputs": [{"name": "", "type": "bytes4"}],
        "stateMutability": "view",
    }
]
_ERC1271_MAGIC: Final = bytes.fromhex("1626ba7e")
T = TypeVar("T")


class LeafStatus(IntEnum):
    """Settlement.Status."""

    UNKNOWN = 0
    PENDING = 1
    CHALLENGED = 2
    RELEASED = 3
    REFUNDED = 4


class TierVerdict(IntEnum):
    """IAssurance.Verdict: what the contract of a tier says of a claim. The last two never change again."""

    NONE = 0
    """It does not know the claim: nobody put it up."""
    OPEN = 1
    """It is being decided; or the contract fails, which counts as the same."""
    HOLDS = 2
    FAILS = 3


@dataclass(frozen=True, slots=True)
class PayerState:
    """What backs a payer's vouchers: credit-wei in escrow and not asked back; and whether the payer is a contract."""

    escrow: int
    is_contract: bool


@dataclass(frozen=True, slots=True)
class LeafState:
    """Where a leaf stands; `window_end` is in unix seconds. Of a leaf that nobody opened, all is zero."""

    status: LeafStatus
    window_end: int
    assurance: int = 0


@dataclass(frozen=True, slots=True)
class LeafVerdict:
    """What a leaf's tier says now; `refund_from` is the unix second from which it is refunded if that stays so.

    `None`: it holds, so it is never refunded. Zero: it fails, so it is refunded at once.
    """

    verdict: TierVerdict
    refund_from: int | None


class RevertError(ServiceError):
    """A contract refused; `name` is the contract's own error, for example ``NonceUsed``."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__("service.revert", f"{what} reverts with {name}")
        self.name = name


class Ledger:
    """The contracts behind one node.

    Parameters
    ----------
    client
        The node.
    settlement, registry, token
        Addresses of Settlement, Programs and CreditToken, when they are not the usual ones.

    Raises
    ------
    ServiceError
        From every method: ``service.chain`` when the node does not answer, ``service.revert`` when a contract refuses.
    """

    def __init__(
        self,
        client: Client,
        *,
        settlement: str = ADDRESSES["Settlement"],
        registry: str = ADDRESSES["Programs"],
        token: str = ADDRESSES["CreditToken"],
    ) -> None:
        self._client = client
        self._settlement = Contract(client, settlement, artifact("Settlement").abi)
        self._programs = Contract(client, registry, artifact("Programs").abi)
        self.settlement = self._settlement.address
        self.registry = self._programs.address
        self.token = checksum_address(token)
        self._errors = {
            entry.digest[:4]: entry.name
            for name in ("Settlement", "Programs", "FeeRouter", "Assets", "CreditToken")
            for entry in parse_abi(artifact(name).abi)
            if entry.kind == "error"
        }

    # ---- reading -----------------------------------------------------------------------------------------------------

    @property
    def client(self) -> Client:
        """The node that is asked."""
        return self._client

    @property
    def chain_id(self) -> int:
        """The chain's id."""
        return self._ask("eth_chainId", lambda: self._client.chain_id)

    def payer(self, payer: str) -> PayerState:
        """Return what backs a payer's vouchers."""

        def read() -> PayerState:
            escrow = int(self._settlement.call("escrowOf", payer))
            asked_back, _ = self._settlement.call("withdrawalOf", payer)
            return PayerState(max(0, escrow - int(asked_back)), bool(self._client.code(payer)))

        return self._ask("escrowOf", read)

    def accepts_signature(self, payer: str, digest: bytes, signature: bytes) -> bool:
        """Return whether the contract at `payer` accepts the signature (ERC-1271); false if it is no contract.

        It is asked as Settlement asks it: by the same caller and with as much gas.
        """
        data = Contract(self._client, payer, _ERC1271_ABI).encode("isValidSignature", digest, signature)
        gas = SIGNATURE_GAS + 21_000 + sum(16 if byte else 4 for byte in data)
        request = {"from": self.settlement, "to": payer, "data": f"0x{data.hex()}", "gas": hex(gas)}

        def read() -> bytes:
            try:
                return bytes.fromhex(str(self._client.rpc("eth_call", request, "latest"))[2:])
            except RpcError:
                return b""

        return self._ask("isValidSignature", read)[:32] == _ERC1271_MAGIC + bytes(28)

    def receipt_key(self, node: str) -> str | None:
        """Return the hot key of a node, `None` if it registered none."""
        key = str(self._ask("receiptKeyOf", lambda: self._settlement.call("receiptKeyOf", node)))
        return checksum_address(key) if int(key, 16) else None

    def program(self, program_id: bytes) -> tuple[int, int] | None:
        """Return (asset class, units) of a program, `None` if it is not registered."""
        try:
            class_id, _, _, units, _ = self._ask("Programs.get", lambda: self._programs.call("get", program_id))
        except RevertError as error:
            if error.name == "UnknownProgram":
                return None
            raise
        return int(class_id), int(units)

    def leaves(self, leaf_ids: Sequence[bytes]) -> list[LeafState]:
        """Return where leaves stand, asked in batches."""
        # Settlement.Entry is static: payer, windowEnd, status, assurance, node, classId, cost; one word each.
        entries = self._of_each("entryOf", leaf_ids)
        return [LeafState(LeafStatus(words[2]), words[1], words[3]) for words in entries]

    def verdicts(self, leaf_ids: Sequence[bytes]) -> list[LeafVerdict]:
        """Return what the tiers of leaves say of their claims, asked in batches.

        Raises
        ------
        ServiceError
            ``service.revert`` with the name ``NotByVerdict`` for a leaf that no tier decides, an unopened one too.
        """
        found = []
        for verdict, refund_from in self._of_each("verdictOf", leaf_ids):
            said = TierVerdict(verdict)
            found.append(LeafVerdict(said, None if said is TierVerdict.HOLDS else refund_from))
        return found

    def claim_of(self, leaf_id: bytes) -> bytes | None:
        """Return the hash of the claim that a leaf of a tier is decided by; `None` of any other leaf."""
        claim = bytes(self._ask("claimOf", lambda: self._settlement.call("claimOf", leaf_id)))
        return claim if any(claim) else None

    def tiers(self) -> dict[Assurance, str]:
        """Return the tiers that this chain has, with the contract that decides each; receipt and vote have none."""
        found = {}
        for tier in Assurance:
            at = str(self._ask("tierOf", functools.partial(self._settlement.call, "tierOf", tier.value)))
            if int(at, 16):
                found[tier] = checksum_address(at)
        return found

    def _of_each(self, view: str, leaf_ids: Sequence[bytes]) -> list[list[int]]:
        """Ask a view of static words for each leaf, in batches."""
        calls = [
            ("eth_call", [{"to": self.settlement, "data": "0x" + self._settlement.encode(view, leaf).hex()}, "latest"])
            for leaf in leaf_ids
        ]
        found = []
        for leaf, answer in zip(leaf_ids, self._ask(view, lambda: self._client.batch(calls)), strict=True):
            if isinstance(answer, RpcError):
                # Asked alone, a revert comes with its name.
                self._ask(view, functools.partial(self._settlement.call, view, leaf))
                raise ServiceError("service.chain", f"{view}: {answer.message}")
            words = bytes.fromhex(str(answer)[2:])
            found.append([int.from_bytes(words[at : at + 32], "big") for at in range(0, len(words), 32)])
        return found

    def now(self) -> int:
        """Return the time of the newest block, unix seconds."""
        return self._ask("eth_getBlockByNumber", lambda: self._client.block().timestamp)

    def block_number(self) -> int:
        """Return the number of the newest block."""
        return self._ask("eth_blockNumber", self._client.block_number)

    def find_batch(self, node: str, root: bytes, from_block: int) -> int | None:
        """Return the id of the batch that `node` committed with `root` in `from_block` or later."""
        for event in self._ask("eth_getLogs", lambda: self._settlement.logs("Committed", from_block)):
            if event.args["root"] == root and checksum_address(event.args["node"]) == checksum_address(node):
                return int(event.args["batchId"])
        return None

    # ---- writing: each returns after the transaction is in a block ---------------------------------------------------

    def commit(self, account: Account, node: str, root: bytes, count: int) -> None:
        """Commit a root; `account` is the node or its receipt key."""
        self._ask("commit", lambda: self._settlement.send(account, "commit", node, root, count))

    def open(
        self, account: Account, batch_id: int, leaves: Iterable[Served], proofs: Sequence[Sequence[bytes]]
    ) -> None:
        """Open leaves of a batch; all or none."""
        arguments = (batch_id, [_leaf(leaf) for leaf in leaves], [list(proof) for proof in proofs])
        self._ask("open", lambda: self._settlement.send(account, "open", *arguments))

    def check(self, batch_id: int, leaf: Served, proof: Sequence[bytes]) -> None:
        """See that a leaf could be opened now, its payer's escrow included; nothing is sent.

        Raises
        ------
        ServiceError
            ``service.revert`` with the name of what `open` would be refused for.
        """
        _, cost = self._ask("check", lambda: self._settlement.call("check", batch_id, _leaf(leaf), list(proof)))
        escrow = self._ask("escrowOf", lambda: self._settlement.call("escrowOf", leaf.voucher.payer))
        if int(escrow) < int(cost):
            raise RevertError("InsufficientEscrow", "check")

    def release(self, account: Account, leaf_ids: Sequence[bytes]) -> None:
        """Release leaves whose window is over, or whose tier says that the claim holds; all or none."""
        self._ask("release", lambda: self._settlement.send(account, "release", list(leaf_ids)))

    def refund(self, account: Account, leaf_ids: Sequence[bytes]) -> None:
        """Give back to their payers leaves of tiers whose claim fails or was not decided in time; all or none.

        At most `MAX_RELEASE`; anyone may.
        """
        self._ask("refund", lambda: self._settlement.send(account, "refund", list(leaf_ids)))

    def resolve(self, account: Account, leaf_id: bytes) -> None:
        """End a challenge that is decided."""
        self._ask("resolve", lambda: self._settlement.send(account, "resolve", leaf_id))

    def _ask(self, what: str, question: Callable[[], T]) -> T:
        """Ask the node; a revert keeps its name, any other failure is the chain's."""
        try:
            return question()
        except ChainError as error:
            if error.code == "chain.reverted":
                data = error.data if isinstance(error.data, bytes) else b""
                name = self._errors.get(data[:4], f"0x{data[:4].hex()}" if data else "no reason")
                raise RevertError(name, what) from None
            if isinstance(error, RpcError) and any(said in error.rpc_message for said in _OUT_OF_GAS):
                raise RevertError("OutOfGas", what) from None
            raise ServiceError("service.chain", f"{what}: {error.message}", hint="is the node running?") from None


def _leaf(leaf: Served) -> tuple[object, ...]:
    """Return a leaf as the tuple that the ABI takes."""
    records = _values(leaf.voucher), leaf.voucher_signature, _values(leaf.claim), _values(leaf.receipt)
    return (*records, leaf.receipt_signature)


def _values(record: Voucher | Claim | Receipt) -> tuple[int | str | bytes, ...]:
    """Return a record as the tuple that the ABI takes."""
    return tuple(getattr(record, field.attribute) for field in record.fields)
