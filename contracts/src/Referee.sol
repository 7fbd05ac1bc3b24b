// SPDX-License-Identifier: MIT OR Apache-2.0
// One element of one value, computed again from opened tiles of what it reads and from weights that lie on the chain.
// Invariant: with true operands and true sums, `result` is the element that docs/integer-programs.md defines, for all 17
// operators; an element that reads many others is a sum of `terms` of which any range can be checked on its own.
// Source: docs/integer-programs.md, "Arithmetic"; docs/disputes.md, "Sums".
// What it does not do: it takes no position on who is right, and reads no tile that was not opened under the trace's root.
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Graphs} from "./Graphs.sol";
import {Tiles} from "./Tiles.sol";

contract Referee {
    using Graphs for uint256;

    /// What no element can be: the sums that it would follow from cannot be.
    int256 internal constant IMPOSSIBLE = type(int256).min;
    /// Of a softmax's sum: one for each element that is as large as the largest is said to be, and one for each that is larger.
    int256 internal constant EQUAL = 1 << 40;
    int256 internal constant LARGER = 1 << 80;

    /// @param node The node whose element is in dispute.
    /// @param element Its place in the node's result.
    /// @param claimed The element as the trace has it.
    /// @param largest Of a softmax's row, as the prover says.
    struct Task {
        uint256 node;
        uint256 element;
        int256 claimed;
        int256 largest;
        uint256 source;
    }

    /// @notice How many terms an element of a node's result is the sum of; none if it follows from one or two others.
    function termsOf(bytes calldata m, Task memory t) external pure returns (uint256) {
        Graphs.Graph memory g = Graphs.read(m);
        _source(g, t);
        return terms(g, m, t);
    }

    /// @notice The terms from `from` to before `to`, added.
    function sumOf(
        bytes calldata m,
        bytes32 traceRoot,
        Task memory t,
        uint256 from,
        uint256 to,
        Tiles.Opening[] calldata openings,
        Tiles.Chunk[] calldata chunks
    ) external view returns (int256) {
        Graphs.Graph memory g = Graphs.read(m);
        _source(g, t);
        return sum(g, m, Tiles.open(g, traceRoot, openings, chunks), t, from, to);
    }

    /// @notice The element that follows from this sum of all its terms, and how many they are.
    function resultOf(
        bytes calldata m,
        bytes32 traceRoot,
        Task memory t,
        int256 total,
        Tiles.Opening[] calldata openings,
        Tiles.Chunk[] calldata chunks
    ) external view returns (int256, uint256) {
        Graphs.Graph memory g = Graphs.read(m);
        _source(g, t);
        return (result(g, m, Tiles.open(g, traceRoot, openings, chunks), t, total), terms(g, m, t));
    }

    /// The node whose terms are added: the same, or the product whose sums it brings to 8 bits.
    function _source(Graphs.Graph memory g, Task memory t) private pure {
        uint256 operand = uint16(g.nodes[t.node] >> 16);
        t.source = g.types[operand].hidden() ? operand - 1 : t.node;
    }

    /// How many terms the element is the sum of; none if it follows from one or two others.
    function terms(Graphs.Graph memory g, bytes calldata m, Task memory t) internal pure returns (uint256) {
        uint256 packed = g.nodes[t.source];
        uint256 operator = uint16(packed);
        uint256 x = g.types[uint16(packed >> 16)];
        uint256 spot = uint32(packed >> 48);
        if (operator == Graphs.SOFTMAX && Graphs.field(m, spot, 1) == 1) return _seen(x, t.element);
        if (operator == Graphs.MATMUL || operator == Graphs.MULTIPLY) return x.channels();
        if (operator == Graphs.ARGMAX || (operator >= Graphs.SOFTMAX && operator <= Graphs.TOP_K)) return x.channels();
        if (operator == Graphs.CONV2D) return Graphs.field(m, spot, 2) * Graphs.field(m, spot + 2, 2) * x.channels();
        if (operator == Graphs.MAX_POOL || operator == Graphs.AVERAGE_POOL) {
            return Graphs.field(m, spot, 2) * Graphs.field(m, spot + 2, 2);
        }
        return 0;
    }

    /// Elements of a causal softmax's row that count.
    function _seen(uint256 x, uint256 element) private pure returns (uint256) {
        uint256 n = x.channels();
        return (element / n) % n + 1;
    }

    /// The terms from `from` to before `to`, added.
    function sum(Graphs.Graph memory g, bytes calldata m, Tiles.Evidence memory e, Task memory t, uint256 from, uint256 to)
        internal
        view
        returns (int256 total)
    {
        for (uint256 i = from; i < to; i++) total += _term(g, m, e, t, i);
    }

    function _term(Graphs.Graph memory g, bytes calldata m, Tiles.Evidence memory e, Task memory t, uint256 i)
        private
        view
        returns (int256)
    {
        uint256 packed = g.nodes[t.source];
        uint256 operator = uint16(packed);
        uint256 a = uint16(packed >> 16);
        uint256 x = g.types[a];
        uint256 depth = x.channels();
        if (operator == Graphs.MATMUL) {
            uint256 n = g.types[t.source + 1].channels();
            int256 weight = Tiles.weight8(e, uint32(packed >> 80) + i * n + t.element % n);
            return Tiles.element(e, a, x.width(), t.element / n * depth + i) * weight;
        }
        if (operator == Graphs.MULTIPLY) return _pair(g, e, packed, t.element, i, Graphs.field(m, uint32(packed >> 48), 1) == 1);
        if (operator == Graphs.CONV2D) {
            uint256 n = g.types[t.source + 1].channels();
            (bool inside, uint256 place) = _under(m, uint32(packed >> 48), x, g.types[t.source + 1], t.element / n, i / depth, true);
            if (!inside) return 0;
            int256 weight = Tiles.weight8(e, uint32(packed >> 80) + i * n + t.element % n);
            return Tiles.element(e, a, 1, place * depth + i % depth) * weight;
        }
        if (operator == Graphs.MAX_POOL || operator == Graphs.AVERAGE_POOL) {
            bool padded = operator == Graphs.MAX_POOL;
            (bool inside, uint256 place) =
                _under(m, uint32(packed >> 48), x, g.types[t.source + 1], t.element / depth, i, padded);
            if (!inside) return 0;
            int256 under = Tiles.element(e, a, 1, place * depth + t.element % depth);
            if (!padded) return under;
            return under > t.claimed ? EQUAL : under == t.claimed ? int256(1) : int256(0);
        }
        uint256 row = t.element / g.types[t.source + 1].channels() * depth;
        int256 value = Tiles.element(e, a, x.width(), row + i);
        if (operator == Graphs.SOFTMAX) {
            if (value > t.largest) return LARGER;
            int256 share = Tiles.weight16(e, uint32(packed >> 80) + 2 * uint256(t.largest - value));
            return value == t.largest ? share + EQUAL : share;
        }
        if (operator == Graphs.NORMALISE) return ((value * value) << 32) + value + 128;
        // What stands before the claimed index in the order of the largest: what is larger, and equals with lower indices.
        int256 chosen = Tiles.element(e, a, x.width(), row + uint256(t.claimed));
        return value > chosen || (value == chosen && int256(i) < t.claimed) ? int256(1) : int256(0);
    }

    /// One product of two values.
    function _pair(Graphs.Graph memory g, Tiles.Evidence memory e, uint256 packed, uint256 element, uint256 i, bool transposed)
        private
        pure
        returns (int256)
    {
        (uint256 a, uint256 b) = (uint16(packed >> 16), uint16(packed >> 32));
        (uint256 x, uint256 y) = (g.types[a], g.types[b]);
        (uint256 k, uint256 last) = (x.channels(), x.rank() - 1);
        uint256 n = y.dim(transposed ? last - 1 : last);
        uint256 row = element / n;
        uint256 matrix = row / x.dim(last - 1) * k * n;
        uint256 place = transposed ? element % n * k + i : i * n + element % n;
        return Tiles.element(e, a, 1, row * k + i) * Tiles.element(e, b, 1, matrix + place);
    }

    /// Whether place `i` under a window lies in the image, and which pixel it is.
    function _under(bytes calldata m, uint256 spot, uint256 x, uint256 out, uint256 place, uint256 i, bool padded)
        private
        pure
        returns (bool, uint256)
    {
        uint256 width = Graphs.field(m, spot + 2, 2);
        uint256 row = place / out.dim(1) * Graphs.field(m, spot + 4, 2) + i / width;
        uint256 column = place % out.dim(1) * Graphs.field(m, spot + 6, 2) + i % width;
        (uint256 top, uint256 left) = padded ? (Graphs.field(m, spot + 8, 2), Graphs.field(m, spot + 10, 2)) : (0, 0);
        if (row < top || column < left || row - top >= x.dim(0) || column - left >= x.dim(1)) return (false, 0);
        return (true, (row - top) * x.dim(1) + column - left);
    }

    /// The element, from the sum of its terms.
    function result(Graphs.Graph memory g, bytes calldata m, Tiles.Evidence memory e, Task memory t, int256 total)
        internal
        view
        returns (int256)
    {
        uint256 packed = g.nodes[t.source];
        uint256 operator = uint16(packed);
        if (operator == Graphs.MATMUL || operator == Graphs.CONV2D || operator == Graphs.MULTIPLY) {
            if (operator != Graphs.MULTIPLY) {
                uint256 n = g.types[t.source + 1].channels();
                uint256 bias = uint32(packed >> 80) + terms(g, m, t) * n;
                total += Tiles.weight32(e, bias + 4 * (t.element % n));
            }
            return t.source == t.node ? total : _requantised(g, m, e, t, total);
        }
        uint256 x = g.types[uint16(packed >> 16)];
        if (operator == Graphs.MAX_POOL) return total >= 1 && total < EQUAL ? t.claimed : IMPOSSIBLE;
        if (operator == Graphs.AVERAGE_POOL) {
            int256 count = int256(terms(g, m, t));
            return _floor(2 * total + count, 2 * count);
        }
        if (operator == Graphs.ARGMAX || operator == Graphs.TOP_K) {
            if (t.claimed < 0 || uint256(t.claimed) >= x.channels()) return IMPOSSIBLE;
            return total == int256(t.element % g.types[t.node + 1].channels()) ? t.claimed : IMPOSSIBLE;
        }
        if (operator == Graphs.SOFTMAX) return _share(g, m, e, t, total);
        if (operator == Graphs.NORMALISE) return _normalised(e, packed, x, t.element, total);
        return _follows(g, m, e, t);
    }

    function _share(Graphs.Graph memory g, bytes calldata m, Tiles.Evidence memory e, Task memory t, int256 total)
        private
        view
        returns (int256)
    {
        uint256 packed = g.nodes[t.node];
        uint256 a = uint16(packed >> 16);
        if (t.element % g.types[a].channels() >= terms(g, m, t)) return 0;
        int256 all = total % EQUAL;
        if (total < EQUAL || total >= LARGER || all == 0) return IMPOSSIBLE;
        int256 value = Tiles.element(e, a, 1, t.element);
        if (value > t.largest) return IMPOSSIBLE;
        int256 share = Tiles.weight16(e, uint32(packed >> 80) + 2 * uint256(t.largest - value));
        return (254 * share + all) / (2 * all);
    }

    function _normalised(Tiles.Evidence memory e, uint256 packed, uint256 x, uint256 element, int256 total)
        private
        pure
        returns (int256)
    {
        if (total < 0 || total >= 1 << 64) return IMPOSSIBLE;
        int256 n = int256(x.channels());
        int256 sum_ = (total & 0xffffffff) - 128 * n;
        int256 spread = n * (total >> 32) - sum_ * sum_;
        if (spread < 0) return IMPOSSIBLE;
        int256 root = int256(Math.sqrt(uint256(spread) << 24));
        if (root == 0) return 0;
        int256 deviation = n * Tiles.element(e, uint16(packed >> 16), 1, element) - sum_;
        return _floor((deviation << 25) + root, 2 * root);
    }

    /// Operators of which an element follows from one or two others.
    function _follows(Graphs.Graph memory g, bytes calldata m, Tiles.Evidence memory e, Task memory t)
        private
        view
        returns (int256)
    {
        uint256 packed = g.nodes[t.node];
        uint256 operator = uint16(packed);
        (uint256 a, uint256 spot) = (uint16(packed >> 16), uint32(packed >> 48));
        uint256 x = g.types[a];
        int256 value = Tiles.element(e, a, x.width(), _from(g, m, t, operator, spot, x));
        if (operator == Graphs.REQUANTISE) return _requantised(g, m, e, t, value);
        if (operator == Graphs.TABLE) return Tiles.weight8(e, uint32(packed >> 80) + uint256(value + 128));
        if (operator == Graphs.CLAMP) return _clamp(value, Graphs.signed(m, spot), Graphs.signed(m, spot + 1));
        if (operator == Graphs.ADD_I32 || operator == Graphs.ADD_I8) {
            uint256 b = uint16(packed >> 32);
            int256 other = Tiles.element(e, b, x.width(), t.element);
            if (operator == Graphs.ADD_I32) return value + other;
            value = value * int256(Graphs.field(m, spot, 4)) + other * int256(Graphs.field(m, spot + 4, 4));
            return _rescale(m, spot + 8, value);
        }
        return value;
    }

    /// Which element of the operand the element is made from.
    function _from(Graphs.Graph memory g, bytes calldata m, Task memory t, uint256 operator, uint256 spot, uint256 x)
        private
        pure
        returns (uint256 place)
    {
        if (operator == Graphs.SLICE) {
            uint256 axis = Graphs.field(m, spot, 1);
            uint256 inner = x.elements(axis + 1);
            uint256 taken = Graphs.field(m, spot + 5, 4) * inner;
            return t.element / taken * x.dim(axis) * inner + Graphs.field(m, spot + 1, 4) * inner + t.element % taken;
        }
        if (operator != Graphs.TRANSPOSE) return t.element;
        uint256 rest = t.element;
        for (uint256 axis = x.rank(); axis > 0; axis--) {
            uint256 extent = g.types[t.node + 1].dim(axis - 1);
            place += rest % extent * x.elements(Graphs.field(m, spot + axis, 1) + 1);
            rest /= extent;
        }
    }

    function _requantised(Graphs.Graph memory g, bytes calldata m, Tiles.Evidence memory e, Task memory t, int256 value)
        private
        view
        returns (int256)
    {
        uint256 packed = g.nodes[t.node];
        uint256 spot = uint32(packed >> 48);
        int256 multiplier = Graphs.field(m, spot + 3, 1) == 0
            ? int256(Graphs.field(m, spot + 4, 4))
            : Tiles.weight32(e, uint32(packed >> 80) + 4 * (t.element % g.types[t.node + 1].channels()));
        return _rescale(m, spot, value * multiplier);
    }

    /// Divides by 2^shift, rounds half up, clamps; shift and bounds stand at `spot`.
    function _rescale(bytes calldata m, uint256 spot, int256 value) private pure returns (int256) {
        uint256 shift = Graphs.field(m, spot, 1);
        int256 half = int256(1 << (shift - 1));
        return _clamp((value + half) >> shift, Graphs.signed(m, spot + 1), Graphs.signed(m, spot + 2));
    }

    function _clamp(int256 value, int256 lo, int256 hi) private pure returns (int256) {
        return value < lo ? lo : value > hi ? hi : value;
    }

    /// Division towards -infinity; `divisor` is positive.
    function _floor(int256 value, int256 divisor) private pure returns (int256) {
        int256 quotient = value / divisor;
        return value % divisor < 0 ? quotient - 1 : quotient;
    }
}
