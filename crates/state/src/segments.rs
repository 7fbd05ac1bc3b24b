//! A vector that grows without moving: what it holds lies in segments, each as long as all before it together.
//!
//! Why: to grow a vector of gigabytes would copy it while a block waits, and need both copies at once.
//!
//! Invariant: an element never moves. Memory that no element was put into is not touched, and so is not resident.

use std::ops::{Index, IndexMut, Range};

/// Elements of the first segment, as a power of two.
const FIRST_BITS: u32 = 10;
/// The vector.
#[derive(Debug)]
pub(crate) struct Segments<T> {
    segments: Vec<Vec<T>>,
    len: usize,
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Self { segments: Vec::new(), len: 0 }
    }
}

/// Segment, and place in it.
const fn locate(index: usize) -> (usize, usize) {
    let at = index + (1 << FIRST_BITS);
    let bits = at.ilog2();
    ((bits - FIRST_BITS) as usize, at - (1 << bits))
}

impl<T> Segments<T> {
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, value: T) {
        let (segment, _) = locate(self.len);
        if segment == self.segments.len() {
            self.segments.push(Vec::with_capacity(1 << (FIRST_BITS as usize + segment)));
        }
        self.segments[segment].push(value);
        self.len += 1;
    }

    /// Whether the elements of `range` lie side by side.
    pub(crate) fn is_whole(range: &Range<usize>) -> bool {
        range.is_empty() || locate(range.start).0 == locate(range.end - 1).0
    }

    /// Elements that lie side by side.
    pub(crate) fn slice(&self, range: Range<usize>) -> &[T] {
        let (segment, start) = locate(range.start);
        &self.segments[segment][start..start + range.len()]
    }
}

impl<T> Index<usize> for Segments<T> {
    type Output = T;

    fn index(&self, index: usize) -> &T {
        let (segment, at) = locate(index);
        &self.segments[segment][at]
    }
}

impl<T> IndexMut<usize> for Segments<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        let (segment, at) = locate(index);
        &mut self.segments[segment][at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_what_was_put_in_and_moves_nothing() {
        let mut all = Segments::default();
        all.push(0u64);
        let first: *const u64 = &raw const all[0];
        for value in 1..300_000u64 {
            all.push(value);
        }
        assert_eq!((all.len(), first), (300_000, &raw const all[0]));
        assert!((0..all.len()).all(|index| all[index] == index as u64));
        all[1_024] = 7;
        assert_eq!(all.slice(1_024..1_027), [7, 1_025, 1_026]);
    }

    #[test]
    fn ranges_across_segments_are_not_whole() {
        for (range, whole) in [(0..1_024, true), (1_023..1_025, false), (1_024..3_072, true), (3_071..3_073, false)] {
            assert_eq!(Segments::<u8>::is_whole(&range), whole, "{range:?}");
        }
        assert!(Segments::<u8>::is_whole(&(1_024..1_024)));
    }
}
