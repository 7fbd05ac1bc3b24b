//! A trie's root kept up to date: what a change costs depends on the change, and hardly on the size up to some ten
//! thousand leaves; a leaf that changes costs the hashes of its bucket, a 256th of the trie.
//!
//! Leaves lie in 256 buckets by the first byte of their hashed key. A bucket of two or more leaves is one branch node of
//! the trie, whose hash is kept until a leaf of the bucket changes; the root is built from at most 256 such hashes.
//! A change is staged first: only the buckets that it touches are hashed, and their new hashes travel with it until it is
//! put in place, or are forgotten with it.
//!
//! Invariant: [`Trie::root`] equals `interlace_trie::sorted_root` of the leaves; staging changes nothing.
//! Source: yellow paper, appendix D. A branch of two leaves is shorter than 32 bytes, and so would stand inside its parent,
//! only below hashed keys that share more than 50 of their 64 nibbles; such keys are not found.
//! What it does not do: it proves nothing and keeps nothing of the past.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use alloy_trie::{EMPTY_ROOT_HASH, HashBuilder, Nibbles};

/// Encoded values by hashed key; `None` removes a leaf.
pub(crate) type LeafChanges = BTreeMap<B256, Option<Vec<u8>>>;

/// Path and hash of the branch node that holds all leaves of a bucket.
type Branch = (Nibbles, B256);

/// Hashed key and encoded value.
type Leaf<'a> = (&'a B256, &'a [u8]);

#[derive(Clone, Debug, Default)]
struct Bucket {
    leaves: BTreeMap<B256, Vec<u8>>,
    /// `None` with fewer than two leaves.
    branch: Option<Branch>,
}

/// What a bucket is to the nodes above it.
enum Top<'a> {
    Leaf(Leaf<'a>),
    Branch(Branch),
}

/// The leaves of one trie.
#[derive(Clone, Debug)]
pub(crate) struct Trie {
    /// By first byte; none is empty.
    buckets: BTreeMap<u8, Bucket>,
    root: B256,
}

/// Changes with the hashes that follow from them, not yet in place.
#[derive(Debug)]
pub(crate) struct TrieUpdate {
    changes: LeafChanges,
    /// The new branch of each bucket touched.
    branches: Vec<(u8, Option<Branch>)>,
    root: B256,
}

impl TrieUpdate {
    /// The root with the changes in place.
    pub(crate) const fn root(&self) -> B256 {
        self.root
    }
}

impl Default for Trie {
    fn default() -> Self {
        Self { buckets: BTreeMap::new(), root: EMPTY_ROOT_HASH }
    }
}

impl Trie {
    pub(crate) const fn root(&self) -> B256 {
        self.root
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// What `changes` would do.
    pub(crate) fn stage(&self, changes: LeafChanges) -> TrieUpdate {
        let mut touched: Vec<(u8, Option<Top<'_>>)> = Vec::new();
        let mut rest = changes.iter().peekable();
        while let Some(byte) = rest.peek().map(|(key, _)| key[0]) {
            let changed = core::iter::from_fn(|| rest.next_if(|(key, _)| key[0] == byte));
            touched.push((byte, top_of(&self.leaves_with(byte, changed))));
        }
        let branch = |top: &Option<Top<'_>>| if let Some(Top::Branch(branch)) = top { Some(*branch) } else { None };
        let branches = touched.iter().map(|(byte, top)| (*byte, branch(top))).collect();
        let root = self.root_with(touched);
        TrieUpdate { changes, branches, root }
    }

    /// The leaves of bucket `byte` with changes to it, in order.
    fn leaves_with<'a>(
        &'a self,
        byte: u8,
        changed: impl Iterator<Item = (&'a B256, &'a Option<Vec<u8>>)>,
    ) -> Vec<Leaf<'a>> {
        let bucket = self.buckets.get(&byte).map(|bucket| bucket.leaves.iter());
        let mut leaves: Vec<Leaf<'_>> =
            bucket.into_iter().flatten().map(|(key, value)| (key, value.as_slice())).collect();
        for (key, value) in changed {
            match (leaves.binary_search_by_key(&key, |(key, _)| *key), value) {
                (Ok(at), Some(value)) => leaves[at].1 = value,
                (Ok(at), None) => drop(leaves.remove(at)),
                (Err(at), Some(value)) => leaves.insert(at, (key, value)),
                (Err(_), None) => {}
            }
        }
        leaves
    }

    /// The root with other tops for the buckets in `touched`, which ascend.
    fn root_with(&self, touched: Vec<(u8, Option<Top<'_>>)>) -> B256 {
        let mut builder = HashBuilder::default();
        let mut add = |top: Option<Top<'_>>| match top {
            Some(Top::Leaf((key, value))) => builder.add_leaf(Nibbles::unpack(key), value),
            Some(Top::Branch((path, hash))) => builder.add_branch(path, hash, false),
            None => {}
        };
        let mut touched = touched.into_iter().peekable();
        for (byte, bucket) in &self.buckets {
            while let Some((_, top)) = touched.next_if(|(other, _)| other < byte) {
                add(top);
            }
            match touched.next_if(|(other, _)| other == byte) {
                Some((_, top)) => add(top),
                None => add(bucket.top()),
            }
        }
        touched.for_each(|(_, top)| add(top));
        builder.root()
    }

