//! Keccak-256 of many messages at once: eight or four side by side in vector registers, one by one where there are none.
//!
//! Why Rust, and ours: hashed one by one, nodes are what a state root costs most, and tiles what a trace adds to a run;
//! `interlace bench state` and `benches/trace_overhead.py` measure it (docs/decisions, no. 17).
//!
//! Invariant: every backend gives the same hashes. A [`Hasher`] of a backend exists only where the processor has it.
//! Source: FIPS 202, sections 3.2 and 5.1; Keccak's own padding, 0x01, as Ethereum has it (yellow paper, section 4).
//! What it does not do: it hashes no stream; a message is in memory as a whole.

#![cfg_attr(not(feature = "std"), no_std)]
// A build with no vectors leaves what only they use.
#![cfg_attr(not(all(target_arch = "x86_64", feature = "std")), allow(dead_code))]

extern crate alloc;

#[cfg(all(target_arch = "x86_64", feature = "std"))]
mod permutation;

use alloc::{vec, vec::Vec};
use alloy_primitives::{B256, keccak256};

/// Bytes absorbed by one permutation.
const RATE: usize = 136;
/// 64-bit words absorbed by one permutation.
const RATE_WORDS: usize = RATE / 8;
/// 64-bit words of a state.
const WORDS: usize = 25;

/// `N` states side by side: word `w` of state `s` is `self.0[w][s]`.
#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Lanes<const N: usize>([[u64; N]; WORDS]);

/// How permutations are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// One at a time, by `alloy_primitives::keccak256`.
    Scalar,
    /// Four at a time.
    Avx2,
    /// Eight at a time.
    Avx512,
}

impl Backend {
    /// All of them, slowest first.
    pub const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Avx512];

    /// Name, as benches print it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2 x4",
            Self::Avx512 => "avx512 x8",
        }
    }

    fn is_present(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Self::Avx2 => std::arch::is_x86_feature_detected!("avx2"),
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Self::Avx512 => std::arch::is_x86_feature_detected!("avx512f"),
            #[cfg(not(all(target_arch = "x86_64", feature = "std")))]
            _ => false,
        }
    }
}

/// Messages to be hashed, one after another in one buffer, each padded to whole blocks.
#[derive(Clone, Debug, Default)]
pub struct Messages {
    bytes: Vec<u8>,
    /// Start in `bytes`, and length without padding.
    spans: Vec<(usize, usize)>,
}

impl Messages {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Forgets them and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.spans.clear();
    }

    /// Adds the message that `write` appends and gives its index; one shorter than `least` is not added, but given back.
    ///
    /// # Errors
    /// The bytes of a message that is too short.
    pub fn push(&mut self, least: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<usize, &[u8]> {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let len = self.bytes.len() - start;
        if len < least {
            // Its bytes stay until all are forgotten; no span names them.
            return Err(&self.bytes[start..]);
        }
        self.seal(start, len);
        Ok(self.spans.len() - 1)
    }

    /// Adds a message.
    pub fn add(&mut self, message: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(message);
        self.seal(start, message.len());
    }

    fn seal(&mut self, start: usize, len: usize) {
        let padded = (len / RATE + 1) * RATE;
        self.bytes.push(0x01);
        self.bytes.resize(start + padded, 0);
        if let Some(last) = self.bytes.last_mut() {
            *last |= 0x80;
        }
        self.spans.push((start, len));
    }

    const fn blocks((_, len): (usize, usize)) -> usize {
        len / RATE + 1
    }

    fn message(&self, index: usize) -> &[u8] {
        let (start, len) = self.spans[index];
        &self.bytes[start..start + len]
    }
}

/// Hashes with one backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hasher(Backend);

impl Default for Hasher {
    /// The fastest that this processor has.
    fn default() -> Self {
        Backend::ALL.into_iter().rev().find_map(Self::new).unwrap_or(Self(Backend::Scalar))
    }
}

impl Hasher {
    /// A hasher of `backend`, if this processor has what it takes.
    #[must_use]
    pub fn new(backend: Backend) -> Option<Self> {
        backend.is_present().then_some(Self(backend))
    }

