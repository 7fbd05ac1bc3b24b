//! A block's access list is that of its transactions one by one; with it the block comes out the same; a list with anything wrong is found out.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use alloy_consensus::{BlockBody, SignableTransaction, TxLegacy};
use alloy_eip7928::{
    AccountChanges, BalanceChange, BlockAccessIndex, BlockAccessList, CodeChange, NonceChange, SlotChanges,
    StorageChange,
};
use alloy_primitives::{Address, B256, Bytes, Signature, U256, hex, keccak256};
use interlace_executor::{Delays, Executor, ListError, Pace, Straight};
use interlace_primitives::{ChainSpec, Fork};
use interlace_stf::{
    Account, Attributes, Block, BlockBuilder, BlockOutput, Transaction, TxOutcome, Vm, begin, replay, request_of, run,
    system_contracts,
};
use proptest::prelude::*;

use self::common::blocks::{COINBASE, Tx, account, beneficiary, block, fork, spec, transaction, world};
use self::common::{Fault, World};

thread_local! {
    static EXECUTORS: [Executor; 4] = [1, 2, 4, 16].map(|threads| Executor::new(threads).unwrap().from_transactions(4));
}

fn at(number: usize) -> BlockAccessIndex {
    BlockAccessIndex::new(number as u64)
}

/// A second way to a list: each transaction alone, what is laid over the state before it and after it, and what a machine says that it touched.
#[derive(Default)]
struct Compared {
    accounts: BTreeMap<Address, AccountChanges>,
    reads: BTreeSet<(Address, U256)>,
    changes: BTreeMap<(Address, U256), Vec<StorageChange>>,
}

impl Compared {
    fn account(&mut self, address: Address) -> &mut AccountChanges {
        self.accounts.entry(address).or_insert_with(|| AccountChanges::new(address))
    }

    fn compare(
        &mut self,
        number: usize,
        address: Address,
        before: Option<Account>,
        after: Option<Account>,
        code: &dyn Fn(Account) -> Bytes,
    ) {
        let (before, after) = (before.unwrap_or_default(), after.unwrap_or_default());
        let account = self.account(address);
        if before.balance != after.balance {
            account.balance_changes.push(BalanceChange::new(at(number), after.balance));
        }
        if before.nonce != after.nonce {
            account.nonce_changes.push(NonceChange::new(at(number), after.nonce));
        }
        if before.code_hash != after.code_hash {
            account.code_changes.push(CodeChange::new(at(number), code(after)));
        }
    }

    fn slot(&mut self, number: usize, address: Address, slot: U256, before: U256, after: U256) {
        self.reads.insert((address, slot));
        if before != after {
            self.changes.entry((address, slot)).or_default().push(StorageChange::new(at(number), after));
        }
    }

    fn list(mut self) -> BlockAccessList {
        for ((address, slot), changes) in self.changes.clone() {
            self.account(address).storage_changes.push(SlotChanges::new(slot, changes));
        }
        for (address, slot) in self.reads.clone() {
            if !self.changes.contains_key(&(address, slot)) {
                self.account(address).storage_reads.push(slot);
            }
        }
        self.accounts.into_values().collect()
    }
}

/// The list of the transactions of a block without withdrawals.
fn compared(spec: &ChainSpec, block: &Block, senders: &[Address], state: &World) -> BlockAccessList {
    let mut compared = Compared::default();
    let mut builder = begin(spec, block, senders, state, None).unwrap();
    let transactions: Vec<_> = block.body.transactions.iter().zip(senders.iter().copied()).collect();
    for (index, (tx, sender)) in transactions.iter().enumerate() {
        let before = transactions[..index].iter().copied();
        let mut vm: Vm<&World> = replay(spec, &block.header, before, state).unwrap();
        let (_, touched) = vm.touch(&request_of(tx, *sender)).unwrap();
        builder.push(tx, *sender).unwrap();
        for (address, slots) in touched {
            let (one, other) = (vm.overlay(), builder.overlay());
            let code = |account: Account| other.code(account.code_hash).unwrap();
            let after = other.account(address).unwrap();
            compared.compare(index + 1, address, one.account(address).unwrap(), after, &code);
            for slot in slots {
                // Slots that go with their account change nothing that a list tells.
                let before = one.storage(address, slot).unwrap();
                let after = if after.is_none() { before } else { other.storage(address, slot).unwrap() };
                compared.slot(index + 1, address, slot, before, after);
            }
        }
    }
    compared.list()
}

