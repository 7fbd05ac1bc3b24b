//! Which versions there are, and where each is: in memory, on disk, or gone.
//!
//! ```text
//! records   hash and root alone │ on disk │ in memory                   │ newest
//!                               history   oldest ── what may be forgotten ──► window
//! ```
//! Invariant: a version that can be read stays where it is as long as `moves` stays what it is; that changes before anything is forgotten or
//! put back.
//! What it does not do: how the chain goes back is in `back`.

use std::sync::{Arc, PoisonError};

use alloy_primitives::B256;
use interlace_stf::{Changes, CodeCache};

use super::{MemoryState, Staged, Version};
use crate::base::Below;
use crate::checkpoint::History;
use crate::error::StateError;
use crate::flat::{Flat, Written};
use crate::leaves::Leaves;
use crate::snapshot::Snapshot;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use crate::view::Past;

#[derive(Debug)]
pub(super) struct Record {
    pub(crate) version: Version,
    pub(super) number: u64,
    pub(super) hash: B256,
    pub(super) root: B256,
    pub(super) written: Arc<Written>,
    /// How many records of a log led to it; zero if none did.
    pub(super) mark: u64,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) leaves: Leaves,
    /// Oldest first; at least one. Those before `oldest` tell hash and root of their blocks, and no state.
    pub(super) records: Vec<Record>,
    /// Place of the oldest record whose state can be read.
    pub(super) oldest: usize,
    /// Blocks behind the newest one whose states are kept; all, if it is none.
    pub(super) window: Option<u64>,
    /// What memory may forget though all states are kept, because it is on disk; none if all of them are in memory.
    pub(super) history: Option<History>,
    /// Blocks behind the newest one whose states stay in memory all the same.
    pub(super) in_memory: u64,
    pub(super) next_version: u64,
    /// The mark of what is committed next.
    pub(super) mark: u64,
    /// The oldest version that somebody needs, whatever the window says.
    pub(super) pinned: Option<Version>,
    /// What a snapshot of the newest record says; kept apart so that there is always one.
    pub(crate) head: Head,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) version: Version,
    pub(super) number: u64,
    pub(super) hash: B256,
    pub(super) root: B256,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) inner: RwLock<Inner>,
    /// Outside the lock: it has its own, and answers by version.
    pub(crate) flat: Flat,
    /// One above the newest version that was reverted; raised before anything of it is undone.
    pub(super) reverted: AtomicU64,
    /// The oldest version that memory has; raised before anything older is forgotten.
    pub(super) oldest: AtomicU64,
    /// How often that has changed; changed before anything is forgotten or put back.
    pub(super) moves: AtomicU64,
    /// Outside the lock: it belongs to no version.
    pub(crate) codes: CodeCache,
    /// What answers for keys that were never written; read without the lock, because it may take long.
    pub(crate) below: Option<Below>,
    /// Whether nothing lies below: neither another chain's state nor tables.
    pub(crate) is_whole: bool,
}

/// What one version wrote.
#[derive(Clone, Debug)]
pub(crate) struct Undone {
    pub(crate) written: Arc<Written>,
    pub(crate) version: u64,
    /// The version before it.
    pub(crate) before: u64,
}

/// Where a version is.
#[derive(Debug)]
pub(crate) struct Found {
    /// Of one that memory has forgotten.
    pub(crate) past: Option<Past>,
    /// The oldest version that memory has.
    pub(crate) oldest: u64,
    /// As long as this stays as it is, values stay where they are.
    pub(crate) moves: u64,
}

/// A state that stays readable until this is dropped.
#[derive(Debug)]
pub(crate) struct Pin {
    pub(super) state: MemoryState,
    pub(crate) version: u64,
    /// How many states there were before it.
    pub(crate) position: u64,
    /// If memory may forget what was before it once it is on disk: the history until now, and what was written since.
    pub(crate) past: Option<(History, Vec<Undone>)>,
    /// How many records of the log led to it.
    pub(crate) mark: u64,
    pub(crate) block: u64,
    /// Amendments after the block that are in it.
    pub(crate) edits: u64,
    pub(crate) window: u64,
    pub(crate) hash: B256,
    pub(crate) root: B256,
}

impl Pin {
    /// Whether the chain did not go back behind the state.
    pub(crate) fn holds(&self) -> bool {
        self.state.shared.read().has(self)
    }

    /// Says that what was before the state is on disk: `history`.
    pub(crate) fn archived(&self, history: History) {
        let mut inner = self.state.shared.write();
        // Else the chain went back, and what is in memory is kept until the next one.
        if inner.has(self) && inner.history.is_some() {
            inner.history = Some(history);
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let shared = &self.state.shared;
        let mut inner = shared.write();
        inner.pinned = None;
        inner.expire(shared);
    }
}

impl Shared {
    // A panic while the lock was held cannot leave half a commit behind that matters more than the panic itself: the
    // writer's steps are plain insertions. So a poisoned lock is taken all the same.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a version is in memory for certain. Asked after a read, it says whether the read counts.
    #[inline]
    pub(crate) fn is_current(&self, snapshot: &Snapshot) -> bool {
        // Whoever saw anything of a version undone, under a shard's lock, sees this raised as well.
        let suspect = self.reverted.load(Ordering::Acquire).max(self.oldest.load(Ordering::Acquire));
        snapshot.version.0 >= suspect
    }

