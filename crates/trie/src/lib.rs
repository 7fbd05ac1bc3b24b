//! Merkle-Patricia roots, proofs and partial tries built from proofs; no I/O, no_std.
//!
//! Why Rust: a root visits every leaf of a state and hashes every node above it; it runs after each block.
//!
//! Invariant: equal contents give equal roots, whatever the order of the input; bytes from outside never panic.
//! Source: Ethereum yellow paper, appendix D; EIP-161 (no empty accounts, no zero slots); alloy-trie builds full roots.
//! What it does not do: it stores nothing. Roots are recomputed from the leaves that a caller brings.

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod error;
mod node;
mod proof;
mod root;
mod sparse;

pub use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, TrieAccount};
pub use error::TrieError;
pub use node::before_collapse;
pub use proof::{account_of_proof, account_proof, slot_of_proof, storage_proofs, verify_proof};
pub use root::{ordered_root, sorted_root, state_root, storage_root};
pub use sparse::{MAX_KEY_BYTES, SparseTrie};
