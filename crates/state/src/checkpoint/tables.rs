//! A checkpoint's tables, read where they lie.
//!
//! Why Rust: a state that is larger than memory is read here whenever it was not read lately.
//!
//! Invariant: as in `sorted`: every byte that is given was compared with its page's checksum when it was read.
//! What it does not do: it holds nothing but the beginnings of pages (16 bytes for each); the system's cache holds the rest.

use alloy_primitives::{Address, B256, U256, keccak256};

use super::entry::{AccountEntry, SlotEntry, SlotRange};
use super::manifest::Manifest;
use super::page::{Kind, Mapped};
use super::sorted::{Fences, Sorted, Sought};
use crate::error::StorageError;
use crate::keys::slot_key;
use crate::vfs::Vfs;

/// Accounts and slots of a checkpoint.
#[derive(Debug)]
pub(crate) struct Tables {
    accounts: Sorted<AccountEntry, Fences>,
    slots: Sorted<SlotEntry, Fences>,
}

impl Tables {
    /// Maps the tables of a checkpoint; every checksum is compared.
    pub(super) fn open(vfs: &dyn Vfs, manifest: &Manifest) -> Result<Self, StorageError> {
        let Manifest { number, identity, .. } = *manifest;
        let accounts = Sorted::open(vfs, Kind::Accounts, number, identity)?;
        Ok(Self { accounts, slots: Sorted::open(vfs, Kind::Slots, number, identity)? })
    }

    /// Bytes on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        (self.accounts.table.pages() + self.slots.table.pages()) * super::page::PAGE as u64
    }

    /// Lets the pages go that are mapped.
    pub(crate) fn forget(&self) {
        [&self.accounts.table, &self.slots.table].into_iter().for_each(Mapped::forget);
    }

    /// How many accounts there are.
    pub(crate) fn count(&self) -> u64 {
        self.accounts.count()
    }

    /// The account at `address`.
    pub(crate) fn account(&self, address: &Address) -> Result<Option<AccountEntry>, StorageError> {
        let sought = Sought { key: keccak256(address), turn: 0 };
        self.accounts.find(&self.accounts.all(), &sought, |bytes| AccountEntry::is_of(bytes, address))
    }

    /// The value of a slot among those of an account; zero if it is not there.
    pub(crate) fn slot(&self, range: SlotRange, key: &U256) -> Result<U256, StorageError> {
        let Some(span) = self.slots.span(range) else { return Ok(U256::ZERO) };
        let sought = Sought { key: slot_key(key), turn: 0 };
        let found = self.slots.find(&span, &sought, |bytes| SlotEntry::is_of(bytes, key))?;
        Ok(found.map(|entry| entry.value).unwrap_or_default())
    }

    /// What `take` makes of the accounts whose hashed addresses have the first `nibbles` nibbles of `path`, in order, until it makes something.
    pub(crate) fn accounts_from<T>(
        &self,
        path: &B256,
        nibbles: usize,
        take: impl FnMut(B256, AccountEntry) -> Result<Option<T>, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        self.accounts.below(&self.accounts.all(), path, nibbles, take)
    }

    /// The account whose hashed address is `key`.
    pub(crate) fn account_of_key(&self, key: &B256) -> Result<Option<AccountEntry>, StorageError> {
        self.accounts_from(key, 64, |_, entry| Ok(Some(entry)))
    }

    /// What `take` makes of an account's slots whose hashed keys have the first `nibbles` nibbles of `path`, in order, until it makes something.
    pub(crate) fn slots_from<T>(
        &self,
        range: SlotRange,
        path: &B256,
        nibbles: usize,
        take: impl FnMut(B256, SlotEntry) -> Result<Option<T>, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        self.slots.span(range).map_or(Ok(None), |span| self.slots.below(&span, path, nibbles, take))
    }
}
