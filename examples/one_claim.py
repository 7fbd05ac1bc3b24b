"""One claim by every way, behind one interface: whom each trusts, what it costs, and what its node would ask for it."""

import base64
import os
import tempfile
from dataclasses import replace
from pathlib import Path

from sklearn.datasets import load_digits

from interlace.chain import ETHER, Chain
from interlace.chain.programs import register_program
from interlace.contracts import ADDRESSES, economy_deployments
from interlace.errors import ZkError
from interlace.models import encode_tensor
from interlace.models.train import train_classifier
from interlace.proofs import tiers, zk
from interlace.proofs.board import Board, Watcher
from interlace.proofs.tee import LABEL, Policy
from interlace.proofs.tiers import Terms, Way
from interlace.records import Domain

TRUST = {
    Way.RERUN: "nobody",
    Way.QUORUM: "two of the three who were drawn",
    Way.DISPUTE: "that one honest watcher looks in time",
    Way.SUMCHECK: "keccak256, and who made the key",
    Way.SUMCHECK_PROGRAM: "keccak256",
    Way.ZK: "ezkl, and who made its string",
}
# An example of what an operator pays: credit-wei for a second of a core, for gas, for a megabyte; 5 % a year for money.
PRICES = tiers.Prices(cpu_second_wei=10**13, gas_wei=10**9, megabyte_wei=10**11, capital_bp_per_year=500)

data = load_digits()
trained = train_classifier(data.data, data.target, "mlp", hidden=(64,))
program, image = trained.quantised.program, trained.quantised.prepare(data.data[:1])[0]

with tempfile.TemporaryDirectory() as keys, Chain(port=0, deployments=economy_deployments()) as chain:
    node, watcher, *rest = chain.accounts
    register_program(chain.client, node, program.to_bytes())
    chain_id, registry, by = chain.client.chain_id, ADDRESSES["Programs"], {a.address: a for a in rest}
    job = tiers.Job(program, os.urandom(32), encode_tensor(image), node.address, 1, chain_id, registry)

    # Two of three validators decide, drawn by a number that nobody chose; a chain takes it from its Beacon.
    domain, validators = Domain(chain_id, ADDRESSES["Settlement"]), [(address, 1) for address in sorted(by)]
    policy = tiers.QuorumPolicy(2, 3, bytes([7] * 32), 1, validators, domain)
    board = Board(chain.client)
    for account in (node, watcher):
        board.credit.send(account, "deposit", value_wei=10 * ETHER)
    summed = tiers.SummedProver(program)
    provers = [
        tiers.RerunProver(),
        tiers.QuorumProver(policy, lambda job, claim, who: tiers.attest(job, claim, by[who], domain, policy.round)),
        tiers.DisputeProver(board, node, "at the node"),
        summed,
        tiers.SummedProver(program, succinct=False),
    ]
    # What whoever checks knows by itself: nothing of it is taken from a proof.
    known = tiers.Context(
        chain_id, registry, program=program, sumcheck_key=summed.key, quorum=policy, quotes=Policy(), chain=chain.client
    )
    try:
        plan = zk.plan(program)
        key = zk.setup(plan, zk.development_srs(plan.logrows), Path(keys) / "key")
        provers.append(tiers.CircuitProver(key))
        known, without = replace(known, zk_key=key), ""
    except ZkError as error:
        without = f"zk: not here, {error.message}"

    made = {prover.way: tiers.measure(prover, job, known) for prover in provers}
    claims = {found.claim.encode() for found in made.values()}
    assert len(claims) == 1, "every way proves the same claim, byte for byte"
    assert all(found.verdict.ok for found in made.values())
    claim = made[Way.RERUN].claim
    print(f"claim 0x{claim.hash().hex()}: a digit, {len(program.weights):,} bytes of weights, {program.units:,} units")
    print(f"{'way':<17}{'whom you trust':<39}{'prover':>12}{'verifier':>12}{'bytes':>9}{'gas':>9}{'wei a unit':>20}")
    asked = {
        # Each member runs the program, as the node does.
        Way.QUORUM: Terms(members=policy.n),
        Way.DISPUTE: Terms(bond_wei=board.bond, bond_seconds=int(board.contract.call("windowSeconds"))),
    }
    for way, found in made.items():
        cost = found.verdict.cost
        ran = replace(made[Way.RERUN].verdict.cost, carried_bytes=cost.carried_bytes) if way is Way.QUORUM else cost
        price = tiers.quote(way, program, ran, PRICES, asked.get(way)).unit_price
        sides = f"{cost.prover_ms:>9.2f} ms{cost.verifier_ms:>9.2f} ms{cost.carried_bytes:>9,}"
        print(f"{way.label:<17}{TRUST[way]:<39}{sides}{cost.gas:>9,}{price:>20,}")
    print(without or "zk: ezkl is installed; its string here is for development")

    # A claim that was put up is open until its window is over. A watcher runs it again, and has nothing to challenge.
    guard = Watcher(board, watcher, {program.id: program.core}, lambda *_: (job.salt, job.input))
    assert guard.look() == []
    assert [check.name for check in made[Way.DISPUTE].verdict.unchecked] == ["tier.standing"]
    chain.client.increase_time(2 * int(board.contract.call("windowSeconds")))
    chain.client.mine()
    again = tiers.verifier_for("dispute").verify(claim, made[Way.DISPUTE].proof, known)
    assert again.complete
    print(f"dispute: nobody doubted it within {board.contract.call('windowSeconds'):,} seconds, so it stands")

    # Nobody here runs in an enclave. A quote that was recorded elsewhere is checked, and is about nothing of ours.
    recorded = Path(os.environ.get("INTERLACE_DATA", "")) / "tee" / "nitro_docs.b64"
    if recorded.is_file():
        quote = base64.b64decode(recorded.read_bytes())
        at_its_time = replace(known, now=1_695_049_411)
        verdict = tiers.measure(tiers.QuoteProver(lambda _: (quote, b"")), job, at_its_time).verdict
        names = ", ".join(check.name for check in verdict.failures)
        print(f"tee: {LABEL}, checked in {verdict.cost.verifier_ms:.1f} ms; for this claim it fails: {names}")
    else:
        print(f"tee: no quote is at hand; a {LABEL}, would be checked (docs/tee.md)")
