//! The hashes of a draft, from the deepest level up.
//!
//! Invariant: a node is hashed after all that it holds. What a job writes, only jobs of lower depth read.
//! Bounds: [`AT_ONCE`] nodes are encoded before they are hashed, so that they are still in the cache then.

use alloy_primitives::B256;

use super::Source;
use super::arena::{Arena, Shape, bits};
use super::node::{Cell, NIBBLES, Node, SHORTEST, put_branch, put_extension, put_leaf};
use super::stage::{Change, Drafts, Kind, Target, Walk, key};
use crate::keccak::{Hasher, Messages};

/// Nodes encoded at a time: at most 532 bytes each.
const AT_ONCE: usize = 256;

/// What has to be known to encode nodes.
struct Nodes<'a, S: Source> {
    arena: &'a Arena,
    changes: &'a [Change<S::Value>],
    moved: &'a [(B256, Option<S::Value>)],
    hasher: Hasher,
}

impl<S: Source> Walk<'_, S> {
    /// Computes every hash that is noted for nodes that begin at `depth` or deeper.
    pub(super) fn settle(&mut self, depth: usize) {
        let nodes: Nodes<'_, S> =
            Nodes { arena: self.arena, changes: self.changes, moved: &self.moved, hasher: self.hasher };
        for depth in (depth..=NIBBLES).rev() {
            let mut jobs = std::mem::take(&mut self.drafts.jobs[depth]);
            for jobs in jobs.chunks(AT_ONCE) {
                nodes.settle(&mut self.drafts, &mut self.batch, depth, jobs);
            }
            jobs.clear();
            self.drafts.jobs[depth] = jobs;
        }
    }
}

/// Buffers that are used again.
#[derive(Default)]
pub(super) struct Batch {
    messages: Messages,
    /// Whose hash each message gives.
    waiting: Vec<Waiting>,
    extensions: Messages,
    /// Whose hash each extension gives.
    extended: Vec<Target>,
}

#[derive(Clone, Copy)]
struct Waiting {
    target: Target,
    /// Depth of the branch, if there is an extension above it.
    extended_to: Option<usize>,
}

impl Drafts {
    fn kind(&self, target: Target) -> Option<Kind> {
        match target {
            Target::Child { draft, nibble } => Some(self.children[self.place(draft, nibble)].0),
            Target::Top(number) => self.tops[number as usize].kind,
        }
    }

    fn place(&self, draft: u32, nibble: u8) -> usize {
        let draft = &self.branches[draft as usize];
        draft.first as usize + (draft.shape.new & ((1 << nibble) - 1)).count_ones() as usize
    }

    fn set(&mut self, target: Target, cell: Cell) {
        match target {
            Target::Child { draft, nibble } => {
                let place = self.place(draft, nibble);
                self.children[place].1 = cell.bytes;
                self.branches[draft as usize].shape.inline |= u16::from(cell.is_inline) << nibble;
            }
            Target::Top(number) => self.tops[number as usize].cell = cell,
        }
    }
}

impl<S: Source> Nodes<'_, S> {
    /// Computes what `jobs` wait for, whose nodes begin at depth `from`.
    fn settle(&self, drafts: &mut Drafts, batch: &mut Batch, from: usize, jobs: &[Target]) {
        batch.messages.clear();
        batch.waiting.clear();
        for target in jobs {
            if let Some(kind) = drafts.kind(*target) {
                self.encode(drafts, batch, from, *target, kind);
            }
        }
        batch.extensions.clear();
        batch.extended.clear();
        for (Waiting { target, extended_to }, hash) in batch.waiting.iter().zip(self.hasher.hash(&batch.messages)) {
            match (extended_to, drafts.kind(*target)) {
                (Some(to), Some(kind)) => {
                    let key = key(self.changes, drafts, self.moved, kind);
                    // With a hash in it, an extension is never short.
                    let _ = batch.extensions.push(0, |out| put_extension(out, &key, from, *to, &Cell::hash(hash)));
                    batch.extended.push(*target);
                }
                _ => drafts.set(*target, Cell::hash(hash)),
            }
        }
        if batch.extended.is_empty() {
            return;
        }
        for (target, hash) in batch.extended.iter().zip(self.hasher.hash(&batch.extensions)) {
            drafts.set(*target, Cell::hash(hash));
        }
    }

    /// Appends the message whose hash `target` waits for, or sets its cell if the node is short.
    fn encode(&self, drafts: &mut Drafts, batch: &mut Batch, from: usize, target: Target, kind: Kind) {
        let (depth, pushed) = match kind {
            Kind::Changed(index) => match &self.changes[index as usize] {
                Change { key, value: Some(value), .. } => {
                    (from, batch.messages.push(SHORTEST, |out| put_leaf(out, key, from, value)))
                }
                Change { value: None, .. } => return, // No walk leaves one in a draft.
            },
            Kind::Moved(number) => self.encode_moved(drafts, batch, from, number as usize),
            Kind::Branch(number) => {
                let draft = &drafts.branches[number as usize];
                let Shape { depth, mask, new, inline } = draft.shape;
                let old = draft.replaces.map(|number| *self.arena.branch(number));
                let mut children = drafts.children[draft.range()].iter();
                let cells = bits(mask).map(move |nibble| {
                    let kept = old.filter(|_| new >> nibble & 1 == 0);
                    kept.and_then(|old| self.arena.cell(&old, nibble)).unwrap_or_else(|| Cell {
                        bytes: children.next().map_or(B256::ZERO, |(_, bytes)| *bytes),
                        is_inline: inline >> nibble & 1 == 1,
                    })
                });
                let depth = usize::from(depth);
                (depth, batch.messages.push(SHORTEST, |out| put_branch(out, mask, cells)))
            }
            // Its cell is known: from the branch that has it, or from its own draft.
            Kind::Kept(_) | Kind::Part(_) => return,
        };
        let extended_to = (depth > from).then_some(depth);
        let short = match pushed {
            Ok(_) => {
                batch.waiting.push(Waiting { target, extended_to });
                return;
            }
            Err(short) => Cell::inline(short),
        };
        let Some(to) = extended_to else {
            drafts.set(target, short);
            return;
        };
        // The branch stands in its extension, which may be short itself.
        let key = key(self.changes, drafts, self.moved, kind);
        match batch.messages.push(SHORTEST, |out| put_extension(out, &key, from, to, &short)) {
            Ok(_) => batch.waiting.push(Waiting { target, extended_to: None }),
            Err(short) => {
                let cell = Cell::inline(short);
                drafts.set(target, cell);
            }
        }
    }

    fn encode_moved<'b>(
        &self,
        drafts: &Drafts,
        batch: &'b mut Batch,
        from: usize,
        number: usize,
    ) -> (usize, Result<usize, &'b [u8]>) {
        match (drafts.moved[number].node(), &self.moved[number]) {
            (Node::Branch(number), _) => {
                let branch = self.arena.branch(number);
                let depth = usize::from(branch.depth);
                let cells = self.arena.cells(branch);
                (depth, batch.messages.push(SHORTEST, |out| put_branch(out, branch.mask, cells)))
            }
            (Node::Leaf(_) | Node::Cold, (key, Some(value))) => {
                (from, batch.messages.push(SHORTEST, |out| put_leaf(out, key, from, value)))
            }
            // A leaf is moved with its value.
            (Node::Leaf(_) | Node::Cold, (_, None)) => (from, Err(&[])),
        }
    }
}
