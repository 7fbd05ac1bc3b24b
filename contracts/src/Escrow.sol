// SPDX-License-Identifier: MIT OR Apache-2.0
// Payers' credits, from which settled receipts are paid.
// Invariant: the credit balance of the contract is at least the sum of escrows and whatever its heirs hold beside them.
// A payer's credits stay for withdrawalDelay after the request to take them back, and remain spendable until taken: a
// node that sees escrow and no request knows that it lasts for withdrawalDelay.
// What it does not do: it earmarks nothing. One escrow backs the payer's vouchers to all nodes, so a payer can sign for
// more than there is; a node limits what it is owed by settling often. Credits sent without deposit() are lost.
pragma solidity ^0.8.28;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

abstract contract Escrow {
    using SafeERC20 for IERC20;

    /// @param amount Credit-wei asked back.
    /// @param availableAt Unix second from which it can be taken.
    struct Withdrawal {
        uint128 amount;
        uint64 availableAt;
    }

    IERC20 public immutable credit;
    uint64 public immutable withdrawalDelay;
    /// @notice Credit-wei that can pay for this payer's vouchers, a requested withdrawal included.
    mapping(address payer => uint256) public escrowOf;
    mapping(address payer => Withdrawal) public withdrawalOf;

    event Deposited(address indexed payer, address indexed from, uint256 amount);
    event WithdrawalRequested(address indexed payer, uint256 amount, uint64 availableAt);
    event Withdrawn(address indexed payer, address indexed to, uint256 amount);

    error ZeroAmount();
    error InsufficientEscrow(address payer, uint256 escrow, uint256 needed);
    error NoWithdrawalRequested(address payer);
    error WithdrawalNotYet(address payer, uint64 availableAt, uint256 nowAt);

    constructor(IERC20 credit_, uint64 withdrawalDelay_) {
        credit = credit_;
        withdrawalDelay = withdrawalDelay_;
    }

    /// @notice Put `amount` of one's own credits into one's own escrow.
    function deposit(uint256 amount) external {
        depositFor(msg.sender, amount);
    }

    /// @notice Put `amount` of one's own credits into the escrow of `payer`.
    function depositFor(address payer, uint256 amount) public {
        require(amount != 0, ZeroAmount());
        escrowOf[payer] += amount;
        emit Deposited(payer, msg.sender, amount);
        credit.safeTransferFrom(msg.sender, address(this), amount);
    }

    /// @notice Ask `amount` back; it can be taken after withdrawalDelay. A request replaces the one before, zero cancels.
    function requestWithdrawal(uint256 amount) external {
        require(amount <= escrowOf[msg.sender], InsufficientEscrow(msg.sender, escrowOf[msg.sender], amount));
        require(amount <= type(uint128).max, InsufficientEscrow(msg.sender, type(uint128).max, amount));
        uint64 availableAt = amount == 0 ? 0 : uint64(block.timestamp) + withdrawalDelay;
        withdrawalOf[msg.sender] = Withdrawal(uint128(amount), availableAt);
        emit WithdrawalRequested(msg.sender, amount, availableAt);
    }

    /// @notice Take what was asked back, or what settlements left of it, to `to`.
    function withdraw(address to) external returns (uint256 amount) {
        Withdrawal memory request = withdrawalOf[msg.sender];
        require(request.availableAt != 0, NoWithdrawalRequested(msg.sender));
        require(
            block.timestamp >= request.availableAt, WithdrawalNotYet(msg.sender, request.availableAt, block.timestamp)
        );
        amount = request.amount < escrowOf[msg.sender] ? request.amount : escrowOf[msg.sender];
        delete withdrawalOf[msg.sender];
        escrowOf[msg.sender] -= amount;
        emit Withdrawn(msg.sender, to, amount);
        credit.safeTransfer(to, amount);
    }

    function _take(address payer, uint256 amount) internal {
        uint256 escrow = escrowOf[payer];
        require(escrow >= amount, InsufficientEscrow(payer, escrow, amount));
        escrowOf[payer] = escrow - amount;
    }
}
