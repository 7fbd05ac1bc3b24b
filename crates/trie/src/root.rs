//! Roots of whole tries from their leaves: state, storage, and lists indexed by RLP (transactions, receipts, withdrawals).
//!
//! Invariant: the order of the input does not matter for state and storage; of two equal keys the later one counts;
//! a storage slot of zero is the same as an absent one.
//! Source: yellow paper, appendix D and section 4.1. What it does not do: it keeps no nodes between calls.

use alloc::vec::Vec;

use alloy_primitives::{Address, B256, U256, keccak256};
use alloy_trie::{HashBuilder, Nibbles, TrieAccount, root};

/// Leaves by hashed key in ascending order, each key once, the last value of a key kept.
pub(crate) fn sorted_leaves(leaves: impl IntoIterator<Item = (B256, Vec<u8>)>) -> Vec<(B256, Vec<u8>)> {
    let mut sorted: Vec<_> = leaves.into_iter().collect();
    // Stable, so that of two equal keys the later one is still later; `dedup` keeps the first, hence the reversal.
    sorted.reverse();
    sorted.sort_by_key(|(key, _)| *key);
    sorted.dedup_by_key(|(key, _)| *key);
    sorted
}

pub(crate) fn account_leaves(
    accounts: impl IntoIterator<Item = (Address, TrieAccount)>,
) -> impl Iterator<Item = (B256, Vec<u8>)> {
    accounts.into_iter().map(|(address, account)| (keccak256(address), alloy_rlp::encode(account)))
}

pub(crate) fn storage_leaves(slots: impl IntoIterator<Item = (U256, U256)>) -> Vec<(B256, Vec<u8>)> {
    let leaves = slots.into_iter().map(|(slot, value)| (keccak256(B256::from(slot)), alloy_rlp::encode(value)));
    // Zero is dropped after equal slots are merged: a later zero erases an earlier value.
    let mut sorted = sorted_leaves(leaves);
    sorted.retain(|(_, value)| value.as_slice() != [alloy_rlp::EMPTY_STRING_CODE]);
    sorted
}

/// The root of a state trie: `keccak(address) -> rlp(account)`, accounts in any order.
///
/// Every account given is a leaf, an empty one too; who applies EIP-161 leaves empty accounts out.
pub fn state_root(accounts: impl IntoIterator<Item = (Address, TrieAccount)>) -> B256 {
    sorted_root(sorted_leaves(account_leaves(accounts)))
}

/// The root of an account's storage trie: `keccak(slot) -> rlp(value)`, slots in any order, zeros left out.
pub fn storage_root(slots: impl IntoIterator<Item = (U256, U256)>) -> B256 {
    sorted_root(storage_leaves(slots))
}

/// The root of a trie whose leaves come with hashed keys, strictly ascending: for who keeps the hashes.
pub fn sorted_root(leaves: impl IntoIterator<Item = (B256, Vec<u8>)>) -> B256 {
    let mut builder = HashBuilder::default();
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), &value);
    }
    builder.root()
}

/// The root of a list: `rlp(index) -> item`, items already encoded (EIP-2718 for transactions and receipts).
pub fn ordered_root(items: &[impl AsRef<[u8]>]) -> B256 {
    root::ordered_trie_root_encoded(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY};

    fn account(nonce: u64) -> TrieAccount {
        TrieAccount { nonce, balance: U256::from(nonce), storage_root: EMPTY_ROOT_HASH, code_hash: KECCAK_EMPTY }
    }

    #[test]
    fn nothing_has_the_empty_root() {
        assert_eq!(state_root([]), EMPTY_ROOT_HASH);
        assert_eq!(storage_root([]), EMPTY_ROOT_HASH);
        assert_eq!(ordered_root(&[] as &[Vec<u8>]), EMPTY_ROOT_HASH);
    }

    #[test]
    fn order_and_repetition_do_not_matter() {
        let (a, b) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let expected = root::state_root_unhashed([(a, account(1)), (b, account(2))]);
        assert_eq!(state_root([(b, account(2)), (a, account(9)), (a, account(1))]), expected);
    }

    #[test]
    fn a_zero_slot_is_an_absent_slot() {
        let one = U256::from(1);
        assert_eq!(storage_root([(one, U256::ZERO)]), EMPTY_ROOT_HASH);
        assert_eq!(storage_root([(one, one), (one, U256::ZERO)]), EMPTY_ROOT_HASH);
        assert_eq!(
            storage_root([(one, U256::ZERO), (one, one)]),
            root::storage_root_unhashed([(B256::from(one), one)])
        );
    }
}
