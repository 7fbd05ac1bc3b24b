//! One block on many threads is the block of one: receipts, logs, gas, changes, and the error of each transaction that is not valid.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use alloy_consensus::{Header, SignableTransaction, TxEip1559, TxEip2930, TxLegacy};
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256};
use interlace_executor::{Delays, Executor, MAX_THREADS, Pace, Report, Straight, bench};
use interlace_primitives::{ChainSpec, Fork};
use interlace_stf::{
    Attributes, BlockBuilder, BlockError, BlockOutput, EvmError, Transaction, genesis_header, run, system_contracts,
};
use proptest::prelude::*;

use self::common::{ACTIONS, Broken, Fault, World, puppet, script};

const CHAIN_ID: u64 = 1337;
const OSAKA: (Fork, Address) = (Fork::Osaka, COINBASE);
const COINBASE: Address = Address::repeat_byte(0xc0);

fn account(number: u8) -> Address {
    match number % 12 {
        11 => COINBASE,
        number => Address::repeat_byte(0x10 + number),
    }
}

/// Accounts 0 to 3 send, with ever less; 4 to 6 are puppets; 7 is empty, 8 holds nearly all that there can be, others are not there.
fn world(fork: Fork) -> World {
    let mut world = World::new();
    let ether = U256::from(10).pow(U256::from(18));
    world.put(account(0), 0, ether, Bytes::new());
    world.put(account(1), 5, ether / U256::from(3), Bytes::new());
    world.put(account(2), u64::MAX - 3, U256::from(30_000_000_000_000_000u64), Bytes::new());
    world.put(account(3), 0, U256::from(9_000_000_000_000_000u64), Bytes::new());
    for number in 4..7 {
        // Little, so that what they send often fails, or not, by what they were sent before.
        world.put(account(number), 1, U256::from(700 * (u64::from(number) - 3)), puppet());
    }
    // One has nearly all that there can be: what is sent to it overflows, or does not, by what it sent before.
    world.put(account(6), 1, U256::MAX - U256::from(1_500), puppet());
    world.put(account(7), 0, U256::ZERO, Bytes::new());
    world.put(account(8), 0, U256::MAX - U256::from(5), Bytes::new());
    for (address, code) in system_contracts(fork) {
        world.put(address, 1, U256::ZERO, code);
    }
    world
}

#[derive(Clone, Debug)]
struct Tx {
    from: u8,
    to: Option<u8>,
    value: u64,
    /// Added to the nonce that would be right.
    off: u64,
    gas: u64,
    tip: u64,
    kind: u8,
    actions: Vec<(u8, U256, U256)>,
}

fn word() -> impl Strategy<Value = U256> {
    prop_oneof![
        3 => (0u64..3).prop_map(U256::from),
        3 => any::<u8>().prop_map(|number| account(number).into_word().into()),
        3 => (0u64..4_000).prop_map(U256::from),
        1 => Just(U256::MAX >> 1),
    ]
}

fn transaction() -> impl Strategy<Value = Tx> {
    let to = prop_oneof![1 => Just(None), 5 => any::<u8>().prop_map(Some), 6 => (4u8..7).prop_map(Some)];
    let value = prop_oneof![3 => Just(0), 2 => 0u64..3_000, 1 => 0..30_000_000_000_000_000u64];
    let off = prop_oneof![40 => Just(0), 1 => 1u64..3, 1 => Just(u64::MAX)];
    let gas = prop_oneof![16 => Just(400_000), 1 => Just(21_000), 2 => 20_000u64..80_000];
    let tip = prop_oneof![2 => Just(0), 3 => 1u64..5_000_000_000];
    let action = (0..ACTIONS, word(), word());
    (0u8..4, to, value, off, gas, tip, 0u8..3, prop::collection::vec(action, 0..5)).prop_map(
        |(from, to, value, off, gas, tip, kind, actions)| Tx { from, to, value, off, gas, tip, kind, actions },
    )
}

