//! How a checkpoint's tables are written while the chain goes on.
//!
//! Invariant: what is written is the state at one version, which somebody keeps readable meanwhile.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use alloy_primitives::{Address, B256, KECCAK256_EMPTY};
use interlace_trie::TrieAccount;

use super::entry::{AccountEntry, CodeEntry, SlotEntry, SlotRange};
use super::page::{Kind, TableWriter};
use super::tables::Tables;
use super::{Progress, given_up};
use crate::error::StorageError;
use crate::flat::{Flat, Found, Ordered, Storage};
use crate::keys::beginning;
use crate::vfs::Vfs;

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) accounts: u64,
    pub(super) slots: u64,
    pub(super) bytes: u64,
}

/// Accounts between two looks at whether to go on; in tests few.
const STEP: u64 = if cfg!(test) { 7 } else { 4_096 };
/// Bytes of a code's piece below which another page is begun for it.
const MIN_PIECE: usize = 64;

/// Writes the state at `version` as checkpoint `number`, durably but for the names of its files; with all codes, or those that it has.
pub(super) fn write(
    flat: &Flat,
    version: u64,
    all_codes: bool,
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
                writer.put_handle(handle)?;
            }
            // What the tables have is asked for by its key, as it was at the version: entries come and go and are written meanwhile.
            ordered.next_if(|(start, handle)| *start == beginning(&key) && own(*handle) == key);
            let storage = match flat.account_at_version(entry.address, version) {
                Found::Present((account, storage)) => Some((account, storage)),
                Found::Unwritten => Some((entry.account, Storage::BELOW)),
                Found::Absent => None,
            };
            storage.map(|(account, storage)| writer.put(entry.address, account, storage, entry.slots)).transpose()?;
            Ok(None::<()>)
        })?;
    }
    for (_, handle) in ordered {
        go_on()?;
        writer.put_handle(handle)?;
    }
    let Writer { accounts, slots, mut codes, mut written, .. } = writer;
    if all_codes {
        codes.extend(flat.code_hashes());
    }
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
    /// Writes an account that the tables do not have, if it exists.
    fn put_handle(&mut self, handle: u32) -> Result<(), StorageError> {
        match self.flat.account_of(handle, self.version) {
            Some((address, account, storage)) => self.put(address, account, storage, SlotRange::default()),
            None => Ok(()),
        }
    }

    /// Writes an account with its slots, of which the tables have some `below`.
    fn put(
        &mut self,
        address: Address,
        account: TrieAccount,
        Storage { number, cut_off }: Storage,
        below: SlotRange,
    ) -> Result<(), StorageError> {
        let Self { flat, version, .. } = *self;
        let mut range = SlotRange::default();
        let mut held = flat.ordered_slots(number, version).into_iter().peekable();
        if let Some(tables) = flat.tables().filter(|_| !cut_off) {
            tables.slots_from(below, &B256::ZERO, 0, |key, entry| {
                let own = |handle| flat.key_of_slot(handle);
                let before = |held: &Ordered| is_before(*held, &key, own);
                while let Some((_, handle)) = held.next_if(before) {
                    self.put_slot(&mut range, &flat.slot_entry(handle, version))?;
                }
                held.next_if(|(start, handle)| *start == beginning(&key) && own(*handle) == key);
                let value = flat.slot_at_version(number, &entry.key, version).unwrap_or(entry.value);
                if !value.is_zero() {
                    self.put_slot(&mut range, &SlotEntry { value, ..entry })?;
                }
                Ok(None::<()>)
            })?;
        }
        for (_, handle) in held {
            self.put_slot(&mut range, &flat.slot_entry(handle, version))?;
        }
        self.put_account(AccountEntry { address, account, slots: range })
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
