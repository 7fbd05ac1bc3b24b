//! The operators that look at whole rows, and those that only move elements: softmax, normalise, top-k, transpose, slice.
//!
//! Invariant: sums and quotients are exact in 64 bits, every division is rounded half up (toward +infinity). Operands and results may
//! hold a batch: every function works on whole rows or values and repeats until the result is full.

use alloc::{vec, vec::Vec};

/// Bits behind the point of a normalised element.
const FRACTION: u32 = 12;

/// floor(dividend / divisor + 1/2).
#[inline]
const fn divided(dividend: i64, divisor: i64) -> i64 {
    (2 * dividend + divisor).div_euclid(2 * divisor)
}

/// Each element's weight in 127ths of the weights of those that its row sees: all, or with `causal` as many as its row's number in a square.
pub(crate) fn softmax(x: &[i8], channels: usize, causal: bool, weights: &[u16; 256], out: &mut [i8]) {
    let rows = x.chunks_exact(channels).zip(out.chunks_exact_mut(channels));
    for (row, (x, out)) in rows.enumerate() {
        let seen = if causal { row % channels + 1 } else { channels };
        let (out, unseen) = out.split_at_mut(seen);
        shares(&x[..seen], weights, out);
        unseen.fill(0);
    }
}

fn shares(x: &[i8], weights: &[u16; 256], out: &mut [i8]) {
    let largest = x.iter().copied().max().unwrap_or(i8::MIN);
    let weight = |x: i8| i64::from(weights[usize::from(x.abs_diff(largest))]);
    let sum: i64 = x.iter().map(|&x| weight(x)).sum();
    for (out, &x) in out.iter_mut().zip(x) {
        *out = divided(127 * weight(x), sum) as i8;
    }
}

/// (n·x - Σx) · 2^24 / floor(sqrt((n·Σx² - (Σx)²) · 2^24)): with n at most 4,096 the root's argument is below 2^63.
pub(crate) fn normalise(x: &[i8], channels: usize, out: &mut [i32]) {
    let n = channels as i64;
    for (x, out) in x.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
        let (sum, squares) = x.iter().fold((0, 0), |(sum, squares), &x| {
            let x = i64::from(x);
            (sum + x, squares + x * x)
        });
        let root = ((n * squares - sum * sum) << (2 * FRACTION)).isqrt();
        for (out, &x) in out.iter_mut().zip(x) {
            let deviation = (n * i64::from(x) - sum) << (2 * FRACTION);
            *out = if root == 0 { 0 } else { divided(deviation, root) as i32 };
        }
    }
}

/// Indices of the `count` largest of each row.
pub(crate) fn top_k<T: Copy + Into<i32>>(x: &[T], channels: usize, count: usize, out: &mut [i32]) {
    let mut keys = Vec::with_capacity(channels);
    for (x, out) in x.chunks_exact(channels).zip(out.chunks_exact_mut(count)) {
        keys.clear();
        // Descending elements, then ascending indices, as one ascending number.
        keys.extend(x.iter().enumerate().map(|(index, &x)| {
            let x: i32 = x.into();
            (u64::from((!x).cast_unsigned() ^ (1 << 31)) << 32) | index as u64
        }));
        if count < channels {
            keys.select_nth_unstable(count - 1);
        }
        keys[..count].sort_unstable();
        for (out, key) in out.iter_mut().zip(&keys) {
            *out = (key & 0xffff_ffff) as i32;
        }
    }
}

/// Elements with their axes in another order: axis `i` of the result is axis `order[i]` of `x`, whose extents are `dims`.
pub(crate) fn transpose<T: Copy>(x: &[T], dims: &[u32], order: &[u8], out: &mut [T]) {
    let mut steps = vec![1usize; dims.len()];
    for axis in (1..dims.len()).rev() {
        steps[axis - 1] = steps[axis] * dims[axis] as usize;
    }
    // Four axes whatever there are: those in front have one place.
    let mut axes = [(1, 0); 4];
    for (axis, &from) in axes[4 - order.len()..].iter_mut().zip(order) {
        *axis = (dims[usize::from(from)] as usize, steps[usize::from(from)]);
    }
    let [(a, step_a), (b, step_b), (c, step_c), (d, step_d)] = axes;
    let size = a * b * c * d;
    for (x, out) in x.chunks_exact(size).zip(out.chunks_exact_mut(size)) {
        let mut lines = out.chunks_exact_mut(d);
        for i in 0..a {
            for j in 0..b {
                for (k, line) in (0..c).zip(&mut lines) {
                    let from = &x[i * step_a + j * step_b + k * step_c..];
                    line.iter_mut().zip(from.iter().step_by(step_d)).for_each(|(to, from)| *to = *from);
                }
            }
        }
    }
}

/// Elements `start..start + length` of the axis of `dims` that is numbered `axis`.
pub(crate) fn slice<T: Copy>(x: &[T], dims: &[u32], axis: u8, start: u32, length: u32, out: &mut [T]) {
    let inner: usize = dims[usize::from(axis) + 1..].iter().map(|&dim| dim as usize).product();
    let (block, skip, size) =
        (dims[usize::from(axis)] as usize * inner, start as usize * inner, length as usize * inner);
    for (x, out) in x.chunks_exact(block).zip(out.chunks_exact_mut(size)) {
        out.copy_from_slice(&x[skip..skip + size]);
    }
}
