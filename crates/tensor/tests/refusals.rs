//! Every mistake has its code: each variant of the error is provoked once.
#![allow(clippy::unwrap_used, clippy::panic)]

use interlace_tensor::{Data, Error, Graph, Program, Tensor};

/// Graph bytes: an i8 input of `dims`, then the node bytes.
fn graph(dtype: u8, dims: &[u32], nodes: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![dtype, dims.len() as u8];
    bytes.extend(dims.iter().flat_map(|dim| dim.to_be_bytes()));
    bytes.extend((nodes.len() as u16).to_be_bytes());
    bytes.extend(nodes.concat());
    bytes
}

const RELU: &[u8] = &[7, 0, 0, 0, 127];
const RELU_1: &[u8] = &[7, 0, 1, 0, 127];
const ARGMAX: &[u8] = &[11, 0, 0];
const TABLE: &[u8] = &[6, 0, 0];

fn refused(bytes: &[u8], weights: &[u8]) -> &'static str {
    Program::assemble(bytes, weights).unwrap_err().code()
}

#[test]
fn graphs_are_refused_by_code() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("program.truncated", graph(1, &[4], &[&[7, 0, 0]])),
        ("program.dtype", graph(3, &[4], &[RELU])),
        ("program.dimension", graph(1, &[0], &[RELU])),
        ("program.dimension", graph(1, &[], &[RELU])),
        ("program.limit", graph(1, &[1 << 21], &[RELU])),
        ("program.limit", graph(1, &[1 << 20, 1 << 20], &[RELU])),
        ("program.limit", graph(1, &[1, 1, 1, 1, 1], &[RELU])),
        ("program.limit", graph(1, &[4], &[])),
        ("program.operator", graph(1, &[4], &[&[0, 0, 0]])),
        ("program.operator", graph(1, &[4], &[&[18, 0, 0]])),
        ("program.operand", graph(1, &[4], &[&[7, 0, 1, 0, 127]])),
        // All nodes are used, but the output needs the table first.
        (
            "program.order",
            graph(1, &[4], &[RELU, TABLE, &[7, 0, 1, 1, 127], &[4, 0, 2, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 9]]),
        ),
        ("program.order", graph(1, &[4], &[RELU, &[7, 0, 0, 1, 127]])),
        ("program.order", graph(1, &[4], &[TABLE, RELU, &[4, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 9], RELU_1])),
        ("program.shape", graph(1, &[4], &[&[9, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1]])),
        ("program.shape", graph(1, &[2, 2, 1], &[&[9, 0, 0, 0, 3, 0, 1, 0, 1, 0, 1]])),
        ("program.shape", graph(1, &[4], &[&[10, 0, 0, 1, 0, 0, 0, 5]])),
        ("program.operand-type", graph(2, &[4], &[RELU])),
        ("program.operand-type", graph(1, &[4], &[&[3, 0, 0, 0, 0]])),
        ("program.attribute", graph(1, &[4], &[&[7, 0, 0, 5, 5]])),
        ("program.attribute", graph(2, &[4], &[&[5, 0, 0, 0, 0, 127, 0, 0, 0, 0, 1]])),
        ("program.attribute", graph(2, &[4], &[&[5, 0, 0, 63, 0, 127, 0, 0, 0, 0, 1]])),
        ("program.attribute", graph(2, &[4], &[&[5, 0, 0, 1, 0, 127, 0, 0x80, 0, 0, 0]])),
        ("program.attribute", graph(2, &[4], &[&[5, 0, 0, 1, 0, 127, 2]])),
        ("program.attribute", graph(1, &[4], &[&[1, 0, 0, 0, 0, 0, 0]])),
        ("program.attribute", graph(1, &[2, 2, 1], &[&[9, 0, 0, 0, 0, 0, 1, 0, 1, 0, 1]])),
        ("program.attribute", graph(1, &[2, 2, 1], &[&[8, 0, 0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0]])),
        ("program.not-minimal", graph(1, &[4], &[&[7, 0, 0, 0x80, 0x7f]])),
        ("program.not-minimal", graph(1, &[4], &[&[10, 0, 0, 1, 0, 0, 0, 4]])),
        ("program.not-minimal", graph(1, &[4], &[&[10, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 2], &[10, 0, 1, 1, 0, 0, 0, 4]])),
        ("program.not-minimal", graph(1, &[4], &[RELU, &[4, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 9]])),
        ("program.weights-length", graph(1, &[4], &[&[1, 0, 0, 0, 0, 0, 1]])),
        ("program.trailing-bytes", [graph(1, &[4], &[RELU]), vec![0]].concat()),
        ("program.overflow", graph(2, &[4], &[&[3, 0, 0, 0, 0]])),
    ];
    for (code, bytes) in cases {
        assert_eq!(refused(&bytes, &[]), code, "{bytes:?}");
    }
}

