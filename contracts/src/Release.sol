// SPDX-License-Identifier: MIT OR Apache-2.0
// Revenue that is released evenly, second by second, and divided by the weights of each second; a Stream over time.
// Time is cut into periods of `length` seconds, counted from the unix epoch. What arrives in one period is released in the
// next: after t of its seconds, floor(amount * t / length) of it. So nobody can shift or stretch what others brought, what is
// released is known a period ahead, and who enters late has no part in what was released before.
// While there is no weight nothing is released: what is there counts as arrived in the period in which the first weight enters.
// Invariant: received == arriving + (releasing - released) + what was divided by Stream's rule, to the unit. With constant
// weight the index depends on the time alone, not on how often it was looked at.
// What it does not do: it moves no money and keeps no weights. Who changes the weight calls advance() before.
pragma solidity ^0.8.28;

import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Stream} from "./Stream.sol";

library Release {
    /// @param arriving Units of this period, to be released in the next.
    /// @param period The period that the other members are of.
    /// @param releasing Units that are released in this period, and `released` how many of them were divided.
    /// @param acc Revenue per unit of weight since the beginning, times Stream.SCALE.
    /// @param carry What the last division left over, times Stream.SCALE.
    struct Flow {
        uint128 arriving;
        uint64 period;
        uint128 releasing;
        uint128 released;
        uint256 acc;
        uint256 carry;
    }

    /// @notice Add `amount` to what arrives now; divides nothing unless a period has ended.
    function add(Flow storage flow, uint256 amount, uint256 weight, uint256 length) internal {
        if (flow.period != block.timestamp / length) advance(flow, weight, length);
        flow.arriving += SafeCast.toUint128(amount);
    }

    /// @notice Divide everything that was released up to now.
    function advance(Flow storage flow, uint256 weight, uint256 length) internal {
        Flow memory next = advanced(flow, weight, length);
        (flow.arriving, flow.period) = (next.arriving, next.period);
        (flow.releasing, flow.released) = (next.releasing, next.released);
        if (next.acc != flow.acc) flow.acc = next.acc;
        if (next.carry != flow.carry) flow.carry = next.carry;
    }

    /// @notice The flow as it is now.
    function advanced(Flow storage stored, uint256 weight, uint256 length) internal view returns (Flow memory flow) {
        flow = stored;
        uint64 period = uint64(block.timestamp / length);
        uint64 passed = period - flow.period;
        flow.period = period;
        if (weight == 0) {
            flow.arriving += flow.releasing - flow.released;
            (flow.releasing, flow.released) = (0, 0);
            return flow;
        }
        uint256 due = 0;
        if (passed != 0) {
            due = flow.releasing - flow.released;
            // Periods that nobody looked at are over: what arrived before the last of them is released in full.
            if (passed > 1) due += flow.arriving;
            (flow.releasing, flow.released) = (passed == 1 ? flow.arriving : 0, 0);
            flow.arriving = 0;
        }
        uint128 released = uint128((uint256(flow.releasing) * (block.timestamp % length)) / length);
        due += released - flow.released;
        flow.released = released;
        if (due != 0) {
            uint256 scaled = due * Stream.SCALE + flow.carry;
            flow.acc += scaled / weight;
            flow.carry = scaled % weight;
        }
    }
}
