//! A part of the accounts, by address.
//!
//! ```text
//! index ─► account, 64 bytes: address, form, nonce, balance       form: never written, absent, plain, or number of a contract
//!                                            └─► contract: code hash, storage root, number of its storage
//! ```
//! Readers of the newest version take no lock (`words`); what changes an entry holds the part's, and so does who reads an older one.
//! Invariant: an entry that was written stays where it is, and a contract's record is never changed: a change of code or storage root makes
//! another, so that every version of an account names its own. A wiped account gets another storage, so nothing is erased one by one
//! and older versions still read the old one.

use std::ops::Range;
use std::sync::PoisonError;

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256};
use interlace_stf::Account;
use interlace_trie::{EMPTY_ROOT_HASH, TrieAccount};

use super::clean::Clean;
use super::cold::Room;
use super::index::{Index, MAX_NUMBERS};
use super::past::Past;
use super::slots::NONE;
use super::words::{Records, Sequence, same};
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

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

/// Of an account that was never written.
const NEVER: AccountValue = AccountValue { form: UNWRITTEN, nonce: 0, balance: U256::ZERO };

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
pub(crate) enum Found<T> {
    /// Never written.
    Unwritten,
    /// Written, and not there.
    Absent,
    Present(T),
}

impl<T> Found<T> {
    #[inline(always)]
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
}

/// A key, with the hashes that place it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    pub(super) address: Address,
    pub(super) hash: u64,
}

/// Where an account's slots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Storage {
    /// Number of its storage; [`NONE`] if it has none.
    pub(crate) number: u32,
    /// Whether its slots that were never written are zero even if another chain's state lies below.
    pub(crate) cut_off: bool,
}

/// Words of an account: 20 bytes of address and form, nonce, balance.
type AccountWords = [u64; 8];
/// Words of a contract: code hash, storage root, storage.
type ContractWords = [u64; 9];

impl AccountValue {
    #[inline(always)]
    fn load(words: &[AtomicU64; 8]) -> Self {
        let word = |word: usize| words[word].load(Ordering::Relaxed);
        let balance = U256::from_limbs([word(4), word(5), word(6), word(7)]);
        Self { form: (word(2) >> 32) as u32, nonce: word(3), balance }
    }

    #[inline(always)]
    fn found<T>(self, with: impl FnOnce(Self) -> T) -> Found<T> {
        match self.form {
            UNWRITTEN => Found::Unwritten,
            ABSENT => Found::Absent,
            _ => Found::Present(with(self)),
        }
    }

    fn words(&self, address: Address) -> AccountWords {
        let [one, two, rest] = address_words(address);
        let [a, b, c, d] = self.balance.into_limbs();
        [one, two, rest | u64::from(self.form) << 32, self.nonce, a, b, c, d]
    }
}

/// An address as the first words of an account, without its form.
#[inline]
pub(super) fn address_words(address: Address) -> [u64; 3] {
    let (halves, rest) = address.0.as_chunks::<8>();
    let rest = u32::from_le_bytes(*rest.first_chunk().unwrap_or(&[0; 4]));
    [u64::from_le_bytes(halves[0]), u64::from_le_bytes(halves[1]), u64::from(rest)]
}

fn hash_of(words: &[u64]) -> B256 {
    let mut hash = B256::ZERO;
    hash.0.as_chunks_mut::<8>().0.iter_mut().zip(words).for_each(|(part, word)| *part = word.to_le_bytes());
    hash
}

fn words_of(hash: B256) -> [u64; 4] {
    let words = hash.0.as_chunks::<8>().0;
    core::array::from_fn(|word| u64::from_le_bytes(words[word]))
}

impl Storage {
    /// Of an account without an entry: its slots are in the tables.
    pub(crate) const BELOW: Self = Self { number: NONE, cut_off: false };

    const fn of(word: u64) -> Self {
        Self { number: word as u32, cut_off: word >> 32 == 1 }
    }
}

impl Contract {
    fn of(words: &ContractWords) -> Self {
        let storage = Storage::of(words[8]);
        Self { code_hash: hash_of(&words[..4]), storage_root: hash_of(&words[4..8]), storage }
    }

    fn words(&self) -> ContractWords {
        let storage = u64::from(self.storage.number) | u64::from(self.storage.cut_off) << 32;
        let ([a, b, c, d], [e, f, g, h]) = (words_of(self.code_hash), words_of(self.storage_root));
        [a, b, c, d, e, f, g, h, storage]
    }
}

