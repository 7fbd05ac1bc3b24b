//! The way back to an earlier state.
//!
//! ```text
//! target in memory     what was written since, by version ─► undone                                    root: only what goes back is hashed
//! target on disk       the same to the oldest state in memory, then what history says was written ─► put back in place
//! ```
//! Invariant: what can fail is done before anything changes, when the way is staged.
//! What it does not do: it takes no lock; who calls holds that of the writer.

use std::collections::BTreeSet;

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, U256};
use interlace_stf::{Account, AccountChange, Changes};
use interlace_trie::TrieAccount;

use super::versions::{Head, Inner, Record, Shared};
use super::{MemoryState, Version};
use crate::error::{StateError, StorageError};
use crate::leaves::Update;
use crate::snapshot::Snapshot;
use crate::sync::atomic::Ordering;
use crate::view::{Past, View};

/// What was written of an account.
#[derive(Debug, Default)]
struct Touched {
    /// Which storage it has now, if memory knows of a write.
    storage: Option<Option<u32>>,
    slots: BTreeSet<U256>,
    /// What it was, if history said so already.
    was: Option<Option<TrieAccount>>,
}

/// A way back, staged.
#[derive(Debug)]
pub struct Back {
    to: Version,
    number: u64,
    /// The state that it was staged on, and how often memory had forgotten something.
    from: Version,
    moves: u64,
    /// Whether the target is on disk.
    is_past: bool,
    /// The target's root.
    root: B256,
    changes: Changes,
    update: Update,
}

impl Inner {
    /// Stages the way back to the state at `keep`; none if that is the newest.
    fn stage_back(&self, shared: &Shared, keep: usize) -> Result<Option<Back>, StateError> {
        let Record { version: to, number, root, .. } = self.records[keep];
        // The state to which memory can undo.
        let floor = keep.max(self.oldest);
        let past = self.past(keep);
        let base = self.records[floor].version;
        let Some(last) = self.records[keep + 1..].last().map(|record| record.version) else { return Ok(None) };
        let view = View { flat: &shared.flat, version: base.0, past: past.as_ref() };
        let touched = self.touched(shared, floor, last.0, past.as_ref())?;
        let accounts = touched
            .into_iter()
            .map(|(address, touched)| Ok((address, touched.change(&view, base.0, address)?)))
            .collect::<Result<_, StorageError>>()?;
        let changes = Changes { accounts, ..Changes::default() };
        // Cold leaves are looked for in the state that the tries are of.
        let update = self.leaves.stage(&shared.flat, &changes, true)?;
        // Of a state that was edited by hand nobody wrote down the root.
        let made = if past.is_some() { update.root() } else { root };
        if let Some(past) = past.as_ref().filter(|_| root != B256::ZERO && root != made) {
            return Err(past
                .damaged(format!("the state root after block {number} is {made} there, not {root}"))
                .into());
        }
        let moves = shared.moves.load(Ordering::Relaxed);
        Ok(Some(Back { to, number, from: last, moves, is_past: past.is_some(), root: made, changes, update }))
    }

    /// Drops all records after the one at `keep`.
    pub(super) fn revert_to(&mut self, shared: &Shared, keep: usize) -> Result<(), StateError> {
        if let Some(back) = self.stage_back(shared, keep)? {
            self.apply_back(shared, keep, back);
        }
        Ok(())
    }

