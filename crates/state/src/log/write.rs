//! The thread that writes a log.
//!
//! Invariant: a file is synced as a whole before the next one is begun, and a file's head and name are durable before its first record.
//! After a failed write the file has the length that it had before.
//! What it does not do: it decides nothing about what to do after a failure; whoever appends does.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use alloy_primitives::B256;

use super::read::{Tail, name_of};
use super::record::{FILE_HEAD, FileHead, encode};
use super::{Durability, Health, Shared};
use crate::error::StorageError;
use crate::vfs::{Vfs, write_full};

/// How long written records wait for a sync that nobody waits for.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// Begins a file of a log whose first record will be `first`.
pub(super) fn begin(vfs: &dyn Vfs, number: u64, first: u64, identity: B256) -> Result<Tail, StorageError> {
    let name = name_of(number);
    let make = || {
        let file = vfs.create(&name)?;
        write_full(file.as_ref(), &FileHead { number, first, identity }.encode(), 0)?;
        file.sync()?;
        vfs.sync_folder()?;
        Ok(file)
    };
    let file = make().map_err(|error| StorageError::io("begin", &name, &error))?;
    Ok(Tail { file, number, size: FILE_HEAD as u64, next: first, files: 1, cut: 0 })
}

/// What to do next.
enum Work {
    /// Write these, whose numbers end before this one.
    Write(Vec<u8>, u64),
    Sync,
    End,
}

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) vfs: Arc<dyn Vfs>,
    pub(super) identity: B256,
    pub(super) durability: Durability,
    pub(super) file_bytes: u64,
    pub(super) tail: Tail,
    /// Since when there are records that were written and not synced.
    pub(super) unsynced: Option<Instant>,
}

impl Writer {
    pub(super) fn run(mut self) {
        let mut spare = Vec::new();
        loop {
            match self.next_work(spare) {
                Work::Write(bytes, end) => {
                    let outcome = self.put(&bytes, end);
                    self.report(outcome, bytes.len());
                    spare = bytes;
                    spare.clear();
                }
                Work::Sync => {
                    let outcome = self.sync();
                    self.report(outcome, 0);
                    spare = Vec::new();
                }
                Work::End => return self.seal(),
            }
        }
    }

    /// Waits for work; `spare` becomes the buffer that is filled meanwhile.
    fn next_work(&self, spare: Vec<u8>) -> Work {
        let mut queue = self.shared.lock();
        loop {
            if !queue.bytes.is_empty() {
                let end = queue.next;
                return Work::Write(core::mem::replace(&mut queue.bytes, spare), end);
            }
            if queue.stop {
                return Work::End;
            }
            queue = match self.unsynced {
                None => self.shared.filled.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(_) if queue.flush > queue.synced => return Work::Sync,
                Some(since) => {
                    let left = SYNC_INTERVAL.saturating_sub(since.elapsed());
                    if left.is_zero() {
                        return Work::Sync;
                    }
                    self.shared.filled.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    fn failed(&self, what: &'static str, error: &std::io::Error) -> StorageError {
        StorageError::io(what, &name_of(self.tail.number), error)
    }

    /// Writes records whose numbers end before `end`.
    fn put(&mut self, bytes: &[u8], end: u64) -> Result<(), Health> {
        let begun = self.tail.size > FILE_HEAD as u64;
        if begun && self.tail.size + bytes.len() as u64 > self.file_bytes {
            self.turn_over()?;
        }
        if let Err(error) = write_full(self.tail.file.as_ref(), bytes, self.tail.size) {
            let error = self.failed("write", &error);
            return Err(match self.tail.file.set_size(self.tail.size) {
                Ok(()) => Health::Failed(error),
                Err(_) => Health::Broken(error),
            });
        }
        self.tail.size += bytes.len() as u64;
        self.tail.next = end;
        self.unsynced = self.unsynced.or_else(|| Some(Instant::now()));
        // A busy log never rests for an interval, so the time is looked at after each write as well.
        let due = self.unsynced.is_some_and(|since| since.elapsed() >= SYNC_INTERVAL);
        if self.durability == Durability::Power || due { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> Result<(), Health> {
        self.unsynced = None;
        self.shared.lock().stats.syncs += 1;
        self.tail.file.sync().map_err(|error| Health::Broken(self.failed("sync", &error)))
    }

    /// Begins the next file.
    fn turn_over(&mut self) -> Result<(), Health> {
        if self.unsynced.is_some() {
            self.sync()?;
        }
        let Tail { number, next, files, .. } = self.tail;
        match begin(self.vfs.as_ref(), number + 1, next, self.identity) {
            Ok(tail) => self.tail = Tail { files: files + 1, ..tail },
            Err(error) => {
                // It holds no record yet. If it stays, the next attempt begins it again, and so does the next start.
                let _ = self.vfs.remove(&name_of(number + 1));
                return Err(Health::Failed(error));
            }
        }
        Ok(())
    }

    /// Tells whoever waits.
    fn report(&self, outcome: Result<(), Health>, bytes: usize) {
        let mut queue = self.shared.lock();
        match outcome {
            Ok(()) => {
                queue.done = self.tail.next;
                if self.unsynced.is_none() {
                    queue.synced = self.tail.next;
                }
                queue.stats.bytes += bytes as u64;
                queue.stats.writes += u64::from(bytes > 0);
                queue.stats.files = self.tail.files;
            }
            Err(health) => {
                // What was queued meanwhile builds on what failed.
                queue.bytes.clear();
                queue.next = self.tail.next;
                queue.health = health;
                queue.stats.failures += 1;
            }
        }
        drop(queue);
        self.shared.emptied.notify_all();
    }

    /// Vouches for everything that was written, once it is synced.
    fn seal(&mut self) {
        if matches!(self.shared.lock().health, Health::Broken(_)) {
            return;
        }
        // Whatever fails here was acknowledged as far as it had to be; the next start finds out what is there.
        if self.unsynced.is_some() && self.tail.file.sync().is_err() {
            return;
        }
        let mut seal = Vec::new();
        encode(&mut seal, self.tail.next, self.tail.next, &[]);
        if write_full(self.tail.file.as_ref(), &seal, self.tail.size).is_ok() {
            let _ = self.tail.file.sync();
        }
    }
}
