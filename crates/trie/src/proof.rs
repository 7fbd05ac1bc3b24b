//! Proofs in the form of `eth_getProof`: made from all leaves, checked against a root.
//!
//! Invariant: what one function here makes, the other accepts for the same root, key and value, and for no other value.
//! Source: EIP-1186; nodes shorter than 32 bytes stand inside their parents and are not listed.
//! What it does not do: it reads no database. Making a proof visits every leaf.

use alloc::vec::Vec;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_rlp::Decodable;
use alloy_trie::proof::ProofRetainer;
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles, TrieAccount};

use crate::error::TrieError;
use crate::root::{account_leaves, sorted_leaves, storage_leaves};
use crate::sparse::SparseTrie;

fn proofs(leaves: &[(B256, Vec<u8>)], keys: &[B256]) -> Vec<Vec<Bytes>> {
    if leaves.is_empty() {
        return keys.iter().map(|_| Vec::new()).collect();
    }
    let targets: Vec<Nibbles> = keys.iter().map(Nibbles::unpack).collect();
    let mut builder = HashBuilder::default().with_proof_retainer(ProofRetainer::new(targets.clone()));
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    builder.root();
    let retained = builder.take_proof_nodes();
    let listed = |path: &Nibbles, node: &Bytes| path.is_empty() || node.len() >= B256::len_bytes();
    targets
        .iter()
        .map(|target| {
            let nodes = retained.matching_nodes_sorted(target);
            nodes.into_iter().filter(|(path, node)| listed(path, node)).map(|(_, node)| node).collect()
        })
        .collect()
}

/// The proof of an account's leaf, or of its absence, in the state trie of `accounts`; root first.
pub fn account_proof(accounts: impl IntoIterator<Item = (Address, TrieAccount)>, address: Address) -> Vec<Bytes> {
    proofs(&sorted_leaves(account_leaves(accounts)), &[keccak256(address)]).pop().unwrap_or_default()
}

/// The proofs of `targets` in the storage trie of `slots`, in the order of `targets`; empty for an empty trie.
pub fn storage_proofs(slots: impl IntoIterator<Item = (U256, U256)>, targets: &[U256]) -> Vec<Vec<Bytes>> {
    let keys: Vec<B256> = targets.iter().map(|slot| keccak256(B256::from(*slot))).collect();
    proofs(&storage_leaves(slots), &keys)
}

/// Checks that under `root` the (hashed) `key` has the value `expected`; `None` is absence.
///
/// # Errors
/// A node of the proof is missing or malformed, or the proof shows another value.
pub fn verify_proof(
    root: B256,
    key: &[u8],
    expected: Option<&[u8]>,
    proof: &[impl AsRef<[u8]>],
) -> Result<(), TrieError> {
    let got = SparseTrie::new(root, proof).get(key)?;
    if got.as_deref() == expected {
        return Ok(());
    }
    Err(TrieError::WrongValue { key: key.to_vec(), expected: expected.map(<[u8]>::to_vec), got })
}

/// The account that `proof` shows under the state root `root`; `None` when it shows that there is none.
///
/// # Errors
/// A node of the proof is missing or malformed, or the leaf is not an account.
pub fn account_of_proof(
    root: B256,
    address: Address,
    proof: &[impl AsRef<[u8]>],
) -> Result<Option<TrieAccount>, TrieError> {
    SparseTrie::new(root, proof).account(address)
}

/// The value of `slot` that `proof` shows under the storage root `root`; zero when it shows that there is none.
///
/// # Errors
/// A node of the proof is missing or malformed, or the leaf is not a canonical integer.
pub fn slot_of_proof(root: B256, slot: U256, proof: &[impl AsRef<[u8]>]) -> Result<U256, TrieError> {
    SparseTrie::new(root, proof).slot(slot)
}

impl SparseTrie {
    /// The account at `address`, taking this for a state trie.
    ///
    /// # Errors
    /// As for [`SparseTrie::get`]; also when the leaf is not an account.
    pub fn account(&self, address: Address) -> Result<Option<TrieAccount>, TrieError> {
        let key = keccak256(address);
        self.get(key.as_slice())?.map(|value| whole(key, &value)).transpose()
    }

    /// Sets the account at `address`, or removes it.
    ///
    /// # Errors
    /// As for [`SparseTrie::insert`] and [`SparseTrie::remove`].
    pub fn set_account(&mut self, address: Address, account: Option<TrieAccount>) -> Result<(), TrieError> {
        let value = account.map(alloy_rlp::encode).unwrap_or_default();
        self.insert(keccak256(address).as_slice(), value)
    }

    /// The value of `slot`, taking this for a storage trie; zero where there is no leaf.
    ///
    /// # Errors
    /// As for [`SparseTrie::get`]; also when the leaf is not a canonical integer.
    pub fn slot(&self, slot: U256) -> Result<U256, TrieError> {
        let key = keccak256(B256::from(slot));
        self.get(key.as_slice())?.map_or(Ok(U256::ZERO), |value| whole(key, &value))
    }

    /// Sets the value of `slot`; zero removes it.
    ///
    /// # Errors
    /// As for [`SparseTrie::insert`] and [`SparseTrie::remove`].
    pub fn set_slot(&mut self, slot: U256, value: U256) -> Result<(), TrieError> {
        let value = if value.is_zero() { Vec::new() } else { alloy_rlp::encode(value) };
        self.insert(keccak256(B256::from(slot)).as_slice(), value)
    }

    /// An empty trie.
    pub fn empty() -> Self {
        Self::new(EMPTY_ROOT_HASH, core::iter::empty::<&[u8]>())
    }
}

fn whole<T: Decodable>(key: B256, value: &[u8]) -> Result<T, TrieError> {
    let refuse = |reason| TrieError::BadValue { key: key.to_vec(), reason };
    let mut rest = value;
    let decoded = T::decode(&mut rest).map_err(|_| refuse("not the RLP of its kind"))?;
    if rest.is_empty() { Ok(decoded) } else { Err(refuse("bytes follow the value")) }
}
