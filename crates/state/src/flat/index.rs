//! Where a key's entry is: a hash table of numbers beside the entries themselves.
//!
//! Invariant: a number that was put in is found under its hash for ever; entries are never removed, so neither are numbers.
//! A place holds 32 bits of the hash and 32 of the number. They give the place in a table of any size, so growing reads no entry.
//! What it does not do: it holds no keys; who looks up compares the entry.

/// No number.
const NONE: u64 = u32::MAX as u64;
/// Numbers are below it, so that one with the number of its part fits into 31 bits.
pub(super) const MAX_NUMBERS: usize = 1 << 25;
/// Of eight places, at most six are taken.
const FULL: usize = 6;

/// Numbers by hash.
#[derive(Debug)]
pub(super) struct Index {
    /// A power of two of them.
    places: Vec<u64>,
    len: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self { places: vec![NONE; 8], len: 0 }
    }
}

impl Index {
    /// Bytes of the table.
    pub(super) const fn bytes(&self) -> usize {
        self.places.len() * 8
    }

    /// The place where the search for a hash begins: its upper bits, which are the upper bits of a place's content too.
    const fn home(&self, hash: u64) -> usize {
        // There are at least eight places, so the shift is below 64.
        (hash >> (64 - self.places.len().trailing_zeros())) as usize
    }

    /// The number with this hash for which `is_it` holds.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let mask = self.places.len() - 1;
        let mut place = self.home(hash);
        loop {
            let content = self.places[place];
            if content as u32 == u32::MAX {
                return None;
            }
            if (content ^ hash) >> 32 == 0 && is_it(content as u32 as usize) {
                return Some(content as u32 as usize);
            }
            place = (place + 1) & mask;
        }
    }

    /// Puts a number in that is not there.
    ///
    /// # Panics
    /// For a number of [`MAX_NUMBERS`]: in all parts together, so many entries of 64 bytes are 128 GiB.
    pub(super) fn insert(&mut self, hash: u64, number: usize) {
        assert!(number < MAX_NUMBERS, "a part of the flat state holds at most 2^25 entries");
        if (self.len + 1) * 8 > self.places.len() * FULL {
            let more = vec![NONE; self.places.len() * 2];
            let before = core::mem::replace(&mut self.places, more);
            before.into_iter().filter(|content| *content as u32 != u32::MAX).for_each(|content| self.place(content));
        }
        self.place(hash >> 32 << 32 | number as u64);
        self.len += 1;
    }

    fn place(&mut self, content: u64) {
        let mask = self.places.len() - 1;
        let mut place = self.home(content);
        while self.places[place] as u32 != u32::MAX {
            place = (place + 1) & mask;
        }
        self.places[place] = content;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_under_their_hashes_however_the_table_grew() {
        // Few hashes, so that many numbers share one, at the table's end too.
        let hash = |number: usize| (number as u64 % 97).wrapping_mul(0xffff_ffff_0000_0001).wrapping_sub(1);
        let mut index = Index::default();
        for number in 0..5_000 {
            assert_eq!(index.find(hash(number), |other| other == number), None);
            index.insert(hash(number), number);
        }
        for number in 0..5_000 {
            assert_eq!(index.find(hash(number), |other| other == number), Some(number));
            assert_eq!(index.find(hash(number) ^ 1 << 32, |other| other == number), None);
        }
        assert_eq!(index.bytes(), 8 * 8_192);
    }
}
