// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Ledger} from "../src/Ledger.sol";

interface Vm {
    function prank(address sender) external;
    function envAddress(string calldata name) external view returns (address);
    function envUint(string calldata name) external view returns (uint256);
}

/// @notice Runs in forge's own machine, on a fork of the node: what is there is read over JSON-RPC.
contract LedgerTest {
    Vm private constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function testTheForkHasWhatWasWritten() external {
        Ledger ledger = Ledger(vm.envAddress("LEDGER"));
        require(block.chainid == 31337, "another chain");
        require(address(ledger).balance == 3, "another balance");
        require(ledger.numbers("a") == vm.envUint("WRITTEN"), "another number");
        vm.prank(ledger.owner());
        ledger.write("a", 99);
        require(ledger.numbers("a") == 99, "not written");
    }

    function testOthersAreRefused() external {
        Ledger ledger = Ledger(vm.envAddress("LEDGER"));
        try ledger.write("a", 1) {
            revert("written");
        } catch (bytes memory reason) {
            require(keccak256(reason) == keccak256(abi.encodeWithSelector(Ledger.NotOwner.selector, address(this))));
        }
    }
}
