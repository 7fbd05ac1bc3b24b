//! The state of every block, in memory: for each account and slot the values it had, by version.
//!
//! A version is one commit: a block, or a developer's change between blocks. Reading at a version is a binary search in the
//! history of one key, so old blocks read as fast as the newest.
//!
//! Invariant: histories rise strictly by version and end at or below `version`; a view made before a revert answers with an
//! error afterwards, never with a mixture. Durability: `memory`; nothing is written anywhere.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use interlace_stf::{Account, Changes, StateReader};
use interlace_trie::{EMPTY_ROOT_HASH, TrieAccount};

use crate::error::ChainError;
use crate::roots::Leaves;

/// The values of one key, with the version from which each holds.
#[derive(Clone, Debug)]
struct History<T>(Vec<(u64, T)>);

impl<T> Default for History<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy> History<T> {
    fn at(&self, version: u64) -> Option<T> {
        let after = self.0.partition_point(|(from, _)| *from <= version);
        self.0.get(after.checked_sub(1)?).map(|(_, value)| *value)
    }

    fn latest(&self) -> Option<T> {
        self.0.last().map(|(_, value)| *value)
    }

    fn set(&mut self, version: u64, value: T) {
        match self.0.last_mut() {
            Some((from, last)) if *from == version => *last = value,
            _ => self.0.push((version, value)),
        }
    }

    /// Forgets everything after `version`; true when nothing is left.
    fn truncate(&mut self, version: u64) -> bool {
        self.0.truncate(self.0.partition_point(|(from, _)| *from <= version));
        self.0.is_empty()
    }
}

#[derive(Debug, Default)]
struct Storage {
    slots: HashMap<U256, History<U256>>,
    root: History<B256>,
    /// The slots of the newest version, as leaves.
    leaves: Leaves,
}

impl Storage {
    /// Brings the leaf of `slot` in line with its newest value.
    fn settle(&mut self, slot: U256) {
        let value = self.slots.get(&slot).and_then(History::latest).filter(|value| !value.is_zero());
        self.leaves.set(keccak256(B256::from(slot)), value.map(alloy_rlp::encode));
    }
}

#[derive(Debug, Default)]
struct Inner {
    version: u64,
    /// Counts reverts: a view of an earlier epoch is void.
    epoch: u64,
    accounts: HashMap<Address, History<Option<Account>>>,
    storage: HashMap<Address, Storage>,
    codes: HashMap<B256, Bytes>,
    /// Hash of each block, by number minus `first_block`.
    hashes: Vec<B256>,
    first_block: u64,
    /// The accounts of the newest version, as leaves.
    leaves: Leaves,
    /// Keys written by each version, for going back.
    journal: Vec<Written>,
}

/// The keys that one version wrote.
#[derive(Debug)]
struct Written {
    version: u64,
    keys: Vec<(Address, Vec<U256>)>,
}

impl Inner {
    fn write(&mut self, changes: &Changes) {
        let version = self.version;
        let mut touched = Vec::with_capacity(changes.accounts.len());
        for (address, change) in &changes.accounts {
            self.accounts.entry(*address).or_default().set(version, change.info);
            let mut slots: Vec<U256> = Vec::new();
            if change.wiped || !change.storage.is_empty() {
                let storage = self.storage.entry(*address).or_default();
                if change.wiped {
                    for (slot, history) in &mut storage.slots {
                        if history.latest().is_some_and(|value| !value.is_zero()) {
                            history.set(version, U256::ZERO);
                            slots.push(*slot);
                        }
                    }
                }
                for (slot, value) in &change.storage {
                    storage.slots.entry(*slot).or_default().set(version, *value);
                    slots.push(*slot);
                }
                for slot in &slots {
                    storage.settle(*slot);
                }
                let root = storage.leaves.root();
                storage.root.set(version, root);
            }
            self.settle(*address);
            touched.push((*address, slots));
        }
        // Code is found by its hash, so that leftovers of a reverted version are harmless.
        self.codes.extend(changes.codes.iter().map(|(hash, code)| (*hash, code.clone())));
        self.journal.push(Written { version, keys: touched });
    }

    fn truncate(&mut self, version: u64) {
        while self.journal.last().is_some_and(|written| written.version > version) {
            let Some(Written { keys, .. }) = self.journal.pop() else { break };
            for (address, slots) in keys {
                if self.accounts.get_mut(&address).is_some_and(|history| history.truncate(version)) {
                    self.accounts.remove(&address);
                }
                if let Some(storage) = self.storage.get_mut(&address) {
                    storage.root.truncate(version);
                    for slot in slots {
                        if storage.slots.get_mut(&slot).is_some_and(|history| history.truncate(version)) {
                            storage.slots.remove(&slot);
                        }
                        storage.settle(slot);
                    }
                }
                self.settle(address);
            }
        }
        self.version = version;
    }

    /// Brings the leaf of `address` in line with the newest account.
    fn settle(&mut self, address: Address) {
        let account = self.accounts.get(&address).and_then(History::latest).flatten();
        let leaf = account.map(|account| alloy_rlp::encode(self.trie_account(address, &account, self.version)));
        self.leaves.set(keccak256(address), leaf);
    }

