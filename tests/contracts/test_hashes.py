"""Solidity's hashes of the records are those of the pinned vectors, of eth-account and of `interlace.records`.

Invariant: the same records in three languages have the same hashes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlace.contracts import ADDRESSES
from spec import records as spec

if TYPE_CHECKING:
    from tests.contracts.evm import Evm

VECTORS = json.loads((Path(__file__).parents[1] / "records/vectors.json").read_text())["cases"]


def abi(record: dict[str, str], fields: spec.Fields) -> tuple[Any, ...]:
    """Return a record in canonical JSON as the values of its struct."""
    values: list[Any] = []
    for name, kind in fields:
        text = record[name]
        values.append(int(text) if kind.startswith("uint") else bytes.fromhex(text[2:]) if kind == "bytes32" else text)
    return tuple(values)


def test_hashes_equal_the_vectors(evm: Evm) -> None:
    pinned = 0
    for case in VECTORS:
        claim, leaf = abi(case["claim"], spec.CLAIM), case["leaf"]
        assert "0x" + evm.call("Settlement", "claimHash", claim).hex() == case["claim_hash"]
        digests = [bytes.fromhex(case[name][2:]) for name in ("voucher_digest", "receipt_digest")]
        assert "0x" + evm.call("Settlement", "leafOf", *digests).hex() == leaf
        here = (evm.chain_id, ADDRESSES["Settlement"])
        for name, fields in (("Voucher", spec.VOUCHER), ("Receipt", spec.RECEIPT)):
            record = case[name.lower()]
            found = evm.call("Settlement", f"{name.lower()}Digest", abi(record, fields))
            assert found == spec.digest(name, fields, record, *here)
            if (int(case["chain_id"]), case["settlement"].lower()) == (here[0], here[1].lower()):
                assert "0x" + found.hex() == case[f"{name.lower()}_digest"]
                pinned += 1
    assert pinned >= 2, "no vector is pinned for this chain and contract"


def test_the_domain_is_the_records(evm: Evm) -> None:
    domain = evm.call("Settlement", "eip712Domain")
    assert domain[1:5] == ("Interlace", "1", evm.chain_id, ADDRESSES["Settlement"].lower())
    assert len(evm.call("Settlement", "domainSeparator")) == 32
