// SPDX-License-Identifier: MIT OR Apache-2.0
// A program's graph as a referee needs it: types of values, places of weights, and which values a trace publishes.
// Invariant: for the manifest of a valid program, types, places and hidden values are those of docs/integer-programs.md
// and docs/disputes.md. Work is linear in the manifest, which has at most MAX_NODES nodes.
// Source: docs/integer-programs.md, "The graph".
// What it does not do: it validates nothing. Of a manifest that is no program it reads something, or reverts.
pragma solidity ^0.8.28;

library Graphs {
    uint256 internal constant MAX_NODES = 1_024;
    uint256 internal constant HEADER = 50;

    uint256 internal constant MATMUL = 1;
    uint256 internal constant CONV2D = 2;
    uint256 internal constant ADD_I32 = 3;
    uint256 internal constant ADD_I8 = 4;
    uint256 internal constant REQUANTISE = 5;
    uint256 internal constant TABLE = 6;
    uint256 internal constant CLAMP = 7;
    uint256 internal constant MAX_POOL = 8;
    uint256 internal constant AVERAGE_POOL = 9;
    uint256 internal constant RESHAPE = 10;
    uint256 internal constant ARGMAX = 11;
    uint256 internal constant MULTIPLY = 12;
    uint256 internal constant SOFTMAX = 13;
    uint256 internal constant NORMALISE = 14;
    uint256 internal constant TOP_K = 15;
    uint256 internal constant TRANSPOSE = 16;
    uint256 internal constant SLICE = 17;

    /// @param types Of each value: four extents of 32 bits, the first lowest; rank at bit 128, data type at 136, hidden at 144.
    /// @param nodes Of each node: operator, first and second operand, 16 bits each; place of the attributes at 48, of the weights at 80.
    struct Graph {
        uint256[] types;
        uint256[] nodes;
        bytes32 weightsRoot;
        uint256 weightsLength;
    }

    error NotAManifest(uint256 length);
    error TooManyNodes(uint256 count);
    error NoSuchOperator(uint256 operator);
    error BadOperand(uint256 node);

    function dim(uint256 ty, uint256 axis) internal pure returns (uint256) {
        return uint32(ty >> (32 * axis));
    }

    function rank(uint256 ty) internal pure returns (uint256) {
        return uint8(ty >> 128);
    }

    /// Bytes of one element.
    function width(uint256 ty) internal pure returns (uint256) {
        return uint8(ty >> 136) == 1 ? 1 : 4;
    }

    function hidden(uint256 ty) internal pure returns (bool) {
        return ty >> 144 != 0;
    }

    /// Extent of the last axis.
    function channels(uint256 ty) internal pure returns (uint256) {
        return dim(ty, rank(ty) - 1);
    }

    /// Product of the extents of the axes from `first` on.
    function elements(uint256 ty, uint256 first) internal pure returns (uint256 product) {
        product = 1;
        for (uint256 axis = first; axis < rank(ty); axis++) product *= dim(ty, axis);
    }

    /// Bytes of a value.
    function size(uint256 ty) internal pure returns (uint256) {
        return elements(ty, 0) * width(ty);
    }

    /// The type as the head of an encoded tensor: ILTV, data type, rank, extents.
    function head(uint256 ty) internal pure returns (bytes memory bytes_) {
        bytes_ = abi.encodePacked("ILTV", uint8(ty >> 136), uint8(rank(ty)));
        for (uint256 axis = 0; axis < rank(ty); axis++) bytes_ = abi.encodePacked(bytes_, uint32(dim(ty, axis)));
    }

    function field(bytes calldata m, uint256 spot, uint256 bytes_) internal pure returns (uint256) {
        return uint256(bytes32(m[spot:spot + bytes_])) >> (256 - 8 * bytes_);
    }

    function signed(bytes calldata m, uint256 spot) internal pure returns (int256) {
        return int8(uint8(m[spot]));
    }

    /// Reads the whole graph.
    function read(bytes calldata m) internal pure returns (Graph memory g) {
        require(m.length > HEADER, NotAManifest(m.length));
        (g.weightsRoot, g.weightsLength) = (bytes32(m[14:46]), field(m, 46, 4));
        uint256 ty;
        uint256 spot = HEADER + 1;
        (ty, spot) = _dims(m, spot);
        ty |= field(m, HEADER, 1) << 136;
        uint256 count = field(m, spot, 2);
        require(count != 0 && count <= MAX_NODES, TooManyNodes(count));
        spot += 2;
        (g.types, g.nodes) = (new uint256[](count + 1), new uint256[](count));
        g.types[0] = ty;
        uint256 weights = 0;
        for (uint256 node = 0; node < count; node++) {
            uint256 operator = field(m, spot, 1);
            uint256 a = field(m, spot + 1, 2);
            uint256 b = a;
            spot += 3;
            if (operator == ADD_I32 || operator == ADD_I8 || operator == MULTIPLY) {
                b = field(m, spot, 2);
                spot += 2;
            }
            require(a <= node && b <= node, BadOperand(node));
            g.nodes[node] = operator | (a << 16) | (b << 32) | (spot << 48) | (weights << 80);
            (uint256 length, uint256 taken) = (0, 0);
            (g.types[node + 1], length, taken) = _result(m, operator, spot, g.types[a], g.types[b]);
            (spot, weights) = (spot + length, weights + taken);
        }
        _hide(g);
    }

    /// Sums of products that only requantisations read are not published.
    function _hide(Graph memory g) private pure {
        uint256 count = g.nodes.length;
        for (uint256 node = 0; node + 1 < count; node++) {
            uint256 operator = uint16(g.nodes[node]);
            if (operator == MATMUL || operator == CONV2D || operator == MULTIPLY) g.types[node + 1] |= 1 << 144;
        }
        uint256 clear = (1 << 144) - 1;
        for (uint256 node = 0; node < count; node++) {
            uint256 packed = g.nodes[node];
            if (uint16(packed) == REQUANTISE) continue;
            g.types[uint16(packed >> 16)] &= clear;
            g.types[uint16(packed >> 32)] &= clear;
        }
    }

    function _dims(bytes calldata m, uint256 spot) private pure returns (uint256 ty, uint256 end) {
        uint256 count = field(m, spot, 1);
        for (uint256 axis = 0; axis < count; axis++) ty |= field(m, spot + 1 + 4 * axis, 4) << (32 * axis);
        return (ty | (count << 128), spot + 1 + 4 * count);
    }

    /// Type of the result, bytes of attributes, bytes of weights.
    function _result(bytes calldata m, uint256 operator, uint256 spot, uint256 x, uint256 y)
        private
        pure
        returns (uint256 ty, uint256 length, uint256 weights)
    {
        uint256 shape = uint136(x);
        uint256 last = rank(x) - 1;
        if (operator == MATMUL) {
            uint256 n = field(m, spot, 4);
            return (_set(shape, last, n) | (2 << 136), 4, (channels(x) + 4) * n);
        }
        if (operator == CONV2D || operator == MAX_POOL || operator == AVERAGE_POOL) {
            uint256 down = _places(m, spot, dim(x, 0), operator == AVERAGE_POOL, 0);
            uint256 across = _places(m, spot, dim(x, 1), operator == AVERAGE_POOL, 2);
            shape = _set(_set(shape, 0, down), 1, across);
            if (operator != CONV2D) return (shape | (1 << 136), operator == MAX_POOL ? 16 : 8, 0);
            uint256 n = field(m, spot + 16, 4);
            uint256 depth = field(m, spot, 2) * field(m, spot + 2, 2) * channels(x);
            return (_set(shape, 2, n) | (2 << 136), 20, (depth + 4) * n);
        }
        if (operator == ADD_I32) return (shape | (2 << 136), 0, 0);
        if (operator == ADD_I8) return (shape | (1 << 136), 11, 0);
        if (operator == REQUANTISE) {
            bool each = field(m, spot + 3, 1) == 1;
            return (shape | (1 << 136), each ? 4 : 8, each ? 4 * channels(x) : 0);
        }
        if (operator == TABLE) return (shape | (1 << 136), 0, 256);
        if (operator == CLAMP) return (shape | (1 << 136), 2, 0);
        if (operator == RESHAPE) {
            uint256 end;
            (ty, end) = _dims(m, spot);
            return (ty | (uint256(uint8(x >> 136)) << 136), end - spot, 0);
        }
        if (operator == ARGMAX) return (_set(shape, last, 1) | (2 << 136), 0, 0);
        if (operator == MULTIPLY) {
            uint256 n = dim(y, field(m, spot, 1) == 1 ? last - 1 : last);
            return (_set(shape, last, n) | (2 << 136), 1, 0);
        }
        if (operator == SOFTMAX) return (shape | (1 << 136), 1, 512);
        if (operator == NORMALISE) return (shape | (2 << 136), 0, 0);
        if (operator == TOP_K) return (_set(shape, last, field(m, spot, 4)) | (2 << 136), 4, 0);
        uint256 dtype = uint256(uint8(x >> 136)) << 136;
        if (operator == TRANSPOSE) {
            ty = rank(x) << 128;
            for (uint256 axis = 0; axis <= last; axis++) ty |= dim(x, field(m, spot + 1 + axis, 1)) << (32 * axis);
            return (ty | dtype, 2 + last, 0);
        }
        require(operator == SLICE, NoSuchOperator(operator));
        return (_set(shape, field(m, spot, 1), field(m, spot + 5, 4)) | dtype, 9, 0);
    }

    /// Places of a window along one axis; `along` is 0 for height, 2 for width.
    function _places(bytes calldata m, uint256 spot, uint256 extent, bool unpadded, uint256 along) private pure returns (uint256) {
        uint256 pads = unpadded ? 0 : field(m, spot + 8 + along, 2) + field(m, spot + 12 + along, 2);
        return (extent + pads - field(m, spot + along, 2)) / field(m, spot + 4 + along, 2) + 1;
    }

    function _set(uint256 ty, uint256 axis, uint256 extent) private pure returns (uint256) {
        return (ty & ~(uint256(type(uint32).max) << (32 * axis))) | (extent << (32 * axis));
    }
}
