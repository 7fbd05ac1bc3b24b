//! Multilinear polynomials by their values on the cube {0, 1}^n, the first variable the highest bit of the index.
//!
//! Invariant: `equality(p)` sums to one, and its product with a table of values sums to the polynomial's value at `p`.

use crate::field::{Base, Ext};
use alloc::{vec, vec::Vec};

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

/// Sums of rows of small integers, each row by weights: `out[row] = Σ rows[row][i] · weights[i]`. Exact, because four
/// sums of an i8 by 32 bits of a weight stay in i64 for rows shorter than 2^23.
pub(crate) fn rows_at(matrix: &[i8], width: usize, weights: &[Ext]) -> Vec<Ext> {
    let split = |value: Base| (i64::from(value.value() as u32), (value.value() >> 32) as i64);
    let parts: Vec<[i64; 4]> = weights[..width]
        .iter()
        .map(|weight| {
            let ((a, b), (c, d)) = (split(weight.0), split(weight.1));
            [a, b, c, d]
        })
        .collect();
    matrix.chunks_exact(width).map(|row| dot(row, &parts)).collect()
}

fn dot(row: &[i8], parts: &[[i64; 4]]) -> Ext {
    let mut sums = [0_i64; 4];
    for (&element, part) in row.iter().zip(parts) {
        for (sum, part) in sums.iter_mut().zip(part) {
            *sum = sum.wrapping_add(part.wrapping_mul(element.into()));
        }
    }
    join(sums)
}

fn join([a, b, c, d]: [i64; 4]) -> Ext {
    let whole = |low, high| Base::from_i64(low) + Base::from_i64(high) * Base::new(1 << 32);
    Ext(whole(a, b), whole(c, d))
}

/// Sums of columns of small integers by a weight for each row: `out[i] = Σ rows[row][i] · weights[row]`.
pub(crate) fn columns_at(matrix: &[i8], width: usize, weights: &[Ext]) -> Vec<Ext> {
    let mut sums = vec![[0_i64; 4]; width];
    let split = |value: Base| (i64::from(value.value() as u32), (value.value() >> 32) as i64);
    for (row, weight) in matrix.chunks_exact(width).zip(weights) {
        let ((a, b), (c, d)) = (split(weight.0), split(weight.1));
        for (sums, &element) in sums.iter_mut().zip(row) {
            for (sum, part) in sums.iter_mut().zip([a, b, c, d]) {
                *sum = sum.wrapping_add(part.wrapping_mul(element.into()));
            }
        }
    }
    sums.into_iter().map(join).collect()
}