    fn trie_account(&self, address: Address, account: &Account, version: u64) -> TrieAccount {
        let root = self.storage.get(&address).and_then(|storage| storage.root.at(version)).unwrap_or(EMPTY_ROOT_HASH);
        TrieAccount { nonce: account.nonce, balance: account.balance, storage_root: root, code_hash: account.code_hash }
    }

    fn trie_accounts(&self, version: u64) -> impl Iterator<Item = (Address, TrieAccount)> + '_ {
        self.accounts.iter().filter_map(move |(address, history)| {
            let account = history.at(version)??;
            Some((*address, self.trie_account(*address, &account, version)))
        })
    }
}

/// The state of every block.
#[derive(Clone, Debug, Default)]
pub struct VersionedState(Arc<RwLock<Inner>>);

impl VersionedState {
    /// An empty state whose first block has number `first_block`.
    #[must_use]
    pub fn new(first_block: u64) -> Self {
        Self(Arc::new(RwLock::new(Inner { first_block, ..Inner::default() })))
    }

    // A writer that panicked leaves at worst an unfinished version, which no view names; going on is safe.
    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies `changes` as a new version and returns its number and state root.
    #[must_use]
    pub fn apply(&self, changes: &Changes) -> (u64, B256) {
        let mut inner = self.write();
        inner.version += 1;
        inner.write(changes);
        let version = inner.version;
        (version, inner.leaves.root())
    }

    /// Notes the hash of the next block.
    pub fn push_hash(&self, hash: B256) {
        self.write().hashes.push(hash);
    }

    /// Goes back to `version`, at which `blocks` blocks existed.
    pub fn revert(&self, version: u64, blocks: usize) {
        let mut inner = self.write();
        inner.truncate(version);
        inner.epoch += 1;
        inner.hashes.truncate(blocks);
    }

    /// Takes back versions after `version` that no view was made of.
    pub fn undo(&self, version: u64) {
        self.write().truncate(version);
    }

    /// The newest version.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.read().version
    }

    /// A reader at `version`.
    #[must_use]
    pub fn view(&self, version: u64) -> StateView {
        StateView { epoch: self.read().epoch, state: self.clone(), version }
    }
}

/// The state at one version.
#[derive(Clone, Debug)]
pub struct StateView {
    state: VersionedState,
    version: u64,
    epoch: u64,
}

impl StateView {
    fn inner(&self) -> Result<RwLockReadGuard<'_, Inner>, ChainError> {
        let inner = self.state.read();
        if inner.epoch != self.epoch {
            return Err(ChainError::State("the chain was reverted while its state was read".into()));
        }
        Ok(inner)
    }

    /// All accounts, for roots and proofs.
    ///
    /// # Errors
    /// `State` after a revert.
    pub fn trie_accounts(&self) -> Result<Vec<(Address, TrieAccount)>, ChainError> {
        Ok(self.inner()?.trie_accounts(self.version).collect())
    }

    /// All slots of `address` that are not zero.
    ///
    /// # Errors
    /// `State` after a revert.
    pub fn slots(&self, address: Address) -> Result<Vec<(U256, U256)>, ChainError> {
        let inner = self.inner()?;
        let Some(storage) = inner.storage.get(&address) else { return Ok(Vec::new()) };
        let values = storage.slots.iter().filter_map(|(slot, history)| Some((*slot, history.at(self.version)?)));
        Ok(values.filter(|(_, value)| !value.is_zero()).collect())
    }

    /// The account as a leaf of the trie.
    ///
    /// # Errors
    /// `State` after a revert.
    pub fn trie_account(&self, address: Address) -> Result<Option<TrieAccount>, ChainError> {
        let inner = self.inner()?;
        let account = inner.accounts.get(&address).and_then(|history| history.at(self.version)).flatten();
        Ok(account.map(|account| inner.trie_account(address, &account, self.version)))
    }
}

impl StateReader for StateView {
    type Error = ChainError;

    fn account(&self, address: Address) -> Result<Option<Account>, ChainError> {
        Ok(self.inner()?.accounts.get(&address).and_then(|history| history.at(self.version)).flatten())
    }

    fn storage(&self, address: Address, slot: U256) -> Result<U256, ChainError> {
        let inner = self.inner()?;
        let history = inner.storage.get(&address).and_then(|storage| storage.slots.get(&slot));
        Ok(history.and_then(|history| history.at(self.version)).unwrap_or_default())
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, ChainError> {
        if code_hash == KECCAK256_EMPTY || code_hash.is_zero() {
            return Ok(Bytes::new());
        }
        let code = self.inner()?.codes.get(&code_hash).cloned();
        code.ok_or_else(|| ChainError::State(format!("no code with hash {code_hash}")))
    }

    fn block_hash(&self, number: u64) -> Result<B256, ChainError> {
        let inner = self.inner()?;
        let index = number.checked_sub(inner.first_block).and_then(|index| usize::try_from(index).ok());
        Ok(index.and_then(|index| inner.hashes.get(index)).copied().unwrap_or_default())
    }
}
