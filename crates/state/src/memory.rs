//! The state of a chain in memory: commit blocks, read any of them, go back.
//!
//! Invariant: versions ascend and are never used twice; each belongs to one block, and a block's newest version is its
//! state. Hashing happens in [`MemoryState::stage`], under the read lock, and going back hashes as it goes. Readers of accounts, slots and
//! code take no part in that lock: the flat state answers by version.
//! What it does not do: it does not know headers; who commits says what the block's hash is.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, U256, keccak256};
use interlace_stf::{AccountChange, Changes, CodeCache};
use interlace_trie::TrieAccount;

use crate::base::{Base, Below};
use crate::error::StateError;
use crate::flat::{Flat, Written};
use crate::keccak::Hasher;
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
    pub(crate) leaves: Leaves,
    /// Oldest first; at least one.
    records: Vec<Record>,
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
    /// Outside the lock: it has its own, and answers by version.
    pub(crate) flat: Flat,
    /// One above the newest version that was reverted; raised before anything of it is undone.
    reverted: AtomicU64,
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

impl Shared {
    /// Refuses a snapshot whose version was reverted. Asked after a read, it says whether the read counts.
    #[inline]
    pub(crate) fn check(&self, snapshot: &Snapshot) -> Result<(), StateError> {
        // Whoever saw anything of a version undone, under a shard's lock, sees this raised as well.
        if snapshot.version.0 < self.reverted.load(Ordering::Acquire) {
            return self.read().check(snapshot);
        }
        Ok(())
    }
}

impl Inner {
    fn check(&self, snapshot: &Snapshot) -> Result<(), StateError> {
        let position = self.records.binary_search_by_key(&snapshot.version, |record| record.version);
        position.map(|_| ()).map_err(|_| StateError::Reverted { number: snapshot.number })
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

    fn put(&mut self, flat: &Flat, number: u64, hash: B256, staged: Staged) -> Result<(), StateError> {
        if staged.base != self.head.version {
            return Err(StateError::StaleStage { head: self.head.number });
        }
        let version = Version(self.next_version);
        self.next_version += 1;
        let Staged { changes, update, .. } = staged;
        let root = update.root();
        let written = flat.write(version.0, changes, &update.after);
        self.leaves.apply(flat, update);
        self.records.push(Record { version, number, hash, root, written });
        self.head = Head { version, number, hash, root };
        Ok(())
    }

    fn stage(&self, flat: &Flat, changes: Changes) -> Staged {
        let update = self.leaves.stage(flat, &changes);
        Staged { base: self.head.version, changes, update }
    }

    /// Drops all records after the one at `keep`.
    fn revert_to(&mut self, shared: &Shared, keep: usize) {
        let Some(target) = self.records.get(keep) else { return };
        let head = Head { version: target.version, number: target.number, hash: target.hash, root: target.root };
        let undone: Vec<Record> = self.records.drain(keep + 1..).rev().collect();
        let Some(newest) = undone.first() else { return };
        let (flat, last) = (&shared.flat, newest.version.0);
        shared.reverted.fetch_max(last + 1, Ordering::AcqRel);
        // What was written since, and which storage each account has before anything is undone.
        let mut touched: AddressMap<(Option<u32>, BTreeSet<U256>)> = AddressMap::default();
        for account in undone.iter().flat_map(|record| &record.written.accounts) {
            let storage = || (flat.storage_of(account.address, last), BTreeSet::new());
            touched.entry(account.address).or_insert_with(storage).1.extend(flat.keys(account));
        }
        undone.iter().for_each(|record| flat.revert(record.version.0, head.version.0, &record.written));
        let mut back = Changes::default();
        for (address, (storage, keys)) in touched {
            let value = |slot| (slot, flat.written_slot(address, slot, head.version.0).unwrap_or_default());
            let wiped = flat.storage_of(address, head.version.0) != storage;
            let storage = if wiped {
                flat.slots(address, head.version.0).into_iter().collect()
            } else {
                keys.into_iter().map(value).collect()
            };
            let info = flat.account(address, head.version.0);
            back.accounts.insert(address, AccountChange { info, wiped, storage });
        }
        self.head = head;
        let update = self.leaves.stage(flat, &back);
        self.leaves.apply(flat, update);
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
        let flat = Flat::new(below.is_some());
        let update = leaves.stage(&flat, &changes);
        let root = update.root();
        let version = Version(0);
        let head = Head { version, number, hash: hash(root), root };
        let written = flat.write(version.0, changes, &update.after);
        leaves.apply(&flat, update);
        let records = vec![Record { version, number, hash: head.hash, root, written }];
        let inner = Inner { leaves, records, next_version: 1, head };
        let reverted = AtomicU64::new(0);
        let shared = Shared { inner: RwLock::new(inner), flat, reverted, codes: CodeCache::default(), below };
        Self { shared: Arc::new(shared) }
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
        self.shared.read().check(snapshot)
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
        self.shared.read().stage(&self.shared.flat, changes)
    }

    /// The state root that `changes` to the newest state lead to.
    #[must_use]
    pub fn root_after(&self, changes: &Changes) -> B256 {
        let inner = self.shared.read();
        inner.leaves.stage(&self.shared.flat, changes).root()
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
        inner.put(&self.shared.flat, number, hash, staged)?;
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
        inner.put(&self.shared.flat, number, hash, staged)?;
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
        inner.restore(&self.shared, version, number)
    }

    /// Goes back to a version, amendments after it included.
    ///
    /// # Errors
    /// [`StateError::Reverted`] if the version itself was reverted.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<(), StateError> {
        self.shared.write().restore(&self.shared, snapshot.version, snapshot.number)
    }

