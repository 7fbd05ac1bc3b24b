//! The matrix product with 128-bit Arm vectors.
//!
//! Per pair of depth and panel: sixteen weight pairs in four half registers of four channels, for each row one
//! broadcast pair, `smull` (products in i16: at most 2^14) and `sadalp` (adds neighbours into i32).
//!
//! Invariant: results equal the scalar path's; all memory is reached through slices of checked length.
#![allow(unsafe_code)]

use super::{Dense, PANEL, TILE, interleave};
use alloc::vec::Vec;
use core::arch::aarch64::{
    int8x8_t, int32x4_t, vdup_n_s16, vdupq_n_s32, vget_high_s8, vget_low_s8, vld1q_s8, vmull_s8, vpadalq_s16,
    vreinterpret_s8_s16, vst1q_s32,
};

/// See [`super::multiply`].
pub(super) fn multiply(dense: &Dense, x: &[i8], out: &mut [i32], words: &mut Vec<i32>) {
    interleave(dense, x, words, |a, b| i32::from(i16::from_le_bytes([a.cast_unsigned(), b.cast_unsigned()])));
    // SAFETY: this module is compiled only for targets that have NEON.
    unsafe { panels(dense, words, out) }
}

/// One panel stays in the first cache while all rows pass it.
#[target_feature(enable = "neon")]
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
#[target_feature(enable = "neon")]
fn tile<const ROWS: usize>(dense: &Dense, index: usize, panel: &[i8], words: &[i32], out: &mut [i32]) {
    let mut sums = [[vdupq_n_s32(0); 4]; ROWS];
    for (pair, weights) in words.as_chunks::<ROWS>().0.iter().zip(panel.as_chunks::<{ 2 * PANEL }>().0) {
        let quarters = load(weights);
        for (sum, &word) in sums.iter_mut().zip(pair) {
            let values = vreinterpret_s8_s16(vdup_n_s16(word as i16));
            for (lanes, quarter) in sum.iter_mut().zip(quarters) {
                *lanes = vpadalq_s16(*lanes, vmull_s8(quarter, values));
            }
        }
    }
    for (sum, out_row) in sums.iter().zip(out.chunks_exact_mut(dense.channels)) {
        dense.finish(index, &store(sum), out_row);
    }
}

#[target_feature(enable = "neon")]
fn load(weights: &[i8; 2 * PANEL]) -> [int8x8_t; 4] {
    // SAFETY: the array is 32 bytes long, so 16 bytes can be read at 0 and at 16.
    let (low, high) = unsafe { (vld1q_s8(weights.as_ptr()), vld1q_s8(weights.as_ptr().add(16))) };
    [vget_low_s8(low), vget_high_s8(low), vget_low_s8(high), vget_high_s8(high)]
}

#[target_feature(enable = "neon")]
fn store(sums: &[int32x4_t; 4]) -> [i32; PANEL] {
    let mut lanes = [0i32; PANEL];
    for (chunk, sum) in lanes.as_chunks_mut::<4>().0.iter_mut().zip(sums) {
        // SAFETY: the chunk is four i32 long, as is the vector.
        unsafe { vst1q_s32(chunk.as_mut_ptr(), *sum) }
    }
    lanes
}
