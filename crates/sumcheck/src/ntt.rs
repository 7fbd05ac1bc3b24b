//! Values of a polynomial at all powers of a root of unity: the code that commitments are made with.
//!
//! Invariant: `evaluate(c, n)[j]` is the sum of `c[i] · w^(i·j)`, where `w` has order `n`, a power of two.

use crate::field::Base;
use alloc::{vec, vec::Vec};

/// Roots of unity for one length, to be used for many polynomials.
#[derive(Debug)]
pub(crate) struct Domain {
    log: u32,
    /// Powers of the root below its square root -1.
    powers: Vec<Base>,
}

impl Domain {
    /// The domain of 2^`log` points.
    pub(crate) fn new(log: u32) -> Self {
        let root = Base::root_of_unity(log);
        let mut powers = Vec::with_capacity(1 << log.saturating_sub(1));
        let mut power = Base::ONE;
        for _ in 0..(1_usize << log) / 2 {
            powers.push(power);
            power *= root;
        }
        Self { log, powers }
    }

    /// Points of the domain.
    pub(crate) const fn len(&self) -> usize {
        1 << self.log
    }

    /// Values at all points; `coefficients` are at most as many as there are points.
    pub(crate) fn evaluate(&self, coefficients: &[Base]) -> Vec<Base> {
        let len = self.len();
        let mut values = vec![Base::ZERO; len];
        for (index, &coefficient) in coefficients.iter().enumerate() {
            values[reversed(index, self.log)] = coefficient;
        }
        let mut half = 1;
        while half < len {
            let stride = len / (2 * half);
            for block in values.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                for ((low, high), &power) in low.iter_mut().zip(high).zip(self.powers.iter().step_by(stride)) {
                    let product = *high * power;
                    (*low, *high) = (*low + product, *low - product);
                }
            }
            half *= 2;
        }
        values
    }
}

const fn reversed(index: usize, log: u32) -> usize {
    if log == 0 { 0 } else { index.reverse_bits() >> (usize::BITS - log) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_the_sum() {
        for log in 0..6 {
            let domain = Domain::new(log);
            let coefficients: Vec<Base> = (0..1_u64 << log).map(|i| Base::new(i * i + 3)).collect();
            let root = Base::root_of_unity(log);
            for (j, &value) in domain.evaluate(&coefficients).iter().enumerate() {
                let sum =
                    coefficients.iter().enumerate().fold(Base::ZERO, |sum, (i, &c)| sum + c * root.pow((i * j) as u64));
                assert_eq!(value, sum);
            }
        }
    }
}
