//! The newest state as tries: that of the accounts, and that of each account's storage.
//!
//! Invariant: the tries hold exactly the accounts that exist and, of each, exactly the slots that are not zero. They are
//! derived from the flat state, whose handles are their leaves, and never read to answer for a value. What is staged is put in place after
//! the flat state was written.
//! Source: yellow paper 4.1.
//! What it does not do: it knows the newest version only.

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, U256, keccak256};
use interlace_stf::{Account, AccountChange, Changes};
use interlace_trie::TrieAccount;
use rayon::prelude::*;

use crate::error::StorageError;
use crate::flat::{Entry, Flat};
use crate::keccak::{Hasher, Messages};
use crate::keys::slot_key;
use crate::proof::AccountProof;
use crate::trie::{Change, Forest, Leaf, Source, Staged, Trie};

/// The newest state's tries.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    accounts: Forest,
    account_trie: Trie,
    slots: Forest,
    /// None is empty.
    storage_tries: AddressMap<Trie>,
}

/// New leaves and hashes that follow from changes, not yet in place.
#[derive(Debug)]
pub(crate) struct Update {
    /// The changed accounts as they are afterwards, in the order of the changes.
    pub(crate) after: Vec<Option<TrieAccount>>,
    account_trie: Staged<TrieAccount>,
    /// Whose storage tries change, in the order in which they were staged.
    storage: Vec<Address>,
    /// Whose storage from before is gone; what is staged of them was staged on empty tries.
    wiped: Vec<Address>,
    storage_tries: Staged<U256>,
    /// The accounts of the changes, to find the handles of those that had none.
    addresses: Vec<Address>,
    /// Slots that had no handle.
    new_slots: Vec<(Address, U256)>,
}

/// Accounts from which on several threads look for their handles.
const MIN_PARALLEL: usize = 1_024;
/// The version after all others.
const NOW: u64 = u64::MAX;

/// Accounts as leaves.
struct AccountLeaves<'a>(&'a Flat);

impl Source for AccountLeaves<'_> {
    type Value = TrieAccount;

    fn leaf(&self, handle: u32) -> Result<(B256, TrieAccount), StorageError> {
        let (address, account) = self.0.account_at(handle);
        Ok((keccak256(address), account))
    }

    fn cold(&self, _: &B256, path: &B256, nibbles: usize) -> Result<Option<(B256, TrieAccount)>, StorageError> {
        self.0.cold_account(path, nibbles)
    }
}

/// Slots as leaves.
struct SlotLeaves<'a>(&'a Flat);

impl Source for SlotLeaves<'_> {
    type Value = U256;

    fn leaf(&self, handle: u32) -> Result<(B256, U256), StorageError> {
        let (slot, value) = self.0.slot_at(handle);
        Ok((slot_key(&slot), value))
    }

    fn cold(&self, owner: &B256, path: &B256, nibbles: usize) -> Result<Option<(B256, U256)>, StorageError> {
        self.0.cold_slot(owner, path, nibbles)
    }
}

impl Update {
    /// State root with the update in place.
    pub(crate) fn root(&self) -> B256 {
        self.account_trie.hash(0)
    }
}

/// Whether a change leaves nothing of an account's storage from before.
pub(crate) const fn wipes(change: &AccountChange) -> bool {
    change.wiped || change.info.is_none()
}

/// The hashed keys of `changes`: of each account, then of its slots.
fn hashed_keys(changes: &Changes) -> Vec<B256> {
    let mut keys = Messages::default();
    for (address, change) in &changes.accounts {
        keys.add(address.as_slice());
        change.storage.keys().for_each(|slot| keys.add(&slot.to_be_bytes::<32>()));
    }
    Hasher::default().hash(&keys)
}

