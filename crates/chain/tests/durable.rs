//! A chain in a data directory, on a disk that crashes after every call, fills up and rots.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use alloy_primitives::{Bytes, TxKind, U256, bytes};
use interlace_chain::pool::PoolConfig;
use interlace_chain::{AccountEdit, Chain, ChainError, DataDir, Durability, GenesisBlock, Replay};
use interlace_state::log::Log;
use interlace_state::vfs::sim::{Crash, Fault, Sim};
use interlace_state::vfs::{Vfs, replace};

mod folder;

use folder::{FILE_BYTES, INITCODE, POOR, RICH, View, document, open, orderer, transaction, view};

/// One thing after another that changes a chain; what fails ends it.
fn step(chain: &Chain, step: usize, dump: &[u8]) -> Result<(), ChainError> {
    let nonce = |chain: &Chain| chain.pending_nonce(RICH).unwrap();
    let send = |to, input| chain.submit(vec![Ok(transaction(nonce(chain), to, input))]).pop().unwrap().map(|_| ());
    match step {
        0 | 3 | 9 => {
            send(TxKind::Call(POOR), Bytes::new())?;
            chain.produce().map(|_| ())
        }
        1 => {
            send(TxKind::Create, INITCODE)?;
            send(TxKind::Call(POOR), Bytes::new())?;
            chain.produce().map(|_| ())
        }
        2 => chain.set_balance(POOR, U256::from(5)),
        4 => chain.amend(POOR, |_| {
            Ok(AccountEdit {
                code: Some(bytes!("6001")),
                storage: [(U256::from(1), U256::from(2))].into(),
                ..AccountEdit::default()
            })
        }),
        5 => chain.produce().map(|_| ()),
        6 => chain.rollback(1),
        7 => {
            let transactions = [transaction(1, TxKind::Call(POOR), Bytes::new())];
            let replays = transactions.map(|transaction| Replay { transaction, block: 1 });
            chain.reorg(2, &replays)
        }
        8 => {
            let snapshot = chain.snapshot()?;
            chain.set_balance(POOR, U256::from(6))?;
            chain.set_balance(POOR, U256::from(7))?;
            chain.produce()?;
            chain.revert(snapshot).map(|_| ())
        }
        10 => chain.load(dump),
        11 => chain.produce().map(|_| ()),
        12 => chain.set_balance(RICH, U256::from(1)),
        13 => {
            chain.reset()?;
            // The clock is as at the start; blocks shall be the same in every run.
            chain.developer()?.set_timestamp_interval(Some(1));
            Ok(())
        }
        14 => chain.produce().map(|_| ()),
        _ => unreachable!(),
    }
}

const STEPS: usize = 15;

/// A dump of another chain with the same genesis.
fn other_dump() -> Vec<u8> {
    let chain = open(&Sim::default(), Durability::Power).unwrap();
    chain.set_balance(POOR, U256::from(77)).unwrap();
    chain.produce().unwrap();
    chain.dump().unwrap()
}

/// Takes the steps until one fails, and says how many were acknowledged.
fn run(sim: &Sim, durability: Durability, dump: &[u8]) -> usize {
    let Ok(chain) = open(sim, durability) else { return 0 };
    (0..STEPS).take_while(|index| step(&chain, *index, dump).is_ok()).count()
}

/// What the chain is after each record of its log, and after how many records each step is done.
fn history(dump: &[u8]) -> (Vec<View>, Vec<usize>) {
    let sim = Sim::default();
    let chain = open(&sim, Durability::Power).unwrap();
    let identity = chain.head().hash;
    let records_of = |sim: &Sim| {
        let mut records = Vec::new();
        let image = sim.image(Crash::Process);
        drop(Log::open(Arc::new(image), identity, Durability::Power, FILE_BYTES, |_, record: &[u8]| {
            records.push(record.to_vec());
            Ok::<_, interlace_state::StorageError>(())
        }));
        records
    };
    let mut ends = vec![0];
    let mut living = vec![view(&chain)];
    for index in 0..STEPS {
        step(&chain, index, dump).unwrap_or_else(|error| panic!("step {index}: {error}"));
        ends.push(records_of(&sim).len());
        living.push(view(&chain));
    }
    let records = records_of(&sim);
    let views: Vec<View> = (0..=records.len())
        .map(|count| {
            let part = Sim::default();
            replace(&part, "genesis.json", document().as_bytes()).unwrap();
            let vfs: Arc<dyn Vfs> = Arc::new(part.clone());
            let log = Log::open(vfs, identity, Durability::Power, FILE_BYTES, |_, _: &[u8]| {
                Ok::<_, interlace_state::StorageError>(())
            });
            let log = log.unwrap();
            for record in &records[..count] {
                log.append(record).unwrap();
            }
            drop(log);
            view(&open(&part, Durability::Power).unwrap())
        })
        .collect();
    for (end, living) in ends.iter().zip(living) {
        assert_eq!(views[*end], living, "after {end} records");
    }
    (views, ends)
}

