//! A version of the flat state as a whole, in the order of hashed keys, and how it is put back.
//!
//! Invariant: while a version can be read, what is written meanwhile changes nothing of its image: entries are never removed, and newer ones
//! do not exist at that version. A part is locked for a few thousand entries at a time, so that a block waits for none of this.
//! What it does not do: what is put back has no past.

use alloy_primitives::{Address, B256, U256, keccak256};
use interlace_trie::TrieAccount;

use super::accounts::{Found, Storage};
use super::slots::NONE;
use super::{Flat, PARTS, handle, locate, part};
use crate::checkpoint::SlotEntry;
use crate::keccak::{Hasher, Messages};
use crate::keys::{beginning, slot_key};

/// Entries that are looked at under one lock, and keys that are hashed together.
const AT_ONCE: usize = 2_048;

/// The first eight bytes of a hashed key, and the handle.
pub(crate) type Ordered = (u64, u32);

impl Flat {
    /// The accounts that were written and exist at `version`, in the order of their hashed addresses; 16 bytes for each while they are
    /// sorted. None if `stop` says so.
    pub(crate) fn ordered(&self, version: u64, stop: impl Fn() -> bool) -> Option<Vec<Ordered>> {
        let mut all = Vec::new();
        for number in 0..PARTS {
            let mut start = 0;
            while let Some(found) = self.accounts[number].existing(start..start + AT_ONCE, version) {
                start += AT_ONCE;
                let mut keys = Messages::default();
                found.iter().for_each(|(_, address)| keys.add(address.as_slice()));
                let hashes = Hasher::default().hash(&keys);
                let handles = found.iter().map(|(entry, _)| handle(number, *entry));
                all.extend(hashes.iter().map(beginning).zip(handles));
                if stop() {
                    return None;
                }
            }
        }
        let whole = |handle: u32| self.account_key(handle);
        all.sort_unstable_by(|(one, at), (other, to)| one.cmp(other).then_with(|| whole(*at).cmp(&whole(*to))));
        Some(all)
    }

    /// The hashed address of a handle.
    pub(crate) fn account_key(&self, handle: u32) -> B256 {
        keccak256(self.account_at(handle).0)
    }

    /// The hashed key of a slot's handle.
    pub(crate) fn key_of_slot(&self, handle: u32) -> B256 {
        slot_key(&self.slot_at(handle).0)
    }

    /// The account of a handle that was written, at `version`, and where its slots are.
    pub(crate) fn account_of(&self, handle: u32, version: u64) -> Option<(Address, TrieAccount, Storage)> {
        let (part, entry) = locate(handle);
        self.accounts[part].of_entry_at(entry, version)
    }

    /// An account at `version`, and where its slots are, as far as it has an entry.
    pub(crate) fn account_at_version(&self, address: Address, version: u64) -> Found<(TrieAccount, Storage)> {
        let key = self.key(address);
        self.accounts_of(key).account_and_storage(key, version)
    }

    /// Whether an account's slots at `version` are not those of `before` with others written, but others altogether.
    pub(crate) fn wipes_between(&self, address: Address, before: u64, version: u64) -> bool {
        let storage = |version| match self.account_at_version(address, version) {
            Found::Present((_, storage)) => Some(storage),
            Found::Unwritten => Some(Storage::BELOW),
            Found::Absent => None,
        };
        match (storage(before), storage(version)) {
            (Some(old), Some(new)) => (old.number != NONE && new.number != old.number) || (new.cut_off && !old.cut_off),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// The value of a slot of a storage at `version`, if it has an entry with one.
    pub(crate) fn slot_at_version(&self, storage: u32, slot: &U256, version: u64) -> Option<U256> {
        if storage == NONE { None } else { self.slot_of(storage, slot, version) }
    }

    /// The slots of a storage that are not zero at `version`, in the order of their hashed keys.
    pub(crate) fn ordered_slots(&self, storage: u32, version: u64) -> Vec<Ordered> {
        if storage == NONE {
            return Vec::new();
        }
        let (part, number) = locate(storage);
        let mut next = self.accounts[part].first_slot(number);
        let mut all = Vec::new();
        while next != NONE {
            let mut keys = Messages::default();
            let mut handles = Vec::new();
            while next != NONE && handles.len() < AT_ONCE {
                let (part, entry) = locate(next);
                let (key, value, after) = self.slots[part].link(entry, version);
                if value.is_some_and(|value| !value.is_zero()) {
                    keys.add(&key.to_be_bytes::<32>());
                    handles.push(next);
                }
                next = after;
            }
            all.extend(Hasher::default().hash(&keys).iter().map(beginning).zip(handles));
        }
        let whole = |handle: u32| self.key_of_slot(handle);
        all.sort_unstable_by(|(one, at), (other, to)| one.cmp(other).then_with(|| whole(*at).cmp(&whole(*to))));
        all
    }

    /// Key and value of a slot's handle at `version`.
    pub(crate) fn slot_entry(&self, handle: u32, version: u64) -> SlotEntry {
        let (part, entry) = locate(handle);
        let (key, value, _) = self.slots[part].link(entry, version);
        SlotEntry { key, value: value.unwrap_or_default() }
    }

    /// Puts an account in a state that does not have it, as of `version`. Gives its handle, and the number of a storage without slots if it
    /// is to have one.
    pub(crate) fn load_account(&self, version: u64, address: Address, account: &TrieAccount) -> (u32, Option<u32>) {
        let key = self.key(address);
        let own = part(key.hash);
        let mut accounts = self.accounts[own].write();
        let with_storage = account.storage_root != interlace_trie::EMPTY_ROOT_HASH;
        let number = with_storage.then(|| handle(own, accounts.begin_storage()));
        let storage = Storage { number: number.unwrap_or(NONE), cut_off: false };
        let (entry, _) = accounts.put(key, version, Some(account), storage);
        (handle(own, entry), number)
    }

    /// Puts slots in a storage that does not have them, as of `version`, and gives their handles.
    pub(crate) fn load_slots(&self, version: u64, storage: u32, slots: &[(U256, U256)]) -> Vec<u32> {
        let (own, number) = locate(storage);
        let mut accounts = self.accounts[own].write();
        let load = |(key, value): &(U256, U256)| {
            let hash = self.slot_hash(storage, key);
            let next = accounts.first_slot(number);
            let (entry, _, _) = self.slots[part(hash)].write().put(hash, storage, key, value, version, next);
            let slot = handle(part(hash), entry);
            accounts.set_first_slot(number, slot);
            slot
        };
        slots.iter().map(load).collect()
    }
}
