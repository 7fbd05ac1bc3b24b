"""Three people and two agents own a model together and change its price by vote; the next call costs the new price."""

from sklearn.datasets import load_wine

import interlace
from interlace.governance import SetPrice, SetShares

with interlace.devnet() as net:
    ana, ben, cleo, scout, judge, bob = net.accounts("ana", "ben", "cleo", "scout", "judge", "bob")
    agents = {agent: (interlace.register_agent(agent, f"agent:{agent.name}"), 50) for agent in (scout, judge)}
    org = interlace.org(net, "wine readers", people={ana: 40, ben: 30, cleo: 20}, agents=agents)
    for party in (ana, ben, cleo, scout, judge):
        print(f"{party.name:5} has {org.votes(party.address)} votes")

    # The organisation takes over the model: its class, and the token that earns for it.
    wines = ana.anchor(load_wine(), name="wines", licence="CC-BY-4.0")
    model = ana.publish(ana.train(wines, kind="logistic"))
    org.take(model.class_id, model.token().token_id, by=ana)

    def decide(effects: list, description: str) -> None:
        """Propose, vote, queue and execute; a developer chain's clock is moved instead of waited for."""
        proposal = org.propose(effects, description, by=ana)
        net.pass_time(org.seconds_until(proposal, "voting"))
        org.vote(proposal, ana, "for")
        org.vote(proposal, ben, {"for": 20, "against": 10})
        ballot = org.sign(proposal, judge, "for")  # an agent signs, anyone sends
        org.cast(ballot, by=bob)
        print(description, org.tally(proposal))
        net.pass_time(org.seconds_until(proposal, "end"))
        org.queue(proposal, by=bob)
        net.pass_time(org.seconds_until(proposal, "execution"))
        org.execute(proposal, by=bob)

    unit = interlace.parse_amount("0.000001")
    shares = SetShares.of(model.class_id, {ana.address: 5_000, ben.address: 3_000, judge.address: 2_000})
    decide([SetPrice(model.class_id, unit), shares], "a price, and who earns")

    effects = [SetPrice(model.class_id, 3 * unit)]
    print(org.dry_run(effects))
    decide(effects, "three times the price")

    # Whoever serves the model reads the price that was voted.
    with ana.serve(model, price=interlace.Price(org.price(class_id=model.class_id), "unit")) as service:
        answer = bob.ask(service, model.held_back[0], budget="1")
        assert service.settle().done
    assert answer.cost == 3 * unit * model.program.units
    print(f"a call of {model.program.units} units costs {answer.cost}")

    earned = org.collect(model.token().token_id, by=bob)
    claims = {party.name: org.claim(party) for party in (ana, ben, judge)}
    assert sum(claims.values()) == earned
    print(", ".join(f"{name} {interlace.Credits(claim)}" for name, claim in claims.items()))
    print(f"{len(org.history().changes)} changes of policy, replayed from events")
