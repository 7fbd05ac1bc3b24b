//! Blocks that are executed while the one before gets its root are those that are made one after the other.
#![allow(clippy::unwrap_used, missing_docs)]

mod folder;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_primitives::{Address, Bytes, TxKind, U256, bytes};
use folder::{POOR, RICH, open, transaction, view};
use interlace_chain::pool::{PoolConfig, PoolTransaction};
use interlace_chain::{Chain, Durability, GenesisBlock, StoredBlock};
use interlace_state::StateReader;
use interlace_state::vfs::sim::{Crash, Fault, Sim};
use interlace_stf::execute;

/// Transactions of a run.
const ALL: u64 = 600;
/// Puts the code after it at its address.
const DEPLOY: Bytes = bytes!("60ff600c60003960ff6000f3");

/// A contract that adds up what it sees of the blocks before: in slot 0 the parent's hash as the instruction gives it, in 1 and 2 the hashes of
/// the parent and of the one before as the history contract gives them, in 3 the randomness.
fn witness() -> Bytes {
    let history = |back: u8, slot: u8| {
        let call = ["6020 6020 6020 5f 73", &hex(HISTORY_STORAGE_ADDRESS), "5a fa 50"].concat();
        format!("60{back:02x} 43 03 5f 52 {call} 6020 51 60{slot:02x} 54 01 60{slot:02x} 55")
    };
    let code = ["6001 43 03 40 5f 54 01 5f 55", &history(1, 1), &history(2, 2), "44 6003 54 01 6003 55"].concat();
    alloy_primitives::hex::decode(code.replace(' ', "")).unwrap().into()
}

fn hex(address: Address) -> String {
    alloy_primitives::hex::encode(address)
}

fn contract() -> Address {
    RICH.create(0)
}

/// Gas of a block: it takes about forty of the transactions that wait.
const GAS: u64 = 1_500_000;

/// A chain without a log.
fn in_memory() -> Chain {
    with_history(None, false)
}

/// The same with other code in place of the history contract's, or before the version that writes to it.
fn with_history(code: Option<&str>, early: bool) -> Chain {
    let mut document: serde_json::Value = serde_json::from_str(&folder::document()).unwrap();
    document["gasLimit"] = format!("{GAS:#x}").into();
    let alloc = document["alloc"].as_object_mut().unwrap();
    let name = alloc.keys().find(|name| name.to_lowercase().ends_with(&hex(HISTORY_STORAGE_ADDRESS))).unwrap().clone();
    if early {
        let config = document["config"].as_object_mut().unwrap();
        for fork in ["pragueTime", "osakaTime"] {
            config.remove(fork).unwrap();
        }
    }
    let alloc = document["alloc"].as_object_mut().unwrap();
    if let Some(code) = code {
        alloc[&name]["code"] = code.into();
    }
    let document = document.to_string();
    Chain::new(GenesisBlock::from_json(&document).unwrap(), folder::orderer(), PoolConfig::default())
}

fn chain(sim: &Sim) -> Chain {
    let chain = open(sim, Durability::Power).unwrap();
    chain.set_gas_limit(GAS).unwrap();
    filled(chain)
}

fn filled(chain: Chain) -> Chain {
    let create = transaction(0, TxKind::Create, [&DEPLOY[..], &witness()].concat().into());
    let calls = (1..ALL).map(|nonce| {
        let to = if nonce % 3 == 0 { POOR } else { contract() };
        transaction(nonce, TxKind::Call(to), Bytes::new())
    });
    let mut list = vec![Ok(create)];
    list.extend(calls.map(Ok));
    chain.submit(list).into_iter().for_each(|answer| {
        answer.unwrap();
    });
    chain
}

fn waits(chain: &Chain) -> bool {
    chain.pool_status().pending > 0
}

fn blocks(chain: &Chain) -> Vec<Arc<StoredBlock>> {
    (0..=chain.head().number()).map(|number| chain.block(number).unwrap()).collect()
}

/// The blocks, made one after the other.
fn sequential(chain: Chain) -> Vec<Arc<StoredBlock>> {
    while waits(&chain) {
        chain.produce().unwrap();
    }
    assert!(chain.metrics_text().contains("interlace_blocks_overlapped_total 0"));
    let (_, state) = chain.head_with_state();
    let seen: Vec<U256> = (0..4).map(|slot| state.storage(contract(), U256::from(slot)).unwrap()).collect();
    assert!(seen.iter().all(|value| !value.is_zero()), "{seen:?}");
    assert_eq!(seen[0], seen[1]);
    blocks(&chain)
}

