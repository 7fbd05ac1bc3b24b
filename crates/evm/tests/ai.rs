//! Programs are stored, registered and run by transactions and contracts; wrong use is told and changes nothing.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use alloy_primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use interlace_evm::{
    Account, AccountChange, BlockEnv, Checks, CodeCache, EVAL, Halt, INFER, Overlay, REGISTER, STORE, StateReader,
    Status, TxOutcome, TxRequest, Vm, chunk_address, program_address,
};
use interlace_primitives::Fork;
use interlace_tensor::{DType, Data, Graph, Multiplier, Node, Op, Program, Tensor, TensorType, leaf};

/// Contracts, and perhaps a place where programs are kept.
#[derive(Default)]
struct World(BTreeMap<Address, Bytes>, Option<Arc<CodeCache>>);

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

    fn code_cache(&self) -> Option<&CodeCache> {
        self.1.as_deref()
    }
}

fn env(ada: bool) -> BlockEnv {
    BlockEnv {
        fork: Fork::Osaka,
        chain_id: 1,
        number: 5,
        timestamp: 9,
        beneficiary: Address::repeat_byte(3),
        gas_limit: 60_000_000,
        base_fee_wei: 0,
        difficulty: U256::ZERO,
        prev_randao: B256::repeat_byte(1),
        blob_fee_wei: Some(1),
        max_blobs_per_transaction: Some(6),
        ada,
    }
}

fn machine(ada: bool, world: &World) -> Vm<&World> {
    Vm::new(env(ada), Checks::CALL, Overlay::new(world))
}

fn send(vm: &mut Vm<&World>, to: Address, input: &[u8], gas: u64) -> TxOutcome {
    let request = TxRequest {
        to: TxKind::Call(to),
        gas_limit: gas,
        input: Bytes::copy_from_slice(input),
        ..TxRequest::default()
    };
    vm.overlay_mut().set_account(Address::ZERO, Some(Account::with_balance(U256::from(7))));
    vm.execute(&request).unwrap()
}

const PLENTY: u64 = 16_000_000;

/// Four outputs of eight inputs: a product, brought back to 8 bits.
fn small() -> Program {
    let input = TensorType { dtype: DType::I8, dims: vec![8] };
    let requantise = Op::Requantise { multiplier: Multiplier::Tensor(1 << 20), shift: 24, lo: -128, hi: 127 };
    let nodes =
        vec![Node { op: Op::MatMul { outputs: 4 }, operands: vec![0] }, Node { op: requantise, operands: vec![1] }];
    let mut weights: Vec<u8> = (0..32_u8).map(|number| number.wrapping_mul(37)).collect();
    weights.extend((0..4_i32).flat_map(|bias| (bias * 100).to_le_bytes()));
    Program::assemble(&Graph { input, nodes }.encode(), &weights).unwrap()
}

