//! Where changes lead, without making them.
//!
//! A trie is walked once from its root with all changes, in the order of their keys; what they touch is drafted anew, from
//! the leaves up, and nothing else is looked at. Which hashes follow is noted on the way, by depth, and computed when a few
//! hundred changes are drafted (`hash`), so that the nodes of one depth are hashed side by side.
//!
//! A node that moves, because a branch came or went above it, is drafted with a key below it, which its path and its hash need: who has
//! cold leaves finds them by their path, and the path is known only on the way.
//!
//! Invariant: nothing outside the draft is changed; the drafted trie is the canonical one of its leaves: a branch left with
//! one child gives way to it, however the changes are grouped. To remove what is not there is no change.
//! Source: yellow paper, appendix D.

use std::cmp::Ordering;
use std::ops::Range;

use alloy_primitives::B256;

use super::arena::{Arena, Branch, Shape, bits, narrow};
use super::hash::Batch;
use super::node::{Cell, NIBBLES, Node, Ref, WIDTH, fork, nibble, with_nibble};
use super::{Source, found};
use crate::error::StorageError;
use crate::keccak::Hasher;

/// Which leaf a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaf {
    /// The one with this handle, whether the trie has it or not.
    Known(u32),
    /// One that the trie has cold; the number says which when it is asked for.
    Warm(u32),
    /// One without a handle, so no trie has it; the number says which when it is asked for.
    New(u32),
    /// One that is to be cold.
    Cold,
}

/// A leaf's new value; `None` removes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change<V> {
    /// Hashed key.
    pub(crate) key: B256,
    pub(crate) leaf: Leaf,
    /// What the leaf holds afterwards.
    pub(crate) value: Option<V>,
}

/// A node of a drafted trie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One that stays where it is, with all that is below it.
    Kept(Ref),
    /// One that is there, with all that is below it, and whose path begins elsewhere now: its place among [`Drafts::moved`].
    Moved(u32),
    /// The leaf that a change makes.
    Changed(u32),
    /// A drafted branch.
    Branch(u32),
    /// The top of another draft.
    Part(u32),
}

/// A drafted branch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draft {
    /// The branch whose number it takes over, and whose children it has where it has no new ones.
    pub(super) replaces: Option<u32>,
    pub(super) shape: Shape,
    /// Its first new child in [`Drafts::children`].
    pub(super) first: u32,
    /// A change or a moved node whose key has the nibbles before the branch.
    path: Kind,
}

impl Draft {
    /// Where its new children are.
    pub(super) fn range(&self) -> Range<usize> {
        let first = self.first as usize;
        first..first + self.shape.new.count_ones() as usize
    }
}

/// What stands at the top of a drafted trie, or of a sixteenth of one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Top {
    /// `None`: no leaf is left.
    pub(super) kind: Option<Kind>,
    /// How the node above holds it; a trie's root is always a hash.
    pub(super) cell: Cell,
}

/// Who waits for a hash.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    Child { draft: u32, nibble: u8 },
    Top(u32),
}

/// Everything that a walk drafted.
#[derive(Debug, Default)]
pub(super) struct Drafts {
    /// Children before their parents.
    pub(super) branches: Vec<Draft>,
    /// New ones: what they are, and how their parents hold them.
    pub(super) children: Vec<(Kind, B256)>,
    pub(super) tops: Vec<Top>,
    pub(super) moved: Vec<Ref>,
    /// Hashes to compute, by the depth at which their node begins.
    pub(super) jobs: Vec<Vec<Target>>,
    pub(super) freed_branches: Vec<u32>,
}

/// Changes below one branch for which it is worth to look ahead; as many as the second-level cache has room for.
const LOOK_AHEAD: Range<usize> = 3..256;

/// What became of a subtree.
enum Outcome {
    Gone,
    Same,
    New(Kind),
}

/// A child of a branch in the making.
#[derive(Clone, Copy)]
enum Slot {
    None,
    /// As the branch before had it.
    Old(Ref),
    New(Kind),
}

