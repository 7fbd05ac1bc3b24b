//! One trie node: its canonical bytes, both ways.
//!
//! Invariant: `decode` accepts exactly what `encode` can produce for some trie, so a decoded node is canonical: a branch
//! has two entries at least, an extension a path and a branch behind it, a leaf a value. No input makes it panic.
//! Source: yellow paper, appendix C (hex prefix) and D (nodes; a node shorter than 32 bytes stands inside its parent).
//! What it does not do: it follows no hash; that is the work of `sparse`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use alloy_primitives::{B256, keccak256};
use alloy_rlp::{EMPTY_STRING_CODE, Encodable, Header};

/// Children of a branch.
pub(crate) const WIDTH: usize = 16;

/// A node of a partial trie. Paths hold one nibble for each byte.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Node {
    /// Nothing below here.
    #[default]
    Empty,
    /// Something below here, known by its hash alone.
    Hash(B256),
    /// The end of a key and its value.
    Leaf { path: Vec<u8>, value: Vec<u8> },
    /// A path that all keys below share; `child` is a branch or the hash of one.
    Extension { path: Vec<u8>, child: Box<Node> },
    /// A fork; `value` belongs to the key that ends here.
    Branch { children: Box<[Node; WIDTH]>, value: Vec<u8> },
}

/// Why bytes are not a node.
pub(crate) type Refusal = &'static str;

impl Node {
    /// Reads one node that stands alone, as in a proof.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut rest = bytes;
        let node = Self::decode_list(&mut rest)?;
        if rest.is_empty() { Ok(node) } else { Err("bytes follow the node") }
    }

    fn decode_list(buf: &mut &[u8]) -> Result<Self, Refusal> {
        let header = Header::decode(buf).map_err(|_| "not RLP")?;
        if !header.list {
            return Err("a node is a list, this is a string");
        }
        let (payload, rest) = buf.split_at_checked(header.payload_length).ok_or("shorter than its length says")?;
        *buf = rest;
        match count_items(payload)? {
            2 => Self::decode_short(payload),
            17 => Self::decode_branch(payload),
            _ => Err("a node has 2 or 17 items"),
        }
    }

    fn decode_short(mut payload: &[u8]) -> Result<Self, Refusal> {
        let (path, is_leaf) = decode_path(string(&mut payload)?)?;
        if is_leaf {
            let value = string(&mut payload)?.to_vec();
            return if value.is_empty() { Err("a leaf without a value") } else { Ok(Self::Leaf { path, value }) };
        }
        let child = Self::decode_child(&mut payload)?;
        match child {
            _ if path.is_empty() => Err("an extension without a path"),
            Self::Hash(_) | Self::Branch { .. } => Ok(Self::Extension { path, child: Box::new(child) }),
            _ => Err("behind an extension stands a branch"),
        }
    }

    fn decode_branch(mut payload: &[u8]) -> Result<Self, Refusal> {
        let mut children = Box::<[Self; WIDTH]>::default();
        for child in children.iter_mut() {
            *child = Self::decode_child(&mut payload)?;
        }
        let value = string(&mut payload)?.to_vec();
        let entries = children.iter().filter(|child| !child.is_empty()).count() + usize::from(!value.is_empty());
        if entries < 2 { Err("a branch with fewer than two entries") } else { Ok(Self::Branch { children, value }) }
    }

    fn decode_child(buf: &mut &[u8]) -> Result<Self, Refusal> {
        if buf.first().is_some_and(|first| *first >= alloy_rlp::EMPTY_LIST_CODE) {
            let before = buf.len();
            let node = Self::decode_list(buf)?;
            return if before - buf.len() < B256::len_bytes() {
                Ok(node)
            } else {
                Err("a long node stands inside another")
            };
        }
        match string(buf)? {
            [] => Ok(Self::Empty),
            hash => {
                B256::try_from(hash).map(Self::Hash).map_err(|_| "a child is empty, a hash of 32 bytes or a short node")
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// The node's own RLP; empty and hashed nodes have none of their own and give what stands for them in a parent.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut payload = Vec::new();
        match self {
            Self::Empty => return alloc::vec![EMPTY_STRING_CODE],
            Self::Hash(hash) => return alloy_rlp::encode(hash),
            Self::Leaf { path, value } => {
                encode_path(path, true).as_slice().encode(&mut payload);
                value.as_slice().encode(&mut payload);
            }
            Self::Extension { path, child } => {
                encode_path(path, false).as_slice().encode(&mut payload);
                payload.extend(child.reference());
            }
            Self::Branch { children, value } => {
                for child in children.iter() {
                    payload.extend(child.reference());
                }
                value.as_slice().encode(&mut payload);
            }
        }
        let mut out = Vec::with_capacity(payload.len() + 3);
        Header { list: true, payload_length: payload.len() }.encode(&mut out);
        out.extend(payload);
        out
    }

    /// What stands for this node in its parent: itself when shorter than a hash, else its hash.
    fn reference(&self) -> Vec<u8> {
        let encoded = self.encode();
        match self {
            Self::Empty | Self::Hash(_) => encoded,
            _ if encoded.len() < B256::len_bytes() => encoded,
            _ => alloy_rlp::encode(keccak256(encoded)),
        }
    }
}

/// Packs a path and the kind of its node (appendix C).
fn encode_path(path: &[u8], is_leaf: bool) -> Vec<u8> {
    let flag = if is_leaf { 0x20 } else { 0 };
    let (first, pairs) = match path {
        [odd, rest @ ..] if path.len() % 2 == 1 => (flag | 0x10 | odd, rest),
        _ => (flag, path),
    };
    let packed = pairs.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, nibble| (byte << 4) | nibble));
    core::iter::once(first).chain(packed).collect()
}

