//! Multilinear polynomials by their values on the cube {0, 1}^n, the first variable the highest bit of the index.
//!
//! Invariant: `equality(p)` sums to one, and its product with a table of values sums to the polynomial's value at `p`.

use crate::field::{Base, Ext, ORDER};
use alloc::{vec, vec::Vec};
use interlace_tensor::{MAX_PRODUCT_DEPTH, MAX_ROW_WEIGHT, product, row_sums};

/// Weight of every corner of the cube at `point`.
pub(crate) fn equality(point: &[Ext]) -> Vec<Ext> {
    let mut weights = vec![Ext::ONE];
    for &x in point {
        let mut next = Vec::with_capacity(2 * weights.len());
        for &weight in &weights {
            let high = weight * x;
            next.extend([weight - high, high]);
        }
        weights = next;
    }
    weights
}

/// Value of the weight between two points.
pub(crate) fn equality_at(a: &[Ext], b: &[Ext]) -> Ext {
    a.iter().zip(b).fold(Ext::ONE, |product, (&a, &b)| {
        let both = a * b;
        product * (Ext::ONE - a - b + both.double())
    })
}

/// Weight of the corner `index` at `point`.
pub(crate) fn corner_at(index: usize, point: &[Ext]) -> Ext {
    let last = point.len();
    point.iter().enumerate().fold(Ext::ONE, |product, (place, &x)| {
        product * if index >> (last - 1 - place) & 1 == 1 { x } else { Ext::ONE - x }
    })
}

/// Value of the polynomial with `values`, by weights made before.
pub(crate) fn value_at(values: &[Base], weights: &[Ext]) -> Ext {
    values.iter().zip(weights).fold(Ext::ZERO, |sum, (&value, &weight)| sum + weight * value)
}

/// Value of a polynomial of integers; those past the end are zero.
pub(crate) fn integers_at(values: impl IntoIterator<Item = i64>, weights: &[Ext]) -> Ext {
    values.into_iter().zip(weights).fold(Ext::ZERO, |sum, (value, &weight)| sum + weight * Base::from_i64(value))
}

/// Sets the first variable to `x`.
pub(crate) fn fold(values: &mut Vec<Ext>, x: Ext) {
    let half = values.len() / 2;
    let (low, high) = values.split_at_mut(half);
    for (low, &high) in low.iter_mut().zip(&*high) {
        *low += (high - *low) * x;
    }
    values.truncate(half);
}

/// Numbers below 2^13, five of which make a coordinate of a weight.
const LIMB_BITS: u32 = MAX_ROW_WEIGHT.ilog2();
const LIMBS: usize = 10;
/// Digits of a weight: eight of base 256 for each coordinate, from -128 to 127.
const DIGITS: usize = 16;

/// Sums of rows of small integers, each row by weights: `out[row] = Σ rows[row][i] · weights[i]`, exact. Weights are cut into
/// limbs of 16 bits, because vectors multiply pairs of such.
pub(crate) fn rows_at(matrix: &[i8], width: usize, weights: &[Ext]) -> Vec<Ext> {
    let limb = |value: Base, place: u32| (value.value() >> (LIMB_BITS * place) & ((1 << LIMB_BITS) - 1)) as i16;
    let mut limbs = Vec::with_capacity(LIMBS * width);
    for index in 0..LIMBS {
        let place = (index % (LIMBS / 2)) as u32;
        let of = |weight: &Ext| limb(if index < LIMBS / 2 { weight.0 } else { weight.1 }, place);
        limbs.extend(weights[..width].iter().map(of));
    }
    let whole = |sums: &[i64]| {
        let step = Base::new(1 << LIMB_BITS);
        sums.iter().rev().fold(Base::ZERO, |sum, &limb| sum * step + Base::from_i64(limb))
    };
    let sums = row_sums(matrix, width, &limbs);
    sums.chunks_exact(LIMBS).map(|sums| Ext(whole(&sums[..LIMBS / 2]), whole(&sums[LIMBS / 2..]))).collect()
}

