// SPDX-License-Identifier: MIT OR Apache-2.0
// Fair exchange of sealed content against credits: the full fee for the key, a smaller one for a delivery without it.
// Invariant: the credit balance is at least the sum of the fees of unfinished deals; a finished deal paid out its fee to
// the last unit, once. Each state has a time after which anyone can finish the deal, so nobody's money stays.
// Source: docs/private-data.md, "Fair exchange".
// What it does not do: it cannot read. The buyer checks the delivered bytes against `sealedRoot` and `keyCommitment`
// before it acknowledges; the key that is then shown is the committed one or is not paid for. It is public from then on, so
// a delivery is sealed under a key of its own, and its bytes go to the buyer alone. Credits sent by a plain transfer are lost.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

contract Exchange {
    using SafeERC20 for IERC20;

    uint8 public constant OPEN = 1; // the fee is locked; the seller delivers and commits
    uint8 public constant COMMITTED = 2; // the buyer looks at what was delivered
    uint8 public constant ACKNOWLEDGED = 3; // the seller shows the key
    uint8 public constant SOLD = 4; // full fee to the seller, key to the buyer
    uint8 public constant DELIVERED = 5; // not acknowledged: partial fee to the seller, the rest back, no key
    uint8 public constant REFUNDED = 6; // never committed, or no key: all back to the buyer

    /// @notice Longest time that a step may be given, in seconds.
    uint32 public constant MAX_STEP = 30 days;
    bytes16 public constant KEY_TAG = "interlace.key.v1";

    /// @param fee Credit-wei that the buyer locked.
    /// @param partialFee Credit-wei for a delivery that is not acknowledged.
    /// @param until Unix second until which the step may be taken; after it, anyone may `finish`.
    struct Deal {
        address buyer;
        uint8 state;
        uint64 until;
        address seller;
        uint32 acknowledgeSeconds;
        uint32 revealSeconds;
        uint256 classId;
        uint128 fee;
        uint128 partialFee;
        bytes32 sealedRoot;
        bytes32 keyCommitment;
    }

    IERC20 public immutable credit;
    /// @notice Deals are numbered from 1 to this.
    uint256 public dealCount;
    mapping(uint256 dealId => Deal) private _deals;

    event DealOpened(
        uint256 indexed dealId, address indexed buyer, address indexed seller, uint256 classId, uint128 fee, uint128 partialFee
    );
    event Committed(uint256 indexed dealId, bytes32 sealedRoot, bytes32 keyCommitment, uint64 until);
    event Acknowledged(uint256 indexed dealId, uint64 until);
    event KeyRevealed(uint256 indexed dealId, bytes32 key);
    event Finished(uint256 indexed dealId, uint8 state, uint256 toSeller, uint256 toBuyer);

    error ZeroFee();
    error PartialAboveFee(uint128 partialFee, uint128 fee);
    error BadStep(uint32 time);
    error BadSeller(address seller);
    error ZeroCommitment();
    error NotInState(uint256 dealId, uint8 state);
    error NotTheSeller(uint256 dealId, address caller);
    error NotTheBuyer(uint256 dealId, address caller);
    error TooLate(uint256 dealId, uint64 until);
    error TooEarly(uint256 dealId, uint64 until);
    error WrongKey(uint256 dealId);

    constructor(IERC20 credit_) {
        credit = credit_;
    }

    /// @notice Lock the fee for a delivery of a class's content, and say how long each step may take.
    function open(
        address seller,
        uint256 classId,
        uint128 fee,
        uint128 partialFee,
        uint32 commitSeconds,
        uint32 acknowledgeSeconds,
        uint32 revealSeconds
    ) external returns (uint256 dealId) {
        require(fee != 0, ZeroFee());
        require(partialFee <= fee, PartialAboveFee(partialFee, fee));
        require(seller != address(0) && seller != address(this) && seller != msg.sender, BadSeller(seller));
        _checkStep(commitSeconds);
        _checkStep(acknowledgeSeconds);
        _checkStep(revealSeconds);
        dealId = ++dealCount;
        Deal storage deal = _deals[dealId];
        (deal.buyer, deal.state, deal.until) = (msg.sender, OPEN, uint64(block.timestamp) + commitSeconds);
        (deal.seller, deal.acknowledgeSeconds, deal.revealSeconds) = (seller, acknowledgeSeconds, revealSeconds);
        (deal.classId, deal.fee, deal.partialFee) = (classId, fee, partialFee);
        emit DealOpened(dealId, msg.sender, seller, classId, fee, partialFee);
        credit.safeTransferFrom(msg.sender, address(this), fee);
    }

    /// @notice The seller: say what was delivered, and under which key.
    /// @param keyCommitment keccak256(KEY_TAG ‖ key), as it stands in the header of the sealed content.
    function commit(uint256 dealId, bytes32 sealedRoot, bytes32 keyCommitment) external {
        Deal storage deal = _now(dealId, OPEN);
        require(msg.sender == deal.seller, NotTheSeller(dealId, msg.sender));
        require(sealedRoot != 0 && keyCommitment != 0, ZeroCommitment());
        deal.state = COMMITTED;
        deal.until = uint64(block.timestamp) + deal.acknowledgeSeconds;
        (deal.sealedRoot, deal.keyCommitment) = (sealedRoot, keyCommitment);
        emit Committed(dealId, sealedRoot, keyCommitment, deal.until);
    }

    /// @notice The buyer: what was committed is here, complete; the seller gets the full fee for its key.
    function acknowledge(uint256 dealId) external {
        Deal storage deal = _now(dealId, COMMITTED);
        require(msg.sender == deal.buyer, NotTheBuyer(dealId, msg.sender));
        deal.state = ACKNOWLEDGED;
        deal.until = uint64(block.timestamp) + deal.revealSeconds;
        emit Acknowledged(dealId, deal.until);
    }

    /// @notice The seller: show the committed key and get the full fee.
    function reveal(uint256 dealId, bytes32 key) external {
        Deal storage deal = _now(dealId, ACKNOWLEDGED);
        require(msg.sender == deal.seller, NotTheSeller(dealId, msg.sender));
        require(keccak256(abi.encodePacked(KEY_TAG, key)) == deal.keyCommitment, WrongKey(dealId));
        emit KeyRevealed(dealId, key);
        _finish(deal, dealId, SOLD, deal.fee);
    }

    /// @notice Anyone, after the time of a step: finish the deal. The buyer may refuse a delivery at once.
    function finish(uint256 dealId) external {
        Deal storage deal = _deals[dealId];
        uint8 state = deal.state;
        require(state >= OPEN && state <= ACKNOWLEDGED, NotInState(dealId, state));
        bool refused = state == COMMITTED && msg.sender == deal.buyer;
        bool declined = state == OPEN && msg.sender == deal.seller;
        require(refused || declined || block.timestamp > deal.until, TooEarly(dealId, deal.until));
        if (state == COMMITTED) _finish(deal, dealId, DELIVERED, deal.partialFee);
        else _finish(deal, dealId, REFUNDED, 0);
    }

    function dealOf(uint256 dealId) external view returns (Deal memory) {
        return _deals[dealId];
    }

    function _finish(Deal storage deal, uint256 dealId, uint8 state, uint256 toSeller) private {
        uint256 toBuyer = deal.fee - toSeller;
        deal.state = state;
        emit Finished(dealId, state, toSeller, toBuyer);
        if (toSeller != 0) credit.safeTransfer(deal.seller, toSeller);
        if (toBuyer != 0) credit.safeTransfer(deal.buyer, toBuyer);
    }

    function _now(uint256 dealId, uint8 state) private view returns (Deal storage deal) {
        deal = _deals[dealId];
        require(deal.state == state, NotInState(dealId, deal.state));
        require(block.timestamp <= deal.until, TooLate(dealId, deal.until));
    }

    function _checkStep(uint32 time) private pure {
        require(time != 0 && time <= MAX_STEP, BadStep(time));
    }
}
