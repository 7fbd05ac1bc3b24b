//! A flat state over tables: what was never written here is read there, and kept here for a while.
//!
//! ```text
//! read ─► entry, clean or written: as ever ─► none: tables ─► clean entry; the first one that was made is given up if there is no room
//! ```
//! Invariant: an entry that was read and never written is clean: it is as in the tables, and the trie has its leaf cold. What a change is
//! about has an entry before it is written, if the tables have it (`warm`), so what is undone is undone to a value. What is about to
//! be written is not given up until something was written.
//! Bounds: clean slots, and clean accounts without code and storage, as many as the room has; other clean accounts stay.
//! What it does not do: what was written is never given up.

use alloy_primitives::map::{AddressMap, U256Map};
use alloy_primitives::{Address, B256, U256};
use interlace_stf::{Account, AccountChange, Changes};
use interlace_trie::TrieAccount;
use rayon::prelude::*;

use super::accounts::{Found, Storage};
use super::slots::NONE;
use super::{Flat, MIN_PARALLEL, PARTS, handle, part};
use crate::checkpoint::{AccountEntry, SlotRange, Tables};
use crate::error::StorageError;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The version after all others.
const NOW: u64 = u64::MAX;
/// Bytes of a clean entry, with what finds it.
const ENTRY_BYTES: usize = 96;

/// How many clean entries a part holds at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) accounts: usize,
    pub(super) slots: usize,
}

/// What a state over tables did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierStats {
    /// Accounts and slots that were read.
    pub reads: u64,
    /// Those of them that had to be looked for in the tables.
    pub cold_reads: u64,
    /// Clean entries that were given up for others.
    pub evictions: u64,
    /// Bytes of the tables on disk.
    pub disk_bytes: u64,
}

/// A counter on a line of the cache of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Counter(AtomicU64);

/// What lies below.
#[derive(Debug)]
pub(super) struct Cold {
    pub(super) tables: Tables,
    room: Room,
    /// By part, so that readers seldom meet.
    reads: Box<[Counter]>,
    below: Counter,
    evictions: Counter,
}

impl Cold {
    /// With room for clean entries of so many bytes.
    pub(super) fn new(tables: Tables, bytes: usize) -> Self {
        let each = bytes / 2 / ENTRY_BYTES / PARTS;
        let reads = (0..PARTS).map(|_| Counter::default()).collect();
        let (below, evictions) = (Counter::default(), Counter::default());
        Self { tables, room: Room { accounts: each, slots: each }, reads, below, evictions }
    }

    fn count_below(&self) {
        self.below.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count_eviction(&self, evicted: bool) {
        self.evictions.0.fetch_add(u64::from(evicted), Ordering::Relaxed);
    }
}

/// What there is of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// An entry that was written, with its handle.
    Written(u32),
    /// It lies in the tables, and was never written; it may have a clean entry.
    Clean,
    None,
}

impl Flat {
    pub(crate) fn tables(&self) -> Option<&Tables> {
        self.cold.as_ref().map(|cold| &cold.tables)
    }

    /// What was read, and from where; `None` without tables.
    pub(crate) fn tier_stats(&self) -> Option<TierStats> {
        let Cold { tables, reads, below, evictions, .. } = self.cold.as_ref()?;
        let count = |counter: &Counter| counter.0.load(Ordering::Relaxed);
        let (reads, disk_bytes) = (reads.iter().map(count).sum(), tables.disk_bytes());
        Some(TierStats { reads, cold_reads: count(below), evictions: count(evictions), disk_bytes })
    }

    fn count_read(&self, address: Address) {
        if let Some(cold) = &self.cold {
            cold.reads[part(self.key(address).hash)].0.fetch_add(1, Ordering::Relaxed);
        }
    }

    // ---- reading, wherever it is

    /// The account at `address` with its storage root.
    pub(crate) fn trie_account(&self, address: Address, version: u64) -> Result<Option<TrieAccount>, StorageError> {
        let key = self.key(address);
        match (self.accounts_of(key).trie_account(key, version), &self.cold) {
            (Found::Present(account), _) => Ok(Some(account)),
            (Found::Unwritten, Some(cold)) => Ok(self.account_below(cold, address)?.map(|entry| entry.account)),
            (Found::Absent | Found::Unwritten, _) => Ok(None),
        }
    }

    /// Reads an account in the tables and keeps it.
    fn account_below(&self, cold: &Cold, address: Address) -> Result<Option<AccountEntry>, StorageError> {
        cold.count_below();
        let entry = cold.tables.account(&address)?;
        if let Some(entry) = &entry {
            let key = self.key(address);
            let hash = |address| self.key(address).hash;
            cold.count_eviction(self.accounts_of(key).write().warm(key, &entry.account, &cold.room, hash));
        }
        Ok(entry)
    }