/// Accounts, their newest values readable without a lock.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    sequence: Sequence,
    entries: Records<8>,
    contracts: Records<9>,
    index: Index,
    held: RwLock<Held>,
}

/// What readers of older versions, and writers, lock.
#[derive(Debug, Default)]
struct Held {
    len: usize,
    contracts: usize,
    past: Past<AccountValue>,
    /// First slot of each storage, a handle.
    storages: Vec<u32>,
    /// Entries that are as in the tables below, and were never written.
    clean: Clean,
}

/// The right to write.
pub(super) struct Writer<'a> {
    part: &'a Accounts,
    held: RwLockWriteGuard<'a, Held>,
}

impl Accounts {
    /// The entry of an account, and what `take` has of its words.
    #[inline(always)]
    fn with_entry<T>(&self, key: Key, take: impl Fn(usize, &[AtomicU64; 8]) -> T) -> Option<T> {
        let address = address_words(key.address);
        self.index.find(key.hash, |entry| {
            let words = self.entries.get(entry)?;
            let [one, two, rest] = [0, 1, 2].map(|word: usize| words[word].load(Ordering::Relaxed));
            same([one, two, rest & u64::from(u32::MAX)], address).then(|| take(entry, words))
        })
    }

    /// The entry of an account, for who does not hold the right to write.
    pub(super) fn entry_of(&self, key: Key) -> Option<usize> {
        let found = self.sequence.read(u64::MAX, || self.place_of(key));
        found.unwrap_or_else(|| {
            let _held = self.read();
            self.place_of(key)
        })
    }

    /// The same, while nobody writes.
    fn place_of(&self, key: Key) -> Option<usize> {
        self.with_entry(key, |entry, _| entry)
    }

    fn value(&self, entry: usize) -> AccountValue {
        self.entries.get(entry).map_or(NEVER, AccountValue::load)
    }

    /// The record of a contract. It is there before any account names it, and never changes.
    fn contract(&self, value: &AccountValue) -> Contract {
        let number = value.form.checked_sub(CONTRACT);
        number.and_then(|number| self.contracts.load(number as usize)).map_or(BARE, |words| Contract::of(&words))
    }

    /// The value of an account at a version; its form may be that of one that is not there.
    #[inline(always)]
    fn find(&self, key: Key, version: u64) -> AccountValue {
        let newest = self.sequence.read(version, || self.with_entry(key, |_, words| AccountValue::load(words)));
        newest.map_or_else(|| self.find_older(key, version), |found| found.unwrap_or(NEVER))
    }

    #[cold]
    fn find_older(&self, key: Key, version: u64) -> AccountValue {
        let held = self.read();
        self.place_of(key).map_or(NEVER, |entry| self.at(&held, entry, version))
    }

