// SPDX-License-Identifier: MIT OR Apache-2.0
// One fee in, six parts out: node, data, model, validators, holders, treasury. Three meters, each with shares of its own.
// Meters: 0 compute, from Settlement; 1 data validation, from DataValidation; 2 transactions, which are paid in native tokens:
// their shares are kept here with the others, and TransactionFees divides by them.
// Invariant: the parts of a routed amount add up to it, each is amount * bp / 10,000 rounded down, and what rounding
// leaves (fewer than six wei) is the node's; the credit balance is at least the sum of claimable.
// The data part goes upstream: to the model's parents by weight, and a parent that has parents itself keeps of what comes to it the
// model's part of model and data, and passes the rest on. Parents are older than their children and have lower numbers, so the highest
// number comes next, with all that will ever come to it. What is divided among parents is divided by largest remainder, the first of equals.
// What it does not do: it keeps no history; beyond MAX_CLASSES a class keeps what it would pass on, as one without parents does.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {Assets} from "./Assets.sol";
import {IRouter} from "./interfaces/IRouter.sol";
import {StakingVault} from "./StakingVault.sol";
import {Validators} from "./Validators.sol";

contract FeeRouter is IRouter {
    using SafeERC20 for IERC20;

    uint256 public constant BASIS_POINTS = 10_000;
    /// @notice Classes that one fee reaches at most.
    uint256 public constant MAX_CLASSES = 32;
    uint8 public constant METERS = 3;
    uint8 public constant COMPUTE = 0;
    uint8 public constant DATA_VALIDATION = 1;
    uint8 public constant TRANSACTION = 2;

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
    /// @notice The only caller of route() for compute.
    address public immutable settlement;
    /// @notice The only caller of route() for data validation.
    address public immutable validation;
    /// @notice May change the shares, the treasury and itself; nothing that is already claimable.
    address public governor;
    /// @notice Where the treasury's part becomes claimable.
    address public treasury;
    mapping(uint8 meter => Shares) private _shares;
    mapping(address account => uint256) public claimable;
    /// @notice All that was routed for a meter, in credit-wei.
    mapping(uint8 meter => uint256) public routedOf;
    /// @notice All paid out by claim(), in credit-wei.
    uint256 public totalClaimed;

    event Routed(
        uint8 indexed meter, address indexed node, uint256 indexed classId, uint256 amount, uint256 nodePart,
        uint256 dataPart, uint256 modelPart, uint256 validatorsPart, uint256 holdersPart, uint256 treasuryPart
    );
    event Claimed(address indexed account, address indexed to, uint256 amount);
    event SharesChanged(uint8 indexed meter, Shares shares);
    event GovernorChanged(address indexed previous, address indexed governor);
    event TreasuryChanged(address indexed previous, address indexed treasury);

    error UnknownMeter(uint8 meter);
    error NotMetersCaller(uint8 meter, address caller);
    error TransactionsHaveNoClass(uint16 data, uint16 model);
    error NotGovernor(address caller);
    error SharesDoNotAddUp(uint256 total);
    error ZeroAddress();

    constructor(
        IERC20 credit_,
        Assets assets_,
        Validators validators_,
        StakingVault vault_,
        address settlement_,
        address validation_,
        address governor_,
        address treasury_,
        Shares[3] memory shares_
    ) {
        require(governor_ != address(0) && treasury_ != address(0), ZeroAddress());
        credit = credit_;
        assets = assets_;
        validators = validators_;
        vault = vault_;
        settlement = settlement_;
        validation = validation_;
        governor = governor_;
        treasury = treasury_;
        for (uint8 meter = 0; meter < METERS; ++meter) _setShares(meter, shares_[meter]);
        credit_.approve(address(assets_), type(uint256).max);
        credit_.approve(address(validators_), type(uint256).max);
        credit_.approve(address(vault_), type(uint256).max);
    }

    /// @inheritdoc IRouter
    /// @dev Node and treasury claim theirs here.
    function route(uint8 meter, address node, uint256 classId, uint256 amount) external {
        require(meter < TRANSACTION, UnknownMeter(meter));
        require(msg.sender == (meter == COMPUTE ? settlement : validation), NotMetersCaller(meter, msg.sender));
        Shares memory s = _shares[meter];
        uint256 data = (amount * s.data) / BASIS_POINTS;
        uint256 model = (amount * s.model) / BASIS_POINTS;
        uint256 validatorsPart = (amount * s.validators) / BASIS_POINTS;
        uint256 holders = (amount * s.holders) / BASIS_POINTS;
        uint256 treasuryPart = (amount * s.treasury) / BASIS_POINTS;
        uint256 nodePart = amount - data - model - validatorsPart - holders - treasuryPart;
        routedOf[meter] += amount;
        claimable[node] += nodePart;
        claimable[treasury] += treasuryPart;
        emit Routed(meter, node, classId, amount, nodePart, data, model, validatorsPart, holders, treasuryPart);
        credit.safeTransferFrom(msg.sender, address(this), amount);
        _routeToClasses(classId, model + data, data, s);
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

    /// @notice How a fee of `meter` is divided.
    function sharesOf(uint8 meter) external view returns (Shares memory) {
        require(meter < METERS, UnknownMeter(meter));
        return _shares[meter];
    }

    /// @notice All that was routed here, in credit-wei: compute and data validation.
    function totalRouted() external view returns (uint256) {
        return routedOf[COMPUTE] + routedOf[DATA_VALIDATION];
    }

    /// @notice Change how fees of `meter` are divided from now on.
    function setShares(uint8 meter, Shares calldata shares_) external onlyGovernor {
        _setShares(meter, shares_);
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

    function _setShares(uint8 meter, Shares memory s) private {
        require(meter < METERS, UnknownMeter(meter));
        // A transaction serves no class: there is nobody to whom these parts could go.
        require(meter != TRANSACTION || (s.data == 0 && s.model == 0), TransactionsHaveNoClass(s.data, s.model));
        uint256 total = uint256(s.node) + s.data + s.model + s.validators + s.holders + s.treasury;
        require(total == BASIS_POINTS, SharesDoNotAddUp(total));
        _shares[meter] = s;
        emit SharesChanged(meter, s);
    }

    /// @dev What classes are still to get: ascending numbers, and a sum for each.
    struct Waiting {
        uint256 count;
        uint256 reached;
        uint256[] ids;
        uint256[] sums;
    }

    function _routeToClasses(uint256 classId, uint256 sum, uint256 data, Shares memory s) private {
        Waiting memory waiting = Waiting(1, 1, new uint256[](MAX_CLASSES), new uint256[](MAX_CLASSES));
        (waiting.ids[0], waiting.sums[0]) = (classId, sum);
        uint256 passed = data;
        while (waiting.count != 0) {
            --waiting.count;
            (classId, sum) = (waiting.ids[waiting.count], waiting.sums[waiting.count]);
            if (sum != 0) {
                uint256 kept = sum - _passOn(waiting, assets.parentsOf(classId), passed);
                if (kept != 0) assets.settleRouted(classId, kept);
            }
            if (waiting.count != 0) {
                // The next is a parent: what it passes on is that part of its sum.
                passed = (waiting.sums[waiting.count - 1] * s.data) / (uint256(s.data) + s.model);
            }
        }
    }

    /// @dev Add what `passed` gives each parent to what it waits for; zero if there are none, or too many.
    function _passOn(Waiting memory waiting, Assets.Parent[] memory parents, uint256 passed) private pure returns (uint256) {
        if (parents.length == 0 || passed == 0 || waiting.reached + parents.length > MAX_CLASSES) return 0;
        uint256[] memory parts = _byLargestRemainder(parents, passed);
        for (uint256 i = 0; i < parents.length; ++i) _await(waiting, parents[i].classId, parts[i]);
        return passed;
    }

    function _byLargestRemainder(Assets.Parent[] memory parents, uint256 amount) private pure returns (uint256[] memory parts) {
        uint256 count = parents.length;
        parts = new uint256[](count);
        uint256[] memory remainders = new uint256[](count);
        uint256 left = amount;
        for (uint256 i = 0; i < count; ++i) {
            uint256 product = amount * parents[i].weight;
            (parts[i], remainders[i]) = (product / BASIS_POINTS, product % BASIS_POINTS);
            left -= parts[i];
        }
        for (; left != 0; --left) {
            uint256 largest = 0;
            for (uint256 i = 1; i < count; ++i) if (remainders[i] > remainders[largest]) largest = i;
            ++parts[largest];
            remainders[largest] = 0;
        }
    }

    function _await(Waiting memory waiting, uint256 classId, uint256 sum) private pure {
        uint256 place = waiting.count;
        while (place != 0 && waiting.ids[place - 1] > classId) --place;
        if (place != 0 && waiting.ids[place - 1] == classId) {
            waiting.sums[place - 1] += sum;
            return;
        }
        for (uint256 i = waiting.count; i > place; --i) {
            (waiting.ids[i], waiting.sums[i]) = (waiting.ids[i - 1], waiting.sums[i - 1]);
        }
        (waiting.ids[place], waiting.sums[place]) = (classId, sum);
        ++waiting.count;
        ++waiting.reached;
    }
}
