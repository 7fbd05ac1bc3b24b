//! A checkpoint's tables, read where they lie.
//!
//! ```text
//! hashed address ─► beginnings of pages, in memory ─► one page, its checksum, its records from the first on ─► account ─► its slots' pages
//! ```
//! Why Rust: a state that is larger than memory is read here whenever it was not read lately.
//!
//! Invariant: every byte that is given was compared with its page's checksum when it was read. Reading takes no lock.
//! What it does not do: it holds nothing but the beginnings of pages (16 bytes for each); the system's cache holds the rest.

use alloy_primitives::{Address, B256, U256, keccak256};
use rayon::prelude::*;

use super::entry::{AccountEntry, SlotEntry, SlotRange};
use super::manifest::Manifest;
use super::page::{Kind, Mapped, Place, Table};
use crate::error::StorageError;
use crate::vfs::Vfs;

/// Where a page begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fence {
    /// The first eight bytes of its first record's hashed key.
    pub(super) key: u64,
    /// Records in the pages before it.
    pub(super) records: u64,
}

/// One table with the beginnings of its pages; the head is none.
#[derive(Debug)]
struct Fenced {
    table: Mapped,
    fences: Vec<Fence>,
}

/// Accounts and slots of a checkpoint.
#[derive(Debug)]
pub(crate) struct Tables {
    accounts: Fenced,
    slots: Fenced,
}

/// The first eight bytes of a hashed key.
pub(super) fn beginning(key: &B256) -> u64 {
    u64::from_be_bytes(*key.first_chunk().unwrap_or(&[0; 8]))
}

/// Whether the first `nibbles` nibbles of two keys are the same.
fn shares(one: &B256, other: &B256, nibbles: usize) -> bool {
    let bytes = nibbles / 2;
    one[..bytes] == other[..bytes] && (nibbles.is_multiple_of(2) || (one[bytes] ^ other[bytes]) & 0xf0 == 0)
}

/// The lowest key with the first `nibbles` nibbles of `path`.
fn lowest(path: &B256, nibbles: usize) -> B256 {
    let mut key = B256::ZERO;
    key[..nibbles / 2].copy_from_slice(&path[..nibbles / 2]);
    if !nibbles.is_multiple_of(2) {
        key[nibbles / 2] = path[nibbles / 2] & 0xf0;
    }
    key
}

impl Fenced {
    /// Maps a table and looks at every page of it; `key` gives the hashed key of the record at the front.
    fn open(
        vfs: &dyn Vfs,
        kind: Kind,
        manifest: &Manifest,
        key: impl Fn(&mut &[u8]) -> Option<B256> + Sync,
    ) -> Result<Self, StorageError> {
        let table = Table::open(vfs, kind, manifest.number, manifest.identity)?.map()?;
        let fence = |page: u64| {
            let (count, mut bytes) = table.page(page)?;
            let key = key(&mut bytes).ok_or_else(|| table.damaged(page, "a record is not one of this table"))?;
            Ok(Fence { key: beginning(&key), records: count as u64 })
        };
        let fences: Result<Vec<Fence>, StorageError> = (1..table.pages()).into_par_iter().map(fence).collect();
        let mut fences = fences?;
        let mut before = 0;
        for fence in &mut fences {
            before += core::mem::replace(&mut fence.records, before);
        }
        Ok(Self { table, fences })
    }

    /// Of pages `first..=last`, that in which the records from `key` on begin. The first one's beginning is not looked at.
    fn page(&self, first: u64, last: u64, key: u64) -> u64 {
        let fences = self.fences.get(first as usize..last as usize).unwrap_or_default();
        // Records with this beginning may stand at the end of the page before.
        first + fences.partition_point(|fence| fence.key < key) as u64
    }

    fn damaged(&self, page: u64) -> StorageError {
        self.table.damaged(page, "a record is not one of this table")
    }
}

impl Tables {
    /// Maps the tables of a checkpoint; every checksum is compared.
    pub(super) fn open(vfs: &dyn Vfs, manifest: &Manifest) -> Result<Self, StorageError> {
        let account = |bytes: &mut &[u8]| AccountEntry::take(bytes).map(|entry| keccak256(entry.address));
        let slot = |bytes: &mut &[u8]| SlotEntry::take(bytes).map(|entry| keccak256(entry.key.to_be_bytes::<32>()));
        let accounts = Fenced::open(vfs, Kind::Accounts, manifest, account)?;
        Ok(Self { accounts, slots: Fenced::open(vfs, Kind::Slots, manifest, slot)? })
    }

    /// Bytes on disk.
    pub(crate) fn disk_bytes(&self) -> u64 {
        (self.accounts.table.pages() + self.slots.table.pages()) * super::page::PAGE as u64
    }

    /// Lets the pages go that are mapped.
    pub(crate) fn forget(&self) {
        [&self.accounts, &self.slots].into_iter().for_each(|fenced| fenced.table.forget());
    }

