//! Proofs are checked by transactions and contracts: true ones hold, others are refused with a reason, and time follows gas.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, missing_docs)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use interlace_evm::{
    Account, BlockEnv, Checks, Halt, Overlay, REGISTER, STORE, SUMCHECK_KEY, SUMCHECK_VERIFY, StateReader, Status,
    TxOutcome, TxRequest, Vm,
};
use interlace_primitives::Fork;
use interlace_sumcheck::{Check, Form, Key, ProverKey, padded_weights, prove};
use interlace_tensor::{DType, Graph, Multiplier, Node, Op, Program, TensorType, leaf};

#[derive(Default)]
struct World(BTreeMap<Address, Bytes>);

impl StateReader for World {
    type Error = Infallible;

    fn account(&self, address: Address) -> Result<Option<Account>, Infallible> {
        let code = |code: &Bytes| Account { nonce: 1, code_hash: keccak256(code), balance: U256::ZERO };
        Ok(self.0.get(&address).map(code))
    }

    fn storage(&self, _: Address, _: U256) -> Result<U256, Infallible> {
        Ok(U256::ZERO)
    }

    fn code(&self, hash: B256) -> Result<Bytes, Infallible> {
        Ok(self.0.values().find(|code| keccak256(code) == hash).cloned().unwrap_or_default())
    }

    fn block_hash(&self, _: u64) -> Result<B256, Infallible> {
        Ok(B256::ZERO)
    }
}

/// Cancun: a transaction costs what it does, without a floor for its bytes and without a bound on its gas.
fn machine(world: &World) -> Vm<&World> {
    let env = BlockEnv {
        fork: Fork::Cancun,
        chain_id: 1,
        number: 5,
        timestamp: 9,
        beneficiary: Address::repeat_byte(3),
        gas_limit: 1 << 40,
        base_fee_wei: 0,
        difficulty: U256::ZERO,
        prev_randao: B256::repeat_byte(1),
        blob_fee_wei: Some(1),
        max_blobs_per_transaction: Some(6),
        ada: true,
    };
    Vm::new(env, Checks::CALL, Overlay::new(world))
}

fn send(vm: &mut Vm<&World>, to: Address, input: &[u8], gas: u64) -> TxOutcome {
    let input = Bytes::copy_from_slice(input);
    let request = TxRequest { to: TxKind::Call(to), gas_limit: gas, input, ..TxRequest::default() };
    vm.overlay_mut().set_account(Address::ZERO, Some(Account::with_balance(U256::from(7))));
    vm.execute(&request).unwrap()
}

const PLENTY: u64 = 1 << 36;

fn intrinsic(input: &[u8]) -> u64 {
    21_000 + input.iter().map(|byte| if *byte == 0 { 4 } else { 16 }).sum::<u64>()
}

fn node(op: Op, operands: &[u16]) -> Node {
    Node { op, operands: operands.to_vec() }
}

fn requantise(shift: u8) -> Op {
    Op::Requantise { multiplier: Multiplier::Tensor(1_518_500_250), shift, lo: 0, hi: 127 }
}

fn program(dims: &[u32], nodes: Vec<Node>, weights: &[u8]) -> Program {
    let input = TensorType { dtype: DType::I8, dims: dims.to_vec() };
    Program::assemble(&Graph { input, nodes }.encode(), weights).unwrap()
}

fn matrix(depth: u32, outputs: u32) -> Vec<u8> {
    let weights = (0..depth * outputs).map(|place| (place.wrapping_mul(2_654_435_761) >> 24) as u8);
    weights.chain((0..outputs).flat_map(|bias| (bias.cast_signed() * 100).to_le_bytes())).collect()
}

/// Dense layers, each clamped at zero, and the place of the largest.
fn dense(widths: &[u32]) -> Program {
    let (mut nodes, mut weights) = (Vec::new(), Vec::new());
    for (layer, pair) in widths.windows(2).enumerate() {
        weights.extend(matrix(pair[0], pair[1]));
        nodes.push(node(Op::MatMul { outputs: pair[1] }, &[nodes.len() as u16]));
        if layer + 2 < widths.len() {
            nodes.push(node(requantise(40), &[nodes.len() as u16]));
        }
    }
    nodes.push(node(Op::ArgMax, &[nodes.len() as u16]));
    program(&[widths[0]], nodes, &weights)
}

#[derive(Clone)]
struct Call {
    context: B256,
    key: Vec<u8>,
    inputs: Vec<u8>,
    outputs: Vec<u8>,
    proof: Vec<u8>,
}

