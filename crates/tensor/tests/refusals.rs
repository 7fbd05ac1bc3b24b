//! Every mistake has its code: each variant of the error is provoked once.
#![allow(clippy::unwrap_used)]

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
        ("program.operator", graph(1, &[4], &[&[12, 0, 0]])),
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

#[test]
fn units_are_a_function_of_the_graph() {
    let matmul = graph(1, &[3, 5], &[&[1, 0, 0, 0, 0, 0, 2], &[5, 0, 1, 1, 0, 127, 0, 0, 0, 0, 1]]);
    let program = Program::assemble(&matmul, &[0; 18]).unwrap();
    assert_eq!(program.units(), 128 + 3 * (5 * 16 + 4 * 2 + 16) + 128 + 8 * 6);
    assert!(Graph::decode(&matmul, 0).is_ok());
}
