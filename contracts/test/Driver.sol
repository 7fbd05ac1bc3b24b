// SPDX-License-Identifier: MIT OR Apache-2.0
// Runs many users' calls in one transaction and logs how each ended, so that long random sequences fit in a test.
// Invariant: every call is made by the actor that it names, an account of its own with its own money; a call that
// reverts changes nothing and the next one runs.
// What it does not do: it weakens nothing; to the contracts under test its actors are ordinary contract accounts.
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

contract Actor is IERC1271 {
    address private immutable _driver = msg.sender;
    address private immutable _key;
    address private _target;
    bytes private _attack;
    bool private _refuses;
    bool private _attacking;

    constructor(address key) payable {
        _key = key;
    }

    /// @dev Whoever sends it native tokens gives it a turn: it refuses them, or makes the call that it is armed with, once.
    receive() external payable {
        require(!_refuses);
        if (_target == address(0) || _attacking) return;
        _attacking = true;
        (bool ok, ) = _target.call(_attack);
        _attacking = false;
        ok; // an attack that is refused changes nothing, and the money was still wanted
    }

    function arm(address target, bytes calldata attack, bool refuses) external {
        require(msg.sender == address(this));
        (_target, _attack, _refuses) = (target, attack, refuses);
    }

    function execute(address to, uint256 value, bytes calldata data) external returns (bool ok, bytes memory answer) {
        require(msg.sender == _driver);
        (ok, answer) = to.call{value: value}(data);
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        (address signer, , ) = ECDSA.tryRecoverCalldata(hash, signature);
        return signer == _key ? this.isValidSignature.selector : bytes4(0xffffffff);
    }
}

contract Driver {
    struct Step {
        uint256 actor;
        address to;
        uint256 value;
        bytes data;
    }

    Actor[] private _actors;

    event Done(bool ok, bytes answer);

    constructor(address[] memory keys) payable {
        for (uint256 i = 0; i < keys.length; ++i) _actors.push(new Actor{value: msg.value / keys.length}(keys[i]));
    }

    function actors() external view returns (Actor[] memory) {
        return _actors;
    }

    function run(Step[] calldata steps) external {
        for (uint256 i = 0; i < steps.length; ++i) {
            Step calldata step = steps[i];
            (bool ok, bytes memory answer) = _actors[step.actor].execute(step.to, step.value, step.data);
            emit Done(ok, answer);
        }
    }

    function read(address[] calldata to, bytes[] calldata data) external view returns (bytes[] memory answers) {
        answers = new bytes[](to.length);
        for (uint256 i = 0; i < to.length; ++i) {
            (bool ok, bytes memory answer) = to[i].staticcall(data[i]);
            require(ok);
            answers[i] = answer;
        }
    }
}
