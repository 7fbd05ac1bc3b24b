//! Look-ups: that every element of a list stands in a table, because sums of fractions are equal.
//!
//! The sum of 1 / (a - f) over the list's fingerprints f equals the sum of m / (a - t) over the table's, with
//! multiplicities m, only if the lists agree; the left sum is proved by adding fractions pairwise, layer by layer.
//!
//! Source: Haböck 2022 (logarithmic derivatives), Papini and Haböck 2023 (the layers by GKR). A false sum passes with
//! probability at most (elements + 256) / |field| for the random a, and 3 · log²(elements) / |field| for the layers.

use crate::{
    Error,
    field::Ext,
    multilinear::{equality, equality_at},
    rounds,
    stream::{Receiver, Sender},
};
use alloc::{vec, vec::Vec};

/// A list's sum of fractions as a numerator and a denominator.
pub(crate) type Fraction = (Ext, Ext);

/// Proves the sum of 1 / d over `denominators`, a power of two of them; returns the point at which their polynomial's
/// value is claimed, and that value.
pub(crate) fn prove(sender: &mut Sender, denominators: Vec<Ext>) -> (Vec<Ext>, Ext) {
    let mut layers = layers(vec![Ext::ONE; denominators.len()], denominators);
    let Some((above, below)) = layers.pop() else { return (Vec::new(), Ext::ZERO) };
    send(sender, (above[0], below[0]), layers)
}

/// Numerators and denominators of every layer, the whole's last.
type Layers = Vec<(Vec<Ext>, Vec<Ext>)>;

fn layers(numerators: Vec<Ext>, denominators: Vec<Ext>) -> Layers {
    let mut layers = vec![(numerators, denominators)];
    while let Some((above, below)) = layers.last()
        && above.len() > 1
    {
        let ((a, b), (c, d)) = (above.split_at(above.len() / 2), below.split_at(above.len() / 2));
        let pairs = a.iter().zip(b).zip(c.iter().zip(d));
        let next = pairs.map(|((&a, &b), (&c, &d))| (a * d + b * c, c * d)).unzip();
        layers.push(next);
    }
    layers
}

/// Says that the whole is `whole`, and proves it by the layers below it.
fn send(sender: &mut Sender, whole: Fraction, mut layers: Layers) -> (Vec<Ext>, Ext) {
    sender.send(&[whole.0, whole.1]);
    let (mut point, mut value) = (Vec::new(), whole.1);
    while let Some((mut a, mut c)) = layers.pop() {
        let half = a.len() / 2;
        let mix = sender.transcript.challenge();
        let (b, d) = (a.split_off(half), c.split_off(half));
        let mut tables = [equality(&point), a, b, c, d];
        let at = rounds::prove(sender, &mut tables, 3, |t| t[0] * (t[1] * t[4] + t[2] * t[3] + mix * t[3] * t[4]));
        let ends: Vec<Ext> = tables[1..].iter().map(|table| table[0]).collect();
        sender.send(&ends);
        let x = sender.transcript.challenge();
        value = ends[2] + (ends[3] - ends[2]) * x;
        point = [&[x], at.as_slice()].concat();
    }
    (point, value)
}

/// Reads a sum of 2^`log` fractions with numerators of one; returns it, and the claim on its denominators.
pub(crate) fn verify(receiver: &mut Receiver<'_>, log: usize) -> Result<(Fraction, Vec<Ext>, Ext), Error> {
    let whole = receiver.receive(2)?;
    let (above, below) = (whole[0], whole[1]);
    let (mut point, mut claim_above, mut claim_below) = (Vec::new(), above, below);
    for layer in 0..log {
        let mix = receiver.transcript.challenge();
        let (at, end) = rounds::verify(receiver, layer, 3, claim_above + mix * claim_below)?;
        let ends = receiver.receive(4)?;
        let sum = ends[0] * ends[3] + ends[1] * ends[2] + mix * ends[2] * ends[3];
        if equality_at(&point, &at) * sum != end {
            return Err(Error::Sumcheck("a layer of the look-ups"));
        }
        let x = receiver.transcript.challenge();
        claim_above = ends[0] + (ends[1] - ends[0]) * x;
        claim_below = ends[2] + (ends[3] - ends[2]) * x;
        point = [&[x], at.as_slice()].concat();
    }
    if claim_above != Ext::ONE || below == Ext::ZERO {
        return Err(Error::Lookup);
    }
    Ok(((above, below), point, claim_below))
}

/// Whether the fraction is the sum over a table of multiplicities and fingerprints.
pub(crate) fn agrees(fraction: Fraction, table: impl Iterator<Item = (u32, Ext)>, at: Ext) -> Result<(), Error> {
    let sum = table
        .filter(|(count, _)| *count != 0)
        .fold(Ext::ZERO, |sum, (count, print)| sum + (at - print).inverse() * Ext::from_i64(count.into()));
    if fraction.0 == fraction.1 * sum { Ok(()) } else { Err(Error::Lookup) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{field::Base, stream::Transcript};

    /// Four numbers, of which the table has all but 300, and each of the others once.
    const LIST: [i64; 4] = [3, 7, 300, 9];

    fn at() -> Ext {
        Ext(Base::new(1 << 40), Base::new(12_345))
    }

    fn denominators() -> Vec<Ext> {
        LIST.iter().map(|&print| at() - Ext::from_i64(print)).collect()
    }

    fn judged(write: impl FnOnce(&mut Sender)) -> Result<(), Error> {
        let mut sender = Sender::new(Transcript::new(b"test"));
        write(&mut sender);
        let mut receiver = Receiver::new(Transcript::new(b"test"), &sender.bytes);
        let (whole, _, _) = verify(&mut receiver, 2)?;
        let table = [(1, 3), (1, 7), (1, 9), (0, 10)];
        agrees(whole, table.into_iter().map(|(count, print)| (count, Ext::from_i64(print))), at())
    }

    #[test]
    fn an_element_that_is_not_in_the_table_is_noticed() {
        assert_eq!(judged(|sender| drop(prove(sender, denominators()))), Err(Error::Lookup));
    }

    /// The element is there, but with a numerator of zero.
    #[test]
    fn numerators_are_one() {
        let numerators = LIST.iter().map(|&print| Ext::from_i64(i64::from(print != 300))).collect();
        let mut all = layers(numerators, denominators());
        let whole = all.pop().map_or((Ext::ZERO, Ext::ZERO), |(above, below)| (above[0], below[0]));
        assert_eq!(judged(|sender| drop(send(sender, whole, all))), Err(Error::Lookup));
    }

    /// The whole is what the table gives, but not what the layers below it give.
    #[test]
    fn the_whole_follows_from_its_layers() {
        let numerators = LIST.iter().map(|&print| Ext::from_i64(i64::from(print != 300))).collect();
        let whole = layers(numerators, denominators()).pop().map_or((Ext::ZERO, Ext::ZERO), |(a, b)| (a[0], b[0]));
        let mut all = layers(vec![Ext::ONE; LIST.len()], denominators());
        all.pop();
        assert!(matches!(judged(|sender| drop(send(sender, whole, all))), Err(Error::Sumcheck(_))));
    }
}
