//! The one error of this crate.
//!
//! Invariant: every variant carries what was asked for, by hash or path, so that a caller can fetch or report it.
//! What it does not do: it carries no stable codes; the crates that face users give those.

use alloc::string::String;
use alloc::vec::Vec;

use alloy_primitives::{B256, hex};

/// What can be wrong with a proof, a witness or a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrieError {
    /// The walk needs a node that the witness does not hold.
    #[error("the node {hash} at path 0x{} is not in the witness", nibbles(path))]
    MissingNode {
        /// keccak-256 of the node that is needed.
        hash: B256,
        /// Where it stands, one nibble for each byte.
        path: Vec<u8>,
    },
    /// A node is not the RLP of a canonical trie node.
    #[error("the node at path 0x{} is malformed: {reason}", nibbles(path))]
    BadNode {
        /// Where it stands, one nibble for each byte.
        path: Vec<u8>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A leaf's value is not the RLP that its kind of trie demands.
    #[error("the value of key 0x{} is malformed: {reason}", hex::encode(key))]
    BadValue {
        /// The (hashed) key of the leaf.
        key: Vec<u8>,
        /// What is wrong with the value.
        reason: &'static str,
    },
    /// A proof is sound but proves another value.
    #[error("key 0x{} has the value {}, not {}", hex::encode(key), show(got), show(expected))]
    WrongValue {
        /// The (hashed) key asked for.
        key: Vec<u8>,
        /// What the caller expected; `None` is absence.
        expected: Option<Vec<u8>>,
        /// What the proof shows; `None` is absence.
        got: Option<Vec<u8>>,
    },
    /// A key is longer than any that Ethereum uses; the bound keeps recursion shallow.
    #[error("a key of {length} bytes is longer than {limit}")]
    KeyTooLong {
        /// Bytes of the key.
        length: usize,
        /// Bytes that are accepted.
        limit: usize,
    },
}

fn nibbles(path: &[u8]) -> String {
    path.iter().filter_map(|nibble| char::from_digit(u32::from(*nibble), 16)).collect()
}

fn show(value: &Option<Vec<u8>>) -> String {
    value.as_ref().map_or_else(|| String::from("none"), hex::encode_prefixed)
}
