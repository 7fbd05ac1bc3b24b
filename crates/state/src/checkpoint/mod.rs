//! The state of a chain on disk as of one block, so that a start need not read the whole log.
//!
//! ```text
//! state at the oldest block that can be read ──► 0000000007.accounts, .slots, .codes ──► sync, names ──► MANIFEST ──► older files removed
//! ```
//! Why Rust: twenty million accounts are to be there again within a minute.
//!
//! Invariant: a checkpoint counts once the manifest names it, and it does only when all of it is durable. Until then, and if it is given up,
//! the one before counts. It is of the oldest state that can be read, so that the log behind it gives every state that could be read again,
//! and whatever the chain goes back to. Loading compares every checksum and every root.
//! Of a chain that keeps all states it is of the oldest that memory is to keep, and [`history`] has the older ones.
//! What it does not do: blocks and receipts are not in it.

mod entry;
mod history;
mod load;
mod manifest;
mod page;
mod sorted;
mod tables;
#[cfg(test)]
mod tests;
mod write;

use core::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::B256;

use crate::error::StorageError;
use crate::memory::{MemoryState, Pin};
use crate::vfs::Vfs;

pub(crate) use entry::{AccountEntry, SlotEntry, SlotRange};
pub use history::History;
pub use manifest::{MANIFEST, Manifest};
pub use page::CHECKPOINT_FORMAT;
pub(crate) use tables::Tables;

/// Told how many accounts of how many are done; answers whether to go on.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) -> bool + Sync);

fn given_up() -> StorageError {
    StorageError::Stopped("the checkpoint was given up".into())
}

/// What a checkpoint took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointStats {
    /// Accounts in it.
    pub accounts: u64,
    /// Slots in it.
    pub slots: u64,
    /// Bytes of its tables.
    pub bytes: u64,
    /// Bytes of the history that was written with it.
    pub history: u64,
    /// How long it took.
    pub time: Duration,
}

/// The checkpoints of a folder, of which one counts.
#[derive(Debug)]
pub struct Checkpoints {
    vfs: Arc<dyn Vfs>,
    identity: B256,
    newest: Option<Manifest>,
    torn: usize,
    /// Whether it is not known which manifest the disk has, after a failure.
    in_doubt: bool,
}

impl Checkpoints {
    /// Looks for the checkpoint in a folder, and removes what was left of others. `identity` names what the state is of.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] for another one's, [`StorageError::Format`], [`StorageError::Io`].
    pub fn open(vfs: Arc<dyn Vfs>, identity: B256) -> Result<Self, StorageError> {
        let manifest::Found { newest, torn } = Manifest::find(vfs.as_ref())?;
        if let Some(other) = newest.filter(|newest| newest.identity != identity) {
            let detail = format!("it is of {}, not of {identity}", other.identity);
            return Err(StorageError::damaged(MANIFEST, 0, detail));
        }
        let checkpoints = Self { vfs, identity, newest, torn, in_doubt: false };
        let others = checkpoints.others()?;
        if !others.is_empty() {
            // After a failed sync the system may show a manifest that the disk does not have. What nothing else needs is removed only when
            // the disk has this one.
            newest.iter().try_for_each(|newest| newest.write(checkpoints.vfs.as_ref()))?;
            checkpoints.remove(&others)?;
        }
        Ok(checkpoints)
    }

    /// What the checkpoint that counts is of; `None` if there is none.
    #[must_use]
    pub const fn newest(&self) -> Option<&Manifest> {
        self.newest.as_ref()
    }

    /// How many of the manifest's two places hold neither nothing nor a manifest: one after a crash, more only after damage.
    #[must_use]
    pub const fn torn(&self) -> usize {
        self.torn
    }

