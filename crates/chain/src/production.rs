//! Whose turn it is: one block is built while the one before it is sealed, that is, gets its root, enters the log and is committed.
//!
//! ```text
//! building │ block n │ block n+1      │ block n+2      │
//! sealing            │ block n │      │ block n+1 │
//! ```
//! Invariant: at most one block is built and at most one is sealed; a block begins to be sealed when the one before it is committed, and in the
//! order in which blocks were built. Whoever has what [`Production::alone`] gives is alone: nothing is built, and nothing is sealed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use alloy_consensus::Header;
use interlace_state::{Snapshot, Unsealed};

use crate::chain::lock;

/// A block that is being sealed, as far as the next one needs to know it.
#[derive(Debug)]
pub(crate) struct Parent {
    /// Its header, without state root.
    pub(crate) header: Header,
    /// The state after it.
    pub(crate) state: Unsealed,
}

/// Who builds and what is being sealed.
#[derive(Debug, Default)]
pub(crate) struct Production {
    building: Mutex<()>,
    /// How many wait for the right to build, and how many have got it.
    waiting: AtomicUsize,
    served: AtomicUsize,
    sealing: Mutex<Option<Arc<Parent>>>,
    sealed: Condvar,
}

/// The right to build.
pub(crate) type Building<'a> = MutexGuard<'a, ()>;

/// The right to seal a block; what becomes of it is told to who builds on it.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    production: &'a Production,
    parent: Arc<Parent>,
}

impl Production {
    /// Waits until it may build.
    pub(crate) fn build(&self) -> Building<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let building = lock(&self.building);
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.served.fetch_add(1, Ordering::Relaxed);
        building
    }

    /// Lets somebody build who waits for it: who builds one block after the other would let nobody in between.
    pub(crate) fn give_way(&self) {
        let served = self.served.load(Ordering::Relaxed);
        while self.waiting.load(Ordering::Relaxed) > 0 && self.served.load(Ordering::Relaxed) == served {
            thread::yield_now();
        }
    }

    /// Waits until nothing is built or sealed.
    pub(crate) fn alone(&self) -> Building<'_> {
        let building = self.build();
        self.wait(&building);
        building
    }

    /// Waits until the block that is being sealed is committed or given up; whoever builds is alone then.
    pub(crate) fn wait(&self, _building: &Building<'_>) {
        let sealing = self.sealed.wait_while(lock(&self.sealing), |sealing| sealing.is_some());
        drop(sealing.unwrap_or_else(PoisonError::into_inner));
    }

    /// The block that is being sealed.
    pub(crate) fn parent(&self) -> Option<Arc<Parent>> {
        lock(&self.sealing).clone()
    }

    /// Says that a block is sealed from now on; whoever built it waited until it was alone.
    pub(crate) fn seal(&self, _alone: &Building<'_>, header: Header, state: Unsealed) -> Turn<'_> {
        let parent = Arc::new(Parent { header, state });
        *lock(&self.sealing) = Some(Arc::clone(&parent));
        Turn { production: self, parent }
    }
}

impl Turn<'_> {
    /// Says that the block is committed.
    pub(crate) fn committed(&self, state: &Snapshot) {
        self.parent.state.seal(Some(state.clone()));
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.parent.state.seal(None); // Unless it was committed: then that was said.
        lock(&self.production.sealing).take();
        self.production.sealed.notify_all();
    }
}
