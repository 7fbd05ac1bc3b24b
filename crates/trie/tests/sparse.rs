//! The partial trie against alloy-trie's full builder: any keys, any order, inserts and removals, whole and partial.
//!
//! Invariant under test: after each operation the root is that of the full trie over the same contents; an operation
//! that needs an unknown node says which and changes nothing.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use alloy_trie::{HashBuilder, Nibbles, proof::ProofRetainer};
use interlace_trie::{
    EMPTY_ROOT_HASH, KECCAK_EMPTY, SparseTrie, TrieAccount, TrieError, account_of_proof, account_proof,
    before_collapse, slot_of_proof, state_root, storage_proofs, storage_root, verify_proof,
};
use proptest::prelude::*;

type Leaves = BTreeMap<B256, Vec<u8>>;

fn full(leaves: &Leaves, targets: &[B256]) -> (B256, Vec<Bytes>) {
    let retainer = ProofRetainer::new(targets.iter().map(Nibbles::unpack).collect());
    let mut builder = HashBuilder::default().with_proof_retainer(retainer);
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key), value);
    }
    let root = builder.root();
    (root, builder.take_proof_nodes().into_nodes_sorted().into_iter().map(|(_, node)| node).collect())
}

/// Keys that share long prefixes often, so that extensions, embedded nodes and collapses all occur.
fn key() -> impl Strategy<Value = B256> {
    let near = (0u8..4, 0u8..4, 0u8..3).prop_map(|(a, b, c)| {
        let mut key = B256::ZERO;
        (key[0], key[30], key[31]) = (a << 4, b, c);
        key
    });
    prop_oneof![3 => near, 1 => any::<u64>().prop_map(|n| keccak256(n.to_be_bytes()))]
}

/// Short values make embedded nodes, long ones hashed nodes.
fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![prop::collection::vec(1u8.., 1..3), prop::collection::vec(any::<u8>(), 30..40)]
}

fn leaves() -> impl Strategy<Value = Leaves> {
    prop::collection::btree_map(key(), value(), 0..40)
}

fn operations() -> impl Strategy<Value = Vec<(B256, Option<Vec<u8>>)>> {
    prop::collection::vec((key(), prop::option::of(value())), 1..60)
}

/// Whether a node has seventeen items.
fn is_branch(node: &[u8]) -> bool {
    let mut rest = alloy_rlp::Header::decode_bytes(&mut &node[..], true).unwrap();
    let mut items = 0;
    while !rest.is_empty() {
        let header = alloy_rlp::Header::decode(&mut rest).unwrap();
        rest = &rest[header.payload_length..];
        items += 1;
    }
    items == 17
}

