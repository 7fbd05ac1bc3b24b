// SPDX-License-Identifier: MIT OR Apache-2.0
// What the invariants share: forge's cheat codes, the shipped contracts as their ABIs say, and how they are deployed.
// Invariant: what is deployed is the initcode of python/interlace/contracts/compiled, byte for byte.
// What it does not do: it compiles none of the contracts under test, and it imports no library.
pragma solidity ^0.8.28;

interface Vm {
    function addr(uint256 key) external pure returns (address);
    function deal(address account, uint256 amount) external;
    function envOr(string calldata name, uint256 otherwise) external view returns (uint256);
    function parseJsonBytes(string calldata json, string calldata key) external pure returns (bytes memory);
    function prank(address sender) external;
    function readFile(string calldata path) external view returns (string memory);
    function sign(uint256 key, bytes32 digest) external pure returns (uint8 v, bytes32 r, bytes32 s);
    function warp(uint256 timestamp) external;
}

interface ICredit {
    function deposit() external payable;
    function transfer(address to, uint256 amount) external returns (bool);
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
    function approve(address spender, uint256 amount) external returns (bool);
    function balanceOf(address account) external view returns (uint256);
}

interface IAssets {
    struct Parent {
        uint64 classId;
        uint16 weight;
        uint8 relation;
    }

    struct Licence {
        uint16 permissions;
        uint16 duties;
    }

    error NoLiveShares(uint256 classId);
    error ExpiryBacklog(uint256 classId, uint256 limit);

    function createClass(string calldata, bytes32, uint8, string calldata) external returns (uint256);
    function createDerivedClass(
        uint8, string calldata, bytes32, uint8, string calldata, Parent[] calldata, Licence calldata
    ) external returns (uint256);
    function mint(uint256 classId, address to, uint256 value, uint256 share, uint64 expireAt) external returns (uint256);
    function settleRevenueETH(uint256 classId) external payable;
    function settleRevenueERC20(uint256 classId, address asset, uint256 amount) external;
    function settleRouted(uint256 classId, uint256 amount) external;
    function claim(uint256 tokenId, address asset, address payable to) external returns (uint256);
    function claimUnshared(uint256 classId, address asset, address payable to) external returns (uint256);
    function expire(uint256 classId, uint256 limit) external returns (bool);
    function tokenCount() external view returns (uint256);
    function classOf(uint256 tokenId) external view returns (uint256);
    function pendingScaled(uint256 tokenId, address asset) external view returns (uint256);
    function poolOf(uint256 classId, address asset) external view returns (uint256 acc, uint256 carry);
    function unsharedOf(uint256 classId, address asset) external view returns (uint256);
    function queuedOf(uint256 classId) external view returns (uint256 amount, uint256 entries);
}

abstract contract Base {
    Vm internal constant vm = Vm(address(uint160(uint256(keccak256("hevm cheat code")))));

    function _deploy(string memory name, bytes memory arguments) internal returns (address made) {
        string memory path = string.concat("../../python/interlace/contracts/compiled/", name, ".json");
        bytes memory code = bytes.concat(vm.parseJsonBytes(vm.readFile(path), ".initcode"), arguments);
        assembly {
            made := create(0, add(code, 32), mload(code))
        }
        require(made != address(0), name);
    }
}