fn overlapped(chain: &Chain) -> u64 {
    let text = chain.metrics_text();
    let line = text.lines().find(|line| line.starts_with("interlace_blocks_overlapped_total")).unwrap();
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn blocks_are_those_that_are_made_one_after_the_other() {
    let expected = sequential(filled(in_memory()));
    assert!(expected.len() > 15, "{}", expected.len());
    let chain = filled(in_memory());
    let mut made = 1;
    let more = || {
        made += 1;
        made < expected.len()
    };
    chain.produce_while(more).unwrap();
    assert!(blocks(&chain) == expected, "{} of {} blocks", chain.head().number(), expected.len() - 1);
    assert!(overlapped(&chain) > 0);
    // The specification, on the state of each parent.
    for pair in expected.windows(2) {
        let state = chain.state_at(pair[0].number()).unwrap();
        let block = pair[1].to_consensus();
        let output = execute(chain.spec(), &pair[0].header, &block, &pair[1].senders, &state, None).unwrap();
        assert_eq!(state.root_after(&output.changes).unwrap(), block.header.state_root);
    }
}

#[test]
fn a_chain_with_another_history_contract_waits_and_one_without_need_not() {
    // Keeps what it is told in slot 0, and answers it; another that does nothing; the usual one before anything is written to it.
    let other = Some("0x365f14600a575f355f55005b5f545f5260205ff3");
    for (code, early) in [(other, false), (Some("0x00"), false), (None, true), (other, true)] {
        let filled = || filled(with_history(code, early));
        let sequential = filled();
        while waits(&sequential) {
            sequential.produce().unwrap();
        }
        let expected = blocks(&sequential);
        let chain = filled();
        let mut made = 1;
        let more = || {
            made += 1;
            made < expected.len()
        };
        chain.produce_while(more).unwrap();
        assert!(blocks(&chain) == expected, "{code:?}");
        assert_eq!(overlapped(&chain) > 0, early, "{code:?}");
    }
}

#[test]
fn a_block_that_is_not_committed_takes_the_next_with_it() {
    let expected = sequential(chain(&Sim::default()));
    for fault in [Fault::Full, Fault::Io] {
        for call in 0..14 {
            let sim = Sim::default();
            let chain = chain(&sim);
            sim.fail_at(sim.calls() + call, fault);
            let what = format!("{fault:?} in call {call}");
            let error = chain.produce_while(|| true).unwrap_err();
            assert_eq!(error.code(), "chain.data-io", "{what}: {error}");
            let made = blocks(&chain);
            assert!(made[..] == expected[..made.len()], "{what}");
            let before = view(&chain);
            // Nothing of the block that failed is left, and nothing of the one built on it.
            let chain = if chain.produce().is_ok() {
                chain
            } else {
                drop(chain);
                let chain = open(&sim.image(Crash::PowerNothing), Durability::Power).unwrap();
                assert!(view(&chain).blocks == before.blocks, "{what}");
                continue;
            };
            while waits(&chain) {
                chain.produce().unwrap();
            }
            assert!(blocks(&chain) == expected, "{what}");
        }
    }
}

#[test]
fn whoever_changes_the_chain_meanwhile_is_alone() {
    let sim = Sim::default();
    let chain = chain(&sim);
    let (stop, edits) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while waits(&chain) {
                    chain.produce().unwrap();
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let edit = edits.fetch_add(1, Ordering::Relaxed) + 1;
                chain.set_balance(Address::repeat_byte(9), U256::from(edit)).unwrap();
            }
        });
        chain.produce_while(|| waits(&chain)).unwrap();
        stop.store(true, Ordering::Relaxed);
    });
    let made = blocks(&chain);
    assert!(made.windows(2).all(|pair| pair[1].header.parent_hash == pair[0].hash));
    let hashes: Vec<_> = made.iter().flat_map(|block| block.transactions.iter().map(|tx| *tx.tx_hash())).collect();
    let expected: Vec<_> = sequential(self::chain(&Sim::default()));
    let all: Vec<_> = expected.iter().flat_map(|block| block.transactions.iter().map(|tx| *tx.tx_hash())).collect();
    assert_eq!(hashes, all);
    let (_, state) = chain.head_with_state();
    let balance = state.account(Address::repeat_byte(9)).unwrap().unwrap().balance;
    assert_eq!(balance, U256::from(edits.load(Ordering::Relaxed)));
    let after = view(&chain);
    drop(chain);
    assert!(view(&open(&sim, Durability::Power).unwrap()) == after);
}

#[test]
fn what_is_smaller_fits_behind_what_does_not_unless_that_is_a_whole_batch() {
    // Each of the large ones uses 21,000: the third finds less left than it may use, and so do all after it.
    for (large, taken) in [(3u64, 3), (1_024, 2)] {
        let chain = in_memory();
        for number in 0..=large {
            let tx = TxEip1559 {
                chain_id: 7,
                gas_limit: if number < large { GAS - 30_000 } else { 21_000 },
                max_fee_per_gas: 10_000_000_000,
                max_priority_fee_per_gas: 1,
                to: TxKind::Call(POOR),
                ..TxEip1559::default()
            };
            let sender = Address::left_padding_from(&(1_000 + number).to_be_bytes());
            chain.set_balance(sender, U256::from(10).pow(U256::from(20))).unwrap();
            let tx = tx.into_signed(interlace_stf::stand_in_signature(sender));
            chain.submit(vec![Ok(PoolTransaction::new(tx.into(), sender))]).pop().unwrap().unwrap();
        }
        assert_eq!(chain.produce().unwrap().transactions.len(), taken);
        assert_eq!(chain.pool_status().pending as u64, large + 1 - taken as u64);
    }
}
