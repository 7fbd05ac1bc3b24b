//! A checkpoint's tables, read where they lie.
//!
//! ```text
//! hashed address ─► beginnings of pages, in memory ─► one page, its checksum, its records from the first on ─► account ─► its slots' pages
//! ```
//! Why Rust: a state that is larger than memory is read here whenever it was not read lately.
//!
//! Invariant: every byte that is given was compared with its page's checksum when it was read. Reading takes no lock.
//! What it does not do: it holds nothing but the beginnings of pages (16 bytes for each); the system's cache holds the rest.

use core::marker::PhantomData;
use core::ops::RangeInclusive;

use alloy_primitives::{Address, B256, U256, keccak256};
use rayon::prelude::*;

use super::entry::{AccountEntry, Record, SlotEntry, SlotRange};
use super::manifest::Manifest;
use super::page::{Kind, Mapped, Place, Table};
use crate::error::StorageError;
use crate::keys::{beginning, slot_key};
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
struct Fenced<R> {
    table: Mapped,
    fences: Vec<Fence>,
    records: PhantomData<fn() -> R>,
}

/// Records that stand together: from a place to before number `end` of the last page.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: Place,
    last: u64,
    end: usize,
}

/// Accounts and slots of a checkpoint.
#[derive(Debug)]
pub(crate) struct Tables {
    accounts: Fenced<AccountEntry>,
    slots: Fenced<SlotEntry>,
}

/// Fences from which on guessing takes less time than a binary search, guesses, and fences to each side of the last one.
const LONG: usize = 256;
const GUESSES: usize = 3;
const NEAR: usize = 8;

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

impl<R: Record> Fenced<R> {
    /// Maps a table and looks at every page of it.
    fn open(vfs: &dyn Vfs, kind: Kind, manifest: &Manifest) -> Result<Self, StorageError> {
        let table = Table::open(vfs, kind, manifest.number, manifest.identity)?.map()?;
        let fence = |page: u64| {
            let (count, mut bytes) = table.page(page)?;
            let record = R::take(&mut bytes).ok_or_else(|| damaged(&table, page))?;
            Ok(Fence { key: beginning(&record.place()), records: count as u64 })
        };
        let fences: Result<Vec<Fence>, StorageError> = (1..table.pages()).into_par_iter().map(fence).collect();
        let mut fences = fences?;
        let mut before = 0;
        for fence in &mut fences {
            before += core::mem::replace(&mut fence.records, before);
        }
        Ok(Self { table, fences, records: PhantomData })
    }

    /// All records.
    fn all(&self) -> Span {
        Span { first: Place { page: 1, index: 0 }, last: self.fences.len() as u64, end: usize::MAX }
    }

    /// `count` records from a place on; `None` if there are none.
    fn span(&self, SlotRange { first, count }: SlotRange) -> Option<Span> {
        let before = self.fences.get((first.page as usize).checked_sub(1)?)?.records;
        let end = before.checked_add(u64::from(first.index))?.checked_add(count.checked_sub(1)?)?.checked_add(1)?;
        let last = self.fences.partition_point(|fence| fence.records < end) as u64;
        Some(Span { first, last, end: (end - self.fences.get(last as usize - 1)?.records) as usize })
    }

    /// Pages of a span from that on in which the records from `key` on begin. The first one's beginning is not looked at.
    fn pages(&self, span: &Span, key: u64) -> RangeInclusive<u64> {
        let fences = self.fences.get(span.first.page as usize..span.last as usize).unwrap_or_default();
        // Records with this beginning may stand at the end of the page before.
        span.first.page + lower_bound(fences, key) as u64..=span.last
    }

    /// The records of a page that belong to a span, and how many there are.
    fn records(&self, span: &Span, page: u64) -> Result<(usize, &[u8]), StorageError> {
        let (count, mut bytes) = self.table.page(page)?;
        let end = if page == span.last { count.min(span.end) } else { count };
        // Those of others stand before the first one.
        let start = if page == span.first.page { usize::from(span.first.index).min(end) } else { 0 };
        for _ in 0..start {
            R::skip(&mut bytes).ok_or_else(|| damaged(&self.table, page))?;
        }
        Ok((end - start, bytes))
    }

