//! All kernel paths, batches and traces give the same bits; extreme values stay in i32.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Rng, one_matmul, random_program, random_tensor};
use interlace_tensor::{DType, Data, Error, Path, Program, Scratch, Tensor, TensorType};
use proptest::prelude::*;

fn elements(tensor: &Tensor) -> Vec<u8> {
    // The wire form of the elements starts after the header: 6 bytes and 4 per axis.
    let header = 6 + 4 * tensor.ty().dims.len();
    tensor.encode().split_off(header)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn paths_batches_and_traces_agree(seed: u64) {
        let program = random_program(seed, 8);
        let mut rng = Rng(!seed);
        let inputs: Vec<Tensor> = (0..5).map(|_| random_tensor(&mut rng, program.input_type())).collect();
        let expected: Vec<Tensor> = inputs
            .iter()
            .map(|input| program.run_on(Path::Scalar, input, &mut Scratch::default()).unwrap())
            .collect();
        let packed: Vec<u8> = inputs.iter().flat_map(elements).collect();
        let packed_expected: Vec<u8> = expected.iter().flat_map(elements).collect();
        for path in Path::available() {
            let mut scratch = Scratch::default();
            for (input, expected) in inputs.iter().zip(&expected) {
                prop_assert_eq!(&program.run_on(path, input, &mut scratch).unwrap(), expected);
                let trace = program.run_traced(path, input).unwrap();
                prop_assert_eq!(trace.last().unwrap(), expected);
            }
            prop_assert_eq!(program.run_batch(path, &packed).unwrap(), packed_expected.clone());
        }
    }
}

/// The deepest product whose worst case still fits: 131,071 * 2^14 = 2^31 - 2^14.
#[test]
fn the_deepest_product_is_exact_on_every_path() {
    let k = 131_071;
    let program = one_matmul(k, &vec![-128; k as usize], 16_383).unwrap();
    let input = Tensor::new(vec![k], Data::I8(vec![-128; k as usize])).unwrap();
    for path in Path::available() {
        let output = program.run_on(path, &input, &mut Scratch::default()).unwrap();
        assert_eq!(output.data(), &Data::I32(vec![i32::MAX]));
    }
}

#[test]
fn one_more_is_refused_by_name() {
    let mut weights = vec![0; 2 * 131_071];
    weights.iter_mut().skip(1).step_by(2).for_each(|w| *w = -128);
    let error = one_matmul(131_071, &weights, 16_384).unwrap_err();
    assert_eq!(error, Error::Overflow { node: 0, channel: 1, bound: 1 << 31 });
}

#[test]
fn every_row_count_and_width_agrees_with_the_scalar_path() {
    let mut rng = Rng(7);
    for (k, n) in [(1, 1), (2, 15), (3, 16), (31, 17), (64, 33), (255, 48)] {
        let weights: Vec<i8> = (0..k * n).map(|_| rng.i8()).collect();
        let program = one_matmul(k, &weights, -3).unwrap();
        for rows in [1, 2, 3, 4, 5, 63, 64, 65, 130] {
            let ty = TensorType { dtype: DType::I8, dims: vec![rows, k] };
            let packed = elements(&random_tensor(&mut rng, &ty));
            let expected = program.run_batch(Path::Scalar, &packed).unwrap();
            for path in Path::available() {
                assert_eq!(program.run_batch(path, &packed).unwrap(), expected, "k {k} n {n} rows {rows}");
            }
        }
    }
}

/// Rows of a very deep product are multiplied a few at a time; that must not show.
#[test]
fn deep_rows_in_small_blocks_agree() {
    let (rows, k) = (37, 120_000);
    let mut rng = Rng(9);
    let weights: Vec<i8> = (0..k * 3).map(|_| rng.i8()).collect();
    let program = one_matmul(k, &weights, 5).unwrap();
    let ty = TensorType { dtype: DType::I8, dims: vec![rows, k] };
    let packed = elements(&random_tensor(&mut rng, &ty));
    let expected: Vec<u8> = packed
        .chunks_exact(k as usize)
        .flat_map(|row| {
            (0..3).flat_map(|channel| {
                let products = row.iter().zip(weights.iter().skip(channel).step_by(3));
                let sum: i64 = products.map(|(x, w)| i64::from(x.cast_signed()) * i64::from(*w)).sum();
                i32::try_from(sum + 5).unwrap().to_le_bytes()
            })
        })
        .collect();
    for path in Path::available() {
        assert_eq!(program.run_batch(path, &packed).unwrap(), expected);
    }
}

#[test]
fn a_path_that_is_not_here_is_an_error() {
    let missing = [Path::Avx2, Path::Neon].into_iter().find(|path| !Path::available().any(|p| p == *path)).unwrap();
    let program = one_matmul(1, &[1], 0).unwrap();
    assert_eq!(program.run_batch(missing, &[1]).unwrap_err().code(), "program.path");
    assert_eq!(Path::named("sve").unwrap_err().code(), "program.path");
}

#[test]
fn an_input_of_another_type_is_refused() {
    let program: Program = one_matmul(2, &[1, 1], 0).unwrap();
    let input = Tensor::new(vec![3], Data::I8(vec![1, 2, 3])).unwrap();
    assert_eq!(program.run(&input).unwrap_err().code(), "tensor.mismatch");
    assert_eq!(program.run_batch(Path::Scalar, &[1, 2, 3]).unwrap_err().code(), "tensor.batch-length");
    assert!(program.run_batch(Path::Scalar, &[]).unwrap().is_empty());
}