/// Sums of columns of small integers by a weight for each row: `out[i] = Σ rows[row][i] · weights[row]`, exact.
///
/// Digits are i8 as the rows are, so this is the integer programs' own product of sixteen rows of digits by the matrix.
pub(crate) fn columns_at(matrix: &[i8], width: usize, weights: &[Ext]) -> Vec<Ext> {
    let mut sums = vec![Ext::ZERO; width];
    for (part, weights) in matrix.chunks(MAX_PRODUCT_DEPTH * width).zip(weights.chunks(MAX_PRODUCT_DEPTH)) {
        let depth = part.len() / width;
        let mut rows = vec![0; DIGITS * depth];
        for (at, weight) in weights[..depth].iter().enumerate() {
            for (digit, byte) in [digits(weight.0), digits(weight.1)].as_flattened().iter().enumerate() {
                rows[digit * depth + at] = *byte;
            }
        }
        let bytes: Vec<u8> = part.iter().map(|&element| element.cast_unsigned()).collect();
        let products = product(&rows, &bytes, width);
        for (at, sum) in sums.iter_mut().enumerate() {
            let of = |digit: usize| products[digit * width + at];
            *sum +=
                Ext(from_digits(core::array::from_fn(of)), from_digits(core::array::from_fn(|digit| of(digit + 8))));
        }
    }
    sums
}

/// Eight digits, the lowest first. Above the largest number that they make, those of the one that is smaller by the field's
/// order.
fn digits(value: Base) -> [i8; DIGITS / 2] {
    const HALVES: u64 = 0x8080_8080_8080_8080;
    let value = value.value();
    let signed = if value < HALVES.wrapping_neg() { value } else { value.wrapping_sub(ORDER) };
    // With half a base added to each digit they are the bytes of a number.
    signed.wrapping_add(HALVES).to_le_bytes().map(|byte| (byte ^ 0x80).cast_signed())
}

fn from_digits(sums: [i32; DIGITS / 2]) -> Base {
    let step = Base::new(256);
    sums.into_iter().rev().fold(Base::ZERO, |sum, digit| sum * step + Base::from_i64(digit.into()))
}

#[cfg(test)]
mod tests {
    use super::{MAX_PRODUCT_DEPTH, columns_at, digits, from_digits, rows_at};
    use crate::field::{Base, Ext, ORDER};
    use alloc::vec::Vec;

    #[test]
    fn digits_make_the_number_again() {
        let edge = 0x8080_8080_8080_8080_u64.wrapping_neg();
        for value in
            [0, 1, 127, 128, 255, 256, edge - 1, edge, edge + 1, ORDER / 2, ORDER - 129, ORDER - 128, ORDER - 1]
        {
            assert_eq!(from_digits(digits(Base::new(value)).map(i32::from)), Base::new(value), "{value:#x}");
        }
    }

    #[test]
    fn rows_and_columns_sum_to_what_their_elements_do() {
        let word = |at: usize| (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let long = MAX_PRODUCT_DEPTH + 3;
        for (rows, width) in [(1, 1), (3, 2), (5, 17), (64, 300), (2, 3_000), (long, 2)] {
            let matrix: Vec<i8> = (0..rows * width).map(|at| (word(at) >> 56) as i8).collect();
            let weight = |at: usize| Ext(Base::new(word(2 * at) % ORDER), Base::new(word(2 * at + 1) % ORDER));
            let weights: Vec<Ext> = (0..rows.max(width)).map(weight).collect();
            let sum = |elements: &mut dyn Iterator<Item = i8>| {
                elements.zip(&weights).fold(Ext::ZERO, |sum, (x, &weight)| sum + weight * Base::from_i64(x.into()))
            };
            let expected: Vec<Ext> = matrix.chunks_exact(width).map(|row| sum(&mut row.iter().copied())).collect();
            assert_eq!(rows_at(&matrix, width, &weights), expected);
            let expected: Vec<Ext> =
                (0..width).map(|at| sum(&mut matrix.iter().skip(at).step_by(width).copied())).collect();
            assert_eq!(columns_at(&matrix, width, &weights), expected);
        }
    }
}
