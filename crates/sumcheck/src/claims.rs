//! Values that are claimed of one committed polynomial at many points, proved by one opening.
//!
//! Source: the claims, each by a power of one challenge, add up to the sum over the cube of the polynomial and the
//! points' weights; the sumcheck of that sum ends at one random point, at which the commitment is opened. False claims
//! pass with probability at most (claims + 2 · variables) / |field|.

use crate::{
    Error,
    commitment::{self, Committed},
    field::Ext,
    multilinear::{corner_at, equality, equality_at},
    rounds,
    stream::{Receiver, Sender},
};
use alloc::{vec, vec::Vec};
use alloy_primitives::B256;

/// That the table at `offset`, whose length is 2^variables of `point`, has `value` there.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) offset: usize,
    pub(crate) point: Vec<Ext>,
    pub(crate) value: Ext,
}

/// Proves the claims and opens the commitment.
pub(crate) fn prove(sender: &mut Sender, committed: &Committed, claims: &[Claim]) {
    let step = sender.transcript.challenge();
    let mut weights = vec![Ext::ZERO; committed.values().len()];
    let mut power = Ext::ONE;
    let mut made: (&[Ext], Vec<Ext>) = (&[], vec![Ext::ONE]);
    for claim in claims {
        // Neighbours often have one point: its weights are made once.
        if made.0 != claim.point {
            made = (&claim.point, equality(&claim.point));
        }
        weights[claim.offset..].iter_mut().zip(&made.1).for_each(|(sum, &weight)| *sum += weight * power);
        power *= step;
    }
    let values = committed.values().iter().map(|&value| value.into()).collect();
    let point = rounds::prove(sender, &mut [values, weights], 2, |tables| tables[0] * tables[1]);
    committed.open(sender, &point);
}

/// Checks the claims on the polynomial of 2^`log` values under `root`.
pub(crate) fn verify(receiver: &mut Receiver<'_>, root: B256, log: usize, claims: &[Claim]) -> Result<(), Error> {
    let step = receiver.transcript.challenge();
    let (mut sum, mut power) = (Ext::ZERO, Ext::ONE);
    for claim in claims {
        sum += claim.value * power;
        power *= step;
    }
    let (point, end) = rounds::verify(receiver, log, 2, sum)?;
    let value = commitment::verify(receiver, root, &point)?;
    let (mut weight, mut power) = (Ext::ZERO, Ext::ONE);
    for claim in claims {
        let (above, below) = point.split_at(log - claim.point.len());
        weight += corner_at(claim.offset >> claim.point.len(), above) * equality_at(&claim.point, below) * power;
        power *= step;
    }
    if value * weight == end { Ok(()) } else { Err(Error::Opening("claims do not agree with the committed values")) }
}
