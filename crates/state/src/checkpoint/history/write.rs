//! How the history behind a checkpoint is written, beside the checkpoint.
//!
//! Invariant: what is written of a turn is what accounts and slots were at the version before it, which somebody keeps readable meanwhile.
//! If a storage is wiped, all its slots are in it.

use std::cmp::Ordering;

use alloy_primitives::B256;

use super::entry::{PastAccount, PastSlot};
use crate::checkpoint::entry::SlotEntry;
use crate::checkpoint::page::{Kind, TableWriter};
use crate::checkpoint::sorted::Span;
use crate::checkpoint::{Progress, given_up};
use crate::error::StorageError;
use crate::flat::Flat;
use crate::keccak::{Hasher, Messages};
use crate::keys::beginning;
use crate::memory::Undone;
use crate::vfs::Vfs;

/// Writes between two looks at whether to go on; in tests few.
const STEP: usize = if cfg!(test) { 5 } else { 4_096 };

/// One write of an account: the beginning of its hashed address, its handle, the turn, and its place among what the turn wrote. All of them
/// are sorted at once, 24 bytes each.
type Write = (u64, u32, u32, u32);

/// Writes what `undone` overwrote, the first of which made the state behind number `from`. Gives the bytes on disk.
pub(crate) fn write(
    flat: &Flat,
    undone: &[Undone],
    from: u64,
    vfs: &dyn Vfs,
    number: u64,
    identity: B256,
    progress: Progress<'_>,
) -> Result<u64, StorageError> {
    let to = from + undone.len() as u64;
    let create = |kind| TableWriter::create(vfs, kind, number, identity).map(|table| table.over(from, to));
    let (accounts, slots) = (create(Kind::PastAccounts)?, create(Kind::PastSlots)?);
    let mut writer = Writer { flat, undone, accounts, slots, record: Vec::new() };
    let writes = ordered(flat, undone, || !progress(0, 0)).ok_or_else(given_up)?;
    for (nth, of_one) in writes.chunk_by(|one, other| one.1 == other.1).enumerate() {
        if nth.is_multiple_of(STEP) && !progress(0, 0) {
            return Err(given_up());
        }
        writer.put(of_one)?;
    }
    Ok(writer.accounts.finish()? + writer.slots.finish()?)
}

/// All writes in the order of hashed addresses, then of turns. None if `stop` says so.
fn ordered(flat: &Flat, undone: &[Undone], stop: impl Fn() -> bool) -> Option<Vec<Write>> {
    let mut all = Vec::new();
    for (turn, undone) in (1..).zip(undone) {
        if stop() {
            return None;
        }
        let mut keys = Messages::default();
        undone.written.accounts.iter().for_each(|account| keys.add(account.address.as_slice()));
        let hashes = Hasher::default().hash(&keys);
        let written = undone.written.accounts.iter().zip(hashes).zip(0..);
        all.extend(written.map(|((account, hash), place)| (beginning(&hash), account.entry(), turn, place)));
    }
    all.sort_unstable_by(|(one, at, turn, _), (other, to, later, _)| {
        let whole = |handle: u32| flat.account_key(handle);
        // Keys that begin alike are mostly one key.
        let keys = one.cmp(other).then_with(|| if at == to { Ordering::Equal } else { whole(*at).cmp(&whole(*to)) });
        keys.then_with(|| turn.cmp(later))
    });
    Some(all)
}

struct Writer<'a> {
    flat: &'a Flat,
    undone: &'a [Undone],
    accounts: TableWriter,
    slots: TableWriter,
    record: Vec<u8>,
}

impl Writer<'_> {
    /// Writes what one account was before each of some turns.
    fn put(&mut self, writes: &[Write]) -> Result<(), StorageError> {
        let (mut slots, mut accounts) = (Vec::new(), Vec::new());
        for (_, _, turn, place) in writes {
            let Undone { before, version, ref written } = self.undone[*turn as usize - 1];
            let written = &written.accounts[*place as usize];
            let address = written.address;
            let mut keys = self.flat.keys(written);
            if self.flat.wipes_between(address, before, version) {
                keys.extend(self.flat.slots(address, before)?.into_iter().map(|(key, _)| key));
                keys.sort_unstable();
                keys.dedup();
            }
            for key in keys {
                slots.push((*turn, SlotEntry { key, value: self.flat.slot(address, key, before)? }));
            }
            let account = self.flat.trie_account(address, before)?;
            accounts.push(PastAccount { turn: *turn, address, account, slots: None });
        }
        if let Some(first) = accounts.first_mut() {
            first.slots = self.put_slots(slots)?;
        }
        for account in accounts {
            self.record.clear();
            account.put(&mut self.record);
            self.accounts.push(&self.record)?;
        }
        Ok(())
    }

    /// Writes one account's slots in order, and says where they are.
    fn put_slots(&mut self, slots: Vec<(u32, SlotEntry)>) -> Result<Option<Span>, StorageError> {
        let mut keys = Messages::default();
        slots.iter().for_each(|(_, slot)| keys.add(&slot.key.to_be_bytes::<32>()));
        let mut all: Vec<(B256, u32, SlotEntry)> =
            Hasher::default().hash(&keys).into_iter().zip(slots).map(|(key, (turn, slot))| (key, turn, slot)).collect();
        all.sort_unstable_by_key(|(key, turn, _)| (*key, *turn));
        let mut span: Option<Span> = None;
        for (_, turn, slot) in all {
            self.record.clear();
            PastSlot { turn, slot }.put(&mut self.record);
            let place = self.slots.place(self.record.len());
            let Span { last, end, .. } = span.get_or_insert(Span { first: place, last: place.page, end: 0 });
            (*last, *end) = (place.page, usize::from(place.index) + 1);
            self.slots.push(&self.record)?;
        }
        Ok(span)
    }
}
