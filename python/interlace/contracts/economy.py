"""Where the contracts live, and the genesis deployments that put them there.

Invariant: the constructors' demands (shares add up, more than half of the validators decide, escrow outlasts the
time in which a voucher can be settled) are checked before a genesis is written, so a genesis that was written deploys.
Source: docs/contracts.md.
What it does not do: it gives nobody credits; accounts lock native tokens in CreditToken for theirs.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from typing import Final, Self

from interlace._core import keccak256
from interlace.chain import Account, Deployment, checksum_address
from interlace.contracts.artifacts import NAMES, ORGANISATION_PARTS, artifact
from interlace.contracts.terms import AuditTerms, BeaconTerms, QuorumTerms, ValidationTerms
from interlace.errors import ChainError

ADDRESSES: Final[dict[str, str]] = {
    name: checksum_address(f"0x1ace{place:036x}") for place, name in enumerate(NAMES, start=1)
}
"""Contract name to EIP-55 address, the same on every chain."""

TIERS: Final = ("Audits", "Quorum", "Dispute", "SumcheckProofs", "ZkVerifiers")
"""Who decides assurance 2 to 6, in this order; a chain that lacks one refuses calls of its assurance."""

METERS: Final = ("compute", "data validation", "transactions")
"""What fees are for, by the number of the meter. The first two are paid in credits, the last in native tokens."""

COMPUTE, VALIDATION, TRANSACTION = range(3)

BASIS_POINTS: Final = 10_000
CREDIT_WEI: Final = 10**18


@dataclass(frozen=True, slots=True)
class FeeShares:
    """Basis points of a fee for each of those who made the answer possible; they add up to 10,000."""

    node: int = 5_000
    data: int = 1_500
    model: int = 2_000
    validators: int = 500
    holders: int = 500
    treasury: int = 500


VALIDATION_SHARES: Final = FeeShares(node=8_000, data=250, model=250)
"""What becomes of a fee for the validation of data: most of it is the validator's, who is the node of that meter."""

TRANSACTION_SHARES: Final = FeeShares(node=7_000, data=0, model=0, validators=1_000, holders=1_500, treasury=500)
"""What becomes of a transaction's fee: the node is the sequencer; no class served, so data and model have no part."""


