// SPDX-License-Identifier: MIT OR Apache-2.0
// Revenue divided by weight without looping over the owners of the weights.
// Invariant: acc * (weights over time) + carry * 1 equals everything distributed times SCALE; no unit is lost or made.
// Source: the accumulated-revenue-per-share index of draft ERC-8028 section 6.7, with the remainder carried.
// What it does not do: it keeps no weights; the caller does, and settles an owner's accrual before a weight changes.
pragma solidity ^0.8.28;

library Stream {
    /// @dev Fixed point of every index and accrual, as ERC-8028 asks.
    uint256 internal constant SCALE = 1e18;

    /// @param acc Revenue per unit of weight since the beginning, times SCALE.
    /// @param carry Revenue times SCALE that the last division left over; it joins the next distribution.
    struct Pool {
        uint256 acc;
        uint256 carry;
    }

    /// @notice Divide `amount` by `totalWeight`: acc += (amount * SCALE + carry) / totalWeight, the rest is carried.
    /// @dev With no weight everything is carried to the first distribution that has some.
    function distribute(Pool storage pool, uint256 amount, uint256 totalWeight) internal {
        uint256 scaled = amount * SCALE + pool.carry;
        if (totalWeight == 0) {
            pool.carry = scaled;
        } else {
            pool.acc += scaled / totalWeight;
            pool.carry = scaled % totalWeight;
        }
    }
}
