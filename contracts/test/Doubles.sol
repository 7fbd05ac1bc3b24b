// SPDX-License-Identifier: MIT OR Apache-2.0
// Contracts with which the tests attack ours, and an ERC-1271 wallet. Nothing ships them.
// Invariant: each does one thing that a user's contract could do on a real chain.
// What it does not do: none of them stands in for a contract of ours.
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @notice An ERC-20 that keeps one percent of every transfer for itself.
contract FeeToken is ERC20 {
    constructor(uint256 supply) ERC20("Fee", "FEE") {
        _mint(msg.sender, supply);
    }

    function _update(address from, address to, uint256 value) internal override {
        uint256 fee = from == address(0) ? 0 : value / 100;
        super._update(from, to, value - fee);
        if (fee != 0) super._update(from, address(this), fee);
    }
}

/// @notice A wallet that agrees to everything and takes its time: it burns `burn` gas before each answer.
contract Burner is IERC1271 {
    uint256 public burn;

    function set(uint256 burn_) external {
        burn = burn_;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        uint256 start = gasleft();
        while (start - gasleft() < burn) {}
        return IERC1271.isValidSignature.selector;
    }
}

/// @notice A wallet whose one key signs by ERC-1271 and calls anything.
contract Wallet is IERC1271 {
    address public immutable key;
    bool public revoked;

    constructor(address key_) {
        key = key_;
    }

    receive() external payable {}

    function revoke() external {
        require(msg.sender == key);
        revoked = true;
    }

    function execute(address to, uint256 value, bytes calldata data) external {
        require(msg.sender == key);
        (bool ok, bytes memory answer) = to.call{value: value}(data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address signer, , ) = ECDSA.tryRecoverCalldata(hash, signature);
        return !revoked && signer == key ? this.isValidSignature.selector : bytes4(0xffffffff);
    }
}

/// @notice Receives native tokens and, while receiving, makes the call it was told to make.
contract Reentrant {
    address public target;
    bytes public attack;
    uint256 public attempts;
    uint256 public successes;
    bytes public answer;

    function arm(address target_, bytes calldata attack_) external {
        target = target_;
        attack = attack_;
    }

    function execute(address to, uint256 value, bytes calldata data) external payable {
        (bool ok, bytes memory result) = to.call{value: value}(data);
        if (!ok) {
            assembly ("memory-safe") {
                revert(add(result, 32), mload(result))
            }
        }
    }

    receive() external payable {
        if (target == address(0)) return;
        ++attempts;
        (bool ok, bytes memory result) = target.call(attack);
        if (ok) ++successes;
        answer = result;
    }
}

/// @notice An ERC-20 that calls back into Assets while it is being transferred.
contract CallbackToken is ERC20 {
    address public target;
    bytes public attack;
    bool public reentered;

    constructor(uint256 supply) ERC20("Callback", "CB") {
        _mint(msg.sender, supply);
    }

    function arm(address target_, bytes calldata attack_) external {
        target = target_;
        attack = attack_;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (target == address(0)) return;
        (bool ok, ) = target.call(attack);
        reentered = reentered || ok;
    }
}

/// @notice Forces native tokens on an address that has no receive().
contract Forcer {
    constructor(address payable to) payable {
        selfdestruct(to);
    }
}
