//! Many short Keccak-256 hashes at once: one message in each lane of the processor's widest vectors.
//!
//! A trace hashes tiles of 257 bytes and nodes of 129, all independent of each other, so the permutation works on
//! vectors of eight words, one of each lane. Machines without AVX-512 hash one message after the other.
//!
//! Invariant: [`hash_each`] gives what `keccak256` gives for each message, on every machine; a test compares them.
//! Source: FIPS 202 (permutation), Keccak team's original padding. What it does not do: messages of more than two blocks.
#![allow(unsafe_code)]

use alloc::vec::Vec;
use alloy_primitives::{B256, keccak256};

/// Bytes that a block takes in.
const RATE: usize = 136;
/// Longest message: two blocks, of which the padding takes a byte.
pub(crate) const MAX_BYTES: usize = 2 * RATE - 1;

/// A message as it is absorbed: blocks of padded words.
#[derive(Clone, Copy)]
pub(crate) struct Message {
    words: [u64; 2 * RATE / 8],
    two: bool,
}

impl Message {
    /// The tag and fewer than [`MAX_BYTES`] bytes after it; callers state that theirs are, what is longer is cut off.
    pub(crate) fn new(tag: u8, body: &[u8]) -> Self {
        let mut bytes = [0; 2 * RATE];
        let length = body.len().min(MAX_BYTES - 1);
        bytes[0] = tag;
        bytes[1..=length].copy_from_slice(&body[..length]);
        let two = length + 1 >= RATE;
        bytes[length + 1] = 1;
        bytes[if two { 2 * RATE } else { RATE } - 1] |= 0x80;
        let mut words = [0; 2 * RATE / 8];
        for (word, group) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*group);
        }
        Self { words, two }
    }

    /// The message's bytes, for machines without wide vectors.
    fn alone(&self) -> B256 {
        let mut bytes = [0; 2 * RATE];
        for (group, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(self.words) {
            *group = word.to_le_bytes();
        }
        let end = if self.two { 2 * RATE } else { RATE };
        bytes[end - 1] ^= 0x80;
        let length = bytes[..end].iter().rposition(|&byte| byte != 0).unwrap_or_default();
        keccak256(&bytes[..length])
    }
}

/// The hash of each message.
pub(crate) fn hash_each(messages: &[Message]) -> Vec<B256> {
    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    if std::arch::is_x86_feature_detected!("avx512f") {
        // SAFETY: the processor was found to have AVX-512 F.
        return unsafe { lanes::hash_each(messages) };
    }
    messages.iter().map(Message::alone).collect()
}

#[cfg(all(target_arch = "x86_64", feature = "std"))]
mod lanes {
    use super::{B256, Message, RATE, Vec};
    use core::arch::x86_64::{
        __m512i, _mm512_rol_epi64, _mm512_set1_epi64, _mm512_ternarylogic_epi64, _mm512_xor_si512,
    };

    /// Messages that are hashed together.
    const LANES: usize = 8;
    const WORDS: usize = RATE / 8;
    const ROUNDS: [u64; 24] = [
        0x0000_0000_0000_0001,
        0x0000_0000_0000_8082,
        0x8000_0000_0000_808a,
        0x8000_0000_8000_8000,
        0x0000_0000_0000_808b,
        0x0000_0000_8000_0001,
        0x8000_0000_8000_8081,
        0x8000_0000_0000_8009,
        0x0000_0000_0000_008a,
        0x0000_0000_0000_0088,
        0x0000_0000_8000_8009,
        0x0000_0000_8000_000a,
        0x0000_0000_8000_808b,
        0x8000_0000_0000_008b,
        0x8000_0000_0000_8089,
        0x8000_0000_0000_8003,
        0x8000_0000_0000_8002,
        0x8000_0000_0000_0080,
        0x0000_0000_0000_800a,
        0x8000_0000_8000_000a,
        0x8000_0000_8000_8081,
        0x8000_0000_0000_8080,
        0x0000_0000_8000_0001,
        0x8000_0000_8000_8008,
    ];
    /// a ^ b ^ c, and a ^ (!b & c), as truth tables.
    const XOR3: i32 = 0x96;
    const CHI: i32 = 0xd2;

    /// Sorts long messages first, so that a group of lanes has blocks in all of them.
    #[target_feature(enable = "avx512f")]
    pub(super) fn hash_each(messages: &[Message]) -> Vec<B256> {
        let mut order: Vec<usize> = (0..messages.len()).collect();
        order.sort_by_key(|&at| !messages[at].two);
        let mut hashes = alloc::vec![B256::ZERO; messages.len()];
        for group in order.chunks(LANES) {
            let mut state = [[0; LANES]; 25];
            absorb(&mut state, messages, group, 0);
            let first = permute(&state);
            state = first;
            if group.iter().any(|&at| messages[at].two) {
                absorb(&mut state, messages, group, WORDS);
                state = permute(&state);
            }
            for (lane, &at) in group.iter().enumerate() {
                let from = if messages[at].two { &state } else { &first };
                for (to, word) in hashes[at].0.as_chunks_mut::<8>().0.iter_mut().zip(from) {
                    *to = word[lane].to_le_bytes();
                }
            }
        }
        hashes
    }

