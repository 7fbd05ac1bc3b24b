// SPDX-License-Identifier: MIT OR Apache-2.0
// Data-anchoring tokens: a token carries a quota of use and a share of its class's revenue, until it expires.
// Invariant: for each asset, this contract's balance is at least what all tokens, class owners and queues can claim.
// Unclaimed revenue stays with the token when it is transferred. A class's owner mints, and so dilutes, at will.
// Source: draft ERC-8028; what it leaves open (debt at mint, expiry, rounding, odd ERC-20s) is decided in AssetRevenue.
// What it does not do: it has no admin above the classes' owners, burns nothing, and does not hold the draft's optional
// proof registry. A class owner who accepts a malicious ERC-20 endangers that asset's revenue and no other's.
pragma solidity ^0.8.28;

import {IERC2981} from "@openzeppelin/contracts/interfaces/IERC2981.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ERC165, IERC165} from "@openzeppelin/contracts/utils/introspection/ERC165.sol";
import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {AssetClasses} from "./AssetClasses.sol";
import {AssetRevenue} from "./AssetRevenue.sol";
import {Stream} from "./Stream.sol";
import {IDATCore} from "./interfaces/IDATCore.sol";

contract Assets is AssetRevenue, ERC165, IERC2981, ReentrancyGuardTransient {
    using SafeERC20 for IERC20;

    /// @notice Largest amount of one settlement; keeps every index far from overflow.
    uint256 public constant MAX_SETTLEMENT = type(uint128).max;

    /// @notice The only caller of settleRouted().
    address public immutable router;
    /// @notice Tokens are numbered from 1 to this.
    uint256 public tokenCount;
    mapping(address owner => mapping(uint256 classId => mapping(address operator => bool))) private _operators;
    mapping(uint256 tokenId => mapping(bytes32 root => bool)) private _usageRoots;

    /// @notice Usage was recorded for a batch of receipts, whose Merkle root is `usageRoot`.
    event UsageRootRecorded(uint256 indexed tokenId, bytes32 indexed usageRoot);
    event UnsharedClaimed(uint256 indexed classId, address indexed to, address indexed asset, uint256 amount);

    error UnknownToken(uint256 tokenId);
    error NotTokenOwner(uint256 tokenId, address caller);
    error NotOwnerOrOperator(uint256 tokenId, address caller);
    error NotRouter(address caller);
    error ShareRatioTooLarge(uint256 shareRatio);
    error ExpiresInThePast(uint64 expireAt, uint256 nowAt);
    error TokenExpired(uint256 tokenId, uint64 expireAt);
    error ClassMismatch(uint256 fromClassId, uint256 toClassId);
    error ZeroValue();
    error InsufficientValue(uint256 tokenId, uint256 value, uint256 needed);
    error ExtensionForbidden(uint256 classId, uint64 fromExpireAt, uint64 toExpireAt);
    error UsageRootReplayed(uint256 tokenId, bytes32 usageRoot);
    error ZeroAmount();
    error AmountTooLarge(uint256 amount);
    error AssetNotAccepted(uint256 classId, address asset);
    error NoLiveShares(uint256 classId);
    error NativeTransferFailed(address to, uint256 amount);

    constructor(address credit_, address router_) AssetClasses(credit_) {
        router = router_;
    }

    // ---- tokens ----------------------------------------------------------------------------------

    /// @inheritdoc IDATCore
    /// @dev Only the class's owner. Due expiries and queued revenue are worked off first, so a new token takes no part.
    function mint(uint256 classId, address to, uint256 value, uint256 shareRatio, uint64 expireAt)
        external
        returns (uint256 tokenId)
    {
        _owned(classId);
        require(to != address(0), ZeroAddress());
        require(shareRatio <= type(uint32).max, ShareRatioTooLarge(shareRatio));
        require(expireAt == 0 || expireAt >= block.timestamp, ExpiresInThePast(expireAt, block.timestamp));
        require(!_work(classId, MAX_STEPS), ExpiryBacklog(classId, MAX_STEPS));
        tokenId = ++tokenCount;
        Token storage token = _tokens[tokenId];
        token.classId = classId;
        token.value = value;
        token.owner = to;
        token.shareRatio = uint32(shareRatio);
        token.expireAt = expireAt;
        _enter(tokenId, token);
        emit Minted(tokenId, classId, to, value, shareRatio, expireAt);
        emit TransferToken(tokenId, address(0), to);
    }

    /// @inheritdoc IDATCore
    /// @dev Only the owner; unclaimed revenue goes with the token.
    function transferToken(uint256 tokenId, address to) external {
        require(to != address(0), ZeroAddress());
        _ownToken(tokenId).owner = to;
        emit TransferToken(tokenId, msg.sender, to);
    }

    /// @inheritdoc IDATCore
    function approveForClass(uint256 classId, address operator, bool approved) external {
        _class(classId);
        _operators[msg.sender][classId][operator] = approved;
        emit ApprovalForClass(msg.sender, classId, operator, approved);
    }

    /// @inheritdoc IDATCore
    function isApprovedForClass(address owner, uint256 classId, address operator) public view returns (bool) {
        return _operators[owner][classId][operator];
    }

    /// @inheritdoc IDATCore
    function transferValue(uint256 fromTokenId, uint256 toTokenId, uint256 value) external {
        Token storage from = _usable(fromTokenId);
        Token storage to = _live(toTokenId);
        require(from.classId == to.classId, ClassMismatch(from.classId, to.classId));
        require(value != 0, ZeroValue());
        require(from.value >= value, InsufficientValue(fromTokenId, from.value, value));
        if (!_classes[from.classId].allowsExtension) {
            bool later = from.expireAt != 0 && (to.expireAt == 0 || to.expireAt > from.expireAt);
            require(!later, ExtensionForbidden(from.classId, from.expireAt, to.expireAt));
        }
        from.value -= value;
        to.value += value;
        emit ValueTransferred(fromTokenId, toTokenId, value);
    }

    /// @inheritdoc IDATCore
    /// @dev Hard quota: the amount is taken from the value.
    function recordUsage(uint256 tokenId, bytes32 metricType, uint256 amount) public {
        Token storage token = _usable(tokenId);
        require(token.value >= amount, InsufficientValue(tokenId, token.value, amount));
        token.value -= amount;
        emit UsageRecorded(tokenId, metricType, amount, msg.sender);
    }

    /// @notice Record the usage of a whole batch of receipts once: `usageRoot` counts one time for each token.
    function recordUsageRoot(uint256 tokenId, bytes32 metricType, uint256 amount, bytes32 usageRoot) external {
        require(!_usageRoots[tokenId][usageRoot], UsageRootReplayed(tokenId, usageRoot));
        _usageRoots[tokenId][usageRoot] = true;
        recordUsage(tokenId, metricType, amount);
        emit UsageRootRecorded(tokenId, usageRoot);
    }

    // ---- revenue ---------------------------------------------------------------------------------

    /// @inheritdoc IDATCore
    function settleRevenueETH(uint256 classId) external payable nonReentrant {
        _settle(classId, NATIVE, msg.value);
    }

    /// @inheritdoc IDATCore
    /// @dev What arrived is what counts, whatever the token takes on the way.
    function settleRevenueERC20(uint256 classId, address asset, uint256 amount) external nonReentrant {
        require(asset != NATIVE && _class(classId).accepts[asset], AssetNotAccepted(classId, asset));
        uint256 before = IERC20(asset).balanceOf(address(this));
        IERC20(asset).safeTransferFrom(msg.sender, address(this), amount);
        _settle(classId, asset, IERC20(asset).balanceOf(address(this)) - before);
    }

    /// @notice Revenue in credits from the router. Unlike a direct settlement it never reverts for the state of the
    /// class: without a live share the class's owner earns it, and behind a backlog of expiries it is queued.
    function settleRouted(uint256 classId, uint256 amount) external nonReentrant {
        require(msg.sender == router, NotRouter(msg.sender));
        _checkAmount(amount);
        _class(classId);
        IERC20(credit).safeTransferFrom(msg.sender, address(this), amount);
        if (_work(classId, ROUTED_STEPS)) _enqueue(classId, amount);
        else _divide(_books[classId], classId, credit, amount);
    }

    /// @inheritdoc IDATCore
    /// @dev Only the owner, also after expiry; returns zero and does nothing when there is not a whole unit.
    function claim(uint256 tokenId, address asset, address payable to) external nonReentrant returns (uint256 amount) {
        Token storage token = _ownToken(tokenId);
        _work(token.classId, MAX_STEPS);
        amount = _pendingScaled(tokenId, asset) / Stream.SCALE;
        if (amount == 0) return 0;
        _debt[tokenId][asset] += amount * Stream.SCALE;
        emit Claimed(tokenId, to, asset, amount);
        _pay(asset, to, amount);
    }

    /// @notice Pay the class's owner what came while no share was live.
    function claimUnshared(uint256 classId, address asset, address payable to)
        external
        nonReentrant
        returns (uint256 amount)
    {
        _owned(classId);
        _work(classId, MAX_STEPS);
        amount = _books[classId].unshared[asset];
        if (amount == 0) return 0;
        _books[classId].unshared[asset] = 0;
        emit UnsharedClaimed(classId, to, asset, amount);
        _pay(asset, to, amount);
    }

    // ---- views -----------------------------------------------------------------------------------

    /// @inheritdoc IDATCore
    function pendingRevenue(uint256 tokenId, address asset) external view returns (uint256) {
        _token(tokenId);
        return _pendingScaled(tokenId, asset) / Stream.SCALE;
    }

    /// @notice Unclaimed revenue times SCALE, fraction included.
    function pendingScaled(uint256 tokenId, address asset) external view returns (uint256) {
        _token(tokenId);
        return _pendingScaled(tokenId, asset);
    }

    /// @inheritdoc IDATCore
    function classOf(uint256 tokenId) external view returns (uint256) {
        return _token(tokenId).classId;
    }

    /// @inheritdoc IDATCore
    function valueOf(uint256 tokenId) external view returns (uint256) {
        return _token(tokenId).value;
    }

    /// @inheritdoc IDATCore
    function shareRatioOf(uint256 tokenId) external view returns (uint256) {
        return _token(tokenId).shareRatio;
    }

    /// @inheritdoc IDATCore
    function expireAtOf(uint256 tokenId) external view returns (uint64) {
        return _token(tokenId).expireAt;
    }

    /// @inheritdoc IDATCore
    function ownerOf(uint256 tokenId) external view returns (address) {
        return _token(tokenId).owner;
    }

    /// @notice Whether the token is part of its class's totalShare.
    function countedInShareOf(uint256 tokenId) external view returns (bool) {
        return _token(tokenId).countedInShare;
    }

    /// @inheritdoc IERC2981
    /// @dev The class's owner, at the time of the sale; rounded down.
    function royaltyInfo(uint256 tokenId, uint256 salePrice) external view returns (address receiver, uint256 amount) {
        AssetClass storage class = _classes[_token(tokenId).classId];
        return (class.owner, Math.mulDiv(salePrice, class.royalty, WEIGHT_SUM));
    }

    function supportsInterface(bytes4 interfaceId) public view override(ERC165, IERC165) returns (bool) {
        bool known = interfaceId == type(IDATCore).interfaceId || interfaceId == type(IERC2981).interfaceId;
        return known || super.supportsInterface(interfaceId);
    }

    // ---- inner -----------------------------------------------------------------------------------

    function _settle(uint256 classId, address asset, uint256 amount) private {
        _class(classId);
        _checkAmount(amount);
        require(!_work(classId, MAX_STEPS), ExpiryBacklog(classId, MAX_STEPS));
        require(_books[classId].totalShare != 0, NoLiveShares(classId));
        _divide(_books[classId], classId, asset, amount);
    }

    function _checkAmount(uint256 amount) private pure {
        require(amount != 0, ZeroAmount());
        require(amount <= MAX_SETTLEMENT, AmountTooLarge(amount));
    }

    function _pay(address asset, address payable to, uint256 amount) private {
        if (asset == NATIVE) {
            (bool ok, ) = to.call{value: amount}("");
            require(ok, NativeTransferFailed(to, amount));
        } else {
            IERC20(asset).safeTransfer(to, amount);
        }
    }

    function _token(uint256 tokenId) private view returns (Token storage token) {
        token = _tokens[tokenId];
        require(token.owner != address(0), UnknownToken(tokenId));
    }

    function _ownToken(uint256 tokenId) private view returns (Token storage token) {
        token = _token(tokenId);
        require(token.owner == msg.sender, NotTokenOwner(tokenId, msg.sender));
    }

    function _live(uint256 tokenId) private view returns (Token storage token) {
        token = _token(tokenId);
        require(token.expireAt == 0 || block.timestamp <= token.expireAt, TokenExpired(tokenId, token.expireAt));
    }

    /// @dev A live token that the caller owns or operates.
    function _usable(uint256 tokenId) private view returns (Token storage token) {
        token = _live(tokenId);
        require(
            token.owner == msg.sender || isApprovedForClass(token.owner, token.classId, msg.sender),
            NotOwnerOrOperator(tokenId, msg.sender)
        );
    }
}
