"""The way of a paid call, with everything real: ask, verify, settle, and the money arrives."""

from __future__ import annotations

import numpy as np

from interlace.proofs import verify, verify_many
from interlace.serving import Journal, Settler
from tests.proofs import sample


def test_asked_verified_settled_and_paid(world) -> None:
    server = world.server()
    client = world.buyer(server.url, ledger=world.ledger, store=world.folder / "receipts")
    rng = np.random.default_rng(5)
    inputs = [rng.integers(-128, 128, sample.INPUTS, dtype=np.int8) for _ in range(20)]
    replies = [client.ask(inputs[0]), *client.ask_many(inputs[1:])]
    for value, reply in zip(inputs, replies, strict=True):
        assert np.array_equal(reply.output, world.program.run(value))
        assert reply.text == ["north", "east", "south", "west"][int(reply.output[0])]
        assert reply.cost == world.program.units * 7
    cost = sum(reply.cost for reply in replies)
    assert client.budget.spent == cost
    assert client.budget.promised == 0

    files = [path.read_bytes() for path in sorted((world.folder / "receipts").iterdir())]
    assert len(files) == 20
    assert all(verdict.ok for verdict in verify_many(files, [world.program.to_bytes()]))
    assert verify(files[0], world.program.to_bytes(), onchain=world.ledger).complete

    escrow = world.ledger.payer(client.account.address).escrow
    settler = Settler(Journal(server.service.journal.path, "settler"), world.ledger, world.node.address, world.node)
    router = world.contract("FeeRouter")
    before = router.call("claimable", world.node.address)
    progress = settler.run_once()
    assert (progress.opened, progress.waiting, progress.failed, progress.done) == (20, 0, 0, True)
    assert world.ledger.payer(client.account.address).escrow == escrow - cost
    # The node has half, and what the divisions of the other parts left over.
    assert 0 <= router.call("claimable", world.node.address) - before - cost // 2 < 6
    again = settler.run_once()
    assert (again.opened, again.released) == (0, 0)
    assert world.ledger.payer(client.account.address).escrow == escrow - cost
