//! The state of a chain in memory: commit blocks, read any of them, go back.
//!
//! Invariant: versions ascend and are never used twice; each belongs to one block, and a block's newest version is its
//! state. Hashing happens in [`MemoryState::stage`], under the read lock; only putting values and hashes in place excludes
//! readers (and going back, which hashes as it goes).
//! What it does not do: it does not know headers; who commits says what the block's hash is.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use alloy_primitives::{Address, B256, U256, keccak256};
use interlace_stf::{Changes, CodeCache};
use interlace_trie::TrieAccount;

use crate::base::{Base, Below};
use crate::error::StateError;
use crate::history::{Histories, Written};
use crate::leaves::{Leaves, Update};
use crate::proof::AccountProof;
use crate::snapshot::Snapshot;

/// Identifies one state: that after a block, or after an amendment to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub(crate) u64);

/// Changes with the root they lead to, ready to be committed on the state they were staged on.
#[derive(Debug)]
pub struct Staged {
    base: Version,
    changes: Changes,
    update: Update,
}

impl Staged {
    /// State root with the changes in place.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.update.root()
    }

    /// The changes.
    #[must_use]
    pub const fn changes(&self) -> &Changes {
        &self.changes
    }
}

#[derive(Debug)]
struct Record {
    pub(crate) version: Version,
    number: u64,
    hash: B256,
    root: B256,
    written: Written,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) histories: Histories,
    pub(crate) leaves: Leaves,
    /// Oldest first; at least one.
    records: Vec<Record>,
    /// The last version that was reverted, and all at or below it that are not in `records`, are gone.
    newest_reverted: Option<Version>,
    next_version: u64,
    /// What a snapshot of the newest record says; kept apart so that there is always one.
    pub(crate) head: Head,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) version: Version,
    number: u64,
    hash: B256,
    root: B256,
}

#[derive(Debug)]
pub(crate) struct Shared {
    inner: RwLock<Inner>,
    /// Outside the lock: it belongs to no version.
    pub(crate) codes: CodeCache,
    /// What answers for keys that were never written; read without the lock, because it may take long.
    pub(crate) below: Option<Below>,
}

impl Shared {
    // A panic while the lock was held cannot leave half a commit behind that matters more than the panic itself: the
    // writer's steps are plain insertions. So a poisoned lock is taken all the same.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Refuses a snapshot whose version was reverted.
    pub(crate) fn check(&self, snapshot: &Snapshot) -> Result<(), StateError> {
        let suspect = self.newest_reverted.is_some_and(|reverted| snapshot.version <= reverted);
        if suspect && self.records.binary_search_by_key(&snapshot.version, |record| record.version).is_err() {
            return Err(StateError::Reverted { number: snapshot.number });
        }
        Ok(())
    }

    /// The newest record of block `number`.
    fn record(&self, number: u64) -> Option<&Record> {
        let end = self.records.partition_point(|record| record.number <= number);
        self.records[..end].last().filter(|record| record.number == number)
    }

    pub(crate) fn block_hash(&self, number: u64) -> Option<B256> {
        self.record(number).map(|record| record.hash)
    }

    fn unknown(&self, number: u64) -> StateError {
        let first = self.records.first().map_or(self.head.number, |record| record.number);
        StateError::UnknownBlock { number, first, last: self.head.number }
    }

    fn put(&mut self, number: u64, hash: B256, staged: Staged) -> Result<(), StateError> {
        if staged.base != self.head.version {
            return Err(StateError::StaleStage { head: self.head.number });
        }
        let version = Version(self.next_version);
        self.next_version += 1;
        let Staged { changes, update, .. } = staged;
        let root = update.root();
        let written = self.histories.write(version.0, changes, &update.accounts);
        self.leaves.apply(update);
        self.records.push(Record { version, number, hash, root, written });
        self.head = Head { version, number, hash, root };
        Ok(())
    }

    fn stage(&self, changes: Changes) -> Staged {
        let update = self.leaves.stage(&changes);
        Staged { base: self.head.version, changes, update }
    }

