//! Hashes of 64 bytes that were made before: where a mapping's value lies is one, and contracts ask for the same again and again.
//!
//! Invariant: a hash is given only for the very bytes that it was made of. Each thread has a table of its own; what a table holds depends on
//! what was executed, what it answers does not.
//! Bound: [`PLACES`] hashes, about 400 kB a thread that executes; each place holds the newest of those that fall on it.

use std::cell::RefCell;

use alloy_primitives::{U256, keccak256};

/// Bytes of a key.
pub(super) const LENGTH: usize = 64;
/// Hashes in a table; a power of two.
const PLACES: usize = 4_096;

#[derive(Clone, Copy)]
struct Known {
    input: [u8; LENGTH],
    hash: U256,
}

thread_local! {
    static TABLE: RefCell<Vec<Known>> = const { RefCell::new(Vec::new()) };
}

/// The Keccak-256 of `input`, as a number.
pub(super) fn hash_of(input: &[u8; LENGTH]) -> U256 {
    TABLE.with_borrow_mut(|table| {
        if table.is_empty() {
            let input = [0; LENGTH];
            table.resize(PLACES, Known { input, hash: keccak256(input).into() });
        }
        let known = &mut table[place(input)];
        if known.input != *input {
            *known = Known { input: *input, hash: keccak256(input).into() };
        }
        known.hash
    })
}

/// Where a hash is looked for. Keys differ in the last bytes of their two words, or are hashes themselves.
fn place(input: &[u8; LENGTH]) -> usize {
    let part = |at: usize| u64::from_le_bytes(input[at..at + 8].try_into().unwrap_or_default());
    let mixed = part(16) ^ part(24).rotate_left(23) ^ part(48).rotate_left(11) ^ part(56).rotate_left(41);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_their_bytes_however_often_and_in_whatever_order_they_are_asked_for() {
        // Bytes that places follow from, and others.
        for at in [0, 28, 40, 60] {
            let mut input = [7; LENGTH];
            for number in (0..10_000_u32).chain(0..10_000) {
                input[at..at + 4].copy_from_slice(&number.to_be_bytes());
                assert_eq!(hash_of(&input), U256::from_be_bytes(keccak256(input).0), "{at}: {number}");
            }
        }
    }

    #[test]
    fn mappings_of_consecutive_keys_spread() {
        let mut input = [0; LENGTH];
        let mut seen = std::collections::HashSet::new();
        for number in 0..1_000_u32 {
            input[28..32].copy_from_slice(&number.to_be_bytes());
            seen.insert(place(&input));
        }
        assert!(seen.len() > 800, "{}", seen.len());
    }
}
