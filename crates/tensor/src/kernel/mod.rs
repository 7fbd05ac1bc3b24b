//! Matrix products of i8: one reference and the vector paths, chosen at run time.
//!
//! ```text
//! x [rows, depth] i8 · w [depth, channels] i8 + bias [channels] i32 -> out [rows, channels] i32
//! ```
//! The vector paths read weights packed in panels of 16 channels; within a panel two steps of depth lie side by side,
//! because their instructions multiply pairs and add neighbours: w[2i][c], w[2i+1][c], w[2i][c+1], w[2i+1][c+1], ...
//! Both widen to i16 before they multiply or add: the u8·i8 instruction (`maddubs`) saturates its i16 sums.
//!
//! Invariant: every path returns the same bits. Sums of integers do not depend on their order as long as no partial
//! sum leaves i32, which the proof at validation guarantees; wrapping arithmetic is used because it is never needed.

// A build with no vector path leaves what only they use.
#![cfg_attr(
    not(any(
        all(target_arch = "x86_64", feature = "std"),
        all(target_arch = "aarch64", target_endian = "little", target_feature = "neon")
    )),
    allow(dead_code)
)]

#[cfg(all(target_arch = "x86_64", feature = "std"))]
mod avx2;
#[cfg(all(target_arch = "aarch64", target_endian = "little", target_feature = "neon"))]
mod neon;

use crate::Error;
use alloc::{string::ToString, vec, vec::Vec};

/// Channels of one packed panel.
const PANEL: usize = 16;
/// Rows that a vector path multiplies at once.
const TILE: usize = 4;

/// An implementation of the matrix product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// Plain Rust, in the order of the specification.
    Scalar,
    /// 256-bit x86-64 vectors.
    Avx2,
    /// 128-bit Arm vectors.
    Neon,
}

/// Proof that a path was found on this machine; only [`Path::checked`] makes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked(Path);

impl Checked {
    pub(crate) const fn path(self) -> Path {
        self.0
    }
}

impl Path {
    const ALL: [Self; 3] = [Self::Scalar, Self::Avx2, Self::Neon];

    /// Its name: `scalar`, `avx2` or `neon`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
        }
    }

    /// The path of that name, if this machine has it.
    ///
    /// # Errors
    /// `program.path` when there is no such path or the machine lacks it.
    pub fn named(name: &str) -> Result<Self, Error> {
        Self::available().find(|path| path.name() == name).ok_or_else(|| Error::Path(name.to_string()))
    }

    /// The paths of this machine, slowest first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|path| path.is_available())
    }

    /// The fastest path of this machine.
    #[must_use]
    pub fn best() -> Self {
        Self::available().last().unwrap_or(Self::Scalar)
    }

    fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(all(target_arch = "x86_64", feature = "std"))]
            Self::Avx2 => std::arch::is_x86_feature_detected!("avx2"),
            #[cfg(all(target_arch = "aarch64", target_endian = "little", target_feature = "neon"))]
            Self::Neon => true,
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    pub(crate) fn checked(self) -> Result<Checked, Error> {
        if self.is_available() { Ok(Checked(self)) } else { Err(Error::Path(self.name().to_string())) }
    }
}

/// A matmul's or convolution's weights, ready for the paths of this machine.
#[derive(Debug)]
pub(crate) struct Dense {
    pub(crate) depth: usize,
    pub(crate) channels: usize,
    bias: Vec<i32>,
    /// Empty when only the scalar path will run.
    packed: Vec<i8>,
}

impl Dense {
    /// Packs `matrix`, `[depth, channels]` row-major, for `best`.
    pub(crate) fn new(matrix: &[u8], bias: Vec<i32>, best: Path) -> Self {
        let channels = bias.len();
        let depth = matrix.len() / channels;
        let packed = if best == Path::Scalar { Vec::new() } else { pack(matrix, depth, channels) };
        Self { depth, channels, bias, packed }
    }

    pub(crate) const fn memory_bytes(&self) -> usize {
        self.bias.len() * 4 + self.packed.len()
    }

    fn pairs(&self) -> usize {
        self.depth.div_ceil(2)
    }

    /// Adds the bias of panel `panel` to the sums of one row and writes the channels that exist.
    fn finish(&self, panel: usize, sums: &[i32; PANEL], out_row: &mut [i32]) {
        let start = panel * PANEL;
        let end = self.channels.min(start + PANEL);
        for ((out, sum), bias) in out_row[start..end].iter_mut().zip(sums).zip(&self.bias[start..end]) {
            *out = sum.wrapping_add(*bias);
        }
    }
}

/// Two rows at a time, because that is how far apart neighbours of the packed form lie; whole panels without a look at their ends.
fn pack(matrix: &[u8], depth: usize, channels: usize) -> Vec<i8> {
    let pairs = depth.div_ceil(2);
    let mut packed = vec![0i8; channels.div_ceil(PANEL) * pairs * 2 * PANEL];
    let none = vec![0; channels];
    for (pair, rows) in matrix.chunks(2 * channels).enumerate() {
        let (first, second) = rows.split_at(channels);
        let second = if second.is_empty() { &none } else { second };
        for (panel, (a, b)) in first.chunks(PANEL).zip(second.chunks(PANEL)).enumerate() {
            let place = (panel * pairs + pair) * 2 * PANEL;
            let to = &mut packed[place..place + 2 * PANEL];
            match (<&[u8; PANEL]>::try_from(a), <&[u8; PANEL]>::try_from(b)) {
                (Ok(a), Ok(b)) => pair_up(a, b, to),
                _ => pair_up(a, b, to),
            }
        }
    }
    packed
}

