//! Why a block cannot be executed, or is not what its header says, with the numbers that decide it.
//!
//! Invariant: every cause has one stable code. An error means that nothing was changed.
//!
//! ```text
//! BlockError
//!   Header(HeaderError)     the header contradicts its parent, its fork or its body
//!   Transaction             a transaction is not valid at its place
//!   Mismatch(Mismatch)      execution gives other values than the header
//!   SystemContract, Deposit what the protocol itself calls does not answer as it must
//!   State, Interpreter      not the block's fault
//! ```

use alloc::boxed::Box;
use alloc::string::String;

use alloy_primitives::{Address, B256, U256};
use interlace_evm::{EvmError, TxError};
use interlace_primitives::Fork;

/// A header that contradicts its parent, its fork or its body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Not a child of the given parent.
    #[error("parent hash {header} is not the parent's, {parent}")]
    ParentHash {
        /// Hash in the header.
        header: B256,
        /// The parent's hash.
        parent: B256,
    },
    /// Not the number after the parent's.
    #[error("number {header} does not follow the parent's {parent}")]
    Number {
        /// Number in the header.
        header: u64,
        /// The parent's number.
        parent: u64,
    },
    /// Not later than the parent.
    #[error("timestamp {header} is not above the parent's {parent}")]
    Timestamp {
        /// Timestamp in the header.
        header: u64,
        /// The parent's timestamp.
        parent: u64,
    },
    /// Gas limit outside the protocol's bounds, or too far from the parent's.
    #[error("gas limit {header} is not within {least}..={greatest}")]
    GasLimit {
        /// Gas limit in the header.
        header: u64,
        /// Least gas limit here.
        least: u64,
        /// Greatest gas limit here.
        greatest: u64,
    },
    /// More gas used than allowed.
    #[error("gas used {used} is above the gas limit {limit}")]
    GasUsed {
        /// Gas used in the header.
        used: u64,
        /// Gas limit in the header.
        limit: u64,
    },
    /// Another difficulty than the parent's and the time since give.
    #[error("difficulty {header} is not {expected}")]
    Difficulty {
        /// Difficulty in the header.
        header: U256,
        /// Difficulty that follows from the parent.
        expected: U256,
    },
    /// Another base fee than the parent's usage gives.
    #[error("base fee {header} wei is not {expected} wei")]
    BaseFee {
        /// Base fee in the header.
        header: u64,
        /// Base fee that follows from the parent.
        expected: u64,
    },
    /// Another excess blob gas than the parent's usage gives.
    #[error("excess blob gas {header} is not {expected}")]
    ExcessBlobGas {
        /// Value in the header.
        header: u64,
        /// Value that follows from the parent.
        expected: u64,
    },
    /// Blob gas that is no whole number of blobs, or above the limit.
    #[error("blob gas used {used} is not a number of blobs up to {limit}")]
    BlobGasUsed {
        /// Value in the header.
        used: u64,
        /// The limit.
        limit: u64,
    },
    /// Too much extra data.
    #[error("extra data has {0} bytes, the limit is 32")]
    ExtraData(usize),
    /// The ten blocks from the DAO fork on carry fixed extra data.
    #[error("block {0} must carry the DAO fork's extra data")]
    DaoExtraData(u64),
    /// A field that the fork demands is absent.
    #[error("{field} is missing, {fork} demands it")]
    Missing {
        /// The field.
        field: &'static str,
        /// The fork in force.
        fork: Fork,
    },
    /// A field that the fork does not know, or that it fixes to another value.
    #[error("{field} has a value that {fork} does not allow")]
    NotAllowed {
        /// The field.
        field: &'static str,
        /// The fork in force.
        fork: Fork,
    },
    /// Ommers that cannot be rewarded.
    #[error("ommers: {0}")]
    Ommers(&'static str),
    /// The block's RLP is too large (EIP-7934).
    #[error("block has {size} bytes, the limit is {limit}")]
    Size {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
}

impl HeaderError {
    /// Stable identifier of the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ParentHash { .. } => "engine.parent-hash",
            Self::Number { .. } => "engine.number",
            Self::Timestamp { .. } => "engine.timestamp",
            Self::GasLimit { .. } => "engine.gas-limit",
            Self::GasUsed { .. } => "engine.gas-used",
            Self::Difficulty { .. } => "engine.difficulty",
            Self::BaseFee { .. } => "engine.base-fee",
            Self::ExcessBlobGas { .. } => "engine.excess-blob-gas",
            Self::BlobGasUsed { .. } => "engine.blob-gas-used",
            Self::ExtraData(_) | Self::DaoExtraData(_) => "engine.extra-data",
            Self::Missing { .. } => "engine.field-missing",
            Self::NotAllowed { .. } => "engine.field-not-allowed",
            Self::Ommers(_) => "engine.ommers",
            Self::Size { .. } => "engine.block-too-large",
        }
    }
}

/// A value of the header that execution does not confirm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: header says {header}, execution gives {executed}")]
pub struct Mismatch {
    /// The header's field.
    pub field: &'static str,
    /// Its value.
    pub header: String,
    /// The value found.
    pub executed: String,
}

/// Why a block gave no output.
#[derive(Debug, thiserror::Error)]
pub enum BlockError<E: core::error::Error + 'static> {
    /// The header is not valid.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A transaction is not valid at its place.
    #[error("transaction {index} ({hash}): {error}")]
    Transaction {
        /// Position in the block.
        index: usize,
        /// Its hash.
        hash: B256,
        /// Why.
        error: Box<TxError>,
    },
    /// The list of senders has another length than the list of transactions.
    #[error("{senders} senders beside {transactions} transactions")]
    Senders {
        /// Transactions in the block.
        transactions: usize,
        /// Senders given.
        senders: usize,
    },
    /// A contract that the protocol calls is absent or failed (EIP-7002, EIP-7251).
    #[error("system contract {address}: {reason}")]
    SystemContract {
        /// Its address.
        address: Address,
        /// What happened.
        reason: String,
    },
    /// A log of the deposit contract that is no deposit (EIP-6110).
    #[error("deposit log of {size} bytes does not have the layout of a deposit")]
    Deposit {
        /// Size of its data in bytes.
        size: usize,
    },
    /// Execution gives other values than the header.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// The state could not be read.
    #[error("state could not be read: {0}")]
    State(#[source] E),
    /// The interpreter refused to run.
    #[error("interpreter: {0}")]
    Interpreter(String),
}

impl<E: core::error::Error + 'static> BlockError<E> {
    /// Stable identifier of the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Header(error) => error.code(),
            Self::Transaction { error, .. } => error.code(),
            Self::Senders { .. } => "engine.senders",
            Self::SystemContract { .. } => "engine.system-contract",
            Self::Deposit { .. } => "engine.deposit-log",
            Self::Mismatch(_) => "engine.mismatch",
            Self::State(_) => "engine.state",
            Self::Interpreter(_) => "engine.interpreter",
        }
    }

    /// The error of transaction `index`, or of the state below it.
    #[must_use]
    pub fn at(index: usize, hash: B256, error: EvmError<E>) -> Self {
        match error {
            EvmError::Transaction(error) => Self::Transaction { index, hash, error: Box::new(error) },
            EvmError::State(error) => Self::State(error),
            EvmError::Interpreter(error) => Self::Interpreter(error),
            // Blocks are executed to their end; only calls can be interrupted.
            EvmError::Interrupted => Self::Interpreter("interrupted".into()),
        }
    }
}
