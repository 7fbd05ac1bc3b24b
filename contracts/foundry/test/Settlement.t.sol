// SPDX-License-Identifier: MIT OR Apache-2.0
// Escrow and settlement under random calls, with vouchers and receipts that are really signed.
// Invariant: credits == escrows + pending + bonds; deposited == withdrawn + routed + escrows + pending; no nonce is paid twice.
// What it does not do: fees end in a sink that counts them; how they are divided is tested elsewhere.
pragma solidity ^0.8.28;

import {Base, IAssets, ICredit} from "../src/Base.sol";

interface ISettlement {
    struct Terms {
        uint64 windowSeconds;
        uint64 voteSeconds;
        uint64 graceSeconds;
        uint64 withdrawalDelay;
        uint64 undecidedSeconds;
        uint256 bond;
    }

    struct Voucher {
        address payer;
        address node;
        uint256 assetClass;
        bytes32 programId;
        bytes32 requestHash;
        uint256 unitPrice;
        uint256 maxCost;
        address token;
        uint8 assurance;
        uint64 nonce;
        uint64 deadline;
    }

    struct Claim {
        uint256 chainId;
        address registry;
        bytes32 programId;
        uint16 semantics;
        bytes32 inputHash;
        bytes32 outputHash;
        address prover;
        uint64 jobNonce;
    }

    struct Receipt {
        bytes32 voucherHash;
        bytes32 claimHash;
        uint64 units;
        uint256 cost;
        uint64 servedAt;
    }

    struct Leaf {
        Voucher voucher;
        bytes payerSignature;
        Claim claim;
        Receipt receipt;
        bytes nodeSignature;
    }

    struct Entry {
        address payer;
        uint64 windowEnd;
        uint8 status;
        uint8 assurance;
        address node;
        uint96 classId;
        uint128 cost;
    }

    struct Dispute {
        address challenger;
        uint64 voteEnd;
        uint8 upholds;
        uint8 refunds;
    }

    function voucherDigest(Voucher calldata) external view returns (bytes32);
    function receiptDigest(Receipt calldata) external view returns (bytes32);
    function claimHash(Claim calldata) external pure returns (bytes32);
    function leafOf(bytes32, bytes32) external pure returns (bytes32);
    function setReceiptKey(address key) external;
    function commit(address node, bytes32 root, uint32 count) external returns (uint256);
    function open(uint256 batchId, Leaf[] calldata leaves, bytes32[][] calldata proofs) external;
    function release(bytes32[] calldata leafIds) external;
    function refund(bytes32[] calldata leafIds) external;
    function claimOf(bytes32 leafId) external view returns (bytes32);
    function challenge(bytes32 leafId) external;
    function vote(bytes32 leafId, bool uphold) external;
    function resolve(bytes32 leafId) external;
    function depositFor(address payer, uint256 amount) external;
    function requestWithdrawal(uint256 amount) external;
    function withdraw(address to) external returns (uint256);
    function withdrawalOf(address payer) external view returns (uint128 amount, uint64 availableAt);
    function escrowOf(address payer) external view returns (uint256);
    function entryOf(bytes32 leafId) external view returns (Entry memory);
    function challengeOf(bytes32 leafId) external view returns (Dispute memory);
}

interface IPrograms {
    function register(bytes calldata manifest, uint256 classId) external returns (bytes32);
}

/// @notice Stands where the fee router stands, and takes what it is given.
contract Sink {
    ICredit private immutable _credit;

    constructor(ICredit credit) {
        _credit = credit;
    }

    function route(uint8, address, uint256, uint256 amount) external {
        _credit.transferFrom(msg.sender, address(this), amount);
    }
}

/// @notice Stands where the tier of disputes stands; the walk says what it answers.
contract Tier {
    mapping(bytes32 claimHash => uint8) public said;

    function say(bytes32 claimHash, uint8 verdict_) external {
        said[claimHash] = verdict_;
    }

    function verdict(bytes32 claimHash, address) external view returns (uint8) {
        return said[claimHash];
    }
}

