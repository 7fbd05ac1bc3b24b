"""What each way costs for one call of a program: both sides' time, bytes, gas and memory, on a chain of this process.

Invariant: every figure is of a proof of the same claim that its verifier accepted.
Source: docs/proofs.md, "What each way costs".
What it does not do: a way whose tool is not installed is left out and named; quotes are
made elsewhere, so none is timed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from interlace.chain import ETHER, Account, Chain
from interlace.chain.programs import register_program
from interlace.contracts import ADDRESSES
from interlace.errors import VerificationError, ZkError
from interlace.models import encode_tensor
from interlace.models.program import Program
from interlace.proofs import zk
from interlace.proofs.board import Board
from interlace.proofs.tiers.attested import QuorumProver, attest
from interlace.proofs.tiers.circuit import CircuitProver
from interlace.proofs.tiers.disputed import DisputeProver
from interlace.proofs.tiers.games import ON_CHAIN, largest_game, zk_gas
from interlace.proofs.tiers.measure import Measured, measure
from interlace.proofs.tiers.peak import peak_mb
from interlace.proofs.tiers.rerun import RerunProver
from interlace.proofs.tiers.summed import SummedProver
from interlace.proofs.tiers.values import Context, Cost, Job, Prover, QuorumPolicy, Way
from interlace.proofs.zk.driver import load
from interlace.records import Attestation, Claim, Domain

MEMBERS: Final = 3
"""Who is drawn for a quorum of the bench; two of them decide."""
ZK_WEIGHTS: Final = 10_000
"""Programs of more bytes of weights take ezkl minutes, and are left out."""
LEFT_OUT: Final = ((Way.TEE, "a quote is produced elsewhere; checking one takes no program"),)


@dataclass(frozen=True, slots=True)
class WayFigures:
    """One way for one program.

    Attributes
    ----------
    cost
        Medians of the rounds.
    chain_gas
        That a contract takes to decide it: the largest game of a dispute, or verifying a proof; None if no
        contract does, or its compiler is not there.
    peak_mb
        That the prover adds to a process that has run the program; None for a quorum, whose members are elsewhere.
    """

    way: Way
    cost: Cost
    chain_gas: int | None
    peak_mb: float | None


def job_of(program: Program, prover: str = ADDRESSES["Programs"], chain_id: int = 31337) -> Job:
    """Return the bench's call of a program: one input drawn from a fixed seed."""
    values = np.random.default_rng(1).integers(-128, 128, program.input_shape).astype(np.int8)
    return Job(program, bytes(32), encode_tensor(values), prover, 1, chain_id, ADDRESSES["Programs"])


def alone(way: Way, job: Job, folder: str = "", logrows: int = 0) -> Callable[[], object]:
    """Return the prover's work in a way, without a chain; a dispute's is the run with its trace."""
    if way is Way.DISPUTE:
        return lambda: job.program.core.trace(job.input)
    if way is Way.ZK:
        circuit = CircuitProver(zk.Key(folder, zk.development_srs(logrows)))
        return lambda: circuit.prove(job)
    if way in (Way.SUMCHECK, Way.SUMCHECK_PROGRAM):
        return lambda: SummedProver(job.program, succinct=way is Way.SUMCHECK).prove(job)
    return lambda: RerunProver().prove(job)


