//! The trace of a run: a Merkle root over every value that it computed, which a referee can be led through.
//!
//! Elements (little-endian, row-major) are cut into tiles of [`TILE_BYTES`]. A value's root is over its tiles; the trace's
//! root is over the values' roots, in their order. Four hashes are one (they and a tag fill one block of keccak), a last one that
//! is alone goes up unchanged, and each kind of hash has a tag of its own, so no tile passes for a node and no value for a trace.
//!
//! The sums of a product that only requantisations read are not published: their root is zero. The referee computes the
//! sum and its requantisation as one. Sums have four bytes where the results have one, so this is most of the hashing.
//!
//! Invariant: the root is a function of the program and the input; `spec/trace.py` computes the same. Source:
//! docs/disputes.md. What it does not do: it decides nothing, and keeps no more than one run.

use crate::{
    Error, Op, Path, Program, Scratch,
    tensor::{Data, Tensor, write_i32},
};
use alloc::{vec, vec::Vec};
use alloy_primitives::{B256, FixedBytesSliceExt as _};
use interlace_keccak::{Hasher, Messages};

/// Bytes of elements under one leaf; the last tile of a value may have fewer.
pub const TILE_BYTES: usize = 256;
/// Hashes under one.
const ARITY: usize = 4;
const TILE_TAG: u8 = 2;
const NODE_TAG: u8 = 3;
const VALUES_TAG: u8 = 4;
/// Tiles that are copied before they are hashed.
const AT_ONCE: usize = 64;

/// A Merkle tree: the leaves, and each level above them up to the root.
#[derive(Debug)]
struct Tree {
    levels: Vec<Vec<B256>>,
}

impl Tree {
    fn new(leaves: Vec<B256>, tag: u8) -> Self {
        let mut trees = [Self { levels: vec![leaves] }];
        grow(&mut trees, tag);
        let [tree] = trees;
        tree
    }

    fn root(&self) -> B256 {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_default()
    }

    /// The siblings on the way from `leaf` to the root, level by level, in their order.
    fn path(&self, leaf: usize) -> Vec<B256> {
        let mut place = leaf;
        let mut found = Vec::new();
        for level in &self.levels {
            let first = place - place % ARITY;
            let group = level.iter().enumerate().skip(first).take(ARITY);
            found.extend(group.filter(|(at, _)| *at != place).map(|(_, hash)| *hash));
            place /= ARITY;
        }
        found
    }
}

/// Adds the levels above the leaves of all trees, a level of all of them at a time.
///
/// The hash above one other is the same.
fn grow(trees: &mut [Tree], tag: u8) {
    let mut messages = Messages::default();
    loop {
        let tops = trees.iter().filter_map(|tree| tree.levels.last()).filter(|level| level.len() > 1);
        for group in tops.flat_map(|level| level.chunks(ARITY)).filter(|group| group.len() > 1) {
            add(&mut messages, tag, group.as_flattened());
        }
        if messages.is_empty() {
            return;
        }
        let mut hashes = Hasher::default().hash(&messages).into_iter();
        messages.clear();
        for tree in trees.iter_mut() {
            let Some(level) = tree.levels.last().filter(|level| level.len() > 1) else { continue };
            let above =
                level.chunks(ARITY).filter_map(|group| if let [only] = group { Some(*only) } else { hashes.next() });
            let above = above.collect();
            tree.levels.push(above);
        }
    }
}

/// Adds a tag and what it is the tag of.
fn add(messages: &mut Messages, tag: u8, body: &[u8]) {
    // Without a least length no message is given back.
    let _ = messages.push(0, |out| {
        out.push(tag);
        out.extend_from_slice(body);
    });
}

/// What a run computed, and the hashes over it.
#[derive(Debug)]
pub struct Trace {
    values: Vec<(Data, Option<Tree>)>,
    tree: Tree,
    output: Tensor,
}

impl Trace {
    /// Root over the roots of all values.
    #[must_use]
    pub fn root(&self) -> B256 {
        self.tree.root()
    }

    /// The program's output.
    #[must_use]
    pub const fn output(&self) -> &Tensor {
        &self.output
    }

    /// Root of each value, zero for one that is not published; the first is the input's.
    #[must_use]
    pub fn roots(&self) -> &[B256] {
        self.tree.levels.first().map_or(&[], Vec::as_slice)
    }

    /// Hashes of a level of a value's tree, from the tiles up; `None` where there is no such value or level.
    #[must_use]
    pub fn hashes(&self, value: usize, level: usize) -> Option<&[B256]> {
        self.values.get(value)?.1.as_ref()?.levels.get(level).map(Vec::as_slice)
    }

