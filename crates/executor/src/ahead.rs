//! What the threads of one block share, and what a helper does with it.
//!
//! Invariant: how a transaction went into the block is told once and never changed; who sees a frontier sees all that was told before it.
//! Bounds: helpers keep within [`MAX_AHEAD`] transactions of the committer; what was executed ahead is dropped with the block.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use alloy_consensus::Transaction as _;
use alloy_eips::Encodable2718;
use alloy_primitives::{Address, TxKind};
use interlace_stf::{EvmError, Speculation, StateReader, Step, Transaction, TxRequest, Vm, request_of};

use crate::pace::{Pace, Point};
use crate::plan::Plan;
use crate::slots::Slots;

/// How far helpers run ahead, in transactions.
pub const MAX_AHEAD: usize = 128;

/// What is known of a transaction that was executed ahead.
#[derive(Debug)]
pub(crate) struct Ahead {
    /// How many transactions were in the block.
    pub(crate) frontier: usize,
    pub(crate) speculation: Speculation,
    /// The transaction's bytes, if it has any.
    pub(crate) encoded: Vec<u8>,
}

/// What is to be executed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Given<'a> {
    /// Transactions with their senders.
    Transactions(&'a [(&'a Transaction, Address)]),
    /// What transactions ask for.
    Requests(&'a [TxRequest]),
}

impl<'a> Given<'a> {
    pub(crate) const fn len(self) -> usize {
        match self {
            Self::Transactions(list) => list.len(),
            Self::Requests(list) => list.len(),
        }
    }

    pub(crate) fn request(self, transaction: usize) -> Cow<'a, TxRequest> {
        match self {
            Self::Transactions(list) => {
                let (tx, sender) = list[transaction];
                Cow::Owned(request_of(tx, sender))
            }
            Self::Requests(list) => Cow::Borrowed(&list[transaction]),
        }
    }

    /// Where a transaction goes, and its input.
    pub(crate) fn call(self, transaction: usize) -> (TxKind, &'a [u8]) {
        match self {
            Self::Transactions(list) => (list[transaction].0.kind(), list[transaction].0.input()),
            Self::Requests(list) => (list[transaction].to, &list[transaction].input),
        }
    }

    fn encoded(self, transaction: usize) -> Vec<u8> {
        match self {
            Self::Transactions(list) => list[transaction].0.encoded_2718(),
            Self::Requests(_) => Vec::new(),
        }
    }
}

/// What the threads of one block share.
#[derive(Debug)]
pub(crate) struct Shared<'a, P> {
    pub(crate) given: Given<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) slots: Slots<Ahead>,
    /// How each went into the block; nothing, if it was refused.
    settled: Vec<OnceLock<Option<Step>>>,
    /// Transactions that are in the block.
    frontier: AtomicUsize,
    /// How far helpers may run ahead now.
    window: AtomicUsize,
    over: AtomicBool,
    pub(crate) pace: &'a P,
}

/// Tells helpers that it is over, however the committer ends.
pub(crate) struct Over<'a>(&'a AtomicBool);

impl<'a> Over<'a> {
    pub(crate) const fn of(over: &'a AtomicBool) -> Self {
        Self(over)
    }
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl<'a, P: Pace> Shared<'a, P> {
    pub(crate) fn new(given: Given<'a>, plan: &'a Plan, pace: &'a P) -> Self {
        Self {
            given,
            plan,
            slots: Slots::new(given.len()),
            settled: (0..given.len()).map(|_| OnceLock::new()).collect(),
            frontier: AtomicUsize::new(0),
            window: AtomicUsize::new(MAX_AHEAD),
            over: AtomicBool::new(false),
            pace,
        }
    }

    pub(crate) const fn until_over(&self) -> Over<'_> {
        Over::of(&self.over)
    }

    /// Takes the next transaction that is worth executing while `frontier` are in the block.
    pub(crate) fn take(&self, frontier: usize) -> Option<usize> {
        let end = self.slots.len().min(frontier + 1 + self.window.load(Ordering::Relaxed));
        let worth = |transaction: &usize| self.slots.is_free(*transaction) && !self.plan.waits(*transaction, frontier);
        (frontier + 1..end).find(|transaction| worth(transaction) && self.slots.claim(*transaction))
    }

    /// Executes a transaction that was taken, on a state with `frontier` transactions in it, and tells the result.
    pub(crate) fn run<E>(
        &self,
        transaction: usize,
        frontier: usize,
        speculate: impl FnOnce(&TxRequest) -> Result<Speculation, EvmError<E>>,
    ) where
        E: std::error::Error + Send + Sync + 'static,
    {
        let taken = self.slots.taken(transaction);
        self.pace.at(Point::Claimed, transaction);
        let Ok(speculation) = speculate(&self.given.request(transaction)) else { return };
        let ahead = Ahead { frontier, speculation, encoded: self.given.encoded(transaction) };
        self.pace.at(Point::Executed, transaction);
        taken.tell(ahead);
    }

    /// Tells how a transaction went into the block. Called in order, by the committer.
    pub(crate) fn settle(&self, transaction: usize, step: Option<Step>) {
        let _ = self.settled[transaction].set(step);
        self.pace.at(Point::Settled, transaction);
        self.frontier.store(transaction + 1, Ordering::Release);
    }

    /// Lets helpers run so far ahead from now on.
    pub(crate) fn reach(&self, window: usize) {
        self.window.store(window, Ordering::Relaxed);
    }

    /// Executes ahead until the block is done. A machine that panics is given up, and what it had taken is left to the committer.
    pub(crate) fn help<R: StateReader>(&self, mut vm: Vm<R>) {
        let mut followed = 0;
        let _ = catch_unwind(AssertUnwindSafe(|| {
            let mut idle = Idle::default();
            while !self.over.load(Ordering::Acquire) {
                let frontier = self.frontier.load(Ordering::Acquire);
                self.pace.at(Point::Looked, frontier);
                while followed < frontier {
                    if self.follow(&mut vm, followed).is_none() {
                        return;
                    }
                    followed += 1;
                }
                match self.take(frontier) {
                    Some(transaction) => {
                        self.run(transaction, frontier, |request| vm.speculate(request));
                        idle = Idle::default();
                    }
                    None => idle.wait(),
                }
            }
        }));
    }

    /// Does what the committer did with a transaction that is in the block.
    fn follow<R: StateReader>(&self, vm: &mut Vm<R>, transaction: usize) -> Option<()> {
        match self.settled[transaction].get()? {
            Some(step) => vm.follow(step).ok(),
            None => Some(()),
        }
    }
}

/// Waits ever longer for work.
#[derive(Debug, Default)]
pub(crate) struct Idle(u32);

impl Idle {
    /// Asks the processor, then the system, and at last sleeps: a helper without work must not take the committer's.
    pub(crate) fn wait(&mut self) {
        self.0 += 1;
        match self.0 {
            0..64 => std::hint::spin_loop(),
            64..96 => thread::yield_now(),
            _ => thread::sleep(Duration::from_micros(20)),
        }
    }

    /// As [`Self::wait`], without sleep: the committer is what the others wait for.
    pub(crate) fn spin(&mut self) {
        self.0 += 1;
        if self.0 < 64 { std::hint::spin_loop() } else { thread::yield_now() }
    }
}
