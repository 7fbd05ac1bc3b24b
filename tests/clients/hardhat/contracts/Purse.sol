// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {console} from "hardhat/console.sol";

/// @notice Coins that open at a time: enough of a contract for values, time, events, errors and storage.
contract Purse {
    struct Deposit {
        uint128 amount;
        uint64 opensAt;
    }

    error TooEarly(uint64 opensAt, uint256 time);
    error Nothing(address owner);

    event Deposited(address indexed owner, uint256 amount, uint64 opensAt);
    event Withdrawn(address indexed owner, uint256 amount);

    uint64 public immutable delay;
    mapping(address owner => Deposit) public deposits;

    constructor(uint64 delay_) {
        delay = delay_;
    }

    receive() external payable {
        deposit();
    }

    function deposit() public payable {
        require(msg.value > 0, "no coins");
        Deposit storage mine = deposits[msg.sender];
        mine.amount += uint128(msg.value);
        mine.opensAt = uint64(block.timestamp) + delay;
        console.log("deposit of %d by %s", msg.value, msg.sender);
        emit Deposited(msg.sender, msg.value, mine.opensAt);
    }

    function withdraw() external returns (uint256 amount) {
        Deposit memory mine = deposits[msg.sender];
        if (mine.amount == 0) revert Nothing(msg.sender);
        if (block.timestamp < mine.opensAt) revert TooEarly(mine.opensAt, block.timestamp);
        delete deposits[msg.sender];
        amount = mine.amount;
        emit Withdrawn(msg.sender, amount);
        (bool paid,) = msg.sender.call{value: amount}("");
        require(paid, "not paid");
    }
}
