//! The transactions admitted last, numbered, so that any number of readers can ask for what came since they asked before.
//!
//! Invariant: at most [`MAX_RECENT`] hashes are held; a reader that was away for longer misses the oldest.

use std::collections::VecDeque;

use alloy_primitives::B256;

/// Hashes that are remembered.
pub const MAX_RECENT: usize = 65_536;

/// The hashes, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Number of the first that is held.
    first: u64,
    hashes: VecDeque<B256>,
}

impl Recent {
    pub(crate) fn push(&mut self, hash: B256) {
        if self.hashes.len() == MAX_RECENT {
            self.hashes.pop_front();
            self.first += 1;
        }
        self.hashes.push_back(hash);
    }

    /// The number that the next one will have.
    pub(crate) fn next(&self) -> u64 {
        self.first + self.hashes.len() as u64
    }

    /// Those from number `from` on.
    pub(crate) fn since(&self, from: u64) -> Vec<B256> {
        let skipped = usize::try_from(from.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.hashes.iter().skip(skipped).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_gets_what_came_since_or_what_is_left_of_it() {
        let mut recent = Recent::default();
        for number in 0..MAX_RECENT as u64 + 10 {
            assert_eq!(recent.next(), number);
            recent.push(B256::from(alloy_primitives::U256::from(number)));
        }
        assert!(recent.since(recent.next()).is_empty());
        assert!(recent.since(u64::MAX).is_empty());
        assert_eq!(recent.since(recent.next() - 3).len(), 3);
        assert_eq!(recent.since(0).len(), MAX_RECENT);
    }
}
