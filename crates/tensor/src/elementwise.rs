//! The operators that are not matrix products: one pass over elements or windows, plain Rust on every path.
//!
//! Invariant: arithmetic is exact in i64 or proved to stay in i32; the only rounding is [`rescale`]'s and the mean's,
//! both half up (toward +infinity); the only saturation is a stated clamp. Operands and results may hold a batch:
//! every function works on whole rows, channels or images and repeats until the result is full.

use crate::op::{Pads, Window};

/// `clamp((value + 2^(shift-1)) >> shift, lo, hi)`; the shift is arithmetic, so halves go up.
#[inline]
fn rescale(value: i64, shift: u8, lo: i8, hi: i8) -> i8 {
    // |value| <= 2^62 by the proof and the half is at most 2^61: the sum fits, and wrapping is never needed.
    let rounded = value.wrapping_add(1i64 << (shift - 1)) >> shift;
    rounded.clamp(lo.into(), hi.into()) as i8
}

pub(crate) fn add_i32(a: &[i32], b: &[i32], out: &mut [i32]) {
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = a.wrapping_add(*b);
    }
}

pub(crate) fn add_i8(a: &[i8], b: &[i8], multipliers: [u32; 2], shift: u8, lo: i8, hi: i8, out: &mut [i8]) {
    let [ma, mb] = multipliers.map(i64::from);
    for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
        *out = rescale(i64::from(a) * ma + i64::from(b) * mb, shift, lo, hi);
    }
}

pub(crate) fn requantise(x: &[i32], multiplier: i64, shift: u8, lo: i8, hi: i8, out: &mut [i8]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = rescale(i64::from(x).wrapping_mul(multiplier), shift, lo, hi);
    }
}

pub(crate) fn requantise_channels(x: &[i32], multipliers: &[i32], shift: u8, lo: i8, hi: i8, out: &mut [i8]) {
    let rows = out.chunks_exact_mut(multipliers.len()).zip(x.chunks_exact(multipliers.len()));
    for (out_row, x_row) in rows {
        for ((out, &x), &multiplier) in out_row.iter_mut().zip(x_row).zip(multipliers) {
            *out = rescale(i64::from(x).wrapping_mul(multiplier.into()), shift, lo, hi);
        }
    }
}

pub(crate) fn table(x: &[i8], table: &[i8; 256], out: &mut [i8]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = table[usize::from(x.cast_unsigned() ^ 0x80)];
    }
}

pub(crate) fn clamp(x: &[i8], lo: i8, hi: i8, out: &mut [i8]) {
    for (out, &x) in out.iter_mut().zip(x) {
        *out = x.clamp(lo, hi);
    }
}

pub(crate) fn argmax_i8(x: &[i8], channels: usize, out: &mut [i32]) {
    for (out, row) in out.iter_mut().zip(x.chunks_exact(channels)) {
        *out = first_largest(row);
    }
}

pub(crate) fn argmax_i32(x: &[i32], channels: usize, out: &mut [i32]) {
    for (out, row) in out.iter_mut().zip(x.chunks_exact(channels)) {
        *out = first_largest(row);
    }
}

fn first_largest<T: PartialOrd>(row: &[T]) -> i32 {
    let mut best = 0;
    for index in 1..row.len() {
        if row[index] > row[best] {
            best = index;
        }
    }
    best as i32
}

/// How a window moves over images of one size.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sweep {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
    pub(crate) out_height: usize,
    pub(crate) out_width: usize,
    pub(crate) window: Window,
    pub(crate) pads: Pads,
}

impl Sweep {
    pub(crate) const fn positions(&self) -> usize {
        self.out_height * self.out_width
    }

    pub(crate) const fn image_len(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Rows (or columns) of the window at output `index` that lie in the image: the first of the window that does,
    /// where it lies in the image, and how many do.
    fn cut(index: usize, stride: u16, before: u16, window: u16, extent: usize) -> (usize, usize, usize) {
        let start = index * usize::from(stride);
        let skipped = usize::from(before).saturating_sub(start);
        let first = (start + skipped).saturating_sub(usize::from(before));
        let end = (start + usize::from(window)).saturating_sub(usize::from(before)).min(extent);
        (skipped, first, end.saturating_sub(first))
    }

    fn rows(&self, position: usize) -> (usize, usize, usize) {
        let index = position / self.out_width;
        Self::cut(index, self.window.stride_height, self.pads.top, self.window.height, self.height)
    }

    fn columns(&self, position: usize) -> (usize, usize, usize) {
        let index = position % self.out_width;
        Self::cut(index, self.window.stride_width, self.pads.left, self.window.width, self.width)
    }

    /// Copies what the window covers at each of `positions` (counted through the whole batch) into rows of `out`:
    /// `[window height, window width, channels]`, zeros where it covers padding.
    pub(crate) fn gather(&self, x: &[i8], positions: core::ops::Range<usize>, out: &mut [i8]) {
        let line = usize::from(self.window.width) * self.channels;
        let depth = usize::from(self.window.height) * line;
        for (position, out_row) in positions.zip(out.chunks_exact_mut(depth)) {
            let image = &x[position / self.positions() * self.image_len()..][..self.image_len()];
            let (row_skip, row, rows) = self.rows(position % self.positions());
            let (column_skip, column, columns) = self.columns(position % self.positions());
            if rows * columns < usize::from(self.window.height) * usize::from(self.window.width) {
                out_row.fill(0);
            }
            for step in 0..rows {
                let from = ((row + step) * self.width + column) * self.channels;
                let to = (row_skip + step) * line + column_skip * self.channels;
                let len = columns * self.channels;
                out_row[to..to + len].copy_from_slice(&image[from..from + len]);
            }
        }
    }

    /// Calls `visit` with each position's channels of `out` and every pixel under its window.
    fn pool<A: Copy>(
        &self,
        x: &[i8],
        out: &mut [i8],
        start: A,
        sums: &mut alloc::vec::Vec<A>,
        add: impl Fn(A, i8) -> A,
        finish: impl Fn(A) -> i8,
    ) {
        for (position, out_row) in out.chunks_exact_mut(self.channels).enumerate() {
            let image = &x[position / self.positions() * self.image_len()..][..self.image_len()];
            let (_, row, rows) = self.rows(position % self.positions());
            let (_, column, columns) = self.columns(position % self.positions());
            sums.clear();
            sums.resize(self.channels, start);
            for line in row..row + rows {
                let from = (line * self.width + column) * self.channels;
                for pixel in image[from..from + columns * self.channels].chunks_exact(self.channels) {
                    for (sum, &value) in sums.iter_mut().zip(pixel) {
                        *sum = add(*sum, value);
                    }
                }
            }
            for (out, &sum) in out_row.iter_mut().zip(sums.iter()) {
                *out = finish(sum);
            }
        }
    }

    /// Largest element under each window; every window covers an element because a padding is smaller than it.
    pub(crate) fn max_pool(&self, x: &[i8], out: &mut [i8]) {
        self.pool(x, out, i8::MIN, &mut alloc::vec::Vec::new(), i8::max, |largest| largest);
    }

    /// floor((2 * sum + count) / (2 * count)): the mean, halves up.
    pub(crate) fn average_pool(&self, x: &[i8], out: &mut [i8]) {
        let count = i64::from(self.window.height) * i64::from(self.window.width);
        let mean = |sum: i64| (2 * sum + count).div_euclid(2 * count) as i8;
        self.pool(x, out, 0i64, &mut alloc::vec::Vec::new(), |sum, value| sum + i64::from(value), mean);
    }
}