contract Market is Base {
    uint64 public constant UNITS = 3;
    uint256 public constant BOND = 1_000;
    uint256 private constant NODE_KEY = 77;

    ICredit public immutable credit;
    ISettlement public immutable settlement;
    address public immutable programs;
    Sink public immutable sink;
    Tier public immutable tier;
    bytes32 private immutable _programId;
    bytes32[] public leafIds;
    mapping(bytes32 leafId => ISettlement.Leaf) private _leaves;
    address[3] private _validators = [address(0xa1), address(0xa2), address(0xa3)];
    uint256 public deposited;
    uint256 public withdrawn;
    uint64 private _nonce;

    constructor() {
        credit = ICredit(_deploy("CreditToken", ""));
        IAssets assets = IAssets(_deploy("Assets", abi.encode(credit, address(0xdead))));
        programs = _deploy("Programs", abi.encode(assets));
        address[] memory members = new address[](3);
        for (uint256 i = 0; i < 3; ++i) members[i] = _validators[i];
        address validators = _deploy("Validators", abi.encode(credit, members, uint256(2)));
        sink = new Sink(credit);
        tier = new Tier();
        address[5] memory tiers;
        tiers[2] = address(tier);
        ISettlement.Terms memory terms = ISettlement.Terms(20, 15, 30, 40, 25, BOND);
        settlement = ISettlement(_deploy("Settlement", abi.encode(credit, programs, validators, sink, tiers, terms)));
        assets.createDerivedClass(2, "", 0, 0, "", new IAssets.Parent[](0), IAssets.Licence(1, 0));
        bytes memory manifest = abi.encodePacked("ILTP", uint16(1), UNITS, bytes32(0), uint32(0), "graph");
        _programId = IPrograms(programs).register(manifest, 1);
        settlement.setReceiptKey(vm.addr(NODE_KEY));
        vm.deal(address(this), 1e30);
        credit.deposit{value: 1e30}();
        credit.approve(address(settlement), type(uint256).max);
    }

    function payer(uint256 seed) public pure returns (address) {
        return vm.addr(1 + seed % 2);
    }

    function deposit(uint256 seed, uint256 amount) external {
        amount = 1 + amount % 1e20;
        settlement.depositFor(payer(seed), amount);
        deposited += amount;
    }

    function request(uint256 seed, uint256 amount) external {
        address who = payer(seed);
        amount = amount % (settlement.escrowOf(who) + 1);
        vm.prank(who);
        settlement.requestWithdrawal(amount);
    }

    function withdraw(uint256 seed) public {
        address who = payer(seed);
        (, uint64 at) = settlement.withdrawalOf(who);
        uint256 escrow = settlement.escrowOf(who);
        vm.prank(who);
        (bool ok, bytes memory answer) = address(settlement).call(abi.encodeCall(ISettlement.withdraw, (who)));
        require(ok == (at != 0 && block.timestamp >= at), "another outcome");
        if (!ok) return;
        uint256 amount = abi.decode(answer, (uint256));
        require(settlement.escrowOf(who) + amount == escrow, "not debited");
        withdrawn += amount;
    }

    function serve(uint256 seed, uint256 price, uint8 how) external {
        ISettlement.Leaf memory leaf;
        leaf.voucher = ISettlement.Voucher(
            payer(seed), address(this), 1, _programId, bytes32(seed), price % 1e18, type(uint256).max, address(credit),
            how % 3 == 2 ? 4 : how % 3, ++_nonce, uint64(block.timestamp)
        );
        leaf.claim = ISettlement.Claim(
            block.chainid, programs, _programId, 1, bytes32(seed), bytes32(price), address(this), _nonce
        );
        bytes32 digest = settlement.voucherDigest(leaf.voucher);
        leaf.receipt = ISettlement.Receipt(
            digest, settlement.claimHash(leaf.claim), UNITS, UNITS * (price % 1e18), uint64(block.timestamp)
        );
        leaf.payerSignature = _sign(1 + seed % 2, digest);
        bytes32 receipt = settlement.receiptDigest(leaf.receipt);
        leaf.nodeSignature = _sign(NODE_KEY, receipt);
        bytes32 leafId = settlement.leafOf(digest, receipt);
        bool enough = settlement.escrowOf(leaf.voucher.payer) >= leaf.receipt.cost;
        require(_open(leafId, leaf) == enough, "another outcome");
        if (!enough) return;
        leafIds.push(leafId);
        _leaves[leafId] = leaf;
    }

    /// @dev What was opened once is never opened again, in any batch.
    function replay(uint256 seed) external {
        if (leafIds.length == 0) return;
        bytes32 leafId = leafIds[seed % leafIds.length];
        require(!_open(leafId, _leaves[leafId]), "paid twice");
    }

    function release(uint256 seed) public {
        if (leafIds.length == 0) return;
        bytes32[] memory ids = new bytes32[](1);
        ids[0] = leafIds[seed % leafIds.length];
        ISettlement.Entry memory entry = settlement.entryOf(ids[0]);
        (bool ok, ) = address(settlement).call(abi.encodeCall(ISettlement.release, (ids)));
        bool due = entry.assurance == 4 ? said(ids[0]) == 2 : block.timestamp >= entry.windowEnd;
        require(ok == (entry.status == 1 && due), "another outcome");
    }

    function refund(uint256 seed) public {
        if (leafIds.length == 0) return;
        bytes32[] memory ids = new bytes32[](1);
        ids[0] = leafIds[seed % leafIds.length];
        ISettlement.Entry memory entry = settlement.entryOf(ids[0]);
        (bool ok, ) = address(settlement).call(abi.encodeCall(ISettlement.refund, (ids)));
        uint8 verdict = said(ids[0]);
        bool due = verdict == 3 || (verdict == 0 && block.timestamp >= entry.windowEnd)
            || (verdict == 1 && block.timestamp >= entry.windowEnd + 25);
        require(ok == (entry.status == 1 && entry.assurance == 4 && due), "another outcome");
    }

    /// @dev A tier takes back nothing that it decided.
    function decide(uint256 seed, uint8 verdict) external {
        if (leafIds.length == 0) return;
        bytes32 leafId = leafIds[seed % leafIds.length];
        if (said(leafId) < 2) tier.say(settlement.claimOf(leafId), verdict % 4);
    }

    function said(bytes32 leafId) public view returns (uint8) {
        return tier.said(settlement.claimOf(leafId));
    }

    function challenge(uint256 seed) external {
        if (leafIds.length == 0) return;
        bytes32 leafId = leafIds[seed % leafIds.length];
        ISettlement.Entry memory entry = settlement.entryOf(leafId);
        (bool ok, ) = address(settlement).call(abi.encodeCall(ISettlement.challenge, (leafId)));
        bool open = entry.assurance == 1 && block.timestamp < entry.windowEnd;
        require(ok == (entry.status == 1 && open), "another outcome");
    }

    function vote(uint256 seed, bool uphold) external {
        if (leafIds.length == 0) return;
        vm.prank(_validators[seed % 3]);
        // Too late, twice, or not challenged: refused, and nothing changes.
        address(settlement).call(abi.encodeCall(ISettlement.vote, (leafIds[(seed >> 8) % leafIds.length], uphold)));
    }

    function resolve(uint256 seed) public {
        if (leafIds.length == 0) return;
        bytes32 leafId = leafIds[seed % leafIds.length];
        ISettlement.Entry memory entry = settlement.entryOf(leafId);
        ISettlement.Dispute memory dispute = settlement.challengeOf(leafId);
        bool decided = dispute.upholds >= 2 || dispute.refunds >= 2 || block.timestamp >= dispute.voteEnd;
        (bool ok, ) = address(settlement).call(abi.encodeCall(ISettlement.resolve, (leafId)));
        require(ok == (entry.status == 2 && decided), "another outcome");
        if (ok) require(settlement.entryOf(leafId).status == (dispute.upholds >= 2 ? 3 : 4), "undecided means refund");
    }

    function wait_(uint256 time) external {
        vm.warp(block.timestamp + time % 25);
    }

    function count() external view returns (uint256) {
        return leafIds.length;
    }

    function _open(bytes32 leafId, ISettlement.Leaf memory leaf) private returns (bool ok) {
        ISettlement.Leaf[] memory leaves = new ISettlement.Leaf[](1);
        leaves[0] = leaf;
        uint256 batchId = settlement.commit(address(this), leafId, 1);
        bytes memory call = abi.encodeCall(ISettlement.open, (batchId, leaves, new bytes32[][](1)));
        (ok, ) = address(settlement).call(call);
    }

    function _sign(uint256 key, bytes32 digest) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }
}

