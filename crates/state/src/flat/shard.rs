//! A part of the flat state: accounts by address, and their slots beside them.
//!
//! ```text
//! index ─► account, 64 bytes: address, form, nonce, balance       form: never written, absent, plain, or number of a contract
//!                                            └─► contract: code hash, storage root, number of its storage
//! index ─► slot, 72 bytes: storage, next slot of it, key, value
//! ```
//! Invariant: an entry stays where it is, and a contract's record is never changed: a change of code or storage root makes
//! another, so that every version of an account names its own. A wiped account gets another storage, so nothing is erased one by one
//! and older versions still read the old one.
//! What it does not do: locking, and choosing the shard (`super`).

use std::collections::HashSet;

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use interlace_stf::{Account, AccountChange};
use interlace_trie::{EMPTY_ROOT_HASH, TrieAccount};

use super::index::Index;
use super::past::Past;
use crate::segments::Segments;

/// Forms of an account; higher ones number contracts from [`CONTRACT`] on.
const UNWRITTEN: u32 = 0;
const ABSENT: u32 = 1;
const PLAIN: u32 = 2;
const CONTRACT: u32 = 3;
/// No storage, and no next slot.
const NONE: u32 = u32::MAX;

/// What is versioned of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AccountValue {
    form: u32,
    nonce: u64,
    balance: U256,
}

#[derive(Debug)]
#[repr(C, align(64))]
struct AccountEntry {
    address: Address,
    form: u32,
    nonce: u64,
    balance: U256,
}

/// What an account has beyond nonce and balance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Contract {
    code_hash: B256,
    storage_root: B256,
    storage: u32,
    /// Whether its slots that were never written are zero even if another chain's state lies below.
    cut_off: bool,
}

const BARE: Contract =
    Contract { code_hash: KECCAK256_EMPTY, storage_root: EMPTY_ROOT_HASH, storage: NONE, cut_off: false };

#[derive(Debug)]
struct SlotEntry {
    storage: u32,
    next: u32,
    key: U256,
    value: U256,
}

/// Of a slot: its value, or none if it was never written.
type SlotValue = Option<U256>;

/// What an account is at a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<T> {
    /// Never written.
    Unwritten,
    /// Written, and not there.
    Absent,
    Present(T),
}

impl<T> Found<T> {
    pub(super) fn written(self) -> Option<Option<T>> {
        match self {
            Self::Unwritten => None,
            Self::Absent => Some(None),
            Self::Present(value) => Some(Some(value)),
        }
    }

    pub(super) fn present(self) -> Option<T> {
        self.written().flatten()
    }

    fn map<U>(self, with: impl FnOnce(T) -> U) -> Found<U> {
        match self {
            Self::Unwritten => Found::Unwritten,
            Self::Absent => Found::Absent,
            Self::Present(value) => Found::Present(with(value)),
        }
    }
}

/// A key, with the hashes that place it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) address: Address,
    pub(super) hash: u64,
}

/// One part of the flat state.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// The newest version that wrote here.
    version: u64,
    accounts: Segments<AccountEntry>,
    account_index: Index,
    account_past: Past<AccountValue>,
    contracts: Segments<Contract>,
    /// First slot of each storage.
    storages: Vec<u32>,
    slots: Segments<SlotEntry>,
    slot_index: Index,
    slot_past: Past<SlotValue>,
    /// Slots whose writes were all undone.
    unwritten: HashSet<u32>,
}

/// What a version wrote of one account: its entry, and those of its slots.
#[derive(Clone, Debug)]
pub(crate) struct WrittenAccount {
    pub(crate) address: Address,
    entry: u32,
    slots: Box<[u32]>,
}

impl AccountEntry {
    const fn value(&self) -> AccountValue {
        AccountValue { form: self.form, nonce: self.nonce, balance: self.balance }
    }

    const fn set(&mut self, AccountValue { form, nonce, balance }: AccountValue) {
        (self.form, self.nonce, self.balance) = (form, nonce, balance);
    }
}

impl Shard {
    fn entry_of(&self, key: Key) -> Option<usize> {
        self.account_index.find(key.hash, |number| self.accounts[number].address == key.address)
    }

    fn account_at(&self, entry: usize, version: u64) -> AccountValue {
        // The newest version is wanted far more often than any other.
        let before = if self.version > version { self.account_past.at(entry, version) } else { None };
        before.unwrap_or_else(|| self.accounts[entry].value())
    }

