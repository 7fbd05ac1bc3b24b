//! A write-ahead log: payloads in order, durable before they are acknowledged, given back when it is opened.
//!
//! Why Rust: each block waits for it.
//!
//! ```text
//! append ──► queue (one buffer, at most MAX_QUEUE_BYTES) ──► thread: write, sync ──► wait returns
//! ```
//! Whatever is queued while the disk is at work goes with one write and one sync (group commit), off the thread that appends.
//!
//! Invariant: [`Log::wait`] returns success only for what opening the log again gives back: after a crash of the process under
//! [`Durability::Process`], after a loss of power as well under [`Durability::Power`]. What is given back is what was appended, in order,
//! from the first record on without a gap. A failed write leaves nothing of it behind and may be tried again; after a failed sync nothing
//! more is written until the log is opened again, since nobody knows what of it the disk has.
//! Source: ARIES' rule that the log goes first; "Can Applications Recover from fsync Failures?" (ATC 2020); format in `record`.
//! What it does not do: it does not know what payloads mean, and forgets none of them.

mod read;
mod record;
#[cfg(test)]
mod tests;
mod write;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use alloy_primitives::B256;

use crate::error::StorageError;
use crate::vfs::Vfs;

pub use record::{LOG_FORMAT, MAX_RECORD_BYTES};

/// Bytes that wait for the disk; whoever appends more waits.
pub const MAX_QUEUE_BYTES: usize = 64 << 20;
/// Bytes after which a new file is begun.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It survives the end of the process. After a loss of power the log may end earlier, by about a second of work.
    Process,
    /// It survives a loss of power, on a disk that obeys when it is told to flush.
    Power,
}

/// What a log did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Bytes written.
    pub bytes: u64,
    /// Writes, each of which may take several records.
    pub writes: u64,
    /// Syncs.
    pub syncs: u64,
    /// Files that the log has.
    pub files: u64,
    /// Writes and syncs that failed.
    pub failures: u64,
}

#[derive(Clone, Debug)]
enum Health {
    Good,
    /// A write failed and was undone.
    Failed(StorageError),
    /// It is not known what was written.
    Broken(StorageError),
}

/// What the appending threads and the writing one share.
#[derive(Debug)]
struct Queue {
    /// Encoded records that wait.
    bytes: Vec<u8>,
    /// Sequence of the next record.
    next: u64,
    /// All records below are as durable as was promised.
    done: u64,
    /// All records below were synced.
    synced: u64,
    /// Somebody waits until all records below are synced.
    flush: u64,
    health: Health,
    stop: bool,
    stats: LogStats,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something to write, or the end.
    filled: Condvar,
    /// Something was written, or failed.
    emptied: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Each step under the lock leaves the queue as it should be, so a poisoned lock is taken over.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// Whether a record may be queued.
    fn check(&self) -> Result<(), StorageError> {
        if self.stop {
            return Err(StorageError::Stopped("the log is closed".into()));
        }
        match &self.health {
            Health::Good => Ok(()),
            Health::Failed(error) => Err(error.clone()),
            Health::Broken(error) => Err(StorageError::Stopped(format!("an earlier failure is in doubt: {error}"))),
        }
    }
}

/// A log that is open; dropping it writes what waits, seals it and ends its thread.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
    cut: u64,
}