/// Bytes of a slice of value 0.
fn slice(axis: u8, start: u32, length: u32) -> Vec<u8> {
    [&[17, 0, 0, axis][..], &start.to_be_bytes(), &length.to_be_bytes()].concat()
}

#[test]
fn what_looks_at_rows_and_moves_is_refused_by_code() {
    let square = |nodes: &[&[u8]]| graph(1, &[3, 3], nodes);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("program.attribute", square(&[&[12, 0, 0, 0, 0, 2]])),
        ("program.attribute", square(&[&[13, 0, 0, 2]])),
        ("program.operand-type", graph(2, &[3, 3], &[&[12, 0, 0, 0, 0, 0]])),
        ("program.operand-type", graph(2, &[3, 3], &[&[13, 0, 0, 0]])),
        ("program.operand-type", graph(2, &[3, 3], &[&[14, 0, 0]])),
        // A vector, four axes, and depths that differ.
        ("program.shape", graph(1, &[3], &[&[12, 0, 0, 0, 0, 0]])),
        ("program.shape", graph(1, &[1, 1, 3, 3], &[&[12, 0, 0, 0, 0, 0]])),
        ("program.shape", graph(1, &[3, 4], &[&[12, 0, 0, 0, 0, 0]])),
        ("program.shape", graph(1, &[2, 3, 4], &[&[12, 0, 0, 0, 0, 0]])),
        ("program.overflow", graph(1, &[1, 1 << 17], &[&[12, 0, 0, 0, 0, 1]])),
        ("program.weights-length", square(&[&[13, 0, 0, 0]])),
        ("program.shape", graph(1, &[3], &[&[13, 0, 0, 1]])),
        ("program.shape", graph(1, &[3, 4], &[&[13, 0, 0, 1]])),
        ("program.shape", graph(1, &[4_097], &[&[14, 0, 0]])),
        ("program.not-minimal", square(&[&[15, 0, 0, 0, 0, 0, 1]])),
        ("program.attribute", square(&[&[15, 0, 0, 0, 0, 0, 0]])),
        ("program.attribute", square(&[&[15, 0, 0, 0, 0x10, 0, 1]])),
        ("program.shape", square(&[&[15, 0, 0, 0, 0, 0, 4]])),
        ("program.dimension", square(&[&[16, 0, 0, 0]])),
        ("program.limit", square(&[&[16, 0, 0, 5, 4, 3, 2, 1, 0]])),
        ("program.attribute", square(&[&[16, 0, 0, 2, 1, 1]])),
        ("program.attribute", square(&[&[16, 0, 0, 2, 1, 2]])),
        ("program.not-minimal", square(&[&[16, 0, 0, 2, 0, 1]])),
        ("program.shape", square(&[&[16, 0, 0, 3, 2, 1, 0]])),
        ("program.not-minimal", square(&[&[16, 0, 0, 2, 1, 0], &[16, 0, 1, 2, 1, 0]])),
        ("program.attribute", square(&[&slice(0, 0, 0)])),
        ("program.shape", square(&[&slice(2, 0, 1)])),
        ("program.shape", square(&[&slice(255, 0, 1)])),
        ("program.shape", square(&[&slice(1, 1, 3)])),
        ("program.shape", square(&[&slice(1, u32::MAX, u32::MAX)])),
        ("program.not-minimal", square(&[&slice(1, 0, 3)])),
        ("program.not-minimal", square(&[&slice(0, 0, 2), &[17, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]])),
    ];
    for (code, bytes) in cases {
        assert_eq!(refused(&bytes, &[]), code, "{bytes:?}");
    }
    let softmax = square(&[&[13, 0, 0, 0]]);
    assert_eq!(refused(&softmax, &[0; 512]), "program.table");
    let mut weights = [0; 512];
    weights[1] = 1;
    assert!(Program::assemble(&softmax, &weights).is_ok());
    // Slices of different axes, a product in descending order, the deepest product, the longest row.
    assert!(Program::assemble(&square(&[&slice(0, 0, 2), &[17, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1]]), &[]).is_ok());
    assert!(Program::assemble(&square(&[RELU, &[12, 0, 1, 0, 0, 0]]), &[]).is_ok());
    assert!(Program::assemble(&graph(1, &[1, (1 << 17) - 1], &[&[12, 0, 0, 0, 0, 1]]), &[]).is_ok());
    assert!(Program::assemble(&graph(1, &[4_096], &[&[14, 0, 0]]), &[]).is_ok());
}

