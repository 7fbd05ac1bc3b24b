//! The arena trie: any number of Merkle-Patricia tries over hashed keys, whose roots are kept up to date.
//!
//! ```text
//!   changes ──► stage (walk, draft) ──► hash (level by level, side by side) ──► roots
//!                                                      └──► apply: the draft takes its place in the arena
//! ```
//! Staging reads only, so that several threads share a large change by the first nibble of its keys, readers go on, and a draft
//! that is not wanted is dropped.
//!
//! Invariant: a trie's hash equals `interlace_trie::sorted_root` of its leaves. What is staged and dropped leaves no trace.
//! Source: yellow paper, appendix D.
//! A leaf is a handle of 31 bits; its key and value are asked of whoever has them, when a leaf moves or is proved. Handles and keys
//! are one to one, so a change that knows its handle needs no key to find its leaf. A cold leaf has no handle: whoever has it finds it by
//! its path, so that it may lie in a file and move there without the trie being told.
//! What it does not do: it keeps nothing of the past, no key and no value.

mod arena;
mod hash;
mod node;
mod proof;
mod stage;
#[cfg(test)]
mod tests;

use std::ops::Range;

use alloy_primitives::B256;
use alloy_rlp::Encodable;
use interlace_trie::EMPTY_ROOT_HASH;
use rayon::prelude::*;

use self::arena::{Arena, Branch};
pub(crate) use self::node::Ref;
use self::node::{Cell, Node, WIDTH};
pub(crate) use self::stage::{Change, Leaf};
use self::stage::{Drafts, Kind, Top, Walk, groups};
use crate::error::StorageError;
use crate::keccak::Hasher;
use crate::keys::beginning;

/// Changes that are worth another thread.
const SHARE: usize = 256;
/// Shares for each thread, so that none waits long for another.
const SHARES: usize = 4;

/// The root of one trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trie {
    root: Option<Ref>,
    hash: B256,
}

impl Default for Trie {
    fn default() -> Self {
        Self { root: None, hash: EMPTY_ROOT_HASH }
    }
}

impl Trie {
    /// The root's hash.
    pub(crate) const fn hash(&self) -> B256 {
        self.hash
    }

    /// Whether it has no leaf.
    pub(crate) const fn is_empty(&self) -> bool {
        self.root.is_none()
    }
}

/// Who has the leaves.
pub(crate) trait Source: Sync {
    /// What a leaf holds.
    type Value: Encodable + Copy + Send + Sync;

    /// Hashed key and value of a leaf, as the tries have it now.
    ///
    /// # Errors
    /// When it cannot be read.
    fn leaf(&self, handle: u32) -> Result<(B256, Self::Value), StorageError>;

    /// Hashed key and value of some leaf of the trie of `owner` that has the first `nibbles` nibbles of `path`, as the tries have it now. It is
    /// asked where there is a cold one, which is the only one then, or any will do; and by who looks for a key, which may not be there.
    ///
    /// # Errors
    /// When it cannot be read.
    fn cold(&self, owner: &B256, path: &B256, nibbles: usize) -> Result<Option<(B256, Self::Value)>, StorageError>;
}

/// A cold leaf that must be there.
fn found<T>(leaf: Option<T>) -> Result<T, StorageError> {
    leaf.ok_or_else(|| StorageError::damaged("the tables", 0, "a leaf is cold that they do not have"))
}

/// Tries of one kind of value, in one arena.
#[derive(Debug, Default)]
pub(crate) struct Forest {
    arena: Arena,
    hasher: Hasher,
}

/// A trie's owner, the trie, and what changes.
pub(crate) type Changed<V> = (B256, Trie, Vec<Change<V>>);

/// Changes to some tries with the nodes that follow from them, not yet in place.
#[derive(Debug)]
pub(crate) struct Staged<V> {
    changes: Vec<Change<V>>,
    /// Parts before those that hold them.
    parts: Vec<Drafts>,
    /// Of each trie: its part, and its place among the tops there.
    places: Vec<(usize, usize)>,
}

/// Of a divided trie, by first nibble: the share that walks it, if anything changes there.
type Sixteenths = [Option<usize>; WIDTH];

/// A trie that changes.
struct Given {
    owner: B256,
    trie: Trie,
    /// Its changes.
    range: Range<usize>,
}

/// What one thread walks at a time.
enum Share {
    /// Whole tries.
    Tries(Range<usize>),
    /// The changes below one child of a trie's root.
    Sixteenth { owner: B256, child: Option<(Ref, Cell)>, changes: Range<usize> },
}

