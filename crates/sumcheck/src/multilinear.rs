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

/// Numbers below 2^13, five of which make a coordinate of a weight.
const LIMB_BITS: u32 = 13;
const LIMBS: usize = 10;
/// So many products of an i8 and a limb stay in i32.
const TERMS: usize = 1 << 10;

/// Sums of rows of small integers, each row by weights: `out[row] = Σ rows[row][i] · weights[i]`, exact. Weights are cut into
/// limbs of 16 bits, because vectors multiply eight pairs of such at once.
pub(crate) fn rows_at(matrix: &[i8], width: usize, weights: &[Ext]) -> Vec<Ext> {
    let limb = |value: Base, place: u32| (value.value() >> (LIMB_BITS * place) & ((1 << LIMB_BITS) - 1)) as i16;
    let limbs: Vec<Vec<i16>> = (0..LIMBS)
        .map(|index| {
            let place = (index % (LIMBS / 2)) as u32;
            let of = |weight: &Ext| limb(if index < LIMBS / 2 { weight.0 } else { weight.1 }, place);
            weights[..width].iter().map(of).collect()
        })
        .collect();
    let mut wide = vec![0_i16; width];
    matrix
        .chunks_exact(width)
        .map(|row| {
            wide.iter_mut().zip(row).for_each(|(to, &from)| *to = from.into());
            let sums: Vec<i64> = limbs.iter().map(|limbs| dot(&wide, limbs)).collect();
            let (low, high) = sums.split_at(LIMBS / 2);
            let whole = |sums: &[i64]| {
                let step = Base::new(1 << LIMB_BITS);
                sums.iter().rev().fold(Base::ZERO, |sum, &limb| sum * step + Base::from_i64(limb))
            };
            Ext(whole(low), whole(high))
        })
        .collect()
}

fn dot(row: &[i16], limbs: &[i16]) -> i64 {
    let parts = row.chunks(TERMS).zip(limbs.chunks(TERMS));
    let part = |(row, limbs): (&[i16], &[i16])| {
        row.iter().zip(limbs).fold(0_i32, |sum, (&a, &b)| sum.wrapping_add(i32::from(a).wrapping_mul(b.into())))
    };
    parts.map(|both| i64::from(part(both))).sum()
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