/// A walk over tries of one forest.
pub(super) struct Walk<'a, S: Source> {
    pub(super) arena: &'a Arena,
    pub(super) source: &'a S,
    /// Those of each trie in the order of their keys, without duplicates.
    pub(super) changes: &'a [Change<S::Value>],
    pub(super) drafts: Drafts,
    pub(super) hasher: Hasher,
    pub(super) batch: Batch,
    /// Whose trie is walked, for who finds cold leaves.
    pub(super) owner: B256,
    /// Of each moved node a key below it, and its value if it is a leaf.
    pub(super) moved: Vec<(B256, Option<S::Value>)>,
    /// Changes before this one have been looked ahead for.
    warm: usize,
}

impl<'a, S: Source> Walk<'a, S> {
    pub(super) fn new(arena: &'a Arena, source: &'a S, changes: &'a [Change<S::Value>], hasher: Hasher) -> Self {
        let drafts = Drafts { jobs: vec![Vec::new(); NIBBLES + 1], ..Drafts::default() };
        Self {
            arena,
            source,
            changes,
            drafts,
            hasher,
            batch: Batch::default(),
            owner: B256::ZERO,
            moved: Vec::new(),
            warm: 0,
        }
    }

    /// Drafts what the changes of `range` make of the subtree of `root`, whose nodes' paths begin at depth `from`. A root
    /// comes with the cell that holds it now.
    pub(super) fn subtree(
        &mut self,
        root: Option<(Ref, Cell)>,
        from: usize,
        range: Range<usize>,
    ) -> Result<(), StorageError> {
        let outcome = match root {
            Some((root, _)) => self.update(root, from, range)?,
            None => self.build(&self.inserted(range), from),
        };
        let top = narrow(self.drafts.tops.len());
        let (kind, cell) = match (outcome, root) {
            (Outcome::Same, Some((root, cell))) => (Some(Kind::Kept(root)), cell),
            (Outcome::New(kind), _) => {
                self.drafts.jobs[from].push(Target::Top(top));
                (Some(kind), Cell::hash(B256::ZERO))
            }
            (Outcome::Gone | Outcome::Same, _) => (None, Cell::hash(B256::ZERO)),
        };
        self.drafts.tops.push(Top { kind, cell });
        Ok(())
    }

    /// A drafted root branch over sixteenths drafted elsewhere, two or more of which are left.
    pub(super) fn join(&mut self, replaces: u32, parts: &[Option<(Kind, Cell)>; WIDTH]) {
        let mut shape = Shape { depth: 0, mask: 0, new: 0, inline: 0 };
        for (nibble, (kind, cell)) in parts.iter().enumerate().filter_map(|(nibble, part)| Some((nibble, (*part)?))) {
            shape.mask |= 1 << nibble;
            shape.inline |= u16::from(cell.is_inline) << nibble;
            self.drafts.children.push((kind, cell.bytes));
        }
        shape.new = shape.mask;
        self.drafts.branches.push(Draft { replaces: Some(replaces), shape, first: 0, path: Kind::Changed(0) });
        self.drafts.jobs[0].push(Target::Top(0));
        self.drafts.tops.push(Top { kind: Some(Kind::Branch(0)), cell: Cell::hash(B256::ZERO) });
    }

    /// The changes of `range` that leave a leaf.
    fn inserted(&self, range: Range<usize>) -> Vec<Kind> {
        range.filter(|index| self.changes[*index].value.is_some()).map(|index| Kind::Changed(narrow(index))).collect()
    }

    /// The key of a change or of a moved node.
    fn key(&self, kind: Kind) -> B256 {
        key(self.changes, &self.drafts, &self.moved, kind)
    }

