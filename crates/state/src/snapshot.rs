//! The state after one block, for as long as that block is not reverted.
//!
//! Invariant: every read answers for the same version, whatever is committed meanwhile; once the version is reverted,
//! every read fails instead of answering for another one.

use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, U256};
use interlace_stf::{Account, StateReader};

use crate::error::StateError;
use crate::memory::{Shared, Version};

/// A fixed version of a [`crate::MemoryState`]; cheap to clone, may outlive it and travel between threads.
///
/// Each read takes the state's read lock for its own length, a few tens of nanoseconds; a commit takes the write lock to
/// put staged values in place, and computes no hash under it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) shared: Arc<Shared>,
    pub(crate) version: Version,
    pub(crate) number: u64,
    pub(crate) hash: B256,
}

impl Snapshot {
    /// Number of the block after which this is the state.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Hash of that block.
    #[must_use]
    pub const fn hash(&self) -> B256 {
        self.hash
    }

    /// Version of the state.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }
}

impl StateReader for Snapshot {
    type Error = StateError;

    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        let inner = self.shared.read();
        inner.check(self)?;
        Ok(inner.histories.account(address, self.version.0))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let inner = self.shared.read();
        inner.check(self)?;
        Ok(inner.histories.slot(address, slot, self.version.0))
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        let inner = self.shared.read();
        inner.check(self)?;
        inner.histories.code(code_hash).cloned().ok_or(StateError::MissingCode(code_hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        let inner = self.shared.read();
        inner.check(self)?;
        Ok(inner.block_hash(number).filter(|_| number <= self.number).unwrap_or_default())
    }
}
