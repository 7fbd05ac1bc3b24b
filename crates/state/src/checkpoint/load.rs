//! How a checkpoint becomes a state again: the flat state is filled, and the tries are built anew over it.
//!
//! ```text
//! accounts, a few pages of each sixteenth at a time ─┬─► flat state ─► handles ─► tries ─► roots, compared
//! slots of the contracts among them ─────────────────┘
//! ```
//! The sixteenths are those of the trie's root, so that all threads find work at both steps.
//!
//! Invariant: every page's checksum, every storage root and the state root are compared before anything of it is given, and every code that
//! an account names is there, hashed.

use std::ops::Range;

use alloy_primitives::map::B256Map;
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use interlace_trie::TrieAccount;
use rayon::prelude::*;

use super::entry::{AccountEntry, CodeEntry, Record, SlotEntry, SlotRange};
use super::manifest::Manifest;
use super::page::{Kind, Pages, Place, Table};
use super::tables::Tables;
use super::{Progress, given_up};
use crate::error::StorageError;
use crate::flat::Flat;
use crate::keccak::{Hasher, Messages};
use crate::leaves::Leaves;
use crate::trie::{Change, Leaf};
use crate::vfs::Vfs;

/// Pages of accounts of each sixteenth that are loaded together; in tests few, so that there are several portions.
const PAGES: u64 = if cfg!(test) { 1 } else { 256 };
/// Pages of slots that are read together.
const SLOT_PAGES: u64 = 64;
/// Slots of one account that are loaded together; more are loaded one portion after another. In tests, few are many.
const MAX_SLOTS_AT_ONCE: u64 = if cfg!(test) { 40 } else { 1 << 17 };

/// Pages of a sixteenth of the hashed addresses that are not loaded yet; the first and the last may hold others, too.
struct Cursor {
    nibble: u8,
    pages: Range<u64>,
    /// The key that was loaded last.
    last: Option<B256>,
}

/// What one thread loads at a time.
#[derive(Default)]
struct Portion {
    accounts: Vec<Change<TrieAccount>>,
    storages: Vec<(B256, Address, Vec<Change<U256>>)>,
    /// What the roots of the storages must be, and where it says so.
    roots: Vec<(B256, u64)>,
    large: Vec<Large>,
}

/// An account with many slots.
struct Large {
    key: B256,
    address: Address,
    storage: Option<u32>,
    slots: SlotRange,
    root: B256,
    page: u64,
}

struct Loader {
    flat: Flat,
    /// Whether accounts and slots stay in the tables, and the tries' leaves are cold.
    cold: bool,
    version: u64,
    accounts: Table,
    slots: Table,
}

/// Loads the tables of `manifest` as `version`; with `cold`, accounts and slots stay in them, but for so many
/// bytes of what is read.
pub(super) fn load(
    vfs: &dyn Vfs,
    manifest: &Manifest,
    version: u64,
    cold: Option<usize>,
    progress: Progress<'_>,
) -> Result<(Flat, Leaves), StorageError> {
    let open = |kind| Table::open(vfs, kind, manifest.number, manifest.identity);
    let flat = match cold {
        Some(bytes) => Flat::over(Tables::open(vfs, manifest)?, bytes),
        None => Flat::new(false),
    };
    let cold = cold.is_some();
    flat.add_codes(read_codes(&open(Kind::Codes)?)?);
    let loader = Loader { flat, cold, version, accounts: open(Kind::Accounts)?, slots: open(Kind::Slots)? };
    let mut cursors = loader.sixteenths()?;
    let mut leaves = Leaves::default();
    let (mut root, mut done) = (interlace_trie::EMPTY_ROOT_HASH, 0);
    while cursors.iter().any(|cursor| !cursor.pages.is_empty()) {
        if !progress(done, loader.accounts.records()) {
            return Err(given_up());
        }
        let portions = cursors.par_iter_mut().map(|cursor| loader.portion(cursor)).collect::<Result<Vec<_>, _>>()?;
        let mut accounts = Vec::new();
        let (mut storages, mut roots) = (Vec::new(), Vec::new());
        for portion in portions {
            accounts.extend(portion.accounts);
            storages.extend(portion.storages);
            roots.extend(portion.roots);
            portion.large.iter().try_for_each(|large| loader.load_large(&mut leaves, large))?;
        }
        for (found, (expected, page)) in leaves.load_slots(&loader.flat, storages)?.into_iter().zip(roots) {
            loader.check_root(found, expected, page)?;
        }
        done += accounts.len() as u64;
        root = leaves.load_accounts(&loader.flat, accounts)?;
    }
    if root != manifest.root || done != loader.accounts.records() {
        let detail = format!("its {done} accounts have the root {root}, the manifest says {}", manifest.root);
        return Err(loader.accounts.damaged(0, detail));
    }
    Ok((loader.flat, leaves))
}

