//! The proof that no accumulator of a program can leave i32, whatever its input.
//!
//! For each channel of each i32 value it keeps the largest magnitude the value can have: Σ|w|·128 + |bias| after a
//! matmul or convolution (128 is the largest magnitude of an i8), 2^14 for each step of depth after a product of two
//! values, the sum of both operands after an addition.
//! A requantisation multiplies a magnitude of at most 2^31 by at most 2^31 - 1 and adds at most 2^61: less than 2^63.
//!
//! Invariant: if [`prove`] returns `Ok`, every partial sum, in any order of summation, is in -2147483647..=2147483647.

use crate::{
    Error, Graph, Multiplier, Op,
    plan::Plan,
    tensor::{DType, TensorType, read_i32},
};
use alloc::{vec, vec::Vec};

const MAX: u64 = i32::MAX as u64;
/// No deviation of n numbers is more than sqrt(n - 1) of their standard deviations: 64 · 4096 for 4,096, and rounding.
const NORMALISED: u32 = 1 << 19;

/// Largest magnitude per channel; one entry stands for all channels.
type Bounds = Vec<u32>;

/// Checks every accumulator and every per-channel multiplier.
pub(crate) fn prove(graph: &Graph, plan: &Plan, weights: &[u8]) -> Result<(), Error> {
    let mut values: Vec<Bounds> = vec![input_bounds(&graph.input)];
    for (node, entry) in graph.nodes.iter().enumerate() {
        let span = &weights[plan.spans[node].clone()];
        let operand = |index: usize| &values[usize::from(entry.operands[index])];
        let ty = &plan.types[node + 1];
        let bounds = match &entry.op {
            Op::MatMul { .. } | Op::Conv2d { .. } => dense(node, span, ty.channels())?,
            Op::Multiply { .. } => {
                let depth = plan.types[usize::from(entry.operands[0])].channels() as u64;
                within(node, core::iter::once(depth << 14))?
            }
            Op::Softmax { .. } => {
                softmax_table(node, span)?;
                vec![127]
            }
            Op::Normalise => vec![NORMALISED],
            Op::AddI32 => add(node, operand(0), operand(1))?,
            Op::Requantise { multiplier: Multiplier::Channel, .. } => {
                multipliers(node, span)?;
                vec![128]
            }
            Op::Reshape { .. } | Op::Transpose { .. } | Op::Slice { .. } if ty.dtype == DType::I32 => {
                vec![operand(0).iter().copied().max().unwrap_or(0)]
            }
            Op::ArgMax | Op::TopK { .. } => vec![plan.types[usize::from(entry.operands[0])].channels() as u32 - 1],
            _ => vec![128],
        };
        values.push(bounds);
    }
    Ok(())
}

fn input_bounds(input: &TensorType) -> Bounds {
    match input.dtype {
        DType::I8 => vec![128],
        DType::I32 => vec![1 << 31],
    }
}

fn dense(node: usize, span: &[u8], channels: usize) -> Result<Bounds, Error> {
    let (matrix, bias) = span.split_at(span.len() - 4 * channels);
    let sums = magnitudes(matrix, channels);
    let reach = sums.iter().zip(read_i32(bias)).map(|(sum, bias)| sum * 128 + u64::from(bias.unsigned_abs()));
    within(node, reach)
}

/// Sums of the weights' magnitudes by channel. So many rows at a time that their sums have 32 bits, of which vectors hold more.
fn magnitudes(matrix: &[u8], channels: usize) -> Vec<u64> {
    const ROWS: usize = 1 << 16;
    let magnitude = |weight: &u8| u32::from(weight.cast_signed().unsigned_abs());
    let mut sums = vec![0_u64; channels];
    for rows in matrix.chunks(ROWS * channels) {
        let mut some = vec![0_u32; channels];
        if let [some] = some.as_mut_slice() {
            *some = rows.iter().map(magnitude).sum();
        } else {
            for row in rows.chunks_exact(channels) {
                some.iter_mut().zip(row).for_each(|(sum, weight)| *sum = sum.wrapping_add(magnitude(weight)));
            }
        }
        sums.iter_mut().zip(some).for_each(|(sum, some)| *sum += u64::from(some));
    }
    sums
}

fn add(node: usize, a: &[u32], b: &[u32]) -> Result<Bounds, Error> {
    let at = |bounds: &[u32], channel: usize| u64::from(bounds[channel % bounds.len()]);
    within(node, (0..a.len().max(b.len())).map(|channel| at(a, channel) + at(b, channel)))
}

fn within(node: usize, reach: impl Iterator<Item = u64>) -> Result<Bounds, Error> {
    reach
        .enumerate()
        .map(|(channel, bound)| match bound {
            0..=MAX => Ok(bound as u32),
            _ => Err(Error::Overflow { node, channel, bound }),
        })
        .collect()
}

/// The largest element's weight is in every sum, so no sum is zero.
fn softmax_table(node: usize, span: &[u8]) -> Result<(), Error> {
    if span.starts_with(&[0, 0]) { Err(Error::SoftmaxTable { node }) } else { Ok(()) }
}

fn multipliers(node: usize, span: &[u8]) -> Result<(), Error> {
    let values = read_i32(span);
    if let Some(channel) = values.iter().position(|&value| value <= 0) {
        return Err(Error::Multiplier { node, channel, value: values[channel].into() });
    }
    if values.iter().all(|&value| value == values[0]) {
        return Err(Error::NotMinimal { node, why: "equal multipliers of all channels are one multiplier" });
    }
    Ok(())
}