    /// Bytes of a tile of a published value.
    #[must_use]
    pub fn tile(&self, value: usize, tile: usize) -> Option<Vec<u8>> {
        let (data, tree) = self.values.get(value)?;
        let mut buffer = [0; TILE_BYTES];
        (tile < tree.as_ref()?.levels.first()?.len()).then(|| tile_bytes(data, tile, &mut buffer).to_vec())
    }

    /// Siblings from a tile to its value's root; `None` where there is no such tile.
    #[must_use]
    pub fn tile_path(&self, value: usize, tile: usize) -> Option<Vec<B256>> {
        let tree = self.values.get(value)?.1.as_ref()?;
        (tile < tree.levels.first()?.len()).then(|| tree.path(tile))
    }

    /// Siblings from a value's root to the trace's.
    #[must_use]
    pub fn value_path(&self, value: usize) -> Option<Vec<B256>> {
        (value < self.values.len()).then(|| self.tree.path(value))
    }
}

/// The elements of a tile.
fn tile_bytes<'a>(data: &Data, tile: usize, body: &'a mut [u8; TILE_BYTES]) -> &'a [u8] {
    let length = match data {
        Data::I8(values) => {
            let rest = values.get(tile * TILE_BYTES..).unwrap_or_default();
            body.iter_mut().zip(rest).for_each(|(to, from)| *to = from.cast_unsigned());
            rest.len().min(TILE_BYTES)
        }
        Data::I32(values) => {
            let rest = values.get(tile * (TILE_BYTES / 4)..).unwrap_or_default();
            write_i32(rest, body);
            (4 * rest.len()).min(TILE_BYTES)
        }
    };
    &body[..length]
}

/// The trees of what is published.
fn value_trees(values: &[(Data, Option<usize>)]) -> Vec<Tree> {
    let mut buffer = [0; TILE_BYTES];
    let (mut messages, mut hashes, hasher) = (Messages::default(), Vec::new(), Hasher::default());
    for (data, bytes) in values {
        for tile in 0..bytes.unwrap_or_default().div_ceil(TILE_BYTES) {
            add(&mut messages, TILE_TAG, tile_bytes(data, tile, &mut buffer));
            if messages.len() == AT_ONCE {
                hashes.append(&mut hasher.hash(&messages));
                messages.clear();
            }
        }
    }
    hashes.append(&mut hasher.hash(&messages));
    let mut hashes = hashes.into_iter();
    let published = values.iter().filter_map(|(_, bytes)| *bytes);
    let leaves = published.map(|bytes| hashes.by_ref().take(bytes.div_ceil(TILE_BYTES)).collect());
    let mut trees: Vec<_> = leaves.map(|leaves| Tree { levels: vec![leaves] }).collect();
    grow(&mut trees, NODE_TAG);
    trees
}

impl Program {
    /// Runs the program on the fastest path and commits to what it computed.
    ///
    /// # Errors
    /// As for [`Program::run`].
    pub fn trace(&self, input: &Tensor) -> Result<Trace, Error> {
        let mut scratch = Scratch::default();
        let output = self.run_on(Path::best(), input, &mut scratch)?;
        let hidden = self.hidden();
        let values = scratch.into_values(output.data());
        let values: Vec<_> = values
            .zip(self.types())
            .zip(hidden)
            .map(|((data, ty), hidden)| (data, (!hidden).then_some(ty.data_bytes())))
            .collect();
        let mut trees = value_trees(&values).into_iter();
        let values: Vec<_> = values.into_iter().map(|(data, bytes)| (data, bytes.and_then(|_| trees.next()))).collect();
        let roots = values.iter().map(|(_, tree)| tree.as_ref().map_or(B256::ZERO, Tree::root)).collect();
        Ok(Trace { values, tree: Tree::new(roots, VALUES_TAG), output })
    }

    /// Which values are not published: sums of products that only requantisations read.
    fn hidden(&self) -> Vec<bool> {
        let nodes = &self.graph().nodes;
        let product = |op: &Op| matches!(op, Op::MatMul { .. } | Op::Conv2d { .. } | Op::Multiply { .. });
        let mut hidden = vec![false];
        hidden.extend(nodes.iter().map(|node| product(&node.op)));
        if let Some(last) = hidden.last_mut() {
            *last = false;
        }
        for node in nodes.iter().filter(|node| !matches!(node.op, Op::Requantise { .. })) {
            node.operands.iter().for_each(|&value| hidden[usize::from(value)] = false);
        }
        hidden
    }
}