/// Transactions as nobody signed them, and their senders. Nonces follow on from each other, whether or not the block takes them all.
fn transactions(world: &World, fork: Fork, list: &[Tx]) -> Vec<(Transaction, Address)> {
    let mut nonces: std::collections::BTreeMap<Address, u64> =
        world.accounts.iter().map(|(address, account)| (*address, account.nonce)).collect();
    let make = |tx: &Tx| {
        // The beneficiary sends too.
        let from = account(tx.from);
        let next = nonces.entry(from).or_default();
        let nonce = next.wrapping_add(tx.off);
        *next = next.saturating_add(u64::from(tx.off == 0));
        let (to, value) = (tx.to.map_or(TxKind::Create, |to| TxKind::Call(account(to))), U256::from(tx.value));
        let input = if tx.to.is_none() { Bytes::from_static(&[0x60, 0, 0x60, 0, 0xf3]) } else { script(&tx.actions) };
        let (gas_limit, gas_price) = (tx.gas, u128::from(20_000_000_000 + tx.tip));
        let signature = Signature::test_signature();
        let signed: Transaction = match tx.kind {
            1 if fork >= Fork::Berlin => {
                let tx = TxEip2930 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_price,
                    gas_limit,
                    to,
                    value,
                    input,
                    ..TxEip2930::default()
                };
                tx.into_signed(signature).into()
            }
            2 if fork >= Fork::London => {
                let tx = TxEip1559 {
                    chain_id: CHAIN_ID,
                    nonce,
                    gas_limit,
                    max_fee_per_gas: gas_price,
                    max_priority_fee_per_gas: u128::from(tx.tip),
                    to,
                    value,
                    input,
                    ..TxEip1559::default()
                };
                tx.into_signed(signature).into()
            }
            _ => {
                TxLegacy { chain_id: None, nonce, gas_price, gas_limit, to, value, input }.into_signed(signature).into()
            }
        };
        (signed, from)
    };
    list.iter().map(make).collect()
}

fn spec(fork: Fork) -> (ChainSpec, Header) {
    let spec = ChainSpec::dev(CHAIN_ID, fork);
    let genesis = alloy_genesis::Genesis { gas_limit: 8_000_000, ..Default::default() };
    let parent = genesis_header(&spec, &genesis, B256::ZERO);
    (spec, parent)
}

type Built = (BlockOutput, Vec<(usize, String)>);

/// The block of the transactions that are valid, and what is said of the others.
fn build<'s>(
    (fork, beneficiary): (Fork, Address),
    state: &'s World,
    fill: impl FnOnce(&mut BlockBuilder<'_, &'s World>, &mut Vec<(usize, String)>) -> Result<(), EvmError<Broken>>,
) -> Result<Built, BlockError<Broken>> {
    let (spec, parent) = spec(fork);
    let attributes =
        Attributes { timestamp: parent.timestamp + 12, gas_limit: 8_000_000, beneficiary, ..Attributes::default() };
    let mut builder = BlockBuilder::new(&spec, &parent, attributes, state)?;
    let mut refused = Vec::new();
    fill(&mut builder, &mut refused).map_err(|error| BlockError::at(0, B256::ZERO, error))?;
    Ok((builder.finish()?, refused))
}

fn note(refused: &mut Vec<(usize, String)>, index: usize, error: EvmError<Broken>) -> Result<(), EvmError<Broken>> {
    let EvmError::Transaction(why) = &error else { return Err(error) };
    refused.push((index, format!("{why:?}")));
    Ok(())
}

fn one_by_one(
    place: (Fork, Address),
    state: &World,
    list: &[(Transaction, Address)],
) -> Result<Built, BlockError<Broken>> {
    build(place, state, |builder, refused| {
        for (index, (tx, sender)) in list.iter().enumerate() {
            if let Err(error) = builder.push(tx, *sender) {
                note(refused, index, error)?;
            }
        }
        Ok(())
    })
}

