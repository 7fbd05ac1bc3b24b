// SPDX-License-Identifier: MIT OR Apache-2.0
// What a contract that collects fees asks of the one that divides them.
// Invariant: `amount` credit-wei leave the caller, who approved the router before, and all of them are divided.
// Source: FeeRouter.sol. Meters: 0 compute (Settlement), 1 data validation (DataValidation). Meter 2, transactions, is paid in
// native tokens and divided by TransactionFees.
// What it does not do: it names no recipient but the node and the class; the shares of the meter name the others.
pragma solidity ^0.8.28;

interface IRouter {
    /// @notice Take `amount` credits from the caller and divide them by the shares of `meter`.
    /// @param node Who did the work that the fee pays for.
    /// @param classId The class that served, or that was validated.
    function route(uint8 meter, address node, uint256 classId, uint256 amount) external;
}