    /// Drops all records after the one at `keep`.
    fn revert_to(&mut self, keep: usize) {
        let Some(target) = self.records.get(keep) else { return };
        let head = Head { version: target.version, number: target.number, hash: target.hash, root: target.root };
        let mut back = Changes::default();
        for record in self.records.drain(keep + 1..).rev() {
            self.newest_reverted = self.newest_reverted.max(Some(record.version));
            self.histories.revert(head.version.0, &record.written);
            for address in record.written.accounts {
                let info = self.histories.account(address, head.version.0);
                back.accounts.entry(address).or_default().info = info;
            }
            for (address, slot) in record.written.slots {
                let value = self.histories.slot(address, slot, head.version.0);
                let change = back.accounts.entry(address).or_default();
                change.info = self.histories.account(address, head.version.0);
                change.storage.insert(slot, value);
            }
        }
        self.head = head;
        let update = self.leaves.stage(&back);
        self.leaves.apply(update);
    }
}

/// A chain's state; clones share it.
#[derive(Clone, Debug)]
pub struct MemoryState {
    shared: Arc<Shared>,
}

impl MemoryState {
    /// A chain whose first block, `number`, leaves the state that `changes` make of nothing.
    ///
    /// `hash` gets the state root and gives the block's hash.
    pub fn new(number: u64, changes: Changes, hash: impl FnOnce(B256) -> B256) -> Self {
        Self::build(number, changes, hash, None)
    }

    /// A chain that goes on after block `number` of another one, whose state is `base`.
    ///
    /// Its roots are those of the accounts and slots written here, alone: what was erased has no leaf, as in every trie, and
    /// what was not written has none either. Nothing can be proved of such a state.
    #[must_use]
    pub fn forked(number: u64, hash: B256, base: Arc<dyn Base>) -> Self {
        Self::build(number, Changes::default(), |_| hash, Some(Below::new(base)))
    }

    fn build(number: u64, changes: Changes, hash: impl FnOnce(B256) -> B256, below: Option<Below>) -> Self {
        let mut leaves = Leaves::default();
        let update = leaves.stage(&changes);
        let root = update.root();
        let version = Version(0);
        let head = Head { version, number, hash: hash(root), root };
        let mut histories = if below.is_some() { Histories::on_base() } else { Histories::default() };
        let written = histories.write(version.0, changes, &update.accounts);
        leaves.apply(update);
        let records = vec![Record { version, number, hash: head.hash, root, written }];
        let inner = Inner { histories, leaves, records, newest_reverted: None, next_version: 1, head };
        Self { shared: Arc::new(Shared { inner: RwLock::new(inner), codes: CodeCache::default(), below }) }
    }

