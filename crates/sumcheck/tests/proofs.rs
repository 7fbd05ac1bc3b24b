//! Proofs of programs of every covered operator hold, are bound to everything they are about, and no byte of one can be changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use alloy_primitives::B256;
use interlace_sumcheck::{Form, Key, ProverKey, prove, verify, verify_with_program};
use interlace_tensor::{DType, Graph, Multiplier, Node, Op, Path, Program, TensorType};
use proptest::prelude::*;

/// Numbers that look random (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    fn biases(&mut self, count: usize) -> Vec<u8> {
        (0..count).flat_map(|_| (self.next() as i32 >> 16).to_le_bytes()).collect()
    }
}

fn node(op: Op, operands: &[u16]) -> Node {
    Node { op, operands: operands.to_vec() }
}

fn i8s(dims: &[u32]) -> TensorType {
    TensorType { dtype: DType::I8, dims: dims.to_vec() }
}

fn requantise(shift: u8, lo: i8, hi: i8) -> Op {
    Op::Requantise { multiplier: Multiplier::Tensor(1_518_500_250), shift, lo, hi }
}

fn program(input: TensorType, nodes: Vec<Node>, weights: &[u8]) -> Program {
    Program::assemble(&Graph { input, nodes }.encode(), weights).unwrap()
}

/// A network of dense layers, each clamped at zero, with an argmax.
fn dense(widths: &[u32], seed: u64) -> Program {
    let mut numbers = Numbers(seed);
    let (mut nodes, mut weights) = (Vec::new(), Vec::new());
    for (layer, pair) in widths.windows(2).enumerate() {
        weights.extend(numbers.bytes((pair[0] * pair[1]) as usize));
        weights.extend(numbers.biases(pair[1] as usize));
        nodes.push(node(Op::MatMul { outputs: pair[1] }, &[nodes.len() as u16]));
        if layer + 2 < widths.len() {
            nodes.push(node(requantise(40, 0, 127), &[nodes.len() as u16]));
        }
    }
    nodes.push(node(Op::ArgMax, &[nodes.len() as u16]));
    program(i8s(&[widths[0]]), nodes, &weights)
}

/// Every covered operator: rows, a reshaped input, multipliers by channel, tables, both additions, a range that is not full.
fn everything(seed: u64) -> Program {
    let mut numbers = Numbers(seed);
    let mut weights = numbers.bytes(10 * 6);
    weights.extend(numbers.biases(6));
    weights.extend((0..6).flat_map(|channel| (1_073_741_824_i32 + 12_345_678 * channel).to_le_bytes()));
    weights.extend(numbers.bytes(256));
    weights.extend(numbers.bytes(6 * 6));
    weights.extend(numbers.biases(6));
    weights.extend(numbers.bytes(6 * 6));
    weights.extend(numbers.biases(6));
    let nodes = vec![
        node(Op::Reshape { dims: vec![3, 10] }, &[0]),
        node(Op::MatMul { outputs: 6 }, &[1]),
        node(Op::Requantise { multiplier: Multiplier::Channel, shift: 39, lo: -128, hi: 127 }, &[2]),
        node(Op::Table, &[3]),
        node(Op::AddI8 { multipliers: [1_200_000_000, 1_100_000_000], shift: 31, lo: -100, hi: 120 }, &[3, 4]),
        node(Op::MatMul { outputs: 6 }, &[5]),
        node(Op::Clamp { lo: -50, hi: 60 }, &[3]),
        node(Op::MatMul { outputs: 6 }, &[7]),
        node(Op::AddI32, &[6, 8]),
        node(requantise(37, -7, 127), &[9]),
        node(Op::Reshape { dims: vec![18] }, &[10]),
        node(Op::TopK { count: 3 }, &[11]),
    ];
    program(i8s(&[30]), nodes, &weights)
}