    /// The account at `address`.
    pub(crate) fn account(&self, address: Address, version: u64) -> Result<Option<Account>, StorageError> {
        self.count_read(address);
        match (self.written_account(address, version), &self.cold) {
            (None, Some(_)) => Ok(self.trie_account(address, version)?.map(|account| Account {
                nonce: account.nonce,
                balance: account.balance,
                code_hash: account.code_hash,
            })),
            (written, _) => Ok(written.flatten()),
        }
    }

    /// The value of a slot.
    pub(crate) fn slot(&self, address: Address, slot: U256, version: u64) -> Result<U256, StorageError> {
        self.count_read(address);
        let cold = match (self.written_slot(address, slot, version), &self.cold) {
            (None, Some(cold)) => cold,
            (written, _) => return Ok(written.unwrap_or_default()),
        };
        let Some(entry) = self.account_below(cold, address)?.filter(|entry| entry.slots.count > 0) else {
            return Ok(U256::ZERO);
        };
        let value = cold.tables.slot(entry.slots, &slot)?;
        if !value.is_zero() {
            let key = self.key(address);
            let storage = self.accounts_of(key).storage(key, NOW).present();
            if let Some(Storage { number, cut_off: false }) = storage.filter(|storage| storage.number != NONE) {
                self.warm_slot(cold, number, &slot, &value, false);
            }
        }
        Ok(value)
    }

    fn warm_slot(&self, cold: &Cold, storage: u32, slot: &U256, value: &U256, keep: bool) {
        let hash = self.slot_hash(storage, slot);
        let mut slots = self.slots[part(hash)].write();
        let rehash = |storage, slot: &U256| self.slot_hash(storage, slot);
        cold.count_eviction(slots.warm(hash, storage, (slot, value), &cold.room, rehash));
        if keep {
            slots.keep(hash, storage, slot);
        }
    }

    /// The accounts that exist at `version`, in no particular order.
    pub(crate) fn accounts(&self, version: u64) -> Result<Vec<(Address, TrieAccount)>, StorageError> {
        let held = self.held_accounts(version);
        let Some(tables) = self.tables() else { return Ok(held) };
        // Clean entries come and go meanwhile, so whatever the tables have is asked for again.
        let mut all: AddressMap<TrieAccount> = held.into_iter().collect();
        tables.accounts_from(&B256::ZERO, 0, |_, entry| {
            match self.account_at_version(entry.address, version) {
                Found::Present((account, _)) => drop(all.insert(entry.address, account)),
                Found::Unwritten => drop(all.insert(entry.address, entry.account)),
                Found::Absent => {}
            }
            Ok(None::<()>)
        })?;
        Ok(all.into_iter().collect())
    }

    /// The slots of `address` that are not zero at `version`, in no particular order.
    pub(crate) fn slots(&self, address: Address, version: u64) -> Result<Vec<(U256, U256)>, StorageError> {
        let storage = match self.account_at_version(address, version) {
            Found::Present((_, storage)) => storage,
            Found::Absent => return Ok(Vec::new()),
            Found::Unwritten => Storage::BELOW,
        };
        let held = self.held_slots(storage.number, version);
        let Some(tables) = self.tables().filter(|_| !storage.cut_off) else { return Ok(held) };
        let mut all: U256Map<U256> = held.into_iter().collect();
        let range = tables.account(&address)?.map(|entry| entry.slots).unwrap_or_default();
        tables.slots_from(range, &B256::ZERO, 0, |_, entry| {
            let value = self.slot_at_version(storage.number, &entry.key, version).unwrap_or(entry.value);
            if !value.is_zero() {
                all.insert(entry.key, value);
            }
            Ok(None::<()>)
        })?;
        Ok(all.into_iter().collect())
    }

    // ---- entries for what lies in the tables

    /// Gives everything that `changes` are about an entry, if the tables have it; with `keep`, none is given up until something was written.
    pub(crate) fn warm(&self, changes: &Changes, keep: bool) -> Result<(), StorageError> {
        let Some(cold) = &self.cold else { return Ok(()) };
        let warm = |(address, change): (&Address, &AccountChange)| self.warm_change(cold, *address, change, keep);
        if changes.accounts.len() < MIN_PARALLEL {
            return changes.accounts.iter().try_for_each(warm);
        }
        let all: Vec<(&Address, &AccountChange)> = changes.accounts.iter().collect();
        all.into_par_iter().try_for_each(warm)
    }

