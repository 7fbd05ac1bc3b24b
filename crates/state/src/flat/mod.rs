//! The flat state: every account and slot by its key, at every version since genesis.
//!
//! Why Rust: it is read several times per opcode that touches storage.
//!
//! ```text
//! address ──────hash─► one of 64 parts ─► account, as it is now: no lock        ─► for an older version, under the part's lock: as it was
//! storage, slot ─hash─► one of 64 others ─► slot, likewise
//! ```
//! Invariant: a read at a version answers for that version, whatever is written meanwhile: the newest value and what was there before each
//! write are changed together, under one lock and within one change of the part's sequence. No reader waits for hashing. An entry has a
//! handle of 31 bits, which stays its own: the tries' leaves are such handles.
//! Lock order: accounts before slots.
//! What it does not do: it knows no blocks, and does not know which versions were reverted; who reverts says so first (`memory`).

mod accounts;
mod clean;
mod cold;
mod image;
mod index;
#[cfg(test)]
mod oracle;
mod past;
mod slots;
#[cfg(test)]
mod tests;
mod words;

use core::fmt::{Debug, Formatter};
use core::hash::BuildHasher;
use std::sync::PoisonError;

use alloy_primitives::map::B256Map;
use alloy_primitives::{Address, B256, Bytes, U256};
#[cfg(feature = "shuttle")]
use foldhash::fast::FixedState as Seeded;
#[cfg(not(feature = "shuttle"))]
use foldhash::fast::RandomState as Seeded;
use interlace_stf::{Account, AccountChange, Changes};
use interlace_trie::TrieAccount;
use rayon::prelude::*;

use cold::Cold;
pub(crate) use cold::Entry;
pub use cold::TierStats;
pub(crate) use image::Ordered;

use crate::checkpoint::Tables;
use crate::sync::RwLock;
use accounts::{Accounts, Key, address_words};
pub(crate) use accounts::{Found, Storage};
use slots::{NONE, Slots};

/// Parts; a power of two. More than threads by far, so that readers and a writer seldom meet.
const PARTS: usize = if cfg!(feature = "shuttle") { 2 } else { 64 };
/// Accounts of a version from which on it is written by several threads.
const MIN_PARALLEL: usize = 512;

/// What a version wrote of one account: handles of its entry and of those of its slots.
#[derive(Clone, Debug)]
pub(crate) struct WrittenAccount {
    pub(crate) address: Address,
    entry: u32,
    slots: Box<[u32]>,
}

impl WrittenAccount {
    /// Handle of its entry.
    pub(crate) const fn entry(&self) -> u32 {
        self.entry
    }
}

/// What a version wrote, so that it can be undone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Written {
    pub(crate) accounts: Vec<WrittenAccount>,
}

/// Accounts, slots and code, by version.
pub(crate) struct Flat {
    accounts: Box<[Accounts]>,
    slots: Box<[Slots]>,
    /// Seeded, because whoever chooses addresses could otherwise choose them for one place.
    hasher: Seeded,
    /// Code is addressed by its hash: that of a reverted version is not reachable and does no harm.
    codes: RwLock<B256Map<Bytes>>,
    /// Whether something lies below: another chain's state, or tables.
    partial: bool,
    /// Where accounts and slots are that were never written here.
    cold: Option<Cold>,
}

impl Debug for Flat {
    fn fmt(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        let (bytes, past) = self.sizes();
        f.debug_struct("Flat").field("bytes", &bytes).field("past", &past).finish_non_exhaustive()
    }
}

/// The part that a hash chooses.
const fn part(hash: u64) -> usize {
    hash as usize % PARTS
}

const fn handle(part: usize, entry: usize) -> u32 {
    (entry * PARTS + part) as u32
}

/// Part and entry of a handle; of a storage's number too.
const fn locate(handle: u32) -> (usize, usize) {
    (handle as usize % PARTS, handle as usize / PARTS)
}

impl Flat {
    pub(crate) fn new(partial: bool) -> Self {
        Self {
            accounts: (0..PARTS).map(|_| Accounts::default()).collect(),
            slots: (0..PARTS).map(|_| Slots::default()).collect(),
            hasher: Seeded::default(),
            codes: RwLock::default(),
            partial,
            cold: None,
        }
    }

    /// A state whose accounts and slots lie in tables, with room for so many bytes of what is only read.
    pub(crate) fn over(tables: Tables, bytes: usize) -> Self {
        Self { cold: Some(Cold::new(tables, bytes)), ..Self::new(true) }
    }

