//! A trie's root kept up to date: what a change costs depends on the change, hardly on the size.
//!
//! Leaves lie in 256 buckets by the first byte of their hashed key. A bucket of two or more leaves is one branch node of the trie,
//! whose hash is kept until a leaf of the bucket changes; the root is then built from at most 256 hashes.
//!
//! Invariant: [`Leaves::root`] equals `interlace_trie::state_root` or `storage_root` of the same contents; a test compares them.
//! Source: yellow paper, appendix D. Keys are hashes, so no node below a bucket is shorter than 32 bytes and none is inlined.
//! What it does not do: it proves nothing and shares nothing between versions; history is `versions`' business.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles};

#[derive(Clone, Debug, Default)]
struct Bucket {
    leaves: BTreeMap<B256, Vec<u8>>,
    /// Path and hash of the branch that holds all leaves; unknown after a change.
    branch: Option<(Nibbles, B256)>,
}

impl Bucket {
    /// Path and hash of the bucket's branch; `None` with fewer than two leaves.
    fn branch(&mut self) -> Option<(Nibbles, B256)> {
        if self.branch.is_none() {
            let first = Nibbles::unpack(self.leaves.first_key_value()?.0);
            let last = Nibbles::unpack(self.leaves.last_key_value()?.0);
            if first == last {
                return None;
            }
            // Sorted keys: what first and last share, all share.
            let shared = first.common_prefix_length(&last);
            let mut builder = HashBuilder::default();
            for (key, value) in &self.leaves {
                builder.add_leaf(Nibbles::unpack(key).slice(shared..), value);
            }
            self.branch = Some((first.slice(..shared), builder.root()));
        }
        self.branch
    }
}

/// The leaves of one trie.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leaves(BTreeMap<u8, Bucket>);

impl Leaves {
    /// Sets the encoded value of a hashed key; `None` removes it.
    pub(crate) fn set(&mut self, key: B256, value: Option<Vec<u8>>) {
        let bucket = self.0.entry(key[0]).or_default();
        bucket.branch = None;
        match value {
            Some(value) => {
                bucket.leaves.insert(key, value);
            }
            None => {
                bucket.leaves.remove(&key);
                if bucket.leaves.is_empty() {
                    self.0.remove(&key[0]);
                }
            }
        }
    }

    /// The root hash.
    pub(crate) fn root(&mut self) -> B256 {
        if self.0.is_empty() {
            return EMPTY_ROOT_HASH;
        }
        let mut builder = HashBuilder::default();
        for bucket in self.0.values_mut() {
            if let Some((path, hash)) = bucket.branch() {
                builder.add_branch(path, hash, false);
            } else if let Some((key, value)) = bucket.leaves.first_key_value() {
                builder.add_leaf(Nibbles::unpack(key), value);
            }
        }
        builder.root()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{U256, keccak256};
    use interlace_trie::storage_root;
    use std::collections::BTreeMap;

    fn leaf(slot: u64, value: u64) -> (B256, Option<Vec<u8>>) {
        let encoded = (value != 0).then(|| alloy_rlp::encode(U256::from(value)));
        (keccak256(B256::from(U256::from(slot))), encoded)
    }

    /// Sizes around every shape: nothing, one leaf, one bucket, shared prefixes, all buckets full.
    #[test]
    fn it_equals_the_full_root_after_every_change() {
        let mut seed = 7u64;
        let mut next = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        for range in [1, 2, 3, 8, 40, 400, 3_000] {
            let (mut leaves, mut model) = (Leaves::default(), BTreeMap::new());
            assert_eq!(leaves.root(), EMPTY_ROOT_HASH);
            for step in 0..range.min(400) * 2 {
                // A third of the changes erase.
                let (slot, value) = (next() % range, if next() % 3 == 0 { 0 } else { next() });
                let (key, encoded) = leaf(slot, value);
                leaves.set(key, encoded);
                model.insert(U256::from(slot), U256::from(value));
                if range < 100 || step % 37 == 0 {
                    assert_eq!(leaves.root(), storage_root(model.clone()), "range {range}, step {step}");
                }
            }
            for slot in 0..range {
                leaves.set(leaf(slot, 0).0, None);
            }
            assert_eq!(leaves.root(), EMPTY_ROOT_HASH);
        }
    }

    /// Two leaves that share more than a bucket's byte: the branch lies below an extension.
    #[test]
    fn long_shared_prefixes_are_extensions() {
        let mut key = B256::repeat_byte(0xab);
        let mut leaves = Leaves::default();
        let mut full = HashBuilder::default();
        for last in 0..3 {
            key[20] = last;
            leaves.set(key, Some(vec![9; 40]));
            full.add_leaf(Nibbles::unpack(key), &[9; 40]);
        }
        assert_eq!(leaves.root(), full.root());
        key = B256::repeat_byte(0xac);
        leaves.set(key, Some(vec![9; 40]));
        let mut full = HashBuilder::default();
        for last in 0..3 {
            let mut near = B256::repeat_byte(0xab);
            near[20] = last;
            full.add_leaf(Nibbles::unpack(near), &[9; 40]);
        }
        full.add_leaf(Nibbles::unpack(key), &[9; 40]);
        assert_eq!(leaves.root(), full.root());
    }
}