    fn warm_change(
        &self,
        cold: &Cold,
        address: Address,
        change: &AccountChange,
        keep: bool,
    ) -> Result<(), StorageError> {
        let key = self.key(address);
        let accounts = self.accounts_of(key);
        let is_there = if keep { accounts.write().keep(key) } else { accounts.entry_and_clean(key).is_some() };
        let mut below = None;
        if !is_there {
            let Some(entry) = cold.tables.account(&address)? else { return Ok(()) };
            let mut accounts = accounts.write();
            let hash = |address| self.key(address).hash;
            cold.count_eviction(accounts.warm(key, &entry.account, &cold.room, hash));
            if keep {
                accounts.keep(key);
            }
            below = Some(entry.slots);
        }
        let Some(Storage { number, cut_off: false }) = accounts.storage(key, NOW).present() else { return Ok(()) };
        for slot in change.storage.keys().filter(|_| number != NONE) {
            let hash = self.slot_hash(number, slot);
            let slots = &self.slots[part(hash)];
            let is_there = if keep {
                slots.write().keep(hash, number, slot)
            } else {
                slots.entry_and_clean(hash, number, slot).is_some()
            };
            if is_there {
                continue;
            }
            // Of an account that was made here the tables have no slots.
            let range = match below {
                Some(range) => range,
                None => cold.tables.account(&address)?.map(|entry| entry.slots).unwrap_or_default(),
            };
            below = Some(range);
            let value = if range.count > 0 { cold.tables.slot(range, slot)? } else { U256::ZERO };
            if !value.is_zero() {
                self.warm_slot(cold, number, slot, &value, keep);
            }
        }
        Ok(())
    }

    /// Something was written: what was kept for it may be given up again.
    pub(crate) fn settle(&self) {
        if self.cold.is_some() {
            self.accounts.iter().for_each(|part| part.write().settle());
            self.slots.iter().for_each(|part| part.write().settle());
        }
    }

    /// What there is of an account. What is `kept` has an entry if the tables have it.
    pub(crate) fn account_entry(&self, address: Address, kept: bool) -> Result<Entry, StorageError> {
        let key = self.key(address);
        let Some(cold) = &self.cold else {
            return Ok(self.account_handle(address).map_or(Entry::None, Entry::Written));
        };
        Ok(match self.accounts_of(key).entry_and_clean(key) {
            Some((entry, false)) => Entry::Written(handle(part(key.hash), entry)),
            Some((_, true)) => Entry::Clean,
            None if !kept && cold.tables.account(&address)?.is_some() => Entry::Clean,
            None => Entry::None,
        })
    }

    /// What there is of a slot of a storage. What is `kept` has an entry if the tables have it.
    pub(crate) fn slot_in(
        &self,
        address: Address,
        storage: u32,
        slot: &U256,
        kept: bool,
    ) -> Result<Entry, StorageError> {
        let Some(cold) = &self.cold else {
            return Ok(self.slot_handle(storage, slot).map_or(Entry::None, Entry::Written));
        };
        let hash = self.slot_hash(storage, slot);
        Ok(match self.slots[part(hash)].entry_and_clean(hash, storage, slot) {
            Some((entry, false)) => Entry::Written(handle(part(hash), entry)),
            Some((_, true)) => Entry::Clean,
            None if kept => Entry::None,
            None => {
                let range = self.slots_below(address, NOW)?;
                let is_below = range.count > 0 && !cold.tables.slot(range, slot)?.is_zero();
                if is_below { Entry::Clean } else { Entry::None }
            }
        })
    }

    // ---- leaves by their paths

    /// Hashed key and newest value of an account of the tables that exists, and whose key has the first `nibbles` nibbles of `path`.
    pub(crate) fn cold_account(
        &self,
        path: &B256,
        nibbles: usize,
    ) -> Result<Option<(B256, TrieAccount)>, StorageError> {
        let Some(tables) = self.tables() else { return Ok(None) };
        tables.accounts_from(path, nibbles, |key, entry| {
            Ok(match self.account_at_version(entry.address, NOW) {
                Found::Present((account, _)) => Some((key, account)),
                Found::Unwritten => Some((key, entry.account)),
                Found::Absent => None,
            })
        })
    }

    /// The same of a slot of the account whose hashed address is `owner`.
    pub(crate) fn cold_slot(
        &self,
        owner: &B256,
        path: &B256,
        nibbles: usize,
    ) -> Result<Option<(B256, U256)>, StorageError> {
        let Some(tables) = self.tables() else { return Ok(None) };
        let Some(entry) = tables.account_of_key(owner)? else { return Ok(None) };
        let storage = self.storage_of(entry.address, NOW);
        tables.slots_from(entry.slots, path, nibbles, |key, slot| {
            // By its key: a clean entry may be given up meanwhile, and its handle be another one's.
            let now = storage.and_then(|storage| self.slot_at_version(storage, &slot.key, NOW)).unwrap_or(slot.value);
            Ok(Some((key, now)).filter(|_| !now.is_zero()))
        })
    }

    /// Where the slots of an account are in the tables, unless it lost them.
    fn slots_below(&self, address: Address, version: u64) -> Result<SlotRange, StorageError> {
        let key = self.key(address);
        let cut_off = self.accounts_of(key).storage(key, version).present().is_some_and(|storage| storage.cut_off);
        let Some(tables) = self.tables().filter(|_| !cut_off) else { return Ok(SlotRange::default()) };
        Ok(tables.account(&address)?.map(|entry| entry.slots).unwrap_or_default())
    }
}