    /// Whether another chain's state lies below, so that only what changed since is held here.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.shared.below.is_some()
    }

    /// The state after the last block.
    #[must_use]
    pub fn latest(&self) -> Snapshot {
        let head = self.shared.read().head;
        self.snapshot(head.version, head.number, head.hash)
    }

    /// The state after block `number`.
    ///
    /// # Errors
    /// [`StateError::UnknownBlock`].
    pub fn at(&self, number: u64) -> Result<Snapshot, StateError> {
        let inner = self.shared.read();
        let record = inner.record(number).ok_or_else(|| inner.unknown(number))?;
        Ok(self.snapshot(record.version, record.number, record.hash))
    }

    /// The state after block `number` and the first `amendments` amendments to it, if it has as many.
    #[must_use]
    pub fn at_edit(&self, number: u64, amendments: usize) -> Option<Snapshot> {
        let inner = self.shared.read();
        let start = inner.records.partition_point(|record| record.number < number);
        let record = inner.records.get(start.checked_add(amendments)?).filter(|record| record.number == number)?;
        Some(self.snapshot(record.version, record.number, record.hash))
    }

    /// Whether a version is still there to be read and to go back to.
    ///
    /// # Errors
    /// [`StateError::Reverted`].
    pub fn check(&self, snapshot: &Snapshot) -> Result<(), StateError> {
        let inner = self.shared.read();
        let position = inner.records.binary_search_by_key(&snapshot.version, |record| record.version);
        position.map(|_| ()).map_err(|_| StateError::Reverted { number: snapshot.number })
    }

    /// State root after the last block.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.shared.read().head.root
    }

    /// State root after block `number`.
    ///
    /// # Errors
    /// [`StateError::UnknownBlock`].
    pub fn root_at(&self, number: u64) -> Result<B256, StateError> {
        let inner = self.shared.read();
        inner.record(number).map(|record| record.root).ok_or_else(|| inner.unknown(number))
    }

    /// Computes where `changes` to the newest state lead, without changing it.
    #[must_use]
    pub fn stage(&self, changes: Changes) -> Staged {
        self.shared.read().stage(changes)
    }

    /// The state root that `changes` to the newest state lead to.
    #[must_use]
    pub fn root_after(&self, changes: &Changes) -> B256 {
        let inner = self.shared.read();
        inner.leaves.stage(changes).root()
    }

    /// Makes staged changes the state after block `number`, whose hash is `hash`.
    ///
    /// # Errors
    /// [`StateError::NotNext`] if it does not follow the last block, [`StateError::StaleStage`] if something was
    /// committed or reverted since.
    pub fn commit(&self, number: u64, hash: B256, staged: Staged) -> Result<Snapshot, StateError> {
        let mut inner = self.shared.write();
        if inner.head.number.checked_add(1) != Some(number) {
            return Err(StateError::NotNext { number, head: inner.head.number });
        }
        inner.put(number, hash, staged)?;
        let version = inner.head.version;
        Ok(self.snapshot(version, number, hash))
    }

    /// Changes the state after the last block without a block, as developer chains may (set a balance, replace code).
    /// The block's header then no longer tells the root of its state.
    ///
    /// # Errors
    /// [`StateError::StaleStage`] if a block was committed or reverted by another thread meanwhile.
    pub fn amend(&self, changes: Changes) -> Result<Snapshot, StateError> {
        let staged = self.stage(changes);
        let mut inner = self.shared.write();
        let Head { number, hash, .. } = inner.head;
        inner.put(number, hash, staged)?;
        let version = inner.head.version;
        Ok(self.snapshot(version, number, hash))
    }

    /// Goes back to the state after block `number` with its amendments; blocks after it are gone.
    ///
    /// # Errors
    /// [`StateError::UnknownBlock`].
    pub fn revert_to(&self, number: u64) -> Result<(), StateError> {
        let mut inner = self.shared.write();
        let version = inner.record(number).map(|record| record.version).ok_or_else(|| inner.unknown(number))?;
        inner.restore(version, number)
    }

    /// Goes back to a version, amendments after it included.
    ///
    /// # Errors
    /// [`StateError::Reverted`] if the version itself was reverted.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<(), StateError> {
        self.shared.write().restore(snapshot.version, snapshot.number)
    }

    /// Accounts of the newest state, in ascending order of their hashed addresses.
    #[must_use]
    pub fn accounts(&self) -> Vec<(Address, TrieAccount)> {
        let inner = self.shared.read();
        let mut accounts: Vec<_> = inner.histories.accounts(inner.head.version.0).collect();
        drop(inner);
        accounts.sort_by_cached_key(|(address, _)| keccak256(address));
        accounts
    }

    /// Slots of `address` in the newest state that are not zero, in ascending order of their hashes.
    #[must_use]
    pub fn slots(&self, address: Address) -> Vec<(U256, U256)> {
        let inner = self.shared.read();
        let mut slots: Vec<_> = inner.histories.slots(address, inner.head.version.0).collect();
        drop(inner);
        slots.sort_by_cached_key(|(slot, _)| keccak256(B256::from(*slot)));
        slots
    }

    /// Proves an account and some of its slots in the newest state.
    #[must_use]
    pub fn proof(&self, address: Address, slots: &[U256]) -> AccountProof {
        self.shared.read().leaves.prove(address, slots)
    }

    fn snapshot(&self, version: Version, number: u64, hash: B256) -> Snapshot {
        Snapshot { shared: Arc::clone(&self.shared), version, number, hash }
    }
}

impl Inner {
    fn restore(&mut self, version: Version, number: u64) -> Result<(), StateError> {
        let position = self.records.binary_search_by_key(&version, |record| record.version);
        let keep = position.map_err(|_| StateError::Reverted { number })?;
        self.revert_to(keep);
        Ok(())
    }
}
