"""The hashes of the records by other people's code: eth-account's EIP-712 encoder and eth-abi; an oracle for tests.

Invariant: nothing here imports `interlace`, so a mistake shared with it would have to be made twice.
Source: EIP-712; OpenZeppelin merkle-tree's StandardMerkleTree (leaf = keccak256(keccak256(abi.encode(...)))).
What it does not do: it is written to be read, not to be fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eth_abi.abi import encode
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak

VOUCHER = (
    ("payer", "address"), ("node", "address"), ("assetClass", "uint256"), ("programId", "bytes32"),
    ("requestHash", "bytes32"), ("unitPrice", "uint256"), ("maxCost", "uint256"), ("token", "address"),
    ("assurance", "uint8"), ("nonce", "uint64"), ("deadline", "uint64"),
)  # fmt: skip
CLAIM = (
    ("chainId", "uint256"), ("registry", "address"), ("programId", "bytes32"), ("semantics", "uint16"),
    ("inputHash", "bytes32"), ("outputHash", "bytes32"), ("prover", "address"), ("jobNonce", "uint64"),
)  # fmt: skip
RECEIPT = (
    ("voucherHash", "bytes32"), ("claimHash", "bytes32"), ("units", "uint64"), ("cost", "uint256"),
    ("servedAt", "uint64"),
)  # fmt: skip

ATTESTATION = (
    ("claimHash", "bytes32"), ("outputHash", "bytes32"), ("validator", "address"), ("round", "uint64"),
)  # fmt: skip

Fields = Sequence[tuple[str, str]]


def _message(fields: Fields, record: Mapping[str, str]) -> dict[str, int | bytes | str]:
    """Turn our canonical JSON into the Python values that eth-account expects."""
    out: dict[str, int | bytes | str] = {}
    for name, kind in fields:
        text = record[name]
        out[name] = int(text) if kind.startswith("uint") else bytes.fromhex(text[2:]) if kind == "bytes32" else text
    return out


def digest(name: str, fields: Fields, record: Mapping[str, str], chain_id: int, settlement: str) -> bytes:
    """Return the EIP-712 digest of a record in canonical JSON under the domain of a Settlement contract."""
    domain = {"name": "Interlace", "version": "1", "chainId": chain_id, "verifyingContract": settlement}
    types = {name: [{"name": field, "type": kind} for field, kind in fields]}
    signable = encode_typed_data(domain, types, _message(fields, record))
    return bytes(keccak(b"\x19" + signable.version + signable.header + signable.body))


def struct_hash(name: str, fields: Fields, record: Mapping[str, str]) -> bytes:
    """Return hashStruct by its definition: keccak256(typeHash ‖ abi.encode(fields)), for static fields."""
    type_hash = keccak(text=f"{name}({','.join(f'{kind} {field}' for field, kind in fields)})")
    message = _message(fields, record)
    return bytes(keccak(type_hash + encode([kind for _, kind in fields], [message[field] for field, _ in fields])))


def leaf(voucher_digest: bytes, receipt_digest: bytes) -> bytes:
    """Return the settlement leaf."""
    return bytes(keccak(keccak(encode(["bytes32", "bytes32"], [voucher_digest, receipt_digest]))))


def root(leaves: Sequence[bytes]) -> bytes:
    """Return the Merkle root, by recursion over the complete binary tree whose leaf k is node 2n - 2 - k."""
    count = len(leaves)

    def node(index: int) -> bytes:
        if index >= count - 1:
            return leaves[2 * count - 2 - index]
        return bytes(keccak(b"".join(sorted((node(2 * index + 1), node(2 * index + 2))))))

    return node(0)