    fn find(&self, key: Key, version: u64) -> Found<AccountValue> {
        let value = self.entry_of(key).map(|entry| self.account_at(entry, version));
        match value {
            None | Some(AccountValue { form: UNWRITTEN, .. }) => Found::Unwritten,
            Some(AccountValue { form: ABSENT, .. }) => Found::Absent,
            Some(value) => Found::Present(value),
        }
    }

    fn contract(&self, value: &AccountValue) -> &Contract {
        value.form.checked_sub(CONTRACT).map_or(&BARE, |number| &self.contracts[number as usize])
    }

    fn trie_account_of(&self, value: &AccountValue) -> TrieAccount {
        let Contract { code_hash, storage_root, .. } = *self.contract(value);
        TrieAccount { nonce: value.nonce, balance: value.balance, storage_root, code_hash }
    }

    pub(super) fn account(&self, key: Key, version: u64) -> Found<Account> {
        self.find(key, version).map(|value| Account {
            nonce: value.nonce,
            balance: value.balance,
            code_hash: self.contract(&value).code_hash,
        })
    }

    pub(super) fn trie_account(&self, key: Key, version: u64) -> Option<TrieAccount> {
        self.find(key, version).map(|value| self.trie_account_of(&value)).present()
    }

    /// The accounts that exist at `version`.
    pub(super) fn accounts(&self, version: u64) -> impl Iterator<Item = (Address, TrieAccount)> {
        let values = (0..self.accounts.len()).map(move |entry| (entry, self.account_at(entry, version)));
        let present = values.filter(|(_, value)| value.form > ABSENT);
        present.map(|(entry, value)| (self.accounts[entry].address, self.trie_account_of(&value)))
    }

    fn slot_entry(&self, storage: u32, slot: &U256, hash: u64) -> Option<usize> {
        self.slot_index.find(hash, |number| {
            let entry = &self.slots[number];
            entry.storage == storage && entry.key == *slot
        })
    }

    fn slot_at(&self, entry: usize, version: u64) -> SlotValue {
        let before = if self.version > version { self.slot_past.at(entry, version) } else { None };
        before.unwrap_or_else(|| self.slot_now(entry))
    }

    fn slot_now(&self, entry: usize) -> SlotValue {
        let undone = !self.unwritten.is_empty() && self.unwritten.contains(&(entry as u32));
        (!undone).then(|| self.slots[entry].value)
    }

    /// The value of a slot; `None` if it was never written, by a wipe neither. `hash` places a slot of a storage.
    pub(super) fn slot(&self, key: Key, slot: &U256, version: u64, hash: impl Fn(u32) -> u64) -> Option<U256> {
        let value = match self.find(key, version) {
            Found::Unwritten => return None,
            Found::Absent => return Some(U256::ZERO),
            Found::Present(value) => value,
        };
        let Contract { storage, cut_off, .. } = *self.contract(&value);
        let written = if storage == NONE {
            None
        } else {
            self.slot_entry(storage, slot, hash(storage)).and_then(|entry| self.slot_at(entry, version))
        };
        written.or_else(|| cut_off.then_some(U256::ZERO))
    }

    /// Number of the storage of an account, if it has one.
    pub(super) fn storage_of(&self, key: Key, version: u64) -> Option<u32> {
        let value = self.find(key, version).present()?;
        Some(self.contract(&value).storage).filter(|storage| *storage != NONE)
    }

    /// The slots of an account that are not zero at `version`.
    pub(super) fn slots(&self, key: Key, version: u64) -> Vec<(U256, U256)> {
        let mut found = Vec::new();
        let mut next = self.storage_of(key, version).map_or(NONE, |storage| self.storages[storage as usize]);
        while next != NONE {
            let entry = &self.slots[next as usize];
            let value = self.slot_at(next as usize, version).unwrap_or_default();
            if !value.is_zero() {
                found.push((entry.key, value));
            }
            next = entry.next;
        }
        found
    }

    /// Keys of slots that were written.
    pub(super) fn keys<'a>(&'a self, written: &'a WrittenAccount) -> impl Iterator<Item = U256> + 'a {
        written.slots.iter().map(|entry| self.slots[*entry as usize].key)
    }