impl Call {
    fn of(program: &Program, batch: usize) -> Self {
        let size = batch * program.input_type().data_bytes();
        let inputs: Vec<u8> = (0..size).map(|place| (place * 91 + 17) as u8).collect();
        let (prover, context) = (ProverKey::new(program).unwrap(), B256::repeat_byte(7));
        let proved = prove(&prover, Form::Succinct, context, &inputs).unwrap();
        let key = prover.key().encode();
        Self { context, key, inputs, outputs: proved.outputs, proof: proved.proof }
    }

    fn bytes(&self) -> Vec<u8> {
        let length = |part: &[u8]| (part.len() as u32).to_be_bytes();
        let lengths = [length(&self.key), length(&self.inputs), length(&self.outputs)].concat();
        [self.context.as_slice(), &lengths, &self.key, &self.inputs, &self.outputs, &self.proof].concat()
    }
}

fn said(outcome: &TxOutcome) -> String {
    let length = outcome.output.get(36..68).map_or(0, |word| U256::from_be_slice(word).to::<usize>());
    assert_eq!(outcome.status, Status::Revert, "{}", outcome.output);
    String::from_utf8(outcome.output[68..68 + length].to_vec()).unwrap()
}

#[test]
fn a_true_proof_holds_and_one_gas_less_is_too_little() {
    let world = World::default();
    let mut vm = machine(&world);
    for (widths, batch) in [(&[5_u32, 3][..], 1), (&[64, 32, 10], 1), (&[17, 33, 9, 2], 5)] {
        let program = dense(widths);
        let call = Call::of(&program, batch);
        let input = call.bytes();
        let outcome = send(&mut vm, SUMCHECK_VERIFY, &input, PLENTY);
        assert_eq!(outcome.status, Status::Success);
        let words = [program.id(), keccak256(&call.key), B256::from(U256::from(batch))].concat();
        assert_eq!(outcome.output.as_ref(), words);
        let key = Key::decode(&call.key).unwrap();
        let work = Check::new(&key, &call.inputs).unwrap().work().unwrap();
        let priced = 3_000 + (input.len() as u64).div_ceil(4) + 8 * call.key.len() as u64 + work;
        assert_eq!(outcome.gas_used, intrinsic(&input) + priced);
        let short = send(&mut vm, SUMCHECK_VERIFY, &input, outcome.gas_used - 1);
        assert_eq!((short.status, short.gas_used), (Status::Halt(Halt::OutOfGas), outcome.gas_used - 1));
    }
}

#[test]
fn a_key_is_made_from_the_weights_that_the_chain_has() {
    let world = World::default();
    let mut vm = machine(&world);
    let (program, other) = (dense(&[300, 100, 10]), dense(&[300, 100, 11]));
    for chunk in program.weights().chunks(24_575) {
        assert!(send(&mut vm, STORE, chunk, PLENTY).is_success());
    }
    let leaves = program.weights().chunks(24_575).flat_map(|chunk| leaf(chunk).to_vec());
    let registration: Vec<u8> = program.manifest().iter().copied().chain(leaves).collect();
    assert!(send(&mut vm, REGISTER, &registration, PLENTY).is_success());
    let outcome = send(&mut vm, SUMCHECK_KEY, program.id().as_slice(), PLENTY);
    let hash = |ty: &TensorType| keccak256(ty.header());
    let key = Call::of(&program, 1).key;
    let words = [keccak256(key), hash(program.input_type()), hash(program.output_type())].concat();
    assert_eq!((outcome.status, outcome.output.as_ref()), (Status::Success, words.as_slice()));
    let (chunks, weights) = (program.weights().len().div_ceil(24_575) as u64, program.weights().len() as u64);
    assert_eq!(padded_weights(program.graph()).unwrap(), 1 << 17, "512 x 128 and 128 x 16, padded once more");
    let priced = 40_000 + 2_600 * (1 + chunks) + weights.div_ceil(16) + (14 << 17);
    assert_eq!(outcome.gas_used - intrinsic(program.id().as_slice()), priced);
    let short = send(&mut vm, SUMCHECK_KEY, program.id().as_slice(), outcome.gas_used - 1);
    assert_eq!(short.status, Status::Halt(Halt::OutOfGas));
    let refused = |vm: &mut Vm<&World>, input: &[u8]| said(&send(vm, SUMCHECK_KEY, input, PLENTY));
    assert!(refused(&mut vm, other.id().as_slice()).starts_with("instruction.unregistered: "));
    assert!(refused(&mut vm, &program.id()[..31]).starts_with("instruction.input: "));
    // A program that no proof covers has no key.
    let only = program_of_argmax();
    assert!(send(&mut vm, REGISTER, only.manifest(), PLENTY).is_success());
    assert!(refused(&mut vm, only.id().as_slice()).starts_with("sumcheck.program: "));
}

