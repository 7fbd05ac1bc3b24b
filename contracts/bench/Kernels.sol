// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.24;

// Contracts that compute, to measure machines with: `interlace bench vm`.
// Each has run(n), which does the same thing n times and returns what came of it. They are written to be like what is hot on
// Ethereum: a token's transfers, the mathematics of two kinds of exchanges, hashing, sorting, fixed-point geometry, a small model.
// Nothing of value is ever in them.

/// ERC-20 transfers from the caller to accounts in turns: hashes of mapping slots, loads, stores, logs.
contract TokenKernel {
    event Transfer(address indexed from, address indexed to, uint256 value);

    mapping(address => uint256) private balances;

    function transfer(address to, uint256 value) public returns (bool) {
        uint256 balance = balances[msg.sender];
        require(balance >= value, "balance");
        unchecked {
            balances[msg.sender] = balance - value;
        }
        balances[to] += value;
        emit Transfer(msg.sender, to, value);
        return true;
    }

    function run(uint256 n) external returns (uint256) {
        balances[msg.sender] = n;
        for (uint256 i = 0; i < n; i++) {
            transfer(address(uint160(0x1000 + (i & 7))), 1);
        }
        return balances[address(0x1000)];
    }
}

/// Swaps in a pool with a constant product: products, quotients, and the root of the product (Newton).
contract PoolKernel {
    function amountOut(uint256 amountIn, uint256 reserveIn, uint256 reserveOut) public pure returns (uint256) {
        require(amountIn > 0 && reserveIn > 0 && reserveOut > 0, "amounts");
        uint256 withFee = amountIn * 997;
        return (withFee * reserveOut) / (reserveIn * 1000 + withFee);
    }

    function root(uint256 square) public pure returns (uint256 result) {
        if (square < 4) return square == 0 ? 0 : 1;
        result = square;
        uint256 next = square / 2 + 1;
        while (next < result) {
            result = next;
            next = (square / next + next) / 2;
        }
    }

    function run(uint256 n) external pure returns (uint256 liquidity) {
        (uint256 one, uint256 other) = (5_000 ether, 11_000_000 ether);
        for (uint256 i = 1; i <= n; i++) {
            uint256 amount = i * 1e15;
            if (i & 1 == 0) {
                uint256 out = amountOut(amount, one, other);
                (one, other) = (one + amount, other - out);
            } else {
                uint256 out = amountOut(amount * 2200, other, one);
                (one, other) = (one - out, other + amount * 2200);
            }
            if (i & 15 == 0) liquidity = root(one * other);
        }
        liquidity = root(one * other);
    }
}

/// Prices of ticks: 1.0001^(tick / 2) as a fraction of 2^128, by squaring, and full products of 512 bits.
contract TickKernel {
    function mulDiv(uint256 a, uint256 b, uint256 denominator) public pure returns (uint256 result) {
        unchecked {
            uint256 low = a * b;
            uint256 rest = mulmod(a, b, type(uint256).max);
            uint256 high = rest - low - (rest < low ? 1 : 0);
            if (high == 0) return low / denominator;
            require(denominator > high, "product");
            rest = mulmod(a, b, denominator);
            high -= rest > low ? 1 : 0;
            low -= rest;
            uint256 twos = denominator & (~denominator + 1);
            denominator /= twos;
            low = low / twos + high * ((0 - twos) / twos + 1);
            uint256 inverse = (3 * denominator) ^ 2;
            for (uint256 i = 0; i < 6; i++) inverse *= 2 - denominator * inverse;
            result = low * inverse;
        }
    }

    function ratio(uint256 tick) public pure returns (uint256 result) {
        // The root of 1.0001, and then its squares, as fractions of 2^128.
        uint256 power = (uint256(1) << 128) + 17013693014354590797691252010145372;
        result = 1 << 128;
        while (tick > 0) {
            if (tick & 1 == 1) result = mulDiv(result, power, 1 << 128);
            power = mulDiv(power, power, 1 << 128);
            tick >>= 1;
        }
    }

    function run(uint256 n) external pure returns (uint256 sum) {
        for (uint256 i = 0; i < n; i++) {
            uint256 price = ratio((i * 7919) % 65_536);
            unchecked {
                sum += mulDiv(price, price + i, 3 + (price >> 3));
            }
        }
    }
}

/// A chain of hashes of 64 bytes.
contract HashKernel {
    function run(uint256 n) external pure returns (bytes32 state) {
        for (uint256 i = 0; i < n; i++) state = keccak256(abi.encode(state, i));
    }
}