/// Appends changes in the order of their keys; of several to one key, one.
fn put_sorted<V: Copy>(flat: &mut Vec<Change<V>>, mut changes: Vec<Change<V>>) {
    if changes.is_sorted_by(|one, other| one.key < other.key) {
        flat.append(&mut changes);
        return;
    }
    // A change is large: many of them are sorted by the beginnings of their keys, and then moved once.
    if changes.len() < 64 {
        changes.sort_unstable_by_key(|change| change.key);
        changes.dedup_by_key(|change| change.key);
        flat.append(&mut changes);
        return;
    }
    let mut order: Vec<(u64, u32)> = changes.iter().map(|change| beginning(&change.key)).zip(0..).collect();
    let key = |index: u32| &changes[index as usize].key;
    order.sort_unstable_by(|(one, at), (other, to)| one.cmp(other).then_with(|| key(*at).cmp(key(*to))));
    order.dedup_by(|(one, at), (other, to)| one == other && key(*at) == key(*to));
    flat.extend(order.into_iter().map(|(_, index)| changes[index as usize]));
}

impl<V> Staged<V> {
    fn top(&self, trie: usize) -> &Top {
        let (part, top) = self.places[trie];
        &self.parts[part].tops[top]
    }

    /// Hash of the trie given as number `trie`, with the changes in place.
    pub(crate) fn hash(&self, trie: usize) -> B256 {
        let top = self.top(trie);
        top.kind.map_or(EMPTY_ROOT_HASH, |_| top.cell.bytes)
    }
}

