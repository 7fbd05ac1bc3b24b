//! A partial trie built from proof nodes: read, change and hash it without the rest of the state.
//!
//! Invariant: starting from a root and any set of nodes, every answer and every new root is the one of the full trie, or
//! an error that names the node that is missing; a call that fails changes nothing.
//! Source: yellow paper, appendix D. Nodes are addressed by hash, so foreign nodes can be useless but never harmful.
//! What it does not do: it hashes no keys (callers bring keccak(address) or keccak(slot)) and prunes nothing.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use alloy_primitives::{B256, keccak256};
use alloy_trie::EMPTY_ROOT_HASH;

use crate::error::TrieError;
use crate::node::{Node, WIDTH, unpack};

/// Longest key in bytes. Ethereum's are 32; the bound keeps the recursion shallow.
pub const MAX_KEY_BYTES: usize = 64;

/// A Merkle-Patricia trie of which only some nodes are known.
#[derive(Clone, Debug, Default)]
pub struct SparseTrie {
    root: Node,
    witness: Witness,
}

/// Nodes by hash; shared, so that copies of a trie are cheap.
#[derive(Clone, Debug, Default)]
struct Witness(Arc<BTreeMap<B256, Vec<u8>>>);

impl Witness {
    /// The node behind `hash`.
    fn load(&self, hash: B256, path: &[u8]) -> Result<Node, TrieError> {
        if hash == EMPTY_ROOT_HASH && path.is_empty() {
            return Ok(Node::Empty);
        }
        let bytes = self.0.get(&hash).ok_or_else(|| TrieError::MissingNode { hash, path: path.to_vec() })?;
        Node::decode(bytes).map_err(|reason| TrieError::BadNode { path: path.to_vec(), reason })
    }

    /// Replaces a hash by the node behind it.
    fn resolve(&self, node: &mut Node, path: &[u8]) -> Result<(), TrieError> {
        if let Node::Hash(hash) = *node {
            *node = self.load(hash, path)?;
        }
        Ok(())
    }

    /// As `resolve`, for the child of an extension, which is a branch in every canonical trie.
    fn resolve_branch(&self, node: &mut Node, path: &[u8]) -> Result<(), TrieError> {
        self.resolve(node, path)?;
        match node {
            Node::Branch { .. } => Ok(()),
            _ => Err(TrieError::BadNode { path: path.to_vec(), reason: "behind an extension stands a branch" }),
        }
    }
}

impl SparseTrie {
    /// The trie with this root, of which `nodes` are known (proofs, in any order, repetitions allowed).
    pub fn new(root: B256, nodes: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Self {
        let mut trie = Self { root: Node::Hash(root), witness: Witness::default() };
        trie.add_nodes(nodes);
        trie
    }

    /// Makes more nodes known. A node that no hash of this trie leads to is never looked at.
    pub fn add_nodes(&mut self, nodes: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        let known = Arc::make_mut(&mut self.witness.0);
        for node in nodes {
            let node = node.as_ref();
            known.entry(keccak256(node)).or_insert_with(|| node.to_vec());
        }
    }

    /// The root hash of the trie as it is now.
    pub fn root(&self) -> B256 {
        match &self.root {
            Node::Empty => EMPTY_ROOT_HASH,
            Node::Hash(hash) => *hash,
            node => keccak256(node.encode()),
        }
    }

    /// The value of `key`, or `None` when the trie proves that there is none.
    ///
    /// # Errors
    /// A node on the way is missing or malformed, or the key is longer than [`MAX_KEY_BYTES`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, TrieError> {
        let path = path_of(key)?;
        self.get_below(&self.root, &path, 0)
    }

    /// Sets the value of `key`; an empty value removes it, as everywhere in Ethereum.
    ///
    /// # Errors
    /// A node on the way is missing or malformed, or the key is longer than [`MAX_KEY_BYTES`]; nothing is changed then.
    pub fn insert(&mut self, key: &[u8], value: Vec<u8>) -> Result<(), TrieError> {
        if value.is_empty() {
            return self.remove(key).map(|_| ());
        }
        let path = path_of(key)?;
        insert_below(&self.witness, &mut self.root, &path, 0, value)
    }

