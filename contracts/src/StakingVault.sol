// SPDX-License-Identifier: MIT OR Apache-2.0
// Native tokens staked for votes and for the holders' part of every fee, which arrives in credits.
// Invariant: sum(accrued + stake * (acc - paid)) + claimed * SCALE + carry == rewarded * SCALE, exactly; the native
// balance is at least the sum of stakes; votes cannot be transferred, only delegated.
// Sources: ERC-5805 (OpenZeppelin Votes, clock = block number), Stream.sol.
// What it does not do: it emits nothing of its own and slashes nobody. Rewards that arrive while nothing is staked are
// carried, and are divided together with the next reward that finds a stake, by the stakes of that moment.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {Votes} from "@openzeppelin/contracts/governance/utils/Votes.sol";
import {Stream} from "./Stream.sol";

contract StakingVault is Votes {
    using SafeERC20 for IERC20;
    using Stream for Stream.Pool;

    /// @param stake Native tokens, in wei.
    /// @param paid The index up to which `accrued` is complete.
    /// @param accrued Unclaimed reward times SCALE; a claim leaves the fraction here.
    /// @param unlockAt Unix seconds before which nothing can be unstaked.
    struct Holder {
        uint256 stake;
        uint256 paid;
        uint256 accrued;
        uint64 unlockAt;
    }

    /// @notice The token that rewards are paid in.
    IERC20 public immutable credit;
    /// @notice Seconds for which a stake stays after the holder's last stake(); makes a stake around one reward costly.
    uint64 public immutable lockSeconds;
    /// @notice Sum of all stakes, in wei.
    uint256 public totalStake;
    /// @notice All rewards received and all paid out, in credit-wei.
    uint256 public totalRewarded;
    uint256 public totalClaimed;
    Stream.Pool private _pool;
    mapping(address account => Holder) private _holders;

    event Staked(address indexed account, uint256 amount, uint64 unlockAt);
    event Unstaked(address indexed account, uint256 amount);
    event Rewarded(address indexed from, uint256 amount, uint256 totalStake);
    event Claimed(address indexed account, address indexed to, uint256 amount);

    error ZeroAmount();
    error StakeLocked(address account, uint64 unlockAt, uint256 nowAt);
    error InsufficientStake(address account, uint256 stake, uint256 amount);
    error NativeTransferFailed(address to, uint256 amount);

    constructor(IERC20 credit_, uint64 lockSeconds_) EIP712("Interlace Stake", "1") {
        credit = credit_;
        lockSeconds = lockSeconds_;
    }

    /// @notice Stake msg.value; who has no delegate delegates to oneself. The whole stake is locked anew.
    function stake() external payable {
        require(msg.value != 0, ZeroAmount());
        // Delegating while the stake is still the old one moves the old units; the new ones follow below.
        if (delegates(msg.sender) == address(0)) _delegate(msg.sender, msg.sender);
        Holder storage holder = _settled(msg.sender);
        holder.stake += msg.value;
        holder.unlockAt = uint64(block.timestamp) + lockSeconds;
        totalStake += msg.value;
        _transferVotingUnits(address(0), msg.sender, msg.value);
        emit Staked(msg.sender, msg.value, holder.unlockAt);
    }

    /// @notice Take back `amount` of the stake; reverts before the lock is over.
    function unstake(uint256 amount) external {
        require(amount != 0, ZeroAmount());
        Holder storage holder = _settled(msg.sender);
        require(block.timestamp >= holder.unlockAt, StakeLocked(msg.sender, holder.unlockAt, block.timestamp));
        require(amount <= holder.stake, InsufficientStake(msg.sender, holder.stake, amount));
        holder.stake -= amount;
        totalStake -= amount;
        _transferVotingUnits(msg.sender, address(0), amount);
        emit Unstaked(msg.sender, amount);
        (bool ok, ) = msg.sender.call{value: amount}("");
        require(ok, NativeTransferFailed(msg.sender, amount));
    }

    /// @notice Take `amount` credits from the caller and divide them by stake; anyone may.
    function addReward(uint256 amount) external {
        require(amount != 0, ZeroAmount());
        credit.safeTransferFrom(msg.sender, address(this), amount);
        totalRewarded += amount;
        _pool.distribute(amount, totalStake);
        emit Rewarded(msg.sender, amount, totalStake);
    }

    /// @notice Pay the caller's whole credits to `to`; returns zero and does nothing when there are none.
    function claim(address to) external returns (uint256 amount) {
        Holder storage holder = _settled(msg.sender);
        amount = holder.accrued / Stream.SCALE;
        if (amount == 0) return 0;
        holder.accrued -= amount * Stream.SCALE;
        totalClaimed += amount;
        emit Claimed(msg.sender, to, amount);
        credit.safeTransfer(to, amount);
    }

    /// @notice Stake of `account`, in wei, and the unix second from which it can be taken back.
    function stakeOf(address account) external view returns (uint256 amount, uint64 unlockAt) {
        return (_holders[account].stake, _holders[account].unlockAt);
    }

    /// @notice Credits that claim() would pay now.
    function claimable(address account) external view returns (uint256) {
        return _accrued(_holders[account]) / Stream.SCALE;
    }

    /// @notice Accrual of `account` times SCALE, fraction included.
    function accruedScaled(address account) external view returns (uint256) {
        return _accrued(_holders[account]);
    }

    /// @notice The index and the carried remainder, both times SCALE.
    function pool() external view returns (uint256 acc, uint256 carry) {
        return (_pool.acc, _pool.carry);
    }

    function _accrued(Holder storage holder) private view returns (uint256) {
        return holder.accrued + holder.stake * (_pool.acc - holder.paid);
    }

    /// @dev Bring an account's accrual up to the index; must come before its stake changes.
    function _settled(address account) private returns (Holder storage holder) {
        holder = _holders[account];
        holder.accrued = _accrued(holder);
        holder.paid = _pool.acc;
    }

    /// @dev Votes counts one unit for each wei staked.
    function _getVotingUnits(address account) internal view override returns (uint256) {
        return _holders[account].stake;
    }
}
