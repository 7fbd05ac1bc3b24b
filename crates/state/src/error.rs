//! Why a state cannot be read or written.
//!
//! Invariant: an error means that nothing was changed.

use alloy_primitives::B256;

use crate::base::BaseError;

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
    /// The state below this one could not be read.
    #[error("the remote chain's state could not be read: {0}")]
    Remote(#[from] BaseError),
    /// The question needs the whole state, and this one holds only what was written since another chain's block.
    #[error("block {0} is on a forked chain: only what changed since the fork is held, so nothing can be proved")]
    Partial(u64),
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
            Self::Remote(_) => "engine.remote",
            Self::Partial(_) => "engine.partial-state",
        }
    }
}
