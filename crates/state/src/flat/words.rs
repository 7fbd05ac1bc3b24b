//! Records that are read without a lock while one writer changes them.
//!
//! A sequence lock: a writer makes the sequence odd, changes, and makes it even again; a reader reads and then looks whether the sequence
//! is the even one that it began with. Readers write nothing, so that any number of them on any number of cores do not slow each other
//! down, and the processor overlaps reads that do not depend on each other, which it does not across an atomic write.
//!
//! Invariant: all words are atomics, so a torn read is a wrong value and no more, and it is thrown away. Records never move.
//! Source: Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?" (MSPC 2012).

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Records of the first segment, as a power of two.
const FIRST_BITS: u32 = 6;
/// Segments, each as long as all before it together.
const SEGMENTS: usize = 26;

/// The lock's sequence.
#[derive(Debug, Default)]
pub(super) struct Sequence(AtomicU64);

/// A change that is going on; it ends when this is dropped.
pub(super) struct Change<'a>(&'a Sequence);

impl Sequence {
    /// What to give to [`Self::held`] after reading; `None` while something changes.
    #[inline]
    pub(super) fn begin(&self) -> Option<u64> {
        let sequence = self.0.load(Ordering::Acquire);
        sequence.is_multiple_of(2).then_some(sequence)
    }

    /// Whether nothing changed since `begin`.
    #[inline]
    pub(super) fn held(&self, begin: u64) -> bool {
        fence(Ordering::Acquire);
        self.0.load(Ordering::Relaxed) == begin
    }

    /// Begins a change. Whoever calls excludes other writers.
    pub(super) fn change(&self) -> Change<'_> {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        Change(self)
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        let Self(Sequence(sequence)) = self;
        sequence.store(sequence.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
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
        let words: Box<[AtomicU64]> = bytemuck::zeroed_slice_box(words + LINE - 1);
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
    #[inline]
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
