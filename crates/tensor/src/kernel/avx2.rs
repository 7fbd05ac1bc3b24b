//! The matrix product with 256-bit x86-64 vectors.
//!
//! Per pair of depth and panel: sixteen weights pairs widened to i16 (two registers of eight channels), for each row
//! one broadcast pair, `vpmaddwd` (two products, their sum in i32, at most 2 * 2^14: no saturation) and an addition.
//!
//! Invariant: results equal the scalar path's; all memory is reached through slices of checked length.
#![allow(unsafe_code)]

use super::{Checked, Dense, PANEL, TILE, interleave};
use alloc::vec::Vec;
use core::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_madd_epi16, _mm256_set1_epi32,
    _mm256_setzero_si256, _mm256_storeu_si256,
};

/// See [`super::multiply`]; `_path` witnesses that the machine has AVX2.
pub(super) fn multiply(_path: Checked, dense: &Dense, x: &[i8], out: &mut [i32], words: &mut Vec<i32>) {
    interleave(dense, x, words, |a, b| (i32::from(b) << 16) | (i32::from(a) & 0xffff));
    // SAFETY: a `Checked` of this path exists only if the processor was found to have AVX2.
    unsafe { panels(dense, words, out) }
}

/// See [`super::row_sums`]; `_path` witnesses that the machine has AVX2.
pub(super) fn row_sums(_path: Checked, rows: &[i8], width: usize, weights: &[i16]) -> Vec<i64> {
    // SAFETY: a `Checked` of this path exists only if the processor was found to have AVX2.
    unsafe { row_sums_of_pairs(rows, width, weights) }
}

#[target_feature(enable = "avx2")]
fn row_sums_of_pairs(rows: &[i8], width: usize, weights: &[i16]) -> Vec<i64> {
    super::row_sums_here(rows, width, weights)
}

/// One panel stays in the first cache while all rows pass it.
#[target_feature(enable = "avx2")]
fn panels(dense: &Dense, words: &[i32], out: &mut [i32]) {
    let pairs = dense.pairs();
    for (index, panel) in dense.packed.chunks_exact(pairs * 2 * PANEL).enumerate() {
        let tiles = words.chunks(TILE * pairs).zip(out.chunks_mut(TILE * dense.channels));
        for (tile_words, tile_out) in tiles {
            match tile_words.len() / pairs {
                1 => tile::<1>(dense, index, panel, tile_words, tile_out),
                2 => tile::<2>(dense, index, panel, tile_words, tile_out),
                3 => tile::<3>(dense, index, panel, tile_words, tile_out),
                _ => tile::<TILE>(dense, index, panel, tile_words, tile_out),
            }
        }
    }
}

/// `ROWS` rows times one panel.
#[target_feature(enable = "avx2")]
fn tile<const ROWS: usize>(dense: &Dense, index: usize, panel: &[i8], words: &[i32], out: &mut [i32]) {
    let mut sums = [[_mm256_setzero_si256(); 2]; ROWS];
    for (pair, weights) in words.as_chunks::<ROWS>().0.iter().zip(panel.as_chunks::<{ 2 * PANEL }>().0) {
        let [low, high] = widen(weights);
        for (sum, &word) in sums.iter_mut().zip(pair) {
            let values = _mm256_set1_epi32(word);
            sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(low, values));
            sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(high, values));
        }
    }
    for (sum, out_row) in sums.iter().zip(out.chunks_exact_mut(dense.channels)) {
        dense.finish(index, &store(sum), out_row);
    }
}

#[target_feature(enable = "avx2")]
fn widen(weights: &[i8; 2 * PANEL]) -> [__m256i; 2] {
    let start = weights.as_ptr().cast::<__m128i>();
    // SAFETY: the array is 32 bytes long, so 16 bytes can be read at 0 and at 16; unaligned loads need no alignment.
    let (low, high) = unsafe { (_mm_loadu_si128(start), _mm_loadu_si128(start.add(1))) };
    [_mm256_cvtepi8_epi16(low), _mm256_cvtepi8_epi16(high)]
}

#[target_feature(enable = "avx2")]
fn store(sums: &[__m256i; 2]) -> [i32; PANEL] {
    let mut lanes = [0i32; PANEL];
    let start = lanes.as_mut_ptr().cast::<__m256i>();
    // SAFETY: the array is 64 bytes long, so 32 bytes can be written at 0 and at 32; unaligned stores.
    unsafe {
        _mm256_storeu_si256(start, sums[0]);
        _mm256_storeu_si256(start.add(1), sums[1]);
    }
    lanes
}
