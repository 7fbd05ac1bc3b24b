//! Branches and leaves of any number of tries, in a few large arrays.
//!
//! A branch's children lie side by side in a block of exactly as many places; a block or number that is given up is used
//! again by the next one that needs its size. Extensions are not stored: a child that branches deeper than its parent's next
//! nibble has one above it, whose nibbles any leaf below tells.
//!
//! Invariant: a branch has two children or more. What is freed is named by nobody.
//! Bounds: 2^31 leaves, as many branches, 2^32 children (some 240 GB); memory ends before.

use alloy_primitives::B256;

use super::node::{Cell, Node, Ref, WIDTH};

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

/// All branches.
#[derive(Debug, Default)]
pub(super) struct Arena {
    branches: Vec<Branch>,
    free_branches: Vec<u32>,
    refs: Vec<Ref>,
    cells: Vec<B256>,
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

    /// The children of a branch: what they are, and how their parent holds them; lowest nibble first.
    pub(super) fn children(&self, branch: &Branch) -> impl Iterator<Item = (Ref, Cell)> + Clone {
        let start = branch.block as usize;
        let end = start + branch.mask.count_ones() as usize;
        let pairs = self.refs[start..end].iter().zip(&self.cells[start..end]);
        let mut rest = branch.mask;
        pairs.map(move |(child, bytes)| {
            let nibble = rest.trailing_zeros();
            rest &= rest.wrapping_sub(1);
            (*child, Cell { bytes: *bytes, is_inline: branch.inline >> nibble & 1 == 1 })
        })
    }

    pub(super) fn cells(&self, branch: &Branch) -> impl Iterator<Item = Cell> + Clone {
        self.children(branch).map(|(_, cell)| cell)
    }

    /// The child at a place.
    pub(super) fn child(&self, branch: &Branch, place: usize) -> Ref {
        self.refs[branch.block as usize + place]
    }

    /// Stores a branch, in the place of `replaced` if there is one.
    pub(super) fn put(
        &mut self,
        replaced: Option<u32>,
        (depth, mask, inline): (u8, u16, u16),
        children: impl Iterator<Item = (Ref, B256)>,
    ) -> u32 {
        let size = mask.count_ones() as usize;
        let old = replaced.map(|number| *self.branch(number));
        let block = match old {
            Some(old) if old.mask.count_ones() as usize == size => old.block,
            _ => {
                if let Some(old) = old {
                    self.free_blocks[old.mask.count_ones() as usize].push(old.block);
                }
                self.block(size)
            }
        };
        let start = block as usize;
        let places = self.refs[start..start + size].iter_mut().zip(&mut self.cells[start..start + size]);
        for ((child, cell), (new_child, new_cell)) in places.zip(children) {
            *child = new_child;
            *cell = new_cell;
        }
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
        let start = self.refs.len();
        self.refs.resize(start + size, Ref::branch(0));
        self.cells.resize(start + size, B256::ZERO);
        assert!(u32::try_from(start + size).is_ok(), "the branches of all tries have at most 2^32 children");
        start as u32
    }

    pub(super) fn free(&mut self, number: u32) {
        let branch = *self.branch(number);
        self.free_blocks[branch.mask.count_ones() as usize].push(branch.block);
        self.free_branches.push(number);
    }

    /// The number of some leaf below `node`.
    pub(super) fn any_leaf(&self, mut node: Ref) -> u32 {
        loop {
            match node.node() {
                Node::Leaf(leaf) => return leaf,
                Node::Branch(number) => node = self.child(self.branch(number), 0),
            }
        }
    }

    /// Branches that are not free.
    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.branches.len() - self.free_branches.len()
    }

    /// Bytes in use, free places included.
    pub(super) fn bytes(&self) -> usize {
        let free: usize = self.free_blocks.iter().map(Vec::len).sum::<usize>() + self.free_branches.len();
        self.branches.len() * size_of::<Branch>() + self.refs.len() * (4 + 32) + free * 4
    }
}

/// Keys and values of leaves.
#[derive(Debug)]
pub(super) struct Leaves<V> {
    entries: Vec<(B256, V)>,
    free: Vec<u32>,
}

impl<V> Default for Leaves<V> {
    fn default() -> Self {
        Self { entries: Vec::new(), free: Vec::new() }
    }
}

impl<V> Leaves<V> {
    pub(super) fn key(&self, leaf: u32) -> &B256 {
        &self.entries[leaf as usize].0
    }

    pub(super) fn value(&self, leaf: u32) -> &V {
        &self.entries[leaf as usize].1
    }

    pub(super) fn set(&mut self, leaf: u32, value: V) {
        self.entries[leaf as usize].1 = value;
    }

    pub(super) fn add(&mut self, key: B256, value: V) -> u32 {
        if let Some(leaf) = self.free.pop() {
            self.entries[leaf as usize] = (key, value);
            return leaf;
        }
        self.entries.push((key, value));
        narrow(self.entries.len() - 1)
    }

    pub(super) fn free(&mut self, leaf: u32) {
        self.free.push(leaf);
    }

    /// Leaves that are not free.
    #[cfg(test)]
    pub(super) fn live(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.entries.len() * size_of::<(B256, V)>() + self.free.len() * 4
    }
}
