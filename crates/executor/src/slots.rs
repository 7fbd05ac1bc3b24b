//! Who executes which transaction, and what came of it.
//!
//! With the feature `loom`, for the test of all orders alone, locks and atomics are those of a checker.
//!
//! Invariant: a transaction is taken by one thread, and what that thread tells of it is told once. Who sees it ready sees what was told.

use std::sync::PoisonError;

#[cfg(feature = "loom")]
use loom::sync::{
    Mutex,
    atomic::{AtomicU8, Ordering},
};
#[cfg(not(feature = "loom"))]
use std::sync::{
    Mutex,
    atomic::{AtomicU8, Ordering},
};

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

#[cfg(all(test, feature = "loom"))]
mod every_order {
    //! All orders that the memory model allows, of threads that want the same transactions.
    //!
    //! ```text
    //! cargo test --release -p interlace-executor --features loom --lib every_order
    //! ```
    #![allow(clippy::unwrap_used)]

    use loom::sync::Arc;
    use loom::sync::atomic::AtomicUsize;
    use loom::thread;

    use super::*;

    struct Shared {
        slots: Slots<usize>,
        /// Who executed it, added up.
        done: AtomicUsize,
    }

    impl Shared {
        fn execute(&self, by: usize) {
            let taken = self.slots.taken(0);
            self.done.fetch_add(by, Ordering::Relaxed);
            taken.tell(by);
        }
    }

    /// One thread executes, or the committer does; what the thread told is there when the committer sees it ready.
    #[test]
    fn one_is_executed_once_and_what_is_ready_was_told() {
        loom::model(|| {
            let shared = Arc::new(Shared { slots: Slots::new(1), done: AtomicUsize::new(0) });
            let helpers = [1, 2].map(|by| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    if shared.slots.is_free(0) && shared.slots.claim(0) {
                        shared.execute(by);
                    }
                })
            });
            loop {
                match shared.slots.state(0) {
                    READY => {
                        let told = shared.slots.told(0);
                        assert_eq!(told, Some(shared.done.load(Ordering::Relaxed)));
                        break;
                    }
                    FREE if shared.slots.claim(0) => {
                        shared.execute(4);
                        break;
                    }
                    _ => thread::yield_now(),
                }
            }
            for helper in helpers {
                helper.join().unwrap();
            }
            assert_eq!(shared.slots.state(0), READY);
            let by = shared.done.load(Ordering::Relaxed);
            assert!([1, 2, 4].contains(&by), "{by}");
        });
    }

    /// One that was taken and not told of is seen to have failed, never to be ready.
    #[test]
    fn who_gives_up_is_seen_to() {
        loom::model(|| {
            let slots = Arc::new(Slots::<usize>::new(1));
            let helper = {
                let slots = Arc::clone(&slots);
                thread::spawn(move || {
                    if slots.claim(0) {
                        drop(slots.taken(0));
                    }
                })
            };
            let state = slots.state(0);
            assert!([FREE, TAKEN, FAILED].contains(&state));
            let own = state == FREE && slots.claim(0);
            helper.join().unwrap();
            assert_eq!(slots.state(0), if own { TAKEN } else { FAILED });
            assert!(slots.told(0).is_none());
        });
    }
}
