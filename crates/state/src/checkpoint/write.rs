//! How a checkpoint's tables are written while the chain goes on.
//!
//! Invariant: what is written is the state at one version, which somebody keeps readable meanwhile.

use std::collections::BTreeSet;

use alloy_primitives::{B256, KECCAK256_EMPTY};

use super::entry::{AccountEntry, CodeEntry, SlotEntry, SlotRange};
use super::page::{Kind, TableWriter};
use super::{Progress, given_up};
use crate::error::StorageError;
use crate::flat::Flat;
use crate::vfs::Vfs;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) accounts: u64,
    pub(super) slots: u64,
    pub(super) bytes: u64,
}

/// Accounts between two looks at whether to go on.
const STEP: usize = 4_096;
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
    let mut accounts = TableWriter::create(vfs, Kind::Accounts, number, identity)?;
    let mut slots = TableWriter::create(vfs, Kind::Slots, number, identity)?;
    let ordered = flat.ordered(version, || !progress(0, 0)).ok_or_else(given_up)?;
    let mut codes = BTreeSet::new();
    let mut written = Written::default();
    let mut record = Vec::with_capacity(256);
    for (done, (_, handle)) in ordered.iter().enumerate() {
        if done % STEP == 0 && !progress(done as u64, ordered.len() as u64) {
            return Err(given_up());
        }
        let Some((address, account, storage)) = flat.account_of(*handle, version) else { continue };
        let range = storage.map(|storage| put_slots(flat, version, storage, &mut slots)).transpose()?;
        let range = range.unwrap_or_default();
        record.clear();
        AccountEntry { address, account, slots: range }.put(&mut record);
        accounts.push(&record)?;
        if account.code_hash != KECCAK256_EMPTY {
            codes.insert(account.code_hash);
        }
        written.accounts += 1;
        written.slots += range.count;
    }
    written.bytes = accounts.finish()? + slots.finish()? + put_codes(flat, vfs, number, identity, &codes)?;
    Ok(written)
}

fn put_slots(flat: &Flat, version: u64, storage: u32, table: &mut TableWriter) -> Result<SlotRange, StorageError> {
    let mut record = Vec::with_capacity(66);
    let mut range = SlotRange::default();
    for (_, handle) in flat.ordered_slots(storage, version) {
        let (key, value) = flat.slot_of_handle(handle, version);
        record.clear();
        SlotEntry { key, value }.put(&mut record);
        if range.count == 0 {
            range.first = table.place(record.len());
        }
        table.push(&record)?;
        range.count += 1;
    }
    Ok(range)
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
