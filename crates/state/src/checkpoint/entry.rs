//! Records of a checkpoint's tables.
//!
//! ```text
//! account  1 length of nonce, 0x80 with code, 0x40 with storage | 1 length of balance | 20 address | nonce | balance
//!          with code: 32 code hash     with storage: 32 root | 8 page of its first slot | 2 place in that page | 8 slots
//! slot     1 length of key | 1 length of value | key | value
//! code     1 zero | 2 length of this piece | 32 hash | 4 length of the code | piece, then pieces of 1 one | 2 length | piece
//! ```
//! Nonce, balance, key and value are big-endian without leading zeros; all else is little-endian. Accounts stand in the order of their
//! hashed addresses, an account's slots together in the order of theirs, codes in the order of their hashes.
//!
//! Invariant: what decodes is what was encoded; decoding never panics. The encoding is pinned by a test.
//! What it does not do: it does not know whether values fit together; who loads them compares roots.

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256, keccak256};
use interlace_trie::{EMPTY_ROOT_HASH, TrieAccount};

use super::page::Place;
use crate::keys::slot_key;

const WITH_CODE: u8 = 0x80;
const WITH_STORAGE: u8 = 0x40;
/// Bytes of the place of an account's slots.
const PLACE_BYTES: usize = 18;

/// Where an account's slots are, and how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SlotRange {
    pub(super) first: Place,
    pub(crate) count: u64,
}

/// An account with its slots' place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountEntry {
    pub(crate) address: Address,
    pub(crate) account: TrieAccount,
    /// No slot if the storage root says so.
    pub(crate) slots: SlotRange,
}

/// Key and value of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotEntry {
    pub(crate) key: U256,
    pub(crate) value: U256,
}

/// A record of a table that is ordered by hashed keys.
pub(super) trait Record: Sized {
    /// Takes a record from the front; `None` if there is none.
    fn take(bytes: &mut &[u8]) -> Option<Self>;

    /// Passes over the record at the front; `None` if there is none.
    fn skip(bytes: &mut &[u8]) -> Option<()>;

    /// The hashed key.
    fn place(&self) -> B256;

    /// Which of the records with this key it is; they stand in this order.
    fn turn(&self) -> u32 {
        0
    }
}

/// Takes `count` bytes from the front.
pub(super) fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

pub(super) fn take_array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    take(bytes, N)?.first_chunk().copied()
}

/// Takes a number without leading zeros.
pub(super) fn take_number(bytes: &mut &[u8], length: u8) -> Option<U256> {
    let digits = take(bytes, usize::from(length))?;
    (length <= 32 && digits.first() != Some(&0)).then(|| U256::from_be_slice(digits))
}

pub(super) fn digits(number: &U256) -> u8 {
    number.byte_len() as u8
}

pub(super) fn put_number(out: &mut Vec<u8>, number: &U256) {
    out.extend_from_slice(&number.to_be_bytes::<32>()[32 - number.byte_len()..]);
}

/// Puts an account without the place of its slots.
pub(super) fn put_account(out: &mut Vec<u8>, address: &Address, account: &TrieAccount) {
    let TrieAccount { nonce, balance, storage_root, code_hash } = account;
    let nonce = U256::from(*nonce);
    let (code, storage) = (*code_hash != KECCAK256_EMPTY, *storage_root != EMPTY_ROOT_HASH);
    let flags = if code { WITH_CODE } else { 0 } | if storage { WITH_STORAGE } else { 0 };
    out.extend_from_slice(&[digits(&nonce) | flags, digits(balance)]);
    out.extend_from_slice(address.as_slice());
    put_number(out, &nonce);
    put_number(out, balance);
    if code {
        out.extend_from_slice(code_hash.as_slice());
    }
    if storage {
        out.extend_from_slice(storage_root.as_slice());
    }
}

/// Takes such an account from the front.
pub(super) fn take_account(bytes: &mut &[u8]) -> Option<(Address, TrieAccount)> {
    let [flags, balance] = take_array(bytes)?;
    let address = Address::from(take_array::<20>(bytes)?);
    let nonce = u64::try_from(take_number(bytes, flags & !(WITH_CODE | WITH_STORAGE))?).ok()?;
    let balance = take_number(bytes, balance)?;
    // What is said to be there is not what an account without it has.
    let mut hash = |flag, none: B256| match flags & flag {
        0 => Some(none),
        _ => take_array::<32>(bytes).map(B256::from).filter(|hash| *hash != none),
    };
    let code_hash = hash(WITH_CODE, KECCAK256_EMPTY)?;
    let storage_root = hash(WITH_STORAGE, EMPTY_ROOT_HASH)?;
    Some((address, TrieAccount { nonce, balance, storage_root, code_hash }))
}

