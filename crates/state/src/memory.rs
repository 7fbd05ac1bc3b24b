//! The state of a chain in memory: commit blocks, read any of them, go back.
//!
//! Invariant: versions ascend and are never used twice; each belongs to one block, and a block's newest version is its
//! state. Hashing happens in [`MemoryState::stage`] and [`MemoryState::stage_back`], under the read lock. Readers of accounts, slots and
//! code take no part in that lock: the flat state answers by version.
//! What it does not do: it does not know headers; who commits says what the block's hash is.

mod back;
mod versions;

use std::sync::Arc;

use alloy_primitives::{Address, B256, U256, keccak256};
use interlace_stf::{Changes, CodeCache};
use interlace_trie::TrieAccount;

use crate::base::{Base, Below};
use crate::checkpoint::{History, Manifest};
use crate::error::StateError;
use crate::flat::{Flat, TierStats, Written};
use crate::keccak::Hasher;
use crate::leaves::{Leaves, Update};
use crate::proof::AccountProof;
use crate::snapshot::Snapshot;
use crate::sync::RwLock;
use crate::sync::atomic::AtomicU64;
use versions::{Head, Inner, Record};

pub use back::Back;
pub(crate) use versions::{Found, Pin, Shared, Undone};

/// Identifies one state: that after a block, or after an amendment to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub(crate) u64);

/// Changes with the root they lead to, ready to be committed on the state they were staged on.
#[derive(Debug)]
pub struct Staged {
    base: Version,
    changes: Arc<Changes>,
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
    pub fn changes(&self) -> &Changes {
        &self.changes
    }
}

