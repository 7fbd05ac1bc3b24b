// SPDX-License-Identifier: MIT OR Apache-2.0
// What a contract that pays for answers asks of the one that decides whether a claim holds.
// Invariant: Holds and Fails never change again for the same claim and payer; Open ends by itself or by a call that anyone can make.
// Source: docs/proofs.md. Numbers of the tiers: 2 audit (Audits), 3 quorum (Quorum), 4 dispute (Dispute), 5 sumcheck
// (SumcheckProofs), 6 zk (ZkVerifiers). Tiers 0 and 1 are Settlement's own.
// What it does not do: it does not say whom one trusts; each implementation does.
pragma solidity ^0.8.28;

interface IAssurance {
    /// None: nothing is known of the claim. Open: it is being decided.
    enum Verdict {
        None,
        Open,
        Holds,
        Fails
    }

    /// @notice How a claim stands at this second.
    /// @param claimHash hashStruct of the claim, as in Records.
    /// @param payer Who pays for it; only tiers that depend on what the payer accepts look at it.
    function verdict(bytes32 claimHash, address payer) external view returns (Verdict);
}
