//! Where a key's record is: a hash table of numbers beside the records themselves.
//!
//! Invariant: a number that was put in is found under its hash until it is taken out.
//! A place holds 32 bits of the hash and 32 of the number. They give the place in a table of any size, so growing reads no record; the
//! table grows by as much as it has, and its first half stays where it is.
//! What it does not do: it holds no keys; who looks up compares the record. Readers do not lock; whoever writes excludes other
//! writers and tells readers by a [`super::words::Sequence`].

use super::words::Records;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Numbers are below it, so that one with the number of its part fits into 31 bits, and leaves the highest free.
pub(super) const MAX_NUMBERS: usize = (1 << 25) - 1;
/// Places of a table that holds nothing; a power of two.
const FIRST: usize = 64;
/// Of eight places, at most six are taken.
const FULL: usize = 6;

/// Numbers by hash.
#[derive(Debug)]
pub(super) struct Index {
    /// A number and one, with the upper half of its hash above; zero is none.
    places: Records<1>,
    /// A power of two.
    size: AtomicUsize,
    len: AtomicUsize,
}

impl Default for Index {
    fn default() -> Self {
        Self { places: Records::default(), size: AtomicUsize::new(FIRST), len: AtomicUsize::new(0) }
    }
}

/// The place where the search begins for what has this upper half of a hash.
const fn home(content: u64, size: usize) -> usize {
    (content >> 32) as usize & (size - 1)
}

impl Index {
    /// Bytes of the table.
    pub(super) fn bytes(&self) -> usize {
        self.size.load(Ordering::Relaxed) * 8
    }

    fn content(&self, place: usize) -> u64 {
        self.places.get(place).map_or(0, |[content]| content.load(Ordering::Relaxed))
    }

    /// What `take` has of the number with this hash of which it has something. In a torn read, any answer.
    #[inline(always)]
    pub(super) fn find<T>(&self, hash: u64, take: impl Fn(usize) -> Option<T>) -> Option<T> {
        let size = self.size.load(Ordering::Relaxed);
        let first = home(hash, size);
        // It ends at an empty place; the bound is for readers beside a writer.
        for step in 0..size {
            let content = self.content((first + step) & (size - 1));
            if content == 0 {
                return None;
            }
            if (content ^ hash) >> 32 == 0
                && let Some(found) = take((content as u32).wrapping_sub(1) as usize)
            {
                return Some(found);
            }
        }
        None
    }

    /// Puts a number in that is not there.
    ///
    /// # Panics
    /// For a number of [`MAX_NUMBERS`]: in all parts together, so many records of 64 bytes are 128 GiB.
    pub(super) fn insert(&self, hash: u64, number: usize) {
        assert!(number < MAX_NUMBERS, "a part of the flat state holds at most 2^25 records");
        let (size, len) = (self.size.load(Ordering::Relaxed), self.len.load(Ordering::Relaxed));
        if (len + 1) * 8 > size * FULL {
            self.grow(size);
        }
        self.place(hash >> 32 << 32 | (number as u64 + 1));
        self.len.store(len + 1, Ordering::Relaxed);
    }

    /// Takes a number out that is there. What follows moves up, so that no gap stands before what belongs there.
    pub(super) fn remove(&self, hash: u64, number: usize) {
        let size = self.size.load(Ordering::Relaxed);
        let wanted = hash >> 32 << 32 | (number as u64 + 1);
        let mut gap = home(wanted, size);
        while self.content(gap) != wanted {
            if self.content(gap) == 0 {
                return;
            }
            gap = (gap + 1) & (size - 1);
        }
        let mut place = gap;
        loop {
            place = (place + 1) & (size - 1);
            let content = self.content(place);
            if content == 0 {
                break;
            }
            // It may move to the gap unless its search begins behind it.
            let (from_home, from_gap) = (place.wrapping_sub(home(content, size)), place.wrapping_sub(gap));
            if from_home & (size - 1) >= from_gap & (size - 1) {
                self.places.store(gap, [content]);
                gap = place;
            }
        }
        self.places.store(gap, [0]);
        self.len.store(self.len.load(Ordering::Relaxed) - 1, Ordering::Relaxed);
    }

    fn grow(&self, size: usize) {
        let contents: Vec<u64> = (0..size).map(|place| self.content(place)).filter(|content| *content != 0).collect();
        (0..size).for_each(|place| self.places.store(place, [0]));
        self.size.store(2 * size, Ordering::Relaxed);
        contents.into_iter().for_each(|content| self.place(content));
    }

    fn place(&self, content: u64) {
        let size = self.size.load(Ordering::Relaxed);
        let mut place = home(content, size);
        while self.content(place) != 0 {
            place = (place + 1) & (size - 1);
        }
        self.places.store(place, [content]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_under_their_hashes_however_the_table_grew() {
        // Few hashes, so that many numbers share one, at the table's end too.
        let hash = |number: usize| (number as u64 % 97).wrapping_mul(0xffff_ffff_0000_0001).wrapping_sub(1);
        let index = Index::default();
        for number in 0..5_000 {
            assert_eq!(index.find(hash(number), |other| (other == number).then_some(other)), None);
            index.insert(hash(number), number);
        }
        for number in 0..5_000 {
            assert_eq!(index.find(hash(number), |other| (other == number).then_some(other)), Some(number));
            assert_eq!(index.find(hash(number) ^ 1 << 40, |other| (other == number).then_some(other)), None);
        }
        assert_eq!(index.bytes(), 8 * 8_192);
        // Those that are taken out are gone, and nothing else; what is put in again is there.
        for number in (0..5_000).filter(|number| number % 3 == 0) {
            index.remove(hash(number), number);
            index.remove(hash(number), number);
        }
        for number in 0..5_000 {
            let found = index.find(hash(number), |other| (other == number).then_some(other));
            assert_eq!(found, (number % 3 != 0).then_some(number));
        }
        (0..5_000).filter(|number| number % 3 == 0).for_each(|number| index.insert(hash(number), number));
        for number in 0..5_000 {
            assert_eq!(index.find(hash(number), |other| (other == number).then_some(other)), Some(number));
        }
        assert_eq!(index.bytes(), 8 * 8_192);
    }
}