    /// Removes `key`; says whether it was there.
    ///
    /// # Errors
    /// As for `insert`; also when a branch is left with one child that the witness does not hold: that child's bytes
    /// decide the new shape, so its hash is not enough.
    pub fn remove(&mut self, key: &[u8]) -> Result<bool, TrieError> {
        let path = path_of(key)?;
        self.witness.resolve(&mut self.root, &[])?;
        if matches!(&self.root, Node::Leaf { path: end, .. } if *end == path) {
            self.root = Node::Empty;
            return Ok(true);
        }
        remove_below(&self.witness, &mut self.root, &path, 0)
    }

    fn get_below(&self, node: &Node, path: &[u8], depth: usize) -> Result<Option<Vec<u8>>, TrieError> {
        let (walked, rest) = split(path, depth);
        match node {
            Node::Empty => Ok(None),
            Node::Hash(hash) => self.get_below(&self.witness.load(*hash, walked)?, path, depth),
            Node::Leaf { path: end, value } => Ok((end == rest).then(|| value.clone())),
            Node::Extension { path: shared, child } if rest.starts_with(shared) => {
                let depth = depth + shared.len();
                if let Node::Hash(hash) = **child {
                    let mut branch = Node::Hash(hash);
                    self.witness.resolve_branch(&mut branch, split(path, depth).0)?;
                    return self.get_below(&branch, path, depth);
                }
                self.get_below(child, path, depth)
            }
            Node::Extension { .. } => Ok(None),
            Node::Branch { children, value } => match rest.first() {
                None => Ok((!value.is_empty()).then(|| value.clone())),
                Some(nibble) => self.get_below(&children[usize::from(*nibble)], path, depth + 1),
            },
        }
    }
}

fn path_of(key: &[u8]) -> Result<Vec<u8>, TrieError> {
    if key.len() > MAX_KEY_BYTES {
        return Err(TrieError::KeyTooLong { length: key.len(), limit: MAX_KEY_BYTES });
    }
    Ok(unpack(key))
}

/// What was walked and what remains of a path; a depth beyond the end leaves nothing.
fn split(path: &[u8], depth: usize) -> (&[u8], &[u8]) {
    path.split_at_checked(depth).unwrap_or((path, &[]))
}

