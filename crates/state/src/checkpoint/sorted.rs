//! A table whose records stand in the order of their hashed keys, searched where it lies.
//!
//! ```text
//! hashed key ─► where pages begin, from memory or from the pages ─► one page, its checksum, its records from the first on ─► record
//! ```
//! Why Rust: a state that is larger than memory is read here whenever it was not read lately.
//!
//! Invariant: every byte that is given was compared with its page's checksum when it was read. Reading takes no lock.
//! What it does not do: it does not know what records mean.

use core::marker::PhantomData;
use core::ops::RangeInclusive;

use alloy_primitives::B256;
use rayon::prelude::*;

use super::entry::{Record, SlotRange};
use super::page::{Kind, Mapped, Place, Table};
use crate::error::StorageError;
use crate::keys::beginning;
use crate::vfs::Vfs;

/// What is looked for: the first record of a key that is not before a turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought {
    pub(super) key: B256,
    /// Of records with the same key, which; see [`Record::turn`].
    pub(super) turn: u32,
}

/// How it is known where a table's pages begin.
pub(super) trait Beginnings<R>: Sized + Send + Sync {
    fn of(table: &Mapped) -> Result<Self, StorageError>;

    /// The first eight bytes of the key of a page's first record.
    fn key(&self, table: &Mapped, page: u64) -> Result<u64, StorageError>;

    /// Whether a page's first record stands before what is looked for; of equal beginnings of keys, it may answer that it does not.
    fn is_before(&self, table: &Mapped, page: u64, sought: &Sought) -> Result<bool, StorageError>;
}

/// Where a page begins, held in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fence {
    /// The first eight bytes of its first record's hashed key.
    pub(super) key: u64,
    /// Records in the pages before it.
    pub(super) records: u64,
}

/// Beginnings of all pages but the head, in memory: 16 bytes for each.
#[derive(Debug)]
pub(super) struct Fences(Vec<Fence>);

/// Beginnings are read from the pages whenever one is asked for.
#[derive(Debug)]
pub(super) struct InPages;

/// One table.
#[derive(Debug)]
pub(super) struct Sorted<R, B> {
    pub(super) table: Mapped,
    beginnings: B,
    records: PhantomData<fn() -> R>,
}

/// Records that stand together: from a place to before number `end` of the last page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) first: Place,
    pub(super) last: u64,
    pub(super) end: usize,
}

/// Pages from which on guessing takes less time than a binary search, guesses, and pages to each side of the last one.
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

impl<R: Record> Beginnings<R> for Fences {
    fn of(table: &Mapped) -> Result<Self, StorageError> {
        let fence = |page: u64| {
            let (count, mut bytes) = table.page(page)?;
            let record = R::take(&mut bytes).ok_or_else(|| damaged(table, page))?;
            Ok(Fence { key: beginning(&record.place()), records: count as u64 })
        };
        let fences: Result<Vec<Fence>, StorageError> = (1..table.pages()).into_par_iter().map(fence).collect();
        let mut fences = fences?;
        let mut before = 0;
        for fence in &mut fences {
            before += core::mem::replace(&mut fence.records, before);
        }
        Ok(Self(fences))
    }

    #[inline]
    fn key(&self, _: &Mapped, page: u64) -> Result<u64, StorageError> {
        Ok(self.0[page as usize - 1].key)
    }

    #[inline]
    fn is_before(&self, _: &Mapped, page: u64, sought: &Sought) -> Result<bool, StorageError> {
        Ok(self.0[page as usize - 1].key < beginning(&sought.key))
    }
}

impl InPages {
    fn first<R: Record>(table: &Mapped, page: u64) -> Result<R, StorageError> {
        let (_, mut bytes) = table.page(page)?;
        R::take(&mut bytes).ok_or_else(|| damaged(table, page))
    }
}

impl<R: Record> Beginnings<R> for InPages {
    fn of(_: &Mapped) -> Result<Self, StorageError> {
        Ok(Self)
    }

    fn key(&self, table: &Mapped, page: u64) -> Result<u64, StorageError> {
        Ok(beginning(&Self::first::<R>(table, page)?.place()))
    }

    fn is_before(&self, table: &Mapped, page: u64, sought: &Sought) -> Result<bool, StorageError> {
        let first = Self::first::<R>(table, page)?;
        Ok((first.place(), first.turn()) < (sought.key, sought.turn))
    }
}

impl<R: Record> Sorted<R, Fences> {
    /// `count` records from a place on; `None` if there are none.
    pub(super) fn span(&self, SlotRange { first, count }: SlotRange) -> Option<Span> {
        let fences = &self.beginnings.0;
        let before = fences.get((first.page as usize).checked_sub(1)?)?.records;
        let end = before.checked_add(u64::from(first.index))?.checked_add(count.checked_sub(1)?)?.checked_add(1)?;
        let last = fences.partition_point(|fence| fence.records < end) as u64;
        Some(Span { first, last, end: (end - fences.get(last as usize - 1)?.records) as usize })
    }