impl Leaves {
    /// What `changes` to the state in `flat` would do. Only what is staged with `keep` can be applied.
    ///
    /// # Errors
    /// When tables below cannot be read.
    pub(crate) fn stage(&self, flat: &Flat, changes: &Changes, keep: bool) -> Result<Update, StorageError> {
        flat.warm(changes, keep)?;
        let keys = hashed_keys(changes);
        let mut rest = keys.as_slice();
        let mut own_keys = Vec::with_capacity(changes.accounts.len());
        let (mut storage, mut wiped, mut tries, mut new_slots) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (address, change) in &changes.accounts {
            let (own, slots) = rest.split_at(1);
            let (slots, others) = slots.split_at(change.storage.len());
            rest = others;
            own_keys.extend_from_slice(own);
            if wipes(change) || !slots.is_empty() {
                let wipes = wipes(change);
                // After a wipe the account gets another storage, in which no slot has a handle yet.
                let number = if wipes { None } else { flat.storage_of(*address, NOW) };
                let leaves = slots.iter().zip(&change.storage).map(|(key, (slot, value))| {
                    let entry = number.map(|storage| flat.slot_in(*address, storage, slot, keep)).transpose()?;
                    let leaf = leaf_of(entry.unwrap_or(Entry::None), || {
                        new_slots.push((*address, *slot));
                        new_slots.len() as u32 - 1
                    });
                    Ok(Change { key: *key, leaf, value: (!value.is_zero()).then_some(*value) })
                });
                let leaves = leaves.collect::<Result<_, StorageError>>()?;
                wiped.extend(wipes.then_some(*address));
                tries.push((own[0], if wipes { Trie::default() } else { self.storage_trie(address) }, leaves));
                storage.push(*address);
            }
        }
        let storage_tries = self.slots.stage(&SlotLeaves(flat), tries)?;
        let mut staged = storage.iter().enumerate().peekable();
        let addresses: Vec<Address> = changes.accounts.keys().copied().collect();
        let entries = entries(flat, &addresses, keep)?;
        let mut after = Vec::with_capacity(own_keys.len());
        let mut leaves = Vec::with_capacity(own_keys.len());
        let each = (0u32..).zip(&changes.accounts).zip(own_keys).zip(entries);
        for (((ordinal, (address, change)), key), entry) in each {
            let root = match staged.next_if(|(_, other)| *other == address) {
                Some((trie, _)) => storage_tries.hash(trie),
                None => self.storage_trie(address).hash(),
            };
            let value = change.info.map(|info| trie_account(info, root));
            after.push(value);
            leaves.push(Change { key, leaf: leaf_of(entry, || ordinal), value });
        }
        let tries = vec![(B256::ZERO, self.account_trie, leaves)];
        let account_trie = self.accounts.stage(&AccountLeaves(flat), tries)?;
        Ok(Update { after, account_trie, storage, wiped, storage_tries, addresses, new_slots })
    }

    fn storage_trie(&self, address: &Address) -> Trie {
        self.storage_tries.get(address).copied().unwrap_or_default()
    }

    /// Puts `update` in place, which was staged on the state as it was before `flat` was written.
    pub(crate) fn apply(&mut self, flat: &Flat, update: Update) {
        for address in &update.wiped {
            if let Some(trie) = self.storage_tries.remove(address) {
                self.slots.clear(trie);
            }
        }
        let slot_handle = |ordinal: u32| {
            let (address, slot) = update.new_slots[ordinal as usize];
            let storage = flat.storage_of(address, NOW);
            let entry = storage.and_then(|storage| flat.slot_in(address, storage, &slot, false).ok());
            match entry {
                // A wipe that is undone leaves slots that are in the tables alone.
                Some(Entry::Clean) => None,
                Some(Entry::Written(handle)) => Some(handle),
                Some(Entry::None) | None => written(flat),
            }
        };
        for (address, trie) in update.storage.into_iter().zip(self.slots.apply(update.storage_tries, slot_handle)) {
            if trie.is_empty() {
                self.storage_tries.remove(&address);
            } else {
                self.storage_tries.insert(address, trie);
            }
        }
        let account_handle =
            |ordinal: u32| flat.account_handle(update.addresses[ordinal as usize]).or_else(|| written(flat));
        self.account_trie = self.accounts.apply(update.account_trie, account_handle)[0];
    }

