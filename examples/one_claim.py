"""One claim in four ways: run again, attested by a quorum, open to dispute, proved; whom each trusts, what it costs."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from interlace.chain import ETHER, Account, Chain
from interlace.chain.programs import register_program
from interlace.contracts import ADDRESSES, economy_deployments
from interlace.models import encode_tensor
from interlace.models.train import train_classifier
from interlace.proofs.board import POSTED, Board, Watcher
from interlace.proofs.quorum import members_of, quorum
from interlace.proofs.sumcheck import SumcheckProver
from interlace.records import Attestation, Claim, Domain, hash_input, hash_output

data = load_digits()
trained = train_classifier(data.data, data.target, "mlp", hidden=(64,))
program = trained.quantised.program
image = trained.quantised.prepare(data.data[:1])[0]
salt, sent = bytes(32), encode_tensor(image)


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result and the milliseconds it took."""
    start = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - start) * 1e3


def row(way: str, trusted: str, prover_ms: float, verifier_ms: float, carried: str) -> None:
    """Print what one way cost."""
    print(f"{way:<12}{trusted:<44}{prover_ms:>10.2f} ms{verifier_ms:>10.2f} ms  {carried}")


with Chain(port=0, deployments=economy_deployments()) as chain:
    node, watcher, *rest = chain.accounts
    output, native = timed(lambda: program.run_bytes(sent))
    claim = Claim(
        chain.client.chain_id, ADDRESSES["Programs"], program.id, program.semantics,
        hash_input(salt, sent), hash_output(output), node.address, 1,
    )  # fmt: skip
    print(f"claim 0x{claim.hash().hex()}: a digit, {len(program.weights):,} bytes of weights, {program.units:,} units")
    print(f"{'way':<12}{'whom you trust':<44}{'prover':>13}{'verifier':>13}  what is carried")

    again, spent = timed(lambda: program.run_bytes(sent))
    assert hash_output(again) == claim.output_hash
    row("run again", "nobody", native, spent, f"{len(program.to_bytes()):,} bytes of program, {len(sent)} of input")

    # Two of three validators, drawn by a number that nobody chose; a chain takes it from its Beacon.
    domain, seed, by = Domain(claim.chain_id, ADDRESSES["Settlement"]), bytes([7] * 32), {a.address: a for a in rest}
    validators = [(address, 1) for address in sorted(by)]

    def attested(validator: Account) -> tuple[Attestation, bytes]:
        """Run the program, and sign what came out."""
        record = Attestation(claim.hash(), hash_output(program.run_bytes(sent)), validator.address, 1)
        return record, record.sign(domain, validator)

    members = members_of(claim, 3, seed, validators)
    votes, signing = timed(lambda: [attested(by[member]) for member in members])
    decision, counting = timed(
        lambda: quorum(claim, 2, 3, seed, validators, votes, domain=domain, round_=1)
    )  # fmt: skip
    assert decision.outcome.value == "confirmed"
    row("quorum", "two of the three who were drawn", signing, counting, f"{65 * len(votes)} bytes of signatures")

    # The node puts the claim up with a bond; whoever has the program runs it again, and would challenge a lie.
    register_program(chain.client, node, program.to_bytes())
    board = Board(chain.client)
    for account in (node, watcher):
        board.credit.send(account, "deposit", value_wei=10 * ETHER)
    trace, tracing = timed(lambda: program.core.trace(sent))
    gas = board.post(node, claim, trace.root, "at the node").gas_used
    guard = Watcher(board, watcher, {program.id: program.core}, lambda *_: (salt, sent))
    doubted, looking = timed(guard.look)
    assert doubted == []
    assert board.outcome(claim.hash()) == POSTED
    row("dispute", "that one honest watcher looks in time", tracing, looking, f"{gas:,} gas to put it up")

    prover, committing = timed(lambda: SumcheckProver(program))
    for succinct, way, holder in ((True, "sumcheck", prover.key), (False, "sumcheck", program)):
        proof, proving = timed(
            lambda succinct=succinct: prover.prove(image[np.newaxis], context=claim.hash(), succinct=succinct)
        )
        _, verifying = timed(lambda proof=proof, holder=holder: proof.verify(holder))
        assert hash_output(output) == claim.output_hash
        assert output.endswith(proof.outputs)
        trusted = "keccak256, and who made the key" if succinct else "keccak256"
        row(way, trusted, proving, verifying, f"{len(proof.proof):,} bytes of proof")
    print(f"the key was made in {committing:.1f} ms, once for the program; it has {len(prover.key.data):,} bytes")
