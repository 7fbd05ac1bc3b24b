//! The state after one block, for as long as that block is not reverted.
//!
//! Invariant: every read answers for the same version, whatever is committed meanwhile; once the version is reverted,
//! or is older than what is kept, every read fails instead of answering for another one.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256};
use interlace_stf::{Account, Changes, CodeCache, StateReader};
use interlace_trie::{TrieAccount, state_root, storage_root};

use crate::error::{StateError, StorageError};
use crate::memory::{Found, Shared, Version};
use crate::proof::{AccountProof, Material};
use crate::view::View;

/// A fixed version of a [`crate::MemoryState`]; cheap to clone, may outlive it and travel between threads.
///
/// A read of the newest version takes no lock. One of an older version takes that of a part for its own length; a commit takes one part's at
/// a time to put values in place, and computes no hash under it.
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

    /// What was read, if the version was there, and in memory, before and afterwards.
    #[inline]
    fn checked<T>(&self, read: T) -> Result<T, StateError> {
        self.shared.check(self).map(|()| read)
    }

    /// What `read` has of the version, wherever that is.
    #[inline]
    fn seen<T>(&self, read: impl Fn(&View<'_>) -> Result<T, StorageError>) -> Result<T, StateError> {
        let seen = read(&View { flat: &self.shared.flat, version: self.version.0, past: None });
        if self.shared.is_current(self) { Ok(seen?) } else { self.found(read) }
    }

    /// The same for a version of which memory may have forgotten values, or of which something was undone.
    #[cold]
    pub(crate) fn found<T>(&self, read: impl Fn(&View<'_>) -> Result<T, StorageError>) -> Result<T, StateError> {
        let Self { shared, .. } = self;
        loop {
            let Found { past, oldest, moves } = shared.find(self)?;
            let version = if past.is_some() { oldest } else { self.version.0 };
            let seen = read(&View { flat: &shared.flat, version, past: past.as_ref() });
            // What was forgotten or put back meanwhile may have been read.
            if shared.find(self)?.moves == moves {
                return Ok(seen?);
            }
        }
    }

    /// The account at `address` with its storage root.
    ///
    /// # Errors
    /// [`StateError::Reverted`], [`StateError::Expired`], [`StateError::Storage`], as of every read.
    pub fn trie_account(&self, address: Address) -> Result<Option<TrieAccount>, StateError> {
        self.seen(|view| view.trie_account(address))
    }

    /// An account of a state under which something lies.
    #[cold]
    fn account_elsewhere(&self, address: Address) -> Result<Option<Account>, StateError> {
        let Some(below) = &self.shared.below else { return self.seen(|view| view.account(address)) };
        match self.checked(self.shared.flat.written_account(address, self.version.0))? {
            Some(account) => Ok(account),
            None => below.account(address),
        }
    }

    /// A slot of such a state.
    #[cold]
    fn slot_elsewhere(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        let Some(below) = &self.shared.below else { return self.seen(|view| view.slot(address, slot)) };
        match self.written_slot(address, slot)? {
            Some(value) => Ok(value),
            None => below.storage(address, slot),
        }
    }

    /// All accounts, in no particular order.
    ///
    /// # Errors
    /// [`StateError::Reverted`].
    pub fn accounts(&self) -> Result<Vec<(Address, TrieAccount)>, StateError> {
        self.seen(|view| view.accounts())
    }

    /// Slots of `address` that are not zero, in no particular order.
    ///
    /// # Errors
    /// [`StateError::Reverted`].
    pub fn slots(&self, address: Address) -> Result<Vec<(U256, U256)>, StateError> {
        self.seen(|view| view.slots(address))
    }

    fn written_slot(&self, address: Address, slot: U256) -> Result<Option<U256>, StateError> {
        self.checked(self.shared.flat.written_slot(address, slot, self.version.0))
    }

    /// Whether another chain's state lies below, so that only what changed since is held here.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.shared.below.is_some()
    }

    /// Whether `slot` of `address` was written since the block of another chain that lies below.
    ///
    /// # Errors
    /// [`StateError::Reverted`].
    pub fn is_written(&self, address: Address, slot: U256) -> Result<bool, StateError> {
        Ok(self.written_slot(address, slot)?.is_some())
    }

    /// The state root that `changes` to this version lead to. For the newest version the hashes that are kept are used; for an older one
    /// every leaf is visited.
    ///
    /// # Errors
    /// [`StateError::Reverted`].
    pub fn root_after(&self, changes: &Changes) -> Result<B256, StateError> {
        {
            let inner = self.shared.read();
            if inner.head.version == self.version {
                return Ok(inner.leaves.stage(&self.shared.flat, changes, false)?.root());
            }
        }
        let mut accounts: BTreeMap<Address, TrieAccount> = self.accounts()?.into_iter().collect();
        for (address, change) in &changes.accounts {
            let Some(info) = change.info else {
                accounts.remove(address);
                continue;
            };
            let mut slots: BTreeMap<U256, U256> = BTreeMap::new();
            if !change.wiped {
                slots.extend(self.slots(*address)?);
            }
            slots.extend(&change.storage);
            slots.retain(|_, value| !value.is_zero());
            let account = TrieAccount {
                nonce: info.nonce,
                balance: info.balance,
                storage_root: storage_root(slots),
                code_hash: info.code_hash,
            };
            accounts.insert(*address, account);
        }
        Ok(state_root(accounts))
    }

    /// Proves an account and some of its slots. In the newest version a proof costs the nodes that it lists; in an older one every leaf
    /// is visited.
    ///
    /// # Errors
    /// [`StateError::Reverted`]; [`StateError::Partial`] on another chain's state.
    pub fn proof(&self, address: Address, slots: &[U256]) -> Result<AccountProof, StateError> {
        if self.is_partial() {
            return Err(StateError::Partial(self.number));
        }
        {
            let inner = self.shared.read();
            if inner.head.version == self.version {
                return Ok(inner.leaves.prove(&self.shared.flat, address, slots)?);
            }
        }
        let material = self.seen(|view| Material::read(view, address))?;
        Ok(material.prove(slots))
    }
}