    /// Tables that the manifest does not name.
    fn others(&self) -> Result<Vec<String>, StorageError> {
        let names = self.vfs.list().map_err(|error| StorageError::io("list", "the folder", &error))?;
        let counts = |kind, number| {
            let Some(newest) = self.newest else { return false };
            let is_past = page::Kind::PAST.contains(&kind);
            if is_past { newest.past().contains(&number) } else { number == newest.number }
        };
        let is_other = |name: &String| page::Kind::of(name).is_some_and(|(kind, number)| !counts(kind, number));
        Ok(names.into_iter().filter(is_other).collect())
    }

    /// Tables of kind and checkpoint that count.
    fn tables(&self, kinds: &[page::Kind], numbers: RangeInclusive<u64>) -> Result<Vec<page::Table>, StorageError> {
        let Some(Manifest { identity, .. }) = self.newest else { return Ok(Vec::new()) };
        let open = |number| {
            let open = move |kind: &page::Kind| page::Table::open(self.vfs.as_ref(), *kind, number, identity);
            kinds.iter().map(open)
        };
        numbers.flat_map(open).collect()
    }

    fn remove(&self, names: &[String]) -> Result<(), StorageError> {
        let remove = |name: &String| self.vfs.remove(name).map_err(|error| StorageError::io("remove", name, &error));
        names.iter().try_for_each(remove)
    }

    /// Bytes of the tables of the checkpoint that counts, and of the history; none if there is no checkpoint.
    ///
    /// # Errors
    /// As [`Self::load`], as far as the tables' heads are concerned.
    pub fn bytes(&self) -> Result<(u64, u64), StorageError> {
        let Some(newest) = self.newest else { return Ok((0, 0)) };
        let bytes = |tables: Vec<page::Table>| tables.iter().map(page::Table::pages).sum::<u64>() * page::PAGE as u64;
        let state = self.tables(&page::Kind::STATE, newest.number..=newest.number)?;
        Ok((bytes(state), bytes(self.tables(&page::Kind::PAST, newest.past())?)))
    }