    /// Refuses a snapshot whose version was reverted, or is older than what is kept in memory.
    #[inline]
    pub(crate) fn check(&self, snapshot: &Snapshot) -> Result<(), StateError> {
        if self.is_current(snapshot) {
            return Ok(());
        }
        let inner = self.read();
        let position = inner.position(snapshot.version, snapshot.number)?;
        if position < inner.oldest { Err(inner.expired(snapshot.number)) } else { Ok(()) }
    }

    /// Refuses a snapshot whose version was reverted, or is older than what is kept.
    #[inline]
    pub(crate) fn exists(&self, snapshot: &Snapshot) -> Result<(), StateError> {
        if self.is_current(snapshot) { Ok(()) } else { self.read().check(snapshot) }
    }

    /// Where a version is that is kept.
    pub(crate) fn find(&self, snapshot: &Snapshot) -> Result<Found, StateError> {
        let inner = self.read();
        let position = inner.position(snapshot.version, snapshot.number)?;
        let past = inner.past(position);
        let (oldest, moves) = (inner.records[inner.oldest].version.0, self.moves.load(Ordering::Relaxed));
        Ok(Found { past, oldest, moves })
    }

    /// Says that something will be forgotten or put back, so that `version` is the oldest that memory has.
    pub(super) fn moved(&self, version: Version) {
        self.moves.fetch_add(1, Ordering::Relaxed);
        self.oldest.fetch_max(version.0, Ordering::AcqRel);
    }
}

impl Inner {
    pub(super) fn check(&self, snapshot: &Snapshot) -> Result<(), StateError> {
        self.position(snapshot.version, snapshot.number).map(|_| ())
    }

    pub(super) fn expired(&self, number: u64) -> StateError {
        StateError::Expired { number, oldest: self.records[self.oldest].number }
    }

    /// Place of the record of a version that can be read.
    pub(super) fn position(&self, version: Version, number: u64) -> Result<usize, StateError> {
        let position = self.records.binary_search_by_key(&version, |record| record.version);
        let position = position.map_err(|_| StateError::Reverted { number })?;
        let history = self.history.as_ref().is_some_and(|history| history.begins(position as u64));
        if position < self.oldest && !history { Err(self.expired(number)) } else { Ok(position) }
    }

    pub(super) fn has(&self, pin: &Pin) -> bool {
        self.records.get(pin.position as usize).is_some_and(|record| record.version.0 == pin.version)
    }

    /// What is on disk of the state at a place that memory has forgotten.
    pub(super) fn past(&self, position: usize) -> Option<Past> {
        let history =
            self.history.as_ref().filter(|history| position < self.oldest && history.begins(position as u64))?;
        Some(Past { history: history.clone(), state: position as u64 })
    }

    /// The newest record of block `number`.
    pub(super) fn record(&self, number: u64) -> Option<&Record> {
        let end = self.records.partition_point(|record| record.number <= number);
        self.records[..end].last().filter(|record| record.number == number)
    }

    pub(crate) fn block_hash(&self, number: u64) -> Option<B256> {
        self.record(number).map(|record| record.hash)
    }

    pub(super) fn unknown(&self, number: u64) -> StateError {
        let first = self.records.first().map_or(self.head.number, |record| record.number);
        StateError::UnknownBlock { number, first, last: self.head.number }
    }

    pub(super) fn put(&mut self, shared: &Shared, number: u64, hash: B256, staged: Staged) -> Result<(), StateError> {
        let flat = &shared.flat;
        if staged.base != self.head.version {
            return Err(StateError::StaleStage { head: self.head.number });
        }
        let version = Version(self.next_version);
        self.next_version += 1;
        let Staged { changes, update, .. } = staged;
        let root = update.root();
        let written = flat.write(version.0, &changes, &update.after);
        self.leaves.apply(flat, update);
        flat.settle();
        self.records.push(Record { version, number, hash, root, written: Arc::new(written), mark: self.mark });
        self.head = Head { version, number, hash, root };
        self.expire(shared);
        Ok(())
    }

    pub(super) fn stage(&self, flat: &Flat, changes: Arc<Changes>) -> Result<Staged, StateError> {
        let update = self.leaves.stage(flat, &changes, true)?;
        Ok(Staged { base: self.head.version, changes, update })
    }

    pub(super) fn restore(&mut self, shared: &Shared, version: Version, number: u64) -> Result<(), StateError> {
        let keep = self.position(version, number)?;
        self.revert_to(shared, keep)
    }

    /// Place of the newest state of the oldest block in a window, which is read by who asks for that block.
    pub(super) fn outside(&self, window: u64) -> usize {
        let first = self.head.number.saturating_sub(window);
        self.records.partition_point(|record| record.number <= first).max(1) - 1
    }

    /// Forgets states that are older than the window, or that are on disk.
    pub(super) fn expire(&mut self, shared: &Shared) {
        let end = match (self.window, &self.history) {
            (Some(window), _) => self.outside(window),
            // It ends where it began if the chain went back meanwhile.
            (None, Some(history)) => self.outside(self.in_memory).min(history.end() as usize),
            (None, None) => return,
        };
        let pinned = self.pinned.map(|pinned| self.records.partition_point(|record| record.version < pinned));
        let end = end.min(pinned.unwrap_or(end));
        if end <= self.oldest {
            return;
        }
        shared.moved(self.records[end].version);
        for record in &mut self.records[self.oldest..=end] {
            let written: Arc<Written> = core::mem::take(&mut record.written);
            shared.flat.forget(record.version.0, &written);
        }
        self.oldest = end;
    }
}