fn assert_same(expected: &BlockOutput, output: &BlockOutput) {
    assert_eq!(expected.changes, output.changes);
    assert_eq!(expected.outcomes, output.outcomes);
    assert_eq!(expected.receipts, output.receipts);
    assert_eq!(expected.header, output.header);
    assert_eq!(expected.requests, output.requests);
}

fn listed(executor: &Executor, made: (&ChainSpec, &Block, &[Address], &World), pace: &impl Pace) -> BlockAccessList {
    let (spec, block, senders, state) = made;
    let (output, _) = executor.list(spec, block, senders, state, None, pace).unwrap();
    assert_same(&run(spec, block, senders, state, None).unwrap(), &output);
    output.accesses.unwrap().list()
}

/// What a list says of transactions: without the contracts that the system calls, and transactions do not, and without rewards.
fn of_transactions(place: (Fork, Address), transactions: usize, mut list: BlockAccessList) -> BlockAccessList {
    let (fork, beneficiary) = place;
    let system: Vec<Address> = system_contracts(fork).into_iter().map(|(address, _)| address).collect();
    list.retain(|account| !system.contains(&account.address));
    for account in &mut list {
        account.balance_changes.retain(|change| change.block_access_index <= at(transactions));
    }
    // Whether a transaction reached it, or only the reward, is not told.
    list.retain(|account| !account.is_empty() || account.address != beneficiary);
    list
}

/// The list with one thing wrong, and whether it still is a list of a block.
fn tampered(list: &[AccountChanges], choice: usize, which: usize) -> BlockAccessList {
    let mut list = list.to_vec();
    let place = which % list.len();
    let account = &mut list[place];
    let absent = U256::from(0xdead_beef_u64);
    match choice {
        0 => drop(list.remove(place)),
        1 => account.balance_changes.iter_mut().take(1).for_each(|change| change.post_balance ^= U256::ONE),
        2 => account.nonce_changes.iter_mut().take(1).for_each(|change| change.new_nonce ^= 1),
        3 => account.code_changes.iter_mut().take(1).for_each(|change| change.new_code = Bytes::from_static(&[0])),
        4 => account.storage_changes.iter_mut().take(1).for_each(|slot| slot.changes[0].new_value ^= U256::ONE),
        5 => drop(account.storage_reads.pop()),
        6 => {
            account.storage_reads.push(absent);
            account.storage_reads.sort_unstable();
        }
        7 => drop(account.balance_changes.pop()),
        8 => drop(account.nonce_changes.pop()),
        9 => drop(account.storage_changes.pop()),
        10 => account.balance_changes.insert(0, BalanceChange::new(at(0), U256::ONE)),
        11 => account.nonce_changes.insert(0, NonceChange::new(at(0), 7)),
        12 => account.storage_changes.push(SlotChanges::new(absent, vec![StorageChange::new(at(1), U256::ONE)])),
        13 => {
            list.push(AccountChanges::new(Address::repeat_byte(0xff)));
        }
        14 => list.reverse(),
        15 => list.push(list[list.len() - 1].clone()),
        _ => {
            let late = account.balance_changes.last_mut();
            late.into_iter().for_each(|change| change.block_access_index = at(9_999));
        }
    }
    list
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn lists_are_right_and_blocks_that_follow_them_too(
        fork in fork(), beneficiary in beneficiary(), list in prop::collection::vec(transaction(), 4..20),
        which in 0usize..4, seed in any::<u64>(), choice in 0usize..17, place in any::<usize>(),
    ) {
        let state = world(fork);
        let (block, senders) = block(fork, beneficiary, &state, &list);
        let (spec, _) = spec(fork);
        let expected = run(&spec, &block, &senders, &state, None).unwrap();
        EXECUTORS.with(|executors| {
            let executor = &executors[which];
            let follow = |list: &[AccountChanges]| {
                let (output, followed) = executor.follow(&spec, &block, &senders, &state, None, list, &Delays { seed }).unwrap();
                assert_same(&expected, &output);
                assert_eq!((followed.report.adopted + followed.report.in_turn) as usize, senders.len());
                followed
            };
            if fork < Fork::SpuriousDragon {
                assert_eq!(follow(&[]).list, Err(ListError::Fork));
                assert_eq!(ListError::Fork.code(), "engine.access-list-fork");
                return;
            }
            let made = (&spec, &block, senders.as_slice(), &state);
            let list = listed(executor, made, &Delays { seed });
            let one_by_one = of_transactions((fork, beneficiary), senders.len(), compared(&spec, &block, &senders, &state));
            assert_eq!(of_transactions((fork, beneficiary), senders.len(), list.clone()), one_by_one);
            assert_eq!(follow(&list).list, Ok(()));
            let wrong = if list.is_empty() { Vec::new() } else { tampered(&list, choice, place) };
            if wrong != list {
                assert!(follow(&wrong).list.is_err(), "{choice} {place}");
            }
        });
    }
}