    /// Accounts of the newest state, in ascending order of their hashed addresses.
    #[must_use]
    pub fn accounts(&self) -> Vec<(Address, TrieAccount)> {
        let inner = self.shared.read();
        let mut accounts = self.shared.flat.accounts(inner.head.version.0);
        drop(inner);
        accounts.sort_by_cached_key(|(address, _)| keccak256(address));
        accounts
    }

    /// Slots of `address` in the newest state that are not zero, in ascending order of their hashes.
    #[must_use]
    pub fn slots(&self, address: Address) -> Vec<(U256, U256)> {
        let inner = self.shared.read();
        let mut slots = self.shared.flat.slots(address, inner.head.version.0);
        drop(inner);
        slots.sort_by_cached_key(|(slot, _)| keccak256(B256::from(*slot)));
        slots
    }

    /// Proves an account and some of its slots in the newest state.
    #[must_use]
    pub fn proof(&self, address: Address, slots: &[U256]) -> AccountProof {
        self.shared.read().leaves.prove(&self.shared.flat, address, slots)
    }

    /// Adds to the state after the first block before there is a second: how a large state is built in portions.
    pub(crate) fn extend_first(&self, changes: Changes) {
        let mut inner = self.shared.write();
        let Inner { leaves, records, head, .. } = &mut *inner;
        let update = leaves.stage(&self.shared.flat, &changes);
        head.root = update.root();
        records[0].root = head.root;
        // Nothing goes back behind the first version, so what it wrote needs no list.
        self.shared.flat.write(head.version.0, changes, &update.after);
        leaves.apply(&self.shared.flat, update);
    }

    /// Hashes with another backend from now on.
    pub(crate) fn hash_with(&self, hasher: Hasher) {
        self.shared.write().leaves.hash_with(hasher);
    }

    /// Bytes of the flat state and of the tries; older values are not counted.
    pub(crate) fn bytes(&self) -> (usize, usize) {
        (self.shared.flat.sizes().0, self.shared.read().leaves.bytes())
    }

    fn snapshot(&self, version: Version, number: u64, hash: B256) -> Snapshot {
        Snapshot { shared: Arc::clone(&self.shared), version, number, hash }
    }
}

impl Inner {
    fn restore(&mut self, shared: &Shared, version: Version, number: u64) -> Result<(), StateError> {
        let position = self.records.binary_search_by_key(&version, |record| record.version);
        let keep = position.map_err(|_| StateError::Reverted { number })?;
        self.revert_to(shared, keep);
        Ok(())
    }
}