    fn read(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn at(&self, held: &Held, entry: usize, version: u64) -> AccountValue {
        let before = if self.sequence.is_newest(version) { None } else { held.past.at(entry, version) };
        before.unwrap_or_else(|| self.value(entry))
    }

    #[inline(always)]
    pub(super) fn account(&self, key: Key, version: u64) -> Found<Account> {
        self.find(key, version).found(|AccountValue { form, nonce, balance }| {
            let words = form.checked_sub(CONTRACT).and_then(|number| self.contracts.get(number as usize));
            let code_hash = words.map_or(KECCAK256_EMPTY, |words| {
                hash_of(&[0, 1, 2, 3].map(|word: usize| words[word].load(Ordering::Relaxed)))
            });
            Account { nonce, balance, code_hash }
        })
    }

    pub(super) fn trie_account(&self, key: Key, version: u64) -> Found<TrieAccount> {
        self.find(key, version).found(|value| trie_account(value, self.contract(&value)))
    }

    /// Where an account's slots are at `version`.
    #[inline]
    pub(super) fn storage(&self, key: Key, version: u64) -> Found<Storage> {
        self.find(key, version).found(|value| {
            let words = value.form.checked_sub(CONTRACT).and_then(|number| self.contracts.get(number as usize));
            words.map_or(NO_STORAGE, |words| Storage::of(words[8].load(Ordering::Relaxed)))
        })
    }

    /// The entry of an account, and whether it is as in the tables below and was never written.
    pub(super) fn entry_and_clean(&self, key: Key) -> Option<(usize, bool)> {
        let held = self.read();
        self.place_of(key).map(|entry| (entry, held.clean.has(entry)))
    }

    /// The account of an entry, as it is now.
    pub(super) fn of_entry(&self, entry: usize) -> (Address, TrieAccount) {
        let _held = self.read();
        let value = self.value(entry);
        (self.address(entry), trie_account(value, self.contract(&value)))
    }

    fn address(&self, entry: usize) -> Address {
        let [one, two, rest, ..] = self.entries.load(entry).unwrap_or_default();
        let mut address = Address::ZERO;
        let (halves, last) = address.0.as_chunks_mut::<8>();
        halves.iter_mut().zip([one, two]).for_each(|(half, word)| *half = word.to_le_bytes());
        last.copy_from_slice(&rest.to_le_bytes()[..4]);
        address
    }

    /// The accounts that exist at `version`.
    pub(super) fn all(&self, version: u64) -> Vec<(Address, TrieAccount)> {
        let held = self.read();
        let account = |entry| self.present(&held, entry, version).map(|(account, _)| (self.address(entry), account));
        (0..held.len).filter_map(account).collect()
    }

    fn present(&self, held: &Held, entry: usize, version: u64) -> Option<(TrieAccount, Storage)> {
        self.at(held, entry, version)
            .found(|value| {
                let contract = self.contract(&value);
                (trie_account(value, contract), contract.storage)
            })
            .present()
    }

    /// Of some entries, those that were written and whose accounts exist at `version`; none behind the last entry.
    pub(super) fn existing(&self, entries: Range<usize>, version: u64) -> Option<Vec<(usize, Address)>> {
        let held = self.read();
        if entries.start >= held.len {
            return None;
        }
        let exists = |entry: &usize| {
            !held.clean.has(*entry) && self.at(&held, *entry, version).found(|_| ()).present().is_some()
        };
        let entries = (entries.start..entries.end.min(held.len)).filter(exists);
        Some(entries.map(|entry| (entry, self.address(entry))).collect())
    }

    /// The account of an entry that was written, at `version`, and where its slots are.
    pub(super) fn of_entry_at(&self, entry: usize, version: u64) -> Option<(Address, TrieAccount, Storage)> {
        let held = self.read();
        let (account, storage) = self.present(&held, entry, version)?;
        Some((self.address(entry), account, storage))
    }

    /// An account at `version`, and where its slots are.
    pub(super) fn account_and_storage(&self, key: Key, version: u64) -> Found<(TrieAccount, Storage)> {
        self.find(key, version).found(|value| {
            let contract = self.contract(&value);
            (trie_account(value, contract), contract.storage)
        })
    }

    /// The first slot of a storage.
    pub(super) fn first_slot(&self, storage: usize) -> u32 {
        self.read().storages[storage]
    }

    pub(super) fn write(&self) -> Writer<'_> {
        Writer { part: self, held: self.held.write().unwrap_or_else(PoisonError::into_inner) }
    }

    /// Bytes of entries and index, and values of older versions.
    pub(super) fn sizes(&self) -> (usize, usize) {
        let held = self.read();
        let entries = held.len * size_of::<AccountWords>() + held.contracts * size_of::<ContractWords>();
        (entries + held.storages.len() * 4 + self.index.bytes(), held.past.len())
    }
}

const fn trie_account(value: AccountValue, contract: Contract) -> TrieAccount {
    let Contract { code_hash, storage_root, .. } = contract;
    TrieAccount { nonce: value.nonce, balance: value.balance, storage_root, code_hash }
}

