// SPDX-License-Identifier: MIT OR Apache-2.0
// Fair exchange under random calls: the contract holds the fees of unfinished deals and nothing else.
// Invariant: balance == sum of the fees of unfinished deals; a deal that is over paid its fee once, to the last unit.
// What it does not do: it seals nothing; a key is any word.
pragma solidity ^0.8.28;

import {Base, ICredit} from "../src/Base.sol";

interface IExchange {
    struct Deal {
        address buyer;
        uint8 state;
        uint64 until;
        address seller;
        uint32 acknowledgeSeconds;
        uint32 revealSeconds;
        uint256 classId;
        uint128 fee;
        uint128 partialFee;
        bytes32 sealedRoot;
        bytes32 keyCommitment;
    }

    function open(address, uint256, uint128, uint128, uint32, uint32, uint32) external returns (uint256);
    function commit(uint256, bytes32, bytes32) external;
    function acknowledge(uint256) external;
    function reveal(uint256, bytes32) external;
    function finish(uint256) external;
    function dealCount() external view returns (uint256);
    function dealOf(uint256) external view returns (Deal memory);
}

contract Traders is Base {
    address public constant BUYER = address(0xb1);
    address public constant SELLER = address(0x5e);
    uint256 public constant SUM = 1e24;

    ICredit public immutable credit;
    IExchange public immutable exchange;
    /// @notice What sellers must have by now.
    uint256 public earned;

    constructor() {
        credit = ICredit(_deploy("CreditToken", ""));
        exchange = IExchange(_deploy("Exchange", abi.encode(credit)));
        vm.deal(address(this), SUM);
        credit.deposit{value: SUM}();
        credit.transfer(BUYER, SUM);
        vm.prank(BUYER);
        credit.approve(address(exchange), type(uint256).max);
    }

    function open(uint128 fee, uint128 partialFee, uint32 time) external {
        fee = 1 + fee % 1e18;
        vm.prank(BUYER);
        exchange.open(SELLER, 1, fee, partialFee % (fee + 1), 1 + time % 30, 1 + time % 7, 1 + time % 11);
    }

    /// @dev The next step of a deal by whom it belongs to; a wrong key, or a step too late, is refused.
    function step(uint256 seed, bool wrong) external {
        uint256 count = exchange.dealCount();
        if (count == 0) return;
        uint256 id = 1 + seed % count;
        IExchange.Deal memory deal = exchange.dealOf(id);
        bytes32 key = keccak256(abi.encode(id, wrong));
        bool possible = block.timestamp <= deal.until && deal.state <= 3;
        bytes memory call;
        if (deal.state == 1) {
            bytes32 right = keccak256(abi.encode(id, false));
            call = abi.encodeCall(IExchange.commit, (id, key, keccak256(abi.encodePacked(bytes16("interlace.key.v1"), right))));
        } else if (deal.state == 2) {
            call = abi.encodeCall(IExchange.acknowledge, (id));
        } else {
            call = abi.encodeCall(IExchange.reveal, (id, key));
            possible = possible && !wrong;
        }
        vm.prank(deal.state == 2 ? BUYER : SELLER);
        (bool ok, ) = address(exchange).call(call);
        require(ok == possible, "another outcome");
        if (ok && deal.state == 3) earned += deal.fee;
    }

    /// @dev By nobody in particular: only after the time of a step.
    function finish(uint256 seed) public {
        uint256 count = exchange.dealCount();
        if (count == 0) return;
        uint256 id = 1 + seed % count;
        IExchange.Deal memory deal = exchange.dealOf(id);
        (bool ok, ) = address(exchange).call(abi.encodeCall(IExchange.finish, (id)));
        require(ok == (deal.state <= 3 && block.timestamp > deal.until), "another outcome");
        if (ok && deal.state == 2) earned += deal.partialFee;
    }

    function wait_(uint256 time) external {
        vm.warp(block.timestamp + time % 15);
    }
}

contract ExchangeTest is Base {
    Traders private _traders;

    function setUp() external {
        vm.warp(1_800_000_000);
        _traders = new Traders();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_traders);
    }

    function invariant_feesOfUnfinishedDealsAreHeld() external view {
        IExchange exchange = _traders.exchange();
        uint256 fees = 0;
        for (uint256 id = 1; id <= exchange.dealCount(); ++id) {
            IExchange.Deal memory deal = exchange.dealOf(id);
            if (deal.state <= 3) fees += deal.fee;
        }
        ICredit credit = _traders.credit();
        require(credit.balanceOf(address(exchange)) == fees, "other credits");
        require(credit.balanceOf(_traders.SELLER()) == _traders.earned(), "the seller has other credits");
        require(credit.balanceOf(_traders.BUYER()) + _traders.earned() + fees == _traders.SUM(), "not conserved");
    }

    /// @dev After the last of all times anyone can finish every deal, and nothing stays.
    function afterInvariant() external {
        vm.warp(block.timestamp + 1_000);
        uint256 count = _traders.exchange().dealCount();
        for (uint256 i = 0; i < count; ++i) _traders.finish(i);
        require(_traders.credit().balanceOf(address(_traders.exchange())) == 0, "somebody was kept");
    }
}
