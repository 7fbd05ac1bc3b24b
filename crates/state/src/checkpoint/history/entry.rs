//! Records of history: what an account or a slot was before a record wrote it.
//!
//! ```text
//! account  4 turn | 1 kind: 1 it was there, 2 with slots | with slots: 8 first page | 2 place | 8 last page | 2 end
//!          if it was there, the account as in a checkpoint, without the place of its slots; else 20 address
//! slot     4 turn | the slot as in a checkpoint
//! ```
//! Numbers are little-endian. The turn is that of the state that wrote it, counted from the one that the history begins behind, from 1 on.
//! Accounts stand in the order of their hashed addresses, then in that of turns; an account's slots stand together, in the same order, and the
//! account's first record says where.
//!
//! Invariant: what decodes is what was encoded; decoding never panics. The encoding is pinned by a test.
//! What it does not do: it does not know which states there are.

use alloy_primitives::{Address, B256, U256, keccak256};
use interlace_trie::TrieAccount;

use super::super::entry::{Record, SlotEntry, put_account, skip_account, take, take_account, take_array};
use super::super::page::Place;
use super::super::sorted::Span;
use crate::keys::slot_key;

const PRESENT: u8 = 1;
const WITH_SLOTS: u8 = 2;
/// Bytes before what a record is of.
const HEAD: usize = 5;
/// Bytes of a span.
const SPAN_BYTES: usize = 20;

/// An account as it was before a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PastAccount {
    pub(super) turn: u32,
    pub(super) address: Address,
    pub(super) account: Option<TrieAccount>,
    /// Its slots that were written, if this is its first record.
    pub(super) slots: Option<Span>,
}

/// A slot as it was before a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PastSlot {
    pub(super) turn: u32,
    pub(super) slot: SlotEntry,
}

fn turn_of(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|turn| u32::from_le_bytes(*turn))
}

impl PastAccount {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let Self { turn, address, account, slots } = self;
        out.extend_from_slice(&turn.to_le_bytes());
        let (present, with_slots) = (account.map_or(0, |_| PRESENT), slots.map_or(0, |_| WITH_SLOTS));
        out.push(present | with_slots);
        if let Some(Span { first: Place { page, index }, last, end }) = slots {
            out.extend_from_slice(&page.to_le_bytes());
            out.extend_from_slice(&index.to_le_bytes());
            out.extend_from_slice(&last.to_le_bytes());
            out.extend_from_slice(&(*end as u16).to_le_bytes());
        }
        match account {
            Some(account) => put_account(out, address, account),
            None => out.extend_from_slice(address.as_slice()),
        }
    }

    /// Whether the record at the front is of `address`, and of a turn behind `after`.
    pub(super) fn is_behind(bytes: &[u8], address: &Address, after: u32) -> bool {
        let kind = bytes.get(4).copied().unwrap_or_default();
        let span = if kind & WITH_SLOTS != 0 { SPAN_BYTES } else { 0 };
        let lengths = if kind & PRESENT != 0 { 2 } else { 0 };
        let start = HEAD + span + lengths;
        bytes.get(start..start + 20) == Some(address.as_slice()) && turn_of(bytes).is_some_and(|turn| turn > after)
    }
}

impl Record for PastAccount {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let turn = u32::from_le_bytes(take_array(bytes)?);
        let [kind] = take_array(bytes)?;
        let mut slots = None;
        if kind & WITH_SLOTS != 0 {
            let page = u64::from_le_bytes(take_array(bytes)?);
            let index = u16::from_le_bytes(take_array(bytes)?);
            let last = u64::from_le_bytes(take_array(bytes)?);
            let end = usize::from(u16::from_le_bytes(take_array(bytes)?));
            slots = Some(Span { first: Place { page, index }, last, end });
        }
        let (address, account) = match kind & !WITH_SLOTS {
            0 => (Address::from(take_array::<20>(bytes)?), None),
            PRESENT => take_account(bytes).map(|(address, account)| (address, Some(account)))?,
            _ => return None,
        };
        Some(Self { turn, address, account, slots })
    }

    fn skip(bytes: &mut &[u8]) -> Option<()> {
        let [_, _, _, _, kind] = take_array(bytes)?;
        if kind & WITH_SLOTS != 0 {
            take(bytes, SPAN_BYTES)?;
        }
        if kind & PRESENT != 0 { skip_account(bytes).map(drop) } else { take(bytes, 20).map(drop) }
    }

    fn place(&self) -> B256 {
        keccak256(self.address)
    }

    fn turn(&self) -> u32 {
        self.turn
    }
}

impl PastSlot {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.turn.to_le_bytes());
        self.slot.put(out);
    }

    /// Whether the record at the front is of `key`, and of a turn behind `after`.
    pub(super) fn is_behind(bytes: &[u8], key: &U256, after: u32) -> bool {
        bytes.get(4..).is_some_and(|slot| SlotEntry::is_of(slot, key))
            && turn_of(bytes).is_some_and(|turn| turn > after)
    }
}

