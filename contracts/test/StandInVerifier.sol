// SPDX-License-Identifier: MIT OR Apache-2.0
// A verifier that accepts one proof: the hash of the instances it is given. Nothing ships it.
// Invariant: it answers as generated verifiers do, true or a revert, unless it was made to answer false or with other bytes.
// What it does not do: it proves nothing; it stands in for a generated contract where only the calls to it are under test.
pragma solidity ^0.8.28;

contract StandInVerifier {
    uint8 public immutable manner;

    /// @param manner_ 0: true or a revert. 1: false. 2: two words. 3: no bytes.
    constructor(uint8 manner_) {
        manner = manner_;
    }

    function verifyProof(bytes calldata proof, uint256[] calldata instances) external view returns (bool) {
        require(keccak256(proof) == keccak256(abi.encode(keccak256(abi.encode(instances)))));
        if (manner == 1) return false;
        if (manner > 1) {
            uint256 length = manner == 2 ? 64 : 0;
            assembly ("memory-safe") {
                mstore(0, 1)
                mstore(32, 1)
                return(0, length)
            }
        }
        return true;
    }
}
