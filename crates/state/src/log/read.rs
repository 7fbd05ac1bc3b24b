//! What a log holds when it is opened, and where it goes on.
//!
//! ```text
//! for each file, oldest first: its head, then records until one does not hold
//!   in a file that is not the last    damage: it was synced before the next one was begun
//!   in the last file                  if a later record says that this one was synced: damage
//!                                     else a crash tore it: the file is cut before it
//! a last file without a record       it holds nothing, whether a crash tore it or the file before it went on: it is removed,
//!                                     and the file before it is the last
//! ```
//! Invariant: every record that was synced is given, or the damage is told with its place. What is cut is cut durably before anything is
//! written behind it, so that nothing that was given up comes back.
//! After a failed sync the system may show content that the disk does not have, and count it as written. What nothing vouches for is
//! therefore written once more before it is built on.
//! What it does not do: the newest record that was synced has no later one to vouch for it; damaged, it counts as torn. A log that was
//! closed ends with a seal, which vouches for all.

use std::collections::VecDeque;
use std::sync::Arc;

use alloy_primitives::B256;

use super::record::{FILE_HEAD, FileHead, LOG_FORMAT, NoHead, RECORD_HEAD, RecordHead};
use crate::error::StorageError;
use crate::vfs::{File, Vfs, read_full, write_full};

/// The file that is written to, and from where on.
#[derive(Debug)]
pub(super) struct Tail {
    pub(super) file: Box<dyn File>,
    pub(super) number: u64,
    pub(super) size: u64,
    /// Sequence of the next record.
    pub(super) next: u64,
    /// Files of the log.
    pub(super) files: u64,
    /// Bytes that a crash tore and that were cut off.
    pub(super) cut: u64,
}

pub(super) fn name_of(number: u64) -> String {
    format!("{number:010}.log")
}