fn together(
    executor: &Executor,
    place: (Fork, Address),
    state: &World,
    list: &[(Transaction, Address)],
    pace: &impl Pace,
) -> Result<(Built, Report), BlockError<Broken>> {
    let list: Vec<(&Transaction, Address)> = list.iter().map(|(tx, sender)| (tx, *sender)).collect();
    let mut report = Report::default();
    let built = build(place, state, |builder, refused| {
        let pushed = executor.push_all(builder, &list, state, pace, |index, error| note(refused, index, error));
        report = pushed.map_err(|(_, error)| error)?;
        Ok(())
    })?;
    Ok((built, report))
}

fn assert_same((expected, refusals): &Built, (output, refused): &Built) {
    assert_eq!(refusals, refused);
    assert_eq!(expected.changes, output.changes);
    assert_eq!(expected.outcomes, output.outcomes);
    assert_eq!(expected.receipts, output.receipts);
    assert_eq!(expected.header, output.header);
    assert_eq!(expected.requests, output.requests);
}

fn fork() -> impl Strategy<Value = Fork> {
    // Older forks have no post state in receipts here, and are the same code.
    prop::sample::select(Fork::ALL.to_vec())
}

/// Who is paid: an account that sends, a contract that may destroy itself, one that is empty, one that is not there.
fn beneficiary() -> impl Strategy<Value = Address> {
    prop::sample::select(vec![COINBASE, account(5), account(7), account(9)])
}

thread_local! {
    static EXECUTORS: [Executor; 4] = [2, 3, 5, 16].map(|threads| Executor::new(threads).unwrap());
}

fn executors(work: impl FnOnce(&[Executor; 4])) {
    EXECUTORS.with(work);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn any_block_is_the_block_of_one_thread(
        fork in fork(), beneficiary in beneficiary(), list in prop::collection::vec(transaction(), 4..24), seed in any::<u64>(), which in 0usize..4,
    ) {
        let state = world(fork);
        let list = transactions(&state, fork, &list);
        let expected = one_by_one((fork, beneficiary), &state, &list).unwrap();
        executors(|executors| {
            let executor = &executors[which];
            let (output, report) = together(executor, (fork, beneficiary), &state, &list, &Straight).unwrap();
            assert_same(&expected, &output);
            assert_eq!((report.adopted + report.in_turn) as usize, list.len() - output.1.len());
            let (output, _) = together(executor, (fork, beneficiary), &state, &list, &Delays { seed }).unwrap();
            assert_same(&expected, &output);
        });
    }
}

/// Blocks of one kind on any number of threads, held up or not; what a block taught is used by the next.
#[test]
fn synthetic_blocks_are_the_same_on_any_number_of_threads() {
    for (name, _) in bench::NAMES {
        let made = bench::synthetic(name, 60).unwrap().unwrap();
        let expected = run(&made.spec, &made.block, &made.senders, &made.world, None).unwrap();
        for threads in 1..=16 {
            let executor = Executor::new(threads).unwrap();
            for seed in 0..3 {
                let (output, report) = match seed {
                    0 => executor.run(&made.spec, &made.block, &made.senders, &made.world, None, &Straight),
                    _ => executor.run(&made.spec, &made.block, &made.senders, &made.world, None, &Delays { seed }),
                }
                .unwrap();
                assert_eq!(report.adopted + report.in_turn, 60, "{name}");
                assert_eq!(output.changes, expected.changes, "{name} on {threads} threads, seed {seed}");
                assert_eq!(output.receipts, expected.receipts, "{name} on {threads} threads, seed {seed}");
                assert_eq!(output.header, expected.header, "{name} on {threads} threads, seed {seed}");
            }
        }
    }
    assert!(bench::synthetic("nothing", 1).is_none());
}

