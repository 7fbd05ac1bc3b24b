//! When checkpoints of the state are written, and by whom.
//!
//! Invariant: at most one is written at a time, on a thread of its own, and no block waits for it. What fails is told and tried again after
//! as much of the log once more; the checkpoint before counts meanwhile.
//! What it does not do: a chain that loaded a dump has no checkpoints.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use interlace_state::checkpoint::{CheckpointStats, Checkpoints, Progress};
use interlace_state::log::Log;
use interlace_state::{MemoryState, StorageError};

use crate::chain::{Chain, lock};
use crate::error::ChainError;
use crate::metrics::CheckpointMetrics;

/// Least bytes of the log behind which a checkpoint is written; more for a larger state, so that no more is written for checkpoints than for
/// the log.
pub const MIN_CHECKPOINT_BYTES: u64 = 256 << 20;

/// Blocks before the newest one whose states a chain that keeps all holds in memory even if they are on disk: as many as `minimal` keeps, and
/// more than chains go back by.
pub(crate) const ARCHIVE_WINDOW: u64 = 128;

/// Writes checkpoints.
#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    /// None once the folder is let go.
    checkpoints: Mutex<Option<Checkpoints>>,
    log: Arc<Log>,
    metrics: CheckpointMetrics,
    least: u64,
    /// Bytes of the log since the newest checkpoint was begun.
    logged: AtomicU64,
    /// Bytes of the newest checkpoint.
    bytes: AtomicU64,
    stop: AtomicBool,
    /// Whether the log holds a dump, behind which no checkpoint may be.
    refused: AtomicBool,
}

impl Keeper {
    /// `bytes` are those of the newest checkpoint.
    pub(crate) fn new(
        checkpoints: Checkpoints,
        bytes: u64,
        log: Arc<Log>,
        metrics: CheckpointMetrics,
        least: u64,
    ) -> Self {
        let shared = Shared {
            checkpoints: Mutex::new(Some(checkpoints)),
            log,
            metrics,
            least,
            logged: AtomicU64::default(),
            bytes: AtomicU64::new(bytes),
            stop: AtomicBool::default(),
            refused: AtomicBool::default(),
        };
        Self { shared: Arc::new(shared), thread: Mutex::default() }
    }

    /// Bytes were written to the log.
    pub(crate) fn logged(&self, bytes: u64) {
        self.shared.logged.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Writes no checkpoint from now on.
    pub(crate) fn refuse(&self) {
        self.shared.refused.store(true, Ordering::Relaxed);
    }

    /// Begins a checkpoint if enough was logged since the last one.
    fn consider(&self, state: impl FnOnce() -> MemoryState) {
        let shared = &self.shared;
        let due = shared.least.max(shared.bytes.load(Ordering::Relaxed));
        if shared.logged.load(Ordering::Relaxed) < due || shared.refused.load(Ordering::Relaxed) {
            return;
        }
        let mut thread = lock(&self.thread);
        if thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let state = state();
        if state.kept().is_none() && state.history().is_none() {
            return;
        }
        let shared = Arc::clone(shared);
        let write = move || {
            // Both outcomes have been told.
            let _ = shared.write(&state, &|_, _| true);
        };
        match std::thread::Builder::new().name("interlace-checkpoint".into()).spawn(write) {
            Ok(started) => *thread = Some(started),
            Err(error) => tracing::error!(%error, "no thread for a checkpoint"),
        }
    }

    /// Gives up what is being written, and lets the folder go.
    pub(crate) fn close(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = lock(&self.thread).take() {
            // A thread that panicked has nothing more to say; the checkpoint before counts.
            let _ = thread.join();
        }
        lock(&self.shared.checkpoints).take();
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn write(&self, state: &MemoryState, progress: Progress<'_>) -> Result<Option<CheckpointStats>, StorageError> {
        let mut checkpoints = lock(&self.checkpoints);
        let Some(checkpoints) = checkpoints.as_mut() else { return Ok(None) };
        self.logged.store(0, Ordering::Relaxed);
        let go_on = |done, all| !self.stop.load(Ordering::Relaxed) && progress(done, all);
        let outcome = checkpoints.write(state, |mark| self.log.flush(mark), &go_on);
        match &outcome {
            Ok(Some(stats)) => {
                self.bytes.store(stats.bytes, Ordering::Relaxed);
                self.metrics.wrote(stats);
                let CheckpointStats { accounts, slots, bytes, history, time } = stats;
                tracing::info!(accounts, slots, bytes, history, seconds = time.as_secs_f64(), "checkpoint written");
            }
            Ok(None) => {}
            Err(_) if self.stop.load(Ordering::Relaxed) => {}
            Err(error) => {
                self.metrics.failures.inc();
                tracing::error!(%error, "no checkpoint was written");
            }
        }
        outcome
    }
}

impl Chain {
    /// Begins a checkpoint beside, if one is due.
    pub(crate) fn consider_checkpoint(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.consider(|| self.state());
        }
    }

    /// Writes a checkpoint of the oldest state that can be read, or that memory is to keep, now; `None` if there is nothing new to write, or the
    /// chain loaded a dump or has no data directory. `progress` is told how many accounts of how many are written, and says whether to go on.
    ///
    /// # Errors
    /// `Storage`; the checkpoint before counts then.
    pub fn checkpoint(&self, progress: Progress<'_>) -> Result<Option<CheckpointStats>, ChainError> {
        let Some(keeper) = &self.keeper else { return Ok(None) };
        if keeper.shared.refused.load(Ordering::Relaxed) {
            return Ok(None);
        }
        Ok(keeper.shared.write(&self.state(), progress)?)
    }
}