    #[inline(always)]
    fn key(&self, address: Address) -> Key {
        let [one, two, rest] = address_words(address);
        Key { address, hash: self.hasher.hash_one((one, two, rest)) }
    }

    #[inline]
    fn slot_hash(&self, storage: u32, slot: &U256) -> u64 {
        self.hasher.hash_one((storage, slot.as_limbs()))
    }

    #[inline]
    const fn accounts_of(&self, key: Key) -> &Accounts {
        &self.accounts[part(key.hash)]
    }

    // ---- reading

    /// The account at `address` as it was written last; `None` if it never was.
    #[inline(always)]
    pub(crate) fn written_account(&self, address: Address, version: u64) -> Option<Option<Account>> {
        let key = self.key(address);
        self.accounts_of(key).account(key, version).written()
    }

    /// The value of a slot as it was written last, by a wipe too; `None` if it never was.
    #[inline]
    pub(crate) fn written_slot(&self, address: Address, slot: U256, version: u64) -> Option<U256> {
        let key = self.key(address);
        let storage = self.accounts_of(key).storage(key, version);
        match storage {
            Found::Unwritten => None,
            Found::Absent => Some(U256::ZERO),
            Found::Present(Storage { number, cut_off }) => {
                let written = if number == NONE { None } else { self.slot_of(number, &slot, version) };
                written.or_else(|| cut_off.then_some(U256::ZERO))
            }
        }
    }

    #[inline]
    fn slot_of(&self, storage: u32, slot: &U256, version: u64) -> Option<U256> {
        let hash = self.slot_hash(storage, slot);
        self.slots[part(hash)].value(hash, storage, slot, version)
    }

    /// The accounts that exist at `version` and were written or read, in no particular order.
    fn held_accounts(&self, version: u64) -> Vec<(Address, TrieAccount)> {
        self.accounts.iter().flat_map(|part| part.all(version)).collect()
    }

    /// The slots of a storage that were written and are not zero at `version`, in no particular order.
    fn held_slots(&self, storage: u32, version: u64) -> Vec<(U256, U256)> {
        if storage == NONE {
            return Vec::new();
        }
        let (part, number) = locate(storage);
        let mut next = self.accounts[part].first_slot(number);
        let mut found = Vec::new();
        while next != NONE {
            let (part, entry) = locate(next);
            let (slot, value, after) = self.slots[part].link(entry, version);
            found.extend(value.filter(|value| !value.is_zero()).map(|value| (slot, value)));
            next = after;
        }
        found
    }

    /// Which storage an account has; another one after each wipe.
    pub(crate) fn storage_of(&self, address: Address, version: u64) -> Option<u32> {
        let key = self.key(address);
        let storage = self.accounts_of(key).storage(key, version).present()?;
        Some(storage.number).filter(|number| *number != NONE)
    }

    /// Keys of the slots that were written.
    pub(crate) fn keys(&self, written: &WrittenAccount) -> Vec<U256> {
        written.slots.iter().map(|slot| self.slot_at(*slot).0).collect()
    }

    // ---- handles

    /// Handle of an account that was ever written, whether it is there or not.
    pub(crate) fn account_handle(&self, address: Address) -> Option<u32> {
        let key = self.key(address);
        let entry = self.accounts_of(key).entry_of(key)?;
        Some(handle(part(key.hash), entry))
    }

    /// Handle of a slot that was ever written in the storage that the account has at `version`, zero or not.
    pub(crate) fn slot_handle(&self, storage: u32, slot: &U256) -> Option<u32> {
        let hash = self.slot_hash(storage, slot);
        let entry = self.slots[part(hash)].entry_of(hash, storage, slot)?;
        Some(handle(part(hash), entry))
    }

    /// The account of a handle, as it is now.
    pub(crate) fn account_at(&self, handle: u32) -> (Address, TrieAccount) {
        let (part, entry) = locate(handle);
        self.accounts[part].of_entry(entry)
    }

    /// Key and value of a slot's handle, as it is now.
    pub(crate) fn slot_at(&self, handle: u32) -> (U256, U256) {
        let (part, entry) = locate(handle);
        self.slots[part].key_and_value(entry)
    }

    pub(crate) fn code(&self, hash: B256) -> Option<Bytes> {
        self.codes.read().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned()
    }

    /// Adds code under its hash.
    pub(crate) fn add_codes(&self, codes: impl IntoIterator<Item = (B256, Bytes)>) {
        self.codes.write().unwrap_or_else(PoisonError::into_inner).extend(codes);
    }