impl Writer<'_> {
    /// The first slot of a storage.
    pub(super) fn first_slot(&self, storage: usize) -> u32 {
        self.held.storages[storage]
    }

    /// Sets the first slot of a storage.
    pub(super) fn set_first_slot(&mut self, storage: usize, slot: u32) {
        self.held.storages[storage] = slot;
    }

    /// Another storage, without slots.
    ///
    /// # Panics
    /// For as many storages as an index holds numbers: theirs are handles, too.
    pub(super) fn begin_storage(&mut self) -> usize {
        assert!(self.held.storages.len() < MAX_NUMBERS, "a part of the flat state holds at most 2^25 storages");
        self.held.storages.push(NONE);
        self.held.storages.len() - 1
    }

    /// Where an account's slots go that are written now: none before the first one after it is made, or wiped.
    pub(super) fn storage_to_write(&self, key: Key, wiped: bool, partial: bool) -> Storage {
        let now = self.part.place_of(key).map(|entry| self.part.value(entry));
        if wiped || now.is_some_and(|value| value.form == ABSENT) {
            return Storage { number: NONE, cut_off: partial };
        }
        now.map_or(NO_STORAGE, |value| self.part.contract(&value).storage)
    }

    /// Writes an account as `version`, the newest, and gives its entry.
    pub(super) fn write(&mut self, key: Key, version: u64, after: Option<&TrieAccount>, storage: Storage) -> usize {
        let (entry, before) = self.put(key, version, after, storage);
        if version > 0 {
            self.held.past.push(entry, version, before);
        }
        self.held.clean.remove(entry);
        entry
    }

    /// Puts an account beside which there is none yet as it is in the tables below.
    /// At most as many as the room has are held of such accounts without code and storage; others stay. Says whether one was given up for it.
    pub(super) fn warm(&mut self, key: Key, account: &TrieAccount, room: &Room, hash: impl Fn(Address) -> u64) -> bool {
        if self.part.place_of(key).is_some() {
            return false;
        }
        let is_plain = account.storage_root == EMPTY_ROOT_HASH && account.code_hash == KECCAK256_EMPTY;
        let gives_up = is_plain && self.give_up(room, hash);
        let with_storage = account.storage_root != EMPTY_ROOT_HASH;
        let number = if with_storage { super::handle(super::part(key.hash), self.begin_storage()) } else { NONE };
        let version = self.part.sequence.newest();
        let (entry, _) = self.put(key, version, Some(account), Storage { number, cut_off: false });
        self.held.clean.add(entry, is_plain);
        gives_up
    }

    /// Keeps an entry, if it is clean, until [`Self::settle`]. Says whether there is one.
    pub(super) fn keep(&mut self, key: Key) -> bool {
        self.part.place_of(key).map(|entry| self.held.clean.keep(entry)).is_some()
    }

    /// Keeps nothing any more.
    pub(super) fn settle(&mut self) {
        self.held.clean.settle();
    }

    /// Gives an entry up if there is no room.
    fn give_up(&mut self, room: &Room, hash: impl Fn(Address) -> u64) -> bool {
        let Some(entry) = self.held.clean.give_up(room.accounts) else { return false };
        let part = self.part;
        let _change = part.sequence.change(part.sequence.newest());
        part.index.remove(hash(part.address(entry)), entry);
        part.entries.store(entry, [0; 8]);
        true
    }

    /// Puts an account in place of what it is, which is forgotten by whoever does not keep it, and gives its entry.
    pub(super) fn put(
        &mut self,
        key: Key,
        version: u64,
        after: Option<&TrieAccount>,
        storage: Storage,
    ) -> (usize, AccountValue) {
        let part = self.part;
        let _change = part.sequence.change(version);
        let known = part.place_of(key);
        let entry = known.or_else(|| self.held.clean.reuse()).unwrap_or(self.held.len);
        let before = known.map_or(NEVER, |entry| part.value(entry));
        let value = match after {
            None => AccountValue { form: ABSENT, ..NEVER },
            Some(TrieAccount { nonce, balance, storage_root, code_hash }) => {
                let contract = Contract { code_hash: *code_hash, storage_root: *storage_root, storage };
                AccountValue { form: self.form(&before, &contract), nonce: *nonce, balance: *balance }
            }
        };
        part.entries.store(entry, value.words(key.address));
        if known.is_none() {
            part.index.insert(key.hash, entry);
            self.held.len = self.held.len.max(entry + 1);
        }
        (entry, before)
    }

    /// The form of an account with this contract, which it had `before` or gets now.
    fn form(&mut self, before: &AccountValue, contract: &Contract) -> u32 {
        if *contract == BARE {
            return PLAIN;
        }
        if before.form >= CONTRACT && self.part.contract(before) == *contract {
            return before.form;
        }
        let number = self.held.contracts;
        self.part.contracts.store(number, contract.words());
        self.held.contracts += 1;
        CONTRACT + number as u32
    }

    /// Forgets what an entry was before the write of `version`, the oldest that is held of it.
    pub(super) fn forget(&mut self, entry: usize, version: u64) {
        self.held.past.forget(entry, version);
    }

    /// Undoes what `version`, the newest, wrote to an entry; `target` is the version that will be the newest.
    pub(super) fn revert(&mut self, entry: usize, version: u64, target: u64) {
        let part = self.part;
        let _change = part.sequence.undo(target);
        if let Some(before) = self.held.past.pop(entry, version) {
            part.entries.store(entry, before.words(part.address(entry)));
        }
    }
}
