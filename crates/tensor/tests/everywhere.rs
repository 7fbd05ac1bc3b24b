//! A thousand random programs give one hash: on every path, one by one and as a batch on one thread and on several, and on every processor.
//!
//! The hash is pinned. `make emulated` runs this on processors that qemu emulates, from one without AVX on.
#![allow(clippy::unwrap_used)]

mod common;

use alloy_primitives::{B256, b256, keccak256};
use common::{Rng, random_program, random_tensor};
use interlace_tensor::{Path, Program, Scratch};
use rayon::{ThreadPool, ThreadPoolBuilder};

const PROGRAMS: u64 = 1_000;
const INPUTS: usize = 3;
/// Of the ids of all programs and their outputs, one after the other.
const EXPECTED: B256 = b256!("0xa40209c1dfc6beac81a980d1d0bdc2ec4c5c884072adf4994d4dd4c5d8f42acd");

/// The outputs of a program on its inputs, which are the same however they are made.
fn outputs(program: &Program, path: Path, seed: u64, pools: &[ThreadPool]) -> Vec<u8> {
    let mut rng = Rng(seed);
    let inputs: Vec<_> = (0..INPUTS).map(|_| random_tensor(&mut rng, program.input_type())).collect();
    let mut scratch = Scratch::default();
    let alone: Vec<u8> =
        inputs.iter().flat_map(|input| program.run_on(path, input, &mut scratch).unwrap().elements()).collect();
    let packed: Vec<u8> = inputs.iter().flat_map(|input| input.elements()).collect();
    for pool in pools {
        let batch = pool.install(|| program.run_batch(path, &packed)).unwrap();
        assert_eq!(batch, alone, "{path:?}, program {seed}, {} threads", pool.current_num_threads());
    }
    alone
}

#[test]
fn a_thousand_programs_give_one_hash() {
    let pools = [1, 3].map(|threads| ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    for path in Path::available() {
        let mut all = Vec::new();
        for seed in 0..PROGRAMS {
            let program = random_program(seed, 12);
            all.extend(program.id());
            all.extend(outputs(&program, path, seed, &pools));
        }
        assert_eq!(keccak256(&all), EXPECTED, "{path:?}");
    }
}