impl Loader {
    /// Where each sixteenth of the hashed addresses is.
    fn sixteenths(&self) -> Result<Vec<Cursor>, StorageError> {
        let all = self.accounts.pages();
        let mut cursors: Vec<Cursor> = Vec::new();
        let mut start = 1;
        for nibble in 0..16_u8 {
            // The first page that begins behind it.
            let (mut low, mut high) = (start, all);
            while low < high {
                let middle = low.midpoint(high);
                if self.first_key(middle)?[0] >> 4 <= nibble { low = middle + 1 } else { high = middle }
            }
            cursors.push(Cursor { nibble, pages: start..high, last: None });
            // The page before may end with what comes next.
            start = (high - 1).max(1);
        }
        Ok(cursors)
    }

    fn first_key(&self, page: u64) -> Result<B256, StorageError> {
        let pages = self.accounts.read(page, 1)?;
        let entry = pages.iter().next().and_then(|(_, _, mut bytes)| AccountEntry::take(&mut bytes));
        entry.map(|entry| keccak256(entry.address)).ok_or_else(|| self.accounts.damaged(page, "it has no account"))
    }

    fn check_root(&self, found: B256, expected: B256, page: u64) -> Result<(), StorageError> {
        if found == expected {
            return Ok(());
        }
        Err(self.accounts.damaged(page, format!("slots of an account have the root {found}, it says {expected}")))
    }

    /// Loads the next pages of a sixteenth.
    fn portion(&self, cursor: &mut Cursor) -> Result<Portion, StorageError> {
        let Cursor { nibble, pages: rest, last } = cursor;
        let count = PAGES.min(rest.end - rest.start);
        let pages = self.accounts.read(rest.start, count)?;
        rest.start += count;
        let mut entries = Vec::new();
        let mut keys = Messages::default();
        for (page, count, mut bytes) in pages.iter() {
            for _ in 0..count {
                let entry = AccountEntry::take(&mut bytes);
                let entry = entry.ok_or_else(|| self.accounts.damaged(page, "a record is no account"))?;
                keys.add(entry.address.as_slice());
                entries.push((page, entry));
            }
        }
        let (mut portion, mut slots) = (Portion::default(), SlotReader::new(&self.slots));
        for ((page, entry), key) in entries.into_iter().zip(Hasher::default().hash(&keys)) {
            // Who finds cold leaves relies on it that those of a sixteenth are loaded in their order.
            if key[0] >> 4 == *nibble {
                if last.replace(key).is_some_and(|last| last >= key) {
                    return Err(self.accounts.damaged(page, "its accounts are out of order"));
                }
                self.load_account(page, key, entry, &mut slots, &mut portion)?;
            }
        }
        Ok(portion)
    }

    fn load_account(
        &self,
        page: u64,
        key: B256,
        entry: AccountEntry,
        reader: &mut SlotReader<'_>,
        portion: &mut Portion,
    ) -> Result<(), StorageError> {
        let AccountEntry { address, account, slots } = entry;
        if account.code_hash != KECCAK256_EMPTY && self.flat.code(account.code_hash).is_none() {
            let detail = format!("account {address} has code {}, which is not there", account.code_hash);
            return Err(self.accounts.damaged(page, detail));
        }
        let (leaf, storage) = if self.cold {
            (Leaf::Cold, None)
        } else {
            let (handle, storage) = self.flat.load_account(self.version, address, &account);
            (Leaf::Known(handle), storage)
        };
        portion.accounts.push(Change { key, leaf, value: Some(account) });
        let root = account.storage_root;
        if root == interlace_trie::EMPTY_ROOT_HASH {
            return Ok(());
        }
        if slots.count > MAX_SLOTS_AT_ONCE {
            portion.large.push(Large { key, address, storage, slots, root, page });
            return Ok(());
        }
        reader.seek(slots.first)?;
        portion.storages.push((key, address, self.slots(storage, reader, slots.count)?));
        portion.roots.push((root, page));
        Ok(())
    }

