// SPDX-License-Identifier: MIT OR Apache-2.0
// What the two registries about agents share: whose agent it is, and the bounds of what is written and listed.
// Invariant: whoever may act for an identity (its owner, who was approved for it, an operator of the owner's) is the one Agents names.
// Source: ERC-8004, text of erc-8004-contracts at b9e466c; ERC-721 for owners and operators.
// What it does not do: it keeps nothing.
pragma solidity ^0.8.28;

import {Agents} from "./Agents.sol";

abstract contract AgentRegistry {
    /// @notice Bytes of a URI or an endpoint, and of a tag.
    uint256 public constant MAX_URI = 2_048;
    uint256 public constant MAX_TAG = 64;
    /// @notice Entries that one answer lists; ask for pages above that.
    uint256 public constant MAX_LIST = 1_024;
    /// @notice Addresses that a summary is restricted to.
    uint256 public constant MAX_FILTER = 64;

    Agents internal immutable _agents;

    error TooLong(uint256 length, uint256 most);
    error TooManyEntries(uint256 count, uint256 most);
    error UnknownAgent(uint256 agentId);

    constructor(Agents agents_) {
        _agents = agents_;
    }

    function getIdentityRegistry() external view returns (address) {
        return address(_agents);
    }

    /// @dev Whether `account` owns the agent or may act for its owner; reverts when there is no such agent.
    function _actsFor(uint256 agentId, address account) internal view returns (bool) {
        uint256 count = _agents.agentCount();
        require(agentId != 0 && agentId <= count, UnknownAgent(agentId));
        address owner = _agents.ownerOf(agentId);
        return account == owner || _agents.getApproved(agentId) == account || _agents.isApprovedForAll(owner, account);
    }

    function _short(string calldata text, uint256 most) internal pure {
        require(bytes(text).length <= most, TooLong(bytes(text).length, most));
    }

    /// @dev Stands for "any" when the tag is empty.
    function _tag(string calldata tag) internal pure returns (bytes32) {
        return bytes(tag).length == 0 ? bytes32(0) : keccak256(bytes(tag));
    }

    /// @dev Whether the address at `place` stands before it already; MAX_FILTER bounds the list.
    function _isRepeated(address[] calldata accounts, uint256 place) internal pure returns (bool) {
        for (uint256 i = 0; i < place; ++i) if (accounts[i] == accounts[place]) return true;
        return false;
    }

    /// @dev Where a page of at most MAX_LIST entries ends.
    function _end(uint256 from, uint256 count, uint256 length) internal pure returns (uint256) {
        require(count <= MAX_LIST, TooManyEntries(count, MAX_LIST));
        if (from >= length) return from;
        return count < length - from ? from + count : length;
    }
}
