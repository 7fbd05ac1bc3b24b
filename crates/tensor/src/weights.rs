//! The Merkle root of a program's weights.
//!
//! Leaves are chunks of 24,575 bytes, hashed behind one 0x00 byte: the leaf is then the code hash of the contract
//! whose code is 0x00 ‖ chunk (at most 24,576 bytes, EIP-170), so a chain can hold weights as code and prove them.
//!
//! Invariant: leaves and inner nodes are hashed with different prefixes (0x00, 0x01), so neither passes for the other.

use crate::tensor::hash;
use alloc::vec::Vec;
use alloy_primitives::B256;

/// Bytes of weights under one leaf.
pub const CHUNK_BYTES: usize = 24_575;

/// Number of leaves for `weights_bytes` bytes.
#[must_use]
pub const fn chunk_count(weights_bytes: usize) -> usize {
    weights_bytes.div_ceil(CHUNK_BYTES)
}

/// Root over the chunks of `weights`; an odd node goes up unchanged, no weights give the zero root.
#[must_use]
pub fn weights_root(weights: &[u8]) -> B256 {
    root_of_leaves(weights.chunks(CHUNK_BYTES).map(leaf).collect())
}

/// Hash of a chunk, which is the code hash of the contract that holds it.
#[must_use]
pub fn leaf(chunk: &[u8]) -> B256 {
    hash(&[&[0], chunk])
}

/// Root over leaves in their order.
#[must_use]
pub fn root_of_leaves(leaves: Vec<B256>) -> B256 {
    let mut level = leaves;
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => hash(&[&[1], left.as_slice(), right.as_slice()]),
                rest => rest[0],
            })
            .collect();
    }
    level.first().copied().unwrap_or_default()
}