    /// A key below `node`, whose path has the first `nibbles` of `path`, and its value if it is a leaf.
    fn look(&self, node: Ref, path: &B256, nibbles: usize) -> Result<(B256, Option<S::Value>), StorageError> {
        let (key, value) = match self.arena.any_leaf(node).node() {
            Node::Leaf(leaf) => self.source.leaf(leaf)?,
            Node::Cold | Node::Branch(_) => found(self.source.cold(&self.owner, path, nibbles)?)?,
        };
        Ok((key, (!matches!(node.node(), Node::Branch(_))).then_some(value)))
    }

    fn moved(&mut self, node: Ref, key: B256, value: Option<S::Value>) -> Kind {
        self.drafts.moved.push(node);
        self.moved.push((key, value));
        Kind::Moved(narrow(self.moved.len() - 1))
    }

    fn update(&mut self, node: Ref, from: usize, range: Range<usize>) -> Result<Outcome, StorageError> {
        if range.is_empty() {
            return Ok(Outcome::Same);
        }
        match node.node() {
            Node::Leaf(_) | Node::Cold => self.update_leaf(node, from, range),
            Node::Branch(number) => self.update_branch(number, from, range),
        }
    }

    fn update_leaf(&mut self, leaf: Ref, from: usize, range: Range<usize>) -> Result<Outcome, StorageError> {
        let changes = &self.changes[range.clone()];
        // Of what the trie has cold, the way leads to its own leaf.
        let is_own = |change: &Change<S::Value>| match (leaf.node(), change.leaf) {
            (Node::Leaf(handle), Leaf::Known(other)) => handle == other,
            (Node::Cold, Leaf::Warm(_)) => true,
            _ => false,
        };
        if let [change @ Change { value: Some(_), .. }] = changes
            && is_own(change)
        {
            return Ok(Outcome::New(Kind::Changed(narrow(range.start))));
        }
        let mut left = self.inserted(range);
        if !changes.iter().any(is_own) {
            if left.is_empty() {
                return Ok(Outcome::Same);
            }
            let (key, value) = self.look(leaf, &changes[0].key, from)?;
            let at = left.partition_point(|kind| self.key(*kind) < key);
            let moved = self.moved(leaf, key, value);
            left.insert(at, moved);
        }
        Ok(self.build(&left, from))
    }

    fn update_branch(&mut self, number: u32, from: usize, range: Range<usize>) -> Result<Outcome, StorageError> {
        let branch = *self.arena.branch(number);
        let depth = usize::from(branch.depth);
        if depth == from {
            return self.update_children(number, branch, range);
        }
        // An extension stands above the branch: some changes may leave the trie's keys along it.
        let is_below = |change: &&Change<S::Value>| matches!(change.leaf, Leaf::Warm(_));
        let key = match self.changes[range.clone()].iter().find(is_below) {
            Some(change) => change.key,
            None => self.look(Ref::branch(number), &self.changes[range.start].key, from)?.0,
        };
        let mut inserted = range.clone().filter(|index| self.changes[*index].value.is_some());
        let first = inserted.next();
        // Of sorted keys, the first and the last leave another key first.
        let fork_at = [first, inserted.next_back().or(first)]
            .into_iter()
            .flatten()
            .map(|index| fork(&self.changes[index].key, &key, from))
            .min()
            .unwrap_or(depth);
        if fork_at >= depth {
            let within = self.within(&key, from..depth, range);
            return if within.is_empty() { Ok(Outcome::Same) } else { self.update_children(number, branch, within) };
        }
        let within = self.within(&key, from..fork_at, range);
        let own = nibble(&key, fork_at);
        let mut slots = [Slot::None; WIDTH];
        // Its path begins later now, whether or not anything in it changes.
        let moved = self.moved(Ref::branch(number), key, None);
        slots[own] = Slot::New(moved);
        for (nibble, group) in groups(self.changes, fork_at, within) {
            let outcome = if nibble == own {
                self.update(Ref::branch(number), fork_at + 1, group)?
            } else {
                self.build(&self.inserted(group), fork_at + 1)
            };
            match outcome {
                Outcome::Same => {}
                Outcome::Gone => slots[nibble] = Slot::None,
                Outcome::New(kind) => slots[nibble] = Slot::New(kind),
            }
        }
        self.finish(fork_at, &slots, None, moved)
    }

