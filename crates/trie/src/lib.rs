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

mod root;

pub use alloy_trie::{EMPTY_ROOT_HASH, KECCAK_EMPTY, TrieAccount};
pub use root::{ordered_root, state_root, storage_root};
