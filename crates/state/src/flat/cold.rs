//! A flat state over tables: what was never written here is read there.
//!
//! Invariant: an account or slot that a change is about has an entry here before it is written, if the tables have it (`warm`), so what
//! is undone is undone to a value, and nothing below is asked about what was written. An entry that was read and never written is
//! clean: it is as in the tables, and the trie has its leaf cold.
//! What it does not do: it forgets no clean entries.

use alloy_primitives::{Address, B256, U256, keccak256};
use interlace_stf::{Account, AccountChange, Changes};
use interlace_trie::{EMPTY_ROOT_HASH, TrieAccount};
use rayon::prelude::*;

use super::accounts::{Found, Storage};
use super::slots::NONE;
use super::{Flat, MIN_PARALLEL, locate, part};
use crate::checkpoint::{SlotRange, Tables};
use crate::error::StorageError;

/// The version after all others.
const NOW: u64 = u64::MAX;

impl Flat {
    pub(crate) const fn tables(&self) -> Option<&Tables> {
        self.tables.as_ref()
    }

    // ---- reading, wherever it is

    /// The account at `address` with its storage root.
    pub(crate) fn trie_account(&self, address: Address, version: u64) -> Result<Option<TrieAccount>, StorageError> {
        let key = self.key(address);
        match (self.accounts_of(key).trie_account(key, version), &self.tables) {
            (Found::Present(account), _) => Ok(Some(account)),
            (Found::Unwritten, Some(tables)) => Ok(tables.account(&address)?.map(|entry| entry.account)),
            (Found::Absent | Found::Unwritten, _) => Ok(None),
        }
    }

    /// The account at `address`.
    pub(crate) fn account(&self, address: Address, version: u64) -> Result<Option<Account>, StorageError> {
        match (self.written_account(address, version), &self.tables) {
            (None, Some(_)) => Ok(self.trie_account(address, version)?.map(|account| Account {
                nonce: account.nonce,
                balance: account.balance,
                code_hash: account.code_hash,
            })),
            (written, _) => Ok(written.flatten()),
        }
    }

    /// The value of a slot, and whether it was written here.
    pub(crate) fn slot(&self, address: Address, slot: U256, version: u64) -> Result<U256, StorageError> {
        match (self.written_slot(address, slot, version), &self.tables) {
            (Some(value), _) => Ok(value),
            (None, Some(tables)) => match tables.account(&address)? {
                Some(entry) => tables.slot(entry.slots, &slot),
                None => Ok(U256::ZERO),
            },
            (None, None) => Ok(U256::ZERO),
        }
    }

    /// The accounts that exist at `version`, in no particular order.
    pub(crate) fn accounts(&self, version: u64) -> Result<Vec<(Address, TrieAccount)>, StorageError> {
        let mut all = self.held_accounts(version);
        if let Some(tables) = &self.tables {
            tables.accounts_from(&B256::ZERO, 0, |_, entry| {
                if self.account_handle(entry.address).is_none() {
                    all.push((entry.address, entry.account));
                }
                Ok(None::<()>)
            })?;
        }
        Ok(all)
    }

    /// The slots of `address` that are not zero at `version`, in no particular order.
    pub(crate) fn slots(&self, address: Address, version: u64) -> Result<Vec<(U256, U256)>, StorageError> {
        let key = self.key(address);
        let storage = match self.accounts_of(key).storage(key, version) {
            Found::Present(storage) => storage,
            Found::Absent => return Ok(Vec::new()),
            Found::Unwritten => Storage { number: NONE, cut_off: false },
        };
        let mut all = self.held_slots(storage.number, version);
        if let Some(tables) = self.tables.as_ref().filter(|_| !storage.cut_off) {
            let range = tables.account(&address)?.map(|entry| entry.slots).unwrap_or_default();
            tables.slots_from(range, &B256::ZERO, 0, |_, entry| {
                if !self.is_written(storage.number, &entry.key) {
                    all.push((entry.key, entry.value));
                }
                Ok(None::<()>)
            })?;
        }
        Ok(all)
    }

    /// Whether a slot of a storage was written, and is not only read from the tables.
    pub(crate) fn is_written(&self, storage: u32, slot: &U256) -> bool {
        storage != NONE && self.slot_handle(storage, slot).is_some_and(|handle| !self.is_clean_slot(handle))
    }

    // ---- entries for what lies in the tables

