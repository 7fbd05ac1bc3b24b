//! The state after one block, for as long as that block is not reverted.
//!
//! Invariant: every read answers for the same version, whatever is committed meanwhile; once the version is reverted,
//! every read fails instead of answering for another one.

use std::sync::{Arc, RwLockReadGuard};

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use interlace_stf::{Account, CodeCache, StateReader};
use interlace_trie::TrieAccount;

use crate::error::StateError;
use crate::memory::{Inner, Shared, Version};
use crate::proof::{AccountProof, Material};

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

    /// The state, locked for reading, if it still holds this version.
    fn inner(&self) -> Result<RwLockReadGuard<'_, Inner>, StateError> {
        let inner = self.shared.read();
        inner.check(self)?;
        Ok(inner)
    }

    /// The account at `address` with its storage root.
    ///
    /// # Errors
    /// [`StateError::Reverted`].
    pub fn trie_account(&self, address: Address) -> Result<Option<TrieAccount>, StateError> {
        Ok(self.inner()?.histories.trie_account(address, self.version.0))
    }

    /// All accounts, in no particular order.
    ///
    /// # Errors
    /// [`StateError::Reverted`].
    pub fn accounts(&self) -> Result<Vec<(Address, TrieAccount)>, StateError> {
        Ok(self.inner()?.histories.accounts(self.version.0).collect())
    }

    /// Slots of `address` that are not zero, in no particular order.
    ///
    /// # Errors
    /// [`StateError::Reverted`].
    pub fn slots(&self, address: Address) -> Result<Vec<(U256, U256)>, StateError> {
        Ok(self.inner()?.histories.slots(address, self.version.0).collect())
    }

    /// Proves an account and some of its slots.
    ///
    /// # Errors
    /// [`StateError::Reverted`].
    pub fn proof(&self, address: Address, slots: &[U256]) -> Result<AccountProof, StateError> {
        let material = Material::read(&self.inner()?.histories, address, self.version.0);
        Ok(material.prove(slots))
    }
}

impl StateReader for Snapshot {
    type Error = StateError;

    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        Ok(self.inner()?.histories.account(address, self.version.0))
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        Ok(self.inner()?.histories.slot(address, slot, self.version.0))
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        let inner = self.inner()?;
        if code_hash == KECCAK256_EMPTY {
            return Ok(Bytes::new()); // Nobody stores it, and every account without code names it.
        }
        inner.histories.code(code_hash).cloned().ok_or(StateError::MissingCode(code_hash))
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        Ok(self.inner()?.block_hash(number).filter(|_| number <= self.number).unwrap_or_default())
    }

    fn code_cache(&self) -> Option<&CodeCache> {
        Some(&self.shared.codes)
    }
}
