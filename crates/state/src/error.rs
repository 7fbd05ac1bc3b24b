//! Why a state cannot be read or written.
//!
//! Invariant: an error means that nothing was changed.

use std::io;

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
    /// The state of a block is older than what is kept.
    #[error("the state of block {number} is no longer kept; the oldest is that of block {oldest}")]
    Expired {
        /// Number of the block.
        number: u64,
        /// Number of the oldest block whose state is kept.
        oldest: u64,
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
    /// The tables below the state could not be read. In a box, so that what is read all the time is not copied with room for it.
    #[error("{0}")]
    Storage(Box<StorageError>),
}

impl From<StorageError> for StateError {
    fn from(error: StorageError) -> Self {
        Self::Storage(Box::new(error))
    }
}

impl StateError {
    /// Stable identifier of the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::UnknownBlock { .. } => "engine.unknown-block",
            Self::Reverted { .. } => "engine.reverted-block",
            Self::Expired { .. } => "engine.snapshot-expired",
            Self::NotNext { .. } => "engine.not-next",
            Self::StaleStage { .. } => "engine.stale-stage",
            Self::MissingCode(_) => "engine.missing-code",
            Self::Remote(_) => "engine.remote",
            Self::Partial(_) => "engine.partial-state",
            Self::Storage(error) => error.code(),
        }
    }
}

/// Errors of what is on disk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The system refused; the disk may be full or broken.
    #[error("{file}: cannot {what}: {reason}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        file: String,
        /// The system's word.
        reason: String,
    },
    /// A file is not as it was written.
    #[error("{file} is damaged at byte {offset}: {detail}")]
    Damaged {
        /// The file.
        file: String,
        /// Where.
        offset: u64,
        /// What does not hold.
        detail: String,
    },
    /// A file was written by another version of this program.
    #[error("{file} has format {found}, this program reads format {known}")]
    Format {
        /// The file.
        file: String,
        /// Its format.
        found: u32,
        /// The one that is known.
        known: u32,
    },
    /// Another process has the folder.
    #[error("{folder} is in use by another process")]
    Locked {
        /// The folder.
        folder: String,
    },
    /// A record is longer than a log takes.
    #[error("a record of {bytes} bytes; at most {most} are written at once")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// The log takes nothing more, because it is closed or it is in doubt what an earlier failure left of it.
    #[error("nothing more is written: {0}")]
    Stopped(String),
}

impl StorageError {
    pub(crate) fn io(what: &'static str, file: &str, error: &io::Error) -> Self {
        Self::Io { what, file: file.to_owned(), reason: error.to_string() }
    }

    pub(crate) fn damaged(file: &str, offset: u64, detail: impl Into<String>) -> Self {
        Self::Damaged { file: file.to_owned(), offset, detail: detail.into() }
    }

    /// Stable identifier of the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "chain.data-io",
            Self::Damaged { .. } => "chain.data-damaged",
            Self::Format { .. } => "chain.data-format",
            Self::Locked { .. } => "chain.data-locked",
            Self::TooLong { .. } => "chain.data-too-long",
            Self::Stopped(_) => "chain.data-stopped",
        }
    }
}
