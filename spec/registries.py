"""What is said of agents: the rules of `ValidationRegistry`, `ClaimValidator` and `ReputationRegistry` in plain Python.

Invariant: an operation that raises `Refused` changes nothing; summaries are computed from all that was said, each time.
Source: ERC-8004; docs/agent-registries.md.
What it does not do: agents are numbers with an owner and operators; hashes are whatever the caller passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from spec.economy import demand

MAX_FILTER, MAX_TAG, MAX_URI, DECIMALS = 64, 64, 2_048, 18


@dataclass
class Request:
    """A request and its last answer, if there is one."""

    validator: str
    agent: int
    answer: int | None = None
    tag: str = ""


@dataclass
class Feedback:
    """What a client said once."""

    value: int
    decimals: int
    tag1: str
    tag2: str
    paid: bool = False
    revoked: bool = False
    responders: list[str] = field(default_factory=list)

    @property
    def worth(self) -> Fraction:
        """The value in whole units."""
        return Fraction(self.value, 10**self.decimals)


class Registries:
    """All agents, requests and feedback.

    Parameters
    ----------
    owners
        Owner of each agent.
    operators
        Who may act for each agent beside its owner.
    """

    def __init__(self, owners: dict[int, str], operators: dict[int, set[str]]) -> None:
        self.owners, self.operators = owners, operators
        self.requests: dict[bytes, Request] = {}
        self.said: dict[tuple[int, str], list[Feedback]] = {}
        self.spoken: set[bytes] = set()

    def _acts_for(self, who: str, agent: int) -> bool:
        demand(agent in self.owners, "UnknownAgent")
        return who == self.owners[agent] or who in self.operators[agent]

    # ---- validation

    def request(self, who: str, validator: str, agent: int, uri: str, request_hash: bytes) -> None:
        """Ask a validator about an agent's work."""
        demand(self._acts_for(who, agent), "NotAuthorised")
        demand(validator != "zero", "ZeroValidator")
        demand(any(request_hash), "ZeroRequest")
        demand(len(uri) <= MAX_URI, "TooLong")
        demand(request_hash not in self.requests, "AlreadyRequested")
        self.requests[request_hash] = Request(validator, agent)

    def respond(self, who: str, request_hash: bytes, answer: int, uri: str, tag: str) -> None:
        """Answer, or answer again."""
        demand(request_hash in self.requests, "UnknownRequest")
        it = self.requests[request_hash]
        demand(it.validator == who, "NotTheValidator")
        demand(answer <= 100, "BadResponse")
        demand(len(uri) <= MAX_URI and len(tag) <= MAX_TAG, "TooLong")
        it.answer, it.tag = answer, tag

    def validation_summary(self, agent: int, validators: list[str], tag: str) -> tuple[int, int]:
        """Count and mean, rounded down."""
        demand(len(validators) <= MAX_FILTER, "TooManyEntries")
        answers = [
            it.answer
            for it in self.requests.values()
            if it.agent == agent and it.answer is not None
            if (not validators or it.validator in validators) and tag in ("", it.tag)
        ]
        return len(answers), sum(answers) // len(answers) if answers else 0

    # ---- reputation

    def give(
        self, who: str, agent: int, value: int, decimals: int, tag1: str, tag2: str, *, paid: bool = False
    ) -> None:
        """Say something of an agent."""
        demand(not self._acts_for(who, agent), "OwnAgent")
        demand(decimals <= DECIMALS, "BadValue")
        demand(abs(value) * 10 ** (DECIMALS - decimals) < 1 << 127, "BadValue")
        demand(max(len(tag1), len(tag2)) <= MAX_TAG, "TooLong")
        self.said.setdefault((agent, who), []).append(Feedback(value, decimals, tag1, tag2, paid))

    def _at(self, agent: int, client: str, index: int) -> Feedback:
        listed = self.said.get((agent, client), [])
        demand(1 <= index <= len(listed), "NoSuchFeedback")
        return listed[index - 1]

    def revoke(self, who: str, agent: int, index: int) -> None:
        """Take back."""
        it = self._at(agent, who, index)
        demand(not it.revoked, "AlreadyRevoked")
        it.revoked = True

    def append_response(self, who: str, agent: int, client: str, index: int) -> None:
        """Answer feedback."""
        self._at(agent, client, index).responders.append(who)

    def summary(self, agent: int, clients: list[str], tag1: str, tag2: str, *, paid: bool = False) -> tuple[int, int]:
        """Count, and mean in units of 10^-18 rounded towards zero."""
        demand(clients != [], "NoClients")
        demand(len(clients) <= MAX_FILTER, "TooManyEntries")
        worths = [
            it.worth
            for client in set(clients)
            for it in self.said.get((agent, client), [])
            if not it.revoked and (it.paid or not paid) and tag1 in ("", it.tag1) and tag2 in ("", it.tag2)
        ]
        total = sum(worths, Fraction(0))
        return len(worths), int(total * 10**DECIMALS / len(worths)) if worths else 0

    def responses(self, agent: int, client: str, index: int, responders: list[str]) -> int:
        """How often these answered one feedback, or all of a client's (index 0)."""
        listed = self.said.get((agent, client), [])
        chosen = listed if index == 0 else listed[index - 1 : index]
        return sum(not responders or who in responders for it in chosen for who in it.responders)
