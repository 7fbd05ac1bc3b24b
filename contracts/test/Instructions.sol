// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Interlace} from "../src/Interlace.sol";

/// Every function of the library, to be called from outside.
contract Instructions {
    function infer(bytes32 program, bytes calldata input) external view returns (bytes memory) {
        return Interlace.infer(program, input);
    }

    function store(bytes calldata chunk) external returns (bytes32) {
        return Interlace.store(chunk);
    }

    function register(bytes calldata manifestAndLeaves) external returns (bytes32) {
        return Interlace.register(manifestAndLeaves);
    }

    function elements(bytes calldata output) external pure returns (int8[] memory small, int32[] memory large) {
        (small, large) = (new int8[](output.length), new int32[](output.length / 4));
        for (uint256 i = 0; i < small.length; i++) small[i] = Interlace.int8At(output, i);
        for (uint256 i = 0; i < large.length; i++) large[i] = Interlace.int32At(output, i);
    }

    function int32At(bytes calldata output, uint256 index) external pure returns (int32) {
        return Interlace.int32At(output, index);
    }

    /// Calls an instruction with a value, which it refuses.
    function withValue(address instruction, bytes calldata input) external payable returns (bytes memory reason) {
        bool success;
        (success, reason) = instruction.call{value: msg.value}(input);
        require(!success, "it took the value");
    }
}
