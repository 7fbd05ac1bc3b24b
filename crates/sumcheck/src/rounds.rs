//! Sumcheck: that the sum over the cube of a product of multilinear polynomials is what is claimed.
//!
//! A round's polynomial of degree d is sent by its values at 0, 2, …, d; its value at 1 is the claim less that at 0.
//!
//! Source: Lund, Fortnow, Karloff and Nisan 1992. A false claim passes a round with probability at most d / |field|.

use crate::{
    Error,
    field::{Base, Ext, ORDER},
    multilinear::fold,
    stream::{Receiver, Sender},
};
use alloc::{vec, vec::Vec};

/// The highest degree in one variable of what is summed here.
pub(crate) const MAX_DEGREE: usize = 3;

/// Sends the rounds for the sum of `combine` over `tables`; leaves the tables' values at the returned point in them.
pub(crate) fn prove(
    sender: &mut Sender,
    tables: &mut [Vec<Ext>],
    degree: usize,
    combine: impl Fn(&[Ext]) -> Ext,
) -> Vec<Ext> {
    let variables = tables.first().map_or(0, |table| table.len().ilog2() as usize);
    let mut point = Vec::with_capacity(variables);
    let (mut at, mut steps) = (vec![Ext::ZERO; tables.len()], vec![Ext::ZERO; tables.len()]);
    for _ in 0..variables {
        let half = tables[0].len() / 2;
        let mut sums = [Ext::ZERO; MAX_DEGREE];
        for index in 0..half {
            for ((table, at), step) in tables.iter().zip(&mut at).zip(&mut steps) {
                *at = table[index];
                *step = table[index + half] - table[index];
            }
            sums[0] += combine(&at);
            at.iter_mut().zip(&steps).for_each(|(at, &step)| *at += step);
            for sum in &mut sums[1..degree] {
                at.iter_mut().zip(&steps).for_each(|(at, &step)| *at += step);
                *sum += combine(&at);
            }
        }
        sender.send(&sums[..degree]);
        let x = sender.transcript.challenge();
        tables.iter_mut().for_each(|table| fold(table, x));
        point.push(x);
    }
    point
}

/// Reads the rounds; returns the point and what the summed polynomial must be there.
pub(crate) fn verify(
    receiver: &mut Receiver<'_>,
    variables: usize,
    degree: usize,
    mut claim: Ext,
) -> Result<(Vec<Ext>, Ext), Error> {
    let mut point = Vec::with_capacity(variables);
    for _ in 0..variables {
        let mut values = receiver.receive(degree)?;
        values.insert(1, claim - values[0]);
        let x = receiver.transcript.challenge();
        claim = interpolate(&values, x);
        point.push(x);
    }
    Ok((point, claim))
}

/// Value at `x` of the polynomial that has `values` at 0, 1, …: three of them, or four.
fn interpolate(values: &[Ext], x: Ext) -> Ext {
    // By differences: Σ Δ^k · x·(x-1)·…·(x-k+1) / k!. Only 2 and 6 are divided by, so no inverse is computed.
    let (first, second) = (values[1] - values[0], values[2] - values[1]);
    let bend = second - first;
    let pair = x * (x - Ext::ONE);
    let mut sum = values[0] + first * x + bend * pair * HALF;
    if let Some(&last) = values.get(3) {
        sum += (last - values[2] - second - bend) * pair * (x - Ext::ONE.double()) * SIXTH;
    }
    sum
}

/// Inverses of 2 and of 6: p is 1 more than a multiple of 6.
const HALF: Base = Base::new(ORDER / 2 + 1);
const SIXTH: Base = Base::new(ORDER - ORDER / 6);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_polynomial_has_its_values_between_and_beyond() {
        assert_eq!((HALF * Base::new(2), SIXTH * Base::new(6)), (Base::ONE, Base::ONE));
        let at = |x: Ext| (x * x * x) * Base::new(5) - x * x * Base::new(3) + x * Base::new(7) + Ext::ONE.double();
        let x = Ext(Base::new(1 << 40), Base::new(987_654_321));
        let nodes = [0, 1, 2, 3].map(Ext::from_i64);
        assert_eq!(interpolate(&nodes.map(at), x), at(x));
        let square = |x: Ext| x * x + x.double();
        assert_eq!(interpolate(&[nodes[0], nodes[1], nodes[2]].map(square), x), square(x));
    }
}
