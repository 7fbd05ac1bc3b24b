"""An organisation on the tests' chain, beside its specification: three people, two agents, a council of three.

Invariant: whatever is done through `do` is done in the specification at the same second, and must end alike: both done,
or both refused with one name.
What it does not do: decisions are not voted here unless a test says so; the timelock's calls are made in its name.
"""

from __future__ import annotations

from typing import Any

from eth_abi import encode

from interlace import _core
from interlace.chain import Account
from interlace.contracts import ADDRESSES, ORGANISATION_PARTS, artifact
from spec import organisation as spec
from tests.contracts.evm import ETHER, Evm, Reverted, calldata, functions

BALANCE = 20 * ETHER
PEOPLE = {0: 40, 1: 30, 2: 20}
AGENTS = {3: 50, 4: 50}
COUNCIL = (5, 6, 7)
STATES = ("pending", "active", "cancelled", "defeated", "succeeded", "queued", "expired", "executed")
SUPPORT = {spec.AGAINST: 0, spec.FOR: 1, spec.ABSTAIN: 2}


def terms(accounts: list[Account], **changes: Any) -> spec.Terms:
    """Return the terms that most tests begin with."""
    return spec.Terms(tuple(accounts[i].address for i in COUNCIL), 2, **changes)


def found(evm: Evm, t: spec.Terms, seats: list[tuple[str, int, int]], name: str = "readers") -> dict[str, str]:
    """Found an organisation; return the addresses of its contracts by name. Seats are account, identity, votes."""
    voting = (t.voting_delay, t.voting_period, t.late_extension, t.quorum, t.proposal_threshold)
    members = (t.agents_cap, t.agent_cap, t.exit_delay, t.challenge_period, t.challenge_bond)
    given = (name, voting, t.timelock_delay, members, (t.deposit, t.open_weight), list(t.council), t.threshold)
    columns = tuple(list(column) for column in zip(*seats, strict=True))
    code = [artifact(part).initcode for part in ORGANISATION_PARTS]
    evm.send("OrganisationFactory", "create", given, columns, code, sender=evm.accounts[0].address)
    made = evm.call("OrganisationFactory", "madeOf", evm.call("OrganisationFactory", "count"))
    return dict(zip(("Organisation", "Timelock", "Members", "Policy"), made, strict=True))


