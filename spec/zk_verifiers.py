"""The registry of verifiers in plain Python: what is registered, and why a claim is refused, in the contract's order.

Invariant: a key's name is the hash of all that it says; `verify` gives the name of the contract's error,
or the instances for its verifier.
Source: contracts/src/ZkVerifiers.sol; docs/records.md.
What it does not do: it proves nothing and shares no code with the package.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field

from eth_abi.abi import encode
from eth_utils.crypto import keccak

FIELD = 0x30644E72E131A029B85045B68181585D2833E84879B9709143E1F593F0000001
MAX_ELEMENTS = 1024
CLAIM = "(uint256,address,bytes32,uint16,bytes32,bytes32,address,uint64)"
CLAIM_TYPE = (
    "Claim(uint256 chainId,address registry,bytes32 programId,uint16 semantics,"
    "bytes32 inputHash,bytes32 outputHash,address prover,uint64 jobNonce)"
)


class Refused(Exception):  # noqa: N818 - a rule of the contract
    """Named like the contract's error."""


@dataclass
class Registry:
    """Keys by name, on one chain; `codes` has the code hash of each contract."""

    chain_id: int
    codes: dict[str, bytes]
    keys: dict[bytes, tuple[bytes, str, bytes, bytes, bytes]] = field(default_factory=dict)

    def register(self, program_id: bytes, verifier: str, given: bytes, output: bytes) -> bytes:
        """Return the name of the key; nothing changes if it is there."""
        if verifier not in self.codes:
            raise Refused("NoCode")
        shape(given)
        shape(output)
        key = (program_id, verifier, self.codes[verifier], given, output)
        name = bytes(keccak(encode(["bytes32", "address", "bytes32", "bytes", "bytes"], key)))
        self.keys.setdefault(name, key)
        return name

    def verify(self, name: bytes, claim: tuple, salt: bytes, given: bytes, output: bytes) -> tuple[str, list[int]]:
        """Return the verifier to ask and the public numbers to ask about."""
        if name not in self.keys:
            raise Refused("UnknownKey")
        program_id, verifier, _, given_header, output_header = self.keys[name]
        chain_id, _, stated_program, _, input_hash, output_hash, _, _ = claim
        rules = [
            ("WrongChain", chain_id == self.chain_id),
            ("WrongProgram", stated_program == program_id),
            ("WrongInput", input_hash == keccak(b"interlace.input.v1" + salt + given)),
            ("WrongOutput", output_hash == keccak(b"interlace.output.v1" + output)),
        ]
        for error, holds in rules:
            if not holds:
                raise Refused(error)
        limbs = struct.unpack(">8I", keccak(keccak(text=CLAIM_TYPE) + encode([CLAIM], [claim])))
        numbers = (*elements(given_header, given), *limbs, *elements(output_header, output))
        return verifier, [n % FIELD for n in numbers]


def shape(header: bytes) -> tuple[int, int]:
    """Return elements and bytes of each."""
    if len(header) < 6 or header[:4] != b"ILTV" or header[4] not in (1, 2) or not 1 <= header[5] <= 4:
        raise Refused("BadHeader")
    if len(header) != 6 + 4 * header[5]:
        raise Refused("BadHeader")
    count = 1
    for extent in struct.unpack(f">{header[5]}I", header[6:]):
        if extent == 0:
            raise Refused("BadHeader")
        count = math.prod((count, extent))
        if count > MAX_ELEMENTS:
            raise Refused("TooManyElements")
    return count, 1 if header[4] == 1 else 4


def elements(header: bytes, tensor: bytes) -> tuple[int, ...]:
    """Return the numbers of a tensor whose header is the key's."""
    count, size = shape(header)
    if len(tensor) != len(header) + count * size or not tensor.startswith(header):
        raise Refused("BadTensor")
    return struct.unpack(f"<{count}{'b' if size == 1 else 'i'}", tensor[len(header) :])
