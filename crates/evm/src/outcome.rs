//! How a transaction or call ended.
//!
//! Invariant: `gas_used` is what the sender pays for and the receipt counts: after refunds and the calldata floor.
//! Source: yellow paper 6.2; EIP-658 (status), EIP-3529 (refund cap), EIP-7623 (floor).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use alloy_primitives::{Address, Bytes, Log, address};

/// Where contracts under development send lines to be shown; no code lives there. It spells `console.log` (Hardhat's console.sol).
pub const CONSOLE_ADDRESS: Address = address!("000000000000000000636F6e736F6c652e6c6f67");

/// Whether execution succeeded, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Ran to its end.
    Success,
    /// Reverted; unused gas is returned.
    Revert,
    /// Failed exceptionally; all gas is consumed.
    Halt(Halt),
}

/// An exceptional failure. Displays in the words that clients know from geth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Gas ran out.
    OutOfGas,
    /// An opcode that the fork does not define, or INVALID.
    InvalidOpcode,
    /// A jump to anything but a JUMPDEST.
    InvalidJump,
    /// Fewer operands than the opcode takes.
    StackUnderflow,
    /// More than 1,024 operands.
    StackOverflow,
    /// RETURNDATACOPY beyond the data.
    ReturnDataOutOfBounds,
    /// A contract already lives at the new address.
    CreateCollision,
    /// A precompiled contract refused its input.
    Precompile(String),
    /// The creator's nonce is at its maximum.
    NonceOverflow,
    /// Deployed code above the size limit (EIP-170).
    CodeTooLarge,
    /// Deployed code that starts with 0xEF (EIP-3541).
    CodeStartsWithEf,
    /// Init code above the size limit (EIP-3860).
    InitcodeTooLarge,
    /// A write inside a static call.
    StaticWrite,
    /// A transfer of more than the balance.
    OutOfFunds,
    /// More than 1,024 nested calls.
    CallTooDeep,
    /// Anything else, in the interpreter's own words.
    Other(String),
}

impl fmt::Display for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfGas => "out of gas",
            Self::InvalidOpcode => "invalid opcode",
            Self::InvalidJump => "invalid jump destination",
            Self::StackUnderflow => "stack underflow",
            Self::StackOverflow => "stack limit reached 1024",
            Self::ReturnDataOutOfBounds => "return data out of bounds",
            Self::CreateCollision => "contract address collision",
            Self::Precompile(_) => "precompiled contract failed",
            Self::NonceOverflow => "nonce uint64 overflow",
            Self::CodeTooLarge => "max code size exceeded",
            Self::CodeStartsWithEf => "invalid code: must not begin with 0xef",
            Self::InitcodeTooLarge => "max initcode size exceeded",
            Self::StaticWrite => "write protection",
            Self::OutOfFunds => "insufficient balance for transfer",
            Self::CallTooDeep => "max call depth exceeded",
            Self::Other(reason) => reason,
        })
    }
}

/// Result of one transaction or call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxOutcome {
    /// Success, revert or failure.
    pub status: Status,
    /// Gas paid for.
    pub gas_used: u64,
    /// Gas spent before refunds, at least the calldata floor: what the limit had to cover.
    pub gas_spent: u64,
    /// Gas refunded for cleared storage, already taken off `gas_used`.
    pub gas_refunded: u64,
    /// Logs emitted; none unless successful.
    pub logs: Vec<Log>,
    /// Returned data, revert data, or deployed code.
    pub output: Bytes,
    /// Address of the contract created by a creating transaction that succeeded.
    pub created: Option<Address>,
    /// Whether the console's address was looked at: then there may be lines to show, see [`CONSOLE_ADDRESS`].
    pub console: bool,
}

impl TxOutcome {
    /// Whether execution succeeded.
    #[must_use]
    pub const fn is_success(&self) -> bool {
        matches!(self.status, Status::Success)
    }
}