    fn apply_back(&mut self, shared: &Shared, keep: usize, back: Back) {
        let Back { to, from, is_past, root, changes, update, .. } = back;
        let floor = keep.max(self.oldest);
        let base = self.records[floor].version;
        shared.reverted.fetch_max(from.0 + 1, Ordering::AcqRel);
        let undone: Vec<Record> = self.records.drain(floor + 1..).rev().collect();
        undone.iter().for_each(|record| shared.flat.revert(record.version.0, base.0, &record.written));
        if is_past {
            shared.moved(base);
            self.records.truncate(keep + 1);
            self.records[keep].root = root;
            self.oldest = keep;
            // In place of what is there: nobody reads an older version in memory.
            let written = shared.flat.write(to.0, &changes, &update.after);
            shared.flat.forget(to.0, &written);
        }
        if let Some(history) = &mut self.history {
            history.cut(keep as u64);
        }
        let Record { version, number, hash, root, .. } = self.records[keep];
        self.head = Head { version, number, hash, root };
        self.leaves.apply(&shared.flat, update);
        shared.flat.settle();
    }

    /// What was written since the state at `floor`, the newest of which is version `last`, and, if that lies behind it, since one of the past.
    fn touched(
        &self,
        shared: &Shared,
        floor: usize,
        last: u64,
        past: Option<&Past>,
    ) -> Result<AddressMap<Touched>, StorageError> {
        let flat = &shared.flat;
        let mut touched = AddressMap::<Touched>::default();
        for account in self.records[floor + 1..].iter().flat_map(|record| &record.written.accounts) {
            // Which storage each account has before anything is undone.
            let storage = || Touched { storage: Some(flat.storage_of(account.address, last)), ..Touched::default() };
            touched.entry(account.address).or_insert_with(storage).slots.extend(flat.keys(account));
        }
        let Some(Past { history, state }) = past else { return Ok(touched) };
        for (address, (was, with_slots)) in history.accounts(*state)? {
            let touched = touched.entry(address).or_default();
            touched.was = Some(was);
            if with_slots {
                touched.slots.extend(history.slots(*state, &address)?.into_keys());
            }
        }
        Ok(touched)
    }
}

impl Touched {
    /// What makes an account what it was in a view, of which memory has version `base`.
    fn change(self, view: &View<'_>, base: u64, address: Address) -> Result<AccountChange, StorageError> {
        let Self { storage, slots, was } = self;
        let Some(account) = was.map_or_else(|| view.trie_account(address), Ok)? else {
            // Of an account that is gone no slot is left.
            return Ok(AccountChange { info: None, wiped: true, ..AccountChange::default() });
        };
        let wiped = storage.is_some_and(|storage| view.flat.storage_of(address, base) != storage);
        let value = |slot| Ok((slot, view.slot(address, slot)?));
        let storage = if wiped {
            view.slots(address)?.into_iter().collect()
        } else {
            slots.into_iter().map(value).collect::<Result<_, StorageError>>()?
        };
        let TrieAccount { nonce, balance, code_hash, .. } = account;
        Ok(AccountChange { info: Some(Account { nonce, balance, code_hash }), wiped, storage })
    }
}

impl MemoryState {
    /// Stages the way back to a version, without changing anything: all that can fail. None if it is the newest.
    ///
    /// # Errors
    /// [`StateError::Reverted`] if the version itself was reverted, [`StateError::Expired`] if it is older than what is kept,
    /// [`StateError::Storage`].
    pub fn stage_back(&self, snapshot: &Snapshot) -> Result<Option<Back>, StateError> {
        let inner = self.shared.read();
        let keep = inner.position(snapshot.version, snapshot.number)?;
        inner.stage_back(&self.shared, keep)
    }

    /// Goes back. What memory has forgotten since the way was staged is staged once more.
    ///
    /// # Errors
    /// [`StateError::StaleStage`] if something was committed or reverted since; as [`Self::stage_back`].
    pub fn go_back(&self, back: Back) -> Result<(), StateError> {
        let mut inner = self.shared.write();
        if back.from != inner.head.version {
            return Err(StateError::StaleStage { head: inner.head.number });
        }
        let keep = inner.position(back.to, back.number)?;
        if back.moves == self.shared.moves.load(Ordering::Relaxed) {
            inner.apply_back(&self.shared, keep, back);
            return Ok(());
        }
        inner.revert_to(&self.shared, keep)
    }
}