class OrgWorld:
    """An organisation and its specification."""

    def __init__(self, evm: Evm, **changes: Any) -> None:
        self.evm = evm
        self.who = [account.address for account in evm.accounts]
        self.terms = terms(evm.accounts, **changes)
        wallets = {}
        for i in AGENTS:
            evm.send("Agents", "register(string)", "agent:test", sender=self.who[i])
            wallets[evm.call("Agents", "agentCount")] = self.who[i]
        self.ids = dict(zip(AGENTS, wallets, strict=True))
        seats = [(self.who[i], 0, weight) for i, weight in PEOPLE.items()]
        seats += [(self.who[i], self.ids[i], weight) for i, weight in AGENTS.items()]
        self.at = found(evm, self.terms, seats)
        for address in self.who:
            evm.send("CreditToken", "deposit", sender=address, value=BALANCE)
            evm.send("CreditToken", "approve", self.at["Members"], 1 << 255, sender=address)
        evm.rpc("anvil_impersonateAccount", self.at["Timelock"])
        evm.rpc("anvil_setBalance", self.at["Timelock"], hex(10 * ETHER))
        balances = {address: evm.call("CreditToken", "balanceOf", address) for address in self.who}
        self.spec = spec.Organisation(self.terms, wallets, balances)
        self.money = sum(balances.values())
        for account, agent_id, weight in seats:
            assert self.spec.grant(account, agent_id, weight, evm.now)
        self.proposals: dict[str, tuple[Any, ...]] = {}

    def contract(self, name: str) -> tuple[str, str]:
        return name, self.at[name]

    def send(self, who: int | str, contract: str, function: str, *args: Any, value: int = 0) -> dict[str, Any]:
        """Send from an account by its number, or from an address."""
        sender = self.who[who] if isinstance(who, int) else who
        at = self.contract(contract) if contract in self.at else contract
        return self.evm.send(at, function, *args, sender=sender, value=value)

    def as_timelock(self, contract: str, function: str, *args: Any) -> dict[str, Any]:
        return self.send(self.at["Timelock"], contract, function, *args)

    def call(self, contract: str, function: str, *args: Any) -> Any:
        return self.evm.call(self.contract(contract), function, *args)

    # ---- proposals -----------------------------------------------------------------------------------

    def effects(self, name: str, *calls: tuple[str, int, bytes]) -> tuple[Any, ...]:
        """Return how the contract names a proposal; one price is its effect unless calls are given."""
        if not calls:
            calls = ((self.at["Policy"], 0, calldata("Policy", "setPrice", (7).to_bytes(32, "big"), len(name))),)
        targets, values, datas = (list(column) for column in zip(*calls, strict=True))
        self.proposals[name] = (targets, values, datas, _core.keccak256(name.encode()))
        return targets, values, datas, name

    def number(self, name: str) -> int:
        types = ["address[]", "uint256[]", "bytes[]", "bytes32"]
        return int.from_bytes(_core.keccak256(encode(types, self.proposals[name])), "big")

    def state(self, name: str) -> str:
        return STATES[self.call("Organisation", "state", self.number(name))]

    def pass_vote(self, name: str, *calls: tuple[str, int, bytes]) -> None:
        """Bring a proposal of account 0 to where it can be executed."""
        self.do("propose", 0, name, *calls)
        self.evm.mine_at(self.evm.now + self.terms.voting_delay + 1)
        self.do("vote", 0, name, spec.FOR)
        self.evm.mine_at(self.evm.now + self.terms.voting_period + 1)
        self.do("queue", 0, name)
        self.evm.mine_at(self.evm.now + self.terms.timelock_delay)

    # ---- both at once --------------------------------------------------------------------------------

    def do(self, operation: str, who: int, *args: Any, after: int = 1) -> None:
        """Do an operation in both, `after` seconds after the newest block; raise what both refuse with."""
        now = self.evm.now + after
        self.evm.next_at(now)
        expected, found, raised = "", "", None
        try:
            self._specify(operation, self.who[who], args, now)
        except spec.Refused as refused:
            expected = str(refused)
        try:
            self._act(operation, who, args)
        except Reverted as reverted:
            found, raised = reverted.name, reverted
        assert found == expected, f"{operation} of {who} {args}: {raised or 'done'}; specified: {expected or 'done'}"
        if raised is not None:
            raise raised

    def _specify(self, operation: str, address: str, args: tuple[Any, ...], now: int) -> None:
        o = self.spec
        match operation, args:
            case "propose", (name, *calls):
                council = functions("Policy")["setCouncil"][0]
                o.propose(address, name, now, [data[:4] for _, _, data in calls] == [council])
            case (("vote" | "veto"), (name, *rest)):
                getattr(o, operation)(address, name, *rest, now)
            case (("queue" | "execute"), (name,)):
                getattr(o, operation)(name, now)
            case "challenge", (accused,):
                o.challenge(address, self.who[accused], now)
            case "judge", (accused, uphold):
                o.judge(address, self.who[accused], uphold, now)
            case (("expire" | "remove" | "lapse"), (other,)):
                getattr(o, operation)(self.who[other], now)
            case "admit", (other, weight):
                o.admit(self.who[other], weight, now)
            case "award", (report, grants):
                o.award(report, [(self.who[i], agent_id, weight) for i, agent_id, weight in grants], now)
            case "join", (agent_id,):
                o.join(address, agent_id, now)
            case _:
                getattr(o, operation)(address, now)

    def _act(self, operation: str, who: int, args: tuple[Any, ...]) -> None:
        match operation, args:
            case "propose", (name, *calls):
                self.send(who, "Organisation", "propose", *self.effects(name, *calls))
            case "vote", (name, str(choice)):
                self.send(who, "Organisation", "castVote", self.number(name), SUPPORT[choice])
            case "vote", (name, parts):
                params = b"".join(parts.get(choice, 0).to_bytes(16, "big") for choice in SUPPORT)
                self.send(who, "Organisation", "castVoteWithReasonAndParams", self.number(name), 255, "", params)
            case (("queue" | "execute" | "veto"), (name,)):
                self.send(who, "Organisation", operation, *self.proposals[name])
            case "challenge", (accused,):
                self.send(who, "Members", "challenge", self.who[accused], b"\x09" * 32)
            case "judge", (accused, uphold):
                self.send(who, "Members", "judge", self.who[accused], uphold)
            case (("expire" | "lapse"), (other,)):
                self.send(who, "Members", operation, self.who[other])
            case "remove", (other,):
                self.as_timelock("Members", "remove", self.who[other])
            case "admit", (other, weight):
                self.as_timelock("Members", "admit", self.who[other], weight)
            case "award", (report, grants):
                columns = [list(column) for column in zip(*grants, strict=True)]
                addresses = [self.who[i] for i in columns[0]]
                self.as_timelock("Members", "award", report, addresses, columns[1], columns[2])
            case "join", (agent_id,):
                self.send(who, "Members", "join", agent_id)
            case _:
                self.send(who, "Members", operation)

    def compare(self) -> None:
        """Compare all money, votes and proposals of both."""
        held = self.evm.call("CreditToken", "balanceOf", self.at["Members"])
        balances = {a: self.evm.call("CreditToken", "balanceOf", a) for a in self.who}
        assert held == self.spec.held
        assert held == sum(m.deposit for m in self.spec.members.values()) + sum(
            c.bond for c in self.spec.challenges.values()
        )
        assert balances == self.spec.balances
        assert self.evm.call("CreditToken", "balanceOf", self.at["Timelock"]) == self.spec.treasury
        assert sum(balances.values()) + held + self.spec.treasury == self.money
        now = self.evm.now
        for address in self.who:
            assert self.call("Members", "getVotes", address) == self.spec.votes(address, now), address
            assert self.call("Members", "getPastVotes", address, now - 1) == self.spec.votes(address, now - 1)
        assert self.call("Members", "getPastTotalSupply", now - 1) == self.spec.all_votes(now - 1)
        for name, proposal in self.spec.proposals.items():
            assert self.state(name) == self.spec.state(name, now), name
            tally = dict(zip(SUPPORT, self.call("Organisation", "proposalVotes", self.number(name)), strict=True))
            assert tally == proposal.tally

    # ---- identities ----------------------------------------------------------------------------------

    def move_identity(self, agent_id: int, sender: int, to: int) -> None:
        """Transfer an identity; its wallet is cleared."""
        self.send(sender, "Agents", "transferFrom", self.who[sender], self.who[to], agent_id)
        self.spec.wallets.pop(agent_id, None)

    def name_wallet(self, agent_id: int, owner: int, wallet: int) -> None:
        """Let a wallet that consents act for an agent."""
        self.send(owner, "Agents", "setAgentWallet", *self.consent(agent_id, owner, wallet))
        self.spec.wallets[agent_id] = self.who[wallet]

    def consent(self, agent_id: int, owner: int, wallet: int, seconds: int = 600) -> tuple[Any, ...]:
        """Return the arguments of setAgentWallet, signed by the wallet."""
        deadline = self.evm.now + seconds
        kind = b"AgentWalletSet(uint256 agentId,address newWallet,address owner,uint256 deadline)"
        types = ["bytes32", "uint256", "address", "address", "uint256"]
        values = (_core.keccak256(kind), agent_id, self.who[wallet], self.who[owner], deadline)
        domain = _domain("ERC8004IdentityRegistry", self.evm.chain_id, ADDRESSES["Agents"])
        digest = _core.keccak256(b"\x19\x01" + domain + _core.keccak256(encode(types, values)))
        return agent_id, self.who[wallet], deadline, self.evm.accounts[wallet].sign_digest(digest)

    def ballot(self, who: int, name: str, choice: str) -> bytes:
        """Return the signature of a vote with the voter's present nonce."""
        kind = b"Ballot(uint256 proposalId,uint8 support,address voter,uint256 nonce)"
        nonce = self.call("Organisation", "nonces", self.who[who])
        types = ["bytes32", "uint256", "uint8", "address", "uint256"]
        values = (_core.keccak256(kind), self.number(name), SUPPORT[choice], self.who[who], nonce)
        domain = _domain("readers", self.evm.chain_id, self.at["Organisation"])
        digest = _core.keccak256(b"\x19\x01" + domain + _core.keccak256(encode(types, values)))
        return self.evm.accounts[who].sign_digest(digest)


def _domain(name: str, chain_id: int, address: str) -> bytes:
    kind = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
    hashes = (_core.keccak256(kind), _core.keccak256(name.encode()), _core.keccak256(b"1"))
    return _core.keccak256(encode(["bytes32"] * 3 + ["uint256", "address"], (*hashes, chain_id, address)))
