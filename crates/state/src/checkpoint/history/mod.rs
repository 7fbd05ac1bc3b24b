//! What accounts and slots were, on disk, for chains that keep all states.
//!
//! ```text
//! state 0 ──history 1──► state at checkpoint 1 ──history 2──► state at checkpoint 2 ── in memory ──► newest
//!         0000000001.past-accounts, .past-slots   0000000002.past-...
//! ```
//! States are counted: genesis, then one for each block and edit that the chain did not go back from. The history of a checkpoint has, for each
//! write behind the state of the checkpoint before, what was there before it. So a value at a state is what it was before the first write
//! after that state, or what it is at the checkpoint's.
//!
//! Invariant: every byte that is given was compared with its page's checksum. A history is never changed. After the chain went back behind a
//! checkpoint, the next history begins where it went back to: an earlier one still tells what was before that, and is not asked for anything
//! behind it.
//! What it does not do: nothing of it is held in memory, and histories are not merged: a read asks one after another.

mod entry;
mod write;

use core::fmt::{Debug, Formatter};
use std::sync::Arc;

use alloy_primitives::map::{AddressMap, U256Map};
use alloy_primitives::{Address, B256, U256, keccak256};
use interlace_trie::TrieAccount;

use self::entry::{PastAccount, PastSlot};
use super::page::{Kind, PAGE, Table};
use super::sorted::{InPages, Sorted, Sought};
use crate::error::StorageError;
use crate::keys::slot_key;
use crate::vfs::Vfs;

pub(super) use write::write;

/// What was written between two checkpoints, as it was before.
struct Epoch {
    number: u64,
    from: u64,
    to: u64,
    accounts: Sorted<PastAccount, InPages>,
    slots: Sorted<PastSlot, InPages>,
}

/// The history of a chain up to its newest checkpoint; clones share it.
#[derive(Clone, Default)]
pub struct History {
    /// Oldest first, each with the state up to which it is asked.
    epochs: Arc<Vec<(u64, Arc<Epoch>)>>,
}

impl Debug for History {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        let ranges = self.epochs.iter().map(|(until, epoch)| (epoch.number, epoch.from, *until));
        f.debug_list().entries(ranges).finish()
    }
}

impl Epoch {
    fn open(vfs: &dyn Vfs, number: u64, identity: B256) -> Result<Self, StorageError> {
        let open = |kind| Table::open(vfs, kind, number, identity);
        let [accounts, slots] = [open(Kind::PastAccounts)?, open(Kind::PastSlots)?];
        let (from, to) = accounts.range();
        if slots.range() != (from, to) || from > to {
            let (first, last) = slots.range();
            return Err(slots.damaged(0, format!("it goes from {first} to {last}, its accounts from {from} to {to}")));
        }
        Ok(Self { number, from, to, accounts: Sorted::on(&accounts)?, slots: Sorted::on(&slots)? })
    }

    /// The turn at a state.
    fn turn(&self, state: u64) -> u32 {
        u32::try_from(state.saturating_sub(self.from)).unwrap_or(u32::MAX)
    }

    /// The first record of an account behind a turn.
    fn account(&self, key: B256, address: &Address, after: u32) -> Result<Option<PastAccount>, StorageError> {
        let sought = Sought { key, turn: after.saturating_add(1) };
        self.accounts.find(&self.accounts.all(), &sought, |bytes| PastAccount::is_behind(bytes, address, after))
    }

    /// What a slot was before the first write behind a turn, if there is one.
    fn slot(&self, key: B256, address: &Address, slot: &U256, after: u32) -> Result<Option<U256>, StorageError> {
        let Some(span) = self.account(key, address, 0)?.and_then(|first| first.slots) else { return Ok(None) };
        let sought = Sought { key: slot_key(slot), turn: after.saturating_add(1) };
        let found = self.slots.find(&span, &sought, |bytes| PastSlot::is_behind(bytes, slot, after))?;
        Ok(found.map(|found| found.slot.value))
    }

    fn bytes(&self) -> u64 {
        (self.accounts.table.pages() + self.slots.table.pages()) * PAGE as u64
    }
}

impl History {
    /// Opens the histories of checkpoints `first` to `last`.
    pub(super) fn open(vfs: &dyn Vfs, first: u64, last: u64, identity: B256) -> Result<Self, StorageError> {
        let mut history = Self::default();
        for number in first..=last {
            history.add(Epoch::open(vfs, number, identity)?);
        }
        Ok(history)
    }

    fn add(&mut self, epoch: Epoch) {
        self.cut(epoch.from);
        Arc::make_mut(&mut self.epochs).push((epoch.to, Arc::new(epoch)));
    }