class Bench:
    """A chain, its accounts, and what is measured on it.

    Parameters
    ----------
    chain
        With the contracts of the economy.
    compiler
        The folder ``contracts`` of a checkout, whose compiler a verifier by ezkl needs; None leaves its gas out.
    """

    def __init__(self, chain: Chain, compiler: Path | None = None) -> None:
        self.chain, self.compiler, self.board = chain, compiler, Board(chain.client)
        self.node, self.doubter = chain.accounts[:2]
        for account in (self.node, self.doubter):
            self.board.credit.send(account, "deposit", value_wei=1_000 * ETHER)
        self.others: dict[str, Account] = {account.address: account for account in chain.accounts[2:]}
        domain = Domain(chain.client.chain_id, ADDRESSES["Settlement"])
        validators = [(address, 1) for address in sorted(self.others)]
        self.policy = QuorumPolicy(MEMBERS // 2 + 1, MEMBERS, bytes([7] * 32), 1, validators, domain)

    def _ask(self, job: Job, claim: Claim, member: str) -> tuple[Attestation, bytes]:
        return attest(job, claim, self.others[member], self.policy.domain, self.policy.round)

    def measure(self, name: str, program: Program, rounds: int, *, memory: bool = True) -> list[WayFigures]:
        """Measure every way that is there on one program.

        Parameters
        ----------
        name
            Of a model of `interlace.proofs.bench_proofs`, for the processes that measure memory.
        """
        job = job_of(program, self.node.address, self.chain.client.chain_id)
        summed = SummedProver(program), SummedProver(program, succinct=False)
        context = Context(
            chain_id=job.chain_id, registry=job.registry, program=program, sumcheck_key=summed[0].key,
            quorum=self.policy, chain=self.chain.client,
        )  # fmt: skip
        provers: list[Prover] = [
            RerunProver(),
            QuorumProver(self.policy, self._ask),
            DisputeProver(self.board, self.node),
            *summed,
        ]
        rows = []
        for prover in provers:
            made, cost = _median(prover, job, context, rounds)
            peak = None if not memory or prover.way is Way.QUORUM else peak_mb(name, prover.way)
            rows.append(WayFigures(prover.way, cost, self._decided(job, made), peak))
        return [*rows, *self._circuit(name, job, context, rounds, memory)]

    def _decided(self, job: Job, made: Measured) -> int | None:
        way = made.proof.way
        if way is Way.DISPUTE:
            register_program(self.chain.client, self.node, job.program.to_bytes())
            return largest_game(self.board, self.node, self.doubter, replace(job, nonce=1_000_000))
        if way in ON_CHAIN:
            return ON_CHAIN[way](self.chain.client, self.node, job, made.claim, made.proof)
        return None

    def _circuit(self, name: str, job: Job, context: Context, rounds: int, memory: bool) -> list[WayFigures]:
        if why_no_circuit(job.program):
            return []
        with tempfile.TemporaryDirectory() as folder:
            plan = zk.plan(job.program)
            key = zk.setup(plan, zk.development_srs(plan.logrows), Path(folder) / "key")
            made, cost = _median(CircuitProver(key), job, replace(context, zk_key=key), rounds)
            gas = None
            if self.compiler is not None:
                gas = zk_gas(self.chain.client, self.node, key, made.claim, made.proof, self.compiler)
            peak = peak_mb(name, Way.ZK, str(key.folder), plan.logrows) if memory else None
            return [WayFigures(Way.ZK, cost, gas, peak)]


def why_no_circuit(program: Program) -> str:
    """Return why the bench leaves ezkl out for a program; nothing if it does not."""
    if len(program.weights) > ZK_WEIGHTS:
        return f"more than {ZK_WEIGHTS:,} bytes of weights take ezkl minutes"
    try:
        zk.translate(program)
        load()
    except ZkError as error:
        return error.message
    return ""


def _median(prover: Prover, job: Job, context: Context, rounds: int) -> tuple[Measured, Cost]:
    """Return the first proof, and its cost with the medians of all rounds; a claim is put up once, so nonces differ."""
    made = [measure(prover, replace(job, nonce=job.nonce + turn), context) for turn in range(rounds)]
    for one in made:
        if not one.verdict.ok:
            raise VerificationError(
                "tier.no-measurement", f"a proof by {prover.way.label} does not hold: {one.verdict}"
            )
    costs = [one.verdict.cost for one in made]
    cost = replace(
        costs[0],
        verifier_ms=median(cost.verifier_ms for cost in costs),
        prover_ms=median(cost.prover_ms or 0.0 for cost in costs),
        prover_cpu_ms=median(cost.prover_cpu_ms or 0.0 for cost in costs),
        gas=int(median(cost.gas for cost in costs)),
    )
    return made[0], cost