    /// Gives everything that `changes` are about an entry, if the tables have it.
    pub(crate) fn warm(&self, changes: &Changes) -> Result<(), StorageError> {
        let Some(tables) = &self.tables else { return Ok(()) };
        let warm = |(address, change): (&Address, &AccountChange)| self.warm_account(tables, *address, change);
        if changes.accounts.len() < MIN_PARALLEL {
            return changes.accounts.iter().try_for_each(warm);
        }
        let all: Vec<(&Address, &AccountChange)> = changes.accounts.iter().collect();
        all.into_par_iter().try_for_each(warm)
    }

    fn warm_account(&self, tables: &Tables, address: Address, change: &AccountChange) -> Result<(), StorageError> {
        let key = self.key(address);
        let is_held = self.account_handle(address).is_some();
        if is_held && change.storage.is_empty() {
            return Ok(());
        }
        // Of an account that was made here the tables have no slots.
        let Some(entry) = tables.account(&address)? else { return Ok(()) };
        if !is_held {
            let with_storage = entry.account.storage_root != EMPTY_ROOT_HASH;
            self.accounts_of(key).write().warm(key, &entry.account, with_storage);
        }
        let Some(Storage { number, cut_off: false }) = self.accounts_of(key).storage(key, NOW).present() else {
            return Ok(());
        };
        for slot in change.storage.keys().filter(|_| number != NONE && entry.slots.count > 0) {
            if self.slot_handle(number, slot).is_none() {
                let value = tables.slot(entry.slots, slot)?;
                if !value.is_zero() {
                    let hash = self.slot_hash(number, slot);
                    self.slots[part(hash)].write().warm(hash, number, slot, &value);
                }
            }
        }
        Ok(())
    }

    /// Whether the account of a handle is as in the tables, and was never written.
    pub(crate) fn is_clean_account(&self, handle: u32) -> bool {
        let (part, entry) = locate(handle);
        self.tables.is_some() && self.accounts[part].is_clean(entry)
    }

    /// Whether the slot of a handle is as in the tables, and was never written.
    pub(crate) fn is_clean_slot(&self, handle: u32) -> bool {
        let (part, entry) = locate(handle);
        self.tables.is_some() && self.slots[part].is_clean(entry)
    }

    // ---- leaves by their paths

    /// Hashed key and newest value of an account of the tables that exists, and whose key has the first `nibbles` nibbles of `path`.
    pub(crate) fn cold_account(
        &self,
        path: &B256,
        nibbles: usize,
    ) -> Result<Option<(B256, TrieAccount)>, StorageError> {
        let Some(tables) = &self.tables else { return Ok(None) };
        tables.accounts_from(path, nibbles, |key, entry| {
            let now = match self.account_handle(entry.address) {
                None => Some(entry.account),
                Some(_) => self.trie_account(entry.address, NOW)?,
            };
            Ok(now.map(|account| (key, account)))
        })
    }

    /// The same of a slot of the account whose hashed address is `owner`.
    pub(crate) fn cold_slot(
        &self,
        owner: &B256,
        path: &B256,
        nibbles: usize,
    ) -> Result<Option<(B256, U256)>, StorageError> {
        let Some(tables) = &self.tables else { return Ok(None) };
        let Some(entry) = tables.account_of_key(owner)? else { return Ok(None) };
        let storage = self.storage_of(entry.address, NOW);
        tables.slots_from(entry.slots, path, nibbles, |key, slot| {
            let handle = storage.and_then(|storage| self.slot_handle(storage, &slot.key));
            let now = handle.map_or(slot.value, |handle| self.slot_at(handle).1);
            Ok(Some((key, now)).filter(|_| !now.is_zero()))
        })
    }

    /// Where the slots of an account are in the tables, unless it lost them.
    pub(crate) fn slots_below(&self, address: Address, version: u64) -> Result<SlotRange, StorageError> {
        let key = self.key(address);
        let cut_off = self.accounts_of(key).storage(key, version).present().is_some_and(|storage| storage.cut_off);
        let Some(tables) = self.tables.as_ref().filter(|_| !cut_off) else { return Ok(SlotRange::default()) };
        Ok(tables.account(&address)?.map(|entry| entry.slots).unwrap_or_default())
    }
}

/// The hashed key of a slot.
pub(crate) fn slot_key(slot: &U256) -> B256 {
    keccak256(slot.to_be_bytes::<32>())
}