    /// This history and that of checkpoint `number`.
    pub(super) fn with(&self, vfs: &dyn Vfs, number: u64, identity: B256) -> Result<Self, StorageError> {
        let mut history = self.clone();
        history.add(Epoch::open(vfs, number, identity)?);
        Ok(history)
    }

    /// Number of the first checkpoint whose history this is; none without any.
    pub(super) fn first(&self) -> Option<u64> {
        self.epochs.first().map(|(_, epoch)| epoch.number)
    }

    /// The state behind it.
    pub(crate) fn end(&self) -> u64 {
        self.epochs.last().map_or(0, |(until, _)| *until)
    }

    /// Whether it has all that was written since a state.
    pub(crate) fn begins(&self, state: u64) -> bool {
        self.epochs.first().is_some_and(|(_, epoch)| epoch.from <= state)
    }

    /// The chain went back to a state.
    pub(crate) fn cut(&mut self, state: u64) {
        Arc::make_mut(&mut self.epochs).iter_mut().for_each(|(until, _)| *until = state.min(*until));
    }

    /// How many checkpoints it is of, and its bytes on disk.
    #[must_use]
    pub fn size(&self) -> (usize, u64) {
        (self.epochs.len(), self.epochs.iter().map(|(_, epoch)| epoch.bytes()).sum())
    }

    /// Those that know what was written behind a state, oldest first.
    fn behind(&self, state: u64) -> impl DoubleEndedIterator<Item = &Epoch> {
        self.epochs.iter().filter(move |(until, _)| state < *until).map(|(_, epoch)| epoch.as_ref())
    }

    /// Name of the first file that knows what was written behind a state.
    pub(crate) fn file_behind(&self, state: u64) -> String {
        self.behind(state).next().map_or_else(String::new, |epoch| Kind::PastAccounts.name(epoch.number))
    }

    /// The account at `address` at a state; `None` if it was not written since.
    pub(crate) fn account(&self, state: u64, address: &Address) -> Result<Option<Option<TrieAccount>>, StorageError> {
        let key = keccak256(address);
        for epoch in self.behind(state) {
            if let Some(found) = epoch.account(key, address, epoch.turn(state))? {
                return Ok(Some(found.account));
            }
        }
        Ok(None)
    }

    /// The value of a slot at a state; `None` if it was not written since.
    pub(crate) fn slot(&self, state: u64, address: &Address, slot: &U256) -> Result<Option<U256>, StorageError> {
        let key = keccak256(address);
        for epoch in self.behind(state) {
            if let Some(found) = epoch.slot(key, address, slot, epoch.turn(state))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// All accounts that were written since a state, as they were at it, and whether slots of them were written as well, maybe before it. Visits
    /// all that was written.
    pub(crate) fn accounts(&self, state: u64) -> Result<AddressMap<(Option<TrieAccount>, bool)>, StorageError> {
        let mut all: AddressMap<(Option<TrieAccount>, bool)> = AddressMap::default();
        // What is older says more, so it comes last.
        for epoch in self.behind(state).rev() {
            // The account whose records are visited, whether it has slots, and whether it was taken.
            let (after, mut current, mut with_slots, mut taken) = (epoch.turn(state), None, false, false);
            epoch.accounts.below(&epoch.accounts.all(), &B256::ZERO, 0, |_, record| {
                let PastAccount { turn, address, account, slots } = record;
                if current.replace(address) != Some(address) {
                    (with_slots, taken) = (slots.is_some(), false);
                }
                if turn > after && !taken {
                    taken = true;
                    let known = all.get(&address).is_some_and(|(_, slots)| *slots);
                    all.insert(address, (account, with_slots || known));
                }
                Ok(None::<()>)
            })?;
        }
        Ok(all)
    }

    /// The slots of an account that were written since a state, as they were at it.
    pub(crate) fn slots(&self, state: u64, address: &Address) -> Result<U256Map<U256>, StorageError> {
        let mut all = U256Map::default();
        let key = keccak256(address);
        for epoch in self.behind(state).rev() {
            let Some(span) = epoch.account(key, address, 0)?.and_then(|first| first.slots) else { continue };
            let (after, mut last) = (epoch.turn(state), None);
            epoch.slots.below(&span, &B256::ZERO, 0, |_, PastSlot { turn, slot }| {
                if turn > after && last.replace(slot.key) != Some(slot.key) {
                    all.insert(slot.key, slot.value);
                }
                Ok(None::<()>)
            })?;
        }
        Ok(all)
    }
}
