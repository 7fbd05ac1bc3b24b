"""Organisations in plain Python: who has how many votes, what deposits do, what becomes of a proposal, and how money is
divided.

Times are Unix seconds, money is credit-wei, votes are whole numbers; operations at one second happen in the order of
their calls.
Invariant: after each operation the credits that members' contract holds are all deposits and all bonds of open
challenges; an operation that is refused changes nothing. A refusal is the name of the contract's error.
Source: docs/organisations.md. This file imports nothing of the package.
What it does not do: signatures, descriptions and calldata; a proposal here is a name.
"""

from __future__ import annotations

from dataclasses import dataclass, field

BASIS_POINTS = 10_000
FOR, AGAINST, ABSTAIN = "for", "against", "abstain"


class Refused(Exception):  # noqa: N818 - what it is
    """An operation that is not allowed, by the name of the contract's error."""


def demand(holds: bool, name: str) -> None:
    """Refuse with `name` unless `holds`."""
    if not holds:
        raise Refused(name)


@dataclass(frozen=True)
class Terms:
    """Terms of an organisation, as the contracts' constructors take them."""

    council: tuple[str, ...]
    threshold: int
    voting_delay: int = 1
    voting_period: int = 60
    late_extension: int = 20
    quorum: int = 30
    proposal_threshold: int = 1
    timelock_delay: int = 30
    agents_cap: int = 2_500
    agent_cap: int = 1_000
    exit_delay: int = 120
    challenge_period: int = 60
    challenge_bond: int = 10**18
    deposit: int = 10**18
    open_weight: int = 0


@dataclass
class Member:
    """What is known of an account; `agent_id` is 0 for a person and None for somebody never seen."""

    status: str = "none"
    agent_id: int | None = None
    weight: int = 0
    deposit: int = 0
    left_at: int = 0
    # Weight from a second on, oldest first: what it was at any time can be asked.
    past: list[tuple[int, int]] = field(default_factory=list)

    def at(self, time: int) -> int:
        """Weight at the end of second `time`."""
        return next((weight for since, weight in reversed(self.past) if since <= time), 0)


@dataclass
class Challenge:
    """An open accusation."""

    challenger: str
    ends_at: int
    bond: int
    votes: dict[str, bool] = field(default_factory=dict)


@dataclass
class Proposal:
    """What is voted on."""

    snapshot: int
    deadline: int
    tally: dict[str, int] = field(default_factory=lambda: {FOR: 0, AGAINST: 0, ABSTAIN: 0})
    used: dict[str, int] = field(default_factory=dict)
    quorum_seen: bool = False
    eta: int = 0
    ended: str = ""
    vetoes: set[str] = field(default_factory=set)
    names_council: bool = False


