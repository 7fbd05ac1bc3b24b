// SPDX-License-Identifier: MIT OR Apache-2.0
// How a contract of ours hands a fee to the router: one function.
// Invariant: the router takes exactly `amount` credits from its caller, or reverts.
// Source: docs/contracts.md, "The division of a fee".
// What it does not do: it says nothing about who may call; the router refuses everyone else.
pragma solidity ^0.8.28;

interface IRouter {
    /// @notice Divide `amount` credit-wei of the caller. Meters: 0 compute, 1 data validation, 2 transaction.
    function route(uint8 meter, address node, uint256 classId, uint256 amount) external;
}