    /// How many accounts there are.
    pub(crate) fn count(&self) -> u64 {
        let last = self.accounts.table.pages().saturating_sub(1);
        let in_last = self.accounts.table.page(last).map_or(0, |(count, _)| count as u64);
        self.accounts.fences.last().map_or(0, |fence| fence.records + in_last)
    }

    /// The account at `address`.
    pub(crate) fn account(&self, address: &Address) -> Result<Option<AccountEntry>, StorageError> {
        let key = beginning(&keccak256(address));
        let pages = self.accounts.table.pages();
        let first = self.accounts.page(1, pages.saturating_sub(1), key);
        for page in first..pages {
            if page > first && self.accounts.fences[page as usize - 1].key > key {
                break;
            }
            let (count, mut bytes) = self.accounts.table.page(page)?;
            for _ in 0..count {
                if AccountEntry::is_of(bytes, address) {
                    return AccountEntry::take(&mut bytes).map(Some).ok_or_else(|| self.accounts.damaged(page));
                }
                AccountEntry::skip(&mut bytes).ok_or_else(|| self.accounts.damaged(page))?;
            }
        }
        Ok(None)
    }

    /// The value of a slot among those of an account; zero if it is not there.
    pub(crate) fn slot(&self, range: SlotRange, key: &U256) -> Result<U256, StorageError> {
        let wanted = beginning(&keccak256(key.to_be_bytes::<32>()));
        let Some((last, end)) = self.end(range) else { return Ok(U256::ZERO) };
        let SlotRange { first: Place { page: first, index }, .. } = range;
        let start = self.slots.page(first, last, wanted);
        for page in start..=last {
            if page > start && self.slots.fences[page as usize - 1].key > wanted {
                break;
            }
            let (count, mut bytes) = self.slots.table.page(page)?;
            let count = if page == last { count.min(end) } else { count };
            for place in 0..count {
                // Slots of others stand before its first one.
                if (page > first || place >= usize::from(index)) && SlotEntry::is_of(bytes, key) {
                    let entry = SlotEntry::take(&mut bytes).ok_or_else(|| self.slots.damaged(page))?;
                    return Ok(entry.value);
                }
                SlotEntry::skip(&mut bytes).ok_or_else(|| self.slots.damaged(page))?;
            }
        }
        Ok(U256::ZERO)
    }

    /// The last page of an account's slots, and how many of its records end with them; `None` if there are none.
    fn end(&self, range: SlotRange) -> Option<(u64, usize)> {
        let SlotRange { first: Place { page, index }, count } = range;
        let before = self.slots.fences.get((page as usize).checked_sub(1)?)?.records;
        let end = before.checked_add(u64::from(index))?.checked_add(count.checked_sub(1)?)?.checked_add(1)?;
        let last = self.slots.fences.partition_point(|fence| fence.records < end) as u64;
        Some((last, (end - self.slots.fences.get(last as usize - 1)?.records) as usize))
    }

    /// What `take` makes of the accounts whose hashed addresses have the first `nibbles` nibbles of `path`, in order, until it makes something.
    pub(crate) fn accounts_from<T>(
        &self,
        path: &B256,
        nibbles: usize,
        mut take: impl FnMut(B256, AccountEntry) -> Result<Option<T>, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        let lowest = lowest(path, nibbles);
        let pages = self.accounts.table.pages();
        for page in self.accounts.page(1, pages.saturating_sub(1), beginning(&lowest))..pages {
            let (count, mut bytes) = self.accounts.table.page(page)?;
            for _ in 0..count {
                let entry = AccountEntry::take(&mut bytes).ok_or_else(|| self.accounts.damaged(page))?;
                let key = keccak256(entry.address);
                if key < lowest {
                    continue;
                }
                if !shares(&key, path, nibbles) {
                    return Ok(None);
                }
                if let Some(made) = take(key, entry)? {
                    return Ok(Some(made));
                }
            }
        }
        Ok(None)
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
        mut take: impl FnMut(B256, SlotEntry) -> Result<Option<T>, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        let lowest = lowest(path, nibbles);
        let Some((last, end)) = self.end(range) else { return Ok(None) };
        let SlotRange { first: Place { page: first, index }, .. } = range;
        for page in self.slots.page(first, last, beginning(&lowest))..=last {
            let (count, mut bytes) = self.slots.table.page(page)?;
            let count = if page == last { count.min(end) } else { count };
            for place in 0..count {
                let entry = SlotEntry::take(&mut bytes).ok_or_else(|| self.slots.damaged(page))?;
                let key = keccak256(entry.key.to_be_bytes::<32>());
                if page == first && place < usize::from(index) || key < lowest {
                    continue;
                }
                if !shares(&key, path, nibbles) {
                    return Ok(None);
                }
                if let Some(made) = take(key, entry)? {
                    return Ok(Some(made));
                }
            }
        }
        Ok(None)
    }
}