    /// Drafts a branch at whose depth all changes of `range` are still below it.
    fn update_children(&mut self, number: u32, branch: Branch, range: Range<usize>) -> Result<Outcome, StorageError> {
        let path = Kind::Changed(narrow(range.start));
        let depth = usize::from(branch.depth);
        let is_ahead = range.end > self.warm && LOOK_AHEAD.contains(&range.len());
        if is_ahead {
            self.look_ahead(number, range.clone());
        }
        let mut slots = [Slot::None; WIDTH];
        for (nibble, child) in bits(branch.mask).zip(self.arena.children(&branch)) {
            slots[nibble] = Slot::Old(child);
        }
        let mut is_same = true;
        for (nibble, group) in groups(self.changes, depth, range) {
            let outcome = match slots[nibble] {
                Slot::Old(child) => self.update(child, depth + 1, group)?,
                _ => match self.build(&self.inserted(group), depth + 1) {
                    Outcome::Gone => Outcome::Same, // There was nothing.
                    outcome => outcome,
                },
            };
            slots[nibble] = match outcome {
                Outcome::Same => continue,
                Outcome::Gone => Slot::None,
                Outcome::New(kind) => Slot::New(kind),
            };
            is_same = false;
        }
        if is_same {
            return Ok(Outcome::Same);
        }
        let outcome = self.finish(depth, &slots, Some(number), path)?;
        if is_ahead {
            // What it needs is still in the cache, and nothing noted for deeper nodes waits for more to come.
            self.settle(depth + 1);
        }
        Ok(outcome)
    }

    /// Reads what the walk below branch `number` will read, a level of all paths at a time.
    ///
    /// A path alone waits for memory at each step; the steps of different paths do not wait for each other. Nothing comes of
    /// this but that the lines are in the cache when the walk needs them.
    fn look_ahead(&mut self, number: u32, range: Range<usize>) {
        self.warm = range.end;
        let changes = &self.changes[range];
        let mut branches = [None; LOOK_AHEAD.end];
        let mut nodes = [Some(Ref::branch(number)); LOOK_AHEAD.end];
        let nodes = &mut nodes[..changes.len()];
        let mut touched = 0u8;
        while nodes.iter().any(Option::is_some) {
            for (node, branch) in nodes.iter_mut().zip(&mut branches) {
                *branch = match node.take().map(Ref::node) {
                    Some(Node::Branch(number)) => Some(*self.arena.branch(number)),
                    Some(Node::Leaf(_) | Node::Cold) | None => None,
                };
            }
            for ((node, branch), change) in nodes.iter_mut().zip(&branches).zip(changes) {
                let Some(branch) = branch else { continue };
                let place = Branch::place(branch.mask, nibble(&change.key, usize::from(branch.depth)));
                *node = place.map(|place| self.arena.child(branch, place));
                touched ^= self.arena.touch(branch);
            }
        }
        std::hint::black_box(touched);
    }

    /// Drafts the trie of `leaves`, in the order of their keys, that share the nibbles before `from`.
    fn build(&mut self, leaves: &[Kind], from: usize) -> Outcome {
        let (Some(first), Some(last)) = (leaves.first(), leaves.last()) else { return Outcome::Gone };
        if leaves.len() == 1 {
            return Outcome::New(*first);
        }
        let depth = fork(&self.key(*first), &self.key(*last), from);
        let mut slots = [Slot::None; WIDTH];
        let mut rest = leaves;
        while let Some(first) = rest.first() {
            let own = nibble(&self.key(*first), depth);
            let (group, others) = rest.split_at(rest.partition_point(|kind| nibble(&self.key(*kind), depth) <= own));
            rest = others;
            if let Outcome::New(kind) = self.build(group, depth + 1) {
                slots[own] = Slot::New(kind);
            }
        }
        self.branch(depth, &slots, None, *first)
    }

