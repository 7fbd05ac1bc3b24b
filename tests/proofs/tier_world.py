"""One job and its provers of every way, on a chain with the contracts, for the tests of the tiers.

Invariant: everything is made by the package itself but for the quote, which a test's root signs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from interlace.chain import ETHER, Account, Chain
from interlace.contracts import ADDRESSES
from interlace.models import encode_tensor
from interlace.models.program import Program
from interlace.proofs.bench_proofs import dense
from interlace.proofs.board import Board
from interlace.proofs.tee import Accepted, Policy
from interlace.proofs.tiers import (
    Context,
    DisputeProver,
    Job,
    Proof,
    Prover,
    QuorumPolicy,
    QuorumProver,
    QuoteProver,
    RerunProver,
    SummedProver,
    Way,
    attest,
)
from interlace.records import Attestation, Claim, Domain
from tests.proofs import nitro_maker

SALT = bytes(range(32))


@dataclass
class World:
    """A chain, and a program that every way covers."""

    chain: Chain

    @cached_property
    def program(self) -> Program:
        return dense((16, 12, 4))

    @cached_property
    def job(self) -> Job:
        values = np.random.default_rng(3).integers(-128, 128, 16).astype(np.int8)
        chain_id, registry = self.chain.client.chain_id, ADDRESSES["Programs"]
        return Job(self.program, SALT, encode_tensor(values), self.chain.accounts[0].address, 7, chain_id, registry)

    @cached_property
    def policy(self) -> QuorumPolicy:
        domain = Domain(self.chain.client.chain_id, ADDRESSES["Settlement"])
        validators = [(address, 1) for address in sorted(self.validators)]
        return QuorumPolicy(2, 3, bytes([9] * 32), 5, validators, domain)

    @property
    def validators(self) -> dict[str, Account]:
        return {account.address: account for account in self.chain.accounts[2:7]}

    def ask(self, job: Job, claim: Claim, member: str) -> tuple[Attestation, bytes]:
        return attest(job, claim, self.validators[member], self.policy.domain, self.policy.round)

    @cached_property
    def board(self) -> Board:
        board = Board(self.chain.client)
        board.credit.send(self.chain.accounts[0], "deposit", value_wei=20 * ETHER)
        return board

    @cached_property
    def provers(self) -> dict[Way, Prover]:
        made: list[Prover] = [
            RerunProver(),
            QuorumProver(self.policy, self.ask),
            DisputeProver(self.board, self.chain.accounts[0], "at the node"),
            SummedProver(self.program),
            SummedProver(self.program, succinct=False),
            QuoteProver(lambda report_data: (nitro_maker.document(report_data), b"")),
        ]
        return {prover.way: prover for prover in made}

    @cached_property
    def context(self) -> Context:
        accepted = Accepted("nitro", {"pcr0": nitro_maker.pcrs()[0]})
        summed = self.provers[Way.SUMCHECK]
        assert isinstance(summed, SummedProver)
        return Context(
            chain_id=self.job.chain_id,
            registry=self.job.registry,
            program=self.program,
            sumcheck_key=summed.key,
            quorum=self.policy,
            quotes=Policy((accepted,)),
            quote_root=nitro_maker.root_der(),
            now=nitro_maker.NOW,
            chain=self.chain.client,
        )

    @cached_property
    def proved(self) -> dict[Way, tuple[Claim, Proof]]:
        return {way: prover.prove(self.job) for way, prover in self.provers.items()}

    def other_job(self) -> Job:
        """Return the same call of another program of the same shape."""
        return replace(self.job, program=dense((16, 12, 4), seed=1))