#[test]
fn a_crash_in_any_call_leaves_a_chain_that_was_and_all_that_was_acknowledged() {
    let dump = other_dump();
    let (views, ends) = history(&dump);
    for durability in [Durability::Process, Durability::Power] {
        let calls = {
            let sim = Sim::default();
            assert_eq!(run(&sim, durability, &dump), STEPS);
            sim.calls()
        };
        let crashes: &[Crash] = match durability {
            Durability::Process => &[Crash::Process],
            Durability::Power => &[Crash::Process, Crash::PowerNothing, Crash::PowerSome(1), Crash::PowerSome(2)],
        };
        for halt in 0..calls {
            let sim = Sim::default();
            sim.halt_at(halt);
            let acknowledged = run(&sim, durability, &dump);
            for crash in crashes {
                let what = format!("{durability:?}, call {halt}, {crash:?}, {acknowledged} steps acknowledged");
                let chain = open(&sim.image(*crash), durability).unwrap_or_else(|error| panic!("{what}: {error}"));
                let found = view(&chain);
                // Views may be equal, so the newest one counts.
                let at =
                    views.iter().rposition(|view| *view == found).unwrap_or_else(|| panic!("{what}: no such chain"));
                assert!(at >= ends[acknowledged], "{what}: {at} records");
                chain.produce().unwrap_or_else(|error| panic!("{what}: {error}"));
            }
        }
    }
}

#[test]
fn a_disk_that_refuses_changes_nothing_and_is_tried_again() {
    let dump = other_dump();
    for fault in [Fault::Full, Fault::Io] {
        for index in 0..STEPS {
            let sim = Sim::default();
            let chain = open(&sim, Durability::Power).unwrap();
            (0..index).for_each(|index| step(&chain, index, &dump).unwrap());
            let before = view(&chain);
            sim.fail_at(sim.calls(), fault);
            let what = format!("{fault:?} in step {index}");
            let error = step(&chain, index, &dump).expect_err(&what);
            assert_eq!(error.code(), "chain.data-io", "{what}: {error}");
            assert_eq!(view(&chain), before, "{what}");
            chain.clear_pool().unwrap();
            step(&chain, index, &dump).unwrap_or_else(|error| panic!("{what}, again: {error}"));
            let after = view(&chain);
            drop(chain);
            assert_eq!(view(&open(&sim, Durability::Power).unwrap()), after, "{what}");
        }
    }
}

#[test]
fn after_a_sync_that_fails_nothing_is_acknowledged_until_the_next_start() {
    let sim = Sim::default();
    let chain = open(&sim, Durability::Power).unwrap();
    chain.produce().unwrap();
    let before = view(&chain);
    // The call after the write is its sync.
    sim.fail_at(sim.calls() + 1, Fault::Io);
    assert_eq!(chain.produce().unwrap_err().code(), "chain.data-io");
    for _ in 0..2 {
        assert_eq!(chain.produce().unwrap_err().code(), "chain.data-stopped");
    }
    assert_eq!(view(&chain), before);
    drop(chain);
    let chain = open(&sim, Durability::Power).unwrap();
    assert!(chain.head().number() >= 1);
    chain.produce().unwrap();
}

#[test]
fn bytes_that_rot_are_told_with_their_file() {
    let dump = other_dump();
    let sim = Sim::default();
    assert_eq!(run(&sim, Durability::Power, &dump), STEPS);
    let last = view(&open(&sim, Durability::Power).unwrap());
    let names = sim.list().unwrap();
    assert!(names.len() > 2, "{names:?}");
    for name in names {
        for offset in (0..sim.size_of(&name).unwrap()).step_by(7) {
            let image = sim.image(Crash::Process);
            image.flip(&name, offset, 1 << (offset % 8));
            match open(&image, Durability::Power) {
                Ok(chain) => assert_eq!(view(&chain), last, "byte {offset} of {name}"),
                Err(error @ (ChainError::Storage(_) | ChainError::Journal(_))) => {
                    assert!(error.to_string().contains(&name), "byte {offset} of {name}: {error}");
                }
                // Another genesis is asked for, or the document says nothing that makes sense.
                Err(ChainError::OtherGenesis(_) | ChainError::Genesis(_)) => assert_eq!(name, "genesis.json"),
                Err(error) => panic!("byte {offset} of {name}: {error}"),
            }
        }
    }
}

