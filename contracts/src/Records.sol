// SPDX-License-Identifier: MIT OR Apache-2.0
// Voucher, claim and receipt, and their hashes.
// Invariant: these hashes equal those of interlace.records (Python) and interlace-primitives (Rust); vectors pin them.
// Source: EIP-712. The claim has no domain: it carries its chain and registry itself.
// What it does not do: it compares no record with another; Settlement does.
pragma solidity ^0.8.28;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

abstract contract Records is EIP712 {
    /// @notice A payer's promise to pay at most `maxCost` for one request to one node, until `deadline`.
    /// @param unitPrice Credit-wei for one unit of work.
    /// @param assurance 0: the receipt alone, paid at once. 1: paid after a window in which it can be challenged. 2 to 6: paid
    /// when the contract of that tier says that the claim holds (IAssurance).
    /// @param deadline Last unix second at which the request may be served.
    struct Voucher {
        address payer;
        address node;
        uint256 assetClass;
        bytes32 programId;
        bytes32 requestHash;
        uint256 unitPrice;
        uint256 maxCost;
        address token;
        uint8 assurance;
        uint64 nonce;
        uint64 deadline;
    }

    /// @notice What a prover asserts: this program, on this input, gives this output.
    struct Claim {
        uint256 chainId;
        address registry;
        bytes32 programId;
        uint16 semantics;
        bytes32 inputHash;
        bytes32 outputHash;
        address prover;
        uint64 jobNonce;
    }

    /// @notice A node's statement that it served a voucher, with which claim, at which cost and when.
    struct Receipt {
        bytes32 voucherHash;
        bytes32 claimHash;
        uint64 units;
        uint256 cost;
        uint64 servedAt;
    }

    bytes32 private constant VOUCHER_TYPEHASH = keccak256(
        "Voucher(address payer,address node,uint256 assetClass,bytes32 programId,bytes32 requestHash,uint256 unitPrice,uint256 maxCost,address token,uint8 assurance,uint64 nonce,uint64 deadline)"
    );
    bytes32 private constant RECEIPT_TYPEHASH = keccak256(
        "Receipt(bytes32 voucherHash,bytes32 claimHash,uint64 units,uint256 cost,uint64 servedAt)"
    );

    constructor() EIP712("Interlace", "1") {}

    /// @notice EIP-712 digest that the payer signs.
    function voucherDigest(Voucher calldata voucher) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(VOUCHER_TYPEHASH, voucher)));
    }

    /// @notice hashStruct of a claim.
    function claimHash(Claim calldata claim) public pure returns (bytes32) {
        return Claims.hash(claim);
    }

    /// @notice EIP-712 digest that the node's receipt key signs.
    function receiptDigest(Receipt calldata receipt) public view returns (bytes32) {
        return _hashTypedDataV4(keccak256(abi.encode(RECEIPT_TYPEHASH, receipt)));
    }

    /// @notice Leaf of the settlement tree, hashed twice so that no inner node is a leaf. It is also the leaf's id.
    function leafOf(bytes32 voucherDigest_, bytes32 receiptDigest_) public pure returns (bytes32) {
        return keccak256(bytes.concat(keccak256(abi.encode(voucherDigest_, receiptDigest_))));
    }

    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }
}

/// @notice For contracts that know claims and no vouchers.
library Claims {
    bytes32 private constant TYPEHASH = keccak256(
        "Claim(uint256 chainId,address registry,bytes32 programId,uint16 semantics,bytes32 inputHash,bytes32 outputHash,address prover,uint64 jobNonce)"
    );

    /// @notice hashStruct of a claim.
    function hash(Records.Claim calldata claim) internal pure returns (bytes32) {
        return keccak256(abi.encode(TYPEHASH, claim));
    }
}
