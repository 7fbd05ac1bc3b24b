//! How many bytes all clients together may make the node hold.
//!
//! Invariant: the sum of what is held never exceeds the bound; what is held is given back when its holder is dropped.
//! What it does not do: it counts what is large; a thing below [`Budget::SMALL`] is bounded by the number of connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Bytes;

/// A number of bytes that may be held.
#[derive(Debug)]
pub(crate) struct Budget {
    held: AtomicUsize,
    max: usize,
}

impl Budget {
    /// Bytes of one thing below which it is not counted.
    pub(crate) const SMALL: usize = 64 * 1024;

    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), max })
    }

    /// Takes `bytes`; false when that is too many.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let more = |held: usize| held.checked_add(bytes).filter(|sum| *sum <= self.max);
        self.held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives `bytes` back.
    pub(crate) fn give(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Takes `bytes` until the result is dropped; `None` when that is too many.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Option<Held> {
        let counted = if bytes > Self::SMALL { bytes } else { 0 };
        (counted == 0 || self.take(counted)).then(|| Held { budget: Arc::clone(self), counted })
    }

    /// `answer` as bytes that are counted until the last of them left; `None` when there is no room for them.
    pub(crate) fn wrap(self: &Arc<Self>, answer: Vec<u8>) -> Option<Bytes> {
        if answer.len() <= Self::SMALL {
            return Some(answer.into());
        }
        let held = self.hold(answer.len())?;
        Some(Bytes::from_owner(Counted { answer, _held: held }))
    }
}

/// Bytes that count until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<Budget>,
    counted: usize,
}

impl Held {
    /// Takes more; false when that is too many.
    pub(crate) fn grow(&mut self, total: usize) -> bool {
        if total <= Budget::SMALL {
            return true;
        }
        let more = total.saturating_sub(self.counted);
        let taken = self.budget.take(more);
        if taken {
            self.counted += more;
        }
        taken
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.give(self.counted);
    }
}

struct Counted {
    answer: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = Budget::new(300_000);
        let answer = budget.wrap(vec![1; 200_000]).unwrap();
        let copy = answer.clone();
        assert!(budget.wrap(vec![1; 200_000]).is_none());
        assert!(budget.wrap(vec![1; 1_000]).is_some(), "small answers are not counted");
        drop(answer);
        assert!(budget.wrap(vec![1; 200_000]).is_none());
        drop(copy);
        assert!(budget.wrap(vec![1; 200_000]).is_some());
        let mut held = budget.hold(0).unwrap();
        assert!(held.grow(Budget::SMALL) && held.grow(300_000) && !held.grow(300_001));
        drop(held);
        assert_eq!(budget.held.load(Ordering::Relaxed), 0);
    }
}