/// Sorting n numbers in memory (Hoare's quicksort).
contract SortKernel {
    function sort(uint256[] memory values, int256 left, int256 right) internal pure {
        while (left < right) {
            (int256 i, int256 j) = (left, right);
            uint256 pivot = values[uint256(left + (right - left) / 2)];
            while (i <= j) {
                while (values[uint256(i)] < pivot) i++;
                while (values[uint256(j)] > pivot) j--;
                if (i <= j) {
                    (values[uint256(i)], values[uint256(j)]) = (values[uint256(j)], values[uint256(i)]);
                    i++;
                    j--;
                }
            }
            if (j - left < right - i) {
                sort(values, left, j);
                left = i;
            } else {
                sort(values, i, right);
                right = j;
            }
        }
    }

    function run(uint256 n) external pure returns (uint256) {
        uint256[] memory values = new uint256[](n);
        uint256 state = 88_172_645_463_325_252;
        for (uint256 i = 0; i < n; i++) {
            unchecked {
                state = (state * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) & type(uint64).max;
            }
            values[i] = state >> 16;
        }
        if (n > 1) sort(values, 0, int256(n) - 1);
        for (uint256 i = 1; i < n; i++) require(values[i - 1] <= values[i], "order");
        return n == 0 ? 0 : values[n / 2];
    }
}

/// Rays against spheres, in fixed point with six digits: signed products, quotients, roots, comparisons.
contract RayKernel {
    int256 private constant ONE = 1e6;

    struct Vector {
        int256 x;
        int256 y;
        int256 z;
    }

    function dot(Vector memory a, Vector memory b) internal pure returns (int256) {
        return (a.x * b.x + a.y * b.y + a.z * b.z) / ONE;
    }

    function root(int256 square) internal pure returns (int256 result) {
        result = square;
        int256 next = (square + ONE) / 2;
        while (next < result) {
            result = next;
            next = ((square * ONE) / next + next) / 2;
        }
    }

    function hit(Vector memory from, Vector memory along, Vector memory center, int256 radius)
        internal
        pure
        returns (int256)
    {
        Vector memory off = Vector(center.x - from.x, center.y - from.y, center.z - from.z);
        int256 along_ = dot(off, along);
        int256 square = (along_ * along_) / ONE - dot(off, off) + (radius * radius) / ONE;
        if (square < 0) return 0;
        int256 half = root(square);
        return along_ - half > 1000 ? along_ - half : along_ + half > 1000 ? along_ + half : int256(0);
    }

    function run(uint256 n) external pure returns (int256 sum) {
        Vector memory from = Vector(0, 0, -10 * ONE);
        for (uint256 i = 0; i < n; i++) {
            int256 x = int256(i % 64) * 2_500 - 80_000;
            int256 y = int256((i / 64) % 64) * 2_500 - 80_000;
            int256 length = root((x * x + y * y) / ONE + ONE);
            Vector memory along = Vector((x * ONE) / length, (y * ONE) / length, (ONE * ONE) / length);
            for (int256 k = 0; k < 4; k++) {
                sum += hit(from, along, Vector(k * ONE - 2 * ONE, ONE - k * ONE, k * ONE), ONE + k * 300_000);
            }
        }
    }
}

/// A model of 16 inputs, 16 hidden units and 4 outputs with weights of 8 bits: what inference costs without an instruction for it.
contract ModelKernel {
    function weight(uint256 number) internal pure returns (int256) {
        unchecked {
            return int256((number * 2_654_435_761) >> 8 & 0xff) - 128;
        }
    }

    function run(uint256 n) external pure returns (uint256 answers) {
        int256[] memory hidden = new int256[](16);
        for (uint256 i = 0; i < n; i++) {
            for (uint256 unit = 0; unit < 16; unit++) {
                int256 sum = 0;
                for (uint256 input = 0; input < 16; input++) {
                    sum += weight(unit * 16 + input) * (int256((i * 31 + input * 17) & 0xff) - 128);
                }
                sum >>= 7;
                hidden[unit] = sum < 0 ? int256(0) : sum > 127 ? int256(127) : sum;
            }
            (uint256 best, int256 most) = (0, type(int256).min);
            for (uint256 output = 0; output < 4; output++) {
                int256 sum = 0;
                for (uint256 unit = 0; unit < 16; unit++) sum += weight(256 + output * 16 + unit) * hidden[unit];
                if (sum > most) (best, most) = (output, sum);
            }
            answers = addmod(answers * 5, best, type(uint128).max);
        }
    }
}

/// Signatures, each recovered by the precompile and compared: what wallets and permits do.
contract SignatureKernel {
    function run(uint256 n) external view returns (uint256 found) {
        for (uint256 i = 0; i < n; i++) {
            bytes32 message = keccak256(abi.encodePacked("\x19\x01", block.chainid, i));
            // Some signature: whoever it recovers to, recovering costs the same.
            bytes32 r = bytes32(uint256(0x79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798));
            bytes32 s = bytes32((uint256(message) >> 1) | 1);
            if (ecrecover(message, 27, r, s) != address(0)) found++;
        }
    }
}
