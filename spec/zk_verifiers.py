"""The registry of verifiers in plain Python: what is registered, accepted and proved, and why a claim is refused.

Refusals come in the contract's order.

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
FOREVER = 2**64 - 1
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
    revoke_seconds: int = 7_200
    until: dict[tuple[str, bytes], int] = field(default_factory=dict)
    proved: dict[tuple[bytes, str], bytes] = field(default_factory=dict)

    def accept(self, payer: str, name: bytes) -> None:
        """Take a key's proofs for good from now on."""
        if name not in self.keys:
            raise Refused("UnknownKey")
        self.until[payer, name] = FOREVER

    def revoke(self, payer: str, name: bytes, now: int) -> None:
        """End an acceptance after the notice."""
        if self.until.get((payer, name)) != FOREVER:
            raise Refused("NotAccepted")
        self.until[payer, name] = now + self.revoke_seconds

    def may_pay(self, payer: str, name: bytes, at: int, now: int) -> bool:
        """Tell whether a proof at second `at` will count, even if the payer revoked at once."""
        until = self.until.get((payer, name), 0)
        return at < min(until, now + self.revoke_seconds) if until == FOREVER else at < until

    def prove(
        self, name: bytes, claim: tuple, parts: tuple[bytes, bytes, bytes], payer: str, now: int, good: bool
    ) -> None:
        """Record a claim for a payer; `good` is what the verifier says."""
        if now >= self.until.get((payer, name), 0):
            raise Refused("NotAccepted")
        digest = claim_hash(claim)
        if (digest, payer) in self.proved:
            raise Refused("AlreadyProved")
        self.verify(name, claim, *parts)
        if not good:
            raise Refused("ProofRejected")
        self.proved[digest, payer] = name

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
        high, low = struct.unpack(">16s16s", claim_hash(claim))
        limbs = int(high.hex(), 16), int(low.hex(), 16)
        numbers = (*elements(given_header, given), *limbs, *elements(output_header, output))
        return verifier, [n % FIELD for n in numbers]


def claim_hash(claim: tuple) -> bytes:
    """Return the EIP-712 hash of a claim's struct."""
    return bytes(keccak(keccak(text=CLAIM_TYPE) + encode([CLAIM], [claim])))


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
