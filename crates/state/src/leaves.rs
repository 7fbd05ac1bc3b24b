//! The newest state as leaves of its tries: hashed keys are kept, so that a root hashes nodes only.
//!
//! Invariant: `leaves` holds exactly the accounts that exist and, of each, exactly the slots that are not zero.
//! Source: yellow paper 4.1; `interlace_trie` builds the roots and proofs.
//! What it does not do: it keeps no inner nodes; a root visits every leaf of the tries that changed.

use std::collections::BTreeMap;

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use interlace_stf::{Account, Changes};
use interlace_trie::{EMPTY_ROOT_HASH, TrieAccount, account_proof, sorted_root, storage_proofs};

/// Slots of one account by the hash of the slot.
type SlotLeaves = BTreeMap<B256, (U256, U256)>;

/// Storage of one account.
#[derive(Clone, Debug)]
struct Storage {
    slots: SlotLeaves,
    root: B256,
}

impl Default for Storage {
    fn default() -> Self {
        Self { slots: SlotLeaves::new(), root: EMPTY_ROOT_HASH }
    }
}

/// The newest accounts and slots.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    accounts: BTreeMap<B256, (Address, TrieAccount)>,
    storage: AddressMap<Storage>,
}

/// New leaves that follow from changes, not yet in place.
#[derive(Debug, Default)]
pub(crate) struct Update {
    accounts: BTreeMap<B256, (Address, Option<TrieAccount>)>,
    storage: Vec<(Address, Storage)>,
    /// Slots that exist in accounts whose storage is wiped.
    pub(crate) wiped: Vec<(Address, U256)>,
}

/// An account with the nodes that prove it and some of its slots (EIP-1186).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountProof {
    /// The account; `None` if the proof shows that there is none.
    pub account: Option<TrieAccount>,
    /// Nodes from the state root down.
    pub nodes: Vec<Bytes>,
    /// For each slot asked for: the slot, its value, nodes from the storage root down.
    pub slots: Vec<(U256, U256, Vec<Bytes>)>,
}

impl Leaves {
    /// What `changes` would do.
    pub(crate) fn stage(&self, changes: &Changes) -> Update {
        let mut update = Update::default();
        for (address, change) in &changes.accounts {
            let before = self.storage.get(address);
            let mut root = before.map_or(EMPTY_ROOT_HASH, |storage| storage.root);
            if change.wiped || change.info.is_none() || !change.storage.is_empty() {
                let wiped = change.wiped || change.info.is_none();
                if let Some(before) = before.filter(|_| wiped) {
                    update.wiped.extend(before.slots.values().map(|(slot, _)| (*address, *slot)));
                }
                let mut slots = before.filter(|_| !wiped).map(|before| before.slots.clone()).unwrap_or_default();
                for (slot, value) in &change.storage {
                    set_slot(&mut slots, *slot, *value);
                }
                root = slots_root(&slots);
                update.storage.push((*address, Storage { slots, root }));
            }
            let account = change.info.map(|info| trie_account(info, root));
            update.accounts.insert(keccak256(address), (*address, account));
        }
        update
    }

    /// The state root with `update` in place.
    pub(crate) fn root_with(&self, update: &Update) -> B256 {
        let untouched = self.accounts.iter().filter(|(key, _)| !update.accounts.contains_key(*key));
        let mut untouched = untouched.map(|(key, (_, account))| (*key, account)).peekable();
        let changed = update.accounts.iter().filter_map(|(key, (_, account))| Some((*key, account.as_ref()?)));
        let mut changed = changed.peekable();
        let merged = core::iter::from_fn(|| match (untouched.peek(), changed.peek()) {
            (Some((left, _)), Some((right, _))) if left < right => untouched.next(),
            (Some(_), None) => untouched.next(),
            _ => changed.next(),
        });
        sorted_root(merged.map(|(key, account)| (key, alloy_rlp::encode(account))))
    }

    /// Puts `update` in place.
    pub(crate) fn apply(&mut self, update: Update) {
        for (key, (address, account)) in update.accounts {
            match account {
                Some(account) => self.accounts.insert(key, (address, account)),
                None => self.accounts.remove(&key),
            };
        }
        for (address, storage) in update.storage {
            if storage.slots.is_empty() {
                self.storage.remove(&address);
            } else {
                self.storage.insert(address, storage);
            }
        }
    }

    /// The newest accounts, in no particular order.
    pub(crate) fn accounts(&self) -> impl Iterator<Item = (Address, TrieAccount)> {
        self.accounts.values().copied()
    }

    /// The newest slots of `address` that are not zero.
    pub(crate) fn slots(&self, address: Address) -> impl Iterator<Item = (U256, U256)> {
        self.storage.get(&address).into_iter().flat_map(|storage| storage.slots.values().copied())
    }

    pub(crate) fn proof(&self, address: Address, slots: &[U256]) -> AccountProof {
        let account = self.accounts.get(&keccak256(address)).map(|(_, account)| *account);
        let values: BTreeMap<U256, U256> = self.slots(address).collect();
        let proofs = storage_proofs(self.slots(address), slots);
        let value = |slot: &U256| values.get(slot).copied().unwrap_or_default();
        AccountProof {
            account,
            nodes: account_proof(self.accounts(), address),
            slots: slots.iter().zip(proofs).map(|(slot, nodes)| (*slot, value(slot), nodes)).collect(),
        }
    }
}

fn set_slot(slots: &mut SlotLeaves, slot: U256, value: U256) {
    let key = keccak256(B256::from(slot));
    if value.is_zero() {
        slots.remove(&key);
    } else {
        slots.insert(key, (slot, value));
    }
}

fn slots_root(slots: &SlotLeaves) -> B256 {
    sorted_root(slots.iter().map(|(key, (_, value))| (*key, alloy_rlp::encode(value))))
}

fn trie_account(account: Account, storage_root: B256) -> TrieAccount {
    TrieAccount { nonce: account.nonce, balance: account.balance, storage_root, code_hash: account.code_hash }
}