    /// The record of a span whose hashed key begins with `key` and that `is_it`.
    fn find(&self, span: &Span, key: u64, is_it: impl Fn(&[u8]) -> bool) -> Result<Option<R>, StorageError> {
        let pages = self.pages(span, key);
        let first = *pages.start();
        for page in pages {
            if page > first && self.fences[page as usize - 1].key > key {
                break;
            }
            let (count, mut bytes) = self.records(span, page)?;
            for _ in 0..count {
                if is_it(bytes) {
                    return R::take(&mut bytes).map(Some).ok_or_else(|| damaged(&self.table, page));
                }
                R::skip(&mut bytes).ok_or_else(|| damaged(&self.table, page))?;
            }
        }
        Ok(None)
    }

    /// What `take` makes of the records of a span whose hashed keys have the first `nibbles` nibbles of `path`, in order, until it makes
    /// something.
    fn below<T>(
        &self,
        span: &Span,
        path: &B256,
        nibbles: usize,
        mut take: impl FnMut(B256, R) -> Result<Option<T>, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        let lowest = lowest(path, nibbles);
        for page in self.pages(span, beginning(&lowest)) {
            let (count, mut bytes) = self.records(span, page)?;
            for _ in 0..count {
                let record = R::take(&mut bytes).ok_or_else(|| damaged(&self.table, page))?;
                let key = record.place();
                if key < lowest {
                    continue;
                }
                if !shares(&key, path, nibbles) {
                    return Ok(None);
                }
                if let Some(made) = take(key, record)? {
                    return Ok(Some(made));
                }
            }
        }
        Ok(None)
    }
}

/// How many fences lie before `key`: where a binary search would end, found with fewer looks at memory, since hashed keys are uniform: each
/// guess leaves about the square root of the distance that was before.
fn lower_bound(fences: &[Fence], key: u64) -> usize {
    if fences.len() > LONG {
        let places = fences.len() as i128;
        let place_of = |key: u64| ((i128::from(key) * places) >> 64).clamp(0, places - 1);
        let mut place = place_of(key);
        for _ in 0..GUESSES {
            let missed = i128::from(key) - i128::from(fences[place as usize].key);
            place = (place + ((missed * places) >> 64)).clamp(0, places - 1);
        }
        let from = (place as usize).saturating_sub(NEAR);
        let near = &fences[from..(place as usize + NEAR).min(fences.len())];
        let found = near.partition_point(|fence| fence.key < key);
        let begins = found > 0 || from == 0;
        let ends = found < near.len() || from + near.len() == fences.len();
        if begins && ends {
            return from + found;
        }
    }
    fences.partition_point(|fence| fence.key < key)
}

fn damaged(table: &Mapped, page: u64) -> StorageError {
    table.damaged(page, "a record is not one of this table")
}

impl Tables {
    /// Maps the tables of a checkpoint; every checksum is compared.
    pub(super) fn open(vfs: &dyn Vfs, manifest: &Manifest) -> Result<Self, StorageError> {
        let accounts = Fenced::open(vfs, Kind::Accounts, manifest)?;
        Ok(Self { accounts, slots: Fenced::open(vfs, Kind::Slots, manifest)? })
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
        let last = self.accounts.table.pages().saturating_sub(1);
        let in_last = self.accounts.table.page(last).map_or(0, |(count, _)| count as u64);
        self.accounts.fences.last().map_or(0, |fence| fence.records + in_last)
    }

    /// The account at `address`.
    pub(crate) fn account(&self, address: &Address) -> Result<Option<AccountEntry>, StorageError> {
        let key = beginning(&keccak256(address));
        self.accounts.find(&self.accounts.all(), key, |bytes| AccountEntry::is_of(bytes, address))
    }

    /// The value of a slot among those of an account; zero if it is not there.
    pub(crate) fn slot(&self, range: SlotRange, key: &U256) -> Result<U256, StorageError> {
        let Some(span) = self.slots.span(range) else { return Ok(U256::ZERO) };
        let found = self.slots.find(&span, beginning(&slot_key(key)), |bytes| SlotEntry::is_of(bytes, key))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn guesses_end_where_a_binary_search_does(seed in 0..1_000_u64, count in 0..3_000_usize, skew in 0..3_u32) {
            let mut state = seed;
            let mut draw = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Not uniform at all, too: then the guesses are of no use, and nothing else.
                (state ^ state >> 29).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (skew * 20)
            };
            let mut fences: Vec<Fence> = (0..count).map(|_| Fence { key: draw(), records: 0 }).collect();
            fences.sort_unstable_by_key(|fence| fence.key);
            let known = fences.iter().map(|fence| fence.key).step_by(7);
            for key in known.chain((0..50).map(|_| draw())).chain([0, u64::MAX]) {
                let expected = fences.partition_point(|fence| fence.key < key);
                proptest::prop_assert_eq!(lower_bound(&fences, key), expected);
            }
        }
    }
}
