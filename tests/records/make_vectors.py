"""Writes vectors.json: records with the hashes that spec/records.py (eth-account) gives them.

Invariant: `python -m tests.records.make_vectors` reproduces the committed file byte for byte.
What it does not do: it imports nothing of `interlace`; Rust, Python and Solidity are compared with its output.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from spec import records as spec

PATH = Path(__file__).with_name("vectors.json")
SETTLEMENT = "0x1ace000000000000000000000000000000000007"
WIDTHS = {"uint8": 8, "uint16": 16, "uint64": 64, "uint256": 256}


def value(kind: str, case: str, rng: random.Random) -> str:
    """Return one field's canonical JSON value: all zero, all ones, or random."""
    size = 20 if kind == "address" else 32
    bits = WIDTHS.get(kind, 8 * size)
    number = {"zero": 0, "ones": (1 << bits) - 1}.get(case, rng.getrandbits(bits))
    return str(number) if kind in WIDTHS else "0x" + number.to_bytes(size, "big").hex()


def build() -> dict[str, object]:
    """Return the whole document."""
    rng = random.Random(20261123)
    cases = []
    for index, case in enumerate(["zero", "ones", *["random"] * 6]):
        chain_id = [1, 31337, 2**53 - 1, 2**64 - 1][index % 4]
        settlement = SETTLEMENT if index < 4 else value("address", "random", rng)
        voucher = {name: value(kind, case, rng) for name, kind in spec.VOUCHER}
        claim = {name: value("uint64" if name == "chainId" else kind, case, rng) for name, kind in spec.CLAIM}
        receipt = {name: value(kind, case, rng) for name, kind in spec.RECEIPT}
        voucher_digest = spec.digest("Voucher", spec.VOUCHER, voucher, chain_id, settlement)
        receipt_digest = spec.digest("Receipt", spec.RECEIPT, receipt, chain_id, settlement)
        hashes = {
            "voucher_digest": voucher_digest,
            "claim_hash": spec.struct_hash("Claim", spec.CLAIM, claim),
            "receipt_digest": receipt_digest,
            "leaf": spec.leaf(voucher_digest, receipt_digest),
        }
        cases.append(
            {
                "chain_id": str(chain_id),
                "settlement": settlement,
                "voucher": voucher,
                "claim": claim,
                "receipt": receipt,
                **{name: "0x" + digest.hex() for name, digest in hashes.items()},
            }
        )
    leaves = [bytes.fromhex(str(case["leaf"])[2:]) for case in cases]
    roots = ["0x" + spec.root(leaves[:count]).hex() for count in range(1, len(leaves) + 1)]
    return {"cases": cases, "roots_of_first_n_leaves": roots}


def text() -> str:
    """Return the file's text."""
    return json.dumps(build(), indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(text())