/// Passes over such an account, and says whether it has storage.
#[inline]
pub(super) fn skip_account(bytes: &mut &[u8]) -> Option<bool> {
    let [flags, balance] = *bytes.first_chunk()?;
    let (code, storage) = (flags & WITH_CODE != 0, flags & WITH_STORAGE != 0);
    let hashes = (usize::from(code) + usize::from(storage)) * 32;
    let length = 22 + usize::from(flags & !(WITH_CODE | WITH_STORAGE)) + usize::from(balance) + hashes;
    *bytes = bytes.get(length..)?;
    Some(storage)
}

impl AccountEntry {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        put_account(out, &self.address, &self.account);
        if self.account.storage_root != EMPTY_ROOT_HASH {
            let SlotRange { first: Place { page, index }, count } = self.slots;
            out.extend_from_slice(&page.to_le_bytes());
            out.extend_from_slice(&index.to_le_bytes());
            out.extend_from_slice(&count.to_le_bytes());
        }
    }

    /// Whether the entry at the front is that of `address`.
    #[inline]
    pub(super) fn is_of(bytes: &[u8], address: &Address) -> bool {
        bytes.get(2..22) == Some(address.as_slice())
    }
}

impl Record for AccountEntry {
    #[inline]
    fn skip(bytes: &mut &[u8]) -> Option<()> {
        if skip_account(bytes)? {
            *bytes = bytes.get(PLACE_BYTES..)?;
        }
        Some(())
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (address, account) = take_account(bytes)?;
        let mut slots = SlotRange::default();
        if account.storage_root != EMPTY_ROOT_HASH {
            let page = u64::from_le_bytes(take_array(bytes)?);
            let index = u16::from_le_bytes(take_array(bytes)?);
            slots = SlotRange { first: Place { page, index }, count: u64::from_le_bytes(take_array(bytes)?) };
        }
        Some(Self { address, account, slots })
    }

    fn place(&self) -> B256 {
        keccak256(self.address)
    }
}

impl SlotEntry {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[digits(&self.key), digits(&self.value)]);
        put_number(out, &self.key);
        put_number(out, &self.value);
    }

    /// Whether the entry at the front is that of `key`.
    #[inline]
    pub(super) fn is_of(bytes: &[u8], key: &U256) -> bool {
        let digits = key.byte_len();
        let stands = bytes.first().is_some_and(|length| usize::from(*length) == digits);
        stands && bytes.get(2..2 + digits) == key.to_be_bytes::<32>().get(32 - digits..)
    }
}

impl Record for SlotEntry {
    #[inline]
    fn skip(bytes: &mut &[u8]) -> Option<()> {
        let [key, value] = *bytes.first_chunk()?;
        *bytes = bytes.get(2 + usize::from(key) + usize::from(value)..)?;
        Some(())
    }

    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let [key, value] = take_array(bytes)?;
        Some(Self { key: take_number(bytes, key)?, value: take_number(bytes, value)? })
    }

    fn place(&self) -> B256 {
        slot_key(&self.key)
    }
}