    /// Hashes of all codes, those included that no account has any more.
    pub(crate) fn code_hashes(&self) -> impl Iterator<Item = B256> {
        let codes = self.codes.read().unwrap_or_else(PoisonError::into_inner);
        codes.keys().copied().collect::<Vec<_>>().into_iter()
    }

    /// Bytes of entries and indexes, and how many values of older versions there are.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let accounts = self.accounts.iter().map(Accounts::sizes);
        let slots = self.slots.iter().map(Slots::sizes);
        accounts.chain(slots).fold((0, 0), |(bytes, past), (more, older)| (bytes + more, past + older))
    }

    // ---- writing

    /// Writes `changes` as `version`, the newest; `after` are the accounts as the trie holds them then, in the order of the changes.
    pub(crate) fn write(&self, version: u64, changes: &Changes, after: &[Option<TrieAccount>]) -> Written {
        let Changes { accounts: changed, codes } = changes;
        self.add_codes(codes.clone());
        let put = |part: &mut accounts::Writer<'_>, key: Key, change: &AccountChange, after: &Option<TrieAccount>| {
            self.write_account(part, key, version, change, after.as_ref())
        };
        let changed = changed.iter().zip(after);
        if after.len() < MIN_PARALLEL {
            let written = changed.map(|((address, change), after)| {
                let key = self.key(*address);
                put(&mut self.accounts[part(key.hash)].write(), key, change, after)
            });
            return Written { accounts: written.collect() };
        }
        let mut parts: Vec<Vec<(Key, &AccountChange, &Option<TrieAccount>)>> = vec![Vec::new(); PARTS];
        for ((address, change), after) in changed {
            let key = self.key(*address);
            parts[part(key.hash)].push((key, change, after));
        }
        let written = parts.into_par_iter().zip(&self.accounts).map(|(changes, accounts)| {
            let mut accounts = accounts.write();
            let put = |(key, change, after)| put(&mut accounts, key, change, after);
            changes.into_iter().map(put).collect::<Vec<_>>()
        });
        Written { accounts: written.collect::<Vec<_>>().into_iter().flatten().collect() }
    }

    fn write_account(
        &self,
        accounts: &mut accounts::Writer<'_>,
        key: Key,
        version: u64,
        change: &AccountChange,
        after: Option<&TrieAccount>,
    ) -> WrittenAccount {
        let mut storage = accounts.storage_to_write(key, change.wiped, self.partial);
        let slots = if after.is_some() {
            self.write_slots(accounts, part(key.hash), &mut storage.number, version, change)
        } else {
            Box::default()
        };
        let entry = handle(part(key.hash), accounts.write(key, version, after, storage));
        WrittenAccount { address: key.address, entry, slots }
    }

    fn write_slots(
        &self,
        accounts: &mut accounts::Writer<'_>,
        part_of_account: usize,
        storage: &mut u32,
        version: u64,
        change: &AccountChange,
    ) -> Box<[u32]> {
        let mut written = Vec::with_capacity(change.storage.len());
        for (slot, value) in &change.storage {
            if *storage == NONE {
                // Zero in a storage that holds nothing needs no entry, unless another chain's state says otherwise.
                if value.is_zero() && !self.partial {
                    continue;
                }
                *storage = handle(part_of_account, accounts.begin_storage());
            }
            let hash = self.slot_hash(*storage, slot);
            let (_, number) = locate(*storage);
            let next = accounts.first_slot(number);
            let (entry, is_new) = self.slots[part(hash)].write().write(hash, *storage, slot, value, version, next);
            if is_new {
                accounts.set_first_slot(number, handle(part(hash), entry));
            }
            written.push(handle(part(hash), entry));
        }
        written.into()
    }

    /// Forgets what was before `version`, the oldest that can still be undone.
    pub(crate) fn forget(&self, version: u64, written: &Written) {
        for WrittenAccount { entry, slots, .. } in &written.accounts {
            let (part, entry) = locate(*entry);
            self.accounts[part].write().forget(entry, version);
            for slot in slots {
                let (part, entry) = locate(*slot);
                self.slots[part].write().forget(entry, version);
            }
        }
    }

    /// Undoes `version`, the newest; `target` is the version that will be the newest.
    pub(crate) fn revert(&self, version: u64, target: u64, written: &Written) {
        for WrittenAccount { entry, slots, .. } in &written.accounts {
            let (part, entry) = locate(*entry);
            self.accounts[part].write().revert(entry, version, target);
            for slot in slots {
                let (part, entry) = locate(*slot);
                self.slots[part].write().revert(entry, version, target);
            }
        }
    }
}
