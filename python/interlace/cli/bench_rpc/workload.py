"""What is sent: transactions of a hundred senders to a hundred targets, signed before any clock runs.

Invariant: the same on every node of chain id 31337 that funds the accounts of the developers' phrase: the token's
address, the nonces and so the signed bytes do not depend on the node.
What it does not do: it sends nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlace import _core
from interlace.chain import Account
from interlace.cli.bench_rpc.plan import BATCH, CONNECTIONS, SENDERS, Plan
from interlace.cli.bench_rpc.wire import frames
from interlace.contracts import artifact

CHAIN_ID = 31337
_ETHER = 10**18
_MAX_FEE_WEI = 200 * 10**9
_TIP_WEI = 10**9
_TRANSFER_GAS, _TOKEN_GAS, _DEPLOY_GAS = 21_000, 90_000, 2_500_000

Call = tuple[str, list[object]]


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction on its way: raw bytes in hex, hash in hex."""

    raw: str
    hash: str


def _sign(
    account: Account, nonce: int, to: str | None, value_wei: int, data: bytes, gas: int, count: int
) -> list[Signed]:
    """Sign `count` transactions that differ in their nonces, and in their values or amounts by one each."""
    target = None if to is None else bytes.fromhex(to[2:])
    fields = []
    for step in range(count):
        value = (value_wei + step if value_wei else 0).to_bytes(32, "big")
        body = data[:-32] + (int.from_bytes(data[-32:], "big") + step).to_bytes(32, "big") if data and step else data
        fields.append((nonce + step, gas, _MAX_FEE_WEI, _TIP_WEI, target, value, body))
    raws = _core.sign_transactions(account.key, CHAIN_ID, fields)
    return [Signed(f"0x{raw.hex()}", f"0x{_core.keccak256(raw).hex()}") for raw in raws]


class Workload:
    """All transactions of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        developers = Account.list_from_mnemonic(10)
        self._senders = [Account.from_key(_core.keccak256(f"sender {index}".encode())) for index in range(SENDERS)]
        keys = [_core.keccak256(f"target {index}".encode()) for index in range(SENDERS)]
        self.targets = [f"0x{key[-20:].hex()}" for key in keys]
        deployer = developers[0]
        self.token = _created(deployer.address_bytes)
        deploy = _sign(deployer, 0, None, 0, artifact("CreditToken").initcode, _DEPLOY_GAS, 1)
        funding = [
            signed
            for index, sender in enumerate(self._senders)
            for signed in _sign(
                developers[index % 10],
                index // 10 + (index % 10 == 0),  # The first one deployed the token before.
                sender.address,
                60 * _ETHER,
                b"",
                _TRANSFER_GAS,
                1,
            )
        ]
        deposit = bytes.fromhex(artifact("CreditToken").selectors["deposit()"])
        deposits = [
            signed
            for sender in self._senders
            for signed in _sign(sender, 0, self.token, 10 * _ETHER, deposit, _TOKEN_GAS, 1)
        ]
        self.setup: list[list[Signed]] = [deploy, funding, deposits]
        """Sent in this order, each part after the receipts of the one before."""
        per = plan.per_sender
        self.transfers = self._phase(1, per, token=False)
        self.token_transfers = self._phase(1 + per, per, token=True)
        self.block = self._phase(1 + 2 * per, plan.block // SENDERS, token=False)
        # For a node of its own, on which nothing was prepared.
        self.one_by_one = _sign(developers[9], 0, self.targets[0], 1_000, b"", _TRANSFER_GAS, plan.one_by_one)

    def _phase(self, nonce: int, per_sender: int, *, token: bool) -> list[list[Signed]]:
        """Transactions of each sender to its target: `per_sender` of them, each of one unit more than the last."""
        transfer = bytes.fromhex(artifact("CreditToken").selectors["transfer(address,uint256)"])
        phase = []
        for sender, target in zip(self._senders, self.targets, strict=True):
            if token:
                data = transfer + bytes(12) + bytes.fromhex(target[2:]) + (1_000).to_bytes(32, "big")
                phase.append(_sign(sender, nonce, self.token, 0, data, _TOKEN_GAS, per_sender))
            else:
                phase.append(_sign(sender, nonce, target, 1_000, b"", _TRANSFER_GAS, per_sender))
        return phase

    def balance_calls(self, *, token: bool) -> list[Call]:
        """Return the questions for the targets' balances."""
        if not token:
            return [("eth_getBalance", [target, "latest"]) for target in self.targets]
        selector = artifact("CreditToken").selectors["balanceOf(address)"]
        datas = [f"0x{selector}{target[2:]:0>64}" for target in self.targets]
        return [("eth_call", [{"to": self.token, "data": data}, "latest"]) for data in datas]


def gain(count: int) -> int:
    """Return what `count` transactions of 1,000, 1,001, ... bring their target."""
    return sum(1_000 + step for step in range(count))


def to_lanes(phase: list[list[Signed]]) -> list[list[bytes]]:
    """Frame a phase: a sender stays on one connection, so that its nonces arrive in order, and senders take turns."""
    lanes: list[list[bytes]] = []
    for lane in range(CONNECTIONS):
        mine = phase[lane::CONNECTIONS]
        ordered = [signed for step in zip(*mine, strict=True) for signed in step]
        lanes.append(frames([("eth_sendRawTransaction", [signed.raw]) for signed in ordered], BATCH))
    return lanes


def receipt_lanes(phase: list[list[Signed]]) -> list[list[bytes]]:
    """Frame the questions for all receipts of a phase."""
    hashes = [signed.hash for mine in phase for signed in mine]
    parts = [hashes[lane::CONNECTIONS] for lane in range(CONNECTIONS)]
    return [frames([("eth_getTransactionReceipt", [one]) for one in part], BATCH) for part in parts]


def _created(sender: bytes) -> str:
    """Address of the first contract that `sender` creates: the hash of RLP's [sender, 0]."""
    return f"0x{_core.keccak256(bytes([0xD6, 0x94]) + sender + bytes([0x80]))[-20:].hex()}"