    /// Puts slots in the tries of some accounts, whose handles are known or that are cold, and gives the roots of their storage.
    ///
    /// # Errors
    /// When tables below cannot be read.
    pub(crate) fn load_slots(
        &mut self,
        flat: &Flat,
        storages: Vec<(B256, Address, Vec<Change<U256>>)>,
    ) -> Result<Vec<B256>, StorageError> {
        let addresses: Vec<Address> = storages.iter().map(|(_, address, _)| *address).collect();
        let trie = |(key, address, changes)| (key, self.storage_trie(&address), changes);
        let staged = self.slots.stage(&SlotLeaves(flat), storages.into_iter().map(trie).collect())?;
        let tries = self.slots.apply(staged, |_| None);
        let roots = tries.iter().map(Trie::hash).collect();
        let full = addresses.into_iter().zip(tries).filter(|(_, trie)| !trie.is_empty());
        self.storage_tries.extend(full);
        Ok(roots)
    }

    /// Puts accounts in the trie, whose handles are known or that are cold, and gives the state root.
    ///
    /// # Errors
    /// When tables below cannot be read.
    pub(crate) fn load_accounts(
        &mut self,
        flat: &Flat,
        accounts: Vec<Change<TrieAccount>>,
    ) -> Result<B256, StorageError> {
        let staged = self.accounts.stage(&AccountLeaves(flat), vec![(B256::ZERO, self.account_trie, accounts)])?;
        self.account_trie = self.accounts.apply(staged, |_| None)[0];
        Ok(self.account_trie.hash())
    }

    /// Proves the account at `address` and some of its slots.
    ///
    /// # Errors
    /// When tables below cannot be read.
    pub(crate) fn prove(&self, flat: &Flat, address: Address, slots: &[U256]) -> Result<AccountProof, StorageError> {
        let key = keccak256(address);
        let trie = self.storage_trie(&address);
        let leaves = SlotLeaves(flat);
        let prove_slot = |slot: &U256| {
            let own = slot_key(slot);
            let value = self.slots.get(&leaves, &key, trie, &own)?.unwrap_or_default();
            Ok((*slot, value, self.slots.prove(&leaves, &key, trie, &own)?))
        };
        let (accounts, owner) = (AccountLeaves(flat), B256::ZERO);
        Ok(AccountProof {
            account: self.accounts.get(&accounts, &owner, self.account_trie, &key)?,
            nodes: self.accounts.prove(&accounts, &owner, self.account_trie, &key)?,
            slots: slots.iter().map(prove_slot).collect::<Result<_, StorageError>>()?,
        })
    }

    /// Hashes with another backend from now on.
    pub(crate) fn hash_with(&mut self, hasher: Hasher) {
        self.accounts.hash_with(hasher);
        self.slots.hash_with(hasher);
    }

    /// Bytes of all nodes.
    pub(crate) fn bytes(&self) -> usize {
        self.accounts.bytes() + self.slots.bytes()
    }
}

/// What there is of accounts; of many, by several threads, because each waits for memory.
fn entries(flat: &Flat, addresses: &[Address], kept: bool) -> Result<Vec<Entry>, StorageError> {
    let entry = |address: &Address| flat.account_entry(*address, kept);
    if addresses.len() < MIN_PARALLEL {
        return addresses.iter().map(entry).collect();
    }
    addresses.par_iter().with_min_len(MIN_PARALLEL / 4).map(entry).collect()
}

/// The leaf of an entry. What has none, or may lose it until it is written, is asked for again by its ordinal.
fn leaf_of(entry: Entry, ordinal: impl FnOnce() -> u32) -> Leaf {
    match entry {
        Entry::Written(handle) => Leaf::Known(handle),
        Entry::Clean => Leaf::Warm(ordinal()),
        Entry::None => Leaf::New(ordinal()),
    }
}

/// No handle for a leaf that was just written, which only a state over tables may have.
///
/// # Panics
/// In a state without tables.
fn written(flat: &Flat) -> Option<u32> {
    assert!(flat.tables().is_some(), "a leaf is put in place before the flat state was written");
    None
}

fn trie_account(account: Account, storage_root: B256) -> TrieAccount {
    TrieAccount { nonce: account.nonce, balance: account.balance, storage_root, code_hash: account.code_hash }
}