    /// Writes a change as `version`, the newest; `after` is the account as its trie holds it then, if it exists. `partial` says that
    /// another chain's state lies below.
    pub(super) fn write(
        &mut self,
        key: Key,
        version: u64,
        change: &AccountChange,
        after: Option<&TrieAccount>,
        partial: bool,
        slot_hash: impl Fn(u32, &U256) -> u64,
    ) -> WrittenAccount {
        self.version = version;
        let entry = self.entry_of(key).unwrap_or_else(|| self.begin(key));
        let before = self.accounts[entry].value();
        let (value, slots) = match after {
            None => (AccountValue { form: ABSENT, nonce: 0, balance: U256::ZERO }, Box::default()),
            Some(after) => {
                let old = *self.contract(&before);
                let new_storage = change.wiped || before.form == ABSENT;
                let mut storage = if new_storage { NONE } else { old.storage };
                let slots = self.write_slots(&mut storage, version, change, partial, slot_hash);
                let contract = Contract {
                    code_hash: after.code_hash,
                    storage_root: after.storage_root,
                    storage,
                    cut_off: partial && (new_storage || old.cut_off),
                };
                (AccountValue { form: self.form(&before, contract), nonce: after.nonce, balance: after.balance }, slots)
            }
        };
        if version > 0 {
            self.account_past.push(entry, version, before);
        }
        self.accounts[entry].set(value);
        WrittenAccount { address: key.address, entry: entry as u32, slots }
    }

    fn begin(&mut self, key: Key) -> usize {
        let entry = self.accounts.len();
        self.account_index.insert(key.hash, entry);
        let Key { address, .. } = key;
        self.accounts.push(AccountEntry { address, form: UNWRITTEN, nonce: 0, balance: U256::ZERO });
        entry
    }

    /// The form of an account with this contract, which it had `before` or gets now.
    fn form(&mut self, before: &AccountValue, contract: Contract) -> u32 {
        if contract == BARE {
            return PLAIN;
        }
        if before.form >= CONTRACT && *self.contract(before) == contract {
            return before.form;
        }
        self.contracts.push(contract);
        CONTRACT + (self.contracts.len() - 1) as u32
    }

    fn write_slots(
        &mut self,
        storage: &mut u32,
        version: u64,
        change: &AccountChange,
        partial: bool,
        slot_hash: impl Fn(u32, &U256) -> u64,
    ) -> Box<[u32]> {
        let mut written = Vec::with_capacity(change.storage.len());
        for (slot, value) in &change.storage {
            if *storage == NONE {
                // Zero in a storage that holds nothing needs no entry, unless another chain's state says otherwise.
                if value.is_zero() && !partial {
                    continue;
                }
                *storage = self.storages.len() as u32;
                self.storages.push(NONE);
            }
            let hash = slot_hash(*storage, slot);
            let known = self.slot_entry(*storage, slot, hash);
            let before = known.and_then(|entry| self.slot_now(entry));
            let entry = known.unwrap_or_else(|| {
                let entry = self.slots.len();
                let next = core::mem::replace(&mut self.storages[*storage as usize], entry as u32);
                self.slot_index.insert(hash, entry);
                self.slots.push(SlotEntry { storage: *storage, next, key: *slot, value: U256::ZERO });
                entry
            });
            if version > 0 {
                self.slot_past.push(entry, version, before);
            }
            self.unwritten.remove(&(entry as u32));
            self.slots[entry].value = *value;
            written.push(entry as u32);
        }
        written.into()
    }

    /// Undoes what `version`, the newest, wrote of one account; `target` is the version that will be the newest.
    pub(super) fn revert(&mut self, version: u64, target: u64, written: &WrittenAccount) {
        let entry = written.entry as usize;
        if let Some(before) = self.account_past.pop(entry, version) {
            self.accounts[entry].set(before);
        }
        for slot in &written.slots {
            match self.slot_past.pop(*slot as usize, version) {
                Some(Some(value)) => self.slots[*slot as usize].value = value,
                Some(None) => {
                    self.slots[*slot as usize].value = U256::ZERO;
                    self.unwritten.insert(*slot);
                }
                None => {}
            }
        }
        self.version = self.version.min(target);
    }

    /// Bytes of entries and indexes; the past not counted.
    pub(super) fn bytes(&self) -> usize {
        self.accounts.len() * size_of::<AccountEntry>()
            + self.account_index.bytes()
            + self.contracts.len() * size_of::<Contract>()
            + self.storages.len() * 4
            + self.slots.len() * size_of::<SlotEntry>()
            + self.slot_index.bytes()
    }

    /// Values of older versions that are held.
    pub(super) fn past(&self) -> usize {
        self.account_past.len() + self.slot_past.len()
    }
}

const _: () = assert!(size_of::<AccountEntry>() == 64);
const _: () = assert!(size_of::<SlotEntry>() == 72);
