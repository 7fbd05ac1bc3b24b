// SPDX-License-Identifier: MIT OR Apache-2.0
// Public random numbers in rounds; what a contract that draws needs to know, and nothing of how they are made.
// Invariant: before endsAt(round) nobody can read its value from here; from then on hasValue and value never change. When a
// call asks for nextRound(), nothing that the value will depend on has been put in yet.
// Source: docs/data-validation.md, "The beacon".
// What it does not do: it does not say who could have known or moved a value; the implementation does. A threshold beacon
// can stand behind the same five functions.
pragma solidity ^0.8.28;

interface IBeacon {
    /// @notice The value is asked for before the round is over.
    error NotOver(uint256 round, uint256 endsAt);
    /// @notice The round is over and has no value; take a later one.
    error NoValue(uint256 round);

    /// @notice The first round for which nothing has been put in.
    function nextRound() external view returns (uint256 round);

    /// @notice Unix second from which the round is over.
    function endsAt(uint256 round) external view returns (uint256);

    /// @notice Most seconds from a question for nextRound() until that round is over.
    function maxWait() external view returns (uint256);

    /// @notice Whether a round that is over has a value; reverts with NotOver before.
    function hasValue(uint256 round) external view returns (bool);

    /// @notice The value; reverts with NotOver or NoValue.
    function value(uint256 round) external view returns (bytes32);
}
