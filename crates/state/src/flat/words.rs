//! Records that are read without a lock while one writer changes them.
//!
//! A sequence lock: a writer makes the sequence odd, changes, and makes it even again; a reader reads and then looks whether the sequence
//! is the even one that it began with. Readers write nothing, so that any number of them on any number of cores do not slow each other
//! down, and the processor overlaps reads that do not depend on each other, which it does not across an atomic write.
//!
//! Invariant: all words are atomics, so a torn read is a wrong value and no more, and it is thrown away. Records never move.
//! Source: Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?" (MSPC 2012).

use std::sync::OnceLock;

use crate::sync::atomic::{AtomicU64, Ordering, fence};
use crate::sync::spin_loop;

/// Records of the first segment, as a power of two.
const FIRST_BITS: u32 = 6;
/// Segments, each as long as all before it together.
const SEGMENTS: usize = 26;

/// Reads beside a writer before the reader waits for it.
const TRIES: usize = if cfg!(feature = "loom") { 1 } else { 32 };

/// The lock's sequence, and the newest version that was written under it.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    number: AtomicU64,
    version: AtomicU64,
}

/// A change that is going on; it ends when this is dropped.
pub(super) struct Change<'a>(&'a Sequence);

impl Sequence {
    /// What `read` has of the newest values, if they are those of `version` and nothing changed meanwhile. Else whoever asks takes the lock.
    #[inline(always)]
    pub(super) fn read<T>(&self, version: u64, read: impl Fn() -> T) -> Option<T> {
        for _ in 0..TRIES {
            let number = self.number.load(Ordering::Acquire);
            if !number.is_multiple_of(2) {
                spin_loop();
                continue;
            }
            let is_newest = self.is_newest(version);
            let found = read();
            fence(Ordering::Acquire);
            if self.number.load(Ordering::Relaxed) == number {
                return is_newest.then_some(found);
            }
        }
        None
    }

    /// Whether nothing was written after `version`.
    #[inline]
    pub(super) fn is_newest(&self, version: u64) -> bool {
        self.version.load(Ordering::Relaxed) <= version
    }

    /// Begins a change of `version`. Whoever calls excludes other writers.
    pub(super) fn change(&self, version: u64) -> Change<'_> {
        self.number.store(self.number.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        self.version.store(version, Ordering::Relaxed);
        Change(self)
    }

    /// The newest version that was written.
    pub(super) fn newest(&self) -> u64 {
        self.version.load(Ordering::Relaxed)
    }

    /// Begins to undo what is newer than `target`.
    pub(super) fn undo(&self, target: u64) -> Change<'_> {
        self.change(self.version.load(Ordering::Relaxed).min(target))
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let Self(Sequence { number, .. }) = self;
        number.store(number.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

/// A set of numbers.
#[derive(Debug, Default)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    pub(super) fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    pub(super) fn add(&mut self, number: usize) {
        if self.0.len() <= number / 64 {
            self.0.resize(number / 64 + 1, 0);
        }
        self.0[number / 64] |= 1 << (number % 64);
    }

    /// Takes a number out, and says whether it was there.
    pub(super) fn remove(&mut self, number: usize) -> bool {
        let had = self.has(number);
        if had {
            self.0[number / 64] ^= 1 << (number % 64);
        }
        had
    }
}

/// Whether words are the same. As arrays they may be compared through memory, in one piece that was stored in several: such a load waits
/// for the stores, and they for every read before, so that no read would overlap with another.
#[inline(always)]
pub(super) fn same<const N: usize>(one: [u64; N], other: [u64; N]) -> bool {
    one.iter().zip(&other).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

/// Words of a line of the cache.
const LINE: usize = 8;

/// Words, the first of which at a line's beginning comes after some that are not used.
#[derive(Debug)]
struct Segment {
    words: Box<[AtomicU64]>,
    skip: usize,
}

impl Segment {
    fn new(words: usize) -> Self {
        #[cfg(not(any(feature = "shuttle", feature = "loom")))]
        let words: Box<[AtomicU64]> = bytemuck::zeroed_slice_box(words + LINE - 1);
        // Those of the checkers are more than their words.
        #[cfg(any(feature = "shuttle", feature = "loom"))]
        let words: Box<[AtomicU64]> = (0..words + LINE - 1).map(|_| AtomicU64::default()).collect();
        let skip = words.as_ptr().addr().wrapping_neg() / size_of::<u64>() % LINE;
        Self { words, skip }
    }

    #[inline]
    fn records<const W: usize>(&self) -> &[[AtomicU64; W]] {
        self.words[self.skip..].as_chunks().0
    }
}

/// Records of `W` words, in segments that are made when they are needed and never move.
#[derive(Debug)]
pub(super) struct Records<const W: usize> {
    segments: [OnceLock<Segment>; SEGMENTS],
}

impl<const W: usize> Default for Records<W> {
    fn default() -> Self {
        Self { segments: [const { OnceLock::new() }; SEGMENTS] }
    }
}

/// Segment, and place in it.
const fn locate(index: usize) -> (usize, usize) {
    let at = index + (1 << FIRST_BITS);
    let bits = at.ilog2();
    ((bits - FIRST_BITS) as usize, at - (1 << bits))
}

impl<const W: usize> Records<W> {
    /// The words of a record; `None` if no segment has it, which a reader may meet in a torn read.
    #[inline(always)]
    pub(super) fn get(&self, index: usize) -> Option<&[AtomicU64; W]> {
        let (segment, at) = locate(index);
        self.segments.get(segment)?.get()?.records().get(at)
    }

    /// The words of a record, whose segment is made if it is not there. Memory of it that is not written stays unused.
    ///
    /// # Panics
    /// Beyond 2^31 records.
    pub(super) fn make(&self, index: usize) -> &[AtomicU64; W] {
        let (segment, at) = locate(index);
        let make = || Segment::new(W << (FIRST_BITS as usize + segment));
        &self.segments[segment].get_or_init(make).records()[at]
    }

    /// Loads a record.
    #[inline]
    pub(super) fn load(&self, index: usize) -> Option<[u64; W]> {
        Some(self.get(index)?.each_ref().map(|word| word.load(Ordering::Relaxed)))
    }

    /// Stores a record.
    pub(super) fn store(&self, index: usize, words: [u64; W]) {
        for (place, word) in self.make(index).iter().zip(words) {
            place.store(word, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, feature = "loom"))]
mod every_order {
    //! ```text
    //! cargo test --release -p interlace-state --features sim,loom --lib every_order
    //! ```
    #![allow(clippy::unwrap_used)]
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicU64, Ordering};
    use loom::thread;

    use super::Sequence;

    #[test]
    fn a_reader_sees_all_of_a_change_or_nothing() {
        loom::model(|| {
            let shared = Arc::new((Sequence::default(), [AtomicU64::new(0), AtomicU64::new(0)]));
            let written = Arc::clone(&shared);
            let writer = thread::spawn(move || {
                let (sequence, words) = &*written;
                for version in 1..=2 {
                    let _change = sequence.change(version);
                    words.iter().for_each(|word| word.store(version, Ordering::Relaxed));
                }
            });
            let (sequence, words) = &*shared;
            let load = || [0, 1].map(|word: usize| words[word].load(Ordering::Relaxed));
            if let Some([one, other]) = sequence.read(1, load) {
                assert!(one == other && one <= 1, "{one} and {other} were read as version 1");
            }
            writer.join().unwrap();
            assert_eq!(sequence.read(2, load), Some([2, 2]));
        });
    }
}
