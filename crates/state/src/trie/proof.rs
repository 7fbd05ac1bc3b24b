//! The nodes that prove a key's value, or that it has none.
//!
//! Invariant: the same nodes as `interlace_trie::account_proof` and `storage_proofs` give, without a look at the other leaves.
//! Source: EIP-1186; a node shorter than 32 bytes stands in its parent and is not listed; a root is never shorter.

use alloy_primitives::{B256, Bytes, keccak256};

use super::arena::Branch;
use super::node::{Cell, Node, Ref, SHORTEST, fork, nibble, put_branch, put_extension, put_leaf};
use super::{Forest, Source, Trie, found};
use crate::error::StorageError;

impl Forest {
    /// Nodes on the way to `key`, root first; none for an empty trie.
    ///
    /// # Errors
    /// The source's.
    pub(crate) fn prove<S: Source>(
        &self,
        source: &S,
        owner: &B256,
        trie: Trie,
        key: &B256,
    ) -> Result<Vec<Bytes>, StorageError> {
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
                Node::Leaf(_) | Node::Cold => {
                    let (own, value) = self.look(source, owner, node, key, from)?;
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
                        let (own, _) = self.look(source, owner, node, key, from)?;
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
        Ok(nodes)
    }

    /// Key and value of a leaf below `node`, whose path has the first `nibbles` of `path`.
    fn look<S: Source>(
        &self,
        source: &S,
        owner: &B256,
        node: Ref,
        path: &B256,
        nibbles: usize,
    ) -> Result<(B256, S::Value), StorageError> {
        match self.arena.any_leaf(node).node() {
            Node::Leaf(leaf) => source.leaf(leaf),
            Node::Cold | Node::Branch(_) => found(source.cold(owner, path, nibbles)?),
        }
    }

    /// The value of `key`, if it has one.
    ///
    /// # Errors
    /// The source's.
    pub(crate) fn get<S: Source>(
        &self,
        source: &S,
        owner: &B256,
        trie: Trie,
        key: &B256,
    ) -> Result<Option<S::Value>, StorageError> {
        let (mut next, mut from) = (trie.root, 0);
        while let Some(node) = next {
            match node.node() {
                Node::Leaf(leaf) => {
                    let (own, value) = source.leaf(leaf)?;
                    return Ok((own == *key).then_some(value));
                }
                // The way may have left the key's along an extension; then nothing is there that has the key.
                Node::Cold => {
                    let leaf = source.cold(owner, key, from)?;
                    return Ok(leaf.filter(|(own, _)| own == key).map(|(_, value)| value));
                }
                Node::Branch(number) => {
                    let branch = self.arena.branch(number);
                    let depth = usize::from(branch.depth);
                    let place = Branch::place(branch.mask, nibble(key, depth));
                    next = place.map(|place| self.arena.child(branch, place));
                    from = depth + 1;
                }
            }
        }
        Ok(None)
    }
}
