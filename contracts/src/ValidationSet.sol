// SPDX-License-Identifier: MIT OR Apache-2.0
// Those who validate data: their stakes, their seats, how some of them are drawn, and what they are owed.
// Invariant: a member's weight never changes while it has a seat: nothing is added to a stake, and who loses part of it leaves. Who came
// at or after a second, or left before it, is not eligible at it; the others keep their order. So who is drawn for a request is fixed by the
// set at its second and the random number, whenever the draw is called within freezeSeconds: nobody who knows the number can move it.
// The credit balance is at least the sum of stakes, of `owed`, and of what DataValidation holds for requests.
// Source: docs/data-validation.md.
// What it does not do: it does not know who is behind an address. One stake in many addresses has, at each pick, the same chance as in one,
// but one address is picked once at most. There are MAX_VALIDATORS seats, first come; who buys all of them keeps others out.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

abstract contract ValidationSet {
    using SafeERC20 for IERC20;

    uint256 public constant BASIS_POINTS = 10_000;
    /// @notice Seats, those of members who wait for the end of unbonding included. Loops over the set are no longer than this.
    uint256 public constant MAX_VALIDATORS = 64;

    /// @param weight Credit-wei staked at the beginning; zero: no member.
    /// @param since Unix second of the beginning.
    /// @param leftAt Unix second of leaving; zero while it has not left.
    /// @param stake Credit-wei that are left of the weight.
    /// @param busy Unfinished requests for which it is drawn.
    struct Member {
        uint128 weight;
        uint64 since;
        uint64 leftAt;
        uint128 stake;
        uint64 busy;
    }

    IERC20 public immutable credit;
    uint64 public immutable unbondingSeconds;
    uint16 public immutable slashBp;
    uint128 public immutable minStake;
    /// @notice Sum of what is left of all stakes, in credit-wei.
    uint256 public totalStake;
    /// @notice Credit-wei that claim() pays.
    mapping(address account => uint256) public owed;
    address[] private _seats;
    mapping(address account => Member) private _members;

    event ValidatorJoined(address indexed validator, uint256 stake);
    event ValidatorLeft(address indexed validator, uint64 leftAt);
    event StakeReturned(address indexed validator, uint256 amount);
    event Slashed(address indexed validator, uint256 indexed requestId, uint256 amount);
    event OwedClaimed(address indexed account, address indexed to, uint256 amount);

    error BadTerms();
    error StakeTooSmall(uint256 stake, uint256 minStake);
    error StakeTooLarge(uint256 stake);
    error AlreadyMember(address account);
    error SetFull(uint256 members);
    error NotMember(address account);
    error AlreadyLeft(address account, uint64 leftAt);
    error StillBonded(address account, uint256 until);
    error StillDrawn(address account, uint64 busy);

    constructor(IERC20 credit_, uint64 unbondingSeconds_, uint16 slashBp_, uint128 minStake_) {
        bool fits = slashBp_ != 0 && slashBp_ <= BASIS_POINTS && unbondingSeconds_ <= 365 days;
        // Below that, a part of a stake could be nothing.
        require(fits && minStake_ >= BASIS_POINTS && minStake_ <= type(uint112).max, BadTerms());
        (credit, unbondingSeconds, slashBp, minStake) = (credit_, unbondingSeconds_, slashBp_, minStake_);
    }

    /// @notice Take a seat with `amount` credits. To stake more, leave and come back, or take another seat.
    function stake(uint128 amount) external {
        require(amount >= minStake, StakeTooSmall(amount, minStake));
        require(amount <= type(uint112).max, StakeTooLarge(amount));
        Member storage member = _members[msg.sender];
        require(member.weight == 0, AlreadyMember(msg.sender));
        require(_seats.length < MAX_VALIDATORS, SetFull(_seats.length));
        (member.weight, member.stake, member.since) = (amount, amount, uint64(block.timestamp));
        totalStake += amount;
        _seats.push(msg.sender);
        emit ValidatorJoined(msg.sender, amount);
        credit.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Leave: not drawn for later requests; what was begun is to be finished.
    function resign() external {
        Member storage member = _member(msg.sender);
        require(member.leftAt == 0, AlreadyLeft(msg.sender, member.leftAt));
        _leave(msg.sender, member);
    }

    /// @notice Give a member who left its stake and free the seat, after unbonding and its last request; anyone may, so that nobody
    /// keeps a seat by not coming for the stake.
    function withdraw(address validator) external returns (uint256 amount) {
        Member storage member = _member(validator);
        uint256 until = uint256(member.leftAt) + unbondingSeconds;
        require(member.leftAt != 0 && block.timestamp >= until, StillBonded(validator, until));
        require(member.busy == 0, StillDrawn(validator, member.busy));
        amount = member.stake;
        totalStake -= amount;
        delete _members[validator];
        _removeSeat(validator);
        emit StakeReturned(validator, amount);
        credit.safeTransfer(validator, amount);
    }

    /// @notice Pay the caller what it is owed; returns zero and does nothing when that is nothing.
    function claim(address to) external returns (uint256 amount) {
        amount = owed[msg.sender];
        if (amount == 0) return 0;
        owed[msg.sender] = 0;
        emit OwedClaimed(msg.sender, to, amount);
        credit.safeTransfer(to, amount);
    }

    /// @notice All who have a seat, in their order.
    function seats() external view returns (address[] memory) {
        return _seats;
    }

    function memberOf(address account) external view returns (Member memory) {
        return _members[account];
    }

    // ---- for the requests ------------------------------------------------------------------------

    /// @dev Weight of `account` for what began at `asOf`; zero if it was not there, or had left.
    function _weightAt(address account, uint64 asOf) internal view returns (uint256) {
        Member storage member = _members[account];
        bool there = member.since < asOf && (member.leftAt == 0 || member.leftAt >= asOf);
        return there ? member.weight : 0;
    }

    /// @dev Seats with the weights at `asOf`, those of `excluded` zero; how many are not zero, and their sum.
    function _weights(uint64 asOf, address excluded)
        internal
        view
        returns (address[] memory accounts, uint256[] memory weights, uint256 count, uint256 total)
    {
        accounts = _seats;
        weights = new uint256[](accounts.length);
        for (uint256 i = 0; i < accounts.length; ++i) {
            uint256 weight = accounts[i] == excluded ? 0 : _weightAt(accounts[i], asOf);
            weights[i] = weight;
            total += weight;
            if (weight != 0) ++count;
        }
    }

    /// @dev Pick `k` of at least as many weights, without replacement: pick j falls at keccak256(seed, j) mod what is left of the total,
    /// on the seats laid end to end by weight. The modulus favours no seat by more than 2^-128.
    function _draw(bytes32 seed, uint256 k, address[] memory accounts, uint256[] memory weights, uint256 total)
        internal
        returns (address[] memory drawn)
    {
        drawn = new address[](k);
        for (uint256 j = 0; j < k; ++j) {
            uint256 point = uint256(keccak256(abi.encode(seed, j))) % total;
            uint256 i = 0;
            for (; point >= weights[i]; ++i) point -= weights[i];
            total -= weights[i];
            weights[i] = 0;
            drawn[j] = accounts[i];
            ++_members[accounts[i]].busy;
        }
    }

    /// @dev A drawn member's request is finished; if `guilty`, take the part of its stake, and its seat.
    function _finishFor(address validator, uint256 requestId, bool guilty) internal returns (uint256 taken) {
        Member storage member = _members[validator];
        --member.busy;
        if (!guilty) return 0;
        taken = (uint256(member.weight) * slashBp) / BASIS_POINTS;
        if (taken > member.stake) taken = member.stake;
        member.stake -= uint128(taken);
        totalStake -= taken;
        emit Slashed(validator, requestId, taken);
        if (member.leftAt == 0) _leave(validator, member);
    }

    /// @dev Owe `amount` to the first `count` of `accounts` in equal parts; the first has what is left.
    function _oweEqually(address[] memory accounts, uint256 count, uint256 amount) internal {
        if (amount == 0) return;
        uint256 each = amount / count;
        owed[accounts[0]] += amount - each * count;
        for (uint256 i = 0; i < count; ++i) owed[accounts[i]] += each;
    }

    function _leave(address account, Member storage member) private {
        member.leftAt = uint64(block.timestamp);
        emit ValidatorLeft(account, member.leftAt);
    }

    function _member(address account) private view returns (Member storage member) {
        member = _members[account];
        require(member.weight != 0, NotMember(account));
    }

    /// @dev The others keep their order, since a draw depends on it.
    function _removeSeat(address account) private {
        uint256 last = _seats.length - 1;
        uint256 i = 0;
        while (_seats[i] != account) ++i;
        for (; i < last; ++i) _seats[i] = _seats[i + 1];
        _seats.pop();
    }
}
