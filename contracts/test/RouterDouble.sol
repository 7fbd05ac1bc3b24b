// SPDX-License-Identifier: MIT OR Apache-2.0
// A router that keeps what it is given and remembers for whom, so that a test of what calls it needs no shares and no classes.
// Invariant: its credit balance is the sum of `received`; it can be told to refuse.
// What it does not do: it divides nothing.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {IRouter} from "../src/interfaces/IRouter.sol";

contract RouterDouble is IRouter {
    IERC20 private immutable _credit;
    mapping(address node => uint256) public received;
    uint8 public lastMeter;
    uint256 public lastClass;
    bool public refuses;

    error Refuses();

    constructor(IERC20 credit) {
        _credit = credit;
    }

    function refuse(bool refuses_) external {
        refuses = refuses_;
    }

    function route(uint8 meter, address node, uint256 classId, uint256 amount) external {
        require(!refuses, Refuses());
        (lastMeter, lastClass) = (meter, classId);
        received[node] += amount;
        _credit.transferFrom(msg.sender, address(this), amount);
    }
}
