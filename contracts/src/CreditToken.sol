// SPDX-License-Identifier: MIT OR Apache-2.0
// The unit of account: one credit is one locked native token.
// Invariant: totalSupply() == address(this).balance less native tokens forced in without deposit() (genesis allocation,
// block reward, SELFDESTRUCT); those stay locked and back nothing. There is no owner and no other way to mint.
// Sources: ERC-20, ERC-2612, ERC-3009. OpenZeppelin 5.7 has two ERC-3009 forms; this is the one with free 32-byte
// nonces (draft-ERC3009), which x402 clients draw at random. ERC20TransferAuthorization wants sequential keyed nonces.
// What it does not do: it has no fee, no pause, no blacklist, and no receive(): a plain transfer to it reverts.
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {ERC20Permit} from "@openzeppelin/contracts/token/ERC20/extensions/ERC20Permit.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

contract CreditToken is ERC20Permit, ERC3009 {
    /// @notice Native tokens were locked and as many credits made.
    event Deposit(address indexed account, uint256 amount);
    /// @notice Credits were destroyed and as many native tokens given back.
    event Withdrawal(address indexed account, uint256 amount);

    error ZeroAmount();
    /// @notice The receiver of native tokens refused them.
    error NativeTransferFailed(address to, uint256 amount);

    constructor() ERC20("Interlace Credit", "ILC") ERC20Permit("Interlace Credit") {}

    /// @notice Lock msg.value native tokens and receive as many credits.
    function deposit() external payable {
        require(msg.value != 0, ZeroAmount());
        _mint(msg.sender, msg.value);
        emit Deposit(msg.sender, msg.value);
    }

    /// @notice Give back `amount` credits for as many native tokens.
    function withdraw(uint256 amount) external {
        require(amount != 0, ZeroAmount());
        _burn(msg.sender, amount);
        emit Withdrawal(msg.sender, amount);
        (bool ok, ) = msg.sender.call{value: amount}("");
        require(ok, NativeTransferFailed(msg.sender, amount));
    }

    /// @notice ERC-3009 transfer whose signature may also be an ERC-1271 contract's.
    function transferWithAuthorization(
        address from,
        address to,
        uint256 value,
        uint256 validAfter,
        uint256 validBefore,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        bytes32 digest = _hashTypedDataV4(
            keccak256(abi.encode(TRANSFER_WITH_AUTHORIZATION_TYPEHASH, from, to, value, validAfter, validBefore, nonce))
        );
        require(SignatureChecker.isValidSignatureNow(from, digest, signature), ERC3009InvalidSignature());
        _transferWithAuthorization(from, to, value, validAfter, validBefore, nonce);
    }
}