impl Log {
    /// Opens the log in a folder, or begins it, and gives every payload that it holds to `visit` with its number, oldest first.
    ///
    /// `identity` names what is logged: a log of another one is refused. A new file is begun after `file_bytes`, usually
    /// [`MAX_FILE_BYTES`].
    ///
    /// # Errors
    /// [`StorageError::Damaged`] with file and place, [`StorageError::Format`], [`StorageError::Io`]; whatever `visit` refuses.
    pub fn open<E: From<StorageError>>(
        vfs: Arc<dyn Vfs>,
        identity: B256,
        durability: Durability,
        file_bytes: u64,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let tail = match read::recover(&vfs, identity, &mut visit)? {
            Some(tail) => tail,
            None => write::begin(vfs.as_ref(), 1, 0, identity)?,
        };
        let cut = tail.cut;
        let queue = Queue {
            bytes: Vec::new(),
            next: tail.next,
            done: tail.next,
            synced: tail.next,
            flush: 0,
            health: Health::Good,
            stop: false,
            stats: LogStats { files: tail.files, ..LogStats::default() },
        };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), filled: Condvar::new(), emptied: Condvar::new() });
        let writer =
            write::Writer { shared: Arc::clone(&shared), vfs, identity, durability, file_bytes, tail, unsynced: None };
        let thread = std::thread::Builder::new().name("interlace-log".into()).spawn(move || writer.run());
        let thread = thread.map_err(|error| StorageError::io("start", "the log's thread", &error))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)), cut })
    }

    /// Bytes of the log in a folder.
    ///
    /// # Errors
    /// [`StorageError::Io`].
    pub fn bytes(vfs: &dyn Vfs) -> Result<u64, StorageError> {
        read::bytes(vfs)
    }

    /// Files that it has.
    #[must_use]
    pub fn files(&self) -> u64 {
        self.stats().files
    }

    /// Bytes that a crash had torn and that opening the log cut off; none of them was acknowledged.
    #[must_use]
    pub const fn cut(&self) -> u64 {
        self.cut
    }

    /// What it did since it was opened.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        self.shared.lock().stats
    }

    /// Queues a payload, which must not be empty, and gives its number to wait for. Waits while the queue is full.
    ///
    /// # Errors
    /// [`StorageError::TooLong`]; the failure of an earlier record, until [`Self::retry`].
    ///
    /// # Panics
    /// For an empty payload.
    pub fn append(&self, payload: &[u8]) -> Result<u64, StorageError> {
        assert!(!payload.is_empty(), "an empty record is a seal");
        if payload.len() > MAX_RECORD_BYTES {
            return Err(StorageError::TooLong { bytes: payload.len(), most: MAX_RECORD_BYTES });
        }
        let mut queue = self.shared.lock();
        while queue.check().is_ok() && queue.bytes.len() >= MAX_QUEUE_BYTES {
            queue = self.shared.emptied.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.check()?;
        let Queue { bytes, next, synced, .. } = &mut *queue;
        let sequence = *next;
        record::encode(bytes, sequence, *synced, payload);
        *next += 1;
        drop(queue);
        self.shared.filled.notify_one();
        Ok(sequence)
    }

    /// Returns when the record with this number, and all before it, are as durable as was promised.
    ///
    /// # Errors
    /// What the disk said. The record, and all that were appended after it, are then not in the log (after a failed sync: may or may not
    /// be).
    pub fn wait(&self, sequence: u64) -> Result<(), StorageError> {
        let mut queue = self.shared.lock();
        while queue.done <= sequence {
            if let Health::Failed(error) | Health::Broken(error) = &queue.health {
                return Err(error.clone());
            }
            queue = self.shared.emptied.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Returns when all records with lower numbers survive a loss of power, whatever was promised of them.
    ///
    /// # Errors
    /// What the disk said; [`StorageError::Stopped`] with it if a flush failed, and once the log is closed.
    pub fn flush(&self, end: u64) -> Result<(), StorageError> {
        let mut queue = self.shared.lock();
        queue.flush = queue.flush.max(end);
        self.shared.filled.notify_one();
        while queue.synced < end {
            queue.check()?;
            queue = self.shared.emptied.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    /// Writes what waits, seals the log, and lets its folder go; nothing is taken from then on. A second call does nothing.
    pub fn close(&self) {
        self.shared.lock().stop = true;
        self.shared.filled.notify_one();
        self.shared.emptied.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A writer that panicked has nothing more to say.
            let _ = thread.join();
        }
    }

    /// Takes records again after a failed write. For whoever appends, once nobody waits for what failed.
    ///
    /// # Errors
    /// [`StorageError::Stopped`] after a failure that only opening the log again can clear.
    pub fn retry(&self) -> Result<(), StorageError> {
        let mut queue = self.shared.lock();
        if matches!(queue.health, Health::Failed(_)) {
            queue.health = Health::Good;
        }
        queue.check()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.close();
    }
}