fn roundtrip(program: &Program, batch: usize, seed: u64) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
    let inputs = Numbers(seed).bytes(batch * program.input_type().data_bytes());
    let key = ProverKey::new(program).unwrap();
    let decoded = Key::decode(&key.key().encode()).unwrap();
    assert_eq!(decoded.program(), program.id());
    let context = B256::repeat_byte(7);
    let proved = prove(&key, Form::Succinct, context, &inputs).unwrap();
    assert_eq!(proved.outputs, program.run_batch(Path::best(), &inputs).unwrap());
    verify(&decoded, context, &inputs, &proved.outputs, &proved.proof).unwrap();
    let short = prove(&key, Form::WithProgram, context, &inputs).unwrap();
    verify_with_program(program, context, &inputs, &short.outputs, &short.proof).unwrap();
    (inputs, proved.outputs, proved.proof)
}

#[test]
fn answers_of_dense_networks_are_proved() {
    for (widths, batch) in
        [(&[5_u32, 3][..], 1), (&[64, 32, 10], 1), (&[64, 32, 10], 5), (&[1, 1, 1], 3), (&[17, 33, 9, 2], 8)]
    {
        roundtrip(&dense(widths, 1), batch, 2);
    }
}

#[test]
fn answers_of_every_covered_operator_are_proved() {
    for batch in [1, 2, 7] {
        roundtrip(&everything(3), batch, 4);
    }
}

#[test]
fn a_proof_is_bound_to_all_it_is_about() {
    let program = dense(&[16, 8, 4], 5);
    let key = ProverKey::new(&program).unwrap();
    let (inputs, outputs, proof) = roundtrip(&program, 2, 6);
    let context = B256::repeat_byte(7);
    let refused =
        |context, inputs: &[u8], outputs: &[u8], key: &Key| verify(key, context, inputs, outputs, &proof).is_err();
    assert!(refused(B256::repeat_byte(8), &inputs, &outputs, key.key()));
    for byte in 0..inputs.len() {
        let mut other = inputs.clone();
        other[byte] ^= 1;
        assert!(refused(context, &other, &outputs, key.key()));
    }
    for byte in 0..outputs.len() {
        let mut other = outputs.clone();
        other[byte] ^= 1;
        assert!(refused(context, &inputs, &other, key.key()));
    }
    let other = ProverKey::new(&dense(&[16, 8, 4], 9)).unwrap();
    assert!(refused(context, &inputs, &outputs, other.key()));
    assert!(refused(context, &inputs[..16], &outputs[..4], key.key()));
}

#[test]
fn no_byte_of_a_proof_can_be_changed() {
    let program = everything(3);
    let key = ProverKey::new(&program).unwrap();
    let (inputs, outputs, proof) = roundtrip(&program, 1, 10);
    let context = B256::repeat_byte(7);
    let holds = |proof: &[u8]| verify(key.key(), context, &inputs, &outputs, proof);
    let step = (proof.len() / 600).max(1);
    for byte in (0..proof.len()).step_by(step) {
        for bit in [0, 7] {
            let mut other = proof.clone();
            other[byte] ^= 1 << bit;
            assert!(holds(&other).is_err(), "byte {byte} of {}", proof.len());
        }
    }
    for len in (0..proof.len()).step_by(step) {
        assert!(holds(&proof[..len]).is_err());
    }
    assert_eq!(holds(&[proof.as_slice(), &[0]].concat()).unwrap_err().code(), "sumcheck.trailing");
    assert!(holds(&Numbers(1).bytes(proof.len())).is_err());
}