fn shared_length(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// `node` behind the path `shared`, or `node` itself when there is none.
fn extend(shared: &[u8], node: Node) -> Node {
    if shared.is_empty() { node } else { Node::Extension { path: shared.to_vec(), child: Box::new(node) } }
}

fn insert_below(
    witness: &Witness,
    node: &mut Node,
    path: &[u8],
    depth: usize,
    value: Vec<u8>,
) -> Result<(), TrieError> {
    let (walked, rest) = split(path, depth);
    witness.resolve(node, walked)?;
    match node {
        // `resolve` left no hash here.
        Node::Empty | Node::Hash(_) => *node = Node::Leaf { path: rest.to_vec(), value },
        Node::Leaf { path: end, value: old } if end == rest => *old = value,
        Node::Leaf { path: end, value: old } => {
            let (end, old) = (mem::take(end), mem::take(old));
            let shared = shared_length(&end, rest);
            let mut fork = Fork::default();
            fork.put(&end[shared..], |path| Node::Leaf { path, value: old.clone() }, &old);
            fork.put(&rest[shared..], |path| Node::Leaf { path, value: value.clone() }, &value);
            *node = extend(&rest[..shared], fork.into_node());
        }
        Node::Extension { path: along, child } => {
            let shared = shared_length(along, rest);
            if shared == along.len() {
                let depth = depth + shared;
                witness.resolve_branch(child, split(path, depth).0)?;
                return insert_below(witness, child, path, depth, value);
            }
            let (along, child) = (mem::take(along), mem::take(&mut **child));
            let mut fork = Fork::default();
            fork.put(&along[shared..], |path| extend(&path, child.clone()), &[]);
            fork.put(&rest[shared..], |path| Node::Leaf { path, value: value.clone() }, &value);
            *node = extend(&rest[..shared], fork.into_node());
        }
        Node::Branch { children, value: here } => match rest.first() {
            None => *here = value,
            Some(nibble) => {
                return insert_below(witness, &mut children[usize::from(*nibble)], path, depth + 1, value);
            }
        },
    }
    Ok(())
}

/// A branch in the making.
#[derive(Default)]
struct Fork {
    children: Box<[Node; WIDTH]>,
    value: Vec<u8>,
}

impl Fork {
    /// Hangs what `build` makes of the path behind the first nibble; a path that ends here leaves `value` here.
    fn put(&mut self, path: &[u8], build: impl FnOnce(Vec<u8>) -> Node, value: &[u8]) {
        match path.split_first() {
            Some((nibble, rest)) => self.children[usize::from(*nibble)] = build(rest.to_vec()),
            None => self.value = value.to_vec(),
        }
    }

    fn into_node(self) -> Node {
        Node::Branch { children: self.children, value: self.value }
    }
}

/// Removes `path` below `node`, which is not itself the leaf to be removed (its parent, or `remove`, sees to that).
fn remove_below(witness: &Witness, node: &mut Node, path: &[u8], depth: usize) -> Result<bool, TrieError> {
    let (walked, rest) = split(path, depth);
    match node {
        Node::Empty | Node::Hash(_) | Node::Leaf { .. } => Ok(false),
        Node::Extension { path: shared, .. } if !rest.starts_with(shared) => Ok(false),
        Node::Extension { path: shared, child } => {
            let depth = depth + shared.len();
            witness.resolve_branch(child, split(path, depth).0)?;
            let removed = remove_below(witness, child, path, depth)?;
            // The branch may have collapsed into something that has a path of its own.
            let merged = prepend(shared, mem::take(&mut **child));
            *node = merged;
            Ok(removed)
        }
        Node::Branch { children, value } => {
            let Some((nibble, after)) = rest.split_first() else {
                if value.is_empty() {
                    return Ok(false);
                }
                resolve_last(witness, children, None, walked)?;
                value.clear();
                collapse(node);
                return Ok(true);
            };
            let index = usize::from(*nibble);
            witness.resolve(&mut children[index], split(path, depth + 1).0)?;
            if !matches!(&children[index], Node::Leaf { path: end, .. } if end == after) {
                return remove_below(witness, &mut children[index], path, depth + 1);
            }
            if value.is_empty() {
                // Before anything changes: if one child will be left, its bytes are needed.
                resolve_last(witness, children, Some(index), walked)?;
            }
            children[index] = Node::Empty;
            collapse(node);
            Ok(true)
        }
    }
}

/// Resolves the only child besides `leaving`, if there is exactly one.
fn resolve_last(
    witness: &Witness,
    children: &mut [Node; WIDTH],
    leaving: Option<usize>,
    walked: &[u8],
) -> Result<(), TrieError> {
    let mut others =
        children.iter_mut().zip(0u8..).filter(|(child, i)| Some(usize::from(*i)) != leaving && !child.is_empty());
    if let (Some((child, nibble)), None) = (others.next(), others.next()) {
        let path: Vec<u8> = walked.iter().copied().chain([nibble]).collect();
        witness.resolve(child, &path)?;
    }
    Ok(())
}

/// Turns a branch with a single entry into what stands for it in a canonical trie.
fn collapse(node: &mut Node) {
    let Node::Branch { children, value } = node else { return };
    let mut entries = children.iter_mut().zip(0u8..).filter(|(child, _)| !child.is_empty());
    let merged = match (entries.next(), entries.next(), value.is_empty()) {
        (Some((child, nibble)), None, true) => prepend(&[nibble], mem::take(child)),
        (None, _, false) => Node::Leaf { path: Vec::new(), value: mem::take(value) },
        _ => return,
    };
    *node = merged;
}

/// `node` with `shared` in front of it: paths merge, a branch gets an extension.
fn prepend(shared: &[u8], node: Node) -> Node {
    match node {
        Node::Leaf { path, value } => Node::Leaf { path: [shared, &path].concat(), value },
        Node::Extension { path, child } => Node::Extension { path: [shared, &path].concat(), child },
        other => extend(shared, other),
    }
}