#[test]
fn a_graph_that_fits_the_rules_is_taken() {
    assert!(Program::assemble(&graph(1, &[4], &[RELU]), &[]).is_ok());
    assert!(Program::assemble(&graph(2, &[4], &[ARGMAX]), &[]).is_ok());
    let diamond = graph(1, &[4], &[TABLE, RELU, &[4, 0, 1, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 9]]);
    assert!(Program::assemble(&diamond, &[0; 256]).is_ok());
}

#[test]
fn weights_are_refused_by_code() {
    let per_channel = graph(2, &[2], &[&[5, 0, 0, 1, 0, 127, 1]]);
    assert_eq!(refused(&per_channel, &[1, 0, 0, 0, 0, 0, 0, 0x80]), "program.multiplier");
    assert_eq!(refused(&per_channel, &[1, 0, 0, 0, 1, 0, 0, 0]), "program.not-minimal");
    let matmul = graph(1, &[1], &[&[1, 0, 0, 0, 0, 0, 2]]);
    let weights = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80];
    assert_eq!(
        Program::assemble(&matmul, &weights).unwrap_err(),
        Error::Overflow { node: 0, channel: 1, bound: 1 << 31 }
    );
}

#[test]
fn headers_are_refused_by_code() {
    let program = Program::assemble(&graph(1, &[4], &[TABLE]), &[3; 256]).unwrap().to_bytes();
    let changed = |at: usize| {
        let mut bytes = program.clone();
        bytes[at] ^= 1;
        Program::from_bytes(&bytes).unwrap_err().code()
    };
    for at in 0..4 {
        assert_eq!(changed(at), "program.magic");
    }
    assert_eq!((changed(4), changed(5)), ("program.semantics", "program.semantics"));
    assert!((6..14).all(|at| changed(at) == "program.units"));
    assert!((14..46).all(|at| changed(at) == "program.weights-root"));
    assert!((46..50).all(|at| changed(at) == "program.weights-length"));
    assert!((program.len() - 256..program.len()).all(|at| changed(at) == "program.weights-root"));
    assert_eq!(Program::from_bytes(&program[..49]).unwrap_err().code(), "program.truncated");
}