/// Calls of puppets by two senders in turns; number 20 may be another.
fn calls(state: &World, another: Option<Tx>) -> Vec<(Transaction, Address)> {
    let tx = |number: u64| Tx {
        from: (number % 2) as u8,
        to: Some(4 + (number % 3) as u8),
        value: 0,
        off: 0,
        gas: 400_000,
        tip: 1,
        kind: 0,
        actions: vec![(1, U256::from(number % 5), U256::from(1))],
    };
    let mut list: Vec<Tx> = (0..40).map(tx).collect();
    another.into_iter().for_each(|another| list[20] = another);
    transactions(state, Fork::Osaka, &list)
}

/// Helpers that panic, or cannot read, are done without; the executor lives on.
#[test]
fn a_helper_that_fails_leaves_no_trace() {
    let mut state = world(Fork::Osaka);
    let list = calls(&state, None);
    let expected = one_by_one(OSAKA, &state, &list).unwrap();
    let executor = Executor::new(4).unwrap();
    let mut failed = [0; 3];
    for round in 0..30 {
        state.fault = [Fault::Panic, Fault::Helper, Fault::None][round % 3];
        let (output, report) = together(&executor, OSAKA, &state, &list, &Delays { seed: round as u64 }).unwrap();
        assert_same(&expected, &output);
        failed[round % 3] += report.failed;
    }
    assert!(failed[0] > 0 && failed[1] > 0 && failed[2] == 0, "{failed:?}");
}

/// A block that cannot be executed to its end is given up with the error that one thread gives, and the next block is none the worse.
#[test]
fn a_block_that_ends_early_leaves_no_trace() {
    let mut state = world(Fork::Osaka);
    let executor = Executor::new(4).unwrap();
    let whole = calls(&state, None);
    state.fault = Fault::Account(account(9));
    let broken = Tx { to: Some(9), from: 0, value: 1, off: 0, gas: 30_000, tip: 1, kind: 0, actions: Vec::new() };
    let list = calls(&state, Some(broken));
    for seed in 0..8 {
        let error = together(&executor, OSAKA, &state, &list, &Delays { seed }).unwrap_err();
        assert!(matches!(error, BlockError::State(Broken)), "{error}");
        let (output, _) = together(&executor, OSAKA, &state, &whole, &Straight).unwrap();
        assert_same(&one_by_one(OSAKA, &state, &whole).unwrap(), &output);
    }
}

/// A block that exists and has a transaction that is not valid is refused in the same words.
#[test]
fn the_error_of_a_block_is_the_same() {
    let made = bench::synthetic("token-50", 40).unwrap().unwrap();
    let executor = Executor::new(4).unwrap();
    for wrong in [0, 1, 17, 39] {
        let mut senders = made.senders.clone();
        // Somebody who has nothing.
        senders[wrong] = Address::repeat_byte(0x77);
        let expected = run(&made.spec, &made.block, &senders, &made.world, None).unwrap_err();
        let error = executor.run(&made.spec, &made.block, &senders, &made.world, None, &Straight).unwrap_err();
        assert_eq!(error.to_string(), expected.to_string());
        assert_eq!(error.code(), "engine.insufficient-funds");
    }
    let error = executor.run(&made.spec, &made.block, &made.senders[1..], &made.world, None, &Straight).unwrap_err();
    assert_eq!(error.code(), "engine.senders");
    let mut block = made.block.clone();
    block.header.gas_used += 1;
    let error = executor.execute(&made.spec, &made.parent, &block, &made.senders, &made.world, None).unwrap_err();
    assert_eq!(error.code(), "engine.mismatch");
    assert!(executor.execute(&made.spec, &made.parent, &made.block, &made.senders, &made.world, None).is_ok());
}

#[test]
fn threads_are_counted() {
    assert_eq!(Executor::new(3).unwrap().threads(), 3);
    for threads in [0, MAX_THREADS + 1] {
        assert_eq!(Executor::new(threads).unwrap_err().threads, threads);
    }
}
