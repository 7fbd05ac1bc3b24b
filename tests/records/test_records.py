"""The records' hashes against eth-account's, their JSON and ABI words in both directions, and what they refuse."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlace import _core, records
from interlace.chain import Account
from interlace.errors import RecordError
from interlace.records import Claim, Domain, MerkleTree, Receipt, ReceiptFile, Voucher
from spec import records as spec
from tests.records import make_vectors

VECTORS = json.loads(make_vectors.PATH.read_text())
CASES = VECTORS["cases"]
KINDS = {"voucher": Voucher, "claim": Claim, "receipt": Receipt}


def unhex(text: str) -> bytes:
    return bytes.fromhex(text[2:])


def domain_of(case: dict[str, str]) -> Domain:
    return Domain(int(case["chain_id"]), case["settlement"])


def sample_file() -> ReceiptFile:
    case = CASES[5]
    voucher, claim, receipt = (kind.from_json(case[name]) for name, kind in KINDS.items())
    key = Account.from_mnemonic(1)
    return ReceiptFile(
        domain=domain_of(case),
        voucher=voucher,
        voucher_signature=records.sign(voucher, domain_of(case), Account.from_mnemonic(0)),
        claim=claim,
        receipt=receipt,
        receipt_signature=records.sign(receipt, domain_of(case), key),
        receipt_key=key.address,
        salt=bytes(range(32)),
        input=b"ILTV input",
        output=b"",
    )


SAMPLE = sample_file()


def test_the_pinned_vectors_are_what_the_oracle_says() -> None:
    assert make_vectors.text() == make_vectors.PATH.read_text()


@pytest.mark.parametrize("case", CASES)
def test_hashes_equal_the_vectors(case) -> None:
    domain = domain_of(case)
    voucher, claim, receipt = (kind.from_json(case[name]) for name, kind in KINDS.items())
    assert voucher.digest(domain) == unhex(case["voucher_digest"])
    assert claim.hash() == unhex(case["claim_hash"])
    assert receipt.digest(domain) == unhex(case["receipt_digest"])
    assert records.settlement_leaf(voucher.digest(domain), receipt.digest(domain)) == unhex(case["leaf"])
    for name, record in (("voucher", voucher), ("claim", claim), ("receipt", receipt)):
        assert record.to_json() == case[name]
        assert type(record).decode(record.encode()) == record


def test_batches_equal_single_calls() -> None:
    domain = domain_of(CASES[0])
    vouchers = [Voucher.from_json(case["voucher"]) for case in CASES]
    packed = b"".join(voucher.encode() for voucher in vouchers)
    expected = b"".join(voucher.digest(domain) for voucher in vouchers)
    assert _core.voucher_digests(packed, domain.chain_id, domain.settlement_bytes) == expected


@pytest.mark.parametrize("case", CASES[:3])
def test_signatures_are_those_of_eth_account(case) -> None:
    account, domain = Account.from_mnemonic(3), domain_of(case)
    voucher = Voucher.from_json(case["voucher"])
    signature = records.sign(voucher, domain, account)
    from eth_account import Account as EthAccount

    other = EthAccount.from_key(account.key).unsafe_sign_hash(
        spec.digest("Voucher", spec.VOUCHER, case["voucher"], domain.chain_id, domain.settlement)
    )
    assert bytes(other.signature) == signature
    assert records.recover(voucher.digest(domain), signature) == account.address


def test_a_second_signature_for_the_same_digest_is_refused() -> None:
    # secp256k1 is symmetric: (r, n - s, flipped v) recovers to the same key. Only the low s is a signature here.
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    digest, good = SAMPLE.voucher.digest(SAMPLE.domain), SAMPLE.voucher_signature
    high = good[:32] + (order - int.from_bytes(good[32:64], "big")).to_bytes(32, "big") + bytes([55 - good[64]])
    for bad in (high, good[:64] + bytes([good[64] - 27]), good[:64], b"", bytes(65), good + b"\0"):
        with pytest.raises(RecordError) as caught:
            records.recover(digest, bad)
        assert caught.value.code == "record.signature"
    assert records.recover_many([digest, digest], [good, high]) == [Account.from_mnemonic(0).address, None]


def test_merkle_tree_against_the_oracle() -> None:
    leaves = [unhex(case["leaf"]) for case in CASES]
    for count in range(1, len(leaves) + 1):
        tree = MerkleTree(leaves[:count])
        assert len(tree) == count
        assert tree.root == unhex(VECTORS["roots_of_first_n_leaves"][count - 1]) == spec.root(leaves[:count])
        for index in range(count):
            assert records.proof_holds(leaves[index], tree.proof(index), tree.root)
            assert not records.proof_holds(leaves[index - 1], tree.proof(index), tree.root) or count == 1


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: MerkleTree([]), "record.no-leaves"),
        (lambda: MerkleTree([b"short"]), "record.length"),
        (lambda: MerkleTree([bytes(32)]).proof(1), "record.range"),
        (lambda: Domain(1 << 64, make_vectors.SETTLEMENT), "record.range"),
        (lambda: Domain(True, make_vectors.SETTLEMENT), "record.type"),
        (lambda: Domain(1, "0x1234"), "record.address"),
        (lambda: Domain(1, "1ace000000000000000000000000000000000007"), "record.address"),
        (lambda: Domain(1, "0x1Ace000000000000000000000000000000000007"), "record.address"),
        (lambda: dataclasses.replace(SAMPLE.voucher, nonce=-1), "record.range"),
        (lambda: dataclasses.replace(SAMPLE.voucher, nonce=1 << 64), "record.range"),
        (lambda: dataclasses.replace(SAMPLE.voucher, assurance=256), "record.range"),
        (lambda: dataclasses.replace(SAMPLE.voucher, max_cost=1 << 256), "record.range"),
        (lambda: dataclasses.replace(SAMPLE.voucher, max_cost=1.0), "record.type"),
        (lambda: dataclasses.replace(SAMPLE.voucher, program_id=bytes(31)), "record.length"),
        (lambda: dataclasses.replace(SAMPLE.voucher, program_id="0x" + "00" * 32), "record.type"),
        (lambda: dataclasses.replace(SAMPLE.voucher, payer=7), "record.type"),
        (lambda: dataclasses.replace(SAMPLE.claim, semantics=1 << 16), "record.range"),
        (lambda: dataclasses.replace(SAMPLE, salt=b""), "record.length"),
        (lambda: dataclasses.replace(SAMPLE, voucher_signature=b""), "record.length"),
        (lambda: Voucher.decode(bytes(351)), "record.length"),
        (lambda: Voucher.decode(b"\1" + bytes(351)), "record.range"),
        (lambda: records.hash_input(bytes(31), b""), "record.length"),
        (lambda: _core.voucher_digests(bytes(353), 1, bytes(20)), "record.length"),
        (lambda: _core.voucher_digests(b"\1" + bytes(351), 1, bytes(20)), "record.range"),
        (lambda: _core.receipt_digests(bytes(160), 1, bytes(19)), "record.length"),
        (lambda: _core.claim_hashes(bytes(1)), "record.length"),
        (lambda: _core.settlement_leaves(bytes(32)), "record.length"),
        (lambda: _core.settlement_leaves(bytes(33)), "record.length"),
        (lambda: _core.merkle_tree(b""), "record.no-leaves"),
    ],
)
def test_bad_values_are_refused_by_code(call, code) -> None:
    with pytest.raises(RecordError) as caught:
        call()
    assert caught.value.code == code


def test_a_receipt_file_survives_its_bytes() -> None:
    assert ReceiptFile.loads(SAMPLE.dumps()) == SAMPLE
    assert ReceiptFile.loads(json.dumps(SAMPLE.to_json(), indent=2, sort_keys=True)) == SAMPLE


def changed(**members) -> bytes:
    return json.dumps({**SAMPLE.to_json(), **members}).encode()


def voucher_with(**members) -> bytes:
    return changed(voucher={**SAMPLE.voucher.to_json(), **members})


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "record.bad-json"),
        (b"\xff\xfe", "record.bad-json"),
        (b"[" * 100_000, "record.bad-json"),
        (b'{"a":' * 100_000, "record.bad-json"),
        (b'"\\' * 100_000, "record.bad-json"),
        (b"1" * 10_000, "record.bad-json"),
        (b"[]", "record.bad-json"),
        (b"{}", "record.format"),
        (changed(format="interlace.receipt.v2"), "record.format"),
        (changed(extra="1"), "record.fields"),
        (changed().replace(b'"salt"', b'"pepper"'), "record.fields"),
        (changed().replace(b'"salt"', b'"input"'), "record.fields"),
        (changed(chain_id=31337), "record.bad-json"),
        (changed(chain_id="031337"), "record.bad-json"),
        (changed(chain_id="+1"), "record.bad-json"),
        (changed(chain_id="٣"), "record.bad-json"),
        (changed(chain_id=str(1 << 64)), "record.range"),
        (changed(settlement=make_vectors.SETTLEMENT.upper()), "record.bad-json"),
        (changed(settlement="0x12"), "record.length"),
        (changed(input="AB=="), "record.bad-json"),
        (changed(input="AA"), "record.bad-json"),
        (changed(input="A A="), "record.bad-json"),
        (changed(output=None), "record.bad-json"),
        (changed(voucher_signature="0x" + "00" * 5000), "record.length"),
        (changed(receipt_signature="0x00"), "record.length"),
        (changed(voucher="x"), "record.bad-json"),
        (voucher_with(assurance="256"), "record.range"),
        (voucher_with(nonce=float("nan")), "record.bad-json"),
        (voucher_with(payer="0x" + "AB" * 20), "record.bad-json"),
        (voucher_with(surplus="0"), "record.fields"),
    ],
)
def test_bad_receipt_files_are_refused_by_code(data, code) -> None:
    with pytest.raises(RecordError) as caught:
        ReceiptFile.loads(data)
    assert caught.value.code == code


def test_an_oversize_receipt_file_is_refused_before_it_is_parsed(monkeypatch) -> None:
    monkeypatch.setattr("interlace.records.file.MAX_FILE_BYTES", 100)
    with pytest.raises(RecordError) as caught:
        ReceiptFile.loads(SAMPLE.dumps())
    assert caught.value.code == "record.too-large"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_decoders_raise_nothing_but_record_errors(data) -> None:
    for decode in (ReceiptFile.loads, Voucher.decode, Claim.decode, Receipt.decode):
        with contextlib.suppress(RecordError):
            decode(data)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(SAMPLE.to_json())), JSON, st.sampled_from([None, *sorted(SAMPLE.voucher.to_json())]))
def test_any_member_replaced_by_any_json_is_a_record_error_or_the_same_value(member, value, inner) -> None:
    document = SAMPLE.to_json()
    if member == "voucher" and inner:
        value = {**SAMPLE.voucher.to_json(), inner: value}
    document[member] = value
    with contextlib.suppress(RecordError):
        assert ReceiptFile.from_json(document).to_json() == document


def test_one_changed_byte_of_the_file_is_refused_or_changes_the_records() -> None:
    good, rng = SAMPLE.dumps(), random.Random(7)
    for _ in range(2000):
        position, bit = rng.randrange(len(good) - 1), 1 << rng.randrange(8)
        bad = bytearray(good)
        bad[position] ^= bit
        try:
            assert ReceiptFile.loads(bytes(bad)) != SAMPLE
        except RecordError:
            continue


def test_the_worked_vector_of_the_docs_is_a_pinned_one() -> None:
    text = (Path(__file__).parents[2] / "docs/records.md").read_text()
    for name in ("voucher_digest", "claim_hash", "receipt_digest", "leaf"):
        assert CASES[4][name] in text
