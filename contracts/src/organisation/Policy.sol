// SPDX-License-Identifier: MIT OR Apache-2.0
// What an organisation has decided: prices, shares of revenue, admission, council, use of data; and revenue divided by those shares.
// Invariant: only the timelock changes a policy; each change is one event with its number, the value before and after, and `head` is the
// hash of all changes so far, so that whoever replays the events knows that none is missing. Of the money, balance >= Σ owed.
// Source: docs/organisations.md.
// What it does not do: it sells nothing at a price and admits nobody; services and Members read it. A change never touches what is owed.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

contract Policy {
    using SafeERC20 for IERC20;

    // Kinds of policies: the first topic of a change.
    uint8 public constant PRICE = 1;
    uint8 public constant SHARES = 2;
    uint8 public constant ADMISSION = 3;
    uint8 public constant COUNCIL = 4;
    uint8 public constant DATA_USE = 5;

    uint256 public constant BASIS_POINTS = 10_000;
    /// @notice Accounts that share the revenue of a class.
    uint256 public constant MAX_SHARES = 64;
    /// @notice Validators in the council.
    uint256 public constant MAX_COUNCIL = 16;

    /// @param deposit Credit-wei that an applicant puts up.
    /// @param openWeight Votes that everyone with a deposit gets at once; zero when each is to be approved.
    struct Admission {
        uint128 deposit;
        uint96 openWeight;
    }

    address public immutable timelock;
    IERC20 public immutable credit;
    /// @notice Changes are numbered from 1 to this.
    uint256 public changes;
    /// @notice keccak256(head before, number, kind, key, new value) of the newest change.
    bytes32 public head;
    mapping(uint8 kind => mapping(bytes32 key => bytes)) private _values;
    mapping(address account => uint256) public owed;

    event Changed(uint256 indexed number, uint8 indexed kind, bytes32 indexed key, bytes oldValue, bytes newValue);
    event Divided(uint256 indexed classId, address indexed from, uint256 amount);
    event Paid(address indexed account, uint256 amount);

    error NotTimelock(address caller);
    error BadCouncil(uint256 members, uint256 threshold);
    error BadMember(address member);
    error BadShares(uint256 accounts, uint256 total);
    error NoShares(uint256 classId);
    error ZeroAmount();

    modifier onlyTimelock() {
        require(msg.sender == timelock, NotTimelock(msg.sender));
        _;
    }

    constructor(address timelock_, IERC20 credit_, Admission memory admission_, address[] memory council_, uint16 threshold) {
        timelock = timelock_;
        credit = credit_;
        _change(ADMISSION, 0, abi.encode(admission_));
        _setCouncil(council_, threshold);
    }

    /// @notice Credit-wei for a unit of work.
    /// @param subject A program's id, or a class's number for all programs of the class that have no price of their own.
    function setPrice(bytes32 subject, uint256 unitPrice) external onlyTimelock {
        _change(PRICE, subject, abi.encode(unitPrice));
    }

    /// @notice Who shares what divide() brings for a class, in basis points with a sum of 10,000.
    function setShares(uint256 classId, address[] calldata accounts, uint16[] calldata parts) external onlyTimelock {
        uint256 count = accounts.length;
        uint256 total = 0;
        require(count == parts.length && count != 0 && count <= MAX_SHARES, BadShares(count, 0));
        for (uint256 i = 0; i < count; ++i) {
            require(accounts[i] != address(0), BadMember(accounts[i]));
            require(parts[i] != 0, BadShares(count, 0));
            total += parts[i];
        }
        require(total == BASIS_POINTS, BadShares(count, total));
        _change(SHARES, bytes32(classId), abi.encode(accounts, parts));
    }

    function setAdmission(Admission calldata admission_) external onlyTimelock {
        _change(ADMISSION, 0, abi.encode(admission_));
    }

    /// @notice Name the validators who may veto and who decide challenges; more than half of them act.
    function setCouncil(address[] calldata members, uint16 threshold) external onlyTimelock {
        _setCouncil(members, threshold);
    }

    /// @notice Name the terms of use of a class's data by the hash of their text.
    function setDataUse(uint256 classId, bytes32 terms) external onlyTimelock {
        _change(DATA_USE, bytes32(classId), abi.encode(terms));
    }

    /// @notice Take `amount` credits from the caller and divide them by the shares of a class; anyone may.
    /// @dev Each part is rounded down; what is left, fewer wei than there are accounts, goes to the first account.
    function divide(uint256 classId, uint256 amount) external {
        require(amount != 0, ZeroAmount());
        bytes memory value = _values[SHARES][bytes32(classId)];
        require(value.length != 0, NoShares(classId));
        (address[] memory accounts, uint16[] memory parts) = abi.decode(value, (address[], uint16[]));
        credit.safeTransferFrom(msg.sender, address(this), amount);
        uint256 left = amount;
        for (uint256 i = accounts.length; i-- > 1; ) {
            uint256 part = amount * parts[i] / BASIS_POINTS;
            owed[accounts[i]] += part;
            left -= part;
        }
        owed[accounts[0]] += left;
        emit Divided(classId, msg.sender, amount);
    }

    /// @notice Pay out what the caller is owed; nothing owed, nothing done.
    function claim() external returns (uint256 amount) {
        amount = owed[msg.sender];
        if (amount == 0) return 0;
        owed[msg.sender] = 0;
        emit Paid(msg.sender, amount);
        credit.safeTransfer(msg.sender, amount);
    }

    /// @notice The encoded value of a policy; empty if it was never set.
    function valueOf(uint8 kind, bytes32 key) external view returns (bytes memory) {
        return _values[kind][key];
    }

    function priceOf(bytes32 subject) external view returns (bool known, uint256 unitPrice) {
        bytes memory value = _values[PRICE][subject];
        return value.length == 0 ? (false, 0) : (true, abi.decode(value, (uint256)));
    }

    function admission() external view returns (Admission memory) {
        return abi.decode(_values[ADMISSION][0], (Admission));
    }

    function council() public view returns (address[] memory members, uint16 threshold) {
        return abi.decode(_values[COUNCIL][0], (address[], uint16));
    }

    function isCouncillor(address account) external view returns (bool) {
        (address[] memory members, ) = council();
        for (uint256 i = 0; i < members.length; ++i) if (members[i] == account) return true;
        return false;
    }

    function _setCouncil(address[] memory members, uint16 threshold) private {
        uint256 count = members.length;
        require(count != 0 && count <= MAX_COUNCIL, BadCouncil(count, threshold));
        require(threshold <= count && 2 * uint256(threshold) > count, BadCouncil(count, threshold));
        for (uint256 i = 0; i < count; ++i) {
            require(members[i] != address(0), BadMember(members[i]));
            for (uint256 j = 0; j < i; ++j) require(members[i] != members[j], BadMember(members[i]));
        }
        _change(COUNCIL, 0, abi.encode(members, threshold));
    }

    function _change(uint8 kind, bytes32 key, bytes memory value) private {
        uint256 number = ++changes;
        emit Changed(number, kind, key, _values[kind][key], value);
        _values[kind][key] = value;
        head = keccak256(abi.encode(head, number, kind, key, value));
    }
}