    /// How this one computes.
    #[must_use]
    pub const fn backend(self) -> Backend {
        self.0
    }

    /// Hashes of all messages, in their order.
    #[must_use]
    #[allow(unsafe_code)]
    pub fn hash(self, messages: &Messages) -> Vec<B256> {
        match self.0 {
            Backend::Scalar => (0..messages.len()).map(|index| keccak256(messages.message(index))).collect(),
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Backend::Avx2 => side_by_side(messages, |lanes| {
                // SAFETY: a hasher of this backend exists only where `is_present` found AVX2.
                unsafe { permutation::avx2(lanes) }
            }),
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Backend::Avx512 => side_by_side(messages, |lanes| {
                // SAFETY: a hasher of this backend exists only where `is_present` found AVX-512F.
                unsafe { permutation::avx512(lanes) }
            }),
            #[cfg(not(all(target_arch = "x86_64", feature = "std")))]
            _ => unreachable!("no hasher of this backend exists"),
        }
    }
}

/// Hashes `N` messages at a time. Those of a like number of blocks go together; who is done early waits for the others.
fn side_by_side<const N: usize>(messages: &Messages, permute: impl Fn(&mut Lanes<N>)) -> Vec<B256> {
    let mut order: Vec<usize> = (0..messages.len()).collect();
    order.sort_unstable_by_key(|index| Messages::blocks(messages.spans[*index]));
    let mut hashes = vec![B256::ZERO; messages.len()];
    for group in order.chunks(N) {
        let mut lanes = Lanes([[0; N]; WORDS]);
        let longest = group.last().map_or(0, |index| Messages::blocks(messages.spans[*index]));
        for block in 0..longest {
            for (lane, index) in group.iter().enumerate() {
                let span = messages.spans[*index];
                if block < Messages::blocks(span) {
                    let start = span.0 + block * RATE;
                    absorb(&mut lanes, lane, &messages.bytes[start..start + RATE]);
                }
            }
            permute(&mut lanes);
            for (lane, index) in group.iter().enumerate() {
                if block + 1 == Messages::blocks(messages.spans[*index]) {
                    hashes[*index] = squeeze(&lanes, lane);
                }
            }
        }
    }
    hashes
}

fn absorb<const N: usize>(lanes: &mut Lanes<N>, lane: usize, block: &[u8]) {
    let (words, _) = block.as_chunks::<8>();
    for (state, word) in lanes.0[..RATE_WORDS].iter_mut().zip(words) {
        state[lane] ^= u64::from_le_bytes(*word);
    }
}

fn squeeze<const N: usize>(lanes: &Lanes<N>, lane: usize) -> B256 {
    let mut hash = B256::ZERO;
    for (bytes, state) in hash.0.as_chunks_mut::<8>().0.iter_mut().zip(&lanes.0) {
        *bytes = state[lane].to_le_bytes();
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length up to four blocks and a bit, and every number of messages up to three groups.
    #[test]
    fn every_backend_hashes_as_the_scalar_one() {
        let text: Vec<u8> = (0..600u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        for hasher in Backend::ALL.into_iter().filter_map(Hasher::new) {
            for count in (0..26).chain([600]) {
                let mut messages = Messages::default();
                // Lengths in no order, so that groups mix them.
                let lengths: Vec<usize> = (0..count).map(|index| index * 367 % 601).collect();
                lengths.iter().for_each(|length| messages.add(&text[..*length]));
                let expected: Vec<B256> = lengths.iter().map(|length| keccak256(&text[..*length])).collect();
                assert_eq!(hasher.hash(&messages), expected, "{} of {count}", hasher.backend().name());
            }
        }
    }

    #[test]
    fn short_messages_are_given_back() {
        let mut messages = Messages::default();
        assert_eq!(messages.push(4, |out| out.extend_from_slice(b"abc")), Err(b"abc".as_slice()));
        assert!(messages.is_empty());
        assert_eq!(messages.push(3, |out| out.extend_from_slice(b"abc")), Ok(0));
        assert_eq!(messages.len(), 1);
        assert_eq!(Hasher::default().hash(&messages), [keccak256(b"abc")]);
        messages.clear();
        assert!(Hasher::default().hash(&messages).is_empty());
    }
}