impl Record for PastSlot {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let turn = u32::from_le_bytes(take_array(bytes)?);
        Some(Self { turn, slot: SlotEntry::take(bytes)? })
    }

    fn skip(bytes: &mut &[u8]) -> Option<()> {
        take(bytes, 4)?;
        SlotEntry::skip(bytes)
    }

    fn place(&self) -> B256 {
        slot_key(&self.slot.key)
    }

    fn turn(&self) -> u32 {
        self.turn
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy_primitives::hex;
    use interlace_trie::EMPTY_ROOT_HASH;
    use proptest::prelude::*;

    use super::*;

    fn account(turn: u32, nonce: u64, present: bool, bare: bool, with_slots: bool) -> PastAccount {
        let hash = |byte, none| if bare { none } else { B256::repeat_byte(byte) };
        let account = TrieAccount {
            nonce,
            balance: U256::from(nonce) << 70,
            storage_root: hash(0x33, EMPTY_ROOT_HASH),
            code_hash: hash(0x44, alloy_primitives::KECCAK256_EMPTY),
        };
        let slots = Span { first: Place { page: 5, index: 6 }, last: 7, end: 8 };
        PastAccount {
            turn,
            address: Address::repeat_byte(0x11),
            account: present.then_some(account),
            slots: with_slots.then_some(slots),
        }
    }

    #[test]
    fn the_encoding_is_pinned() {
        let mut out = Vec::new();
        account(1, 0, false, true, false).put(&mut out);
        account(2, 3, true, true, true).put(&mut out);
        account(3, 0, true, false, false).put(&mut out);
        PastSlot { turn: 4, slot: SlotEntry { key: U256::from(0x0102), value: U256::ZERO } }.put(&mut out);
        assert_eq!(
            hex::encode(out),
            "01000000001111111111111111111111111111111111111111\
             0200000003050000000000000006000700000000000000080001\
             091111111111111111111111111111111111111111\
             03c00000000000000000\
             0300000001c0001111111111111111111111111111111111111111\
             4444444444444444444444444444444444444444444444444444444444444444\
             3333333333333333333333333333333333333333333333333333333333333333\
             0400000002000102"
        );
    }

    proptest! {
        #[test]
        fn records_come_back(turn: u32, nonce: u64, flags in any::<[bool; 3]>(), key: [u8; 32], value: [u8; 32]) {
            let [present, bare, with_slots] = flags;
            let account = account(turn, nonce, present, bare, with_slots);
            let [key, value] = [key, value].map(U256::from_be_bytes);
            let slot = PastSlot { turn, slot: SlotEntry { key, value } };
            let mut out = Vec::new();
            account.put(&mut out);
            slot.put(&mut out);
            let (mut taken, mut skipped) = (out.as_slice(), out.as_slice());
            prop_assert_eq!(PastAccount::take(&mut taken), Some(account));
            prop_assert_eq!(PastAccount::is_behind(skipped, &account.address, turn), false);
            prop_assert_eq!(PastAccount::is_behind(skipped, &account.address, turn.saturating_sub(1)), turn > 0);
            prop_assert!(!PastAccount::is_behind(skipped, &Address::ZERO, 0));
            PastAccount::skip(&mut skipped).unwrap();
            prop_assert_eq!(taken, skipped);
            prop_assert!(!PastSlot::is_behind(skipped, &key, turn));
            prop_assert_eq!(PastSlot::is_behind(skipped, &key, turn.saturating_sub(1)), turn > 0);
            prop_assert!(!PastSlot::is_behind(skipped, &(key ^ U256::from(1)), 0));
            prop_assert_eq!(PastSlot::take(&mut taken), Some(slot));
            PastSlot::skip(&mut skipped).unwrap();
            prop_assert!(taken.is_empty() && skipped.is_empty());
        }

        #[test]
        fn any_bytes_decode_to_nothing_or_to_what_encodes_to_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let (mut rest, mut skipped, mut out) = (bytes.as_slice(), bytes.as_slice(), Vec::new());
            if let Some(account) = PastAccount::take(&mut rest) {
                account.put(&mut out);
                prop_assert_eq!(&out[..], &bytes[..bytes.len() - rest.len()]);
                prop_assert_eq!(PastAccount::skip(&mut skipped), Some(()));
                prop_assert_eq!(skipped, rest);
            }
            let (mut rest, mut skipped, mut out) = (bytes.as_slice(), bytes.as_slice(), Vec::new());
            if let Some(slot) = PastSlot::take(&mut rest) {
                slot.put(&mut out);
                prop_assert_eq!(&out[..], &bytes[..bytes.len() - rest.len()]);
                prop_assert_eq!(PastSlot::skip(&mut skipped), Some(()));
                prop_assert_eq!(skipped, rest);
            }
            let _ = (PastAccount::is_behind(&bytes, &Address::ZERO, 0), PastSlot::is_behind(&bytes, &U256::ZERO, 0));
            let _ = PastAccount::skip(&mut bytes.as_slice());
        }
    }
}
