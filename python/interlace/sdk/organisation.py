"""`interlace.org` and the identities of agents: organisations as a Python developer types them.

Invariant: what is founded here is what `interlace.governance` founds, with the names of people instead of addresses.
Source: docs/organisations.md.
What it does not do: it decides nothing by itself; on a chain that is not a developer's, terms are to be given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from interlace.errors import UsageError
from interlace.governance import Organisation, Seat, Terms

if TYPE_CHECKING:
    from .network import Network
    from .party import Party


def register_agent(party: Party, uri: str = "") -> int:
    """Make an ERC-8004 identity that `party` owns and acts for, and return its number.

    Parameters
    ----------
    uri
        Where the file that describes the agent lies.
    """
    agents = party.net.contract("Agents")
    receipt = agents.send(party.account, "register(string)", uri)
    return next(int(event.args["agentId"]) for event in agents.events(receipt) if event.name == "Registered")


def org(
    net: Network,
    which: int | str,
    *,
    people: Mapping[Party, int] | None = None,
    agents: Mapping[Party, tuple[int, int]] | None = None,
    terms: Terms | None = None,
) -> Organisation:
    """Found an organisation, or open one that exists.

    Parameters
    ----------
    which
        The name of the new one; without `people`, the number or address of one that exists.
    people
        Votes of each founding person; the first of them sends the transaction.
    agents
        Identity (of `register_agent`) and votes of each founding agent.
    terms
        How it votes; on a developer chain quick ones with the chain's validators as its council, when absent.

    Raises
    ------
    OrganisationError
        ``org.unknown``, ``org.bad-terms``.
    UsageError
        ``sdk.not-a-devnet`` when terms are absent elsewhere; ``sdk.no-people`` for agents without people.
    ChainError
        ``chain.reverted`` with the contract's reason.

    Examples
    --------
    >>> readers = org(net, "readers", people={ana: 30, ben: 20})  # doctest: +SKIP
    """
    if people is None and agents is None:
        return Organisation.at(net.client, which)
    if not people or not isinstance(which, str):
        raise UsageError("sdk.no-people", "an organisation has a name and at least one person", hint="people={ana: 1}")
    if terms is None:
        terms = Terms.development(tuple(validator.address for validator in net.validators), 2)
    seats = [Seat(party.address, weight) for party, weight in people.items()]
    seats += [Seat(party.address, weight, agent_id) for party, (agent_id, weight) in (agents or {}).items()]
    return Organisation.found(net.client, next(iter(people)), which, seats, terms)