    /// Puts an update in place that was staged on this trie as it is now.
    pub(crate) fn apply(&mut self, update: TrieUpdate) {
        for (key, value) in update.changes {
            match value {
                Some(value) => {
                    self.buckets.entry(key[0]).or_default().leaves.insert(key, value);
                }
                None => {
                    if let Some(bucket) = self.buckets.get_mut(&key[0]) {
                        bucket.leaves.remove(&key);
                    }
                }
            }
        }
        for (byte, branch) in update.branches {
            match self.buckets.get_mut(&byte) {
                Some(bucket) if !bucket.leaves.is_empty() => bucket.branch = branch,
                _ => {
                    self.buckets.remove(&byte);
                }
            }
        }
        self.root = update.root;
    }
}

impl Bucket {
    fn top(&self) -> Option<Top<'_>> {
        if let Some(branch) = self.branch {
            return Some(Top::Branch(branch));
        }
        self.leaves.first_key_value().map(|(key, value)| Top::Leaf((key, value)))
    }
}

/// What `leaves`, in order, are to the nodes above them; `None` if there are none.
fn top_of<'a>(leaves: &[Leaf<'a>]) -> Option<Top<'a>> {
    let (first, last) = (leaves.first()?, leaves.last()?);
    if leaves.len() == 1 {
        return Some(Top::Leaf(*first));
    }
    let (first, last) = (Nibbles::unpack(first.0), Nibbles::unpack(last.0));
    // Sorted keys: what first and last share, all share.
    let shared = first.common_prefix_length(&last);
    let mut builder = HashBuilder::default();
    for (key, value) in leaves {
        builder.add_leaf(Nibbles::unpack(key).slice(shared..), value);
    }
    Some(Top::Branch((first.slice(..shared), builder.root())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{U256, keccak256};
    use interlace_trie::{sorted_root, storage_root};

    fn leaf(slot: u64, value: u64) -> (B256, Option<Vec<u8>>) {
        let encoded = (value != 0).then(|| alloy_rlp::encode(U256::from(value)));
        (keccak256(B256::from(U256::from(slot))), encoded)
    }

    /// Sizes around every shape: nothing, one leaf, one bucket, shared prefixes, all buckets full; one change or many.
    #[test]
    fn it_equals_the_full_root_after_every_change() {
        let mut seed = 7u64;
        let mut next = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            seed >> 33
        };
        for range in [1, 2, 3, 8, 40, 400, 3_000] {
            let (mut trie, mut model) = (Trie::default(), BTreeMap::new());
            assert_eq!(trie.root(), EMPTY_ROOT_HASH);
            for step in 0..range.min(200) * 2 {
                let mut changes = LeafChanges::new();
                for _ in 0..=next() % 20 {
                    // A third of the changes erase.
                    let (slot, value) = (next() % range, if next() % 3 == 0 { 0 } else { next() });
                    changes.extend([leaf(slot, value)]);
                    model.insert(U256::from(slot), U256::from(value));
                }
                let before = trie.root();
                let update = trie.stage(changes);
                assert_eq!(trie.root(), before);
                let root = update.root();
                trie.apply(update);
                assert_eq!(trie.root(), root);
                if range < 100 || step % 17 == 0 {
                    assert_eq!(root, storage_root(model.clone()), "range {range}, step {step}");
                }
            }
            trie.apply(trie.stage((0..range).map(|slot| (leaf(slot, 0).0, None)).collect()));
            assert_eq!(trie.root(), EMPTY_ROOT_HASH);
            assert!(trie.is_empty());
        }
    }

    /// Leaves that share more than a bucket's byte: the branch lies below an extension, and moves as leaves come and go.
    #[test]
    fn long_shared_prefixes_are_extensions() {
        let key = |at: usize, byte: u8| {
            let mut key = B256::repeat_byte(0xab);
            key[at] = byte;
            key
        };
        let mut trie = Trie::default();
        let mut full = BTreeMap::new();
        let steps = [(20, 0, true), (20, 1, true), (20, 2, true), (3, 7, true), (0, 0xac, true), (3, 7, false)];
        for (at, byte, present) in steps {
            let value = present.then(|| vec![9; 40]);
            trie.apply(trie.stage(LeafChanges::from([(key(at, byte), value.clone())])));
            match value {
                Some(value) => full.insert(key(at, byte), value),
                None => full.remove(&key(at, byte)),
            };
            assert_eq!(trie.root(), sorted_root(full.clone()));
        }
    }

    #[test]
    fn what_is_staged_and_dropped_leaves_no_trace() {
        let mut trie = Trie::default();
        trie.apply(trie.stage((0..600).map(|slot| leaf(slot, slot + 1)).collect()));
        let change = || LeafChanges::from([leaf(3, 0), leaf(700, 1)]);
        let first = trie.stage(change()).root();
        drop(trie.stage((0..600).map(|slot| leaf(slot, 9)).collect()));
        assert_eq!(trie.stage(change()).root(), first);
        assert_eq!(trie.stage(LeafChanges::new()).root(), trie.root());
    }
}
