//! The newest state as tries: that of the accounts, and that of each account's storage.
//!
//! Invariant: the tries hold exactly the accounts that exist and, of each, exactly the slots that are not zero. They are
//! derived from the flat state and never read to answer for a value.
//! Source: yellow paper 4.1.
//! What it does not do: it knows the newest version only.

use alloy_primitives::map::AddressMap;
use alloy_primitives::{Address, B256, U256, keccak256};
use interlace_stf::{Account, AccountChange, Changes};
use interlace_trie::{EMPTY_ROOT_HASH, TrieAccount};

use crate::buckets::{LeafChanges, Trie, TrieUpdate};

/// The newest state's tries.
#[derive(Debug, Default)]
pub(crate) struct Leaves {
    accounts: Trie,
    /// None is empty.
    storage: AddressMap<Trie>,
}

/// What becomes of one account's storage.
#[derive(Debug)]
struct StorageUpdate {
    address: Address,
    /// Whether the trie from before is gone; the update then was staged on an empty one.
    wiped: bool,
    update: TrieUpdate,
}

/// New leaves and hashes that follow from changes, not yet in place.
#[derive(Debug)]
pub(crate) struct Update {
    /// The accounts changed that exist afterwards.
    pub(crate) accounts: AddressMap<TrieAccount>,
    account_trie: TrieUpdate,
    storage: Vec<StorageUpdate>,
}

impl Update {
    /// State root with the update in place.
    pub(crate) const fn root(&self) -> B256 {
        self.account_trie.root()
    }
}

/// Whether a change leaves nothing of an account's storage from before.
pub(crate) const fn wipes(change: &AccountChange) -> bool {
    change.wiped || change.info.is_none()
}

impl Leaves {
    /// What `changes` would do.
    pub(crate) fn stage(&self, changes: &Changes) -> Update {
        let mut accounts = AddressMap::default();
        let mut leaves = LeafChanges::new();
        let mut storage = Vec::new();
        for (address, change) in &changes.accounts {
            let mut root = self.storage.get(address).map_or(EMPTY_ROOT_HASH, Trie::root);
            if wipes(change) || !change.storage.is_empty() {
                let update = self.stage_storage(*address, change);
                root = update.update.root();
                storage.push(update);
            }
            let account = change.info.map(|info| trie_account(info, root));
            leaves.insert(keccak256(address), account.map(alloy_rlp::encode));
            accounts.extend(account.map(|account| (*address, account)));
        }
        Update { accounts, account_trie: self.accounts.stage(leaves), storage }
    }

    fn stage_storage(&self, address: Address, change: &AccountChange) -> StorageUpdate {
        let slots = change.storage.iter().map(|(slot, value)| (keccak256(B256::from(*slot)), slot_leaf(*value)));
        let wiped = wipes(change);
        let update = match self.storage.get(&address) {
            Some(trie) if !wiped => trie.stage(slots.collect()),
            _ => Trie::default().stage(slots.collect()),
        };
        StorageUpdate { address, wiped, update }
    }

    /// Puts `update` in place, which was staged on the state as it is now.
    pub(crate) fn apply(&mut self, update: Update) {
        self.accounts.apply(update.account_trie);
        for StorageUpdate { address, wiped, update } in update.storage {
            let trie = self.storage.entry(address).or_default();
            if wiped {
                *trie = Trie::default();
            }
            trie.apply(update);
            if trie.is_empty() {
                self.storage.remove(&address);
            }
        }
    }
}

/// A slot's leaf; a slot of zero has none.
fn slot_leaf(value: U256) -> Option<Vec<u8>> {
    (!value.is_zero()).then(|| alloy_rlp::encode(value))
}

fn trie_account(account: Account, storage_root: B256) -> TrieAccount {
    TrieAccount { nonce: account.nonce, balance: account.balance, storage_root, code_hash: account.code_hash }
}