#[test]
fn a_chain_keeps_its_genesis() {
    let sim = Sim::default();
    drop(open(&sim, Durability::Power).unwrap());
    let data = || DataDir::on(Arc::new(sim.clone()), Durability::Power, FILE_BYTES);
    let asked = document().replace("\"chainId\":7", "\"chainId\":8");
    let error = data().document(&asked).unwrap_err();
    assert_eq!(error.code(), "chain.other-genesis");
    assert!(error.to_string().ends_with("config.chainId is 7, not 8"), "{error}");
    assert_eq!(data().document("no").unwrap_err().code(), "chain.bad-genesis");
    // A log tells a wrong genesis even where the document is gone, and nothing is written then.
    sim.remove("genesis.json").unwrap();
    let other = GenesisBlock::from_json(&document().replace("\"timestamp\":\"0x1\"", "\"timestamp\":\"0x2\"")).unwrap();
    assert_eq!(
        Chain::open(data(), other, orderer(), PoolConfig::default(), &|_, _, _| true).unwrap_err().code(),
        "chain.data-damaged"
    );
    assert!(sim.size_of("genesis.json").is_none());
    drop(open(&sim, Durability::Power).unwrap());
    assert_eq!(data().document(&document()), Ok(document()));
    // Deployments whose code a newer release changed are still those of the chain.
    let deployment = |code: &str| {
        let text =
            format!("{{\"deployments\":[{{\"address\":\"{POOR}\",\"initcode\":\"{code}\",\"value\":\"0x0\"}}]}}");
        document().replace("{\"deployments\":[]}", &text)
    };
    let other = Sim::default();
    replace(&other, "genesis.json", deployment("0x00").as_bytes()).unwrap();
    let data = DataDir::on(Arc::new(other), Durability::Power, FILE_BYTES);
    assert_eq!(data.document(&deployment("0x01")), Ok(deployment("0x00")));
    assert_eq!(data.document(&document()).unwrap_err().code(), "chain.other-genesis");
}

#[test]
fn a_log_that_does_not_fit_is_told() {
    let sim = Sim::default();
    let chain = open(&sim, Durability::Power).unwrap();
    chain.produce().unwrap();
    let identity = chain.head().header.parent_hash;
    drop(chain);
    let mut records = Vec::new();
    let log = Log::open(Arc::new(sim.clone()), identity, Durability::Power, FILE_BYTES, |_, record: &[u8]| {
        records.push(record.to_vec());
        Ok::<_, interlace_state::StorageError>(())
    });
    drop(log);
    let block = records.pop().unwrap();
    let mut tampered = block.clone();
    // The state root of the empty block.
    let root = open(&sim, Durability::Power).unwrap().head().header.state_root;
    let at = block.windows(32).position(|window| window == root.as_slice()).unwrap();
    tampered[at] ^= 1;
    for (records, said) in [
        (vec![block.clone(), block.clone()], "block 1 does not follow block 1"),
        (vec![tampered], "the state root after block 1 is"),
        (vec![vec![9, 0xc0]], "a record of kind 9"),
        (vec![vec![1, 0xc0]], "rlp"),
        (vec![block.iter().copied().chain([0]).collect()], "1 bytes too many"),
        (vec![vec![3, 0xc2, 0x05, 0x80]], "the chain went back to block 5 with 0 edits"),
        (vec![vec![3, 0xc2, 0x80, 0x01]], "the chain went back to block 0 with 1 edits"),
    ] {
        let part = Sim::default();
        replace(&part, "genesis.json", document().as_bytes()).unwrap();
        let log = Log::open(Arc::new(part.clone()), identity, Durability::Power, FILE_BYTES, |_, _: &[u8]| {
            Ok::<_, interlace_state::StorageError>(())
        });
        let log = log.unwrap();
        records.iter().for_each(|record| assert!(log.append(record).is_ok()));
        drop(log);
        let error = open(&part, Durability::Power).expect_err(said);
        assert_eq!(error.code(), "chain.data-contradiction");
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
}
