//! The newest state as tries: that of the accounts, and that of each account's storage.
//!
//! Invariant: the tries hold exactly the accounts that exist and, of each, exactly the slots that are not zero. They are
//! derived from the flat state and never read to answer for a value.
//! Source: yellow paper 4.1.
//! What it does not do: it knows the newest version only.

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, U256, keccak256};
use interlace_stf::{Account, AccountChange, Changes};
use interlace_trie::TrieAccount;

use crate::keccak::{Hasher, Messages};
use crate::proof::AccountProof;
use crate::trie::{Change, Forest, Staged, Trie};

/// The newest state's tries.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    accounts: Forest<TrieAccount>,
    account_trie: Trie,
    slots: Forest<U256>,
    /// None is empty.
    storage_tries: AddressMap<Trie>,
}

/// New leaves and hashes that follow from changes, not yet in place.
#[derive(Debug)]
pub(crate) struct Update {
    /// The accounts changed that exist afterwards.
    pub(crate) accounts: AddressMap<TrieAccount>,
    account_trie: Staged<TrieAccount>,
    /// Whose storage tries change, in the order in which they were staged.
    storage: Vec<Address>,
    /// Whose storage from before is gone; what is staged of them was staged on empty tries.
    wiped: Vec<Address>,
    storage_tries: Staged<U256>,
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
    /// What `changes` would do.
    pub(crate) fn stage(&self, changes: &Changes) -> Update {
        let keys = hashed_keys(changes);
        let mut rest = keys.as_slice();
        let mut own_keys = Vec::with_capacity(changes.accounts.len());
        let (mut storage, mut wiped, mut tries) = (Vec::new(), Vec::new(), Vec::new());
        for (address, change) in &changes.accounts {
            let (own, slots) = rest.split_at(1);
            let (slots, others) = slots.split_at(change.storage.len());
            rest = others;
            own_keys.extend_from_slice(own);
            if wipes(change) || !slots.is_empty() {
                let values = change.storage.values().map(|value| (!value.is_zero()).then_some(*value));
                let leaves = slots.iter().zip(values).map(|(key, value)| Change { key: *key, value }).collect();
                wiped.extend(wipes(change).then_some(*address));
                tries.push((if wipes(change) { Trie::default() } else { self.storage_trie(address) }, leaves));
                storage.push(*address);
            }
        }
        let storage_tries = self.slots.stage(tries);
        let mut staged = storage.iter().enumerate().peekable();
        let mut accounts = AddressMap::default();
        let mut leaves = Vec::with_capacity(own_keys.len());
        for ((address, change), key) in changes.accounts.iter().zip(own_keys) {
            let root = match staged.next_if(|(_, other)| *other == address) {
                Some((trie, _)) => storage_tries.hash(trie),
                None => self.storage_trie(address).hash(),
            };
            let value = change.info.map(|info| trie_account(info, root));
            accounts.extend(value.map(|account| (*address, account)));
            leaves.push(Change { key, value });
        }
        let account_trie = self.accounts.stage(vec![(self.account_trie, leaves)]);
        Update { accounts, account_trie, storage, wiped, storage_tries }
    }

    fn storage_trie(&self, address: &Address) -> Trie {
        self.storage_tries.get(address).copied().unwrap_or_default()
    }

    /// Puts `update` in place, which was staged on the state as it is now.
    pub(crate) fn apply(&mut self, update: Update) {
        for address in &update.wiped {
            if let Some(trie) = self.storage_tries.remove(address) {
                self.slots.clear(trie);
            }
        }
        for (address, trie) in update.storage.into_iter().zip(self.slots.apply(update.storage_tries)) {
            if trie.is_empty() {
                self.storage_tries.remove(&address);
            } else {
                self.storage_tries.insert(address, trie);
            }
        }
        self.account_trie = self.accounts.apply(update.account_trie)[0];
    }

    /// Proves the account at `address` and some of its slots.
    pub(crate) fn prove(&self, address: Address, slots: &[U256]) -> AccountProof {
        let key = keccak256(address);
        let trie = self.storage_trie(&address);
        let prove_slot = |slot: &U256| {
            let key = keccak256(slot.to_be_bytes::<32>());
            (*slot, self.slots.get(trie, &key).copied().unwrap_or_default(), self.slots.prove(trie, &key))
        };
        AccountProof {
            account: self.accounts.get(self.account_trie, &key).copied(),
            nodes: self.accounts.prove(self.account_trie, &key),
            slots: slots.iter().map(prove_slot).collect(),
        }
    }
}

fn trie_account(account: Account, storage_root: B256) -> TrieAccount {
    TrieAccount { nonce: account.nonce, balance: account.balance, storage_root, code_hash: account.code_hash }
}
