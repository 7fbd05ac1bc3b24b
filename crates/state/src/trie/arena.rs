//! Branches of any number of tries, in a few large arrays. A leaf is a handle, of which a [`super::Source`] tells key and value,
//! or cold: then the source is asked for it by its path.
//!
//! A branch's children lie side by side in a block of exactly as many places; a block or number that is given up is used
//! again by the next one that needs its size. Extensions are not stored: a child that branches deeper than its parent's next
//! nibble has one above it, whose nibbles any leaf below tells.
//!
//! Invariant: a branch has two children or more. What is freed is named by nobody.
//! Bounds: 2^31 leaves, as many branches, 2^32 children (some 240 GB); memory ends before.

use alloy_primitives::B256;

use super::node::{Cell, Node, Ref, WIDTH};
use crate::segments::Segments;

/// A branch: 12 bytes, and 36 for each child.
#[derive(Clone, Copy, Debug)]
pub(super) struct Branch {
    /// Nibbles that have a child.
    pub(super) mask: u16,
    /// Those of them whose node stands in place of its hash.
    pub(super) inline: u16,
    /// Index of the nibble that it branches on.
    pub(super) depth: u8,
    block: u32,
}

impl Branch {
    /// Place of the child at `nibble` among the children, if there is one.
    pub(super) const fn place(mask: u16, nibble: usize) -> Option<usize> {
        if mask >> nibble & 1 == 0 {
            return None;
        }
        Some((mask & ((1 << nibble) - 1)).count_ones() as usize)
    }
}

/// Which bits of `mask` are set, lowest first.
pub(super) fn bits(mask: u16) -> impl Iterator<Item = usize> + Clone {
    let mut rest = mask;
    std::iter::from_fn(move || {
        let bit = rest.trailing_zeros() as usize;
        rest &= rest.wrapping_sub(1);
        (bit < WIDTH).then_some(bit)
    })
}

/// What a branch looks like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) depth: u8,
    pub(super) mask: u16,
    /// Children that are not as the branch had them that is replaced.
    pub(super) new: u16,
    /// Those of the new ones whose node stands in place of its hash.
    pub(super) inline: u16,
}

/// All branches.
#[derive(Debug, Default)]
pub(super) struct Arena {
    branches: Segments<Branch>,
    free_branches: Vec<u32>,
    refs: Segments<Ref>,
    cells: Segments<B256>,
    /// By number of places.
    free_blocks: [Vec<u32>; WIDTH + 1],
}

/// A length as a number of the arena.
///
/// # Panics
/// Beyond the bound of 2^31, for which memory would have to reach first.
pub(super) fn narrow(length: usize) -> u32 {
    assert!(length < 1 << 31, "all tries together have at most 2^31 leaves");
    length as u32
}

impl Arena {
    pub(super) fn branch(&self, number: u32) -> &Branch {
        &self.branches[number as usize]
    }

    /// The children of a branch, lowest nibble first.
    pub(super) fn children(&self, branch: &Branch) -> impl Iterator<Item = Ref> {
        let start = branch.block as usize;
        self.refs.slice(start..start + branch.mask.count_ones() as usize).iter().copied()
    }

    /// How a branch holds its children, lowest nibble first.
    pub(super) fn cells(&self, branch: &Branch) -> impl Iterator<Item = Cell> + Clone {
        let start = branch.block as usize;
        let cells = self.cells.slice(start..start + branch.mask.count_ones() as usize);
        let inline = branch.inline;
        let cell = move |(nibble, bytes): (usize, &B256)| Cell { bytes: *bytes, is_inline: inline >> nibble & 1 == 1 };
        bits(branch.mask).zip(cells).map(cell)
    }

    /// The child at a place.
    pub(super) fn child(&self, branch: &Branch, place: usize) -> Ref {
        self.refs[branch.block as usize + place]
    }

    /// How a branch holds its child at `nibble`.
    pub(super) fn cell(&self, branch: &Branch, nibble: usize) -> Option<Cell> {
        let place = Branch::place(branch.mask, nibble)?;
        let bytes = self.cells[branch.block as usize + place];
        Some(Cell { bytes, is_inline: branch.inline >> nibble & 1 == 1 })
    }