/// A code, or what is left of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CodeEntry<'a> {
    First { hash: B256, length: u32, piece: &'a [u8] },
    Next { piece: &'a [u8] },
}

impl<'a> CodeEntry<'a> {
    /// Bytes before a first piece.
    pub(super) const FIRST_HEAD: usize = 39;
    /// Bytes before another piece.
    pub(super) const NEXT_HEAD: usize = 3;

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let (kind, piece) = match self {
            Self::First { piece, .. } => (0, piece),
            Self::Next { piece } => (1, piece),
        };
        out.push(kind);
        out.extend_from_slice(&(piece.len() as u16).to_le_bytes());
        if let Self::First { hash, length, .. } = self {
            out.extend_from_slice(hash.as_slice());
            out.extend_from_slice(&length.to_le_bytes());
        }
        out.extend_from_slice(piece);
    }

    /// Takes an entry from the front; `None` if there is none.
    pub(super) fn take(bytes: &mut &'a [u8]) -> Option<Self> {
        let [kind] = take_array(bytes)?;
        let piece = usize::from(u16::from_le_bytes(take_array(bytes)?));
        match kind {
            0 => {
                let hash = take_array::<32>(bytes)?.into();
                let length = u32::from_le_bytes(take_array(bytes)?);
                Some(Self::First { hash, length, piece: take(bytes, piece)? })
            }
            1 => Some(Self::Next { piece: take(bytes, piece)? }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy_primitives::hex;
    use proptest::prelude::*;

    use super::*;

    fn account(nonce: u64, balance: U256, contract: bool, bare_code: bool) -> AccountEntry {
        let (storage_root, slots) = if contract {
            let slots = SlotRange { first: Place { page: 5, index: 6 }, count: 7 };
            (B256::repeat_byte(0x33), slots)
        } else {
            (EMPTY_ROOT_HASH, SlotRange::default())
        };
        let code_hash = if bare_code { KECCAK256_EMPTY } else { B256::repeat_byte(0x44) };
        let account = TrieAccount { nonce, balance, storage_root, code_hash };
        AccountEntry { address: Address::repeat_byte(0x11), account, slots }
    }

    #[test]
    fn the_encoding_is_pinned() {
        let mut out = Vec::new();
        account(0, U256::ZERO, false, true).put(&mut out);
        account(258, U256::from(0x0a0b), true, false).put(&mut out);
        SlotEntry { key: U256::ZERO, value: U256::from(9) }.put(&mut out);
        CodeEntry::First { hash: B256::repeat_byte(0x55), length: 3, piece: &[0x60, 0] }.put(&mut out);
        CodeEntry::Next { piece: &[0x5b] }.put(&mut out);
        assert_eq!(
            hex::encode(out),
            "00001111111111111111111111111111111111111111\
             c202111111111111111111111111111111111111111101020a0b\
             4444444444444444444444444444444444444444444444444444444444444444\
             3333333333333333333333333333333333333333333333333333333333333333\
             050000000000000006000700000000000000\
             000109\
             000200555555555555555555555555555555555555555555555555555555555555555503000000600001\
             01005b"
        );
    }

    proptest! {
        #[test]
        fn entries_come_back(
            nonce: u64, balance in prop::array::uniform32(any::<u8>()), contract: bool, bare: bool,
            key in prop::array::uniform32(any::<u8>()), piece in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let [balance, key] = [balance, key].map(U256::from_be_bytes);
            let (account, slot) = (account(nonce, balance, contract, bare), SlotEntry { key, value: balance });
            let codes = [CodeEntry::First { hash: key.into(), length: 70, piece: &piece }, CodeEntry::Next { piece: &piece }];
            let mut out = Vec::new();
            account.put(&mut out);
            slot.put(&mut out);
            codes.iter().for_each(|code| code.put(&mut out));
            let mut rest = out.as_slice();
            prop_assert_eq!(AccountEntry::take(&mut rest), Some(account));
            prop_assert_eq!(SlotEntry::take(&mut rest), Some(slot));
            for code in codes {
                prop_assert_eq!(CodeEntry::take(&mut rest), Some(code));
            }
            prop_assert!(rest.is_empty());
            let mut rest = out.as_slice();
            prop_assert!(AccountEntry::is_of(rest, &account.address));
            prop_assert_eq!(AccountEntry::skip(&mut rest), Some(()));
            prop_assert!(SlotEntry::is_of(rest, &key));
            prop_assert!(!SlotEntry::is_of(rest, &(key ^ U256::from(1))));
            prop_assert_eq!(SlotEntry::skip(&mut rest), Some(()));
            prop_assert!(rest.first() == Some(&0));
        }

        #[test]
        fn any_bytes_decode_to_nothing_or_to_what_encodes_to_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut rest = bytes.as_slice();
            if let Some(slot) = SlotEntry::take(&mut rest) {
                let mut out = Vec::new();
                slot.put(&mut out);
                prop_assert_eq!(&out[..], &bytes[..bytes.len() - rest.len()]);
            }
            let mut rest = bytes.as_slice();
            let _ = AccountEntry::take(&mut rest);
            let mut rest = bytes.as_slice();
            let _ = CodeEntry::take(&mut rest);
            let (mut account, mut slot) = (bytes.as_slice(), bytes.as_slice());
            let _ = (AccountEntry::skip(&mut account), SlotEntry::skip(&mut slot));
        }
    }
}
