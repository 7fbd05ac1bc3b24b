// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

/// Single operations on tensors, for contracts that compose their own: one call of EVAL each (docs/ai-instructions.md).
///
/// Elements are packed: one byte for each of 8 bits; four, the highest first, for each of 32. Weights are as in a program's file: a matrix row by row, one
/// byte for each weight, and then a bias of four bytes, the lowest first, for each output. What every operation computes is in docs/integer-programs.md; a
/// sum that could leave 32 bits for any input, and whatever else a program may not be, reverts with its reason.
///
/// A model that is called more than once is better registered: see Interlace.sol.
library Tensor {
    address internal constant EVAL = 0x00000000000000000000000000000000000a1004;

    /// How a window moves over an image; what it covers beyond the edge counts as zero.
    struct Window {
        uint16 height;
        uint16 width;
        uint16 strideHeight;
        uint16 strideWidth;
        uint16 top;
        uint16 left;
        uint16 bottom;
        uint16 right;
    }

    /// Runs a graph, its bytes as in a program's file, on weights and an input.
    function eval(bytes memory graph, bytes memory weights, bytes memory input) internal view returns (bytes memory output) {
        bool success;
        (success, output) = EVAL.staticcall(abi.encodePacked(graph, weights, input));
        if (!success) {
            assembly ("memory-safe") {
                revert(add(output, 32), mload(output))
            }
        }
        // Where the chain has no such instruction, nothing is there to answer.
        if (output.length == 0) revert("instruction.none: this chain does not run programs");
    }

    // ---- products

    /// Rows of `depth` elements of 8 bits times weights, plus a bias: 32 bits, as many for each row as the weights have outputs.
    function matmul(bytes memory x, uint32 depth, bytes memory weights) internal view returns (bytes memory) {
        uint32 outputs = _whole(weights.length, uint256(depth) + 4);
        return eval(abi.encodePacked(_matrix(x.length, depth), uint16(1), uint8(1), uint16(0), outputs), weights, x);
    }

    /// The product of two vectors of 8 bits.
    function dot(bytes memory a, bytes memory b) internal view returns (int32) {
        return int32(uint32(bytes4(matmul(a, _length(a.length), abi.encodePacked(b, uint32(0))))));
    }

    /// Indices of the `count` vectors, each as long as `query`, whose products with it are the largest; the largest first, the lowest of equals first.
    function nearest(bytes memory vectors, bytes memory query, uint32 count) internal view returns (uint32[] memory) {
        uint32 depth = _length(query.length);
        bytes memory product = abi.encodePacked(uint8(1), uint16(0), uint32(1));
        bytes memory row = abi.encodePacked(uint8(10), uint16(1), uint8(1), _whole(vectors.length, depth));
        bytes memory graph = abi.encodePacked(_matrix(vectors.length, depth), uint16(3), product, row, _largest(2, count));
        return _indices(eval(graph, abi.encodePacked(query, uint32(0)), vectors));
    }

    /// `[rows, depth]` times `[depth, columns]`, both of 8 bits: 32 bits, row by row.
    function multiply(bytes memory a, bytes memory b, uint32 rows, uint32 depth, uint32 columns) internal view returns (bytes memory) {
        (uint32 first, uint32 second) = (_length(a.length), _length(b.length));
        bytes memory graph = abi.encodePacked(uint8(1), uint8(1), _length(a.length + b.length), uint16(5));
        graph = abi.encodePacked(graph, uint8(17), uint16(0), uint8(0), uint32(0), first, uint8(10), uint16(1), uint8(2), rows, depth);
        graph = abi.encodePacked(graph, uint8(17), uint16(0), uint8(0), first, second, uint8(10), uint16(3), uint8(2), depth, columns);
        return eval(abi.encodePacked(graph, uint8(12), uint16(2), uint16(4), uint8(0)), "", abi.encodePacked(a, b));
    }

    /// A convolution over an image `[height, width, channels]` of 8 bits: 32 bits for each place of the window and each output. Weights are
    /// `[window height, window width, channels, outputs]`, then a bias for each output.
    function conv2d(bytes memory x, uint32 height, uint32 width, uint32 channels, Window memory w, bytes memory weights)
        internal
        view
        returns (bytes memory)
    {
        uint32 outputs = _whole(weights.length, uint256(w.height) * w.width * channels + 4);
        bytes memory window = abi.encodePacked(w.height, w.width, w.strideHeight, w.strideWidth, w.top, w.left, w.bottom, w.right);
        bytes memory graph = abi.encodePacked(uint8(1), uint8(3), height, width, channels, uint16(1), uint8(2), uint16(0), window, outputs);
        return eval(graph, weights, x);
    }

    // ---- elements

    /// Elements of 32 bits brought to 8: `(x * multiplier + 2^(shift - 1)) >> shift`, no less than `lo`, no more than `hi`.
    function requantise(bytes memory x, uint32 multiplier, uint8 shift, int8 lo, int8 hi) internal view returns (bytes memory) {
        bytes memory graph = abi.encodePacked(_vector(2, x.length / 4), uint16(1), uint8(5), uint16(0), shift, lo, hi);
        return eval(abi.encodePacked(graph, uint8(0), multiplier), "", x);
    }

    /// Elements of 8 bits by a table of 256, the first for -128.
    function table(bytes memory x, bytes memory entries) internal view returns (bytes memory) {
        return eval(abi.encodePacked(_vector(1, x.length), uint16(1), uint8(6), uint16(0)), entries, x);
    }

    // ---- rows

    /// Each element's share of its row of `length` elements of 8 bits, in 127ths. `weights` has 256 numbers of two bytes, the lowest first: for the
    /// largest element, for one less, and so on.
    function softmax(bytes memory x, uint32 length, bytes memory weights) internal view returns (bytes memory) {
        return eval(abi.encodePacked(_matrix(x.length, length), uint16(1), uint8(13), uint16(0), uint8(0)), weights, x);
    }

    /// Each element's deviation from the mean of its row of `length` elements of 8 bits, in 4096ths of the standard deviation: 32 bits.
    function normalise(bytes memory x, uint32 length) internal view returns (bytes memory) {
        return eval(abi.encodePacked(_matrix(x.length, length), uint16(1), uint8(14), uint16(0)), "", x);
    }

    /// Index of the largest element of 8 bits, the lowest of equals.
    function argmax(bytes memory x) internal view returns (uint32) {
        return topK(x, 1)[0];
    }

    /// Index of the largest element of 32 bits, the lowest of equals.
    function argmax32(bytes memory x) internal view returns (uint32) {
        return topK32(x, 1)[0];
    }

    /// Indices of the `count` largest elements of 8 bits, the largest first, the lowest of equals first.
    function topK(bytes memory x, uint32 count) internal view returns (uint32[] memory) {
        return _indices(eval(abi.encodePacked(_vector(1, x.length), uint16(1), _largest(0, count)), "", x));
    }

    /// Indices of the `count` largest elements of 32 bits, the largest first, the lowest of equals first.
    function topK32(bytes memory x, uint32 count) internal view returns (uint32[] memory) {
        return _indices(eval(abi.encodePacked(_vector(2, x.length / 4), uint16(1), _largest(0, count)), "", x));
    }

    // ---- bytes of graphs

    /// The input of a graph: a vector of so many elements.
    function _vector(uint8 dtype, uint256 elements) private pure returns (bytes memory) {
        return abi.encodePacked(dtype, uint8(1), _length(elements));
    }

    /// The input of a graph: rows of `length` elements of 8 bits.
    function _matrix(uint256 elements, uint32 length) private pure returns (bytes memory) {
        return abi.encodePacked(uint8(1), uint8(2), _whole(elements, length), length);
    }

    /// A node that finds the largest of a value; one is an argmax.
    function _largest(uint16 value, uint32 count) private pure returns (bytes memory) {
        return count == 1 ? abi.encodePacked(uint8(11), value) : abi.encodePacked(uint8(15), value, count);
    }

    function _length(uint256 elements) private pure returns (uint32) {
        require(elements <= type(uint32).max, "tensor.limit: too many elements");
        return uint32(elements);
    }

    function _whole(uint256 elements, uint256 length) private pure returns (uint32) {
        require(length != 0 && elements % length == 0, "tensor.length: not a whole number of rows");
        return _length(elements / length);
    }

    function _indices(bytes memory output) private pure returns (uint32[] memory indices) {
        indices = new uint32[](output.length / 4);
        for (uint256 i = 0; i < indices.length; i++) {
            assembly ("memory-safe") {
                mstore(add(add(indices, 32), mul(i, 32)), shr(224, mload(add(add(output, 32), mul(i, 4)))))
            }
        }
    }
}
