//! One byte string per program and tensor: round trips, truncation, mutation; nothing panics.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Rng, random_parts, random_program, random_tensor};
use interlace_tensor::{Graph, Program, Tensor, weights_root};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn graphs_round_trip(seed: u64) {
        let (graph, _) = random_parts(seed, 12);
        let bytes = graph.encode();
        prop_assert_eq!(Graph::decode(&bytes, 0).unwrap(), (graph, bytes.len()));
    }

    #[test]
    fn programs_round_trip(seed: u64) {
        let program = random_program(seed, 6);
        let bytes = program.to_bytes();
        let again = Program::from_bytes(&bytes).unwrap();
        prop_assert_eq!(again.id(), program.id());
        prop_assert_eq!(again.to_bytes(), bytes);
        prop_assert_eq!(again.weights_root(), weights_root(program.weights()));
    }

    /// A changed manifest is refused, or it is another program; never the same one in other bytes.
    #[test]
    fn a_changed_byte_is_refused_or_another_program(seed: u64, at: prop::sample::Index, flip in 1u8..) {
        let program = random_program(seed, 5);
        let mut bytes = program.to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(other) = Program::from_bytes(&bytes) {
            prop_assert_ne!(other.id(), program.id());
            prop_assert_eq!(other.to_bytes(), bytes);
            prop_assert_eq!(other.graph().encode(), &other.manifest()[50..]);
        }
    }

    #[test]
    fn no_prefix_is_a_program(seed: u64, cut: prop::sample::Index) {
        let bytes = random_program(seed, 5).to_bytes();
        prop_assert!(Program::from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert_eq!(Program::from_bytes(&[&bytes[..], &[0]].concat()).unwrap_err().code(), "program.weights-length");
    }

    #[test]
    fn random_bytes_do_not_panic(body: Vec<u8>, prefix in prop::sample::select(vec![&b"ILTP\0\x01"[..], b"ILTV", b""])) {
        let bytes = [prefix, &body].concat();
        let _ = (Program::from_bytes(&bytes), Tensor::decode(&bytes), Graph::decode(&bytes, 0));
    }

    #[test]
    fn tensors_round_trip_and_refuse_every_other_length(seed: u64, cut: prop::sample::Index) {
        let (graph, _) = random_parts(seed, 1);
        let tensor = random_tensor(&mut Rng(seed), &graph.input);
        let bytes = tensor.encode();
        prop_assert_eq!(Tensor::decode(&bytes).unwrap(), tensor);
        prop_assert!(Tensor::decode(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert_eq!(Tensor::decode(&[&bytes[..], &[0]].concat()).unwrap_err().code(), "tensor.length");
    }
}

/// Pinned: a change of these is a change of the format.
#[test]
fn the_root_of_chunks_is_pinned() {
    assert!(weights_root(&[]).is_zero());
    let chunk = [7u8; 24_575];
    let leaf = alloy_primitives::keccak256([&[0u8][..], &chunk].concat());
    assert_eq!(weights_root(&chunk), leaf);
    let node = alloy_primitives::keccak256([&[1u8][..], leaf.as_slice(), leaf.as_slice()].concat());
    let three = [&chunk[..], &chunk, &[9]].concat();
    let last = alloy_primitives::keccak256([0, 9]);
    let root = alloy_primitives::keccak256([&[1u8][..], node.as_slice(), last.as_slice()].concat());
    assert_eq!(weights_root(&three), root);
}
