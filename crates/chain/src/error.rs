//! The errors of a chain.
//!
//! ```text
//! ChainError
//!   a transaction that the pool refuses   Undecodable .. PoolFull
//!   a genesis that builds no chain        Genesis
//!   a block that is not valid             Block
//!   an action that is not possible now    Unknown, Developer, Dump, Bound
//!   the data directory                    Storage, Journal, OtherGenesis
//!   the engine below                      State, Interpreter
//! ```
//! Invariant: the texts of refused transactions are geth's, because clients recognise them; each carries the offending values.

use alloy_primitives::{Address, B256, U256};
use interlace_state::{BaseError, StateError, StorageError};
use thiserror::Error;

/// What a chain refuses, and why.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ChainError {
    /// Bytes that are no signed transaction.
    #[error("{0}")]
    Undecodable(String),
    /// A block cannot take the transaction; the text is the engine's.
    #[error("{0}")]
    Unfit(String),
    /// The signature recovers to no address.
    #[error("invalid sender: {0}")]
    InvalidSender(String),
    /// Signed for another chain.
    #[error("invalid chain id for signer: have {have} want {want}")]
    ChainId {
        /// Chain id in the transaction.
        have: u64,
        /// Chain id of this chain.
        want: u64,
    },
    /// The type does not exist yet in the current fork.
    #[error("transaction type not supported: type {0} before its fork")]
    TypeNotSupported(u8),
    /// The nonce was used.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// Next nonce of the account.
        next: u64,
        /// Nonce of the transaction.
        nonce: u64,
    },
    /// The nonce is further ahead than the pool keeps.
    #[error("nonce too high: next nonce {next}, tx nonce {nonce}, at most {gap} ahead")]
    NonceTooHigh {
        /// Next nonce of the account.
        next: u64,
        /// Nonce of the transaction.
        nonce: u64,
        /// The bound.
        gap: u64,
    },
    /// The nonce has no successor (EIP-2681).
    #[error("nonce has max value: address {0}, nonce: {max}", max = u64::MAX)]
    NonceMax(Address),
    /// The same transaction waits already.
    #[error("already known")]
    AlreadyKnown(B256),
    /// A transaction of the same nonce waits and the new one does not raise both fees by a tenth.
    #[error("replacement transaction underpriced")]
    ReplacementUnderpriced(B256),
    /// The pool is full and the transaction pays no more than the cheapest one in it.
    #[error("transaction underpriced: the pool is full and its cheapest fee cap is {cheapest}, tx has {max_fee}")]
    Underpriced {
        /// Fee cap of the cheapest transaction that waits.
        cheapest: u128,
        /// Fee cap of the new one.
        max_fee: u128,
    },
    /// One account has too many waiting.
    #[error("account limit exceeded: {address} has {limit} transactions waiting")]
    AccountLimit {
        /// The sender.
        address: Address,
        /// The bound.
        limit: usize,
    },
    /// The sender cannot pay gas and value.
    #[error("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {overshot}")]
    InsufficientFunds {
        /// Balance of the sender.
        balance: U256,
        /// Most that the transaction may cost.
        cost: U256,
        /// What is missing.
        overshot: U256,
    },
    /// Gas below what the transaction needs before its first opcode.
    #[error("intrinsic gas too low: gas {gas}, minimum needed {minimum}")]
    IntrinsicGas {
        /// Gas limit of the transaction.
        gas: u64,
        /// Minimum.
        minimum: u64,
    },
    /// Gas below the floor of EIP-7623.
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {minimum}")]
    FloorDataGas {
        /// Gas limit of the transaction.
        gas: u64,
        /// Minimum.
        minimum: u64,
    },
    /// More gas than a block has.
    #[error("exceeds block gas limit")]
    ExceedsBlockGas {
        /// Gas limit of the transaction.
        gas: u64,
        /// Gas limit of a block.
        limit: u64,
    },
    /// More gas than EIP-7825 allows one transaction.
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasCap {
        /// The cap.
        cap: u64,
        /// Gas limit of the transaction.
        gas: u64,
    },
    /// The tip is above the fee cap.
    #[error(
        "max priority fee per gas higher than max fee per gas: maxPriorityFeePerGas: {tip}, maxFeePerGas: {max_fee}"
    )]
    TipAboveFeeCap {
        /// Priority fee.
        tip: u128,
        /// Fee cap.
        max_fee: u128,
    },
    /// The fee cap is below the base fee, on a chain that mines on arrival.
    #[error(
        "max fee per gas less than block base fee: address {address}, maxFeePerGas: {max_fee}, baseFee: {base_fee}"
    )]
    FeeCapTooLow {
        /// The sender.
        address: Address,
        /// Fee cap of the transaction in wei.
        max_fee: u128,
        /// Base fee of the next block in wei.
        base_fee: u64,
    },
    /// The price is below what the developer set as the least one, before London.
    #[error("transaction underpriced: gas tip cap {price}, minimum needed {minimum}")]
    BelowMinGasPrice {
        /// Gas price of the transaction in wei.
        price: u128,
        /// The least one in wei.
        minimum: u128,
    },
    /// Initcode above EIP-3860's limit.
    #[error("max initcode size exceeded: code size {size} limit {limit}")]
    InitcodeSize {
        /// Bytes.
        size: usize,
        /// Bound.
        limit: usize,
    },
    /// A transaction of more bytes than the pool takes.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized {
        /// Bytes.
        size: usize,
        /// Bound.
        limit: usize,
    },
    /// The sender has code (EIP-3607).
    #[error("sender not an eoa: address {0}")]
    SenderHasCode(Address),
    /// A blob transaction without valid blobs.
    #[error("invalid blob transaction: {0}")]
    Blob(String),
    /// An EIP-7702 transaction without authorisations, or without destination.
    #[error("invalid set code transaction: {0}")]
    SetCode(&'static str),
    /// The genesis document is not acceptable.
    #[error("{0}")]
    Genesis(String),
    /// A block is invalid.
    #[error("invalid block {number}: {reason}")]
    Block {
        /// Its number.
        number: u64,
        /// Why.
        reason: String,
    },
    /// Something asked for is not known.
    #[error("{0}")]
    Unknown(String),
    /// A developer's action that this chain or this moment does not allow.
    #[error("{0}")]
    Developer(String),
    /// Bytes that are no dump of this chain.
    #[error("{0}")]
    Dump(String),
    /// A question beyond a documented bound.
    #[error("{0}")]
    Bound(String),
    /// The chain to fork cannot be used.
    #[error("{0}")]
    Remote(BaseError),
    /// What is on disk cannot be read or written.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// The log's records do not fit the chain.
    #[error("{0}")]
    Journal(String),
    /// The data directory holds a chain with another genesis.
    #[error("the data directory holds a chain with another genesis: {0}")]
    OtherGenesis(String),
    /// State could not be read.
    #[error("state: {0}")]
    State(#[from] StateError),
    /// The interpreter refused to run, for a reason that no transaction can cause.
    #[error("interpreter: {0}")]
    Interpreter(String),
}

impl ChainError {
    /// Stable code of the error as Python sees it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Genesis(_) => "chain.bad-genesis",
            Self::Block { .. } => "chain.bad-block",
            Self::Unknown(_) => "chain.unknown",
            Self::Developer(_) => "chain.developer",
            Self::Dump(_) => "chain.bad-dump",
            Self::Bound(_) => "chain.bound",
            Self::Remote(_) => "chain.fork-remote",
            Self::Storage(error) => error.code(),
            Self::Journal(_) => "chain.data-contradiction",
            Self::OtherGenesis(_) => "chain.other-genesis",
            Self::State(_) => "chain.state",
            Self::Interpreter(_) => "engine.interpreter",
            _ => "chain.bad-transaction",
        }
    }
}
