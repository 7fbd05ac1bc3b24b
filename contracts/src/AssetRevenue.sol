// SPDX-License-Identifier: MIT OR Apache-2.0
// How a class's revenue is divided among its live tokens, to the last unit and through every expiry.
// Invariant, for each class and asset: sum over tokens of (share * index - debt) + carry + SCALE * (unshared + queued +
// claimed) == SCALE * received. A token's index is the class's, frozen when the token expires; its debt starts at
// share * index, so it earns nothing from before its mint. Every division sees only tokens that are live at its time.
//
// Expiry. Tokens that expire wait in a heap by expireAt. Before revenue is divided, due tokens leave the heap, freeze
// their index and leave totalShare; one call does at most MAX_STEPS of these, for the router ROUTED_STEPS. If more are
// due, a direct settlement reverts (call expire() first) and the router's revenue is queued with its time. Queue and
// heap are then worked off in the order of time, so queued revenue is divided among exactly the tokens that were live
// when it came.
// Source: draft ERC-8028 sections 6.6 and 6.7, with what it leaves open decided as in docs/contracts.md.
// What it does not do: it moves no money; Assets does.
pragma solidity ^0.8.28;

import {Heap} from "@openzeppelin/contracts/utils/structs/Heap.sol";
import {AssetClasses} from "./AssetClasses.sol";
import {Stream} from "./Stream.sol";

