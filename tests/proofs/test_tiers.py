"""Every way to prove one claim: the same claim, verdicts that hold, and nothing that was changed holds.

Invariant: whatever bytes a verifier is given, it answers with a verdict.
What it does not do: proofs by ezkl are made only where it is installed, as in test_zk.py.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from interlace.chain import ETHER, Chain
from interlace.contracts import economy_deployments
from interlace.errors import ChainError, InterlaceError
from interlace.models import decode_tensor
from interlace.proofs import Status, zk
from interlace.proofs.tiers import (
    MAX_PROOF_BYTES,
    CircuitProver,
    Context,
    Cost,
    Prices,
    Proof,
    QuorumProver,
    QuoteProver,
    SummedProver,
    Terms,
    TierVerdict,
    Way,
    checking,
    measure,
    quote,
    standing,
    verifier_for,
)
from interlace.proofs.tiers.values import malformed, pack, unpack
from interlace.records import Assurance, Claim, hash_input, hash_output
from tests.conftest import data_dir
from tests.proofs.test_zk import needs_ezkl
from tests.proofs.tier_world import SALT, World

WAYS = [way for way in Way if way is not Way.ZK]
each_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.label)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Chain(port=None, deployments=economy_deployments()) as chain:
        yield World(chain)


@contextmanager
def refused(code: str) -> Iterator[None]:
    with pytest.raises(InterlaceError) as caught:
        yield
    assert caught.value.code == code, caught.value


def check(
    world: World, way: Way, claim: Claim | None = None, body: bytes | None = None, **known: object
) -> TierVerdict:
    true, proof = world.proved[way]
    changed = proof if body is None else Proof(way, body)
    return verifier_for(way).verify(claim or true, changed, replace(world.context, **known))


def codes(verdict: TierVerdict) -> set[str]:
    return {check.code for check in verdict.failures}


def test_every_way_proves_the_same_claim(world: World) -> None:
    claims = {claim.encode() for claim, _ in world.proved.values()}
    assert len(claims) == 1
    for way in WAYS:
        verdict = check(world, way)
        assert verdict.ok, (way, str(verdict))
        assert verdict.assurance == (Assurance(way) if way < 16 else None)
        open_now = [left.code for left in verdict.unchecked]
        assert open_now == (["tier.standing"] if verdict.assurance else []), way
        assert verdict.cost.carried_bytes == len(world.proved[way][1].encode())
        assert verdict.cost.verifier_ms > 0
        offline = check(world, way, chain=None)
        assert offline.ok
        assert offline.complete is (way is not Way.DISPUTE)


def test_a_dispute_holds_when_its_window_is_over() -> None:
    with Chain(port=None, deployments=economy_deployments()) as chain:
        world, client, other = World(chain), chain.client, chain.accounts[1]
        claim, board = world.proved[Way.DISPUTE][0], world.board
        assert standing(client, Assurance.DISPUTE, claim.hash(), claim.prover) is checking.Standing.OPEN
        assert standing(client, Assurance.DISPUTE, bytes(32), claim.prover) is checking.Standing.NONE
        assert standing(client, Assurance.RECEIPT, claim.hash(), claim.prover) is None
        before = client.snapshot()
        client.increase_time(2 * board.contract.call("windowSeconds"))
        client.mine()
        assert check(world, Way.DISPUTE).complete
        client.revert(before)
        # Another claim is doubted, and its prover never answers: it fell, and the proof with it.
        claim, proof = world.provers[Way.DISPUTE].prove(replace(world.job, nonce=8))
        verifier = verifier_for(Way.DISPUTE)
        board.credit.send(other, "deposit", value_wei=20 * ETHER)
        board.challenge(other, claim.hash())
        assert [left.code for left in verifier.verify(claim, proof, world.context).unchecked] == ["tier.standing"]
        client.increase_time(2 * board.contract.call("windowSeconds"))
        client.mine()
        board.contract.send(other, "timeout", claim.hash())
        assert codes(verifier.verify(claim, proof, world.context)) == {"tier.standing"}


# ---- tampering


def places(body: bytes) -> list[int]:
    """Return bytes of every region of a body: its ends, and places drawn in between."""
    rng = random.Random(len(body))
    return sorted({*range(min(len(body), 12)), *rng.sample(range(len(body)), min(len(body), 48)), len(body) - 1})


@each_way
def test_no_changed_proof_holds(world: World, way: Way) -> None:
    body = world.proved[way][1].body
    assert check(world, way).ok
    for at in places(body):
        changed = bytearray(body)
        changed[at] ^= 1 << at % 8
        assert not check(world, way, body=bytes(changed)).ok, f"byte {at} of {way.label} may be changed"
    for other in (b"", body[:-1], body[: len(body) // 2], body + b"\0", body + body):
        assert not check(world, way, body=other).ok, f"{len(other)} of {len(body)} bytes hold"


@each_way
def test_no_proof_holds_for_another_claim(world: World, way: Way) -> None:
    claim = world.proved[way][0]
    for changed in (
        replace(claim, job_nonce=8),
        replace(claim, prover=world.chain.accounts[1].address),
        replace(claim, semantics=2),
        replace(claim, program_id=bytes(32)),
        replace(claim, output_hash=hash_output(b"other")),
        replace(claim, input_hash=hash_input(SALT, b"other")),
        replace(claim, chain_id=claim.chain_id + 1),
        replace(claim, registry=claim.prover),
    ):
        # Whoever runs the program again is told nothing by prover and nonce, which are no part of what it computes.
        free = way is Way.RERUN and changed.output_hash == claim.output_hash and changed.program_id == claim.program_id
        free = free and (changed.job_nonce, changed.prover) != (claim.job_nonce, claim.prover)
        assert check(world, way, changed).ok is free, changed
    assert codes(check(world, way, replace(claim, chain_id=1))) == {"verify.chain"}
    assert codes(check(world, way, replace(claim, registry=claim.prover))) == {"tier.registry"}


@each_way
def test_a_proof_of_another_way_or_program_does_not_hold(world: World, way: Way) -> None:
    claim, proof = world.proved[way]
    for other in WAYS:
        if other is not way:
            found = verifier_for(other).verify(claim, proof, world.context)
            assert codes(found) == {"tier.way"}
            assert not check(world, other, body=proof.body).ok
    job = world.other_job()
    known = {Way.RERUN: {"program": job.program}, Way.SUMCHECK_PROGRAM: {"program": job.program}}
    known[Way.SUMCHECK] = {"sumcheck_key": SummedProver(job.program).key}
    if way in known:
        assert "verify.program-id" in codes(check(world, way, **known[way]))
    if way in (Way.SUMCHECK, Way.SUMCHECK_PROGRAM):
        with refused("tier.other-program"):
            world.provers[way].prove(job)


@each_way
def test_bytes_of_strangers_never_raise(world: World, way: Way) -> None:
    rng = random.Random(way.value)
    true = world.proved[way][1].body
    for turn in range(60):
        parts = [rng.randbytes(rng.randrange(40)) for _ in range(rng.randrange(6))]
        cut = rng.randrange(len(true))
        body = rng.choice([rng.randbytes(rng.randrange(200)), pack(*parts), true[:cut] + rng.randbytes(9)])
        assert not check(world, way, body=body).ok, turn


def test_each_link_of_a_sumcheck_is_needed(world: World) -> None:
    """Proofs of what is not the claim, in which all but one check hold."""
    for way in (Way.SUMCHECK, Way.SUMCHECK_PROGRAM):
        claim, proof = world.proved[way]
        salt, data, output, made = unpack(proof.body, 4)
        assert codes(check(world, way, body=pack(bytes(32), data, output, made))) == {"verify.input-hash"}
        # The elements of the program's input under another header: another tensor, which the program refuses.
        other = data[:9] + bytes([data[9] + 1]) + data[10:]
        stated = replace(claim, input_hash=hash_input(salt, other))
        prover = world.provers[way].prover
        again = prover.prove(decode_tensor(data)[np.newaxis], context=stated.hash(), succinct=way is Way.SUMCHECK).proof
        assert codes(check(world, way, stated, pack(salt, other, output, again))) == {"tier.tensors"}
        # A true proof of the true output, bound to a claim that says something else.
        for changed, code in (
            (replace(claim, output_hash=hash_output(b"other")), "verify.output-hash"),
            (replace(claim, semantics=2), "verify.semantics"),
            (replace(claim, program_id=bytes(32)), "verify.program-id"),
        ):
            bound = prover.prove(decode_tensor(data)[np.newaxis], context=changed.hash(), succinct=way is Way.SUMCHECK)
            assert codes(check(world, way, changed, pack(salt, data, output, bound.proof))) == {code}
        longer = replace(claim, input_hash=hash_input(salt, data + data[10:]), output_hash=hash_output(output * 2))
        assert "tier.proof" in codes(check(world, way, longer, pack(salt, data + data[10:], output * 2, made)))


def test_a_quorum_carries_nothing_that_does_not_count(world: World) -> None:
    claim, proof = world.proved[Way.QUORUM]
    each = len(proof.body) // 3
    one, two, three = (proof.body[at : at + each] for at in range(0, 3 * each, each))
    assert check(world, Way.QUORUM, body=one + three).ok
    assert codes(check(world, Way.QUORUM, body=one)) == {"tier.quorum"}
    assert codes(check(world, Way.QUORUM, body=one + two + two)) == {"tier.attestations"}
    spoilt = two[:-1] + bytes([two[-1] ^ 1])
    assert codes(check(world, Way.QUORUM, body=one + spoilt + three)) == {"tier.attestations"}
    assert codes(check(world, Way.QUORUM, quorum=replace(world.policy, seed=b"short"))) == {"tier.quorum"}
    assert codes(check(world, Way.QUORUM, body=one * 1025)) == {"tier.format"}
    silent = QuorumProver(world.policy, lambda *_: None)
    with refused("tier.no-quorum"):
        silent.prove(world.job)
    assert "verify.chain" in codes(check(world, Way.QUORUM, replace(claim, chain_id=1), chain_id=None))


def test_a_recorded_quote_is_no_proof_of_the_claim(world: World) -> None:
    import base64

    recorded = base64.b64decode((data_dir("tee") / "nitro_docs.b64").read_bytes())
    prover = QuoteProver(lambda _: (recorded, b""))
    context = replace(
        world.context, quote_root=None, quotes=replace(world.context.quotes, accept=None), now=1_695_049_411
    )
    verdict = measure(prover, world.job, context).verdict
    assert "tee.claim" in codes(verdict)
    assert "tee.signature" not in codes(verdict)
    assert "tier.root" not in codes(verdict)
    # A root that is not the vendor's counts only where the context names it.
    assert "tier.root" in codes(check(world, Way.TEE, quote_root=None))


# ---- encoding


@each_way
def test_proofs_keep_their_bytes(world: World, way: Way) -> None:
    proof = world.proved[way][1]
    data = proof.encode()
    assert Proof.decode(data) == proof
    assert Proof.decode(data).encode() == data
    for at in range(10):
        for bit in range(8):
            changed = bytearray(data)
            changed[at] ^= 1 << bit
            if at == 5 and changed[at] in set(Way):
                assert Proof.decode(bytes(changed)) == Proof(Way(changed[at]), proof.body)
            else:
                with refused("tier.unknown" if at == 5 else "tier.malformed"):
                    Proof.decode(bytes(changed))


def test_bytes_that_are_no_proof() -> None:
    for data in (b"", b"ILPF", bytes(10), b"ILPF\x02\x10" + bytes(4), b"ILPF\x01\x10" + bytes(5)):
        with refused("tier.malformed"):
            Proof.decode(data)
    with refused("tier.malformed"):
        Proof.decode(b"ILPF" + bytes(MAX_PROOF_BYTES))
    for way in (99, "none", 2):
        with refused("tier.unknown"):
            verifier_for(way)
    assert unpack(pack(b"a", b"", b"bc"), 3) == [b"a", b"", b"bc"]
    assert malformed("x").hint
    assert {way.label for way in Way} == {verifier_for(way.label).way.label for way in Way}


# ---- what is missing


def test_what_a_verifier_needs_is_named(world: World) -> None:
    empty = Context()
    for way in WAYS:
        if way is not Way.DISPUTE:
            with refused("tier.context"):
                verifier_for(way).verify(*world.proved[way], empty)
    with refused("tier.context"):
        check(world, Way.TEE, now=None, chain=None)
    with refused("tier.context"):
        check(world, Way.RERUN, registry="0x12")
    assert {left.code for left in verifier_for(Way.DISPUTE).verify(*world.proved[Way.DISPUTE], empty).unchecked} == {
        "verify.chain", "tier.registry", "tier.posted", "tier.standing",
    }  # fmt: skip
    assert {check.status for check in check(world, Way.RERUN, chain_id=None).unchecked} == {Status.UNCHECKED}


def test_extras_that_are_not_installed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ezkl", None)
    claim = world.proved[Way.RERUN][0]
    with refused("zk.extra-missing"):
        verifier_for(Way.ZK).verify(claim, Proof(Way.ZK, b""), world.context)
    with refused("zk.extra-missing"):
        CircuitProver(None)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "dcap_qvl", None)
    intel = (data_dir("tee") / "sgx_quote").read_bytes()
    with refused("tee.extra-missing"):
        check(world, Way.TEE, body=pack(intel, b"{}"))


def test_a_contract_that_is_not_there_yet_is_not_asked(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(checking.CONTRACTS, Assurance.QUORUM)
    left = check(world, Way.QUORUM).unchecked
    assert [(found.code, found.detail) for found in left] == [("tier.standing", "no contract decides quorum yet")]
    monkeypatch.setitem(checking.CONTRACTS, Assurance.QUORUM, "Dispute")
    assert check(world, Way.QUORUM).unchecked[-1].detail == "Dispute says that it is open"
    monkeypatch.setitem(checking.ADDRESSES, "Dispute", "0x" + "77" * 20)
    with pytest.raises(ChainError):
        check(world, Way.QUORUM)


@needs_ezkl
def test_a_zero_knowledge_proof_of_the_same_claim(world: World, tmp_path: Path) -> None:
    plan = zk.plan(world.program)
    key = zk.setup(plan, zk.development_srs(plan.logrows), tmp_path / "key")
    context = replace(world.context, zk_key=key)
    made = measure(CircuitProver(key), world.job, context)
    assert made.claim == world.proved[Way.RERUN][0]
    assert made.verdict.ok
    assert made.verdict.cost.held_bytes > 0
    verifier, body = verifier_for(Way.ZK), made.proof.body
    for at in places(body):
        changed = bytearray(body)
        changed[at] ^= 1 << at % 8
        assert not verifier.verify(made.claim, Proof(Way.ZK, bytes(changed)), context).ok, at
    for claim in (replace(made.claim, job_nonce=8), replace(made.claim, semantics=2)):
        assert not verifier.verify(claim, made.proof, context).ok
    with refused("tier.context"):
        verifier.verify(made.claim, made.proof, world.context)
    with refused("tier.other-program"):
        CircuitProver(key).prove(world.other_job())


# ---- prices

PRICES = Prices(cpu_second_wei=10**18, gas_wei=10**9, megabyte_wei=10**15, capital_bp_per_year=500, margin_bp=1_000)


def test_a_price_covers_its_parts(world: World) -> None:
    cost = Cost(1.0, 250_000, 0, gas=120_000, prover_ms=3.0, prover_cpu_ms=2.0)
    terms = Terms(bond_wei=10**18, bond_seconds=3_153_600)
    found = quote("dispute", world.program, cost, PRICES, terms)
    # Two milliseconds of a credit a second; a tenth of a year at five hundredths of a bond of one.
    assert (found.cpu, found.gas, found.bytes, found.capital) == (2 * 10**15, 12 * 10**13, 25 * 10**13, 5 * 10**15)
    assert found.margin == (found.cpu + found.gas + found.bytes + found.capital) // 10
    assert found.call <= found.unit_price * found.units < found.call + found.units
    members = quote(Way.QUORUM, world.program, cost, PRICES, Terms(members=3, member_gas=50_000))
    assert (members.cpu, members.gas) == (4 * found.cpu, 27 * 10**13)
    assert quote(Way.RERUN, world.program, cost, Prices(0, 0)).unit_price == 0


def test_a_price_that_would_leave_something_out_is_refused(world: World) -> None:
    cost = Cost(1.0, 10, 0, gas=1, prover_ms=1.0, prover_cpu_ms=1.0)
    for way, known, terms in (
        ("rerun", replace(cost, prover_cpu_ms=None), None),
        ("dispute", replace(cost, gas=0), Terms(bond_wei=1, bond_seconds=1)),
        ("dispute", cost, Terms(bond_wei=1)),
        ("dispute", cost, None),
        ("quorum", cost, None),
    ):
        with refused("tier.no-cost"):
            quote(way, world.program, known, PRICES, terms)
    with refused("tier.unknown"):
        quote("audits", world.program, cost, PRICES)
    for field in fields(Prices):
        for value in (-1, 1.5, True, 1 << 128):
            with refused("tier.bad-prices"):
                replace(PRICES, **{field.name: value})
    with refused("tier.bad-prices"):
        Terms(members=-1)
    measured = measure(SummedProver(world.program), world.job, world.context).verdict.cost
    assert quote("sumcheck", world.program, measured, PRICES).cpu > 0
