//! Who executes which transaction, and what came of it.
//!
//! Invariant: a transaction is taken by one thread, and what that thread tells of it is told once. Who sees it ready sees what was told.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

/// Nobody has it.
pub(crate) const FREE: u8 = 0;
/// A thread executes it.
pub(crate) const TAKEN: u8 = 1;
/// It was executed.
pub(crate) const READY: u8 = 2;
/// It could not be executed.
pub(crate) const FAILED: u8 = 3;

#[derive(Debug)]
struct Slot<T> {
    state: AtomicU8,
    /// Whoever took the transaction puts it there before it is ready, the committer takes it out afterwards: nobody ever waits for this lock.
    told: Mutex<Option<T>>,
}

/// One place for each transaction.
#[derive(Debug)]
pub(crate) struct Slots<T>(Vec<Slot<T>>);

/// Gives a transaction up, unless something was told of it.
pub(crate) struct Taken<'a, T>(&'a Slot<T>);

impl<T> Drop for Taken<'_, T> {
    fn drop(&mut self) {
        let _ = self.0.state.compare_exchange(TAKEN, FAILED, Ordering::Release, Ordering::Relaxed);
    }
}

impl<T> Taken<'_, T> {
    /// Tells what came of it.
    pub(crate) fn tell(self, told: T) {
        *self.0.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        self.0.state.store(READY, Ordering::Release);
    }
}

impl<T> Slots<T> {
    pub(crate) fn new(transactions: usize) -> Self {
        let slot = |_| Slot { state: AtomicU8::new(FREE), told: Mutex::new(None) };
        Self((0..transactions).map(slot).collect())
    }

    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn state(&self, transaction: usize) -> u8 {
        self.0[transaction].state.load(Ordering::Acquire)
    }

    /// Whether nobody has it, as far as one can see.
    pub(crate) fn is_free(&self, transaction: usize) -> bool {
        self.0[transaction].state.load(Ordering::Relaxed) == FREE
    }

    /// Takes a transaction that nobody has.
    pub(crate) fn claim(&self, transaction: usize) -> bool {
        let state = &self.0[transaction].state;
        state.compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed).is_ok()
    }

    /// One that was claimed, to be told of.
    pub(crate) fn taken(&self, transaction: usize) -> Taken<'_, T> {
        Taken(&self.0[transaction])
    }

    /// What was told of a transaction that is [`READY`].
    pub(crate) fn told(&self, transaction: usize) -> Option<T> {
        self.0[transaction].told.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