/// What a state takes in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateSizes {
    /// Bytes of accounts and slots as they are now, with the tables that find them.
    pub flat_bytes: usize,
    /// Bytes of the tries.
    pub trie_bytes: usize,
    /// Values of older versions; about 100 bytes each.
    pub older_values: usize,
    /// Bytes on disk of versions that memory has forgotten.
    pub history_bytes: u64,
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
        let Ok(update) = leaves.stage(&flat, &changes, true) else { unreachable!("only tables can fail to be read") };
        let root = update.root();
        let version = Version(0);
        let head = Head { version, number, hash: hash(root), root };
        let written = flat.write(version.0, &changes, &update.after);
        leaves.apply(&flat, update);
        Self::begin(flat, leaves, head, written, below, 0)
    }

    /// A state with one record.
    fn begin(flat: Flat, leaves: Leaves, head: Head, written: Written, below: Option<Below>, mark: u64) -> Self {
        let Head { version, number, hash, root } = head;
        let records = vec![Record { version, number, hash, root, written: Arc::new(written), mark }];
        let (next_version, window, history) = (version.0 + 1, None, None);
        let (oldest, in_memory, pinned) = (0, 0, None);
        let inner = Inner { leaves, records, oldest, window, history, in_memory, next_version, mark, pinned, head };
        let [reverted, oldest, moves] = [(); 3].map(|()| AtomicU64::new(0));
        let (codes, is_whole) = (CodeCache::default(), below.is_none() && flat.tables().is_none());
        let shared = Shared { inner: RwLock::new(inner), flat, reverted, oldest, moves, codes, below, is_whole };
        Self { shared: Arc::new(shared) }
    }

    /// The state of a checkpoint; [`Self::precede`] tells of what was before it.
    pub(crate) fn loaded(flat: Flat, leaves: Leaves, manifest: &Manifest, version: u64) -> Self {
        let Manifest { mark, block, hash, root, .. } = *manifest;
        let head = Head { version: Version(version), number: block, hash, root };
        Self::begin(flat, leaves, head, Written::default(), None, mark)
    }

    pub(crate) fn flat(&self) -> &Flat {
        &self.shared.flat
    }

    /// Says which blocks and edits led to a state that was loaded: number, hash and root of each, oldest first; a root that is not known is
    /// zero. Their states can be read if they are in the history.
    ///
    /// # Errors
    /// [`StateError::StaleStage`] if something was committed since, or there are more of them than the checkpoint's records of the log.
    pub fn precede(&self, earlier: impl IntoIterator<Item = (u64, B256, B256)>) -> Result<(), StateError> {
        let mut inner = self.shared.write();
        let (stale, first) = (StateError::StaleStage { head: inner.head.number }, inner.head.version);
        let earlier = (0..).zip(earlier).map(|(version, (number, hash, root))| Record {
            version: Version(version),
            number,
            hash,
            root,
            written: Arc::default(),
            mark: 0,
        });
        let records: Vec<Record> = earlier.collect();
        if inner.records.len() != 1 || records.len() as u64 > first.0 {
            return Err(stale);
        }
        inner.oldest = records.len();
        inner.records.splice(0..0, records);
        self.shared.moved(first);
        Ok(())
    }

    /// Says that `mark` records of a log lead to what is committed next.
    pub fn logged(&self, mark: u64) {
        self.shared.write().mark = mark;
    }

    /// Keeps a state until the pin is dropped: the oldest that can be read, or, if all can, one that memory may forget all before; `None` if
    /// all are in memory, or no record of a log led to it.
    pub(crate) fn pin(&self) -> Option<Pin> {
        let mut inner = self.shared.write();
        let Inner { oldest, window, .. } = *inner;
        let (position, window) = match (window, &inner.history) {
            (Some(window), _) => (oldest, window),
            (None, Some(_)) => (inner.outside(inner.in_memory).max(oldest), inner.in_memory),
            (None, None) => return None,
        };
        let record = inner.records.get(position).filter(|record| record.mark > 0)?;
        let Record { version, number, hash, root, mark, .. } = *record;
        let start = inner.records.partition_point(|record| record.number < number);
        let edits = (position - start) as u64;
        let undone = |pair: &[Record]| Undone {
            written: Arc::clone(&pair[1].written),
            version: pair[1].version.0,
            before: pair[0].version.0,
        };
        let undone = || inner.records[oldest..=position].windows(2).map(undone).collect();
        let past = inner.history.as_ref().filter(|_| inner.window.is_none()).map(|history| (history.clone(), undone()));
        inner.pinned = Some(version);
        let position = position as u64;
        Some(Pin {
            state: self.clone(),
            version: version.0,
            position,
            past,
            mark,
            block: number,
            edits,
            window,
            hash,
            root,
        })
    }

    /// Keeps all states from now on, and forgets in memory those that checkpoints have written to disk, but for the states of the newest block
    /// and of `in_memory` blocks before it. `history` has what was written until now.
    pub fn archive(&self, history: History, in_memory: u64) {
        let mut inner = self.shared.write();
        (inner.window, inner.history, inner.in_memory) = (None, Some(history), in_memory);
    }

    /// The history on disk of a state that keeps all; none if all is in memory.
    #[must_use]
    pub fn history(&self) -> Option<History> {
        self.shared.read().history.clone()
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
    /// [`StateError::Reverted`], [`StateError::Expired`].
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
    ///
    /// # Errors
    /// [`StateError::Storage`].
    pub fn stage(&self, changes: impl Into<Arc<Changes>>) -> Result<Staged, StateError> {
        self.shared.read().stage(&self.shared.flat, changes.into())
    }

    /// The state root that `changes` to the newest state lead to.
    ///
    /// # Errors
    /// [`StateError::Storage`].
    pub fn root_after(&self, changes: &Changes) -> Result<B256, StateError> {
        let inner = self.shared.read();
        Ok(inner.leaves.stage(&self.shared.flat, changes, false)?.root())
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
        inner.put(&self.shared, number, hash, staged)?;
        let version = inner.head.version;
        Ok(self.snapshot(version, number, hash))
    }

    /// Changes the state after the last block without a block, as developer chains may (set a balance, replace code).
    /// The block's header then no longer tells the root of its state.
    ///
    /// # Errors
    /// [`StateError::StaleStage`] if a block was committed or reverted by another thread meanwhile, [`StateError::Storage`].
    pub fn amend(&self, changes: Changes) -> Result<Snapshot, StateError> {
        let staged = self.stage(changes)?;
        let mut inner = self.shared.write();
        let Head { number, hash, .. } = inner.head;
        inner.put(&self.shared, number, hash, staged)?;
        let version = inner.head.version;
        Ok(self.snapshot(version, number, hash))
    }

    /// Goes back to the state after block `number` with its amendments; blocks after it are gone. What memory has forgotten is read from disk,
    /// all that was written since.
    ///
    /// # Errors
    /// [`StateError::UnknownBlock`], [`StateError::Expired`], [`StateError::Storage`].
    pub fn revert_to(&self, number: u64) -> Result<(), StateError> {
        let mut inner = self.shared.write();
        let version = inner.record(number).map(|record| record.version).ok_or_else(|| inner.unknown(number))?;
        inner.restore(&self.shared, version, number)
    }

    /// Goes back to a version, amendments after it included.
    ///
    /// # Errors
    /// [`StateError::Reverted`] if the version itself was reverted, [`StateError::Expired`] if it is older than what is kept.
    pub fn restore(&self, snapshot: &Snapshot) -> Result<(), StateError> {
        self.shared.write().restore(&self.shared, snapshot.version, snapshot.number)
    }

    /// Accounts of the newest state, in ascending order of their hashed addresses.
    ///
    /// # Errors
    /// [`StateError::Storage`].
    pub fn accounts(&self) -> Result<Vec<(Address, TrieAccount)>, StateError> {
        let inner = self.shared.read();
        let mut accounts = self.shared.flat.accounts(inner.head.version.0)?;
        drop(inner);
        accounts.sort_by_cached_key(|(address, _)| keccak256(address));
        Ok(accounts)
    }

    /// Slots of `address` in the newest state that are not zero, in ascending order of their hashes.
    ///
    /// # Errors
    /// [`StateError::Storage`].
    pub fn slots(&self, address: Address) -> Result<Vec<(U256, U256)>, StateError> {
        let inner = self.shared.read();
        let mut slots = self.shared.flat.slots(address, inner.head.version.0)?;
        drop(inner);
        slots.sort_by_cached_key(|(slot, _)| keccak256(B256::from(*slot)));
        Ok(slots)
    }

    /// Proves an account and some of its slots in the newest state.
    ///
    /// # Errors
    /// [`StateError::Storage`].
    pub fn proof(&self, address: Address, slots: &[U256]) -> Result<AccountProof, StateError> {
        Ok(self.shared.read().leaves.prove(&self.shared.flat, address, slots)?)
    }

    /// Keeps the states of the newest block and of `blocks` before it from now on, and forgets older ones; none keeps all. Who reads an older
    /// one, or goes back to it, gets [`StateError::Expired`]; hashes and roots of all blocks stay.
    pub fn keep(&self, blocks: Option<u64>) {
        let mut inner = self.shared.write();
        (inner.window, inner.history) = (blocks, None);
        inner.expire(&self.shared);
    }

    /// Adds to the state after the first block before there is a second: how a large state is built in portions.
    ///
    /// # Errors
    /// [`StateError::Storage`].
    pub(crate) fn extend_first(&self, changes: Changes) -> Result<(), StateError> {
        let mut inner = self.shared.write();
        let Inner { leaves, records, head, .. } = &mut *inner;
        let update = leaves.stage(&self.shared.flat, &changes, true)?;
        head.root = update.root();
        records[0].root = head.root;
        // Nothing goes back behind the first version, so what it wrote needs no list.
        self.shared.flat.write(head.version.0, &changes, &update.after);
        leaves.apply(&self.shared.flat, update);
        Ok(())
    }

    /// Hashes with another backend from now on.
    pub(crate) fn hash_with(&self, hasher: Hasher) {
        self.shared.write().leaves.hash_with(hasher);
    }

    /// What the state takes.
    #[must_use]
    pub fn sizes(&self) -> StateSizes {
        let (flat_bytes, older_values) = self.shared.flat.sizes();
        let inner = self.shared.read();
        let history_bytes = inner.history.as_ref().map_or(0, |history| history.size().1);
        StateSizes { flat_bytes, trie_bytes: inner.leaves.bytes(), older_values, history_bytes }
    }

    /// What was read, and from where; `None` for a state that is in memory as a whole.
    #[must_use]
    pub fn tiers(&self) -> Option<TierStats> {
        self.shared.flat.tier_stats()
    }

    /// Code that was analysed, for all who execute on this state.
    #[must_use]
    pub fn codes(&self) -> &CodeCache {
        &self.shared.codes
    }

    /// How many blocks behind the newest one have states; all, if it is none.
    #[must_use]
    pub fn kept(&self) -> Option<u64> {
        self.shared.read().window
    }

    fn snapshot(&self, version: Version, number: u64, hash: B256) -> Snapshot {
        Snapshot { shared: Arc::clone(&self.shared), version, number, hash }
    }
}