/// Calls of one puppet, which counts in its slot 0.
fn counting() -> Vec<Tx> {
    let call = |from: u8| Tx {
        from: from % 2,
        to: Some(4),
        value: 0,
        off: 0,
        gas: 400_000,
        tip: 1,
        kind: 0,
        actions: vec![(1, U256::ZERO, U256::ONE)],
    };
    (0..40).map(call).collect()
}

/// Nothing waits for anything: transactions that all change one slot are taken over as they were executed beside each other.
#[test]
fn what_depends_on_each_other_is_executed_side_by_side() {
    let state = world(Fork::Osaka);
    let (block, senders) = block(Fork::Osaka, COINBASE, &state, &counting());
    let (spec, _) = spec(Fork::Osaka);
    let executor = Executor::new(3).unwrap().from_transactions(4);
    let list = listed(&executor, (&spec, &block, &senders, &state), &Straight);
    let slot = list.iter().find(|listed| listed.address == account(4)).unwrap().storage_changes.first().unwrap();
    assert_eq!(slot.changes.len(), 40);
    let mut adopted = 0;
    for seed in 0..20 {
        let (_, followed) = executor.follow(&spec, &block, &senders, &state, None, &list, &Delays { seed }).unwrap();
        assert_eq!((followed.list, followed.report.redone, followed.report.failed), (Ok(()), 0, 0));
        adopted += followed.report.adopted;
    }
    assert!(adopted > 200, "{adopted}");
}

/// A list that goes on as if the state before the block were another one, and says of no transaction what it would not do then.
#[test]
fn a_list_that_lies_from_the_beginning_is_found_out() {
    let state = world(Fork::Osaka);
    let (block, senders) = block(Fork::Osaka, COINBASE, &state, &counting());
    let (spec, _) = spec(Fork::Osaka);
    let mut other = state.clone();
    let places = [(account(4), U256::ZERO), (account(5), U256::ONE)];
    other.slots.extend(places.map(|place| (place, U256::from(100))));
    let executor = Executor::new(3).unwrap().from_transactions(4);
    let honest = listed(&executor, (&spec, &block, &senders, &state), &Straight);
    let mut list = listed(&executor, (&spec, &block, &senders, &other), &Straight);
    assert_ne!(honest, list);
    let expected = run(&spec, &block, &senders, &state, None).unwrap();
    let follow = |list: &[AccountChanges], seed| {
        let (output, followed) =
            executor.follow(&spec, &block, &senders, &state, None, list, &Delays { seed }).unwrap();
        assert_same(&expected, &output);
        followed.list
    };
    let beginning = StorageChange::new(at(0), U256::from(100));
    for seed in 0..20 {
        // It says nothing of where the other state comes from: the first transaction does something else.
        let difference = follow(&list, seed).unwrap_err();
        assert!(matches!(difference, ListError::Differs { number: 1, .. }), "{difference}");
        assert_eq!(difference.code(), "engine.access-list");
    }
    // It says that it was so before the first transaction.
    let puppet = list.iter_mut().find(|account| account.address == places[0].0).unwrap();
    puppet.storage_changes[0].changes.insert(0, beginning);
    for seed in 0..20 {
        let difference = follow(&list, seed).unwrap_err();
        assert!(matches!(difference, ListError::Surplus { number: 0, listed: 2 | 3, .. }), "{difference}");
    }
}

