//! What a trie's nodes are, and their bytes.
//!
//! Invariant: keys are 32 bytes, so a branch never has a value of its own and a leaf's path is never empty but at depth 64.
//! Source: yellow paper, appendix C (hex prefix) and D (composition); a node shorter than 32 bytes stands in its parent.

use alloy_primitives::B256;
use alloy_rlp::{Encodable, Header};

/// Nibbles of a key.
pub(super) const NIBBLES: usize = 64;
/// A node of fewer bytes stands in its parent. A root is never shorter: it holds all of a key, or the hashes of those that do.
pub(super) const SHORTEST: usize = 32;
/// Children of a branch at most.
pub(super) const WIDTH: usize = 16;

/// A leaf's or a branch's number, or a leaf that is found by its path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ref(u32);

/// What a [`Ref`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Leaf(u32),
    /// A leaf without a handle.
    Cold,
    Branch(u32),
}

impl Ref {
    const LEAF: u32 = 1 << 31;
    /// A leaf of which nothing is known here but where in the trie it is.
    pub(super) const COLD: Self = Self(u32::MAX);

    pub(super) const fn leaf(number: u32) -> Self {
        Self(number | Self::LEAF)
    }

    pub(super) const fn branch(number: u32) -> Self {
        Self(number)
    }

    pub(super) const fn node(self) -> Node {
        if self.0 == Self::COLD.0 {
            return Node::Cold;
        }
        if self.0 & Self::LEAF == 0 { Node::Branch(self.0) } else { Node::Leaf(self.0 & !Self::LEAF) }
    }
}

impl std::fmt::Debug for Ref {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.node().fmt(f)
    }
}

/// Nibble `at` of `key`.
pub(super) fn nibble(key: &B256, at: usize) -> usize {
    let byte = key[at / 2];
    usize::from(if at.is_multiple_of(2) { byte >> 4 } else { byte & 0x0f })
}

/// `key` with another nibble at `at`.
pub(super) fn with_nibble(key: &B256, at: usize, nibble: usize) -> B256 {
    let mut key = *key;
    let (kept, shift) = if at.is_multiple_of(2) { (0x0f, 4) } else { (0xf0, 0) };
    key[at / 2] = key[at / 2] & kept | (nibble as u8) << shift;
    key
}

/// The first nibble at or after `from` in which two keys differ; [`NIBBLES`] if there is none.
pub(super) fn fork(one: &B256, other: &B256, from: usize) -> usize {
    let differs = |at: &usize| nibble(one, *at) != nibble(other, *at);
    (from..NIBBLES).find(differs).unwrap_or(NIBBLES)
}

/// A child as its parent holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cell {
    /// A hash, or the bytes of a node that is shorter, from the left.
    pub(super) bytes: B256,
    pub(super) is_inline: bool,
}

impl Cell {
    pub(super) const fn hash(bytes: B256) -> Self {
        Self { bytes, is_inline: false }
    }

    /// A node of less than 32 bytes.
    pub(super) fn inline(node: &[u8]) -> Self {
        let mut bytes = B256::ZERO;
        bytes[..node.len()].copy_from_slice(node);
        Self { bytes, is_inline: true }
    }

    fn encoded_len(&self) -> usize {
        // A list of up to 55 bytes says its length in its first byte.
        if self.is_inline { usize::from(self.bytes[0] - 0xc0) + 1 } else { 33 }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        if self.is_inline {
            out.extend_from_slice(&self.bytes[..self.encoded_len()]);
        } else {
            out.push(0xa0);
            out.extend_from_slice(self.bytes.as_slice());
        }
    }
}

/// Nibbles `from` to `to` of `key` in hex prefix form.
#[derive(Clone, Copy)]
struct Path<'a> {
    key: &'a B256,
    from: usize,
    to: usize,
    is_leaf: bool,
}

impl Path<'_> {
    const fn len(&self) -> usize {
        (self.to - self.from) / 2 + 1
    }

    /// Its length as an item: a single byte is below 0x80, and so its own encoding.
    const fn encoded_len(&self) -> usize {
        if self.len() == 1 { 1 } else { 1 + self.len() }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        if self.len() > 1 {
            out.push(0x80 + u8::try_from(self.len()).unwrap_or_default());
        }
        let flag = if self.is_leaf { 0x20 } else { 0 };
        let mut at = self.from;
        if (self.to - self.from) % 2 == 1 {
            out.push(flag | 0x10 | u8::try_from(nibble(self.key, at)).unwrap_or_default());
            at += 1;
        } else {
            out.push(flag);
        }
        // An even number of nibbles is left: whole bytes, if the first of them begins one.
        if at.is_multiple_of(2) {
            out.extend_from_slice(&self.key[at / 2..self.to / 2]);
            return;
        }
        while at < self.to {
            out.push(u8::try_from(nibble(self.key, at) << 4 | nibble(self.key, at + 1)).unwrap_or_default());
            at += 2;
        }
    }
}

fn list(out: &mut Vec<u8>, payload_length: usize) {
    Header { list: true, payload_length }.encode(out);
}

/// Appends the leaf of `key` below depth `from`.
pub(super) fn put_leaf(out: &mut Vec<u8>, key: &B256, from: usize, value: &impl Encodable) {
    let path = Path { key, from, to: NIBBLES, is_leaf: true };
    let length = value.length();
    // The value stands as a string in the list. One byte long, it is a small integer, and its own encoding.
    let header = if length == 1 { 0 } else { Header { list: false, payload_length: length }.length() };
    list(out, path.encoded_len() + header + length);
    path.encode(out);
    if header > 0 {
        Header { list: false, payload_length: length }.encode(out);
    }
    value.encode(out);
}

/// Appends a branch with the children of `mask`, lowest nibble first.
pub(super) fn put_branch(out: &mut Vec<u8>, mask: u16, children: impl Iterator<Item = Cell> + Clone) {
    let empty = WIDTH - mask.count_ones() as usize;
    let full: usize = children.clone().map(|cell| cell.encoded_len()).sum();
    list(out, full + empty + 1);
    let mut children = children;
    for nibble in 0..WIDTH {
        match (mask >> nibble & 1 == 1).then(|| children.next()).flatten() {
            Some(cell) => cell.encode(out),
            None => out.push(0x80),
        }
    }
    out.push(0x80);
}

/// Appends the extension over nibbles `from` to `to` of `key`, above `child`.
pub(super) fn put_extension(out: &mut Vec<u8>, key: &B256, from: usize, to: usize, child: &Cell) {
    let path = Path { key, from, to, is_leaf: false };
    list(out, path.encoded_len() + child.encoded_len());
    path.encode(out);
    child.encode(out);
}