    /// Reads every line of a branch's cells.
    pub(super) fn touch(&self, branch: &Branch) -> u8 {
        let start = branch.block as usize;
        let cells = self.cells.slice(start..start + branch.mask.count_ones() as usize);
        cells.iter().step_by(2).chain(cells.last()).fold(0, |touched, cell| touched ^ cell[31])
    }

    /// Stores a branch, in the place of `replaced` if there is one; `children` are the new ones.
    pub(super) fn put(
        &mut self,
        replaced: Option<u32>,
        Shape { depth, mask, inline, new }: Shape,
        mut children: impl Iterator<Item = (Ref, B256)>,
    ) -> u32 {
        let old = replaced.map(|number| *self.branch(number));
        let inline = inline | old.map_or(0, |old| old.inline & mask & !new);
        let block = match old {
            // Most changes reach one child of a branch: the others' lines are not touched.
            Some(old) if old.mask == mask => {
                for (nibble, child) in bits(new).zip(&mut children) {
                    if let Some(place) = Branch::place(mask, nibble) {
                        self.set(old.block as usize + place, child);
                    }
                }
                old.block
            }
            _ => {
                let block = self.block(mask.count_ones() as usize);
                for (at, nibble) in (block as usize..).zip(bits(mask)) {
                    let kept = old.filter(|_| new >> nibble & 1 == 0);
                    let child = match kept.and_then(|old| Some(old.block as usize + Branch::place(old.mask, nibble)?)) {
                        Some(at) => Some((self.refs[at], self.cells[at])),
                        None => children.next(),
                    };
                    child.into_iter().for_each(|child| self.set(at, child));
                }
                old.into_iter().for_each(|old| self.free_block(&old));
                block
            }
        };
        let branch = Branch { mask, inline, depth, block };
        let free = replaced.or_else(|| self.free_branches.pop());
        if let Some(number) = free {
            self.branches[number as usize] = branch;
            return number;
        }
        self.branches.push(branch);
        narrow(self.branches.len() - 1)
    }

    fn block(&mut self, size: usize) -> u32 {
        if let Some(block) = self.free_blocks[size].pop() {
            return block;
        }
        let mut start = self.refs.len();
        while !Segments::<Ref>::is_whole(&(start..start + size)) {
            start += 1;
        }
        // Too few places were left in the segment; a smaller block may use them.
        let left = start - self.refs.len();
        if left > 0 {
            self.free_blocks[left].push(self.refs.len() as u32);
        }
        while self.refs.len() < start + size {
            self.refs.push(Ref::branch(0));
            self.cells.push(B256::ZERO);
        }
        assert!(u32::try_from(start + size).is_ok(), "the branches of all tries have at most 2^32 children");
        start as u32
    }

    fn set(&mut self, at: usize, (child, cell): (Ref, B256)) {
        self.refs[at] = child;
        self.cells[at] = cell;
    }

    fn free_block(&mut self, branch: &Branch) {
        self.free_blocks[branch.mask.count_ones() as usize].push(branch.block);
    }

    pub(super) fn free(&mut self, number: u32) {
        let branch = *self.branch(number);
        self.free_block(&branch);
        self.free_branches.push(number);
    }

    /// Some leaf below `node`.
    pub(super) fn any_leaf(&self, mut node: Ref) -> Ref {
        loop {
            match node.node() {
                Node::Leaf(_) | Node::Cold => return node,
                Node::Branch(number) => node = self.child(self.branch(number), 0),
            }
        }
    }

    /// Branches, and places of children, that are not free.
    #[cfg(test)]
    pub(super) fn live(&self) -> (usize, usize) {
        let free: usize = self.free_blocks.iter().enumerate().map(|(size, blocks)| size * blocks.len()).sum();
        (self.branches.len() - self.free_branches.len(), self.refs.len() - free)
    }

    /// Bytes in use, free places included.
    pub(super) fn bytes(&self) -> usize {
        let free: usize = self.free_blocks.iter().map(Vec::len).sum::<usize>() + self.free_branches.len();
        self.branches.len() * size_of::<Branch>() + self.refs.len() * (4 + 32) + free * 4
    }
}
