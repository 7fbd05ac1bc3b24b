// SPDX-License-Identifier: MIT OR Apache-2.0
// The hands of an organisation: it owns the organisation's classes, tokens and money, and does what was voted, after a delay.
// Invariant: only the organisation schedules, executes and cancels; the factory, which sets that up, keeps no role. What its tokens earn
// in credits goes where the policy's shares say, whoever asks for it.
// Source: OpenZeppelin's TimelockController; docs/organisations.md.
// What it does not do: it decides nothing; whoever the organisation names as a proposer later has that power, by vote alone.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {TimelockController} from "@openzeppelin/contracts/governance/TimelockController.sol";
import {IDATCore} from "../interfaces/IDATCore.sol";
import {Policy} from "./Policy.sol";

contract Timelock is TimelockController {
    using SafeERC20 for IERC20;

    IDATCore public immutable assets;
    address private immutable _maker;
    /// @notice By whose shares revenue is divided.
    Policy public policy;

    event Collected(uint256 indexed tokenId, uint256 indexed classId, uint256 amount);

    error NotMaker(address caller);
    error Bound(address policy);

    constructor(uint256 delay, IDATCore assets_)
        TimelockController(delay, new address[](0), new address[](0), msg.sender)
    {
        (assets, _maker) = (assets_, msg.sender);
    }

    /// @notice Name the policy, which is made after the timelock; once, by the factory.
    function bind(Policy policy_) external {
        require(msg.sender == _maker, NotMaker(msg.sender));
        require(address(policy) == address(0), Bound(address(policy)));
        policy = policy_;
    }

    /// @notice Divide what a token of the organisation has earned in credits by the shares of its class; anyone may.
    function collect(uint256 tokenId) external returns (uint256 amount) {
        uint256 classId = assets.classOf(tokenId);
        IERC20 credit = policy.credit();
        amount = assets.claim(tokenId, address(credit), payable(address(this)));
        emit Collected(tokenId, classId, amount);
        if (amount == 0) return 0;
        credit.forceApprove(address(policy), amount);
        policy.divide(classId, amount);
    }
}
