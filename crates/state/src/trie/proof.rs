//! The nodes that prove a key's value, or that it has none.
//!
//! Invariant: the same nodes as `interlace_trie::account_proof` and `storage_proofs` give, without a look at the other leaves.
//! Source: EIP-1186; a node shorter than 32 bytes stands in its parent and is not listed; a root is never shorter.

use alloy_primitives::{B256, Bytes, keccak256};

use super::arena::Branch;
use super::node::{Cell, Node, SHORTEST, fork, nibble, put_branch, put_extension, put_leaf};
use super::{Forest, Source, Trie};

impl Forest {
    /// Nodes on the way to `key`, root first; none for an empty trie.
    pub(crate) fn prove<S: Source>(&self, source: &S, trie: Trie, key: &B256) -> Vec<Bytes> {
        let mut nodes: Vec<Bytes> = Vec::new();
        let mut list = |node: Vec<u8>| {
            if node.len() >= SHORTEST {
                nodes.push(node.into());
            }
        };
        let (mut next, mut from) = (trie.root, 0);
        while let Some(node) = next {
            let mut bytes = Vec::with_capacity(532);
            match node.node() {
                Node::Leaf(leaf) => {
                    let (own, value) = source.leaf(leaf);
                    put_leaf(&mut bytes, &own, from, &value);
                    list(bytes);
                    break;
                }
                Node::Branch(number) => {
                    let branch = self.arena.branch(number);
                    let depth = usize::from(branch.depth);
                    put_branch(&mut bytes, branch.mask, self.arena.cells(branch));
                    if depth > from {
                        let cell =
                            if bytes.len() < SHORTEST { Cell::inline(&bytes) } else { Cell::hash(keccak256(&bytes)) };
                        let (own, _) = source.leaf(self.arena.any_leaf(node));
                        let mut extension = Vec::with_capacity(70);
                        put_extension(&mut extension, &own, from, depth, &cell);
                        list(extension);
                        if fork(&own, key, from) < depth {
                            break;
                        }
                    }
                    list(bytes);
                    let place = Branch::place(branch.mask, nibble(key, depth));
                    next = place.map(|place| self.arena.child(branch, place));
                    from = depth + 1;
                }
            }
        }
        nodes
    }

    /// The value of `key`, if it has one.
    pub(crate) fn get<S: Source>(&self, source: &S, trie: Trie, key: &B256) -> Option<S::Value> {
        let mut node = trie.root?;
        loop {
            match node.node() {
                Node::Leaf(leaf) => {
                    let (own, value) = source.leaf(leaf);
                    return (own == *key).then_some(value);
                }
                Node::Branch(number) => {
                    let branch = self.arena.branch(number);
                    let place = Branch::place(branch.mask, nibble(key, usize::from(branch.depth)))?;
                    node = self.arena.child(branch, place);
                }
            }
        }
    }
}