    /// Loads the next `count` slots, into a storage if there is one.
    fn slots(
        &self,
        storage: Option<u32>,
        reader: &mut SlotReader<'_>,
        count: u64,
    ) -> Result<Vec<Change<U256>>, StorageError> {
        let mut keys = Messages::default();
        let mut slots = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let SlotEntry { key, value } = reader.next()?;
            keys.add(&key.to_be_bytes::<32>());
            slots.push((key, value));
        }
        let hashes = Hasher::default().hash(&keys);
        if !hashes.is_sorted_by(|one, other| one < other) {
            return Err(self.slots.damaged(reader.place.page, "an account's slots are out of order"));
        }
        let handles = storage.map(|storage| self.flat.load_slots(self.version, storage, &slots));
        let change = |(place, (key, (_, value))): (usize, (B256, &(U256, U256)))| Change {
            key,
            leaf: handles.as_ref().map_or(Leaf::Cold, |handles| Leaf::Known(handles[place])),
            value: Some(*value).filter(|value| !value.is_zero()),
        };
        Ok(hashes.into_iter().zip(&slots).enumerate().map(change).collect())
    }

    fn load_large(&self, leaves: &mut Leaves, large: &Large) -> Result<(), StorageError> {
        let mut reader = SlotReader::new(&self.slots);
        reader.seek(large.slots.first)?;
        let (mut left, mut found) = (large.slots.count, B256::ZERO);
        while left > 0 {
            let count = left.min(MAX_SLOTS_AT_ONCE);
            let slots = self.slots(large.storage, &mut reader, count)?;
            let roots = leaves.load_slots(&self.flat, vec![(large.key, large.address, slots)])?;
            found = roots.first().copied().unwrap_or_default();
            left -= count;
        }
        self.check_root(found, large.root, large.page)
    }
}

/// Reads slots one after another.
struct SlotReader<'a> {
    table: &'a Table,
    pages: Option<Pages>,
    place: Place,
    /// Records in the page, and where in its bytes the next one begins.
    count: u16,
    offset: usize,
}

impl<'a> SlotReader<'a> {
    const fn new(table: &'a Table) -> Self {
        Self { table, pages: None, place: Place { page: 0, index: 0 }, count: 0, offset: 0 }
    }

    /// Goes to a record.
    fn seek(&mut self, place: Place) -> Result<(), StorageError> {
        let follows = self.place.index == self.count && place == Place { page: self.place.page + 1, index: 0 };
        if self.pages.is_some() && (place == self.place || follows) {
            return Ok(());
        }
        self.enter(place.page)?;
        for _ in 0..place.index {
            self.next()?;
        }
        Ok(())
    }

    fn enter(&mut self, page: u64) -> Result<(), StorageError> {
        let has_it = self.pages.as_ref().is_some_and(|pages| pages.get(page).is_some());
        if !has_it {
            self.pages = Some(self.table.read(page.max(1), SLOT_PAGES)?);
        }
        let found = self.pages.as_ref().and_then(|pages| pages.get(page));
        let (count, _) = found.ok_or_else(|| self.table.damaged(page, "an account's slots are behind the end"))?;
        (self.place, self.count, self.offset) = (Place { page, index: 0 }, count, 0);
        Ok(())
    }

    fn next(&mut self) -> Result<SlotEntry, StorageError> {
        if self.place.index >= self.count {
            self.enter(self.place.page + 1)?;
        }
        let page = self.place.page;
        let bytes = self.pages.as_ref().and_then(|pages| pages.get(page)).map_or(&[][..], |(_, bytes)| bytes);
        let mut rest = bytes.get(self.offset..).unwrap_or_default();
        let entry = SlotEntry::take(&mut rest).ok_or_else(|| self.table.damaged(page, "a record is no slot"))?;
        self.offset = bytes.len() - rest.len();
        self.place.index += 1;
        Ok(entry)
    }
}

fn read_codes(table: &Table) -> Result<B256Map<Bytes>, StorageError> {
    let mut codes = B256Map::default();
    let mut open: Option<(B256, usize, Vec<u8>)> = None;
    let mut page = 1;
    let damaged = |page| table.damaged(page, "a record is no code");
    while page < table.pages() {
        let pages = table.read(page, PAGES)?;
        for (number, count, mut bytes) in pages.iter() {
            for _ in 0..count {
                let entry = CodeEntry::take(&mut bytes).ok_or_else(|| damaged(number))?;
                let (hash, length, mut code) = match (entry, open.take()) {
                    (CodeEntry::First { hash, length, .. }, None) => (hash, length as usize, Vec::new()),
                    (CodeEntry::Next { .. }, Some(open)) => open,
                    _ => return Err(damaged(number)),
                };
                let (CodeEntry::First { piece, .. } | CodeEntry::Next { piece }) = entry;
                code.extend_from_slice(piece);
                if code.len() < length {
                    open = Some((hash, length, code));
                } else if keccak256(&code) == hash {
                    codes.insert(hash, code.into());
                } else {
                    return Err(table.damaged(number, format!("a code does not have the hash {hash}")));
                }
            }
        }
        page += PAGES;
    }
    if open.is_some() { Err(damaged(table.pages())) } else { Ok(codes) }
}
