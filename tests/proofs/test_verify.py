"""Prove, verify, tamper: honest receipts pass, every dishonest or damaged one fails with its own code."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace import records
from interlace.errors import VerificationError
from interlace.proofs import Artefact, Status, verify, verify_many
from tests.proofs import sample
from tests.proofs.sample import INPUT, NOW, PROGRAM, served

HONEST = served()
HASH = bytes(range(1, 33))


def failures(receipt, program=PROGRAM, **options) -> set[str]:
    return {check.code for check in verify(receipt, program, **options).failures}


def test_an_honest_receipt_passes_every_check_and_says_what_only_a_chain_knows() -> None:
    verdict = verify(HONEST.dumps(), PROGRAM)
    assert verdict.ok
    assert bool(verdict)
    assert [check.code for check in verdict.unchecked] == ["verify.receipt-key", "verify.registration"]
    assert not verdict.complete
    assert len({check.code for check in verdict.checks}) == len(verdict.checks) == 23
    assert all(check.name in str(verdict) for check in verdict.checks)
    verdict.raise_for_failure()
    assert verify(HONEST, PROGRAM, receipt_key=sample.HOT.address.lower()).checks[3].status is Status.PASSED


@pytest.mark.parametrize(
    ("receipt", "codes"),
    [
        (b"{}", {"verify.format"}),
        (served(payer=sample.NODE.address), {"verify.payer-signature"}),
        (dataclasses.replace(HONEST, voucher_signature=b"\1" * 200), {"verify.payer-signature"}),
        (dataclasses.replace(HONEST, receipt_key=sample.NODE.address), {"verify.receipt-signature"}),
        (served(receipt={"voucher_hash": HASH}), {"verify.voucher-hash"}),
        (served(receipt={"claim_hash": HASH}), {"verify.claim-hash"}),
        (served(claim={"chain_id": 1}), {"verify.chain"}),
        (served(voucher={"program_id": HASH}), {"verify.program-link"}),
        (served(voucher={"request_hash": HASH}, claim={"input_hash": records.hash_input(HASH, INPUT)}),
         {"verify.request-link", "verify.input-hash"}),
        (served(claim={"prover": sample.PAYER.address}), {"verify.prover-link"}),
        (served(claim={"job_nonce": 2}), {"verify.nonce-link"}),
        (served(receipt={"cost": 1}), {"verify.cost"}),
        (served(voucher={"max_cost": 5}), {"verify.max-cost"}),
        (served(receipt={"served_at": NOW + 61}), {"verify.deadline"}),
        (served(receipt={"units": 1, "cost": 7}), {"verify.units"}),
        (served(claim={"semantics": 2}), {"verify.semantics"}),
        (dataclasses.replace(HONEST, salt=HASH[::-1]), {"verify.input-hash"}),
        (dataclasses.replace(HONEST, output=sample.tensor([0], 2)), {"verify.output-hash"}),
        (served(output=sample.tensor([9], 2)), {"verify.execution"}),
        (served(output=b"not a tensor"), {"verify.execution"}),
    ],
)  # fmt: skip
def test_each_lie_has_its_own_code(receipt, codes) -> None:
    assert failures(receipt) == codes


def test_an_input_that_the_program_refuses_fails_execution() -> None:
    assert failures(served(input_=sample.tensor([1, 2, 3]), output=b"")) == {"verify.execution"}


def test_another_program_is_refused_by_id_and_damaged_weights_by_their_root() -> None:
    assert failures(HONEST, sample.program_bytes(seed=2)) == {"verify.program-id"}
    assert failures(HONEST, b"") == {"verify.program-id"}
    assert failures(HONEST, PROGRAM[:-1] + bytes([PROGRAM[-1] ^ 1])) == {"verify.weights"}
    assert failures(HONEST, PROGRAM + b"\0") == {"verify.program-id"}
    bad = b"not a program at all"
    lying = dataclasses.replace(HONEST, claim=dataclasses.replace(HONEST.claim, program_id=Artefact(bad).program_id))
    assert "verify.program-format" in failures(lying, bad)


def test_a_pinned_key_that_differs_is_refused() -> None:
    assert failures(HONEST, receipt_key=sample.NODE.address) == {"verify.receipt-key"}


def test_a_contract_payer_is_said_to_need_a_chain() -> None:
    contract = served(payer=sample.SETTLEMENT)
    (failure,) = verify(contract, PROGRAM).failures
    assert failure.code == "verify.payer-signature"
    assert "only a chain can tell" in failure.detail


def test_raise_for_failure_raises_the_first_and_names_all() -> None:
    with pytest.raises(VerificationError) as caught:
        verify(served(receipt={"cost": 1, "units": 1}), PROGRAM).raise_for_failure()
    assert caught.value.code == "verify.cost"
    assert caught.value.data == ["verify.cost", "verify.units"]


def test_a_batch_gives_the_verdicts_of_its_parts() -> None:
    other = sample.program_bytes(seed=2)
    receipts = [served(nonce=nonce, input_=sample.tensor([nonce] * 16)) for nonce in range(1, 20)]
    receipts += [served(other), served(receipt={"cost": 1}), b"broken"]
    verdicts = verify_many(receipts, [PROGRAM, Artefact(other)])
    assert verdicts == [verify(receipt, other if receipt == receipts[19] else PROGRAM) for receipt in receipts]
    assert [verdict.ok for verdict in verdicts] == [True] * 20 + [False] * 2
    assert verify_many([], [PROGRAM]) == []


def leaves(value, path=()):
    """Yield (path, text) of every scalar of a JSON document."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from leaves(member, (*path, name))
    else:
        yield path, value


PLACES = list(leaves(HONEST.to_json()))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(place[0]))
def test_one_flipped_bit_in_any_member_is_refused(place) -> None:
    path, text = place
    for position in {0, len(text) // 2, len(text) - 1}:
        for bit in range(8):
            changed = chr(ord(text[position]) ^ (1 << bit))
            document = json.loads(HONEST.dumps())
            inner = document
            for name in path[:-1]:
                inner = inner[name]
            inner[path[-1]] = text[:position] + changed + text[position + 1 :]
            assert not verify(json.dumps(document), PROGRAM).ok, (path, position, bit)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 8 * (len(HONEST.dumps()) - 1) - 1))
def test_one_flipped_bit_in_the_file_is_refused(bit) -> None:
    damaged = bytearray(HONEST.dumps())
    damaged[bit // 8] ^= 1 << bit % 8
    assert not verify(bytes(damaged), PROGRAM).ok


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 8 * len(PROGRAM) - 1))
def test_one_flipped_bit_in_the_program_is_refused(bit) -> None:
    damaged = bytearray(PROGRAM)
    damaged[bit // 8] ^= 1 << bit % 8
    assert not verify(HONEST, bytes(damaged)).ok


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_bytes_get_a_verdict(receipt, program) -> None:
    assert not verify(receipt, program).ok
    assert not verify(HONEST, PROGRAM[:60] + program).ok
