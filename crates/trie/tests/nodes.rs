//! Bytes from outside: whatever a node holds, decoding ends in a value or an error, and what decodes is canonical.

#![allow(clippy::unwrap_used)]

use alloy_primitives::{B256, U256, hex, keccak256};
use interlace_trie::{SparseTrie, TrieError, account_of_proof, before_collapse, slot_of_proof};
use proptest::prelude::*;

fn reading(node: &[u8], key: &[u8]) -> Result<Option<Vec<u8>>, TrieError> {
    SparseTrie::new(keccak256(node), [node]).get(key)
}

/// Bytes that look like RLP, so that the fuzzing reaches beyond the first header.
fn rlp_like() -> impl Strategy<Value = Vec<u8>> {
    let item = prop_oneof![
        Just(vec![0x80]),
        prop::collection::vec(any::<u8>(), 0..34).prop_map(|bytes| alloy_rlp::encode(bytes.as_slice())),
        any::<[u8; 32]>().prop_map(alloy_rlp::encode),
    ];
    let list = |items: Vec<Vec<u8>>| {
        let payload = items.concat();
        let mut out = Vec::new();
        alloy_rlp::Header { list: true, payload_length: payload.len() }.encode(&mut out);
        [out, payload].concat()
    };
    let leaf = item.prop_recursive(3, 32, 17, move |inner| prop::collection::vec(inner, 0..18).prop_map(list));
    prop_oneof![1 => prop::collection::vec(any::<u8>(), 0..80), 3 => leaf]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn any_bytes_end_in_an_answer(node in rlp_like(), key in prop::collection::vec(any::<u8>(), 0..4)) {
        let root = keccak256(&node);
        let mut trie = SparseTrie::new(root, [&node]);
        let _ = before_collapse(&node);
        let _ = slot_of_proof(root, U256::ZERO, &[&node]);
        let _ = account_of_proof(root, Default::default(), &[&node]);
        if trie.get(&key).is_ok() {
            // What decodes at all is canonical: untouched it hashes to what it was, and it survives changes.
            prop_assert_eq!(trie.root(), root);
            let _ = trie.insert(&key, vec![1; 40]);
            let _ = trie.remove(&key);
            let _ = trie.root();
        }
    }

    #[test]
    fn a_resolved_node_keeps_its_hash(node in rlp_like()) {
        let root = keccak256(&node);
        let mut trie = SparseTrie::new(root, [&node]);
        // Removing an absent key resolves the root and changes nothing.
        if let Ok(false) = trie.remove(&[0xee; 64]) {
            prop_assert_eq!(trie.root(), root);
        }
    }
}

#[test]
fn malformed_nodes_say_what_is_wrong() {
    let leaf = "c22001"; // a leaf whose path is empty and whose value is 01
    assert_eq!(reading(&hex::decode(leaf).unwrap(), &[]), Ok(Some(vec![1])));
    let filler = "80".repeat(15);
    for (node, reason) in [
        ("", "not RLP"),
        ("81ff", "a node is a list, this is a string"),
        ("c3", "not RLP"),
        ("c0", "a node has 2 or 17 items"),
        ("c3010203", "a node has 2 or 17 items"),
        ("c2200100", "bytes follow the node"),
        ("c22080", "a leaf without a value"),
        ("c28001", "a path without its first byte"),
        ("c24001", "a path whose first nibble is none of 0 to 3, or that is padded"),
        ("c22101", "a path whose first nibble is none of 0 to 3, or that is padded"),
        ("c21101", "a child is empty, a hash of 32 bytes or a short node"),
        ("c21180", "behind an extension stands a branch"),
        ("c411c22001", "behind an extension stands a branch"),
        (&format!("d1c1c1{filler}"), "a node has 2 or 17 items"),
        (&format!("d180{filler}01"), "a branch with fewer than two entries"),
        (&format!("d3c22001{filler}80"), "a branch with fewer than two entries"),
    ] {
        let expected = TrieError::BadNode { path: vec![], reason };
        assert_eq!(reading(&hex::decode(node).unwrap(), &[]), Err(expected), "{node}");
    }
}

#[test]
fn a_long_node_inside_another_is_refused() {
    // A branch whose first child is a leaf of 40 bytes written in place instead of by its hash.
    let child = hex::decode(format!("e8{}a6{}", "20", "01".repeat(38))).unwrap();
    let payload = [child, vec![0x80; 15], vec![0x01]].concat();
    let node = [vec![0xc0 + 55 + 1, u8::try_from(payload.len()).unwrap()], payload].concat();
    let reason = "a long node stands inside another";
    assert_eq!(reading(&node, &[]), Err(TrieError::BadNode { path: vec![], reason }));
}

#[test]
fn a_leaf_of_another_kind_is_refused() {
    let slot = U256::from(5);
    let mut trie = SparseTrie::empty();
    let key = keccak256(B256::from(slot));
    for value in [vec![0x00], vec![0x05, 0x05], vec![0xc1, 0x05]] {
        trie.insert(key.as_slice(), value).unwrap();
        assert!(matches!(trie.slot(slot), Err(TrieError::BadValue { .. })));
    }
    let who = Default::default();
    trie.insert(keccak256(who).as_slice(), vec![0xc1, 0x05]).unwrap();
    assert!(matches!(trie.account(who), Err(TrieError::BadValue { .. })));
}