/// A block that one thread refuses is refused in the same words, whatever the list says; helpers that fail are done without.
#[test]
fn blocks_that_are_not_valid_and_helpers_that_fail() {
    let mut state = world(Fork::Osaka);
    let (block, senders) = block(Fork::Osaka, COINBASE, &state, &counting());
    let (spec, _) = spec(Fork::Osaka);
    let executor = Executor::new(4).unwrap().from_transactions(4);
    let list = listed(&executor, (&spec, &block, &senders, &state), &Straight);
    for wrong in [0, 7, 39] {
        let mut senders = senders.clone();
        senders[wrong] = Address::repeat_byte(0x77);
        let expected = run(&spec, &block, &senders, &state, None).unwrap_err().to_string();
        let error = executor.follow(&spec, &block, &senders, &state, None, &list, &Straight).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let expected = run(&spec, &block, &senders, &state, None).unwrap();
    let mut failed = 0;
    for round in 0..20 {
        state.fault = [Fault::Panic, Fault::Helper][round % 2];
        let seed = round as u64;
        let (output, followed) =
            executor.follow(&spec, &block, &senders, &state, None, &list, &Delays { seed }).unwrap();
        assert_same(&expected, &output);
        assert_eq!(followed.list, Ok(()));
        failed += followed.report.failed;
    }
    assert!(failed > 0);
}

/// What is said of each kind of wrong list.
#[test]
fn errors_name_what_is_wrong() {
    let state = world(Fork::Osaka);
    let (block, senders) = block(Fork::Osaka, COINBASE, &state, &counting());
    let (spec, _) = spec(Fork::Osaka);
    let executor = Executor::new(2).unwrap().from_transactions(4);
    let list = listed(&executor, (&spec, &block, &senders, &state), &Straight);
    let wrong = |list: &[AccountChanges], limit: u64| {
        let mut block = block.clone();
        block.header.gas_limit = limit;
        let (_, followed) = executor.follow(&spec, &block, &senders, &state, None, list, &Straight).unwrap();
        let error = followed.list.unwrap_err();
        (error.code(), error.to_string())
    };
    let puppet = list.iter().position(|listed| listed.address == account(4)).unwrap();
    let with = |edit: &dyn Fn(&mut AccountChanges)| {
        let mut list = list.clone();
        edit(&mut list[puppet]);
        wrong(&list, block.header.gas_limit)
    };
    let said = [
        with(&|account| account.storage_changes[0].changes[3].new_value = U256::from(9)),
        with(&|account| account.storage_changes[0].changes.truncate(3)),
        with(&|account| account.storage_reads.push(U256::from(9))),
        with(&|account| account.nonce_changes.push(NonceChange::new(at(5), 9))),
        with(&|account| account.storage_changes[0].changes.swap(0, 1)),
    ];
    let puppet = account(4);
    let expected = [
        (
            "engine.access-list",
            format!("the access list says 0x9 of slot 0x0 of {puppet} after number 4, which is 0x4"),
        ),
        ("engine.access-list", format!("the access list lacks slot 0x0 of {puppet}, which number 4 reached")),
        ("engine.access-list", format!("the access list names slot 0x9 of {puppet}, which nothing reached")),
        ("engine.access-list", "the access list has 5 changes under number 5, of which 4 happened".to_owned()),
    ];
    assert_eq!(said[..4], expected);
    assert_eq!(said[4].0, "engine.access-list-form");
    assert!(said[4].1.starts_with("no access list of this block: "), "{}", said[4].1);
    assert_eq!(wrong(&[], block.header.gas_limit).0, "engine.access-list");
    let long = vec![list[0].clone(); 5_000];
    let (code, message) = wrong(&long, block.header.gas_limit);
    assert_eq!(code, "engine.access-list-size");
    assert_eq!(
        message,
        format!("the access list has {} items, of at most 4000", alloy_eip7928::total_bal_items(&long))
    );
}

/// revm leaves the payer debited when a payment overflows. If the payer then reverts, that is not written, and no list says so.
#[test]
fn what_is_not_written_is_not_listed() {
    let state = world(Fork::Osaka);
    // More than the recipient can hold, of a contract that has it.
    let value = U256::from(1_000_000);
    let pays = Tx {
        to: Some(6),
        actions: vec![(7, account(8).into_word().into(), value), (13, value, value)],
        ..counting()[0].clone()
    };
    let (block, senders) = block(Fork::Osaka, COINBASE, &state, &[pays]);
    let (spec, _) = spec(Fork::Osaka);
    let executor = Executor::new(1).unwrap();
    let list = listed(&executor, (&spec, &block, &senders, &state), &Straight);
    for number in [6, 8] {
        let reached = list.iter().find(|listed| listed.address == account(number)).unwrap();
        assert!(!reached.has_changes(), "{reached:?}");
    }
}

/// A contract that is destroyed and made again within a block, as it could be until Cancun, has none of its slots: the list, which does not say
/// so, still leads to the same block.
#[test]
fn slots_that_went_with_their_contract_are_not_taken_from_before() {
    // Called with anything, it logs sload(sload(1)); called with nothing, it destroys itself.
    let runtime = hex!("3660065733ff5b60015454" "5f5260205fa000");
    let init = [&hex!("71")[..], &runtime, &hex!("5f526012600ef3")].concat();
    let deployer = [&hex!("79")[..], &init, &hex!("5f525f601a60065ff500")].concat();
    let factory = Address::repeat_byte(0xfa);
    let contract = factory.create2(B256::ZERO, keccak256(&init));
    let mut state = world(Fork::Shanghai);
    state.put(factory, 1, U256::ZERO, deployer.into());
    state.put(contract, 1, U256::ZERO, runtime.to_vec().into());
    state.slots.insert((contract, U256::ONE), U256::from(5));
    let calls = [(contract, false), (factory, false), (contract, true), (contract, true)];
    let transactions = (0..).zip(calls).map(|(nonce, (to, with_input))| {
        let tx = TxLegacy {
            nonce,
            gas_price: 20_000_000_000,
            gas_limit: 200_000,
            to: to.into(),
            input: if with_input { Bytes::from_static(&[1]) } else { Bytes::new() },
            ..TxLegacy::default()
        };
        tx.into_signed(Signature::test_signature()).into()
    });
    let transactions: Vec<Transaction> = transactions.collect();
    let senders = vec![account(0); transactions.len()];
    let (spec, parent) = spec(Fork::Shanghai);
    let attributes = Attributes { timestamp: parent.timestamp + 12, gas_limit: 8_000_000, ..Attributes::default() };
    let header = BlockBuilder::new(&spec, &parent, attributes, &state).unwrap().finish().unwrap().header;
    let body = BlockBody { transactions, ommers: Vec::new(), withdrawals: Some(Vec::new().into()) };
    let block = Block::new(header, body);
    let expected = run(&spec, &block, &senders, &state, None).unwrap();
    assert!(expected.outcomes.iter().all(TxOutcome::is_success));
    assert_eq!(expected.outcomes[2].logs[0].data.data[..], [0; 32]);
    let executor = Executor::new(3).unwrap().from_transactions(1);
    let list = listed(&executor, (&spec, &block, &senders, &state), &Straight);
    let place = list.iter().position(|listed| listed.address == contract).unwrap();
    assert_eq!(list[place].storage_reads, [U256::ZERO, U256::ONE]);
    // Slot 5 is looked at only by who takes slot 1 from before.
    let mut wider = list.clone();
    wider[place].storage_reads.push(U256::from(5));
    let mut redone = 0;
    for seed in 0..40 {
        for (list, right) in [(&list, true), (&wider, false)] {
            let (output, followed) =
                executor.follow(&spec, &block, &senders, &state, None, list, &Delays { seed }).unwrap();
            assert_same(&expected, &output);
            assert_eq!(followed.list.is_ok(), right, "{:?}", followed.list);
            redone += followed.report.redone;
        }
    }
    assert!(redone > 0);
}
