"""The money side of a party: credits, escrow, stake, and what its roles have earned.

Invariant: every amount is credit-wei as the contracts count it; what is claimed is read from the events, not assumed.
What it does not do: it decides no split and holds no assets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from interlace.contracts import ADDRESSES
from interlace.errors import UsageError

from .units import CREDIT, Credits

if TYPE_CHECKING:
    from interlace.chain import Account

    from .network import Network

Role = Literal["node", "treasury", "validator", "holder"]
_CONTRACT_OF_ROLE = {
    "node": "FeeRouter",
    "treasury": "FeeRouter",
    "validator": "Validators",
    "holder": "StakingVault",
}
_RESERVE_CALLS = 20
"""On a developer chain the escrow is kept this many questions ahead, and at least a credit: most questions then need no
transaction, and a service that has not yet seen the newest deposit still sees enough."""


@dataclass(frozen=True, slots=True)
class Balances:
    """What a party has, in credit-wei; `native` and `staked` are native tokens, shown with the same decimals.

    Attributes
    ----------
    native, credits
        Held.
    escrow
        In Settlement, for answers.
    staked
        In the vault.
    earned
        Can be claimed as a node or treasury, as a validator, and as a holder, together.
    """

    native: Credits
    credits: Credits
    escrow: Credits
    staked: Credits
    earned: Credits


class Purse:
    """The money of one account."""

    def __init__(self, net: Network, account: Account) -> None:
        self._net = net
        self._account = account
        self._promised = 0
        self._deposited = 0

    def fund(self, amount: int) -> Credits:
        """Turn `amount` native wei into credits."""
        self._net.contract("CreditToken").send(self._account, "deposit", value_wei=amount)
        return self._credits()

    def hold(self, amount: int) -> None:
        """See that the account holds at least `amount` of credits outside escrow."""
        missing = amount - self._credits()
        if missing > 0:
            self.fund(missing)

    def deposit(self, amount: int) -> Credits:
        """Put `amount` into escrow and return the escrow."""
        missing = amount - self._credits()
        if missing > 0:
            self.fund(missing)
        settlement = self._net.contract("Settlement")
        self._net.contract("CreditToken").send(self._account, "approve", settlement.address, amount)
        settlement.send(self._account, "deposit", amount)
        self._deposited += amount
        return self._escrow()

    def back(self, cost: int, budget_left: int | None) -> None:
        """See that the escrow covers what this purse has promised and not yet paid, and `cost` more.

        Missing escrow is put up for all that is left of a shared budget, or else for a reserve of further questions.
        """
        escrow = self._escrow()
        settled = max(0, self._deposited - escrow)
        self._promised += cost
        ahead = escrow - (self._promised - settled)
        reserve = max(CREDIT, _RESERVE_CALLS * cost) if budget_left is None else budget_left - cost
        low = reserve // 2 if budget_left is None else 0
        if ahead < low:
            self.deposit(reserve - ahead)

    def stake(self, amount: int) -> Credits:
        """Stake `amount` native wei and return the whole stake."""
        self._net.contract("StakingVault").send(self._account, "stake", value_wei=amount)
        return self._staked()

    def claim(self, role: Role) -> Credits:
        """Claim what a role has earned."""
        _known(role)
        return self._paid(_CONTRACT_OF_ROLE[role], "claim", "Claimed")

    def unstake(self, amount: int) -> int:
        """Ask for `amount` of the stake back; return the unix second from which it can be withdrawn."""
        vault = self._net.contract("StakingVault")
        receipt = vault.send(self._account, "requestUnstake", amount)
        return int(next(e.args["availableAt"] for e in vault.events(receipt) if e.name == "Unstaked"))

    def withdraw_stake(self) -> Credits:
        """Take back all stakes whose time has come."""
        return self._paid("StakingVault", "withdraw", "Withdrawn")

    def claim_native(self, role: Role) -> Credits:
        """Claim what a role has earned of transaction fees, which are divided first."""
        _known(role)
        self._net.contract("TransactionFees").send(self._account, "distribute")
        if role == "holder":
            return self._paid("StakingVault", "claimNative", "ClaimedNative")
        return self._paid("TransactionFees", "claim", "Claimed")

    def _paid(self, name: str, function: str, event: str) -> Credits:
        """Send what pays this account, and return what it was paid."""
        contract = self._net.contract(name)
        receipt = contract.send(self._account, function, self._account.address)
        return Credits(sum(int(e.args["amount"]) for e in contract.events(receipt) if e.name == event))

    def balances(self) -> Balances:
        """Return everything at once."""
        who = self._account.address
        earned = sum(
            int(self._net.contract(name).call("claimable", who)) for name in ("FeeRouter", "Validators", "StakingVault")
        )
        return Balances(
            native=Credits(self._net.client.balance(who)),
            credits=self._credits(),
            escrow=self._escrow(),
            staked=self._staked(),
            earned=Credits(earned),
        )

    def _credits(self) -> Credits:
        return Credits(self._net.contract("CreditToken").call("balanceOf", self._account.address))

    def _escrow(self) -> Credits:
        return Credits(self._net.contract("Settlement").call("escrowOf", self._account.address))

    def _staked(self) -> Credits:
        return Credits(self._net.contract("StakingVault").call("stakeOf", self._account.address))


def _known(role: str) -> None:
    if role not in _CONTRACT_OF_ROLE:
        known = ", ".join(_CONTRACT_OF_ROLE)
        raise UsageError("sdk.unknown-role", f"{role!r} is no role", hint=f"an asset of one's own, or {known}")


def credit_balance(net: Network, contract: str) -> int:
    """Credit-wei that a contract of the economy holds."""
    return int(net.contract("CreditToken").call("balanceOf", ADDRESSES[contract]))