#[test]
fn tensors_are_refused_by_code() {
    let cases: [(&str, &[u8]); 9] = [
        ("tensor.length", b"ILT"),
        ("tensor.magic", b"ILTX\x01\x01\0\0\0\x01\0"),
        ("tensor.dtype", b"ILTV\x03\x01\0\0\0\x01\0"),
        ("tensor.limit", b"ILTV\x01\x09\0\0\0\x01\0"),
        ("tensor.limit", b"ILTV\x01\x02\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("tensor.dimension", b"ILTV\x01\x01\0\0\0\0"),
        ("tensor.length", b"ILTV\x01\x01\0\0\0\x02\0"),
        ("tensor.length", b"ILTV\x01\x01\0\0\0\x01\0\0"),
        ("tensor.length", b"ILTV\x02\x01\0\0\0\x01\0"),
    ];
    for (code, bytes) in cases {
        assert_eq!(Tensor::decode(bytes).unwrap_err().code(), code, "{bytes:?}");
    }
    assert_eq!(Tensor::new(vec![2], Data::I8(vec![1])).unwrap_err().code(), "tensor.length");
    assert_eq!(Tensor::new(vec![1; 9], Data::I8(vec![1])).unwrap_err().code(), "tensor.limit");
}

/// The arithmetic at its edges, by hand.
#[test]
fn rounding_is_half_up_and_saturates() {
    let half = graph(2, &[6], &[&[5, 0, 0, 1, 0x80, 0x7f, 0, 0, 0, 0, 1]]);
    let input = Tensor::new(vec![6], Data::I32(vec![1, -1, 3, -3, i32::MAX, i32::MIN])).unwrap();
    let output = Program::assemble(&half, &[]).unwrap().run(&input).unwrap();
    assert_eq!(output.data(), &Data::I8(vec![1, 0, 2, -1, 127, -128]));
    let widest = graph(2, &[2], &[&[5, 0, 0, 62, 0x80, 0x7f, 0, 0x7f, 0xff, 0xff, 0xff]]);
    let input = Tensor::new(vec![2], Data::I32(vec![i32::MAX, i32::MIN])).unwrap();
    let output = Program::assemble(&widest, &[]).unwrap().run(&input).unwrap();
    assert_eq!(output.data(), &Data::I8(vec![1, -1]));
    let mean = graph(1, &[2, 1, 1], &[&[9, 0, 0, 0, 2, 0, 1, 0, 1, 0, 1]]);
    for (pair, expected) in [([1, 2], 2), ([-1, -2], -1), ([-128, -128], -128), ([127, 127], 127), ([-2, -3], -2)] {
        let input = Tensor::new(vec![2, 1, 1], Data::I8(pair.to_vec())).unwrap();
        let output = Program::assemble(&mean, &[]).unwrap().run(&input).unwrap();
        assert_eq!(output.data(), &Data::I8(vec![expected]), "{pair:?}");
    }
    let ties = graph(1, &[4], &[ARGMAX]);
    let input = Tensor::new(vec![4], Data::I8(vec![1, 5, 5, 2])).unwrap();
    assert_eq!(Program::assemble(&ties, &[]).unwrap().run(&input).unwrap().data(), &Data::I32(vec![1]));
}

fn run(graph: &[u8], weights: &[u8], dims: &[u32], input: &[i8]) -> Data {
    let input = Tensor::new(dims.to_vec(), Data::I8(input.to_vec())).unwrap();
    Program::assemble(graph, weights).unwrap().run(&input).unwrap().data().clone()
}

/// Rows at their edges, by hand.
#[test]
fn rows_are_exact() {
    let halves: Vec<u8> =
        (0..256_u32).flat_map(|d| (1_u16.checked_shl(15 - d.min(15)).unwrap()).to_le_bytes()).collect();
    let softmax = |causal| graph(1, &[3, 3], &[&[13, 0, 0, causal]]);
    let x = [5, 5, 5, 127, 126, -128, 0, 1, 2];
    // 42.33 each; weights 2^15, 2^14 and 1; 2^13, 2^14, 2^15.
    assert_eq!(run(&softmax(0), &halves, &[3, 3], &x), Data::I8(vec![42, 42, 42, 85, 42, 0, 18, 36, 73]));
    assert_eq!(run(&softmax(1), &halves, &[3, 3], &x), Data::I8(vec![127, 0, 0, 85, 42, 0, 18, 36, 73]));
    let normalise = graph(1, &[2, 2], &[&[14, 0, 0]]);
    assert_eq!(run(&normalise, &[], &[2, 2], &[1, 0, 9, 9]), Data::I32(vec![4_096, -4_096, 0, 0]));
    // One element apart from 4,095 equal ones: the square root of 4,095 standard deviations, which is 63.992.
    let mut row = vec![-128; 4_096];
    row[0] = 127;
    let Data::I32(values) = run(&graph(1, &[4_096], &[&[14, 0, 0]]), &[], &[4_096], &row) else { panic!() };
    assert_eq!((values[0], values[1]), (262_112, -64));
    let three = graph(1, &[5], &[&[15, 0, 0, 0, 0, 0, 3]]);
    assert_eq!(run(&three, &[], &[5], &[-128, 7, 127, 7, -1]), Data::I32(vec![2, 1, 3]));
}

#[test]
fn units_are_a_function_of_the_graph() {
    let matmul = graph(1, &[3, 5], &[&[1, 0, 0, 0, 0, 0, 2], &[5, 0, 1, 1, 0, 127, 0, 0, 0, 0, 1]]);
    let program = Program::assemble(&matmul, &[0; 18]).unwrap();
    assert_eq!(program.units(), 128 + 3 * (5 * 16 + 4 * 2 + 16) + 128 + 8 * 6);
    assert!(Graph::decode(&matmul, 0).is_ok());
}