/// A matrix of 300 by 300: four chunks of weights. Its result is of 32 bits.
fn larger() -> Program {
    let input = TensorType { dtype: DType::I8, dims: vec![300] };
    let nodes = vec![Node { op: Op::MatMul { outputs: 300 }, operands: vec![0] }];
    let mut weights: Vec<u8> = (0..90_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    weights.extend((0..300_i32).flat_map(|bias| (bias * -7_000).to_le_bytes()));
    Program::assemble(&Graph { input, nodes }.encode(), &weights).unwrap()
}

fn manifest_and_leaves(program: &Program) -> Vec<u8> {
    let leaves = program.weights().chunks(24_575).flat_map(|chunk| leaf(chunk).to_vec());
    program.manifest().iter().copied().chain(leaves).collect()
}

fn put(vm: &mut Vm<&World>, program: &Program) {
    for chunk in program.weights().chunks(24_575) {
        let outcome = send(vm, STORE, chunk, PLENTY);
        assert_eq!((outcome.status, outcome.output.as_ref()), (Status::Success, leaf(chunk).as_slice()));
    }
    let outcome = send(vm, REGISTER, &manifest_and_leaves(program), PLENTY);
    assert_eq!(outcome.status, Status::Success, "{}", said(&outcome));
    assert_eq!(outcome.output.as_ref(), program.id().as_slice());
}

fn asked(program: &Program, elements: &[u8]) -> Vec<u8> {
    [program.id().as_slice(), elements].concat()
}

/// The reason of a revert.
fn said(outcome: &TxOutcome) -> String {
    let output = &outcome.output;
    if output.len() < 68 || output[..4] != [0x08, 0xc3, 0x79, 0xa0] {
        return format!("{:?} {output}", outcome.status);
    }
    let length = U256::from_be_slice(&output[36..68]).to::<usize>();
    assert_eq!(output.len(), 68 + length.next_multiple_of(32));
    String::from_utf8(output[68..68 + length].to_vec()).unwrap()
}

fn expected(program: &Program, elements: &[i8]) -> Data {
    let input = Tensor::new(program.input_type().dims.clone(), Data::I8(elements.to_vec())).unwrap();
    program.run(&input).unwrap().data().clone()
}

#[test]
fn what_is_registered_runs_as_it_does_elsewhere() {
    let world = World::default();
    let mut vm = machine(true, &world);
    let (small, larger) = (small(), larger());
    put(&mut vm, &small);
    put(&mut vm, &larger);
    for round in 0..20_i32 {
        let elements: Vec<i8> = (0..300).map(|place| (place * 91 + round * 57) as i8).collect();
        let bytes: Vec<u8> = elements.iter().map(|element| element.cast_unsigned()).collect();
        let outcome = send(&mut vm, INFER, &asked(&small, &bytes[..8]), PLENTY);
        let Data::I8(output) = expected(&small, &elements[..8]) else { panic!() };
        assert_eq!(outcome.output.to_vec(), output.iter().map(|value| value.cast_unsigned()).collect::<Vec<_>>());
        let outcome = send(&mut vm, INFER, &asked(&larger, &bytes), PLENTY);
        let Data::I32(output) = expected(&larger, &elements) else { panic!() };
        assert_eq!(outcome.output.to_vec(), output.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<_>>());
    }
}

#[test]
fn it_lies_where_it_follows_from_and_survives_the_block() {
    let world = World::default();
    let mut vm = machine(true, &world);
    let program = larger();
    put(&mut vm, &program);
    let changes = vm.overlay().changes();
    let code = |address: Address| changes.codes[&changes.accounts[&address].info.unwrap().code_hash].clone();
    for chunk in program.weights().chunks(24_575) {
        assert_eq!(code(chunk_address(leaf(chunk))), [&[0], chunk].concat());
        assert_eq!(changes.accounts[&chunk_address(leaf(chunk))].info.unwrap().code_hash, leaf(chunk));
    }
    assert_eq!(code(program_address(program.id())), [&[0], manifest_and_leaves(&program).as_slice()].concat());
    // In another block, of a state that has it.
    let accounts = changes.accounts.iter().filter_map(|(address, change)| {
        let hash = change.info?.code_hash;
        Some((*address, changes.codes.get(&hash)?.clone()))
    });
    let world = World(accounts.collect(), None);
    let mut vm = machine(true, &world);
    assert!(send(&mut vm, INFER, &asked(&program, &[5; 300]), PLENTY).is_success());
    // Nobody can do anything to it: its code is a STOP.
    let before = vm.overlay().changes();
    assert!(send(&mut vm, program_address(program.id()), &[], PLENTY).is_success());
    let reached = |changes: &interlace_evm::Changes| changes.accounts.get(&program_address(program.id())).cloned();
    assert_eq!(reached(&before), reached(&vm.overlay().changes()));
}

#[test]
fn gas_follows_from_shapes_and_one_less_is_too_little() {
    let world = World::default();
    let mut vm = machine(true, &world);
    let program = larger();
    put(&mut vm, &program);
    let input = asked(&program, &[1; 300]);
    let used = send(&mut vm, INFER, &input, PLENTY).gas_used;
    // 21,000 and 16 for each byte of input that is not zero; what is left is the instruction's.
    let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
    let intrinsic = 21_000 + zeros * 4 + (input.len() as u64 - zeros) * 16;
    let (chunks, weights) = (4, 90_000_u64 + 1_200);
    let priced = 3_000 + 2_600 * (1 + chunks) + (300_u64.div_ceil(32) + 1_200_u64.div_ceil(32)) * 3;
    assert_eq!(used - intrinsic, priced + program.units().div_ceil(16) + weights.div_ceil(16));
    // As often as it is called, whatever is asked.
    assert_eq!(send(&mut vm, INFER, &input, PLENTY).gas_used, used);
    let outcome = send(&mut vm, INFER, &input, used - 1);
    assert_eq!((outcome.status, outcome.gas_used), (Status::Halt(Halt::OutOfGas), used - 1));
    assert!(send(&mut vm, INFER, &input, used).is_success());
    // A little less for each step on the way there.
    let floor = 21_000 + 10 * (zeros + 4 * (input.len() as u64 - zeros));
    for gas in (floor.max(intrinsic)..used).step_by(97) {
        let outcome = send(&mut vm, INFER, &input, gas);
        assert_eq!((outcome.status, outcome.gas_used), (Status::Halt(Halt::OutOfGas), gas));
    }
}

#[test]
fn a_graph_that_is_brought_along_runs_as_the_program_does() {
    let world = World::default();
    let mut vm = machine(true, &world);
    let program = small();
    let graph = &program.manifest()[50..];
    let input = [graph, program.weights(), &[255, 2, 3, 0, 9, 128, 127, 1]].concat();
    let outcome = send(&mut vm, EVAL, &input, PLENTY);
    let answer = Tensor::from_elements(program.output_type().clone(), &outcome.output).unwrap();
    assert_eq!(answer.data(), &expected(&program, &[-1, 2, 3, 0, 9, -128, 127, 1]));
    let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
    let intrinsic = 21_000 + zeros * 4 + (input.len() as u64 - zeros) * 16;
    let words = (input.len() as u64).div_ceil(32) + (outcome.output.len() as u64).div_ceil(32);
    let nodes = 32 * program.graph().nodes.len() as u64;
    let priced =
        3_000 + words * 3 + nodes + program.units().div_ceil(16) + (program.weights().len() as u64).div_ceil(4);
    assert_eq!(outcome.gas_used, intrinsic + priced);
    let short = send(&mut vm, EVAL, &input, outcome.gas_used - 1);
    assert_eq!((short.status, short.gas_used), (Status::Halt(Halt::OutOfGas), outcome.gas_used - 1));
    let changes = vm.overlay().changes();
    assert!(changes.codes.is_empty());
}

#[test]
fn what_is_there_is_not_paid_for_again() {
    let world = World::default();
    let mut vm = machine(true, &world);
    let program = small();
    let first = send(&mut vm, STORE, program.weights(), PLENTY).gas_used;
    let again = send(&mut vm, STORE, program.weights(), PLENTY).gas_used;
    assert_eq!(first - again, 25_000 + (program.weights().len() as u64 + 1) * 16);
    let input = manifest_and_leaves(&program);
    let first = send(&mut vm, REGISTER, &input, PLENTY).gas_used;
    let again = send(&mut vm, REGISTER, &input, PLENTY).gas_used;
    let weights = program.weights().len() as u64;
    assert_eq!(first - again, 25_000 + (input.len() as u64 + 1) * 16 + 2_600 + weights.div_ceil(4));
}

#[test]
fn wrong_use_is_told_and_changes_nothing() {
    let world = World::default();
    let mut vm = machine(true, &world);
    let program = small();
    let registration = manifest_and_leaves(&program);
    let refused = |vm: &mut Vm<&World>, to: Address, input: &[u8], code: &str| {
        let before = vm.overlay().changes();
        let outcome = send(vm, to, input, PLENTY);
        assert_eq!(outcome.status, Status::Revert, "{code}: {}", said(&outcome));
        assert!(said(&outcome).starts_with(&format!("{code}: ")), "{code}: {}", said(&outcome));
        assert!(outcome.gas_used < PLENTY);
        let strip = |mut changes: interlace_evm::Changes| {
            changes.accounts.remove(&Address::ZERO);
            changes.accounts.retain(|_, change| change.info.is_some());
            (changes.accounts, changes.codes)
        };
        assert_eq!(strip(before), strip(vm.overlay().changes()), "{code}");
    };
    refused(&mut vm, STORE, &[], "instruction.chunk");
    refused(&mut vm, STORE, &[1; 24_576], "instruction.chunk");
    refused(&mut vm, INFER, &[1; 31], "instruction.input");
    refused(&mut vm, INFER, &asked(&program, &[1; 8]), "instruction.unregistered");
    refused(&mut vm, REGISTER, &registration, "instruction.chunk-missing");
    assert!(send(&mut vm, STORE, program.weights(), PLENTY).is_success());
    refused(&mut vm, REGISTER, &[], "program.truncated");
    refused(&mut vm, REGISTER, &registration[..registration.len() - 1], "instruction.leaves");
    refused(&mut vm, REGISTER, &[registration.as_slice(), &[0]].concat(), "instruction.leaves");
    refused(&mut vm, REGISTER, &[registration.as_slice(), &vec![0; 24_576]].concat(), "instruction.manifest");
    let mut other = registration.clone();
    other[13] ^= 1;
    refused(&mut vm, REGISTER, &other, "program.units");
    let mut other = registration.clone();
    other[20] ^= 1;
    refused(&mut vm, REGISTER, &other, "program.weights-root");
    assert!(send(&mut vm, REGISTER, &registration, PLENTY).is_success());
    let evaluated = [&program.manifest()[50..], program.weights(), &[1; 8]].concat();
    assert!(send(&mut vm, EVAL, &evaluated, PLENTY).is_success());
    refused(&mut vm, EVAL, &[], "program.truncated");
    refused(&mut vm, EVAL, &evaluated[..evaluated.len() - 1], "instruction.input");
    refused(&mut vm, EVAL, &[evaluated.as_slice(), &[0]].concat(), "instruction.input");
    refused(&mut vm, EVAL, program.manifest(), "program.dtype");
    refused(&mut vm, INFER, &asked(&program, &[1; 7]), "instruction.input");
    refused(&mut vm, INFER, &asked(&program, &[1; 9]), "instruction.input");
    assert!(send(&mut vm, INFER, &asked(&program, &[1; 8]), PLENTY).is_success());
}

#[test]
fn without_the_fork_there_is_nothing() {
    let world = World::default();
    let mut vm = machine(false, &world);
    for to in [STORE, REGISTER, INFER, EVAL] {
        let outcome = send(&mut vm, to, &[1, 2, 3], 100_000);
        assert_eq!((outcome.status, outcome.output.len()), (Status::Success, 0));
        assert_eq!(outcome.gas_used, 21_000 + 3 * 40); // EIP-7623
    }
    assert!(vm.overlay().changes().codes.is_empty());
}

/// Passes its input on to `to` by `opcode` (CALL, STATICCALL, DELEGATECALL), and what comes of it back: 1 and the output, or 0 and the reason.
fn forwarder(opcode: u8, to: Address, value: u8) -> Bytes {
    let mut code = vec![0x36, 0x5f, 0x5f, 0x37, 0x5f, 0x5f, 0x36, 0x5f];
    if opcode == 0xf1 {
        code.extend([0x60, value]);
    }
    code.push(0x73);
    code.extend(to);
    code.extend([0x5a, opcode, 0x5f, 0x52, 0x3d, 0x5f, 0x60, 0x20, 0x3e, 0x3d, 0x60, 0x20, 0x01, 0x5f, 0xf3]);
    code.into()
}

#[test]
fn contracts_call_it_and_static_calls_change_nothing() {
    let place = Address::repeat_byte;
    let contracts = BTreeMap::from([
        (place(1), forwarder(0xfa, STORE, 0)),
        (place(2), forwarder(0xf1, STORE, 0)),
        (place(3), forwarder(0xf4, REGISTER, 0)),
        (place(4), forwarder(0xfa, INFER, 0)),
        (place(5), forwarder(0xf1, INFER, 1)),
    ]);
    let world = World(contracts, None);
    let mut vm = machine(true, &world);
    let program = small();
    let call = |vm: &mut Vm<&World>, number: u8, input: &[u8]| {
        let outcome = send(vm, place(number), input, 2_000_000);
        assert_eq!(outcome.status, Status::Success, "{number}");
        (outcome.output[31] == 1, outcome.output[32..].to_vec(), outcome.gas_used)
    };
    // Nothing can be stored there; all gas but one 64th is gone.
    let (worked, output, gas) = call(&mut vm, 1, program.weights());
    assert!(!worked && output.is_empty() && gas > 1_900_000, "{gas}");
    assert_eq!(call(&mut vm, 2, program.weights()).1, leaf(program.weights()).to_vec());
    // What is there can be stored again, statically too: it is looked at.
    assert!(call(&mut vm, 1, program.weights()).0);
    assert_eq!(call(&mut vm, 3, &manifest_and_leaves(&program)).1, program.id().to_vec());
    let Data::I8(output) = expected(&program, &[3; 8]) else { panic!() };
    let output: Vec<u8> = output.iter().map(|value| value.cast_unsigned()).collect();
    assert_eq!(call(&mut vm, 4, &asked(&program, &[3; 8])).1, output);
    // Who has no value to give cannot; who has is told that it is not wanted.
    vm.overlay_mut().set_account(
        place(5),
        Some(Account { nonce: 1, code_hash: keccak256(&world.0[&place(5)]), balance: U256::from(9) }),
    );
    let (worked, output, _) = call(&mut vm, 5, &asked(&program, &[3; 8]));
    assert!(!worked);
    assert!(String::from_utf8_lossy(&output).contains("instruction.value: "), "{output:?}");
}

#[test]
fn what_reverts_was_never_stored() {
    // Stores, then reverts with what came of it.
    let mut code = forwarder(0xf1, STORE, 0).to_vec();
    *code.last_mut().unwrap() = 0xfd;
    let world = World(BTreeMap::from([(Address::repeat_byte(1), code.into())]), None);
    let mut vm = machine(true, &world);
    let program = small();
    let outcome = send(&mut vm, Address::repeat_byte(1), program.weights(), PLENTY);
    assert_eq!((outcome.status, &outcome.output[32..]), (Status::Revert, leaf(program.weights()).as_slice()));
    assert!(vm.overlay().changes().codes.is_empty());
    let outcome = send(&mut vm, REGISTER, &manifest_and_leaves(&program), PLENTY);
    assert!(said(&outcome).starts_with("instruction.chunk-missing: "));
}

/// What a state has after both programs were registered.
fn registered() -> BTreeMap<Address, Bytes> {
    let world = World::default();
    let mut vm = machine(true, &world);
    put(&mut vm, &small());
    put(&mut vm, &larger());
    let changes = vm.overlay().changes();
    let code = |(address, change): (&Address, &AccountChange)| {
        Some((*address, changes.codes.get(&change.info?.code_hash)?.clone()))
    };
    changes.accounts.iter().filter_map(code).collect()
}

#[test]
fn what_is_kept_in_memory_changes_neither_answers_nor_gas() {
    let contracts = registered();
    let (cached, plain) = (World(contracts.clone(), Some(Arc::default())), World(contracts, None));
    let programs = [small(), larger()];
    let mut hits = 0;
    for round in 0..40_usize {
        let program = &programs[round % 2];
        let takes = program.input_type().data_bytes();
        // Some have a byte too many or too few, and some too little gas.
        let length = takes + usize::from(round % 7 == 3) - usize::from(round % 7 == 4);
        let input = asked(program, &vec![round as u8; length]);
        let gas = if round % 5 == 2 { 40_000 + round as u64 * 100 } else { PLENTY };
        let run = |world| {
            let mut vm = machine(true, world);
            let outcomes = [send(&mut vm, INFER, &input, gas), send(&mut vm, INFER, &input, gas)];
            outcomes.map(|outcome| (outcome.status, outcome.gas_used, outcome.output))
        };
        assert_eq!(run(&cached), run(&plain), "round {round}");
        let stats = cached.1.as_deref().unwrap().program_stats();
        assert!(stats.hits >= hits && stats.misses <= 12, "{stats:?}");
        hits = stats.hits;
    }
    let stats = cached.1.unwrap().program_stats();
    assert_eq!(stats.programs, 2);
    assert!(hits >= 60 && stats.bytes > 91_200, "{stats:?}");
}

#[test]
fn a_chunk_that_is_gone_is_missed_whatever_is_kept() {
    let mut contracts = registered();
    let cache = Arc::new(CodeCache::default());
    let program = larger();
    let input = asked(&program, &[1; 300]);
    let world = World(contracts.clone(), Some(Arc::clone(&cache)));
    assert!(send(&mut machine(true, &world), INFER, &input, PLENTY).is_success());
    // As no chain can do, but a tool for developers.
    let last = chunk_address(leaf(program.weights().chunks(24_575).last().unwrap()));
    for other in [None, Some(Bytes::from_static(&[0, 1, 2])), Some(Bytes::from_static(&[0x60]))] {
        match other {
            Some(code) => contracts.insert(last, code),
            None => contracts.remove(&last),
        };
        let told = |cache| {
            let world = World(contracts.clone(), cache);
            let outcome = send(&mut machine(true, &world), INFER, &input, PLENTY);
            (said(&outcome), outcome.status, outcome.gas_used)
        };
        let plain = told(None);
        assert!(plain.0.starts_with("instruction.chunk-missing: "), "{}", plain.0);
        assert_eq!(told(Some(Arc::clone(&cache))), plain);
    }
    assert_eq!(cache.program_stats().hits, 3, "the program itself is still kept");
}

#[test]
fn an_account_that_registers_another_program_or_none_registers_nothing() {
    let contracts = registered();
    let (small, larger) = (small(), larger());
    let wrong = [
        contracts[&program_address(larger.id())].clone(),
        contracts[&program_address(small.id())][1..].to_vec().into(),
        Bytes::from_static(&[0]),
        Bytes::from_static(&[0x5b]),
    ];
    for code in wrong {
        let mut contracts = contracts.clone();
        contracts.insert(program_address(small.id()), code);
        let world = World(contracts, Some(Arc::default()));
        let outcome = send(&mut machine(true, &world), INFER, &asked(&small, &[1; 8]), PLENTY);
        assert_eq!(outcome.status, Status::Revert);
        let said = said(&outcome);
        assert!(said.starts_with("instruction.unregistered: ") || said.starts_with("program.truncated: "), "{said}");
    }
}
