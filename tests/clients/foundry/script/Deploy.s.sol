// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ledger} from "../src/Ledger.sol";

interface Vm {
    function envBytes32(string calldata name) external view returns (bytes32);
    function startBroadcast() external;
    function stopBroadcast() external;
}

/// @notice Deploys a ledger twice, by CREATE and by CREATE2, and writes into the first.
contract Deploy {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function run() external returns (Ledger first, Ledger second) {
        vm.startBroadcast();
        first = new Ledger{value: 3}(msg.sender);
        first.write("a", 1);
        second = new Ledger{salt: vm.envBytes32("SALT")}(msg.sender);
        vm.stopBroadcast();
        require(first.numbers("a") == 1 && second.owner() == msg.sender, "not written");
    }
}
