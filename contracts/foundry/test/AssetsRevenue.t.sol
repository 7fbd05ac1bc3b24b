// SPDX-License-Identifier: MIT OR Apache-2.0
// Revenue of classes under random calls: nothing is lost or made, and in the end everybody takes out everything.
// Invariant: for each class and asset, owed + carry + SCALE * (unshared + queued + claimed) == SCALE * received.
// What it does not do: it knows no lineage and no fees; the router here is whoever tests.
pragma solidity ^0.8.28;

import {Base, IAssets, ICredit} from "../src/Base.sol";

/// @notice Owner of all classes and tokens, router, and a receiver that calls back.
contract Users is Base {
    uint256 public constant SCALE = 1e18;
    uint256 public constant CLASSES = 2;
    address public constant NATIVE = address(0);

    ICredit public immutable credit;
    IAssets public immutable assets;
    mapping(uint256 classId => mapping(address asset => uint256)) public received;
    mapping(uint256 classId => mapping(address asset => uint256)) public claimed;
    bool public reentered;
    uint256 private _calling;
    uint256 private _tamper;

    constructor() {
        credit = ICredit(_deploy("CreditToken", ""));
        assets = IAssets(_deploy("Assets", abi.encode(credit, this)));
        for (uint256 i = 0; i < CLASSES; ++i) assets.createClass("", 0, 0, "");
        vm.deal(address(this), 1e30);
        credit.deposit{value: 1e29}();
        credit.approve(address(assets), type(uint256).max);
        _tamper = vm.envOr("TAMPER", uint256(0));
    }

    receive() external payable {
        if (_calling == 0) return;
        (bool again, ) = address(assets).call(abi.encodeCall(IAssets.claim, (_calling, NATIVE, payable(this))));
        reentered = reentered || again;
    }

    function mint(uint256 classSeed, uint32 share, uint256 expires) external {
        uint64 expireAt = expires % 3 == 0 ? 0 : uint64(block.timestamp + expires % 40);
        try assets.mint(_class(classSeed), address(this), 0, share % 1_000, expireAt) {} catch (bytes memory reason) {
            require(bytes4(reason) == IAssets.ExpiryBacklog.selector, "another refusal");
        }
    }

    function mintMany(uint256 classSeed) external {
        uint64 at = uint64(block.timestamp + 2);
        for (uint256 i = 0; i < 18; ++i) {
            try assets.mint(_class(classSeed), address(this), 0, i + 1, at) {} catch { return; }
        }
    }

    function settleNative(uint256 classSeed, uint256 amount) external {
        amount = 1 + amount % 1e20;
        uint256 classId = _class(classSeed);
        try assets.settleRevenueETH{value: amount}(classId) {
            received[classId][NATIVE] += amount + _tamper;
        } catch (bytes memory reason) {
            _expected(reason);
        }
    }

    function settleCredit(uint256 classSeed, uint256 amount) external {
        amount = 1 + amount % 1e20;
        uint256 classId = _class(classSeed);
        try assets.settleRevenueERC20(classId, address(credit), amount) {
            received[classId][address(credit)] += amount;
        } catch (bytes memory reason) {
            _expected(reason);
        }
    }

    /// @dev A routed fee is never refused.
    function settleRouted(uint256 classSeed, uint256 amount) external {
        amount = 1 + amount % 100;
        uint256 classId = _class(classSeed);
        assets.settleRouted(classId, amount);
        received[classId][address(credit)] += amount;
    }

    /// @dev A claim of one's own is never refused.
    function claim(uint256 tokenSeed, bool native) public {
        uint256 count = assets.tokenCount();
        if (count == 0) return;
        uint256 tokenId = 1 + tokenSeed % count;
        address asset = native ? NATIVE : address(credit);
        _calling = native ? tokenId : 0;
        claimed[assets.classOf(tokenId)][asset] += assets.claim(tokenId, asset, payable(this));
        _calling = 0;
    }

    function claimUnshared(uint256 classSeed) public {
        uint256 classId = _class(classSeed);
        claimed[classId][address(credit)] += assets.claimUnshared(classId, address(credit), payable(this));
    }

    function expire(uint256 classSeed, uint256 limit) public {
        assets.expire(_class(classSeed), limit);
    }

    function wait_(uint256 time) external {
        vm.warp(block.timestamp + time % 20);
    }

    function _class(uint256 seed) private pure returns (uint256) {
        return 1 + seed % CLASSES;
    }

    function _expected(bytes memory reason) private pure {
        bytes4 why = bytes4(reason);
        require(why == IAssets.NoLiveShares.selector || why == IAssets.ExpiryBacklog.selector, "another refusal");
    }
}

contract AssetsRevenueTest is Base {
    Users private _users;
    address private _credit;

    function setUp() external {
        vm.warp(1_800_000_000);
        _users = new Users();
        _credit = address(_users.credit());
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_users);
    }

    /// @dev One walk for all of it: the walks are what takes the time.
    function invariant_nothingIsLostOrMadeOrPaidTwice() external view {
        require(!_users.reentered(), "paid again");
        IAssets assets = _users.assets();
        for (uint256 classId = 1; classId <= _users.CLASSES(); ++classId) {
            for (uint256 i = 0; i < 2; ++i) {
                address asset = i == 0 ? address(0) : _credit;
                (, uint256 sum) = assets.poolOf(classId, asset);
                for (uint256 tokenId = 1; tokenId <= assets.tokenCount(); ++tokenId) {
                    if (assets.classOf(tokenId) == classId) sum += assets.pendingScaled(tokenId, asset);
                }
                uint256 whole = assets.unsharedOf(classId, asset) + _users.claimed(classId, asset);
                if (i == 1) {
                    (uint256 queued, ) = assets.queuedOf(classId);
                    whole += queued;
                }
                require(sum + whole * 1e18 == _users.received(classId, asset) * 1e18, "not conserved");
            }
        }
        _held();
    }

    function _held() private view {
        (uint256 native, uint256 credits) = _left();
        require(address(_users.assets()).balance == native, "other native tokens");
        require(ICredit(_credit).balanceOf(address(_users.assets())) == credits, "other credits");
    }

    /// @dev At the end of each run everybody leaves, and what stays is less than a unit for each token.
    function afterInvariant() external {
        IAssets assets = _users.assets();
        for (uint256 classId = 1; classId <= _users.CLASSES(); ++classId) {
            while (assets.expire(classId, 64)) {}
            _users.claimUnshared(classId - 1);
        }
        uint256 count = assets.tokenCount();
        for (uint256 i = 0; i < count; ++i) {
            _users.claim(i, true);
            _users.claim(i, false);
            require(assets.pendingScaled(i + 1, _credit) < 1e18 && assets.pendingScaled(i + 1, address(0)) < 1e18);
        }
        (uint256 native, uint256 credits) = _left();
        require(native <= count + _users.CLASSES() && credits <= count + _users.CLASSES(), "somebody was kept");
    }

    function _left() private view returns (uint256 native, uint256 credits) {
        for (uint256 classId = 1; classId <= _users.CLASSES(); ++classId) {
            native += _users.received(classId, address(0)) - _users.claimed(classId, address(0));
            credits += _users.received(classId, _credit) - _users.claimed(classId, _credit);
        }
    }
}
