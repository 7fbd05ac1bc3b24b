// SPDX-License-Identifier: MIT OR Apache-2.0
// Native tokens staked for votes and for the holders' part of every fee: of paid calls and validations in credits, of
// transactions in native tokens. What arrives in one period is released evenly over the next, by the stakes of each second.
// Invariant, for credits and for native tokens: sum(accrued + stake * (acc - paid)) + carry + SCALE * (arriving + releasing -
// released + claimed) == SCALE * rewarded, exactly. The native balance is at least stakes + unbonding + unclaimed native
// rewards. Votes are those of the stake, cannot be transferred, only delegated; what is unbonding votes and earns nothing.
// Sources: ERC-5805 (OpenZeppelin Votes, clock = block number), Release.sol, Stream.sol.
// What it does not do: it emits nothing of its own and slashes nobody; rewards are not delegated, votes are. Native tokens
// forced on it belong to nobody.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SafeCast} from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import {Votes} from "@openzeppelin/contracts/governance/utils/Votes.sol";
import {Release} from "./Release.sol";
import {Stream} from "./Stream.sol";

contract StakingVault is Votes {
    using SafeERC20 for IERC20;
    using Release for Release.Flow;

    /// @notice Requests that one holder can have waiting.
    uint256 public constant MAX_UNBONDING = 8;

    /// @param paid The index up to which `accrued` is complete.
    /// @param accrued Unclaimed reward times SCALE; a claim leaves the fraction here.
    struct Accrual {
        uint256 paid;
        uint256 accrued;
    }

    /// @dev All of one asset; `rewarded` and `claimed` in its smallest unit, since the beginning.
    struct Rewards {
        Release.Flow flow;
        uint256 rewarded;
        uint256 claimed;
        mapping(address account => Accrual) accruals;
    }

    /// @notice What rewards() tells of one asset, as of now.
    struct Summary {
        uint256 rewarded;
        uint256 claimed;
        uint256 arriving;
        uint256 releasing;
        uint256 released;
        uint256 acc;
        uint256 carry;
    }

    /// @param amount Native wei.
    /// @param availableAt Unix second from which withdraw() pays it.
    struct Unbonding {
        uint128 amount;
        uint64 availableAt;
    }

    /// @notice The token that the holders' part of calls and validations is paid in.
    IERC20 public immutable credit;
    /// @notice Seconds between requestUnstake() and withdraw().
    uint64 public immutable unbondingSeconds;
    /// @notice Length of a period: what arrives in one is released in the next.
    uint64 public immutable streamSeconds;
    /// @notice Native wei staked, of each and of all.
    mapping(address account => uint256) public stakeOf;
    uint256 public totalStake;
    /// @notice Native wei on the way out.
    uint256 public totalUnbonding;
    mapping(address account => Unbonding[]) private _unbonding;
    Rewards private _credits;
    Rewards private _natives;

    event Staked(address indexed account, uint256 amount);
    event Unstaked(address indexed account, uint256 amount, uint64 availableAt);
    event Withdrawn(address indexed account, address indexed to, uint256 amount);
    /// @notice Credits arrived; `totalStake` is the stake of that moment.
    event Rewarded(address indexed from, uint256 amount, uint256 totalStake);
    event RewardedNative(address indexed from, uint256 amount, uint256 totalStake);
    event Claimed(address indexed account, address indexed to, uint256 amount);
    event ClaimedNative(address indexed account, address indexed to, uint256 amount);

    error ZeroAmount();
    error ZeroPeriod();
    error InsufficientStake(address account, uint256 stake, uint256 amount);
    error TooManyUnbonding(address account, uint256 limit);
    error NothingToWithdraw(address account, uint256 nowAt);
    error NativeTransferFailed(address to, uint256 amount);

    constructor(IERC20 credit_, uint64 unbondingSeconds_, uint64 streamSeconds_) EIP712("Interlace Stake", "1") {
        require(streamSeconds_ != 0, ZeroPeriod());
        credit = credit_;
        unbondingSeconds = unbondingSeconds_;
        streamSeconds = streamSeconds_;
    }

    // ---- stake -----------------------------------------------------------------------------------

    /// @notice Stake msg.value; it earns from this second on. Who has no delegate delegates to oneself.
    function stake() external payable {
        require(msg.value != 0, ZeroAmount());
        // Delegating while the stake is still the old one moves the old units; the new ones follow below.
        if (delegates(msg.sender) == address(0)) _delegate(msg.sender, msg.sender);
        _settle(msg.sender);
        stakeOf[msg.sender] += msg.value;
        totalStake += msg.value;
        _transferVotingUnits(address(0), msg.sender, msg.value);
        emit Staked(msg.sender, msg.value);
    }

    /// @notice Take `amount` out of the stake: it stops to vote and to earn now, and can be withdrawn after
    /// unbondingSeconds. At most MAX_UNBONDING requests wait; withdraw() makes room.
    function requestUnstake(uint256 amount) external {
        require(amount != 0, ZeroAmount());
        uint256 staked = stakeOf[msg.sender];
        require(amount <= staked, InsufficientStake(msg.sender, staked, amount));
        Unbonding[] storage waiting = _unbonding[msg.sender];
        require(waiting.length < MAX_UNBONDING, TooManyUnbonding(msg.sender, MAX_UNBONDING));
        _settle(msg.sender);
        stakeOf[msg.sender] = staked - amount;
        totalStake -= amount;
        totalUnbonding += amount;
        uint64 availableAt = uint64(block.timestamp) + unbondingSeconds;
        waiting.push(Unbonding(SafeCast.toUint128(amount), availableAt));
        _transferVotingUnits(msg.sender, address(0), amount);
        emit Unstaked(msg.sender, amount, availableAt);
    }

    /// @notice Pay `to` all of the caller's requests whose time has come; reverts when there is none.
    function withdraw(address to) external returns (uint256 amount) {
        Unbonding[] storage waiting = _unbonding[msg.sender];
        uint256 count = waiting.length;
        uint256 due = 0;
        // Requests stand in the order of their times; those that are due are the first ones.
        for (; due < count && waiting[due].availableAt <= block.timestamp; ++due) amount += waiting[due].amount;
        require(due != 0, NothingToWithdraw(msg.sender, block.timestamp));
        for (uint256 i = due; i < count; ++i) waiting[i - due] = waiting[i];
        for (uint256 i = 0; i < due; ++i) waiting.pop();
        totalUnbonding -= amount;
        emit Withdrawn(msg.sender, to, amount);
        _pay(to, amount);
    }

    /// @notice The requests of `account` that were not withdrawn, the oldest first.
    function unbondingOf(address account) external view returns (Unbonding[] memory) {
        return _unbonding[account];
    }

    // ---- rewards ---------------------------------------------------------------------------------

    /// @notice Take `amount` credits from the caller, to be released to stakers in the next period; anyone may.
    function addReward(uint256 amount) external {
        require(amount != 0, ZeroAmount());
        credit.safeTransferFrom(msg.sender, address(this), amount);
        _arrive(_credits, amount);
        emit Rewarded(msg.sender, amount, totalStake);
    }

    /// @notice The same in native tokens.
    function addNativeReward() external payable {
        require(msg.value != 0, ZeroAmount());
        _arrive(_natives, msg.value);
        emit RewardedNative(msg.sender, msg.value, totalStake);
    }

    /// @notice Pay the caller's whole credits to `to`; returns zero and does nothing when there are none.
    function claim(address to) external returns (uint256 amount) {
        amount = _take(_credits);
        if (amount == 0) return 0;
        emit Claimed(msg.sender, to, amount);
        credit.safeTransfer(to, amount);
    }

    /// @notice Pay the caller's whole native wei of rewards to `to`; returns zero and does nothing when there are none.
    function claimNative(address to) external returns (uint256 amount) {
        amount = _take(_natives);
        if (amount == 0) return 0;
        emit ClaimedNative(msg.sender, to, amount);
        _pay(to, amount);
    }

    /// @notice Credits that claim() would pay now.
    function claimable(address account) external view returns (uint256) {
        return accruedScaled(account) / Stream.SCALE;
    }

    /// @notice Native wei that claimNative() would pay now.
    function claimableNative(address account) external view returns (uint256) {
        return accruedNativeScaled(account) / Stream.SCALE;
    }

    /// @notice Accrual of `account` in credits times SCALE, fraction included, as of now.
    function accruedScaled(address account) public view returns (uint256) {
        return _accrued(_credits, account, _credits.flow.advanced(totalStake, streamSeconds).acc);
    }

    /// @notice The same in native wei.
    function accruedNativeScaled(address account) public view returns (uint256) {
        return _accrued(_natives, account, _natives.flow.advanced(totalStake, streamSeconds).acc);
    }

    /// @notice Everything of one asset as of now: credits, or native tokens.
    function rewards(bool native) external view returns (Summary memory) {
        Rewards storage all = native ? _natives : _credits;
        Release.Flow memory flow = all.flow.advanced(totalStake, streamSeconds);
        return Summary(all.rewarded, all.claimed, flow.arriving, flow.releasing, flow.released, flow.acc, flow.carry);
    }

    // ---- inner -----------------------------------------------------------------------------------

    function _arrive(Rewards storage all, uint256 amount) private {
        all.rewarded += amount;
        all.flow.add(amount, totalStake, streamSeconds);
    }

    /// @dev Bring an account's accruals up to now; must come before its stake changes.
    function _settle(address account) private {
        _settleOne(_credits, account);
        _settleOne(_natives, account);
    }

    function _settleOne(Rewards storage all, address account) private returns (Accrual storage accrual) {
        all.flow.advance(totalStake, streamSeconds);
        accrual = all.accruals[account];
        uint256 acc = all.flow.acc;
        if (accrual.paid == acc) return accrual;
        accrual.accrued = _accrued(all, account, acc);
        accrual.paid = acc;
    }

    function _take(Rewards storage all) private returns (uint256 amount) {
        Accrual storage accrual = _settleOne(all, msg.sender);
        amount = accrual.accrued / Stream.SCALE;
        if (amount == 0) return 0;
        accrual.accrued -= amount * Stream.SCALE;
        all.claimed += amount;
    }

    function _accrued(Rewards storage all, address account, uint256 acc) private view returns (uint256) {
        Accrual storage accrual = all.accruals[account];
        return accrual.accrued + stakeOf[account] * (acc - accrual.paid);
    }

    function _pay(address to, uint256 amount) private {
        (bool ok, ) = to.call{value: amount}("");
        require(ok, NativeTransferFailed(to, amount));
    }

    /// @dev Votes counts one unit for each wei staked.
    function _getVotingUnits(address account) internal view override returns (uint256) {
        return stakeOf[account];
    }
}
