//! Sumcheck: that the sum over the cube of a product of multilinear polynomials is what is claimed.
//!
//! A round's polynomial of degree d is sent by its values at 0, 2, …, d; its value at 1 is the claim less that at 0.
//!
//! Source: Lund, Fortnow, Karloff and Nisan 1992. A false claim passes a round with probability at most d / |field|.

use crate::{
    Error,
    field::Ext,
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

/// Value at `x` of the polynomial that has `values` at 0, 1, ….
fn interpolate(values: &[Ext], x: Ext) -> Ext {
    let node = |index: usize| Ext::from_i64(index as i64);
    let term = |index: usize| {
        let others = (0..values.len()).filter(|&other| other != index);
        let (above, below) = others.fold((Ext::ONE, Ext::ONE), |(above, below), other| {
            (above * (x - node(other)), below * (node(index) - node(other)))
        });
        values[index] * above * below.inverse()
    };
    (0..values.len()).fold(Ext::ZERO, |sum, index| sum + term(index))
}
