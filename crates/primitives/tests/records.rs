//! The records against pinned vectors that eth-account made (tests/records/make_vectors.py), and decoders under fuzz.
#![allow(clippy::unwrap_used)]

use alloy_primitives::{Address, B256, U256};
use interlace_primitives::records::{
    Claim, Domain, Receipt, Record, RecordError, Voucher, digests, hash_pair, merkle_tree, settlement_leaf,
};
use proptest::prelude::*;
use serde_json::Value;

const VECTORS: &str = include_str!("../../../tests/records/vectors.json");

fn text<'a>(object: &'a Value, name: &str) -> &'a str {
    object[name].as_str().unwrap()
}

/// The ABI word of a canonical JSON value: hex is padded on the left (an address) or exact (a hash).
fn word(value: &str) -> B256 {
    match value.strip_prefix("0x") {
        Some(hex) => B256::left_padding_from(&alloy_primitives::hex::decode(hex).unwrap()),
        None => B256::from(value.parse::<U256>().unwrap()),
    }
}

/// The canonical bytes of a record in JSON, its fields in the order of the type string.
fn packed<R: Record>(object: &Value) -> Vec<u8> {
    let fields = R::TYPE.split_once('(').unwrap().1.trim_end_matches(')');
    fields.split(',').flat_map(|field| word(text(object, field.split_once(' ').unwrap().1))).collect()
}

#[test]
fn hashes_equal_the_pinned_vectors() {
    let document: Value = serde_json::from_str(VECTORS).unwrap();
    let mut leaves = Vec::new();
    for case in document["cases"].as_array().unwrap() {
        let domain = Domain {
            chain_id: text(case, "chain_id").parse().unwrap(),
            settlement: text(case, "settlement").parse::<Address>().unwrap(),
        };
        let voucher_bytes = packed::<Voucher>(&case["voucher"]);
        let voucher = Voucher::decode(&voucher_bytes).unwrap();
        let claim = Claim::decode(&packed::<Claim>(&case["claim"])).unwrap();
        let receipt = Receipt::decode(&packed::<Receipt>(&case["receipt"])).unwrap();
        assert_eq!(voucher.encode(), voucher_bytes);
        assert_eq!(voucher.digest(&domain), word(text(case, "voucher_digest")));
        assert_eq!(claim.hash(), word(text(case, "claim_hash")));
        assert_eq!(receipt.digest(&domain), word(text(case, "receipt_digest")));
        assert_eq!(digests::<Voucher>(&voucher_bytes.repeat(3), &domain).unwrap(), vec![voucher.digest(&domain); 3]);
        leaves.push(settlement_leaf(voucher.digest(&domain), receipt.digest(&domain)));
        assert_eq!(leaves.last().copied().unwrap(), word(text(case, "leaf")));
    }
    for (count, root) in document["roots_of_first_n_leaves"].as_array().unwrap().iter().enumerate() {
        assert_eq!(merkle_tree(&leaves[..=count]).unwrap()[0], word(root.as_str().unwrap()));
    }
}

#[test]
fn a_tree_of_no_leaves_is_refused() {
    assert_eq!(merkle_tree(&[]), Err(RecordError::NoLeaves));
}

#[test]
fn a_word_wider_than_its_field_is_refused() {
    let wide = |index: usize, byte: usize| {
        let mut bytes = vec![0; Voucher::SIZE];
        bytes[32 * index + byte] = 1;
        Voucher::decode(&bytes)
    };
    for (index, byte, field, width) in [
        (0, 11, "payer", 160),
        (1, 0, "node", 160),
        (7, 11, "token", 160),
        (8, 30, "assurance", 8),
        (9, 23, "nonce", 64),
        (10, 0, "deadline", 64),
    ] {
        assert_eq!(wide(index, byte), Err(RecordError::Range { kind: "Voucher", field, width }));
    }
}

proptest! {
    #[test]
    fn decoders_answer_or_refuse(bytes in proptest::collection::vec(any::<u8>(), 0..800)) {
        for size in [Voucher::SIZE, Claim::SIZE, Receipt::SIZE] {
            let exact: Vec<u8> = bytes.iter().copied().chain(core::iter::repeat(0)).take(size).collect();
            if let Ok(record) = Voucher::decode(&exact) { prop_assert_eq!(record.encode(), exact.clone()); }
            if let Ok(record) = Claim::decode(&exact) { prop_assert_eq!(record.encode(), exact.clone()); }
            if let Ok(record) = Receipt::decode(&exact) { prop_assert_eq!(record.encode(), exact.clone()); }
        }
        let whole = bytes.len().is_multiple_of(Voucher::SIZE);
        prop_assert!(whole || Voucher::decode_all(&bytes).is_err());
    }

    #[test]
    fn every_inner_node_is_the_hash_of_its_children(
        words in proptest::collection::vec(any::<[u8; 32]>(), 1..40)
    ) {
        let leaves: Vec<B256> = words.into_iter().map(B256::from).collect();
        let nodes = merkle_tree(&leaves).unwrap();
        prop_assert_eq!(nodes.len(), 2 * leaves.len() - 1);
        for (k, leaf) in leaves.iter().enumerate() { prop_assert_eq!(nodes[2 * leaves.len() - 2 - k], *leaf); }
        for i in 0..leaves.len() - 1 { prop_assert_eq!(nodes[i], hash_pair(nodes[2 * i + 1], nodes[2 * i + 2])); }
    }
}
