"""Sumcheck proofs on a chain: have it make a program's key, have it check a proof of a claim, ask what was proved.

Invariant: what is sent is bound to the claim's hash, so nobody can use it for another claim; what `holds` says was
checked by every node that executes the chain, and nobody need be believed.
Source: docs/sumcheck.md; contracts/src/SumcheckProofs.sol decides.
What it does not do: it puts no program on the chain (`interlace.models.on_chain.register` does) and settles nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from interlace.chain import Account, Client, Contract, Receipt
from interlace.contracts import ADDRESSES, artifact
from interlace.errors import ChainError
from interlace.models import encode_tensor
from interlace.proofs.dispute import claim_struct
from interlace.proofs.sumcheck import SumcheckKey, SumcheckProof, SumcheckProver
from interlace.records import Claim

REGISTER_GAS: Final = 16_000_000
"""Gas that a registration is given: enough for 2^20 padded weights, and within what a transaction may have."""


class ProvenClaims:
    """The claims of one chain that a sumcheck proof showed to hold.

    Parameters
    ----------
    client
        The node.
    address
        Of the contract SumcheckProofs; its place on every chain of ours if it is not given.
    """

    def __init__(self, client: Client, address: str = "") -> None:
        self.client = client
        self.contract = Contract(client, address or ADDRESSES["SumcheckProofs"], artifact("SumcheckProofs").abi)

    def register(self, account: Account, program_id: bytes) -> bytes:
        """Have the chain make the key of a program that it has, unless it did, and return the key's hash.

        Raises
        ------
        ChainError
            ``chain.reverted`` with ``instruction.unregistered`` when the chain does not have the program,
            ``sumcheck.program`` when these proofs do not cover it.
        """
        known = self.key_hash(program_id)
        if known is None:
            # A call tells the answer, or why not; looking for the least gas would make the key twenty times over.
            known = bytes(self.contract.call("register", program_id))
            self.contract.send(account, "register", program_id, gas_limit=REGISTER_GAS)
        return known

    def key_hash(self, program_id: bytes) -> bytes | None:
        """Return the hash of a program's key as the chain made it, 32 bytes; none before it is registered."""
        try:
            return bytes(self.contract.call("get", program_id)[0])
        except ChainError as error:
            if "UnknownProgram" in error.message:
                return None
            raise

    def prove(
        self, account: Account, claim: Claim, salt: bytes, values: npt.NDArray[np.generic], prover: SumcheckProver
    ) -> Receipt:
        """Prove a claim and have the chain check and record it.

        Parameters
        ----------
        claim, salt
            What is proved, and the 32 bytes that its input hash is salted with.
        values
            The input, of the program's type and shape; the output is computed.

        Raises
        ------
        ChainError
            ``chain.reverted`` with the reason: ``WrongInput`` for another input than the claim's, for instance.
        """
        proof = prover.prove(values[np.newaxis], context=claim.hash())
        output = prover.program.run(values)
        return self.submit(account, claim, salt, (encode_tensor(values), encode_tensor(output)), prover.key, proof)

    def submit(
        self,
        account: Account,
        claim: Claim,
        salt: bytes,
        tensors: tuple[bytes, bytes],
        key: SumcheckKey,
        proof: SumcheckProof,
    ) -> Receipt:
        """Have the chain check a proof that was made before, by whomever.

        Parameters
        ----------
        tensors
            Input and output on the wire.
        proof
            Of this one input, its context the claim's hash; raises like `prove`.
        """
        arguments = (claim_struct(claim), salt, *tensors, key.data, proof.proof)
        return self.contract.send(account, "prove", *arguments)

    def holds(self, claim_hash: bytes) -> bool:
        """Tell whether a proof of the claim was accepted."""
        return bool(self.contract.call("proven", claim_hash))