abstract contract AssetRevenue is AssetClasses {
    using Heap for Heap.Uint256Heap;
    using Stream for Stream.Pool;

    /// @notice Expiries and queued revenues that one call works off at most.
    uint256 public constant MAX_STEPS = 16;
    /// @notice The same for revenue from the router, which reaches up to MAX_PARENTS + 1 classes in one transaction.
    uint256 public constant ROUTED_STEPS = 4;

    /// @param countedInShare Whether the token is part of its class's totalShare.
    /// @param expired Whether the expiry was worked off; the index is frozen since.
    struct Token {
        uint256 classId;
        uint256 value;
        address owner;
        uint32 shareRatio;
        uint64 expireAt;
        bool countedInShare;
        bool expired;
    }

    /// @dev Revenue in credits that waits for expiries that were due when it came.
    struct Queued {
        uint64 time;
        uint192 amount;
    }

    /// @param expiries Heap of expireAt << 192 | tokenId.
    /// @param head First entry of `queue` that is not divided yet.
    struct Book {
        uint256 totalShare;
        Heap.Uint256Heap expiries;
        Queued[] queue;
        uint256 head;
        mapping(address asset => Stream.Pool) pools;
        mapping(address asset => uint256) unshared;
    }

    mapping(uint256 tokenId => Token) internal _tokens;
    mapping(uint256 classId => Book) internal _books;
    /// @dev share * index at mint, plus SCALE times what was claimed.
    mapping(uint256 tokenId => mapping(address asset => uint256)) internal _debt;
    /// @dev The class's index when the token expired.
    mapping(uint256 tokenId => mapping(address asset => uint256)) internal _frozenIndex;

    /// @notice Revenue of a class without a live share; the class's owner claims it with claimUnshared().
    event RevenueUnshared(uint256 indexed classId, address indexed asset, uint256 amount);
    /// @notice Revenue waits until expiries that were due are worked off.
    event RevenueQueued(uint256 indexed classId, uint256 amount, uint64 time);

    error ExpiryBacklog(uint256 classId, uint256 limit);

    /// @notice Work off up to `limit` due expiries and queued revenues of a class; anyone may.
    /// @return left Whether some are still due.
    function expire(uint256 classId, uint256 limit) external returns (bool left) {
        _class(classId);
        return _work(classId, limit);
    }

    /// @notice Sum of the shares that are counted now; due expiries that nobody worked off are still in it.
    function totalShareOf(uint256 classId) external view returns (uint256) {
        return _books[classId].totalShare;
    }

    /// @notice The class's index and carried remainder in an asset, both times SCALE.
    function poolOf(uint256 classId, address asset) external view returns (uint256 acc, uint256 carry) {
        Stream.Pool storage pool = _books[classId].pools[asset];
        return (pool.acc, pool.carry);
    }

    /// @notice What the class's owner can claim: revenue that found no live share.
    function unsharedOf(uint256 classId, address asset) external view returns (uint256) {
        return _books[classId].unshared[asset];
    }

    /// @notice Credits that wait for due expiries, and the number of entries that they wait in.
    function queuedOf(uint256 classId) external view returns (uint256 amount, uint256 entries) {
        Book storage book = _books[classId];
        for (uint256 i = book.head; i < book.queue.length; ++i) amount += book.queue[i].amount;
        entries = book.queue.length - book.head;
    }

    /// @dev Work off due expiries and the queue in the order of time; true when some are left.
    function _work(uint256 classId, uint256 limit) internal returns (bool left) {
        Book storage book = _books[classId];
        for (uint256 step = 0; ; ++step) {
            uint256 expireAt = book.expiries.length() == 0 ? type(uint64).max : book.expiries.peek() >> 192;
            bool queued = book.head < book.queue.length;
            uint256 time = queued ? book.queue[book.head].time : block.timestamp;
            bool due = expireAt < time; // a token is live up to and including its expireAt
            if (!due && !queued) return false;
            if (step == limit) return true;
            if (due) {
                _retire(book, uint192(book.expiries.pop()), classId);
            } else {
                uint256 amount = book.queue[book.head].amount;
                delete book.queue[book.head++];
                _divide(book, classId, credit, amount);
            }
        }
    }

    /// @dev Freeze a token's index in every asset of its class and take its share out.
    function _retire(Book storage book, uint256 tokenId, uint256 classId) private {
        Token storage token = _tokens[tokenId];
        if (token.countedInShare) {
            address[] storage assets = _classes[classId].assets;
            for (uint256 i = 0; i < assets.length; ++i) {
                uint256 index = book.pools[assets[i]].acc;
                if (index != 0) _frozenIndex[tokenId][assets[i]] = index;
            }
            book.totalShare -= token.shareRatio;
            token.countedInShare = false;
        }
        token.expired = true;
        emit Expired(tokenId);
    }

    /// @dev Divide among the counted shares; without any, the class's owner earns it.
    function _divide(Book storage book, uint256 classId, address asset, uint256 amount) internal {
        if (book.totalShare == 0) {
            book.unshared[asset] += amount;
            emit RevenueUnshared(classId, asset, amount);
        } else {
            book.pools[asset].distribute(amount, book.totalShare);
            emit RevenueSettled(classId, asset, amount);
        }
    }

    /// @dev Queue credits that came while more expiries are due than one call works off.
    function _enqueue(uint256 classId, uint256 amount) internal {
        Queued[] storage queue = _books[classId].queue;
        uint64 time = uint64(block.timestamp);
        if (queue.length > _books[classId].head && queue[queue.length - 1].time == time) {
            queue[queue.length - 1].amount += uint192(amount);
        } else {
            queue.push(Queued(time, uint192(amount)));
        }
        emit RevenueQueued(classId, amount, time);
    }

    /// @dev Let a new token into the books: no revenue from before, and a place in the heap if it expires.
    function _enter(uint256 tokenId, Token storage token) internal {
        Book storage book = _books[token.classId];
        if (token.shareRatio != 0) {
            address[] storage assets = _classes[token.classId].assets;
            for (uint256 i = 0; i < assets.length; ++i) {
                uint256 index = book.pools[assets[i]].acc;
                if (index != 0) _debt[tokenId][assets[i]] = token.shareRatio * index;
            }
            book.totalShare += token.shareRatio;
            token.countedInShare = true;
        }
        if (token.expireAt != 0) book.expiries.insert((uint256(token.expireAt) << 192) | tokenId);
    }

    /// @dev A token's unclaimed revenue times SCALE.
    function _pendingScaled(uint256 tokenId, address asset) internal view returns (uint256) {
        Token storage token = _tokens[tokenId];
        uint256 index = token.expired ? _frozenIndex[tokenId][asset] : _books[token.classId].pools[asset].acc;
        return token.shareRatio * index - _debt[tokenId][asset];
    }
}
