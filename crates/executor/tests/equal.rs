//! One block on many threads is the block of one: receipts, logs, gas, changes, and the error of each transaction that is not valid.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, U256};
use interlace_executor::{
    Delays, Executor, LEAST_WORK, MAX_HISTORY, MAX_THREADS, Pace, Predictor, Report, Straight, Subject, bench,
};
use interlace_primitives::Fork;
use interlace_stf::{Attributes, BlockBuilder, BlockError, BlockOutput, EvmError, Transaction, run};
use proptest::prelude::*;

use self::common::blocks::{COINBASE, Tx, account, beneficiary, fork, spec, transaction, transactions, world};
use self::common::{Broken, Fault, World};

const OSAKA: (Fork, Address) = (Fork::Osaka, COINBASE);

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

thread_local! {
    static EXECUTORS: [Executor; 4] =
        [(2, Predictor::History), (3, Predictor::Given), (5, Predictor::History), (16, Predictor::None)].map(
            |(threads, predictor)| Executor::new(threads).unwrap().from_transactions(4).predicting(predictor),
        );
}

fn executors(work: impl FnOnce(&[Executor; 4])) {
    EXECUTORS.with(work);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn any_block_is_the_block_of_one_thread(
        fork in fork(), beneficiary in beneficiary(), list in prop::collection::vec(transaction(), 4..24), seed in any::<u64>(), which in 0usize..4,
        weights in prop::collection::vec((any::<bool>(), any::<u8>()), 0..3),
    ) {
        let state = world(fork);
        let list = transactions(&state, fork, &list);
        let expected = one_by_one((fork, beneficiary), &state, &list).unwrap();
        executors(|executors| {
            let executor = &executors[which];
            // Scripts begin with zeros: all are of one function.
            let given = weights.iter().map(|(narrow, weight)| {
                (Subject::Function { selector: [0; 4], narrow: *narrow }, *weight)
            });
            executor.give(given);
            let (output, report) = together(executor, (fork, beneficiary), &state, &list, &Straight).unwrap();
            assert_same(&expected, &output);
            assert_eq!((report.adopted + report.in_turn) as usize, list.len() - output.1.len());
            let (output, _) = together(executor, (fork, beneficiary), &state, &list, &Delays { seed }).unwrap();
            assert_same(&expected, &output);
            let told = executor.take_lessons();
            assert!(told.is_empty() || executor.predictor() == Predictor::Given);
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
            let executor = Executor::new(threads).unwrap().from_transactions(4);
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
    let executor = Executor::new(4).unwrap().from_transactions(4);
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
    let executor = Executor::new(4).unwrap().from_transactions(4);
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
    let executor = Executor::new(4).unwrap().from_transactions(4);
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

/// What takes too short for helpers to come in time is left to the committer, unless they are asked for.
#[test]
fn short_blocks_are_executed_alone() {
    let taken_over = |executor: &Executor, count: u64| {
        let made = bench::synthetic("transfers", count).unwrap().unwrap();
        let (output, report) =
            executor.run(&made.spec, &made.block, &made.senders, &made.world, None, &Straight).unwrap();
        let expected = run(&made.spec, &made.block, &made.senders, &made.world, None).unwrap();
        assert_same(&(expected, Vec::new()), &(output, Vec::new()));
        report.adopted + report.redone
    };
    let long = LEAST_WORK / 2_500;
    let executor = Executor::new(2).unwrap();
    assert_eq!(taken_over(&executor, long - 1), 0);
    assert!((0..20).any(|_| taken_over(&executor, long) > 0));
    // What counts is the gas that a block says it uses.
    let mut made = bench::synthetic("token-0", long).unwrap().unwrap();
    made.block.header.gas_used = 0;
    made.senders.truncate(100);
    made.block.body.transactions.truncate(100);
    let (_, report) = executor.run(&made.spec, &made.block, &made.senders, &made.world, None, &Straight).unwrap();
    assert_eq!(report.in_turn, 100);
    let eager = Executor::new(2).unwrap().from_transactions(4);
    assert_eq!(taken_over(&eager, 3), 0);
    assert!((0..20).any(|_| taken_over(&eager, long - 1) > 0));
}

#[test]
fn threads_are_counted() {
    assert_eq!(Executor::new(3).unwrap().threads(), 3);
    for threads in [0, MAX_THREADS + 1] {
        assert_eq!(Executor::new(threads).unwrap_err().threads, threads);
    }
}

/// Who gives weights hears what was seen, once, and decides who waits; a bounded number of both.
#[test]
fn given_weights_are_gone_by_and_lessons_are_told() {
    let made = bench::synthetic("swaps-1", 400).unwrap().unwrap();
    let given = Executor::new(2).unwrap().from_transactions(4).predicting(Predictor::Given);
    let execute = |executor: &Executor| {
        let (_, report) =
            executor.run(&made.spec, &made.block, &made.senders, &made.world, None, &Delays { seed: 7 }).unwrap();
        report
    };
    let blind = Executor::new(2).unwrap().from_transactions(4).predicting(Predictor::None);
    assert!((0..20).any(|_| execute(&blind).redone > 5));
    assert!(blind.take_lessons().is_empty());
    assert!((0..20).any(|_| execute(&given).redone > 0));
    let lessons = given.take_lessons();
    assert!(given.take_lessons().is_empty());
    let narrow = lessons.iter().find(|lesson| lesson.prefix.len() == 36 && lesson.met > 0).unwrap();
    assert_eq!(Some(narrow.to), made.block.body.transactions[0].kind().to().copied());
    assert!(narrow.waited);
    given.give([(Subject::Group(narrow.to, narrow.prefix.clone()), 255)]);
    for _ in 0..5 {
        assert_eq!(execute(&given).redone, 0);
    }
    let told = given.take_lessons();
    assert!(told.iter().all(|lesson| lesson.met == 0) && told.iter().any(|lesson| lesson.waited));
    given.learn(false);
    execute(&given);
    assert!(given.take_lessons().is_empty());
    given.learn(true);
    // Nobody takes them.
    let many =
        (0..MAX_HISTORY as u64 + 10).map(|number| (Subject::Group(Address::ZERO, number.to_be_bytes().into()), 9));
    given.give(many);
    for _ in 0..3 {
        execute(&given);
    }
    assert!(given.take_lessons().len() <= MAX_HISTORY);
}

/// Random blocks have delegations (EIP-7702), and what is delegated to is executed.
#[test]
fn delegations_are_among_what_is_compared() {
    let state = world(Fork::Osaka);
    let delegates = |number: u64| Tx {
        from: (number % 2) as u8,
        to: Some(4),
        value: number % 2 * 3,
        off: 0,
        gas: 400_000,
        tip: number % 4,
        kind: 3,
        actions: vec![(0, U256::from(number), U256::from(9))],
    };
    let list: Vec<Tx> = (0..12).map(delegates).collect();
    let list = transactions(&state, Fork::Osaka, &list);
    let expected = one_by_one(OSAKA, &state, &list).unwrap();
    let codes = expected.0.changes.codes.values().filter(|code| code.starts_with(&[0xef, 1, 0])).count();
    assert!(codes > 1, "{codes}");
    let authority = list[0].0.kind().to().copied().unwrap();
    assert!(!expected.0.changes.accounts[&authority].storage.is_empty());
    let executor = Executor::new(3).unwrap().from_transactions(4);
    for seed in 0..20 {
        let (output, _) = together(&executor, OSAKA, &state, &list, &Delays { seed }).unwrap();
        assert_same(&expected, &output);
    }
}

/// An account comes to have nearly all that there can be: what is sent to it no longer arrives, even if that is undone at once.
#[test]
fn a_balance_that_has_become_huge_is_noticed() {
    let tx =
        |to: Option<u8>, value: u64, actions| Tx { from: 0, to, value, off: 0, gas: 400_000, tip: 0, kind: 0, actions };
    for fork in [Fork::Frontier, Fork::Osaka] {
        let state = world(fork);
        let gives_all = tx(Some(6), 0, vec![(8, account(4).into_word().into(), U256::ZERO)]);
        let reverts = tx(Some(4), 801, vec![(13, U256::ZERO, U256::ZERO)]);
        let list = transactions(&state, fork, &[tx(None, 0, vec![]), gives_all, reverts, tx(None, 0, vec![])]);
        let expected = one_by_one((fork, COINBASE), &state, &list).unwrap();
        let executor = Executor::new(3).unwrap().from_transactions(4);
        for seed in 0..60 {
            let (output, _) = together(&executor, (fork, COINBASE), &state, &list, &Delays { seed }).unwrap();
            assert_same(&expected, &output);
        }
    }
}

/// What is added to one slot by many is added up when their turns come; nothing is executed again but what found a slot that was empty.
#[test]
fn transfers_to_one_account_do_not_wait_for_each_other() {
    let made = bench::synthetic("token-100", 400).unwrap().unwrap();
    let expected = run(&made.spec, &made.block, &made.senders, &made.world, None).unwrap();
    for (threads, predictor) in [(2, Predictor::None), (3, Predictor::History), (8, Predictor::None)] {
        let executor = Executor::new(threads).unwrap().from_transactions(4).predicting(predictor);
        let fruitful = |seed: u64| {
            let run = executor.run(&made.spec, &made.block, &made.senders, &made.world, None, &Delays { seed });
            let (output, report) = run.unwrap();
            assert_same(&(expected.clone(), Vec::new()), &(output, Vec::new()));
            // Whoever began before the first was in the block saw an account that had nothing.
            assert!(report.redone < 40, "{report:?}");
            report.adopted > 100
        };
        assert!((0..100).any(fruitful));
    }
}