fn decode_path(packed: &[u8]) -> Result<(Vec<u8>, bool), Refusal> {
    let (first, rest) = packed.split_first().ok_or("a path without its first byte")?;
    let mut path = Vec::with_capacity(packed.len() * 2);
    match first >> 4 {
        0 | 2 if first & 0x0f == 0 => {}
        1 | 3 => path.push(first & 0x0f),
        _ => return Err("a path whose first nibble is none of 0 to 3, or that is padded"),
    }
    path.extend(rest.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]));
    Ok((path, first >> 4 >= 2))
}

fn string<'a>(buf: &mut &'a [u8]) -> Result<&'a [u8], Refusal> {
    Header::decode_bytes(buf, false).map_err(|_| "a string was expected")
}

fn count_items(mut payload: &[u8]) -> Result<usize, Refusal> {
    let mut count = 0;
    while !payload.is_empty() {
        let header = Header::decode(&mut payload).map_err(|_| "an item is not RLP")?;
        payload = payload.get(header.payload_length..).ok_or("an item is shorter than its length says")?;
        count += 1;
    }
    Ok(count)
}

/// The nibbles of a key, high half first.
pub(crate) fn unpack(key: &[u8]) -> Vec<u8> {
    key.iter().flat_map(|byte| [byte >> 4, byte & 0x0f]).collect()
}

/// Bytes of every node that becomes `node` when branches above it collapse: its path without 1, 2, ... leading nibbles.
///
/// A deletion can merge a branch's last child with the path above it; who knows only the merged node (from a proof made
/// after the deletion) finds the child that stood there before among these, if it was a leaf or an extension. A child
/// that was a branch cannot be found so: it stands unchanged behind the merged extension, which shows its hash alone.
/// Empty for branches and for malformed bytes.
pub fn before_collapse(node: &[u8]) -> Vec<Vec<u8>> {
    let shorten = |path: &[u8], build: &dyn Fn(Vec<u8>) -> Node, least: usize| -> Vec<Vec<u8>> {
        (1..=path.len().saturating_sub(least))
            .filter_map(|skip| path.get(skip..).map(|rest| build(rest.to_vec()).encode()))
            .collect()
    };
    match Node::decode(node) {
        Ok(Node::Leaf { path, value }) => shorten(&path, &|path| Node::Leaf { path, value: value.clone() }, 0),
        Ok(Node::Extension { path, child }) => {
            shorten(&path, &|path| Node::Extension { path, child: child.clone() }, 1)
        }
        _ => Vec::new(),
    }
}