    fn absorb(state: &mut [[u64; LANES]; 25], messages: &[Message], group: &[usize], from: usize) {
        for (lane, &at) in group.iter().enumerate() {
            for (to, word) in state.iter_mut().zip(&messages[at].words[from..from + WORDS]) {
                to[lane] ^= word;
            }
        }
    }

    /// Keccak-f[1600] in each lane.
    #[target_feature(enable = "avx512f")]
    fn permute(state: &[[u64; LANES]; 25]) -> [[u64; LANES]; 25] {
        // SAFETY: an array of eight words and a vector are the same 64 bytes, and every bit pattern is both.
        let mut a: [__m512i; 25] = unsafe { core::mem::transmute(*state) };
        for round in ROUNDS {
            a = self::round(a, round);
        }
        // SAFETY: as above.
        unsafe { core::mem::transmute(a) }
    }

    #[target_feature(enable = "avx512f")]
    fn round(a: [__m512i; 25], constant: u64) -> [__m512i; 25] {
        macro_rules! xor3 {
            ($a:expr, $b:expr, $c:expr) => {
                _mm512_ternarylogic_epi64::<XOR3>($a, $b, $c)
            };
        }
        macro_rules! column {
            ($x:literal) => {
                xor3!(xor3!(a[$x], a[$x + 5], a[$x + 10]), a[$x + 15], a[$x + 20])
            };
        }
        let c = [column!(0), column!(1), column!(2), column!(3), column!(4)];
        // The word at `from` with its column's parity, rotated: what goes to the place that its row names.
        macro_rules! moved {
            ($from:literal, $by:literal) => {{
                let (left, right) = (c[($from % 5 + 4) % 5], c[($from % 5 + 1) % 5]);
                _mm512_rol_epi64::<$by>(xor3!(a[$from], left, _mm512_rol_epi64::<1>(right)))
            }};
        }
        let b = [
            [moved!(0, 0), moved!(6, 44), moved!(12, 43), moved!(18, 21), moved!(24, 14)],
            [moved!(3, 28), moved!(9, 20), moved!(10, 3), moved!(16, 45), moved!(22, 61)],
            [moved!(1, 1), moved!(7, 6), moved!(13, 25), moved!(19, 8), moved!(20, 18)],
            [moved!(4, 27), moved!(5, 36), moved!(11, 10), moved!(17, 15), moved!(23, 56)],
            [moved!(2, 62), moved!(8, 55), moved!(14, 39), moved!(15, 41), moved!(21, 2)],
        ];
        let mut next = a;
        for (row, to) in b.iter().zip(next.as_chunks_mut::<5>().0) {
            for x in 0..5 {
                to[x] = _mm512_ternarylogic_epi64::<CHI>(row[x], row[(x + 1) % 5], row[(x + 2) % 5]);
            }
        }
        next[0] = _mm512_xor_si512(next[0], _mm512_set1_epi64(constant.cast_signed()));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, Message, hash_each};
    use alloc::vec::Vec;
    use alloy_primitives::{B256, keccak256};

    fn bytes(length: usize, seed: u64) -> Vec<u8> {
        (0..length as u64)
            .map(|at| (at.wrapping_mul(seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8)
            .collect()
    }

    #[test]
    fn each_length_hashes_as_alone() {
        let bodies: Vec<_> = (0..MAX_BYTES).map(|length| bytes(length, length as u64)).collect();
        let messages: Vec<_> = bodies.iter().map(|body| Message::new(3, body)).collect();
        let expected: Vec<B256> = bodies.iter().map(|body| keccak256([&[3], body.as_slice()].concat())).collect();
        assert_eq!(hash_each(&messages), expected);
        assert_eq!(messages.iter().map(Message::alone).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn groups_of_every_size_and_mixture_hash_as_alone() {
        for count in 0..=17 {
            let bodies: Vec<_> = (0..count).map(|i| bytes([0, 256, 31, 135, 134][i % 5], 7 * i as u64 + 1)).collect();
            let messages: Vec<_> = bodies.iter().map(|body| Message::new(0xff, body)).collect();
            let expected: Vec<B256> =
                bodies.iter().map(|body| keccak256([&[0xff], body.as_slice()].concat())).collect();
            assert_eq!(hash_each(&messages), expected);
        }
    }
}
