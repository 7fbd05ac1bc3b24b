// SPDX-License-Identifier: MIT OR Apache-2.0
// One fee in, six parts out: node, data, model, validators, holders, treasury.
// Invariant: the parts of a routed amount add up to it, each is amount * bp / 10,000 rounded down, and what rounding
// leaves (fewer than six wei) is the node's; the credit balance is at least the sum of claimable.
// What it does not do: it keeps no history; lineage is one step deep (a model's parents, not theirs). A parent class
// earns by its weight, the last parent also what rounding leaves; a model without parents earns the data part itself.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Assets} from "./Assets.sol";
import {StakingVault} from "./StakingVault.sol";
import {Validators} from "./Validators.sol";

contract FeeRouter {
    using SafeERC20 for IERC20;

    uint256 public constant BASIS_POINTS = 10_000;

    /// @notice Basis points of each part; together BASIS_POINTS.
    struct Shares {
        uint16 node;
        uint16 data;
        uint16 model;
        uint16 validators;
        uint16 holders;
        uint16 treasury;
    }

    IERC20 public immutable credit;
    Assets public immutable assets;
    Validators public immutable validators;
    StakingVault public immutable vault;
    /// @notice The only caller of route().
    address public immutable settlement;
    /// @notice May change the shares, the treasury and itself; nothing that is already claimable.
    address public governor;
    /// @notice Where the treasury's part becomes claimable.
    address public treasury;
    Shares private _shares;
    mapping(address account => uint256) public claimable;
    /// @notice All routed and all paid out by claim(), in credit-wei.
    uint256 public totalRouted;
    uint256 public totalClaimed;

    event Routed(
        address indexed node, uint256 indexed classId, uint256 amount, uint256 nodePart, uint256 dataPart,
        uint256 modelPart, uint256 validatorsPart, uint256 holdersPart, uint256 treasuryPart
    );
    event Claimed(address indexed account, address indexed to, uint256 amount);
    event SharesChanged(Shares shares);
    event GovernorChanged(address indexed previous, address indexed governor);
    event TreasuryChanged(address indexed previous, address indexed treasury);

    error NotSettlement(address caller);
    error NotGovernor(address caller);
    error SharesDoNotAddUp(uint256 total);
    error ZeroAddress();

    constructor(
        IERC20 credit_,
        Assets assets_,
        Validators validators_,
        StakingVault vault_,
        address settlement_,
        address governor_,
        address treasury_,
        Shares memory shares_
    ) {
        require(governor_ != address(0) && treasury_ != address(0), ZeroAddress());
        credit = credit_;
        assets = assets_;
        validators = validators_;
        vault = vault_;
        settlement = settlement_;
        governor = governor_;
        treasury = treasury_;
        _setShares(shares_);
        credit_.approve(address(assets_), type(uint256).max);
        credit_.approve(address(validators_), type(uint256).max);
        credit_.approve(address(vault_), type(uint256).max);
    }

    /// @notice Take `amount` credits from Settlement and divide them; node and treasury claim theirs here.
    function route(address node, uint256 classId, uint256 amount) external {
        require(msg.sender == settlement, NotSettlement(msg.sender));
        Shares memory s = _shares;
        uint256 data = (amount * s.data) / BASIS_POINTS;
        uint256 model = (amount * s.model) / BASIS_POINTS;
        uint256 validatorsPart = (amount * s.validators) / BASIS_POINTS;
        uint256 holders = (amount * s.holders) / BASIS_POINTS;
        uint256 treasuryPart = (amount * s.treasury) / BASIS_POINTS;
        uint256 nodePart = amount - data - model - validatorsPart - holders - treasuryPart;
        totalRouted += amount;
        claimable[node] += nodePart;
        claimable[treasury] += treasuryPart;
        emit Routed(node, classId, amount, nodePart, data, model, validatorsPart, holders, treasuryPart);
        credit.safeTransferFrom(msg.sender, address(this), amount);
        _routeToClasses(classId, model, data);
        if (validatorsPart != 0) validators.addReward(validatorsPart);
        if (holders != 0) vault.addReward(holders);
    }

    /// @notice Pay the caller's whole credits to `to`; returns zero and does nothing when there are none.
    function claim(address to) external returns (uint256 amount) {
        amount = claimable[msg.sender];
        if (amount == 0) return 0;
        claimable[msg.sender] = 0;
        totalClaimed += amount;
        emit Claimed(msg.sender, to, amount);
        credit.safeTransfer(to, amount);
    }

    function shares() external view returns (Shares memory) {
        return _shares;
    }

    /// @notice Change the division of fees routed from now on.
    function setShares(Shares calldata shares_) external onlyGovernor {
        _setShares(shares_);
    }

    /// @notice Change who receives the treasury's part from now on; what the old one can claim stays its own.
    function setTreasury(address treasury_) external onlyGovernor {
        require(treasury_ != address(0), ZeroAddress());
        emit TreasuryChanged(treasury, treasury_);
        treasury = treasury_;
    }

    function setGovernor(address governor_) external onlyGovernor {
        require(governor_ != address(0), ZeroAddress());
        emit GovernorChanged(governor, governor_);
        governor = governor_;
    }

    modifier onlyGovernor() {
        require(msg.sender == governor, NotGovernor(msg.sender));
        _;
    }

    function _setShares(Shares memory s) private {
        uint256 total = uint256(s.node) + s.data + s.model + s.validators + s.holders + s.treasury;
        require(total == BASIS_POINTS, SharesDoNotAddUp(total));
        _shares = s;
        emit SharesChanged(s);
    }

    /// @dev The data part goes to the parents by weight; without parents the model earns both.
    function _routeToClasses(uint256 classId, uint256 model, uint256 data) private {
        (uint256[] memory parents, uint16[] memory weights) = assets.parentsOf(classId);
        uint256 count = parents.length;
        if (count == 0) (model, data) = (model + data, 0);
        if (model != 0) assets.settleRouted(classId, model);
        uint256 left = data;
        for (uint256 i = 0; i < count; ++i) {
            uint256 part = i + 1 == count ? left : (data * weights[i]) / BASIS_POINTS;
            left -= part;
            if (part != 0) assets.settleRouted(parents[i], part);
        }
    }
}
