// SPDX-License-Identifier: MIT OR Apache-2.0
// The validators who decide challenges, and their equal part of every fee.
// Invariant: members * acc + carry == rewarded, where member i was paid claimed[i] of acc. The set never changes here:
// there is no owner; a new set comes with a fork that replaces the contract.
// What it does not do: it counts no votes (Settlement does) and slashes nobody.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

contract Validators {
    using SafeERC20 for IERC20;

    /// @notice At most as many as one block can comfortably construct.
    uint256 public constant MAX_MEMBERS = 64;
    /// @notice The token that rewards are paid in.
    IERC20 public immutable credit;
    /// @notice Votes that decide a challenge: more than half of the members, so at most one side can reach it.
    uint256 public immutable threshold;
    address[] private _members;
    mapping(address account => bool) public isValidator;
    /// @notice Credit-wei that each member has earned since the beginning.
    uint256 public acc;
    /// @notice Credit-wei that the last division left over, always fewer than there are members.
    uint256 public carry;
    mapping(address account => uint256) public claimed;

    event MemberAdded(address indexed member);
    event Rewarded(address indexed from, uint256 amount, uint256 eachReceives);
    event Claimed(address indexed member, address indexed to, uint256 amount);

    error ZeroAmount();
    error BadMemberCount(uint256 count);
    error BadMember(address member);
    error BadThreshold(uint256 threshold, uint256 members);
    error NotValidator(address account);

    constructor(IERC20 credit_, address[] memory members_, uint256 threshold_) {
        uint256 count = members_.length;
        require(count != 0 && count <= MAX_MEMBERS, BadMemberCount(count));
        require(threshold_ <= count && 2 * threshold_ > count, BadThreshold(threshold_, count));
        for (uint256 i = 0; i < count; ++i) {
            require(members_[i] != address(0) && !isValidator[members_[i]], BadMember(members_[i]));
            isValidator[members_[i]] = true;
            emit MemberAdded(members_[i]);
        }
        credit = credit_;
        threshold = threshold_;
        _members = members_;
    }

    /// @notice Take `amount` credits from the caller and divide them equally; anyone may. The remainder is carried.
    function addReward(uint256 amount) external {
        require(amount != 0, ZeroAmount());
        credit.safeTransferFrom(msg.sender, address(this), amount);
        uint256 total = amount + carry;
        uint256 each = total / _members.length;
        acc += each;
        carry = total % _members.length;
        emit Rewarded(msg.sender, amount, each);
    }

    /// @notice Pay the calling member's credits to `to`; returns zero and does nothing when there are none.
    function claim(address to) external returns (uint256 amount) {
        require(isValidator[msg.sender], NotValidator(msg.sender));
        amount = acc - claimed[msg.sender];
        if (amount == 0) return 0;
        claimed[msg.sender] = acc;
        emit Claimed(msg.sender, to, amount);
        credit.safeTransfer(to, amount);
    }

    /// @notice Credits that claim() would pay `account` now.
    function claimable(address account) external view returns (uint256) {
        return isValidator[account] ? acc - claimed[account] : 0;
    }

    function members() external view returns (address[] memory) {
        return _members;
    }
}