contract SettlementTest is Base {
    Market private _market;

    function setUp() external {
        vm.warp(1_800_000_000);
        _market = new Market();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_market);
    }

    function invariant_everyCreditIsInOnePlace() external view {
        ISettlement settlement = _market.settlement();
        ICredit credit = _market.credit();
        uint256 escrows = settlement.escrowOf(_market.payer(0)) + settlement.escrowOf(_market.payer(1));
        uint256 pending = 0;
        uint256 bonds = 0;
        for (uint256 i = 0; i < _market.count(); ++i) {
            ISettlement.Entry memory entry = settlement.entryOf(_market.leafIds(i));
            if (entry.status == 1 || entry.status == 2) pending += entry.cost;
            if (entry.status == 2) bonds += _market.BOND();
        }
        require(credit.balanceOf(address(settlement)) == escrows + pending + bonds, "other credits");
        uint256 routed = credit.balanceOf(address(_market.sink()));
        require(_market.deposited() == _market.withdrawn() + routed + escrows + pending, "not conserved");
    }

    /// @dev After all windows nothing is pending, and payers take out all that they did not spend.
    function afterInvariant() external {
        ISettlement settlement = _market.settlement();
        vm.warp(block.timestamp + 1_000);
        for (uint256 i = 0; i < _market.count(); ++i) {
            uint8 status = settlement.entryOf(_market.leafIds(i)).status;
            bool back = settlement.entryOf(_market.leafIds(i)).assurance == 4 && _market.said(_market.leafIds(i)) != 2;
            if (status == 1 && back) _market.refund(i);
            if (status == 1 && !back) _market.release(i);
            if (status == 2) _market.resolve(i);
        }
        for (uint256 i = 0; i < 2; ++i) {
            address payer = _market.payer(i);
            uint256 escrow = settlement.escrowOf(payer);
            vm.prank(payer);
            settlement.requestWithdrawal(escrow);
        }
        vm.warp(block.timestamp + 1_000);
        for (uint256 i = 0; i < 2; ++i) if (settlement.escrowOf(_market.payer(i)) != 0) _market.withdraw(i);
        require(_market.credit().balanceOf(address(settlement)) == 0, "somebody was kept");
    }
}
