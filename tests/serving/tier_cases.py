"""What the tests of tiers share: credits for bonds, time, and a node that lies."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random

from interlace.chain import ETHER, Account
from interlace.proofs.board import Board
from interlace.proofs.dispute import Defender
from interlace.records import hash_output, sign
from interlace.serving import DisputeWork, Journal, Service, Settler
from interlace.serving.tiers import Job, Means
from spec import tensor as spec
from spec.trace import Trace
from tests.proofs import sample
from tests.proofs.dispute_game import Liar

DEAR = {"dispute": 11}


def fund(world, *accounts: Account) -> None:
    """Give accounts credits for bonds."""
    for account in accounts:
        world.client.set_balance(account.address, 1_000 * ETHER)
        Board(world.client).credit.send(account, "deposit", value_wei=20 * ETHER)


def settler_of(world, service: Service, work: type[DisputeWork] = DisputeWork, **options) -> Settler:
    journal = Journal(service.journal.path, "settler")
    world.close.append(journal.close)
    where = options.pop("where", "")
    step = options.get("on_step", lambda _: None)
    means = Means(world.client, world.node.address, world.program.to_bytes(), world.node, where, step)
    works = {work.tier: work(means)}
    return Settler(journal, world.ledger, world.node.address, world.node, works=works, **options)


def serve(service: Service, calls) -> list:
    async def run() -> list:
        return [await service.call(call) for call in calls]

    return asyncio.run(run())


def dispute_call(world, payer: Account, nonce: int = 1, **more):
    """Return a call with an input of its own: a claim that an earlier test put up would stand already."""
    terms = {"assurance": 4, "unit_price": 11, "max_cost": 11 * world.program.units}
    return world.call(
        payer, nonce, **{"input_": sample.tensor([byte % 128 for byte in os.urandom(sample.INPUTS)]), **terms, **more}
    )


def forward(world, seconds: int) -> None:
    """Make a block whose time is `seconds` after the newest one's, and not much more."""
    target = world.ledger.now() + seconds
    while (now := world.ledger.now()) < target:
        world.client.increase_time(target - now)


def false_run(input_: bytes) -> Trace:
    """Return a trace of the sample program whose output, the largest score's place, is another."""
    written = spec.decode(sample.PROGRAM)
    values = [int.from_bytes(bytes([byte]), "little", signed=True) for byte in input_[-sample.INPUTS :]]
    true = Trace.of_run(written, values)
    results = list(true.values)
    last = results[-1]
    results[-1] = bytes([(last[0] + 1) % sample.CLASSES]) + last[1:]
    return Trace(written, results)


class LyingService(Service):
    """A service whose answers are others than its program's."""

    def _execute(self, call, digest):
        served = super()._execute(call, digest)
        trace = false_run(call.input)
        claim = dataclasses.replace(served.claim, output_hash=hash_output(trace.output))
        receipt = dataclasses.replace(served.receipt, claim_hash=claim.hash())
        signature = sign(receipt, self.offer.domain, self._key)
        return dataclasses.replace(
            served, claim=claim, receipt=receipt, receipt_signature=signature, output=trace.output
        )


class LyingWork(DisputeWork):
    """Puts false claims up and defends them as well as one can."""

    def defender(self, job: Job) -> Defender:
        parts = self.program.manifest, self.program.weights
        return Liar(job.claim, *parts, false_run(job.input), job.salt, job.input, rng=random.Random(1))
