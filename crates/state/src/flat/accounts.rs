//! A part of the accounts, by address.
//!
//! ```text
//! index ─► account, 64 bytes: address, form, nonce, balance       form: never written, absent, plain, or number of a contract
//!                                            └─► contract: code hash, storage root, number of its storage
//! ```
//! Invariant: an entry stays where it is, and a contract's record is never changed: a change of code or storage root makes
//! another, so that every version of an account names its own. A wiped account gets another storage, so nothing is erased one by one
//! and older versions still read the old one.

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use interlace_stf::Account;
use interlace_trie::{EMPTY_ROOT_HASH, TrieAccount};

use super::index::Index;
use super::past::Past;
use super::slots::NONE;
use crate::segments::Segments;

/// Forms of an account; higher ones number contracts from [`CONTRACT`] on.
const UNWRITTEN: u32 = 0;
const ABSENT: u32 = 1;
const PLAIN: u32 = 2;
const CONTRACT: u32 = 3;

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
    storage: Storage,
}

const NO_STORAGE: Storage = Storage { number: NONE, cut_off: false };
const BARE: Contract = Contract { code_hash: KECCAK256_EMPTY, storage_root: EMPTY_ROOT_HASH, storage: NO_STORAGE };

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

/// Accounts.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// The newest version that wrote here.
    version: u64,
    entries: Segments<AccountEntry>,
    index: Index,
    past: Past<AccountValue>,
    contracts: Segments<Contract>,
    /// First slot of each storage, a handle.
    storages: Segments<u32>,
}

/// Where an account's slots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    /// Number of its storage; [`NONE`] if it has none.
    pub(super) number: u32,
    /// Whether its slots that were never written are zero even if another chain's state lies below.
    pub(super) cut_off: bool,
}

impl AccountEntry {
    const fn value(&self) -> AccountValue {
        AccountValue { form: self.form, nonce: self.nonce, balance: self.balance }
    }

    const fn set(&mut self, AccountValue { form, nonce, balance }: AccountValue) {
        (self.form, self.nonce, self.balance) = (form, nonce, balance);
    }
}

impl Accounts {
    pub(super) fn entry_of(&self, key: Key) -> Option<usize> {
        self.index.find(key.hash, |number| self.entries[number].address == key.address)
    }

    fn at(&self, entry: usize, version: u64) -> AccountValue {
        // The newest version is wanted far more often than any other.
        let before = if self.version > version { self.past.at(entry, version) } else { None };
        before.unwrap_or_else(|| self.entries[entry].value())
    }

    fn find(&self, key: Key, version: u64) -> Found<AccountValue> {
        let value = self.entry_of(key).map(|entry| self.at(entry, version));
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

    /// The account of an entry, as it is now.
    pub(super) fn of_entry(&self, entry: usize) -> (Address, TrieAccount) {
        let entry = &self.entries[entry];
        (entry.address, self.trie_account_of(&entry.value()))
    }

    /// The accounts that exist at `version`.
    pub(super) fn all(&self, version: u64) -> impl Iterator<Item = (Address, TrieAccount)> {
        let values = (0..self.entries.len()).map(move |entry| (entry, self.at(entry, version)));
        let present = values.filter(|(_, value)| value.form > ABSENT);
        present.map(|(entry, value)| (self.entries[entry].address, self.trie_account_of(&value)))
    }

    /// Where an account's slots are at `version`.
    pub(super) fn storage(&self, key: Key, version: u64) -> Found<Storage> {
        self.find(key, version).map(|value| self.contract(&value).storage)
    }

    /// The first slot of a storage.
    pub(super) fn first_slot(&self, storage: usize) -> u32 {
        self.storages[storage]
    }

    /// Sets the first slot of a storage, and gives the one before.
    pub(super) fn set_first_slot(&mut self, storage: usize, slot: u32) -> u32 {
        core::mem::replace(&mut self.storages[storage], slot)
    }

    /// Another storage, without slots.
    pub(super) fn begin_storage(&mut self) -> usize {
        self.storages.push(NONE);
        self.storages.len() - 1
    }

    /// Where an account's slots go that are written now: none before the first one after it is made, or wiped.
    pub(super) fn storage_to_write(&self, key: Key, wiped: bool, partial: bool) -> Storage {
        let now = self.entry_of(key).map(|entry| self.entries[entry].value());
        let before = now.map_or(NO_STORAGE, |value| self.contract(&value).storage);
        if wiped || now.is_some_and(|value| value.form == ABSENT) {
            return Storage { number: NONE, cut_off: partial };
        }
        before
    }

    /// Writes an account as `version`, the newest, and gives its entry.
    pub(super) fn write(&mut self, key: Key, version: u64, after: Option<&TrieAccount>, storage: Storage) -> usize {
        let entry = self.entry_of(key).unwrap_or_else(|| self.begin(key));
        let before = self.entries[entry].value();
        let value = match after {
            None => AccountValue { form: ABSENT, nonce: 0, balance: U256::ZERO },
            Some(TrieAccount { nonce, balance, storage_root, code_hash }) => {
                let contract = Contract { code_hash: *code_hash, storage_root: *storage_root, storage };
                AccountValue { form: self.form(&before, contract), nonce: *nonce, balance: *balance }
            }
        };
        if version > 0 {
            self.past.push(entry, version, before);
        }
        self.version = version;
        self.entries[entry].set(value);
        entry
    }

    fn begin(&mut self, key: Key) -> usize {
        let entry = self.entries.len();
        self.index.insert(key.hash, entry);
        let Key { address, .. } = key;
        self.entries.push(AccountEntry { address, form: UNWRITTEN, nonce: 0, balance: U256::ZERO });
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

    /// Undoes what `version`, the newest, wrote to an entry; `target` is the version that will be the newest.
    pub(super) fn revert(&mut self, entry: usize, version: u64, target: u64) {
        if let Some(before) = self.past.pop(entry, version) {
            self.entries[entry].set(before);
        }
        self.version = self.version.min(target);
    }

    /// Bytes of entries and index, and values of older versions.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let entries = self.entries.len() * size_of::<AccountEntry>() + self.index.bytes();
        (entries + self.contracts.len() * size_of::<Contract>() + self.storages.len() * 4, self.past.len())
    }
}

const _: () = assert!(size_of::<AccountEntry>() == 64);
