// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// Programs from contracts: `Interlace.infer(program, input)`.
///
/// A program is an integer model that was registered (docs/ai-instructions.md); its id names it for ever. Every node that executes the call computes
/// the same answer. Elements are packed: one byte for each of 8 bits, four, the highest first, for each of 32.
library Interlace {
    address internal constant INFER = 0x00000000000000000000000000000000000A1001;
    address internal constant REGISTER = 0x00000000000000000000000000000000000A1002;
    address internal constant STORE = 0x00000000000000000000000000000000000A1003;

    /// Runs a program. Reverts with its reason if it is not registered or takes another input.
    function infer(bytes32 program, bytes memory input) internal view returns (bytes memory output) {
        bool success;
        (success, output) = INFER.staticcall(abi.encodePacked(program, input));
        // Where the chain has no such instruction, nothing is there to answer.
        if (success && output.length == 0) revert("instruction.none: this chain does not run programs");
        if (!success) _bubble(output);
    }

    /// Stores a chunk of weights of 1 to 24,575 bytes, unless it is there, and returns its leaf.
    function store(bytes memory chunk) internal returns (bytes32 leaf) {
        leaf = _word(STORE, chunk);
    }

    /// Validates a program whose chunks are stored, unless it is known, and returns its id.
    function register(bytes memory manifestAndLeaves) internal returns (bytes32 program) {
        program = _word(REGISTER, manifestAndLeaves);
    }

    /// Element `index` of an output of 8 bits.
    function int8At(bytes memory output, uint256 index) internal pure returns (int8) {
        return int8(uint8(output[index]));
    }

    /// Element `index` of an output of 32 bits.
    function int32At(bytes memory output, uint256 index) internal pure returns (int32 element) {
        require(index < output.length / 4, "index");
        assembly ("memory-safe") {
            element := sar(224, mload(add(add(output, 32), mul(index, 4))))
        }
    }

    function _word(address instruction, bytes memory input) private returns (bytes32) {
        (bool success, bytes memory output) = instruction.call(input);
        if (!success) _bubble(output);
        if (output.length != 32) revert("instruction.none: this chain does not run programs");
        return bytes32(output);
    }

    function _bubble(bytes memory reason) private pure {
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }
}
