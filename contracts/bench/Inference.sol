// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

import {Interlace} from "../src/Interlace.sol";

/// One matrix product with bias on `rows` rows of 8-bit inputs, by the chain's instruction and by code of the machine: what `interlace bench infer`
/// compares. Weights lie where STORE puts them, so both read the same accounts.
contract InferenceKernel {
    struct Product {
        bytes32 program;
        bytes32[] leaves;
        uint256 rows;
        uint256 depth;
        uint256 channels;
    }

    uint256 private constant CHUNK = 24_575;

    /// Gas of one product, and the hash of its output.
    event Measured(uint256 gas, bytes32 output);

    /// One of the ways below as a transaction, which may take more gas than a call.
    function record(bool yul, Product calldata product, bytes calldata input) external {
        uint256 gas = gasleft();
        bytes memory output = yul ? _byYul(product, input) : _bySolidity(product, input);
        gas -= gasleft();
        emit Measured(gas, keccak256(output));
    }

    /// By INFER, so many times; the last output, and gas of one.
    function byInstruction(Product calldata product, bytes calldata input, uint256 times)
        external
        view
        returns (bytes memory output, uint256 gas)
    {
        uint256 free;
        assembly ("memory-safe") {
            free := mload(0x40)
        }
        for (uint256 i = 0; i < times; i++) {
            // Memory is used again, so that it costs the first time only.
            assembly ("memory-safe") {
                mstore(0x40, free)
            }
            uint256 before = gasleft();
            output = Interlace.infer(product.program, input);
            gas = before - gasleft();
        }
    }

    /// In Solidity, as it is written: bounds and overflows are checked.
    function _bySolidity(Product calldata product, bytes calldata input) private view returns (bytes memory output) {
        bytes memory weights = _weights(product);
        (uint256 depth, uint256 channels) = (product.depth, product.channels);
        output = new bytes(product.rows * channels * 4);
        for (uint256 row = 0; row < product.rows; row++) {
            for (uint256 channel = 0; channel < channels; channel++) {
                int256 sum = _bias(weights, depth * channels + channel * 4);
                for (uint256 i = 0; i < depth; i++) {
                    sum += int256(int8(uint8(input[row * depth + i]))) * int8(uint8(weights[i * channels + channel]));
                }
                _put(output, row * channels + channel, sum);
            }
        }
    }

    /// In Yul, unrolled eight times, nothing checked; `depth` is a multiple of eight.
    function _byYul(Product calldata product, bytes calldata input) private view returns (bytes memory output) {
        bytes memory weights = _weights(product);
        (uint256 depth, uint256 channels) = (product.depth, product.channels);
        output = new bytes(product.rows * channels * 4);
        uint256[] memory wide = new uint256[](depth);
        for (uint256 row = 0; row < product.rows; row++) {
            assembly ("memory-safe") {
                // Each input as a word of its own, so that it is loaded without being taken apart.
                let from := add(input.offset, mul(row, depth))
                for { let i := 0 } lt(i, depth) { i := add(i, 1) } {
                    mstore(add(add(wide, 32), mul(i, 32)), sar(248, calldataload(add(from, i))))
                }
            }
            for (uint256 channel = 0; channel < channels; channel++) {
                int256 sum = _bias(weights, depth * channels + channel * 4);
                assembly ("memory-safe") {
                    let w := add(add(weights, 32), channel)
                    let end := add(add(wide, 32), mul(depth, 32))
                    for { let x := add(wide, 32) } lt(x, end) { x := add(x, 256) } {
                        sum := add(sum, mul(mload(x), sar(248, mload(w))))
                        w := add(w, channels)
                        sum := add(sum, mul(mload(add(x, 32)), sar(248, mload(w))))
                        w := add(w, channels)
                        sum := add(sum, mul(mload(add(x, 64)), sar(248, mload(w))))
                        w := add(w, channels)
                        sum := add(sum, mul(mload(add(x, 96)), sar(248, mload(w))))
                        w := add(w, channels)
                        sum := add(sum, mul(mload(add(x, 128)), sar(248, mload(w))))
                        w := add(w, channels)
                        sum := add(sum, mul(mload(add(x, 160)), sar(248, mload(w))))
                        w := add(w, channels)
                        sum := add(sum, mul(mload(add(x, 192)), sar(248, mload(w))))
                        w := add(w, channels)
                        sum := add(sum, mul(mload(add(x, 224)), sar(248, mload(w))))
                        w := add(w, channels)
                    }
                }
                _put(output, row * channels + channel, sum);
            }
        }
    }

    /// Brings the chunks together, from the code of their accounts.
    function _weights(Product calldata product) private view returns (bytes memory weights) {
        uint256 length = product.depth * product.channels + product.channels * 4;
        weights = new bytes(length);
        for (uint256 i = 0; i < product.leaves.length; i++) {
            bytes32 hash = keccak256(abi.encodePacked("interlace.chunk", product.leaves[i]));
            uint256 left = length - i * CHUNK;
            uint256 size = left < CHUNK ? left : CHUNK;
            assembly ("memory-safe") {
                // Behind the byte that stops whoever calls it.
                let to := add(add(weights, 32), mul(i, CHUNK))
                extcodecopy(and(hash, 0xffffffffffffffffffffffffffffffffffffffff), to, 1, size)
            }
        }
    }

    /// The 32 bits at `place`, the lowest byte first.
    function _bias(bytes memory weights, uint256 place) private pure returns (int256) {
        uint32 value = 0;
        for (uint256 i = 4; i > 0; i--) value = (value << 8) | uint8(weights[place + i - 1]);
        return int32(value);
    }

    /// Element `index`, the highest byte first.
    function _put(bytes memory output, uint256 index, int256 value) private pure {
        uint32 bits = uint32(int32(value));
        for (uint256 i = 0; i < 4; i++) output[index * 4 + i] = bytes1(uint8(bits >> (24 - 8 * i)));
    }
}