    /// Compares every checksum of the checkpoint that counts and of the history.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn verify(&self, progress: Progress<'_>) -> Result<(), StorageError> {
        const AT_ONCE: u64 = 1_024;
        let Some(newest) = self.newest else { return Ok(()) };
        let mut tables = self.tables(&page::Kind::STATE, newest.number..=newest.number)?;
        tables.extend(self.tables(&page::Kind::PAST, newest.past())?);
        let all = tables.iter().map(page::Table::pages).sum();
        let mut done = 0;
        for table in &tables {
            for first in (1..table.pages()).step_by(AT_ONCE as usize) {
                table.read(first, AT_ONCE)?;
                if !progress(done + first, all) {
                    return Err(given_up());
                }
            }
            done += table.pages();
        }
        Ok(())
    }

    /// The history up to the checkpoint that counts, for [`MemoryState::archive`]; empty if there is none. Only heads are looked at.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn history(&self) -> Result<History, StorageError> {
        let Some(newest) = self.newest else { return Ok(History::default()) };
        let numbers = newest.past();
        let history = History::open(self.vfs.as_ref(), *numbers.start(), *numbers.end(), newest.identity)?;
        let (end, position) = (history.end(), newest.position);
        if newest.history > 0 && end != position {
            let detail = format!("it is of state {position}, its history ends at state {end}");
            return Err(StorageError::damaged(MANIFEST, 0, detail));
        }
        Ok(history)
    }

    /// The state of the checkpoint that counts, which must be there.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] with file and place, [`StorageError::Io`]; [`StorageError::Stopped`] if `progress` says so.
    pub fn load(&self, progress: Progress<'_>) -> Result<MemoryState, StorageError> {
        self.state(None, progress)
    }

    /// The same, with its accounts and slots left in the tables, which are mapped into memory. In memory are the tries, what is written from
    /// then on, and `bytes` of what was only read.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn map(&self, bytes: usize, progress: Progress<'_>) -> Result<MemoryState, StorageError> {
        self.state(Some(bytes), progress)
    }

    fn state(&self, cold: Option<usize>, progress: Progress<'_>) -> Result<MemoryState, StorageError> {
        let Some(manifest) = self.newest else {
            return Err(StorageError::damaged(MANIFEST, 0, "there is no checkpoint"));
        };
        // Records of the log made the versions before; there were at most as many.
        let version = manifest.mark + 1;
        let (flat, leaves) = load::load(self.vfs.as_ref(), &manifest, version, cold, progress)?;
        Ok(MemoryState::loaded(flat, leaves, &manifest, version))
    }

    /// Writes the oldest state that can be read, or, if all are kept, the oldest that memory is to keep and the history until then, and makes it
    /// the checkpoint that counts; `None` if all states are in memory, if that one is of no record of the log, or if it counts already.
    /// Whoever calls has all records that led to it flushed first, which `flush` does.
    ///
    /// # Errors
    /// [`StorageError::Io`]; [`StorageError::Stopped`] if `progress` says so, or if the chain went back behind the state that is written.
    /// What counted before counts then.
    pub fn write<E: From<StorageError>>(
        &mut self,
        state: &MemoryState,
        flush: impl FnOnce(u64) -> Result<(), E>,
        progress: Progress<'_>,
    ) -> Result<Option<CheckpointStats>, E> {
        let started = Instant::now();
        if self.in_doubt {
            return Err(StorageError::Stopped("an earlier failure left the manifest in doubt".into()).into());
        }
        let Some(pin) = state.pin() else { return Ok(None) };
        let before = self.newest.map_or((0, 0), |newest| (newest.number, newest.mark));
        if pin.mark <= before.1 {
            return Ok(None);
        }
        let Pin { mark, block, edits, window, hash, root, position, .. } = pin;
        let (number, identity) = (before.0 + 1, self.identity);
        let history = pin.past.as_ref().map_or(0, |(history, _)| history.first().unwrap_or(number));
        let manifest = Manifest { number, mark, block, edits, window, hash, root, identity, position, history };
        let prepared = self.prepare(state, &pin, &manifest, flush, progress);
        if prepared.is_ok() {
            // Until this is known to have succeeded, both checkpoints stay.
            self.in_doubt = true;
            manifest.write(self.vfs.as_ref())?;
            self.in_doubt = false;
            self.newest = Some(manifest);
        }
        if let Err(error) = self.others().and_then(|others| self.remove(&others)) {
            // The next start removes them.
            tracing::warn!(%error, "files of another checkpoint stay");
        }
        let (write::Written { accounts, slots, bytes }, past) = prepared?;
        let bytes_of_history = past.as_ref().map_or(0, |(_, bytes)| *bytes);
        if let Some((history, _)) = past {
            pin.archived(history);
        }
        Ok(Some(CheckpointStats { accounts, slots, bytes, history: bytes_of_history, time: started.elapsed() }))
    }

    /// Writes all but the manifest, durably, and opens the history that was written.
    fn prepare<E: From<StorageError>>(
        &self,
        state: &MemoryState,
        pin: &Pin,
        manifest: &Manifest,
        flush: impl FnOnce(u64) -> Result<(), E>,
        progress: Progress<'_>,
    ) -> Result<(write::Written, Option<(History, u64)>), E> {
        let (vfs, flat) = (self.vfs.as_ref(), state.flat());
        let Manifest { number, identity, .. } = *manifest;
        let history = pin.past.as_ref().map(|(_, undone)| {
            let from = pin.position - undone.len() as u64;
            history::write(flat, undone, from, vfs, number, identity, progress)
        });
        let bytes = history.transpose()?;
        let written = write::write(flat, pin.version, pin.past.is_some(), vfs, number, identity, progress)?;
        vfs.sync_folder().map_err(|error| StorageError::io("sync", "the folder", &error))?;
        let opened = pin.past.as_ref().map(|(history, _)| history.with(vfs, number, identity)).transpose()?;
        // Without the log behind it, a checkpoint would be of a chain that is not there.
        flush(manifest.mark)?;
        if !pin.holds() {
            return Err(StorageError::Stopped("the chain went back behind the state that was written".into()).into());
        }
        Ok((written, opened.zip(bytes)))
    }
}
