//! Why a transaction cannot be in a block, with the numbers that decide it.
//!
//! Invariant: every cause has one variant and one stable code; an error means that nothing was changed.
//! What it does not do: a transaction that runs and fails is not an error; see [`crate::Status`].

use alloc::string::String;

use alloy_primitives::{Address, B256, U256};
use interlace_primitives::Fork;

/// A transaction that is not valid at this point of this block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TxError {
    /// Nonce already used.
    #[error("nonce too low: sender is at {state}, transaction has {tx}")]
    NonceTooLow {
        /// The transaction's nonce.
        tx: u64,
        /// The sender's nonce.
        state: u64,
    },
    /// Nonce not yet reached.
    #[error("nonce too high: sender is at {state}, transaction has {tx}")]
    NonceTooHigh {
        /// The transaction's nonce.
        tx: u64,
        /// The sender's nonce.
        state: u64,
    },
    /// EIP-2681.
    #[error("nonce {0} has no successor")]
    NonceAtMaximum(u64),
    /// Balance below gas limit times price, plus value, plus blobs.
    #[error("insufficient funds: needs up to {required} wei, sender has {balance}")]
    InsufficientFunds {
        /// Greatest possible cost in wei.
        required: U256,
        /// The sender's balance in wei.
        balance: U256,
    },
    /// Gas limit times price, plus value, exceeds 256 bits.
    #[error("gas limit {gas_limit} at {fee_cap_wei} wei per gas plus value {value_wei} wei exceeds 256 bits")]
    CostOverflow {
        /// The transaction's gas limit.
        gas_limit: u64,
        /// Greatest price per gas in wei.
        fee_cap_wei: u128,
        /// Value in wei.
        value_wei: U256,
    },
    /// Gas limit below what the transaction costs before it runs.
    #[error("intrinsic gas too low: needs {required}, gas limit is {gas_limit}")]
    IntrinsicGas {
        /// Least gas limit.
        required: u64,
        /// The transaction's gas limit.
        gas_limit: u64,
    },
    /// Gas limit below the calldata floor (EIP-7623).
    #[error("gas limit {gas_limit} is below the floor {floor} that the calldata costs")]
    FloorGas {
        /// The floor.
        floor: u64,
        /// The transaction's gas limit.
        gas_limit: u64,
    },
    /// Fee cap (or gas price) below the block's base fee.
    #[error("max fee per gas less than block base fee: fee cap {fee_cap_wei} wei, base fee {base_fee_wei} wei")]
    FeeCapBelowBaseFee {
        /// Greatest price per gas in wei.
        fee_cap_wei: u128,
        /// The block's base fee in wei.
        base_fee_wei: u64,
    },
    /// Priority fee above the fee cap.
    #[error("max priority fee per gas higher than max fee per gas: {tip_wei} wei above {fee_cap_wei} wei")]
    TipAboveFeeCap {
        /// Priority fee in wei.
        tip_wei: u128,
        /// Greatest price per gas in wei.
        fee_cap_wei: u128,
    },
    /// Gas limit above what the block has left.
    #[error("gas limit {gas_limit} is above the {available} left in the block")]
    GasAboveBlock {
        /// The transaction's gas limit.
        gas_limit: u64,
        /// Gas left in the block.
        available: u64,
    },
    /// Gas limit above the cap per transaction (EIP-7825).
    #[error("gas limit {gas_limit} is above the cap {cap} for one transaction")]
    GasAboveCap {
        /// The transaction's gas limit.
        gas_limit: u64,
        /// The cap.
        cap: u64,
    },
    /// The sender has code that is no delegation (EIP-3607).
    #[error("sender {0} is a contract")]
    SenderHasCode(Address),
    /// Init code above the size limit (EIP-3860).
    #[error("init code of {size} bytes is above the limit of {limit}")]
    InitcodeTooLarge {
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Signed for another chain.
    #[error("signed for chain {tx}, this is chain {chain}")]
    WrongChainId {
        /// The transaction's chain id.
        tx: u64,
        /// This chain's id.
        chain: u64,
    },
    /// A typed transaction or call without a chain id.
    #[error("a transaction of type {0} needs a chain id")]
    NoChainId(u8),
    /// A transaction type, or replay protection, that the fork does not know.
    #[error("{what} is not valid in {fork}")]
    NotActive {
        /// What the fork does not know.
        what: &'static str,
        /// The fork in force.
        fork: Fork,
    },
    /// Blob fee cap below the block's blob base fee.
    #[error("blob fee cap {fee_cap_wei} wei is below the blob base fee {blob_fee_wei} wei")]
    BlobFeeCapTooLow {
        /// Greatest price per blob gas in wei.
        fee_cap_wei: u128,
        /// The block's price per blob gas in wei.
        blob_fee_wei: u128,
    },
    /// A blob transaction without blobs.
    #[error("a blob transaction carries no blob")]
    NoBlobs,
    /// More blobs than one transaction may carry.
    #[error("{have} blobs, one transaction may carry {max}")]
    TooManyBlobs {
        /// Blobs carried.
        have: usize,
        /// The limit.
        max: u64,
    },
    /// More blob gas than the block has left.
    #[error("{blob_gas} blob gas is above the {available} left in the block")]
    BlobGasAboveBlock {
        /// Blob gas of the transaction.
        blob_gas: u64,
        /// Blob gas left in the block.
        available: u64,
    },
    /// A versioned hash of an unknown version.
    #[error("blob hash {0} has not version 1")]
    BlobVersion(B256),
    /// A blob or delegating transaction that creates a contract.
    #[error("a transaction of type {0} cannot create a contract")]
    CannotCreate(u8),
    /// A delegating transaction without authorisations.
    #[error("a delegating transaction carries no authorisation")]
    NoAuthorizations,
    /// A signature from which no sender can be recovered.
    #[error("signature of transaction {0} gives no sender")]
    BadSignature(B256),
    /// The block's encoding would exceed its size limit (EIP-7934).
    #[error("block would take {size} bytes, the limit is {limit}")]
    BlockTooLarge {
        /// Size of the block with the transaction, in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A cause that this engine does not know by name, in the interpreter's words.
    #[error("transaction is not valid: {0}")]
    Other(String),
}

impl TxError {
    /// Stable identifier of the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NonceTooLow { .. } => "engine.nonce-too-low",
            Self::NonceTooHigh { .. } => "engine.nonce-too-high",
            Self::NonceAtMaximum(_) => "engine.nonce-at-maximum",
            Self::InsufficientFunds { .. } => "engine.insufficient-funds",
            Self::CostOverflow { .. } => "engine.cost-overflow",
            Self::IntrinsicGas { .. } => "engine.intrinsic-gas",
            Self::FloorGas { .. } => "engine.floor-gas",
            Self::FeeCapBelowBaseFee { .. } => "engine.fee-cap-too-low",
            Self::TipAboveFeeCap { .. } => "engine.tip-above-fee-cap",
            Self::GasAboveBlock { .. } => "engine.gas-above-block",
            Self::GasAboveCap { .. } => "engine.gas-above-cap",
            Self::SenderHasCode(_) => "engine.sender-has-code",
            Self::InitcodeTooLarge { .. } => "engine.initcode-too-large",
            Self::WrongChainId { .. } => "engine.wrong-chain-id",
            Self::NoChainId(_) => "engine.no-chain-id",
            Self::NotActive { .. } => "engine.not-active",
            Self::BlobFeeCapTooLow { .. } => "engine.blob-fee-cap-too-low",
            Self::NoBlobs => "engine.no-blobs",
            Self::TooManyBlobs { .. } => "engine.too-many-blobs",
            Self::BlobGasAboveBlock { .. } => "engine.blob-gas-above-block",
            Self::BlobVersion(_) => "engine.blob-version",
            Self::CannotCreate(_) => "engine.cannot-create",
            Self::NoAuthorizations => "engine.no-authorizations",
            Self::BadSignature(_) => "engine.bad-signature",
            Self::BlockTooLarge { .. } => "engine.block-too-large",
            Self::Other(_) => "engine.invalid-transaction",
        }
    }
}

/// Why execution gave no outcome.
#[derive(Debug, thiserror::Error)]
pub enum EvmError<E: core::error::Error + 'static> {
    /// The transaction is not valid here.
    #[error(transparent)]
    Transaction(#[from] TxError),
    /// The state could not be read.
    #[error("state could not be read: {0}")]
    State(#[source] E),
    /// The interpreter refused to run, for example in a block environment that lacks what its fork needs.
    #[error("interpreter: {0}")]
    Interpreter(String),
    /// An [`Interrupt`](crate::Interrupt) ended the execution.
    #[error("execution was interrupted")]
    Interrupted,
}

impl<E: core::error::Error + 'static> EvmError<E> {
    /// Stable identifier of the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Transaction(error) => error.code(),
            Self::State(_) => "engine.state",
            Self::Interpreter(_) => "engine.interpreter",
            Self::Interrupted => "engine.interrupted",
        }
    }
}
