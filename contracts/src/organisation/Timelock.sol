// SPDX-License-Identifier: MIT OR Apache-2.0
// The hands of an organisation: it owns the organisation's classes and money, and does what was voted, after a delay.
// Invariant: only the organisation schedules, executes and cancels; the factory, which sets that up, keeps no role.
// Source: OpenZeppelin's TimelockController.
// What it does not do: it decides nothing; whoever the organisation names as a proposer later has that power, by vote alone.
pragma solidity ^0.8.28;

import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";

contract Timelock is TimelockController {
    constructor(uint256 delay) TimelockController(delay, new address[](0), new address[](0), msg.sender) {}
}