@dataclass(frozen=True, slots=True)
class EconomyConfig:
    """Everything that the contracts' constructors are told.

    Parameters
    ----------
    governor
        May change the fee shares, the treasury and the governor; nothing else, and nothing already earned.
    treasury
        Whose the treasury's part is.
    validators
        At most 64 addresses that decide challenges and share the validators' part.
    threshold
        Votes that decide; more than half of the validators.
    window_seconds
        How long a receipt of assurance 1 can be challenged.
    vote_seconds
        How long validators can vote on a challenge; undecided means refund.
    settlement_grace_seconds
        How long after its deadline a voucher can still be settled.
    withdrawal_delay_seconds
        How long escrow stays after the payer asks it back; longer than the grace.
    unbonding_seconds
        How long a holder waits for a stake that was asked back; it earns nothing and votes nothing meanwhile.
    stream_seconds
        Length of a period of rewards: what arrives for stakers in one is released evenly over the next.
    challenge_bond_wei
        Credit-wei that a challenger puts up.
    beacon, validation
        Terms of the random numbers and of the validation of data.
    quorum
        Terms of the panels that run claims again.
    shares, validation_shares, transaction_shares
        How a fee is divided: of a paid call, of a validation of data, and of a transaction.
    sequencer
        Whose the node's part of transaction fees is: who makes the blocks. The treasury by default.
    undecided_seconds
        How long behind its window a call waits for a tier of assurance that has its claim but has not decided it; then
        it is refunded. At least as long as a dispute that is begun in its last second, and a whole window after it.
    dispute_bond_wei
        Credit-wei that each side of a dispute puts up.
    dispute_window_seconds
        How long a claim can be disputed.
    dispute_clock_seconds
        How long each side of a dispute may think, in all its moves together.
    audits
        Terms of sampled audits.
    zk_revoke_seconds
        How long a payer's acceptance of a verifier's key counts after its revocation; longer than grace and window.
    """

    governor: str
    treasury: str
    validators: tuple[str, ...]
    threshold: int
    window_seconds: int = 3_600
    vote_seconds: int = 3_600
    settlement_grace_seconds: int = 86_400
    withdrawal_delay_seconds: int = 172_800
    unbonding_seconds: int = 604_800
    stream_seconds: int = 86_400
    challenge_bond_wei: int = CREDIT_WEI
    undecided_seconds: int = 432_000
    dispute_bond_wei: int = CREDIT_WEI
    dispute_window_seconds: int = 86_400
    dispute_clock_seconds: int = 86_400
    zk_revoke_seconds: int = 172_800
    shares: FeeShares = field(default_factory=FeeShares)
    beacon: BeaconTerms = field(default_factory=BeaconTerms)
    validation: ValidationTerms = field(default_factory=ValidationTerms)
    quorum: QuorumTerms = field(default_factory=QuorumTerms)
    validation_shares: FeeShares = VALIDATION_SHARES
    transaction_shares: FeeShares = TRANSACTION_SHARES
    sequencer: str = ""
    audits: AuditTerms = field(default_factory=AuditTerms)

    def __post_init__(self) -> None:
        """Check what the constructors would refuse."""
        for name in ("governor", "treasury"):
            object.__setattr__(self, name, _nonzero(name, getattr(self, name)))
        object.__setattr__(self, "sequencer", _nonzero("sequencer", self.sequencer or self.treasury))
        members = tuple(_nonzero("validator", member) for member in self.validators)
        object.__setattr__(self, "validators", members)
        _demand(1 <= len(members) <= 64, f"{len(members)} validators; 1 to 64 are possible")
        _demand(len(set(members)) == len(members), "a validator is named twice")
        possible = len(members) // 2 < self.threshold <= len(members)
        _demand(possible, f"threshold {self.threshold} of {len(members)}; more than half, at most all")
        for shares in map(astuple, self.meters):
            _demand(all(0 <= share <= BASIS_POINTS for share in shares), f"shares {shares}; each is 0 to 10,000")
            _demand(sum(shares) == BASIS_POINTS, f"shares add up to {sum(shares)}, not 10,000")
        served = self.transaction_shares.data + self.transaction_shares.model
        _demand(served == 0, f"a transaction serves no class, and {served} of its fee are for data and model")
        for name in (
            "window_seconds",
            "vote_seconds",
            "stream_seconds",
            "undecided_seconds",
            "dispute_window_seconds",
            "dispute_clock_seconds",
            "zk_revoke_seconds",
        ):
            _demand(0 < getattr(self, name) < 1 << 32, f"{name} is {getattr(self, name)}; 1 to 2^32 - 1")
        for name in ("settlement_grace_seconds", "withdrawal_delay_seconds", "unbonding_seconds"):
            _demand(0 <= getattr(self, name) < 1 << 32, f"{name} is {getattr(self, name)}; 0 to 2^32 - 1")
        _demand(
            self.withdrawal_delay_seconds > self.settlement_grace_seconds,
            f"a withdrawal delay of {self.withdrawal_delay_seconds} s lets escrow leave before the grace of "
            f"{self.settlement_grace_seconds} s is over",
        )
        longest = self.settlement_grace_seconds + self.window_seconds
        _demand(
            self.zk_revoke_seconds > longest,
            f"an acceptance revoked for {self.zk_revoke_seconds} s ends before the {longest} s of grace and window",
        )
        _demand(0 <= self.challenge_bond_wei < 1 << 128, f"a bond of {self.challenge_bond_wei} credit-wei")
        _demand(0 < self.dispute_bond_wei < 1 << 128, f"a bond of {self.dispute_bond_wei} credit-wei in disputes")
        disputed = 2 * (self.dispute_window_seconds + self.dispute_clock_seconds)
        _demand(
            self.undecided_seconds >= disputed,
            f"undecided for {self.undecided_seconds} s; a dispute can take {disputed} s with the window after it",
        )
        self.validation.fits(self.beacon)
        self.quorum.fits(self.beacon)
        self.audits.fits(self.beacon)

    @property
    def meters(self) -> tuple[FeeShares, FeeShares, FeeShares]:
        """The shares of each meter, by its number: compute, data validation, transactions."""
        return self.shares, self.validation_shares, self.transaction_shares

    @classmethod
    def development(cls) -> Self:
        """Return the economy of a developer chain: well-known keys, a window of one minute.

        Account 9 of the developers' phrase governs and has the sequencer's part, 8 is the treasury, 5 to 7 are
        validators of whom two decide.
        """
        accounts = [account.address for account in Account.list_from_mnemonic(10)]
        return cls(
            governor=accounts[9],
            treasury=accounts[8],
            validators=tuple(accounts[5:8]),
            threshold=2,
            window_seconds=60,
            vote_seconds=60,
            settlement_grace_seconds=3_600,
            withdrawal_delay_seconds=7_200,
            beacon=BeaconTerms(commit_seconds=30, reveal_seconds=30, quorum=2, bond_wei=CREDIT_WEI),
            validation=ValidationTerms(
                commit_seconds=60,
                reveal_seconds=60,
                window_seconds=60,
                vote_seconds=60,
                unbonding_seconds=900,
                min_stake_wei=10 * CREDIT_WEI,
                appeal_bond_wei=CREDIT_WEI,
            ),
            quorum=QuorumTerms(
                commit_seconds=60,
                reveal_seconds=60,
                unbonding_seconds=900,
                min_stake_wei=10 * CREDIT_WEI,
                least_drawn=3,
            ),
            unbonding_seconds=60,
            stream_seconds=60,
            sequencer=accounts[9],
            undecided_seconds=3_600,
            dispute_window_seconds=600,
            dispute_clock_seconds=600,
            audits=AuditTerms(
                rate_bp=1_000,
                answer_seconds=300,
                unbonding_seconds=900,
                max_rounds=3,
                max_in_flight=10,
                fine_wei=10 * CREDIT_WEI,
            ),
            zk_revoke_seconds=7_200,
        )


