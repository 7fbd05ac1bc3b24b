//! Reading ahead what an access list names, where a read may wait for a disk or a network.
//!
//! Why: a thread that executes waits for one place after the other; these wait for several at once, and use no processor meanwhile.
//! Invariant: it changes when the state is read, and nothing else; a place that cannot be read is left to who needs it.
//! Bounds: [`READERS`] threads; no more is read than the list names, and nothing once the block is done or the list is found to lie.
//! What it does not do: code, which a list does not say whether anyone calls.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use interlace_stf::StateReader;

use crate::listed::Listed;

/// Places that are read at the same time.
pub(crate) const READERS: usize = 8;

/// What is left to be read.
pub(crate) struct Prefetch<'a> {
    listed: &'a Listed<'a>,
    /// Of each account, the number of its first place, which is the account itself; its slots follow.
    starts: Vec<usize>,
    places: usize,
    next: AtomicUsize,
}

impl<'a> Prefetch<'a> {
    pub(crate) fn new(listed: &'a Listed<'a>) -> Self {
        let mut places = 0;
        let start = |slots: usize| {
            let start = places;
            places += 1 + slots;
            start
        };
        let starts = listed.slots().map(start).collect();
        Self { listed, starts, places, next: AtomicUsize::new(0) }
    }

    /// Reads until nothing is left, or it is over. A reader that panics is given up.
    pub(crate) fn run<R: StateReader>(&self, state: &R, over: &AtomicBool) {
        let _ = catch_unwind(AssertUnwindSafe(|| {
            while !over.load(Ordering::Relaxed) {
                let place = self.next.fetch_add(1, Ordering::Relaxed);
                if place >= self.places {
                    return;
                }
                let account = self.starts.partition_point(|start| *start <= place) - 1;
                self.listed.read(state, account, (place - self.starts[account]).checked_sub(1));
            }
        }));
    }
}
