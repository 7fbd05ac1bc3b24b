//! What a reader that comes back has missed: blocks that were taken back, and blocks that came.
//!
//! Invariant: a reader is told of a block's logs as removed exactly if it was told of them before; both lists are of the same moment.
//! Bounds: blocks come [`MAX_LOG_BLOCKS`] at a time. Of the blocks taken back at once only those with logs are kept, at most [`MAX_REMOVED_LOGS`] logs, and so are all that
//! are remembered together, of at most [`MAX_REVERTS`] reverts. Who missed more is told so and must read again.
//! Source: geth (core/blockchain.go, `reorg`): logs of the old chain first, oldest first, then those of the new one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::chain::{Chain, lock};
use crate::logs::MAX_LOG_BLOCKS;
use crate::store::StoredBlock;

/// Logs of removed blocks that are kept for readers.
pub const MAX_REMOVED_LOGS: usize = 50_000;
/// Reverts that are kept for readers.
pub const MAX_REVERTS: usize = 1_024;

/// Blocks were taken back.
#[derive(Clone, Debug)]
pub struct Reverted {
    /// The newest block afterwards.
    pub head: Arc<StoredBlock>,
    /// The removed blocks that hold logs, oldest first.
    pub removed: Vec<Arc<StoredBlock>>,
    /// False when they hold more logs than the bound; `removed` is empty then.
    pub complete: bool,
    /// Whether other blocks take their place at once; then `head` is no news of its own.
    pub reorganised: bool,
}

impl Reverted {
    pub(crate) fn new(head: Arc<StoredBlock>, removed: Vec<Arc<StoredBlock>>, reorganised: bool) -> Self {
        let mut with_logs: Vec<_> = removed.into_iter().filter(|block| logs_of(block) > 0).collect();
        let complete = with_logs.iter().map(|block| logs_of(block)).sum::<usize>() <= MAX_REMOVED_LOGS;
        if !complete {
            with_logs.clear();
        }
        Self { head, removed: with_logs, complete, reorganised }
    }

    fn logs(&self) -> usize {
        self.removed.iter().map(|block| logs_of(block)).sum()
    }
}

fn logs_of(block: &StoredBlock) -> usize {
    block.receipts.iter().map(|receipt| receipt.envelope.logs().len()).sum()
}

/// The last reverts, numbered.
#[derive(Debug, Default)]
pub(crate) struct Reverts(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    last: VecDeque<Arc<Reverted>>,
    /// How many there were in all.
    count: u64,
    logs: usize,
}

impl Reverts {
    pub(crate) fn push(&self, reverted: Arc<Reverted>) {
        let mut kept = lock(&self.0);
        kept.count += 1;
        kept.logs += reverted.logs();
        kept.last.push_back(reverted);
        while kept.last.len() > MAX_REVERTS || kept.logs > MAX_REMOVED_LOGS {
            let Some(oldest) = kept.last.pop_front() else { break };
            kept.logs -= oldest.logs();
        }
    }

    fn count(&self) -> u64 {
        lock(&self.0).count
    }

    /// Those after the first `seen`; `None` when some are not kept any more.
    fn since(&self, seen: u64) -> Option<(Vec<Arc<Reverted>>, u64)> {
        let kept = lock(&self.0);
        let missed = usize::try_from(kept.count.saturating_sub(seen)).ok()?;
        let skip = kept.last.len().checked_sub(missed)?;
        Some((kept.last.iter().skip(skip).cloned().collect(), kept.count))
    }
}

/// How far a reader has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// First block that it was not told of.
    next: u64,
    reverts: u64,
}

impl Seen {
    /// As far as this, but of the blocks only up to `number`.
    #[must_use]
    pub fn up_to(self, number: u64) -> Self {
        Self { next: self.next.min(number.saturating_add(1)), ..self }
    }
}

/// What a reader has missed.
#[derive(Clone, Debug)]
pub struct News {
    /// Blocks with logs that it was told of and that are gone, in the order in which they were removed.
    pub removed: Vec<Arc<StoredBlock>>,
    /// Blocks that it was not told of, oldest first.
    pub blocks: Vec<Arc<StoredBlock>>,
    /// How far it has read with this.
    pub seen: Seen,
}

impl Chain {
    /// A reader who wants to know what comes from now on.
    #[must_use]
    pub fn seen(&self) -> Seen {
        let store = self.store();
        Seen { next: store.head().block.number() + 1, reverts: self.controls.reverts.count() }
    }

    /// What a reader missed who has read as far as `seen`; `None` when more was taken back since than is kept.
    #[must_use]
    pub fn news(&self, seen: Seen) -> Option<News> {
        // Blocks are taken back under the store's write lock, so all that is read here is of one moment.
        let store = self.store();
        let (reverts, count) = self.controls.reverts.since(seen.reverts)?;
        let (mut next, mut removed) = (seen.next, Vec::new());
        for reverted in reverts {
            let known = reverted.head.number() + 1 < next;
            if known && !reverted.complete {
                return None;
            }
            removed.extend(reverted.removed.iter().filter(|block| block.number() < next).cloned());
            next = next.min(reverted.head.number() + 1);
        }
        let last = store.head().block.number().min(next.saturating_add(MAX_LOG_BLOCKS - 1));
        let blocks = (next..=last).filter_map(|number| store.get(number)).map(|slot| Arc::clone(&slot.block)).collect();
        Some(News { removed, blocks, seen: Seen { next: last + 1, reverts: count } })
    }
}