impl Forest {
    #[cfg(test)]
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self { arena: Arena::default(), hasher }
    }

    /// Hashes with another backend from now on.
    pub(crate) const fn hash_with(&mut self, hasher: Hasher) {
        self.hasher = hasher;
    }

    /// Bytes in use.
    pub(crate) fn bytes(&self) -> usize {
        self.arena.bytes()
    }

    /// Forgets a trie.
    pub(crate) fn clear(&mut self, trie: Trie) {
        let mut rest: Vec<Ref> = trie.root.into_iter().collect();
        while let Some(node) = rest.pop() {
            if let Node::Branch(number) = node.node() {
                rest.extend(self.arena.children(self.arena.branch(number)));
                self.arena.free(number);
            }
        }
    }

    /// What `changes` would make of each trie.
    ///
    /// Each comes with the owner by which a source finds its cold leaves. Of several changes to one key of a trie one holds; which is not said.
    /// Other threads only walk: a caller outside of rayon's pool may hold locks.
    ///
    /// # Errors
    /// The source's; only cold leaves are read where that can fail.
    pub(crate) fn stage<S: Source>(
        &self,
        source: &S,
        tries: Vec<Changed<S::Value>>,
    ) -> Result<Staged<S::Value>, StorageError> {
        let total = tries.iter().map(|(_, _, changes)| changes.len()).sum();
        let mut flat = Vec::with_capacity(total);
        let mut ranges = Vec::with_capacity(tries.len());
        for (owner, trie, changes) in tries {
            let start = flat.len();
            put_sorted(&mut flat, changes);
            ranges.push(Given { owner, trie, range: start..flat.len() });
        }
        let (shares, split) = self.share(&ranges, &flat);
        let walk = |share: &Share| self.walk(source, share, &ranges, &flat);
        let parts: Result<Vec<Drafts>, StorageError> =
            if shares.len() == 1 { shares.iter().map(walk).collect() } else { shares.par_iter().map(walk).collect() };
        let mut parts = parts?;
        let mut places = vec![(0, 0); ranges.len()];
        for (part, share) in shares.iter().enumerate() {
            if let Share::Tries(tries) = share {
                tries.clone().enumerate().for_each(|(top, trie)| places[trie] = (part, top));
            }
        }
        for (trie, sixteenths) in split {
            let joined = self.join(source, trie, &ranges, &flat, sixteenths, &mut parts)?;
            places[trie] = (parts.len(), 0);
            parts.push(joined);
        }
        Ok(Staged { changes: flat, parts, places })
    }

    /// Divides the work: small tries together, large ones by the first nibble. Also says which tries are divided, and what
    /// their sixteenths are: shares by nibble.
    fn share<V>(&self, ranges: &[Given], changes: &[Change<V>]) -> (Vec<Share>, Vec<(usize, Sixteenths)>) {
        let threads = rayon::current_num_threads();
        let least = if threads == 1 { usize::MAX } else { (changes.len() / (threads * SHARES)).max(SHARE) };
        let (mut shares, mut split) = (Vec::new(), Vec::new());
        let (mut start, mut weight) = (0, 0);
        for (number, Given { owner, trie, range }) in ranges.iter().enumerate() {
            if range.len() / 2 <= least || self.wide_root(*trie).is_none() {
                weight += range.len();
                if weight >= least {
                    shares.push(Share::Tries(start..number + 1));
                    (start, weight) = (number + 1, 0);
                }
                continue;
            }
            if start < number {
                shares.push(Share::Tries(start..number));
            }
            (start, weight) = (number + 1, 0);
            let mut sixteenths: Sixteenths = [None; WIDTH];
            for (nibble, changes) in groups(changes, 0, range.clone()) {
                let child = self.wide_root(*trie).and_then(|(_, branch)| self.child(&branch, nibble));
                sixteenths[nibble] = Some(shares.len());
                shares.push(Share::Sixteenth { owner: *owner, child, changes });
            }
            split.push((number, sixteenths));
        }
        if start < ranges.len() {
            shares.push(Share::Tries(start..ranges.len()));
        }
        (shares, split)
    }

    /// The root of a trie, if it is a branch without an extension.
    fn wide_root(&self, trie: Trie) -> Option<(u32, Branch)> {
        match trie.root?.node() {
            Node::Branch(number) => Some((number, *self.arena.branch(number))).filter(|(_, branch)| branch.depth == 0),
            Node::Leaf(_) | Node::Cold => None,
        }
    }

    fn child(&self, branch: &Branch, nibble: usize) -> Option<(Ref, Cell)> {
        let place = Branch::place(branch.mask, nibble)?;
        Some((self.arena.child(branch, place), self.arena.cell(branch, nibble)?))
    }

    fn walk<S: Source>(
        &self,
        source: &S,
        share: &Share,
        ranges: &[Given],
        changes: &[Change<S::Value>],
    ) -> Result<Drafts, StorageError> {
        let mut walk = Walk::new(&self.arena, source, changes, self.hasher);
        match share {
            Share::Tries(tries) => {
                for Given { owner, trie, range } in &ranges[tries.clone()] {
                    walk.owner = *owner;
                    let root = trie.root.map(|root| (root, Cell::hash(trie.hash)));
                    walk.subtree(root, 0, range.clone())?;
                }
            }
            Share::Sixteenth { owner, child, changes } => {
                walk.owner = *owner;
                walk.subtree(*child, 1, changes.clone())?;
            }
        }
        walk.settle(0);
        Ok(walk.drafts)
    }

    /// The draft of a divided trie over those of its sixteenths.
    fn join<S: Source>(
        &self,
        source: &S,
        trie: usize,
        ranges: &[Given],
        changes: &[Change<S::Value>],
        sixteenths: Sixteenths,
        parts: &mut [Drafts],
    ) -> Result<Drafts, StorageError> {
        let mut children = [None; WIDTH];
        if let Some((number, branch)) = self.wide_root(ranges[trie].trie) {
            for (nibble, child) in children.iter_mut().enumerate() {
                *child = match sixteenths[nibble] {
                    Some(part) => {
                        let top = parts[part].tops[0];
                        top.kind.map(|_| (Kind::Part(part as u32), top.cell))
                    }
                    None => self.child(&branch, nibble).map(|(child, cell)| (Kind::Kept(child), cell)),
                };
            }
            if children.iter().flatten().count() > 1 {
                let mut walk = Walk::new(&self.arena, source, changes, self.hasher);
                walk.join(number, &children);
                walk.settle(0);
                return Ok(walk.drafts);
            }
        }
        // The root is no branch any more: what is left of it is drafted in one piece.
        sixteenths.into_iter().flatten().for_each(|part| parts[part] = Drafts::default());
        self.walk(source, &Share::Tries(trie..trie + 1), ranges, changes)
    }

    /// Puts in place what was staged on the tries as they are now, and gives them in the order of [`Self::stage`]. `handle` gives the handles
    /// of leaves that had none, by their ordinals; those that have none afterwards are cold.
    pub(crate) fn apply<V>(&mut self, staged: Staged<V>, handle: impl Fn(u32) -> Option<u32>) -> Vec<Trie> {
        let hashes: Vec<B256> = (0..staged.places.len()).map(|trie| staged.hash(trie)).collect();
        let Staged { changes, parts, places } = staged;
        let mut tops: Vec<Vec<Option<Ref>>> = Vec::with_capacity(parts.len());
        for part in parts {
            let mut numbers: Vec<u32> = Vec::with_capacity(part.branches.len());
            part.freed_branches.into_iter().for_each(|branch| self.arena.free(branch));
            let resolve = |kind: Kind, numbers: &[u32], tops: &[Vec<Option<Ref>>]| match kind {
                Kind::Kept(node) => Some(node),
                Kind::Branch(number) => Some(Ref::branch(numbers[number as usize])),
                Kind::Part(part) => tops[part as usize][0],
                Kind::Moved(number) => Some(part.moved[number as usize]),
                Kind::Changed(index) => Some(match changes[index as usize].leaf {
                    Leaf::Known(handle) => Ref::leaf(handle),
                    Leaf::New(ordinal) | Leaf::Warm(ordinal) => handle(ordinal).map_or(Ref::COLD, Ref::leaf),
                    Leaf::Cold => Ref::COLD,
                }),
            };
            for draft in &part.branches {
                let children = part.children[draft.range()].iter();
                // Every kind names a node: changes without a value are not drafted, parts are drafted before.
                let children = children.filter_map(|(kind, bytes)| Some((resolve(*kind, &numbers, &tops)?, *bytes)));
                let number = self.arena.put(draft.replaces, draft.shape, children);
                numbers.push(number);
            }
            let roots = part.tops.iter().map(|top| top.kind.and_then(|kind| resolve(kind, &numbers, &tops))).collect();
            tops.push(roots);
        }
        let roots = places.into_iter().map(|(part, top)| tops[part][top]);
        roots.zip(hashes).map(|(root, hash)| Trie { root, hash }).collect()
    }
}
