"""Claim, Voucher and Receipt: the signed statements of a paid call, their canonical bytes, hashes and Merkle tree.

Invariant: a record that exists is in range, and its JSON, its ABI words and its EIP-712 hash say the same thing;
whatever a decoder is given, it answers with a record or raises `RecordError`.
Source: EIP-712; pinned encodings with a worked vector in docs/records.md.
What it does not do: no file and no network is touched here, and no record is judged against another (see `proofs`).
"""

from __future__ import annotations

from interlace.records.assurance import Assurance
from interlace.records.attestation import Attestation
from interlace.records.codec import from_base64, to_base64
from interlace.records.file import FORMAT, MAX_FILE_BYTES, ReceiptFile
from interlace.records.merkle import MerkleTree, proof_holds, settlement_leaf
from interlace.records.types import (
    Claim,
    Domain,
    Receipt,
    Voucher,
    hash_input,
    hash_output,
    recover,
    recover_many,
    sign,
)

__all__ = [
    "FORMAT",
    "MAX_FILE_BYTES",
    "Assurance",
    "Attestation",
    "Claim",
    "Domain",
    "MerkleTree",
    "Receipt",
    "ReceiptFile",
    "Voucher",
    "from_base64",
    "hash_input",
    "hash_output",
    "proof_holds",
    "recover",
    "recover_many",
    "settlement_leaf",
    "sign",
    "to_base64",
]