/// A prover with other weights than the key's: its proof is whole and right but for the matrices.
#[test]
fn other_weights_are_refused() {
    let honest = dense(&[16, 8, 4], 5);
    let mut bytes = honest.to_bytes();
    let manifest = honest.manifest().len();
    for place in 0..16 * 8 {
        bytes[manifest + place] ^= u8::from(place == 40);
    }
    let graph = honest.graph().encode();
    let liar = Program::assemble(&graph, &bytes[manifest..]).unwrap();
    let (honest_key, liar_key) = (ProverKey::new(&honest).unwrap(), ProverKey::new(&liar).unwrap());
    let inputs = Numbers(3).bytes(16);
    let proved = prove(&liar_key, Form::Succinct, B256::ZERO, &inputs).unwrap();
    verify(liar_key.key(), B256::ZERO, &inputs, &proved.outputs, &proved.proof).unwrap();
    assert!(verify(honest_key.key(), B256::ZERO, &inputs, &proved.outputs, &proved.proof).is_err());
}

#[test]
fn what_is_not_covered_is_said() {
    let mut numbers = Numbers(1);
    let image = TensorType { dtype: DType::I8, dims: vec![4, 4, 1] };
    let window = interlace_tensor::Window { height: 2, width: 2, stride_height: 2, stride_width: 2 };
    let pool = program(image, vec![node(Op::AveragePool { window }, &[0])], &[]);
    assert_eq!(ProverKey::new(&pool).unwrap_err().code(), "sumcheck.program");
    let only_argmax = program(i8s(&[4]), vec![node(Op::ArgMax, &[0])], &[]);
    assert_eq!(ProverKey::new(&only_argmax).unwrap_err().code(), "sumcheck.program");
    let mut weights = numbers.bytes(4 * 4);
    weights.extend(numbers.biases(4));
    let wide = program(
        i8s(&[4]),
        vec![
            node(Op::MatMul { outputs: 4 }, &[0]),
            node(Op::Requantise { multiplier: Multiplier::Tensor(1), shift: 62, lo: -128, hi: 127 }, &[1]),
        ],
        &weights,
    );
    assert_eq!(ProverKey::new(&wide).unwrap_err().code(), "sumcheck.program");
    let key = ProverKey::new(&dense(&[4, 4, 4], 1)).unwrap();
    assert_eq!(prove(&key, Form::Succinct, B256::ZERO, &[0; 5]).unwrap_err().code(), "sumcheck.length");
    assert_eq!(prove(&key, Form::Succinct, B256::ZERO, &[]).unwrap_err().code(), "sumcheck.limit");
    let mut bytes = key.key().encode();
    bytes.truncate(bytes.len() - 1);
    assert_eq!(Key::decode(&bytes).unwrap_err().code(), "sumcheck.malformed-key");
    assert_eq!(Key::decode(b"ILS?").unwrap_err().code(), "sumcheck.malformed-key");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Bytes of strangers are refused with a code: keys, proofs, inputs and outputs, random or nearly right.
    #[test]
    fn bytes_of_strangers_never_panic(seed: u64, place in 0_usize..4_096, bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let program = dense(&[6, 5, 3], 1);
        let honest = ProverKey::new(&program).unwrap();
        let inputs = Numbers(seed).bytes(6);
        let proved = prove(&honest, Form::Succinct, B256::ZERO, &inputs).unwrap();
        let spoilt = |whole: &[u8]| {
            let at = place % whole.len();
            let end = (at + bytes.len()).min(whole.len());
            let changed = [&whole[..at], &bytes, &whole[end..]].concat();
            (changed != whole).then_some(changed)
        };
        if let Some(proof) = spoilt(&proved.proof) {
            prop_assert!(verify(honest.key(), B256::ZERO, &inputs, &proved.outputs, &proof).is_err());
        }
        if let Some(outputs) = spoilt(&proved.outputs) {
            prop_assert!(verify(honest.key(), B256::ZERO, &inputs, &outputs, &proved.proof).is_err());
        }
        if let Some(key) = spoilt(&honest.key().encode())
            && let Ok(key) = Key::decode(&key)
        {
            prop_assert!(verify(&key, B256::ZERO, &inputs, &proved.outputs, &proved.proof).is_err());
        }
        prop_assert!(Key::decode(&bytes).is_err());
        prop_assert!(verify(honest.key(), B256::ZERO, &bytes, &bytes, &bytes).is_err());
    }
}
