//! A chain in a data directory, on a disk that crashes after every call, fills up and rots.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, bytes};
use interlace_chain::pool::{PoolConfig, PoolTransaction};
use interlace_chain::{
    AccountEdit, Chain, ChainError, DataDir, DevGenesis, DevOrderer, Durability, GenesisBlock, Mining, Replay,
    StoredBlock,
};
use interlace_primitives::Fork;
use interlace_state::log::Log;
use interlace_state::vfs::sim::{Crash, Fault, Sim};
use interlace_state::vfs::{Vfs, replace};
use interlace_stf::StateReader;

const RICH: Address = Address::repeat_byte(1);
const POOR: Address = Address::repeat_byte(2);
/// Small, so that the log has several files.
const FILE_BYTES: u64 = 4_000;
/// Logs one word, stores it, and leaves code of one byte.
const INITCODE: Bytes = bytes!("602a60005260206000a16001600055600160005360016000f3");

fn document() -> String {
    let genesis = DevGenesis {
        chain_id: 7,
        fork: Fork::Osaka,
        balances: vec![(RICH, U256::from(10).pow(U256::from(24)))],
        gas_limit: 30_000_000,
        deployments: Vec::new(),
        timestamp: 1,
        base_fee_wei: None,
    };
    genesis.document().to_string()
}

fn orderer() -> Box<DevOrderer> {
    let orderer = DevOrderer::new(Mining::Manual, Address::ZERO, None).impersonating_all();
    // The same blocks in every run.
    orderer.set_timestamp_interval(Some(1));
    Box::new(orderer)
}

fn open(sim: &Sim, durability: Durability) -> Result<Chain, ChainError> {
    let data = DataDir::on(Arc::new(sim.clone()), durability, FILE_BYTES);
    let genesis = GenesisBlock::from_json(&data.document(&document())?)?;
    Chain::open(data, genesis, orderer(), PoolConfig::default())
}

fn transaction(nonce: u64, to: TxKind, input: Bytes) -> PoolTransaction {
    let tx = TxEip1559 {
        chain_id: 7,
        nonce,
        gas_limit: 200_000,
        max_fee_per_gas: 10_000_000_000,
        max_priority_fee_per_gas: 1,
        to,
        value: if input.is_empty() { U256::from(nonce + 1) } else { U256::ZERO },
        input,
        ..TxEip1559::default()
    };
    PoolTransaction::new(tx.into_signed(interlace_stf::stand_in_signature(RICH)).into(), RICH)
}

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

/// All that can be told of a chain.
#[derive(Debug, PartialEq)]
struct View {
    blocks: Vec<Arc<StoredBlock>>,
    dump: Vec<u8>,
    accounts: Vec<(Address, B256, U256, u64)>,
    states: Vec<U256>,
}

fn view(chain: &Chain) -> View {
    let numbers = 0..=chain.head().number();
    let (_, state) = chain.head_with_state();
    let account = |address| {
        let account = state.trie_account(address).unwrap().unwrap_or_default();
        (address, account.storage_root, account.balance, account.nonce)
    };
    View {
        blocks: numbers.clone().map(|number| chain.block(number).unwrap()).collect(),
        dump: chain.dump().unwrap(),
        accounts: [RICH, POOR, RICH.create(1)].map(account).to_vec(),
        states: numbers
            .map(|number| chain.state_at(number).unwrap().account(POOR).unwrap().unwrap_or_default().balance)
            .collect(),
    }
}

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
        drop(Log::open(Arc::new(image), identity, Durability::Power, FILE_BYTES, |record: &[u8]| {
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
            let log = Log::open(vfs, identity, Durability::Power, FILE_BYTES, |_: &[u8]| {
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
    assert_eq!(Chain::open(data(), other, orderer(), PoolConfig::default()).unwrap_err().code(), "chain.data-damaged");
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
    let log = Log::open(Arc::new(sim.clone()), identity, Durability::Power, FILE_BYTES, |record: &[u8]| {
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
        let log = Log::open(Arc::new(part.clone()), identity, Durability::Power, FILE_BYTES, |_: &[u8]| {
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