fn program_of_argmax() -> Program {
    program(&[4], vec![node(Op::ArgMax, &[0])], &[])
}

#[test]
fn what_is_not_as_it_was_proved_is_refused_with_a_reason() {
    let world = World::default();
    let mut vm = machine(&world);
    let honest = Call::of(&dense(&[16, 8, 4]), 2);
    let other = Call::of(&dense(&[16, 8, 5]), 2);
    let changed = |change: &dyn Fn(&mut Call)| {
        let mut call = honest.clone();
        change(&mut call);
        call.bytes()
    };
    let mut seen = BTreeMap::new();
    let mut refuse = |input: &[u8], code: &str| {
        let outcome = send(&mut vm, SUMCHECK_VERIFY, input, PLENTY);
        let said = said(&outcome);
        assert!(said.starts_with(&format!("{code}: ")) || code.is_empty(), "{code}, not {said}");
        *seen.entry(said.split(':').next().unwrap().to_owned()).or_insert(0) += 1;
    };
    refuse(&changed(&|call| call.context = B256::ZERO), "sumcheck.sum");
    refuse(&changed(&|call| call.inputs[3] ^= 1), "sumcheck.sum");
    refuse(&changed(&|call| call.outputs[0] ^= 1), "sumcheck.value");
    refuse(&changed(&|call| call.key = other.key.clone()), "");
    refuse(&changed(&|call| *call.key.last_mut().unwrap() ^= 1), "sumcheck.opening");
    refuse(&changed(&|call| call.key.truncate(30)), "sumcheck.graph");
    refuse(&changed(&|call| call.key[0] ^= 1), "sumcheck.malformed-key");
    refuse(&changed(&|call| call.inputs.truncate(17)), "sumcheck.length");
    refuse(&changed(&|call| call.inputs.clear()), "sumcheck.limit");
    refuse(&changed(&|call| call.proof.push(0)), "sumcheck.trailing");
    refuse(&changed(&|call| call.proof.truncate(100)), "sumcheck.short");
    refuse(&changed(&|call| call.proof[20_000..].fill(255)), "");
    for place in (0..honest.proof.len()).step_by(honest.proof.len() / 200) {
        refuse(&changed(&|call| call.proof[place] ^= 1), "");
    }
    let whole = honest.bytes();
    refuse(&whole[..43], "instruction.input");
    refuse(&[], "instruction.input");
    for place in 32..44 {
        let mut input = whole.clone();
        input[place] = 255;
        refuse(&input, "");
    }
    assert!(seen.len() >= 9, "{seen:?}");
}

/// Bytes of strangers: spoilt anywhere, cut anywhere, of other keys; nothing panics, and nothing false holds.
#[test]
fn strangers_cannot_stop_a_machine() {
    let world = World::default();
    let mut vm = machine(&world);
    let call = Call::of(&dense(&[6, 5, 3]), 1);
    let whole = call.bytes();
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    for round in 0..1_500 {
        let mut input = whole.clone();
        // Mostly in the key, where lengths and shapes are stated.
        let range = if round % 3 == 0 { whole.len() } else { 44 + call.key.len() };
        for _ in 0..1 + next() % 3 {
            let place = next() % range;
            input[place] = if next() % 2 == 0 { next() as u8 } else { input[place] ^ (1 << (next() % 8)) };
        }
        if next() % 5 == 0 {
            input.truncate(next() % whole.len());
        }
        if input != whole {
            // Reverts, or needs more than a block has.
            let outcome = send(&mut vm, SUMCHECK_VERIFY, &input, 60_000_000);
            assert!(!outcome.is_success(), "round {round}");
        }
    }
}

/// What this thread has had of a core, where the system tells; all the time elsewhere.
fn spent(since: Instant) -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|line| line.split(' ').next()?.parse().ok());
    nanoseconds.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

/// The least that it took in some rounds, each long enough for a clock that ticks every few milliseconds.
fn quickest(mut act: impl FnMut()) -> Duration {
    let mut round = || {
        let clock = Instant::now();
        let (start, mut times) = (spent(clock), 0);
        loop {
            act();
            times += 1;
            let taken = spent(clock).saturating_sub(start);
            if taken >= Duration::from_millis(40) || times >= 1_000 {
                return taken / times;
            }
        }
    };
    (0..3).map(|_| round()).min().unwrap()
}