    /// Drafts a branch of the children in `slots`, or what stands in its place if there are fewer than two.
    fn finish(
        &mut self,
        depth: usize,
        slots: &[Slot; WIDTH],
        replaces: Option<u32>,
        path: Kind,
    ) -> Result<Outcome, StorageError> {
        let mut filled = slots.iter().enumerate().filter(|(_, slot)| !matches!(slot, Slot::None));
        let (first, second) = (filled.next(), filled.next());
        if second.is_some() {
            return Ok(self.branch(depth, slots, replaces, path));
        }
        self.drafts.freed_branches.extend(replaces);
        Ok(match first {
            Some((nibble, Slot::Old(child))) => {
                let path = with_nibble(&self.key(path), depth, nibble);
                let (key, value) = self.look(*child, &path, depth + 1)?;
                Outcome::New(self.moved(*child, key, value))
            }
            Some((_, Slot::New(kind))) => Outcome::New(*kind),
            Some((_, Slot::None)) | None => Outcome::Gone,
        })
    }

    /// Drafts a branch of the children in `slots`, of which there are two or more.
    fn branch(&mut self, depth: usize, slots: &[Slot; WIDTH], replaces: Option<u32>, path: Kind) -> Outcome {
        let first = narrow(self.drafts.children.len());
        let number = narrow(self.drafts.branches.len());
        let mut shape = Shape { depth: depth as u8, mask: 0, new: 0, inline: 0 };
        for (nibble, slot) in (0u8..).zip(slots) {
            match slot {
                Slot::None => continue,
                Slot::Old(_) => {}
                Slot::New(kind) => {
                    self.drafts.jobs[depth + 1].push(Target::Child { draft: number, nibble });
                    self.drafts.children.push((*kind, B256::ZERO));
                    shape.new |= 1 << nibble;
                }
            }
            shape.mask |= 1 << nibble;
        }
        self.drafts.branches.push(Draft { replaces, shape, first, path });
        Outcome::New(Kind::Branch(number))
    }

    /// The changes of `range` whose keys have the nibbles `part` of `key`.
    fn within(&self, key: &B256, part: Range<usize>, range: Range<usize>) -> Range<usize> {
        let changes = &self.changes[range.clone()];
        let side = |change: &Change<S::Value>| {
            let at = fork(&change.key, key, part.start);
            if at >= part.end { Ordering::Equal } else { nibble(&change.key, at).cmp(&nibble(key, at)) }
        };
        let start = changes.partition_point(|change| side(change) == Ordering::Less);
        let end = changes.partition_point(|change| side(change) != Ordering::Greater);
        range.start + start..range.start + end
    }
}

/// The changes of `range`, which share the nibbles before `depth`, by the nibble at it.
pub(super) fn groups<V>(
    changes: &[Change<V>],
    depth: usize,
    range: Range<usize>,
) -> impl Iterator<Item = (usize, Range<usize>)> {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let rest = changes.get(start..range.end)?;
        let own = nibble(&rest.first()?.key, depth);
        // Most groups are short: no search is faster than looking.
        let others = rest.iter().position(|change| nibble(&change.key, depth) != own);
        let group = start..others.map_or(range.end, |count| start + count);
        start = group.end;
        Some((own, group))
    })
}

/// A key that has the path of a drafted node that may move: of a change, of a moved node, or of a drafted branch.
pub(super) fn key<V>(changes: &[Change<V>], drafts: &Drafts, moved: &[(B256, Option<V>)], kind: Kind) -> B256 {
    match kind {
        Kind::Changed(index) => changes[index as usize].key,
        Kind::Moved(number) => moved[number as usize].0,
        Kind::Branch(number) => key(changes, drafts, moved, drafts.branches[number as usize].path),
        // What stays where it is, and the top of another draft, have no path above them that is drafted here.
        Kind::Kept(_) | Kind::Part(_) => B256::ZERO,
    }
}
