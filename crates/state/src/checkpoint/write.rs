//! How a checkpoint's tables are written while the chain goes on.
//!
//! Invariant: what is written is the state at one version, which somebody keeps readable meanwhile.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use alloy_primitives::{B256, KECCAK256_EMPTY};

use super::entry::{AccountEntry, CodeEntry, SlotEntry, SlotRange};
use super::page::{Kind, TableWriter};
use super::tables::{Tables, beginning};
use super::{Progress, given_up};
use crate::error::StorageError;
use crate::flat::{Flat, Ordered};
use crate::vfs::Vfs;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) accounts: u64,
    pub(super) slots: u64,
    pub(super) bytes: u64,
}

/// Accounts between two looks at whether to go on.
const STEP: u64 = 4_096;
/// Bytes of a code's piece below which another page is begun for it.
const MIN_PIECE: usize = 64;

/// Writes the state at `version` as checkpoint `number`, durably but for the names of its files.
pub(super) fn write(
    flat: &Flat,
    version: u64,
    vfs: &dyn Vfs,
    number: u64,
    identity: B256,
    progress: Progress<'_>,
) -> Result<Written, StorageError> {
    let accounts = TableWriter::create(vfs, Kind::Accounts, number, identity)?;
    let slots = TableWriter::create(vfs, Kind::Slots, number, identity)?;
    let ordered = flat.ordered(version, || !progress(0, 0)).ok_or_else(given_up)?;
    let all = ordered.len() as u64 + flat.tables().map_or(0, Tables::count);
    let (codes, written, record) = (BTreeSet::new(), Written::default(), Vec::with_capacity(256));
    let mut writer = Writer { flat, version, accounts, slots, codes, written, record };
    let mut done = 0;
    let mut go_on = || {
        done += 1;
        if done % STEP == 1 && !progress(done, all) { Err(given_up()) } else { Ok(()) }
    };
    let mut ordered = ordered.into_iter().peekable();
    if let Some(tables) = flat.tables() {
        tables.accounts_from(&B256::ZERO, 0, |key, entry| {
            go_on()?;
            let own = |handle| flat.account_key(handle);
            let before = |held: &Ordered| is_before(*held, &key, own);
            while let Some((_, handle)) = ordered.next_if(before) {
                writer.put_held(handle)?;
            }
            // What has an entry is as that says, whether it exists or not.
            if flat.account_handle(entry.address).is_none() {
                writer.put_below(tables, entry)?;
            }
            Ok(None::<()>)
        })?;
    }
    for (_, handle) in ordered {
        go_on()?;
        writer.put_held(handle)?;
    }
    let Writer { accounts, slots, codes, mut written, .. } = writer;
    written.bytes = accounts.finish()? + slots.finish()? + put_codes(flat, vfs, number, identity, &codes)?;
    Ok(written)
}

/// Whether a handle stands before a key; `own` gives the whole key of a handle.
fn is_before((start, handle): Ordered, key: &B256, own: impl Fn(u32) -> B256) -> bool {
    match start.cmp(&beginning(key)) {
        Ordering::Equal => own(handle) < *key,
        order => order == Ordering::Less,
    }
}

struct Writer<'a> {
    flat: &'a Flat,
    version: u64,
    accounts: TableWriter,
    slots: TableWriter,
    codes: BTreeSet<B256>,
    written: Written,
    record: Vec<u8>,
}

impl Writer<'_> {
    /// Writes an account that has an entry, if it exists.
    fn put_held(&mut self, handle: u32) -> Result<(), StorageError> {
        let Self { flat, version, .. } = *self;
        let Some((address, account, storage)) = flat.account_of(handle, version) else { return Ok(()) };
        let mut range = SlotRange::default();
        let held = storage.map(|storage| flat.ordered_slots(storage, version)).unwrap_or_default();
        let mut held = held.into_iter().peekable();
        if let Some(tables) = flat.tables() {
            let below = flat.slots_below(address, version)?;
            tables.slots_from(below, &B256::ZERO, 0, |key, entry| {
                let own = |handle| flat.key_of_slot(handle);
                let before = |held: &Ordered| is_before(*held, &key, own);
                while let Some((_, handle)) = held.next_if(before) {
                    self.put_slot(&mut range, &flat.slot_entry(handle, version))?;
                }
                if !storage.is_some_and(|storage| flat.is_written(storage, &entry.key)) {
                    self.put_slot(&mut range, &entry)?;
                }
                Ok(None::<()>)
            })?;
        }
        for (_, handle) in held {
            self.put_slot(&mut range, &flat.slot_entry(handle, version))?;
        }
        self.put_account(AccountEntry { address, account, slots: range })
    }

    /// Writes an account as the tables below have it.
    fn put_below(&mut self, tables: &Tables, entry: AccountEntry) -> Result<(), StorageError> {
        let mut range = SlotRange::default();
        tables.slots_from(entry.slots, &B256::ZERO, 0, |_, slot| {
            self.put_slot(&mut range, &slot)?;
            Ok(None::<()>)
        })?;
        self.put_account(AccountEntry { slots: range, ..entry })
    }

    fn put_slot(&mut self, range: &mut SlotRange, entry: &SlotEntry) -> Result<(), StorageError> {
        self.record.clear();
        entry.put(&mut self.record);
        if range.count == 0 {
            range.first = self.slots.place(self.record.len());
        }
        range.count += 1;
        self.slots.push(&self.record)
    }

    fn put_account(&mut self, entry: AccountEntry) -> Result<(), StorageError> {
        self.record.clear();
        entry.put(&mut self.record);
        self.accounts.push(&self.record)?;
        if entry.account.code_hash != KECCAK256_EMPTY {
            self.codes.insert(entry.account.code_hash);
        }
        self.written.accounts += 1;
        self.written.slots += entry.slots.count;
        Ok(())
    }
}

fn put_codes(
    flat: &Flat,
    vfs: &dyn Vfs,
    number: u64,
    identity: B256,
    hashes: &BTreeSet<B256>,
) -> Result<u64, StorageError> {
    let mut table = TableWriter::create(vfs, Kind::Codes, number, identity)?;
    let mut record = Vec::new();
    for hash in hashes {
        // A code that is missing was missing before; who loads the checkpoint says so.
        let Some(code) = flat.code(*hash) else { continue };
        let mut rest = &code[..];
        let mut is_first = true;
        while is_first || !rest.is_empty() {
            let head = if is_first { CodeEntry::FIRST_HEAD } else { CodeEntry::NEXT_HEAD };
            let room = table.room().checked_sub(head).filter(|room| *room >= MIN_PIECE.min(rest.len()));
            let (piece, others) = rest.split_at(room.unwrap_or(super::page::MAX_RECORD - head).min(rest.len()));
            rest = others;
            let entry = if is_first {
                CodeEntry::First { hash: *hash, length: code.len() as u32, piece }
            } else {
                CodeEntry::Next { piece }
            };
            record.clear();
            entry.put(&mut record);
            table.push(&record)?;
            is_first = false;
        }
    }
    table.finish()
}