class Organisation:
    """One organisation with its money; `wallets` is the identity registry: agent to the account that acts for it."""

    def __init__(self, terms: Terms, wallets: dict[int, str], balances: dict[str, int]) -> None:
        self.terms, self.wallets, self.balances = terms, wallets, balances
        self.held = 0
        self.treasury = 0
        self.deposit, self.open_weight = terms.deposit, terms.open_weight
        self.council, self.council_threshold = terms.council, terms.threshold
        self.members: dict[str, Member] = {}
        self.challenges: dict[str, Challenge] = {}
        self.proposals: dict[str, Proposal] = {}
        self.reports: set[bytes] = set()

    # ---- votes ---------------------------------------------------------------------------------------

    def _member(self, who: str) -> Member:
        return self.members.setdefault(who, Member())

    def _totals(self, time: int) -> tuple[int, int]:
        """Weight of all people and of all agents."""
        people = sum(m.at(time) for m in self.members.values() if not m.agent_id)
        return people, sum(m.at(time) for m in self.members.values() if m.agent_id)

    def votes(self, who: str, time: int) -> int:
        """Votes that count for somebody at `time`, with the identities of now."""
        member = self._member(who)
        weight = member.at(time)
        if not member.agent_id or weight == 0:
            return weight
        if self.wallets.get(member.agent_id) != who:
            return 0
        people, agents = self._totals(time)
        counted = min(agents, people * self.terms.agents_cap // (BASIS_POINTS - self.terms.agents_cap))
        return min(weight * counted // agents, people * self.terms.agent_cap // (BASIS_POINTS - self.terms.agent_cap))

    def all_votes(self, time: int) -> int:
        """All votes that count at `time`."""
        people, agents = self._totals(time)
        return people + min(agents, people * self.terms.agents_cap // (BASIS_POINTS - self.terms.agents_cap))

    def _set_weight(self, who: str, weight: int, now: int) -> None:
        member = self._member(who)
        member.weight = weight
        member.past.append((now, weight))

    # ---- membership ----------------------------------------------------------------------------------

    def _identity_is_free(self, who: str, agent_id: int) -> bool:
        return agent_id == 0 or (
            self.wallets.get(agent_id) == who
            and not any(m.agent_id == agent_id and m.status in ("applied", "member") for m in self.members.values())
        )

    def _pay(self, who: str, amount: int) -> None:
        demand(self.balances.get(who, 0) >= amount, "ERC20InsufficientBalance")
        self.balances[who] = self.balances.get(who, 0) - amount
        self.held += amount

    def _return(self, who: str, amount: int) -> None:
        self.balances[who] = self.balances.get(who, 0) + amount
        self.held -= amount

    def join(self, who: str, agent_id: int, now: int) -> None:
        """Apply, or join where admission is open."""
        member = self._member(who)
        demand(member.status == "none", "WrongStatus")
        demand(member.agent_id in (None, agent_id), "OtherIdentity")
        demand(agent_id == 0 or self.wallets.get(agent_id) == who, "NotWallet")
        demand(self._identity_is_free(who, agent_id), "IdentityTaken")
        self._pay(who, self.deposit)
        member.agent_id, member.deposit, member.status = agent_id, self.deposit, "applied"
        if self.open_weight:
            member.status = "member"
            self._set_weight(who, self.open_weight, now)

    def admit(self, who: str, weight: int, now: int) -> None:
        """By vote: make an applicant a member."""
        demand(self._member(who).status == "applied", "WrongStatus")
        demand(weight > 0, "ZeroWeight")
        self._member(who).status = "member"
        self._set_weight(who, weight, now)

    def grant(self, who: str, agent_id: int, weight: int, now: int) -> bool:
        """Give votes to a founder or contributor; return whether it could be given."""
        member = self._member(who)
        if member.status == "none":
            fits = member.agent_id in (None, agent_id) and self._identity_is_free(who, agent_id)
        else:
            fits = member.agent_id == agent_id and member.status != "leaving"
        if not fits:
            return False
        member.agent_id, member.status = agent_id, "member"
        self._set_weight(who, member.weight + weight, now)
        return True

    def award(self, report: bytes, grants: list[tuple[str, int, int]], now: int) -> None:
        """By vote: give votes for a report, once; whoever cannot be given them is passed over."""
        demand(report not in self.reports, "AlreadyAwarded")
        self.reports.add(report)
        for who, agent_id, weight in grants:
            self.grant(who, agent_id, weight, now)

    def _leave(self, who: str, now: int) -> None:
        member = self._member(who)
        demand(member.status in ("applied", "member"), "WrongStatus")
        member.left_at = now - self.terms.exit_delay if member.status == "applied" else now
        member.status = "leaving"
        if member.weight:
            self._set_weight(who, 0, now)

    def resign(self, who: str, now: int) -> None:
        """Leave of one's own will."""
        self._leave(who, now)

    def remove(self, who: str, now: int) -> None:
        """By vote: end a membership."""
        demand(self._member(who).status == "member", "WrongStatus")
        self._leave(who, now)

    def lapse(self, who: str, now: int) -> None:
        """Anyone: end the membership of an agent that acts for its identity no more."""
        member = self._member(who)
        demand(bool(member.agent_id) and self.wallets.get(member.agent_id or 0) != who, "StillActing")
        self._leave(who, now)

    def withdraw(self, who: str, now: int) -> None:
        """Take the deposit back."""
        member = self._member(who)
        demand(member.status == "leaving", "WrongStatus")
        demand(now >= member.left_at + self.terms.exit_delay, "DepositLocked")
        demand(who not in self.challenges, "UnderChallenge")
        amount, member.deposit, member.status = member.deposit, 0, "none"
        self._return(who, amount)

    # ---- challenges ----------------------------------------------------------------------------------

    def challenge(self, by: str, who: str, now: int) -> None:
        """Accuse a member."""
        demand(self._member(who).status in ("member", "leaving"), "WrongStatus")
        demand(who not in self.challenges, "UnderChallenge")
        member = self._member(who)
        demand(member.status == "member" or now < member.left_at + self.terms.exit_delay, "TooLate")
        self._pay(by, self.terms.challenge_bond)
        self.challenges[who] = Challenge(by, now + self.terms.challenge_period, self.terms.challenge_bond)

    def judge(self, by: str, who: str, uphold: bool, now: int) -> None:
        """Vote on an accusation as one of the council."""
        demand(who in self.challenges and now < self.challenges[who].ends_at, "NoChallenge")
        demand(by in self.council and by != who, "NotCouncillor")
        open_ = self.challenges[who]
        demand(by not in open_.votes, "AlreadyVoted")
        open_.votes[by] = uphold
        if sum(vote == uphold for vote in open_.votes.values()) < self.council_threshold:
            return
        del self.challenges[who]
        self._return(open_.challenger if uphold else who, open_.bond)
        member = self._member(who)
        if uphold:
            if member.status == "member":
                self._leave(who, now)
            slashed, member.deposit = member.deposit, 0
            self.held -= slashed
            self.treasury += slashed

    def expire(self, who: str, now: int) -> None:
        """Anyone: end an accusation that nobody decided."""
        demand(who in self.challenges, "NoChallenge")
        demand(now >= self.challenges[who].ends_at, "ChallengeOpen")
        open_ = self.challenges.pop(who)
        self._return(open_.challenger, open_.bond)

    # ---- proposals -----------------------------------------------------------------------------------

    def propose(self, by: str, name: str, now: int, names_council: bool = False) -> None:
        """Put something to the vote."""
        demand(self.votes(by, now - 1) >= self.terms.proposal_threshold, "GovernorInsufficientProposerVotes")
        demand(name not in self.proposals, "GovernorUnexpectedProposalState")
        snapshot = now + self.terms.voting_delay
        deadline = snapshot + self.terms.voting_period
        self.proposals[name] = Proposal(snapshot, deadline, names_council=names_council)

    def quorum(self, proposal: Proposal) -> int:
        """Votes for and abstaining that are needed."""
        return self.all_votes(proposal.snapshot) * self.terms.quorum // 100

    def _has_quorum(self, proposal: Proposal) -> bool:
        return proposal.tally[FOR] + proposal.tally[ABSTAIN] >= self.quorum(proposal)

    def state(self, name: str, now: int) -> str:
        """What has become of a proposal."""
        proposal = self.proposals[name]
        if proposal.ended:
            return proposal.ended
        if now <= proposal.snapshot:
            return "pending"
        if now <= proposal.deadline:
            return "active"
        if not self._has_quorum(proposal) or proposal.tally[FOR] <= proposal.tally[AGAINST]:
            return "defeated"
        return "queued" if proposal.eta else "succeeded"

    def vote(self, by: str, name: str, parts: str | dict[str, int], now: int) -> None:
        """Vote with all that is left, or with parts of it."""
        demand(self.state(name, now) == "active", "GovernorUnexpectedProposalState")
        proposal = self.proposals[name]
        used = proposal.used.get(by, 0)
        left = max(0, self.votes(by, proposal.snapshot) - used)
        demand(left > 0, "GovernorAlreadyCastVote")
        given = {parts: left} if isinstance(parts, str) else parts
        demand(sum(given.values()) <= left, "GovernorExceedRemainingWeight")
        for choice, votes in given.items():
            proposal.tally[choice] += votes
        proposal.used[by] = used + sum(given.values())
        # A quorum that is reached late leaves time for those who were silent.
        if not proposal.quorum_seen and self._has_quorum(proposal):
            proposal.quorum_seen = True
            proposal.deadline = max(proposal.deadline, now + self.terms.late_extension)

    def queue(self, name: str, now: int) -> None:
        """Anyone: let a proposal that succeeded wait."""
        demand(self.state(name, now) == "succeeded", "GovernorUnexpectedProposalState")
        self.proposals[name].eta = now + self.terms.timelock_delay

    def veto(self, by: str, name: str, now: int) -> None:
        """Veto as one of the council, while a proposal waits; not one that only names a new council."""
        demand(self.state(name, now) == "queued", "GovernorUnexpectedProposalState")
        proposal = self.proposals[name]
        demand(now < proposal.eta, "TooLate")
        demand(not proposal.names_council, "NotVetoable")
        demand(by in self.council, "NotCouncillor")
        proposal.vetoes.add(by)
        if sum(councillor in proposal.vetoes for councillor in self.council) >= self.council_threshold:
            proposal.ended = "cancelled"

    def execute(self, name: str, now: int) -> None:
        """Anyone: do what was voted, once its delay is over."""
        demand(self.state(name, now) == "queued", "GovernorUnexpectedProposalState")
        demand(now >= self.proposals[name].eta, "TimelockUnexpectedOperationState")
        self.proposals[name].ended = "executed"


def divide(amount: int, parts: list[int]) -> list[int]:
    """Divide revenue by basis points: each is rounded down, and what is left is the first's."""
    given = [amount * part // BASIS_POINTS for part in parts]
    given[0] += amount - sum(given)
    return given


def replay(changes: list[tuple[int, int, bytes, bytes, bytes]]) -> dict[tuple[int, bytes], bytes]:
    """State of a policy from its events ``(number, kind, key, old, new)`` alone."""
    state: dict[tuple[int, bytes], bytes] = {}
    for place, (number, kind, key, old, new) in enumerate(changes, start=1):
        if number != place or state.get((kind, key), b"") != old:
            raise ValueError(f"change {number} does not follow")
        state[kind, key] = new
    return state


# ---- a round of retroactive funding, as RetroPGF3 was counted ---------------------------------------------

OP_CENTS = 100
MIN_BALLOTS = 17
MIN_MEDIAN_CENTS = 1_500 * OP_CENTS
"""A project is paid if so many voted on it and half of them gave so much."""


def retro_quorum(ballots: int, median_cents: int) -> bool:
    """Whether a project reached the quorum."""
    return ballots >= MIN_BALLOTS and median_cents >= MIN_MEDIAN_CENTS


def retro_payouts(medians: list[int], pool: int) -> list[int]:
    """Divide a pool in proportion to medians, by largest remainder, the first of equals first."""
    total = sum(medians)
    given = [pool * median // total for median in medians]
    left = pool - sum(given)
    order = sorted(range(len(medians)), key=lambda i: (-(pool * medians[i] % total), i))
    for i in order[:left]:
        given[i] += 1
    return given