#[inline(always)]
fn pair_up(a: &[u8], b: &[u8], to: &mut [i8]) {
    for (to, (a, b)) in to.chunks_exact_mut(2).zip(a.iter().zip(b)) {
        (to[0], to[1]) = (a.cast_signed(), b.cast_signed());
    }
}

/// Multiplies `x`, `[rows, depth]`, by the weights. `matrix` are the unpacked weights, `words` is scratch.
pub(crate) fn multiply(path: Checked, dense: &Dense, matrix: &[u8], x: &[i8], out: &mut [i32], words: &mut Vec<i32>) {
    match path.0 {
        #[cfg(all(target_arch = "x86_64", feature = "std"))]
        Path::Avx2 => avx2::multiply(path, dense, x, out, words),
        #[cfg(all(target_arch = "aarch64", target_endian = "little", target_feature = "neon"))]
        Path::Neon => neon::multiply(dense, x, out, words),
        _ => {
            let _ = words;
            scalar(dense, matrix, x, out);
        }
    }
}

/// Depth up to which no sum of products of i8 leaves i32.
pub const MAX_PRODUCT_DEPTH: usize = (1 << 17) - 1;

/// Multiplies integers on the fastest path of this machine: `x`, `[rows, depth]`, by `matrix`, `[depth, channels]`, both row by
/// row; `matrix` has the bytes of its i8.
///
/// # Panics
/// If `channels` is zero, or the depth that follows is zero or above [`MAX_PRODUCT_DEPTH`].
#[must_use]
pub fn product(x: &[i8], matrix: &[u8], channels: usize) -> Vec<i32> {
    let depth = matrix.len() / channels;
    assert!((1..=MAX_PRODUCT_DEPTH).contains(&depth), "a depth of {depth}");
    let best = Path::best();
    let dense = Dense::new(matrix, vec![0; channels], best);
    let mut out = vec![0; x.len() / depth * channels];
    multiply(Checked(best), &dense, matrix, x, &mut out, &mut Vec::new());
    out
}

/// Largest size of a weight of [`row_sums`].
pub const MAX_ROW_WEIGHT: u16 = 1 << 13;
/// So many products of an i8 and such a weight stay in i32.
const TERMS: usize = 1 << 10;

/// Sums of rows of integers by several vectors of weights: `rows` is `[rows, width]`, `weights` `[vectors, width]` with at most
/// [`MAX_ROW_WEIGHT`] in size; the result is `[rows, vectors]`, exact.
///
/// # Panics
/// If `width` is zero.
#[must_use]
pub fn row_sums(rows: &[i8], width: usize, weights: &[i16]) -> Vec<i64> {
    match Path::best() {
        #[cfg(all(target_arch = "x86_64", feature = "std"))]
        Path::Avx2 => avx2::row_sums(Checked(Path::Avx2), rows, width, weights),
        _ => row_sums_here(rows, width, weights),
    }
}

/// Written so that the compiler makes of it what the instructions multiply pairs with, whichever they are.
#[inline(always)]
fn row_sums_here(rows: &[i8], width: usize, weights: &[i16]) -> Vec<i64> {
    let mut wide = vec![0_i16; width];
    let mut sums = Vec::with_capacity(rows.len() / width * (weights.len() / width));
    for row in rows.chunks_exact(width) {
        wide.iter_mut().zip(row).for_each(|(to, &from)| *to = from.into());
        for weights in weights.chunks_exact(width) {
            let mut sum = 0_i64;
            for (row, weights) in wide.chunks(TERMS).zip(weights.chunks(TERMS)) {
                let products = row.iter().zip(weights).map(|(&a, &b)| i32::from(a).wrapping_mul(b.into()));
                sum += i64::from(products.fold(0_i32, i32::wrapping_add));
            }
            sums.push(sum);
        }
    }
    sums
}

/// The reference: for each row, bias first, then the rows of the weights in order.
fn scalar(dense: &Dense, matrix: &[u8], x: &[i8], out: &mut [i32]) {
    for (x_row, out_row) in x.chunks_exact(dense.depth).zip(out.chunks_exact_mut(dense.channels)) {
        out_row.copy_from_slice(&dense.bias);
        for (&value, weights) in x_row.iter().zip(matrix.chunks_exact(dense.channels)) {
            for (sum, &weight) in out_row.iter_mut().zip(weights) {
                let product = i32::from(value) * i32::from(weight.cast_signed());
                *sum = sum.wrapping_add(product);
            }
        }
    }
}

/// Lays the rows of `x` out as the vector paths read them: tile by tile, for each pair of depth one word per row.
fn interleave(dense: &Dense, x: &[i8], words: &mut Vec<i32>, word: impl Fn(i8, i8) -> i32) {
    let (depth, pairs) = (dense.depth, dense.pairs());
    words.clear();
    words.resize(x.len() / depth * pairs, 0);
    for (tile, x_rows) in x.chunks(TILE * depth).enumerate() {
        let rows = x_rows.len() / depth;
        let tile_words = &mut words[tile * TILE * pairs..][..rows * pairs];
        for (row, x_row) in x_rows.chunks_exact(depth).enumerate() {
            for (pair, values) in x_row.chunks(2).enumerate() {
                tile_words[pair * rows + row] = word(values[0], values.get(1).copied().unwrap_or(0));
            }
        }
    }
}
