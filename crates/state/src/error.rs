//! Why a state cannot be read or written.
//!
//! Invariant: an error means that nothing was changed.

use alloy_primitives::B256;

/// Errors of the state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// No such block here.
    #[error("no state for block {number}; there is {first} to {last}")]
    UnknownBlock {
        /// Block asked for.
        number: u64,
        /// First block held.
        first: u64,
        /// Last block held.
        last: u64,
    },
    /// The block of a snapshot was reverted.
    #[error("the state of block {number} was reverted")]
    Reverted {
        /// Number of the block.
        number: u64,
    },
    /// A commit that does not follow the last block.
    #[error("block {number} does not follow block {head}")]
    NotNext {
        /// Number of the block committed.
        number: u64,
        /// Number of the last block.
        head: u64,
    },
    /// Changes were staged on a state that is not the last one any more.
    #[error("changes were staged on another state than that of block {head}")]
    StaleStage {
        /// Number of the last block.
        head: u64,
    },
    /// An account names code that is not there.
    #[error("no code with hash {0}")]
    MissingCode(B256),
}

impl StateError {
    /// Stable identifier of the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownBlock { .. } => "engine.unknown-block",
            Self::Reverted { .. } => "engine.reverted-block",
            Self::NotNext { .. } => "engine.not-next",
            Self::StaleStage { .. } => "engine.stale-stage",
            Self::MissingCode(_) => "engine.missing-code",
        }
    }
}
