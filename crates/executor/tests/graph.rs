//! What a graph says that a transaction waits for is all that it has to wait for.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use std::collections::BTreeSet;

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, U256};
use interlace_executor::bench;
use interlace_executor::graph::Graph;
use interlace_stf::{Checks, Location, Overlay, Speculation, Step, Vm, begin, request_of};
use proptest::prelude::*;

use self::common::blocks::{beneficiary, block, fork, spec, transaction, world};

/// Where a transaction wrote, in order.
fn written(ahead: &Speculation) -> Vec<(Address, bool, Vec<U256>)> {
    let mut all: Vec<_> =
        ahead.written().into_iter().map(|account| (account.address, account.wiped, account.slots)).collect();
    all.iter_mut().for_each(|(_, _, slots)| slots.sort_unstable());
    all.sort_unstable();
    all
}

/// All that transaction `index` waits for, and what these wait for.
fn before(graph: &Graph, index: usize, all: &mut BTreeSet<usize>) {
    for wait in &graph.nodes[index].waits {
        assert!(wait.on < index);
        if all.insert(wait.on) {
            before(graph, wait.on, all);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_transaction_after_what_it_waits_for_comes_out_as_in_the_block(
        fork in fork(), beneficiary in beneficiary(), list in prop::collection::vec(transaction(), 4..20),
    ) {
        let mut state = world(fork);
        // Sums that overflow, which a graph does not tell of, are for other tests.
        for account in state.accounts.values_mut() {
            account.balance &= (U256::ONE << 100) - U256::ONE;
        }
        let (block, senders) = block(fork, beneficiary, &state, &list);
        let (spec, _) = spec(fork);
        let graph = Graph::of(&spec, &block, &senders, &state, || true).unwrap().unwrap();
        let mut builder = begin(&spec, &block, &senders, &state, None).unwrap();
        let (env, first) = (builder.env().clone(), builder.overlay().changes());
        let requests: Vec<_> =
            block.body.transactions.iter().zip(&senders).map(|(tx, sender)| request_of(tx, *sender)).collect();
        // Who moved the sender's balance last: whether it can pay is no place of the graph.
        let mut payers: Vec<Option<usize>> = Vec::new();
        let mut steps: Vec<Step> = Vec::new();
        let mut reached = Vec::new();
        builder.speculative();
        for (index, (tx, request)) in block.body.transactions.iter().zip(&requests).enumerate() {
            let now = builder.overlay().account(senders[index]).unwrap();
            payers.push((0..index).rev().find(|earlier| {
                let mut vm = Vm::new(env.clone(), Checks::TRANSACTION, Overlay::new(&state));
                vm.follow(&steps[*earlier]).unwrap();
                vm.overlay().account(senders[index]).unwrap() == now
            }));
            reached.push(written(&builder.speculate(request).unwrap()));
            steps.push(builder.push_step(tx, request).unwrap());
        }
        assert_eq!(graph.nodes.len(), steps.len());
        for index in 0..steps.len() {
            assert_eq!(graph.nodes[index].gas, builder.outcomes()[index].gas_used);
            let mut needed = BTreeSet::new();
            before(&graph, index, &mut needed);
            let mut overlay = Overlay::new(&state);
            overlay.apply(first.clone());
            let mut vm = Vm::new(env.clone(), Checks::TRANSACTION, overlay);
            vm.speculative();
            let also: BTreeSet<usize> = needed.iter().copied().chain(payers[index]).collect();
            also.iter().for_each(|earlier| vm.follow(&steps[*earlier]).unwrap());
            let ahead = vm.speculate(&requests[index]).unwrap();
            assert_eq!(written(&ahead), reached[index], "{index} after {also:?}");
            let adopted = vm.adopt(ahead).unwrap().unwrap();
            assert_eq!(adopted.outcome, builder.outcomes()[index], "{index} after {also:?}: {graph:?}");
        }
    }
}

/// The indexes that each transaction of a synthetic block waits for.
fn waits(name: &str) -> Vec<Vec<usize>> {
    let made = bench::synthetic(name, 12).unwrap().unwrap();
    let graph = Graph::of(&made.spec, &made.block, &made.senders, &made.world, || true).unwrap().unwrap();
    let on = |node: &interlace_executor::graph::Node| {
        let mut on: Vec<usize> = node.waits.iter().map(|wait| wait.on).collect();
        on.dedup();
        on
    };
    graph.nodes.iter().map(on).collect()
}

#[test]
fn synthetic_blocks_wait_for_what_they_are_made_to_wait_for() {
    let nothing = vec![Vec::<usize>::new(); 12];
    // A sender's next transaction does not look at its balance, and its nonce is right when its turn comes.
    for name in ["transfers", "chain", "token-0"] {
        assert_eq!(waits(name), nothing, "{name}");
    }
    let behind = |distance: usize| -> Vec<Vec<usize>> {
        (0..12usize).map(|index| index.checked_sub(distance).into_iter().collect()).collect()
    };
    assert_eq!(waits("token-100"), behind(1));
    assert_eq!(waits("swaps-1"), behind(1));
    assert_eq!(waits("swaps-4"), behind(4));
}

#[test]
fn a_graph_names_the_place_and_can_be_given_up() {
    let made = bench::synthetic("token-100", 3).unwrap().unwrap();
    let of = |go_on: &dyn Fn() -> bool| Graph::of(&made.spec, &made.block, &made.senders, &made.world, go_on);
    let graph = of(&|| true).unwrap().unwrap();
    let location = graph.nodes[2].waits[0].location;
    assert!(matches!(location, Location::Slot(_, slot) if !slot.is_zero()));
    assert_eq!((Some(location.address()), location.name()), (made.block.body.transactions[0].to(), "slot"));
    assert_eq!(graph.longest_chain_gas(), graph.gas());
    assert_eq!(of(&|| false).unwrap(), None);
}
