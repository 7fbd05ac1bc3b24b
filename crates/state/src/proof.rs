//! Proofs of accounts and slots against a state root.
//!
//! Invariant: a proof verifies against the root of the version that it was made of.
//! Source: EIP-1186; `interlace_trie` builds the nodes.
//! What it does not do: of a version that is not the newest no hash is kept; its proof visits every leaf of the tries that it
//! goes through (the newest's is made by `trie`).

use std::collections::BTreeMap;

use alloy_primitives::{Address, Bytes, U256};
use interlace_trie::{TrieAccount, account_proof, storage_proofs};

use crate::error::StorageError;
use crate::view::View;

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

/// All that a proof needs of one version, copied out so that hashing holds no lock.
#[derive(Debug)]
pub(crate) struct Material {
    address: Address,
    accounts: Vec<(Address, TrieAccount)>,
    slots: BTreeMap<U256, U256>,
}

impl Material {
    pub(crate) fn read(view: &View<'_>, address: Address) -> Result<Self, StorageError> {
        Ok(Self { address, accounts: view.accounts()?, slots: view.slots(address)?.into_iter().collect() })
    }

    pub(crate) fn prove(self, targets: &[U256]) -> AccountProof {
        let Self { address, accounts, slots } = self;
        let account = accounts.iter().find(|(other, _)| *other == address).map(|(_, account)| *account);
        let value = |slot: &U256| slots.get(slot).copied().unwrap_or_default();
        let proofs = storage_proofs(slots.iter().map(|(slot, value)| (*slot, *value)), targets);
        AccountProof {
            account,
            nodes: account_proof(accounts, address),
            slots: targets.iter().zip(proofs).map(|(slot, nodes)| (*slot, value(slot), nodes)).collect(),
        }
    }
}
