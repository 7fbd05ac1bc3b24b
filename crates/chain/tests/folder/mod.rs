//! Chains in folders on a disk that can be crashed.
#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_primitives::{Address, B256, Bytes, TxKind, U256, bytes};
use interlace_chain::folder::Progress;
use interlace_chain::pool::{PoolConfig, PoolTransaction};
use interlace_chain::{
    AccountEdit, Chain, ChainError, DataDir, DevGenesis, DevOrderer, Durability, GenesisBlock, Mining, StoredBlock,
};
use interlace_primitives::Fork;
use interlace_state::vfs::sim::Sim;
use interlace_stf::StateReader;

pub const RICH: Address = Address::repeat_byte(1);
pub const POOR: Address = Address::repeat_byte(2);
/// Small, so that the log has several files.
pub const FILE_BYTES: u64 = 4_000;
/// Logs one word, stores it, and leaves code of one byte.
pub const INITCODE: Bytes = bytes!("602a60005260206000a16001600055600160005360016000f3");

pub fn document() -> String {
    let genesis = DevGenesis {
        chain_id: 7,
        fork: Fork::Osaka,
        balances: vec![(RICH, U256::from(10).pow(U256::from(24)))],
        gas_limit: 30_000_000,
        deployments: Vec::new(),
        timestamp: 1,
        base_fee_wei: None,
        ada: false,
    };
    genesis.document().to_string()
}

pub fn orderer() -> Box<DevOrderer> {
    let orderer = DevOrderer::new(Mining::Manual, Address::ZERO, None).impersonating_all();
    // The same blocks in every run.
    orderer.set_timestamp_interval(Some(1));
    Box::new(orderer)
}

pub fn open(sim: &Sim, durability: Durability) -> Result<Chain, ChainError> {
    open_keeping(sim, durability, None, u64::MAX)
}

/// A chain that keeps the states of so many blocks, and writes a checkpoint after so many bytes.
pub fn open_keeping(
    sim: &Sim,
    durability: Durability,
    history: Option<u64>,
    checkpoint_after: u64,
) -> Result<Chain, ChainError> {
    open_watched(sim, durability, history, checkpoint_after, None, &|_, _, _| true)
}

/// Blocks before the newest one whose states chains that keep all hold in memory here.
const ARCHIVE_WINDOW: u64 = 2;

/// As [`open_keeping`], telling how far it is; in tables with room for so many bytes, if they are given.
pub fn open_watched(
    sim: &Sim,
    durability: Durability,
    history: Option<u64>,
    checkpoint_after: u64,
    in_tables: Option<usize>,
    progress: Progress<'_>,
) -> Result<Chain, ChainError> {
    let data = DataDir::on(Arc::new(sim.clone()), durability, FILE_BYTES).checkpoint_after(checkpoint_after);
    let data = data.archive_window(ARCHIVE_WINDOW);
    let data = match in_tables {
        Some(bytes) => data.in_tables(bytes),
        None => data,
    };
    let genesis = GenesisBlock::from_json(&data.document(&document())?)?;
    genesis.state.keep(history);
    Chain::open(data, genesis, orderer(), PoolConfig::default(), progress)
}

/// Makes a block of one transaction.
pub fn send(chain: &Chain, to: TxKind, input: Bytes) -> Result<(), ChainError> {
    let nonce = chain.pending_nonce(RICH)?;
    chain.submit(vec![Ok(transaction(nonce, to, input))]).pop().unwrap()?;
    chain.produce().map(|_| ())
}

pub fn transaction(nonce: u64, to: TxKind, input: Bytes) -> PoolTransaction {
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

/// All that can be told of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub blocks: Vec<Arc<StoredBlock>>,
    pub dump: Vec<u8>,
    pub accounts: Vec<(Address, B256, U256, u64)>,
    /// A balance in each state; none in one that is too old.
    pub states: Vec<Option<U256>>,
}

pub fn view(chain: &Chain) -> View {
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
            .map(|number| {
                let account = chain.state_at(number).unwrap().account(POOR).ok()?;
                Some(account.unwrap_or_default().balance)
            })
            .collect(),
    }
}

/// Says whether a checkpoint was written.
pub fn checkpoint(chain: &Chain) -> Result<bool, ChainError> {
    chain.checkpoint(&|_, _| true).map(|stats| stats.is_some())
}

/// How many steps there are.
pub const STEPS: usize = 22;

/// One record of the log each, but for checkpoints.
pub fn step(chain: &Chain, step: usize) -> Result<(), ChainError> {
    match step {
        0 => send(chain, TxKind::Create, INITCODE),
        2 => chain.set_balance(POOR, U256::from(5)),
        5 => chain.amend(RICH.create(0), |_| {
            Ok(AccountEdit {
                code: Some(bytes!("6001")),
                storage: (1..90).map(|slot| (U256::from(slot), U256::from(slot))).collect(),
                ..AccountEdit::default()
            })
        }),
        6 | 9 | 12 | 15 => checkpoint(chain).map(|_| ()),
        8 => chain.rollback(1),
        10 => chain.set_balance(RICH.create(0), U256::from(9)),
        _ => send(chain, TxKind::Call(POOR), Bytes::new()),
    }
}
