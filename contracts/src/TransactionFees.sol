// SPDX-License-Identifier: MIT OR Apache-2.0
// The transaction meter: a block's fee recipient that divides what it receives, in native tokens, by the shares of meter 2.
// Whoever makes blocks names this address as their fee recipient; the priority fees of their transactions come here. Base fees
// do not: they are burned, as Ethereum's rules say.
// Invariant: balance >= owed == sum(claimable) + members * validatorsAcc + validatorsCarry - sum(claimedOf); the parts of what
// is distributed add up to it, and what rounding leaves is the node's. Every amount that was received is distributed once.
// Source: FeeRouter.sol (shares, governor, treasury); Validators.sol (equal parts, the remainder carried).
// What it does not do: it cannot make a block's maker name it. Fees that came in before a change of shares and were not
// distributed are divided by the new shares; anyone can distribute before.
pragma solidity ^0.8.28;

import {FeeRouter} from "./FeeRouter.sol";
import {StakingVault} from "./StakingVault.sol";
import {Validators} from "./Validators.sol";

contract TransactionFees {
    uint256 private constant BASIS_POINTS = 10_000;
    uint8 private constant TRANSACTION = 2;

    FeeRouter public immutable router;
    Validators public immutable validators;
    StakingVault public immutable vault;
    /// @notice Whose the node's part is from now on: who makes the blocks. The router's governor changes it.
    address public node;
    /// @notice Native wei that claim() pays node and treasury, and those before them.
    mapping(address account => uint256) public partOf;
    /// @notice Native wei that each validator has earned since the beginning; fewer than there are members are carried.
    uint256 public validatorsAcc;
    uint256 public validatorsCarry;
    mapping(address member => uint256) public claimedOf;
    /// @notice Native wei that are somebody's here; the rest of the balance waits for distribute().
    uint256 public owed;
    uint256 public totalDistributed;
    uint256 public totalClaimed;

    event Received(address indexed from, uint256 amount);
    event Distributed(
        address indexed node, uint256 amount, uint256 nodePart, uint256 validatorsPart, uint256 holdersPart,
        uint256 treasuryPart
    );
    event Claimed(address indexed account, address indexed to, uint256 amount);
    event NodeChanged(address indexed previous, address indexed node);

    error NotGovernor(address caller);
    error ZeroAddress();
    error NativeTransferFailed(address to, uint256 amount);

    constructor(FeeRouter router_, Validators validators_, StakingVault vault_, address node_) {
        require(node_ != address(0), ZeroAddress());
        router = router_;
        validators = validators_;
        vault = vault_;
        node = node_;
        emit NodeChanged(address(0), node_);
    }

    /// @notice Anyone may add to the fees; a block's fees come without a call.
    receive() external payable {
        emit Received(msg.sender, msg.value);
    }

    /// @notice Divide what came in since the last time; anyone may. Returns zero and does nothing when there is nothing.
    function distribute() external returns (uint256 amount) {
        amount = undistributed();
        if (amount == 0) return 0;
        FeeRouter.Shares memory s = router.sharesOf(TRANSACTION);
        uint256 validatorsPart = (amount * s.validators) / BASIS_POINTS;
        uint256 holders = (amount * s.holders) / BASIS_POINTS;
        uint256 treasuryPart = (amount * s.treasury) / BASIS_POINTS;
        uint256 nodePart = amount - validatorsPart - holders - treasuryPart;
        totalDistributed += amount;
        owed += amount - holders;
        partOf[node] += nodePart;
        partOf[router.treasury()] += treasuryPart;
        uint256 count = validators.members().length;
        uint256 total = validatorsPart + validatorsCarry;
        validatorsAcc += total / count;
        validatorsCarry = total % count;
        emit Distributed(node, amount, nodePart, validatorsPart, holders, treasuryPart);
        if (holders != 0) vault.addNativeReward{value: holders}();
    }

    /// @notice Pay everything of the caller's, as node, treasury and validator, to `to`; zero when there is nothing.
    function claim(address to) external returns (uint256 amount) {
        amount = claimable(msg.sender);
        if (amount == 0) return 0;
        partOf[msg.sender] = 0;
        if (validators.isValidator(msg.sender)) claimedOf[msg.sender] = validatorsAcc;
        owed -= amount;
        totalClaimed += amount;
        emit Claimed(msg.sender, to, amount);
        (bool ok, ) = to.call{value: amount}("");
        require(ok, NativeTransferFailed(to, amount));
    }

    /// @notice Native wei that claim() would pay `account` now.
    function claimable(address account) public view returns (uint256) {
        uint256 asValidator = validators.isValidator(account) ? validatorsAcc - claimedOf[account] : 0;
        return partOf[account] + asValidator;
    }

    /// @notice Native wei that distribute() would divide now.
    function undistributed() public view returns (uint256) {
        return address(this).balance - owed;
    }

    /// @notice Change who receives the node's part from now on; what the old one can claim stays its own.
    function setNode(address node_) external {
        require(msg.sender == router.governor(), NotGovernor(msg.sender));
        require(node_ != address(0), ZeroAddress());
        emit NodeChanged(node, node_);
        node = node_;
    }
}
