// SPDX-License-Identifier: MIT OR Apache-2.0
// What tests need to attack an organisation: a receiver of money that calls back.
// Invariant: what happened within a call is kept, so that a test sees it afterwards.
// Source: tests/contracts/test_organisation.py.
// What it does not do: it is never shipped.
pragma solidity ^0.8.28;

/// Takes native money and, while it is paid, repeats whatever it was told.
contract Grabber {
    address private _target;
    bytes private _data;
    bool public tried;
    bool public succeeded;
    bytes public reason;

    function arm(address target, bytes calldata data) external {
        (_target, _data) = (target, data);
    }

    receive() external payable {
        if (_target == address(0)) return;
        tried = true;
        (succeeded, reason) = _target.call(_data);
    }
}