fn apply(trie: &mut SparseTrie, key: B256, value: &Option<Vec<u8>>) -> Result<(), TrieError> {
    match value {
        Some(value) => trie.insert(key.as_slice(), value.clone()),
        None => trie.remove(key.as_slice()).map(|_| ()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Model against implementation, starting from nothing.
    #[test]
    fn grows_and_shrinks_like_the_full_trie(operations in operations()) {
        let (mut trie, mut model) = (SparseTrie::empty(), Leaves::new());
        for (key, value) in operations {
            match &value {
                Some(value) => { model.insert(key, value.clone()); }
                None => prop_assert_eq!(trie.remove(key.as_slice()).unwrap(), model.remove(&key).is_some()),
            }
            apply(&mut trie, key, &value).unwrap();
            prop_assert_eq!(trie.root(), full(&model, &[]).0);
        }
        for (key, value) in &model {
            let got = trie.get(key.as_slice()).unwrap();
            prop_assert_eq!(got.as_ref(), Some(value));
        }
    }

    /// From the proofs of the touched keys alone; a missing sibling is reported and, once added, all is well.
    #[test]
    fn changes_from_a_witness(start in leaves(), operations in operations()) {
        let touched: Vec<B256> = operations.iter().map(|(key, _)| *key).collect();
        let (root, proofs) = full(&start, &touched);
        let all: Vec<B256> = start.keys().copied().chain(touched).collect();
        let everything = full(&start, &all).1;
        let (mut trie, mut model) = (SparseTrie::new(root, &proofs), start);
        for (key, value) in operations {
            let before = trie.root();
            if let Err(error) = apply(&mut trie, key, &value) {
                let TrieError::MissingNode { hash, .. } = error else { return Err(TestCaseError::fail("wrong error")) };
                prop_assert_eq!(trie.root(), before);
                prop_assert!(value.is_none(), "only a removal needs more than the proofs of its key");
                prop_assert!(everything.iter().any(|node| keccak256(node) == hash));
                trie.add_nodes(&everything);
                apply(&mut trie, key, &value).unwrap();
            }
            match value {
                Some(value) => model.insert(key, value),
                None => model.remove(&key),
            };
            prop_assert_eq!(trie.root(), full(&model, &[]).0);
        }
    }

    /// A sibling that the proofs before a deletion lack is among `before_collapse` of the proofs made after it, unless it
    /// is a branch.
    #[test]
    fn the_proof_after_a_deletion_names_the_sibling(start in leaves(), pick in any::<prop::sample::Index>()) {
        prop_assume!(!start.is_empty());
        let gone = *start.keys().nth(pick.index(start.len())).unwrap();
        let (root, proofs) = full(&start, &[gone]);
        let mut rest = start;
        rest.remove(&gone);
        let (after, later) = full(&rest, &[gone]);
        let mut trie = SparseTrie::new(root, &proofs);
        trie.add_nodes(&later);
        for node in &later {
            trie.add_nodes(before_collapse(node));
        }
        match trie.remove(gone.as_slice()) {
            Ok(removed) => {
                prop_assert!(removed);
                prop_assert_eq!(trie.root(), after);
            }
            // A branch that was the sibling stands behind an extension now, and the proof ends there, at its hash.
            Err(TrieError::MissingNode { hash, .. }) => {
                let keys: Vec<B256> = rest.keys().copied().collect();
                let everything = full(&rest, &keys).1;
                let sibling = everything.iter().find(|node| keccak256(node) == hash);
                prop_assert!(sibling.is_some_and(|node| is_branch(node)));
            }
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        }
    }

    #[test]
    fn accounts_and_slots_prove(nonces in prop::collection::btree_map(any::<u8>(), 1u64.., 0..30), who in any::<u8>()) {
        let of = |byte: u8| Address::repeat_byte(byte);
        let account = |nonce| TrieAccount { nonce, balance: U256::from(nonce), storage_root: EMPTY_ROOT_HASH, code_hash: KECCAK_EMPTY };
        let accounts: Vec<_> = nonces.iter().map(|(byte, nonce)| (of(*byte), account(*nonce))).collect();
        let root = state_root(accounts.clone());
        let proof = account_proof(accounts, of(who));
        let expected = nonces.get(&who).map(|nonce| account(*nonce));
        prop_assert_eq!(account_of_proof(root, of(who), &proof).unwrap(), expected);

        let slots: Vec<_> = nonces.iter().map(|(byte, value)| (U256::from(*byte), U256::from(*value))).collect();
        let root = storage_root(slots.clone());
        let proofs = storage_proofs(slots, &[U256::from(who), U256::MAX]);
        let expected = U256::from(nonces.get(&who).copied().unwrap_or(0));
        prop_assert_eq!(slot_of_proof(root, U256::from(who), &proofs[0]).unwrap(), expected);
        prop_assert_eq!(slot_of_proof(root, U256::MAX, &proofs[1]).unwrap(), U256::ZERO);
    }

    /// Prove, verify, tamper: no changed bit of a proof, and no other value, is accepted.
    #[test]
    fn a_changed_proof_proves_nothing(start in leaves(), pick in any::<prop::sample::Index>(), flip in any::<(u16, u16, u8)>()) {
        prop_assume!(!start.is_empty());
        let (key, value) = start.iter().nth(pick.index(start.len())).unwrap();
        let (root, mut proof) = full(&start, &[*key]);
        verify_proof(root, key.as_slice(), Some(value), &proof).unwrap();
        prop_assert!(verify_proof(root, key.as_slice(), None, &proof).is_err());
        // Nodes that stand inside others are repeated here; the changed one must be one that a hash leads to.
        proof.retain(|node| node.len() >= 32 || keccak256(node) == root);
        let index = usize::from(flip.0) % proof.len();
        let mut node = proof[index].to_vec();
        let byte = usize::from(flip.1) % node.len();
        node[byte] ^= 1 << (flip.2 % 8);
        proof[index] = node.into();
        prop_assert!(verify_proof(root, key.as_slice(), Some(value), &proof).is_err());
    }
}

#[test]
fn an_empty_trie_answers_without_a_witness() {
    let trie = SparseTrie::empty();
    assert_eq!(trie.root(), EMPTY_ROOT_HASH);
    assert_eq!(trie.get(&[7; 32]).unwrap(), None);
}

#[test]
fn an_unknown_root_is_a_missing_node() {
    let hash = B256::repeat_byte(3);
    let mut trie = SparseTrie::new(hash, [&[0xc0u8]]);
    let missing = TrieError::MissingNode { hash, path: vec![] };
    assert_eq!(trie.get(&[7; 32]), Err(missing.clone()));
    assert_eq!(trie.remove(&[7; 32]), Err(missing.clone()));
    assert_eq!(trie.insert(&[7; 32], vec![1]), Err(missing));
    assert_eq!(trie.root(), hash);
}

#[test]
fn a_long_key_is_refused() {
    let error = SparseTrie::empty().insert(&[0; 65], vec![1]).unwrap_err();
    assert_eq!(error, TrieError::KeyTooLong { length: 65, limit: 64 });
}