/// Programs for which one of the steps of a check is nearly all there is.
fn shapes() -> Vec<(&'static str, Program, usize)> {
    let clamps = |count: u16, dims: &[u32]| {
        let clamp = |value: u16| node(Op::Clamp { lo: -100, hi: (value % 100) as i8 }, &[value]);
        program(dims, (0..count).map(clamp).collect(), &[])
    };
    let wide =
        |depth: u32, outputs: u32| program(&[depth], vec![node(Op::MatMul { outputs }, &[0])], &matrix(depth, outputs));
    // Every sum reads the input again.
    let mut nodes = Vec::new();
    let add = Op::AddI8 { multipliers: [1 << 20, 1 << 20], shift: 21, lo: -128, hi: 127 };
    nodes.push(node(add.clone(), &[0, 0]));
    nodes.extend((1..24).map(|value| node(add.clone(), &[0, value])));
    let rereads = program(&[1 << 12], nodes, &[]);
    let tail = vec![
        node(Op::MatMul { outputs: 1_024 }, &[0]),
        node(requantise(40), &[1]),
        node(Op::Normalise, &[2]),
        node(Op::TopK { count: 1_024 }, &[3]),
    ];
    vec![
        ("2k", dense(&[64, 32, 10]), 1),
        ("85k", dense(&[784, 100, 64, 10]), 1),
        ("85k, 16 inputs", dense(&[784, 100, 64, 10]), 16),
        ("1x1", wide(1, 1), 1),
        ("65,536x1", wide(65_536, 1), 1),
        ("1x65,536", wide(1, 65_536), 1),
        ("60 clamps of 1", clamps(60, &[1]), 1),
        ("400 clamps of 1", clamps(400, &[1]), 1),
        ("8 clamps of 65,536", clamps(8, &[65_536]), 1),
        ("24 sums that read 4,096 inputs", rereads, 1),
        ("normalised and sorted", program(&[4], tail, &matrix(4, 1_024)), 64),
    ]
}

/// `cargo test --release -p interlace-evm --test sumcheck price -- --nocapture` prints nanoseconds for a unit of gas.
#[test]
fn time_follows_the_price() {
    let world = World::default();
    let mut vm = machine(&world);
    println!("{:<34}{:>10}{:>12}{:>10}{:>8}{:>8}", "", "bytes", "gas", "us", "ns/gas", "cut");
    for (name, program, batch) in shapes() {
        let call = Call::of(&program, batch);
        let input = call.bytes();
        let per_gas = |vm: &mut Vm<&World>, input: &[u8]| {
            let gas = send(vm, SUMCHECK_VERIFY, input, PLENTY).gas_used - intrinsic(input);
            // What a call of as many bytes takes that ends at once.
            let idle = quickest(|| drop(send(vm, Address::repeat_byte(9), input, PLENTY)));
            let taken = quickest(|| drop(send(vm, SUMCHECK_VERIFY, input, PLENTY))).saturating_sub(idle);
            (gas, taken, taken.as_nanos() as f64 / gas as f64)
        };
        let (gas, taken, whole) = per_gas(&mut vm, &input);
        // Cut before the end, it has done nearly all, and nothing of it holds.
        let (_, _, cut) = per_gas(&mut vm, &input[..input.len() - 1]);
        println!("{name:<34}{:>10}{gas:>12}{:>10}{whole:>8.1}{cut:>8.1}", input.len(), taken.as_micros());
        assert!(whole < 80.0 && cut < 80.0, "{name}: {whole} and {cut} nanoseconds for a unit of gas");
    }
}

/// The same for keys: `cargo test --release -p interlace-evm --test sumcheck keys -- --nocapture`.
#[test]
fn keys_take_what_they_are_paid_for() {
    for (name, program) in [
        ("2k", dense(&[64, 32, 10])),
        ("85k", dense(&[784, 100, 64, 10])),
        ("513x513", dense(&[513, 513])),
        ("65,537x1", dense(&[65_537, 1])),
    ] {
        let gas = 40_000 + 14 * padded_weights(program.graph()).unwrap();
        let taken = quickest(|| drop(Key::of(&program)));
        let per_gas = taken.as_nanos() as f64 / gas as f64;
        println!("{name:<12}{gas:>12}{:>10} us{per_gas:>8.1} ns/gas", taken.as_micros());
        assert!(per_gas < 80.0, "{name}");
    }
}