    /// Records in all pages together.
    pub(super) fn count(&self) -> u64 {
        let last = self.table.pages().saturating_sub(1);
        let in_last = self.table.page(last).map_or(0, |(count, _)| count as u64);
        self.beginnings.0.last().map_or(0, |fence| fence.records + in_last)
    }
}

impl<R: Record, B: Beginnings<R>> Sorted<R, B> {
    /// Maps a table.
    pub(super) fn open(vfs: &dyn Vfs, kind: Kind, number: u64, identity: B256) -> Result<Self, StorageError> {
        Self::on(&Table::open(vfs, kind, number, identity)?)
    }

    pub(super) fn on(table: &Table) -> Result<Self, StorageError> {
        let table = table.map()?;
        Ok(Self { beginnings: B::of(&table)?, table, records: PhantomData })
    }

    /// All records.
    pub(super) fn all(&self) -> Span {
        Span { first: Place { page: 1, index: 0 }, last: self.table.pages() - 1, end: usize::MAX }
    }

    /// Pages of a span from that on in which what is sought begins. The first one's beginning is not looked at.
    fn pages(&self, span: &Span, sought: &Sought) -> Result<RangeInclusive<u64>, StorageError> {
        let Self { table, beginnings, .. } = self;
        let second = span.first.page + 1;
        let others = (span.last + 1).saturating_sub(second) as usize;
        let key = |place| beginnings.key(table, second + place as u64);
        let is_before = |place| beginnings.is_before(table, second + place as u64, sought);
        // Records with this beginning may stand at the end of the page before.
        Ok(span.first.page + lower_bound(others, beginning(&sought.key), key, is_before)? as u64..=span.last)
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

    /// The first record of a span that is not before what is sought, and that `is_it`; none if the keys that follow are others.
    pub(super) fn find(
        &self,
        span: &Span,
        sought: &Sought,
        is_it: impl Fn(&[u8]) -> bool,
    ) -> Result<Option<R>, StorageError> {
        let pages = self.pages(span, sought)?;
        let (first, key) = (*pages.start(), beginning(&sought.key));
        for page in pages {
            if page > first && self.beginnings.key(&self.table, page)? > key {
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
    pub(super) fn below<T>(
        &self,
        span: &Span,
        path: &B256,
        nibbles: usize,
        mut take: impl FnMut(B256, R) -> Result<Option<T>, StorageError>,
    ) -> Result<Option<T>, StorageError> {
        let lowest = lowest(path, nibbles);
        for page in self.pages(span, &Sought { key: lowest, turn: 0 })? {
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

/// How many of `count` places lie before what is sought, whose key begins with `sought`: where a binary search would end, found with fewer
/// looks, since hashed keys are uniform: each guess leaves about the square root of the distance that was before.
#[inline]
fn lower_bound<E>(
    count: usize,
    sought: u64,
    key: impl Fn(usize) -> Result<u64, E>,
    is_before: impl Fn(usize) -> Result<bool, E>,
) -> Result<usize, E> {
    if count > LONG {
        let places = count as i128;
        let mut place = ((i128::from(sought) * places) >> 64).clamp(0, places - 1);
        for _ in 0..GUESSES {
            let missed = i128::from(sought) - i128::from(key(place as usize)?);
            place = (place + ((missed * places) >> 64)).clamp(0, places - 1);
        }
        let (from, to) = ((place as usize).saturating_sub(NEAR), (place as usize + NEAR).min(count));
        let found = search(from, to, &is_before)?;
        let begins = found > from || from == 0;
        let ends = found < to || to == count;
        if begins && ends {
            return Ok(found);
        }
    }
    search(0, count, &is_before)
}

/// The first of some places that is not before what is sought.
#[inline]
fn search<E>(mut low: usize, mut high: usize, is_before: impl Fn(usize) -> Result<bool, E>) -> Result<usize, E> {
    while low < high {
        let middle = low.midpoint(high);
        if is_before(middle)? { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

fn damaged(table: &Mapped, page: u64) -> StorageError {
    table.damaged(page, "a record is not one of this table")
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
            let mut keys: Vec<u64> = (0..count).map(|_| draw()).collect();
            keys.sort_unstable();
            let known = keys.iter().copied().step_by(7);
            for sought in known.chain((0..50).map(|_| draw())).chain([0, u64::MAX]) {
                let expected = keys.partition_point(|key| *key < sought);
                let key = |place: usize| Ok::<_, ()>(keys[place]);
                proptest::prop_assert_eq!(lower_bound(count, sought, key, |place| Ok(keys[place] < sought)), Ok(expected));
            }
        }
    }
}