def deployments(config: EconomyConfig) -> list[dict[str, str]]:
    """Return the contracts as genesis deployments ``{"address", "initcode"}``, in the order in which they must run.

    They go into a genesis file under ``interlace.deployments``. The credit token comes first, because the constructors
    of FeeRouter, Settlement and DataValidation approve it.
    """
    at = ADDRESSES
    members = config.validators
    arguments: dict[str, tuple[int | str, ...]] = {
        "CreditToken": (),
        "StakingVault": (at["CreditToken"], config.unbonding_seconds, config.stream_seconds),
        "Assets": (at["CreditToken"], at["FeeRouter"]),
        "Programs": (at["Assets"],),
        # The list of members is the one dynamic argument: its place holds the offset of its length.
        "Validators": (at["CreditToken"], 3 * 32, config.threshold, len(members), *members),
        "FeeRouter": (
            *(at[name] for name in ("CreditToken", "Assets", "Validators", "StakingVault", "Settlement")),
            at["DataValidation"],
            config.governor,
            config.treasury,
            *(share for shares in config.meters for share in astuple(shares)),
        ),
        "Settlement": (
            *(at[name] for name in ("CreditToken", "Programs", "Validators", "FeeRouter")),
            *(at.get(name, 0) for name in TIERS),
            config.window_seconds,
            config.vote_seconds,
            config.settlement_grace_seconds,
            config.withdrawal_delay_seconds,
            config.undecided_seconds,
            config.challenge_bond_wei,
        ),
        "Readers": (at["Assets"],),
        "Exchange": (at["CreditToken"],),
        "Beacon": (at["CreditToken"], *astuple(config.beacon)),
        "DataValidation": (
            *(at[name] for name in ("CreditToken", "Assets", "Beacon", "FeeRouter")),
            *config.validation.words,
        ),
        "TransactionFees": (*(at[name] for name in ("FeeRouter", "Validators", "StakingVault")), config.sequencer),
        "Agents": (),
        # The factory makes organisations from exactly the code that ships; it knows that by its hashes.
        "OrganisationFactory": (
            *(int.from_bytes(keccak256(artifact(name).initcode), "big") for name in ORGANISATION_PARTS),
            *(at[name] for name in ("CreditToken", "Agents", "Assets")),
        ),
        "Dispute": (
            at["CreditToken"],
            config.dispute_bond_wei,
            config.dispute_window_seconds,
            config.dispute_clock_seconds,
        ),
        "ValidationRegistry": (at["Agents"],),
        # The list of tiers from 2 on is the one dynamic argument; zero where this chain has none.
        "ClaimValidator": (
            at["Agents"],
            at["ValidationRegistry"],
            3 * 32,
            len(TIERS),
            *(at.get(name, 0) for name in TIERS),
        ),
        "ReputationRegistry": (at["Agents"], at["Settlement"]),
        "SumcheckProofs": (),
        "Quorum": (at["CreditToken"], at["Beacon"], *config.quorum.words),
        "Audits": (*(at[name] for name in ("CreditToken", "Beacon", "Dispute", "Validators")), *config.audits.words),
        "CallChains": (
            at["CreditToken"],
            config.dispute_bond_wei,
            config.dispute_window_seconds,
            config.dispute_clock_seconds,
        ),
        "ZkVerifiers": (config.zk_revoke_seconds,),
    }
    return [
        {"address": at[name], "initcode": f"0x{(artifact(name).initcode + _words(arguments[name])).hex()}"}
        for name in NAMES
    ]


def economy_deployments(config: EconomyConfig | None = None) -> list[Deployment]:
    """Return the same contracts as `Chain` takes them; those of `EconomyConfig.development` by default."""
    listed = deployments(config or EconomyConfig.development())
    return [Deployment(entry["address"], bytes.fromhex(entry["initcode"][2:])) for entry in listed]


def _words(values: tuple[int | str, ...]) -> bytes:
    """ABI-encode addresses and unsigned integers, one word each."""
    return b"".join((v if isinstance(v, int) else int(v, 16)).to_bytes(32, "big") for v in values)


def _nonzero(name: str, value: str) -> str:
    address = checksum_address(value)
    _demand(int(address, 16) != 0, f"{name} is the zero address")
    return address


def _demand(holds: bool, message: str) -> None:
    if not holds:
        raise ChainError("contracts.bad-config", message, hint="see EconomyConfig")
