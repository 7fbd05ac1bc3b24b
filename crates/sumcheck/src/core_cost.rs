//! What the interactive core of a product costs beside the product itself: `cargo test --release -p interlace-sumcheck
//! core_of_a_batch -- --ignored --nocapture`.
#![allow(clippy::unwrap_used)]

use crate::{
    field::Ext,
    multilinear::{columns_at, equality, rows_at},
    rounds,
    stream::{Sender, Transcript},
};
use alloc::{vec, vec::Vec};
use interlace_tensor::{DType, Graph, Node, Op, Path, Program, TensorType};
use std::{eprintln, time::Instant};

/// Median seconds of seven runs.
fn median(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..7)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[3]
}

#[test]
#[ignore = "a measurement"]
fn core_of_a_batch() {
    for (rows, depth, channels) in [(1_usize, 1024_usize, 1024_usize), (64, 1024, 1024), (256, 1024, 1024)] {
        let matrix: Vec<u8> = (0..depth * channels + 4 * channels).map(|i| (i * 31 + i / 255) as u8 & 0x7f).collect();
        let weights = [&matrix[..depth * channels], &vec![0; 4 * channels]].concat();
        let node = Node { op: Op::MatMul { outputs: channels as u32 }, operands: vec![0] };
        let input = TensorType { dtype: DType::I8, dims: vec![rows as u32, depth as u32] };
        let program = Program::assemble(&Graph { input, nodes: vec![node] }.encode(), &weights).unwrap();
        let inputs: Vec<u8> = (0..rows * depth).map(|i| (i * 7 + 3) as u8).collect();
        let native = median(|| {
            program.run_batch(Path::best(), &inputs).unwrap();
        });
        let elements: Vec<i8> = inputs.iter().map(|&byte| byte.cast_signed()).collect();
        let signed: Vec<i8> = matrix[..depth * channels].iter().map(|&byte| byte.cast_signed()).collect();
        let core = median(|| {
            let mut sender = Sender::new(Transcript::new(b"core"));
            let point = sender.transcript.challenges((rows.ilog2() + channels.ilog2()) as usize);
            let (row_point, channel_point) = point.split_at(rows.ilog2() as usize);
            let left: Vec<Ext> = columns_at(&elements, depth, &equality(row_point));
            let right = rows_at(&signed, channels, &equality(channel_point));
            rounds::prove(&mut sender, &mut [left, right], 2, |tables| tables[0] * tables[1]);
        });
        eprintln!(
            "[{rows}, {depth}] x [{depth}, {channels}]: native {:.3} ms, core {:.3} ms, {:.2}x",
            native * 1e3,
            core * 1e3,
            core / native
        );
    }
}
