//! Hashed keys, by which tries and tables are ordered.

use alloy_primitives::{B256, U256, keccak256};

/// The hashed key of a slot.
pub(crate) fn slot_key(slot: &U256) -> B256 {
    keccak256(slot.to_be_bytes::<32>())
}

/// The first eight bytes of a hashed key; they are ordered as keys are.
#[inline]
pub(crate) fn beginning(key: &B256) -> u64 {
    u64::from_be_bytes(*key.first_chunk().unwrap_or(&[0; 8]))
}