/// Numbers of the log's files, ascending.
fn numbers(vfs: &dyn Vfs) -> Result<Vec<u64>, StorageError> {
    let names = vfs.list().map_err(|error| StorageError::io("list", "the folder", &error))?;
    let number = |name: &String| {
        let number = name.strip_suffix(".log")?.parse().ok()?;
        (name_of(number) == *name).then_some(number)
    };
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Bytes of all the log's files.
pub(super) fn bytes(vfs: &dyn Vfs) -> Result<u64, StorageError> {
    let size = |number: u64| {
        let name = name_of(number);
        let size = vfs.open(&name).and_then(|file| file.size());
        size.map_err(|error| StorageError::io("open", &name, &error))
    };
    numbers(vfs)?.into_iter().map(size).sum()
}

/// Gives every record to `visit` with its number, and prepares the log to go on; `None` when there is none yet.
pub(super) fn recover<E: From<StorageError>>(
    vfs: &Arc<dyn Vfs>,
    identity: B256,
    visit: &mut impl FnMut(u64, &[u8]) -> Result<(), E>,
) -> Result<Option<Tail>, E> {
    let mut numbers = numbers(vfs.as_ref())?;
    let spare = spare(vfs.as_ref(), &mut numbers)?;
    let mut tail: Option<Tail> = None;
    for (index, number) in numbers.iter().enumerate() {
        let mut reader = Reader::open(vfs.as_ref(), *number)?;
        let last = index + 1 == numbers.len();
        reader.read_head(identity, tail.as_ref().map(|tail| (tail.number + 1, tail.next)))?;
        while let Some(length) = reader.read_record(last)? {
            if length > 0 {
                visit(reader.next - 1, &reader.record[RECORD_HEAD..RECORD_HEAD + length])?;
            }
        }
        if last {
            reader.rewrite()?;
        }
        let Reader { file, offset, next, cut, .. } = reader;
        tail = Some(Tail { file, number: *number, size: offset, next, files: index as u64 + 1, cut });
    }
    if let Some(Spare { name, first }) = spare {
        // Its head was written when all records before `first` were durable.
        let next = tail.as_ref().map_or(0, |tail| tail.next);
        if first.is_some_and(|first| first > next) {
            let detail =
                format!("it begins with record {}, and the file before it ends before {next}", first.unwrap_or(next));
            return Err(StorageError::damaged(&name, 0, detail).into());
        }
        let removed = vfs.remove(&name).and_then(|()| vfs.sync_folder());
        removed.map_err(|error| StorageError::io("remove", &name, &error))?;
    }
    Ok(tail)
}

/// A last file without a record.
struct Spare {
    name: String,
    /// Sequence of the first record that it was to have, if its head is whole.
    first: Option<u64>,
}

/// Takes a last file without a record out of `numbers`, unless it is a whole log that was just begun.
fn spare(vfs: &dyn Vfs, numbers: &mut Vec<u64>) -> Result<Option<Spare>, StorageError> {
    let Some(number) = numbers.last().copied() else { return Ok(None) };
    let mut reader = Reader::open(vfs, number)?;
    if reader.size > FILE_HEAD as u64 {
        return Ok(None);
    }
    let read = reader.fetch(0, FILE_HEAD, 0)?;
    let first = match FileHead::decode(&reader.record[..read]) {
        Ok(_) if numbers.len() == 1 => return Ok(None),
        Ok(head) => Some(head.first),
        Err(NoHead::Damaged) => None,
        Err(NoHead::Format(found)) => return Err(reader.foreign(found)),
    };
    numbers.pop();
    Ok(Some(Spare { name: reader.name, first }))
}

/// Reads one file.
struct Reader {
    name: String,
    file: Box<dyn File>,
    number: u64,
    size: u64,
    /// Where the next record begins.
    offset: u64,
    /// Its sequence.
    next: u64,
    record: Vec<u8>,
    cut: u64,
    /// Sequence and place of the records that no later one vouches for.
    unvouched: VecDeque<(u64, u64)>,
}

impl Reader {
    fn open(vfs: &dyn Vfs, number: u64) -> Result<Self, StorageError> {
        let name = name_of(number);
        let failed = |error| StorageError::io("open", &name, &error);
        let file = vfs.open(&name).map_err(failed)?;
        let size = file.size().map_err(failed)?;
        Ok(Self {
            name,
            file,
            number,
            size,
            offset: 0,
            next: 0,
            record: Vec::new(),
            cut: 0,
            unvouched: VecDeque::new(),
        })
    }

    fn damaged(&self, offset: u64, detail: impl Into<String>) -> StorageError {
        StorageError::damaged(&self.name, offset, detail)
    }

    /// Reads bytes of the file into `record`, as many as there are.
    fn fetch(&mut self, offset: u64, bytes: usize, keep: usize) -> Result<usize, StorageError> {
        self.record.resize(keep + bytes, 0);
        let read = read_full(self.file.as_ref(), &mut self.record[keep..], offset);
        read.map_err(|error| StorageError::io("read", &self.name, &error))
    }

    fn foreign(&self, found: u32) -> StorageError {
        StorageError::Format { file: self.name.clone(), found, known: LOG_FORMAT }
    }

    /// Reads the head, which must follow on `before`: a file's number and the sequence of its first record.
    fn read_head(&mut self, identity: B256, before: Option<(u64, u64)>) -> Result<(), StorageError> {
        let read = self.fetch(0, FILE_HEAD, 0)?;
        let head = match FileHead::decode(&self.record[..read]) {
            Ok(head) => head,
            Err(NoHead::Format(found)) => return Err(self.foreign(found)),
            Err(NoHead::Damaged) => return Err(self.damaged(0, "this is no head of a log")),
        };
        let (number, first) = before.unwrap_or((1, 0));
        if number != self.number {
            return Err(self.damaged(0, format!("the log's file before it, {}, is missing", name_of(self.number - 1))));
        }
        if head.number != self.number || head.first != first {
            let detail = format!(
                "it says that it is file {} from record {} on, not {} from {first}",
                head.number, head.first, self.number
            );
            return Err(self.damaged(0, detail));
        }
        if head.identity != identity {
            return Err(self.damaged(0, format!("it is of {}, not of {identity}", head.identity)));
        }
        (self.next, self.offset) = (first, FILE_HEAD as u64);
        Ok(())
    }

    /// Length of the next record, which is read; `None` at the end.
    fn read_record(&mut self, last: bool) -> Result<Option<usize>, StorageError> {
        if self.offset == self.size {
            return Ok(None);
        }
        if let Some(head) = self.read_whole(self.offset)? {
            if head.sequence != self.next {
                let detail = format!("record {} stands where {} belongs", head.sequence, self.next);
                return Err(self.damaged(self.offset, detail));
            }
            while self.unvouched.front().is_some_and(|(sequence, _)| *sequence < head.durable) {
                self.unvouched.pop_front();
            }
            self.unvouched.push_back((head.sequence, self.offset));
            self.offset += head.size() as u64;
            self.next += 1;
            return Ok(Some(head.length));
        }
        if !last || self.vouched()? {
            return Err(self.damaged(self.offset, format!("record {} does not have its checksum", self.next)));
        }
        self.cut = self.size - self.offset;
        self.file.set_size(self.offset).map_err(|error| StorageError::io("cut", &self.name, &error))?;
        self.size = self.offset;
        Ok(None)
    }

    /// Writes what nothing vouches for once more, and syncs it.
    fn rewrite(&mut self) -> Result<(), StorageError> {
        const PIECE: u64 = 1 << 20;
        let mut at = self.unvouched.front().map_or(self.offset, |(_, place)| *place);
        while at < self.offset {
            let read = self.fetch(at, usize::try_from(PIECE.min(self.offset - at)).unwrap_or_default(), 0)?;
            let written = write_full(self.file.as_ref(), &self.record[..read], at);
            written.map_err(|error| StorageError::io("write", &self.name, &error))?;
            at += read.max(1) as u64;
        }
        self.file.sync().map_err(|error| StorageError::io("sync", &self.name, &error))
    }

    /// The head of the record at `offset` if all of it is there and holds; it is in `record` then.
    fn read_whole(&mut self, offset: u64) -> Result<Option<RecordHead>, StorageError> {
        let read = self.fetch(offset, RECORD_HEAD, 0)?;
        // A length beyond the file's end is not believed, so nothing is allocated for it.
        let head = RecordHead::decode(&self.record[..read]);
        let Some(head) = head.filter(|head| head.size() as u64 <= self.size - offset) else { return Ok(None) };
        self.fetch(offset + RECORD_HEAD as u64, head.size() - RECORD_HEAD, RECORD_HEAD)?;
        Ok(head.holds(&self.record).then_some(head))
    }

    /// Whether a record behind this place says that the one at this place was synced.
    fn vouched(&mut self) -> Result<bool, StorageError> {
        // Records begin at multiples of eight. A window is read at a time; records that begin in it are read on their own.
        const WINDOW: usize = 1 << 20;
        let mut window_at = self.offset;
        while window_at < self.size {
            let read = self.fetch(window_at, WINDOW, 0)?;
            let window = core::mem::take(&mut self.record);
            for place in (0..read).step_by(8) {
                let Some(head) = RecordHead::decode(&window[place..read]) else { continue };
                let claims = head.sequence > self.next && head.durable > self.next;
                if claims && self.read_whole(window_at + place as u64)?.is_some() {
                    return Ok(true);
                }
            }
            // A head may lie across the end of the window.
            window_at += (WINDOW - RECORD_HEAD) as u64;
        }
        Ok(false)
    }
}