impl StateReader for Snapshot {
    type Error = StateError;

    fn account(&self, address: Address) -> Result<Option<Account>, StateError> {
        // As short as can be: a processor overlaps reads that wait for memory only if the next one is within what it looks ahead.
        if self.shared.is_whole {
            let account = self.shared.flat.written_account(address, self.version.0).flatten();
            return if self.shared.is_current(self) { Ok(account) } else { self.found(|view| view.account(address)) };
        }
        self.account_elsewhere(address)
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, StateError> {
        if self.shared.is_whole {
            let value = self.shared.flat.written_slot(address, slot, self.version.0).unwrap_or_default();
            return if self.shared.is_current(self) { Ok(value) } else { self.found(|view| view.slot(address, slot)) };
        }
        self.slot_elsewhere(address, slot)
    }

    fn waits(&self) -> bool {
        !self.shared.is_whole
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, StateError> {
        // Codes stay for as long as a state that has them can be read.
        let written = self.shared.flat.code(code_hash);
        self.shared.exists(self)?;
        if code_hash == KECCAK256_EMPTY {
            return Ok(Bytes::new()); // Nobody stores it, and every account without code names it.
        }
        match (written, &self.shared.below) {
            (Some(code), _) => Ok(code),
            (None, Some(below)) => below.code(code_hash),
            (None, None) => Err(StateError::MissingCode(code_hash)),
        }
    }

    fn block_hash(&self, number: u64) -> Result<B256, StateError> {
        if number > self.number {
            return Ok(B256::ZERO);
        }
        let known = self.shared.read().block_hash(number);
        self.shared.exists(self)?;
        match (known, &self.shared.below) {
            (Some(hash), _) => Ok(hash),
            (None, Some(below)) => below.block_hash(number),
            (None, None) => Ok(B256::ZERO),
        }
    }

    fn code_cache(&self) -> Option<&CodeCache> {
        Some(&self.shared.codes)
    }
}
