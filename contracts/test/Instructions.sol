// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Interlace} from "../src/Interlace.sol";
import {Tensor} from "../src/Tensor.sol";

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

/// Every operation of the library on tensors, to be called from outside.
contract Tensors {
    function eval(bytes calldata graph, bytes calldata weights, bytes calldata input) external view returns (bytes memory) {
        return Tensor.eval(graph, weights, input);
    }

    function matmul(bytes calldata x, uint32 depth, bytes calldata weights) external view returns (bytes memory) {
        return Tensor.matmul(x, depth, weights);
    }

    function dot(bytes calldata a, bytes calldata b) external view returns (int32) {
        return Tensor.dot(a, b);
    }

    function nearest(bytes calldata vectors, bytes calldata query, uint32 count) external view returns (uint32[] memory) {
        return Tensor.nearest(vectors, query, count);
    }

    function multiply(bytes calldata a, bytes calldata b, uint32 m, uint32 k, uint32 n) external view returns (bytes memory) {
        return Tensor.multiply(a, b, m, k, n);
    }

    function conv2d(bytes calldata x, uint32 h, uint32 w, uint32 c, Tensor.Window calldata window, bytes calldata weights)
        external
        view
        returns (bytes memory)
    {
        return Tensor.conv2d(x, h, w, c, window, weights);
    }

    function requantise(bytes calldata x, uint32 multiplier, uint8 shift, int8 lo, int8 hi) external view returns (bytes memory) {
        return Tensor.requantise(x, multiplier, shift, lo, hi);
    }

    function table(bytes calldata x, bytes calldata entries) external view returns (bytes memory) {
        return Tensor.table(x, entries);
    }

    function softmax(bytes calldata x, uint32 length, bytes calldata weights) external view returns (bytes memory) {
        return Tensor.softmax(x, length, weights);
    }

    function normalise(bytes calldata x, uint32 length) external view returns (bytes memory) {
        return Tensor.normalise(x, length);
    }

    function argmax(bytes calldata x) external view returns (uint32) {
        return Tensor.argmax(x);
    }

    function argmax32(bytes calldata x) external view returns (uint32) {
        return Tensor.argmax32(x);
    }

    function topK(bytes calldata x, uint32 count) external view returns (uint32[] memory) {
        return Tensor.topK(x, count);
    }

    function topK32(bytes calldata x, uint32 count) external view returns (uint32[] memory) {
        return Tensor.topK32(x, count);
    }
}
