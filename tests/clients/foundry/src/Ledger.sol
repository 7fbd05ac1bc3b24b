// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

/// @notice Named numbers that their owner alone may change.
contract Ledger {
    error NotOwner(address caller);

    event Written(bytes32 indexed name, uint256 value);

    address public immutable owner;
    mapping(bytes32 name => uint256) public numbers;

    constructor(address owner_) payable {
        owner = owner_;
    }

    function write(bytes32 name, uint256 value) external {
        if (msg.sender != owner) revert NotOwner(msg.sender);
        numbers[name] = value;
        emit Written(name, value);
    }
}
