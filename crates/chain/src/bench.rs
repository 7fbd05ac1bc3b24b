//! A chain under load, for `interlace bench chain`: blocks made one after the other, and each executed while the one before is sealed.
//!
//! Invariant: both ways give the same chain, down to the hash of its head, or nothing is timed.
//! What it does not do: JSON-RPC, signatures and the pool's admission; `interlace bench rpc` measures those.

use std::path::Path;
use std::time::Instant;

use alloy_primitives::{Address, B256, U256, keccak256};
use interlace_executor::bench::{BenchError, MAX_TRANSACTIONS, Synthetic, synthetic};
use interlace_primitives::Fork;
use interlace_state::MemoryState;
use interlace_state::log::Durability;
use interlace_stf::{Account, AccountChange, Changes, StateReader};

use crate::chain::Chain;
use crate::dev::{DevOrderer, Mining};
use crate::error::ChainError;
use crate::genesis::{DevGenesis, GenesisBlock};
use crate::journal::DataDir;
use crate::pool::{Order, PoolConfig, PoolTransaction};

/// Accounts of the state at most.
pub const MAX_ACCOUNTS: u64 = 50_000_000;

/// A chain's state, and transactions that wait for it.
#[derive(Debug)]
pub struct BenchChain {
    genesis: DevGenesis,
    changes: Changes,
    transactions: Vec<PoolTransaction>,
    blocks: u64,
    head: B256,
}

/// How blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// One after the other.
    Alone,
    /// Each while the one before is sealed.
    Overlapped,
}

fn wrong(error: impl ToString) -> BenchError {
    BenchError::Differs(error.to_string())
}

impl BenchChain {
    /// `count` transactions of the kind `name`, about `per_block` a block, on a state of `accounts` more.
    ///
    /// # Errors
    /// [`BenchError`].
    pub fn new(name: &str, count: u64, per_block: u64, accounts: u64) -> Result<Self, BenchError> {
        let count = count.clamp(1, MAX_TRANSACTIONS);
        let made = synthetic(name, count).ok_or_else(|| BenchError::Unknown(name.to_owned()))?.map_err(wrong)?;
        let Synthetic { block, senders, world, .. } = made;
        // What a transaction may use at most must be left when its turn comes.
        let most =
            block.body.transactions.iter().map(alloy_consensus::Transaction::gas_limit).max().unwrap_or_default();
        let others = (block.header.gas_used / count).saturating_mul(per_block.saturating_sub(1));
        let gas_limit = others.saturating_add(most);
        let (chain_id, fork) = (1337, Fork::Osaka);
        // So low that full blocks do not raise it above what the transactions pay.
        let base_fee_wei = Some(7);
        let (balances, deployments, timestamp) = (Vec::new(), Vec::new(), 1);
        let genesis =
            DevGenesis { chain_id, fork, balances, gas_limit, deployments, timestamp, base_fee_wei, ada: false };
        let mut changes = Changes::default();
        for (address, account, slots) in world.accounts() {
            let Ok(code) = world.code(account.code_hash);
            changes.codes.insert(account.code_hash, code);
            let storage = slots.into_iter().collect();
            changes.accounts.insert(address, AccountChange { info: Some(account), wiped: false, storage });
        }
        let rest = (0..accounts.min(MAX_ACCOUNTS)).map(|number| {
            let info = Some(Account::with_balance(U256::from(1 + number)));
            (Address::from_word(keccak256(number.to_be_bytes())), AccountChange { info, ..AccountChange::default() })
        });
        changes.accounts.extend(rest);
        let transactions =
            block.body.transactions.into_iter().zip(senders).map(|(tx, sender)| PoolTransaction::new(tx, sender));
        let mut bench =
            Self { genesis, changes, transactions: transactions.collect(), blocks: u64::MAX, head: B256::ZERO };
        let (_, chain) = bench.time(Way::Alone, None)?;
        (bench.blocks, bench.head) = (chain.head().number(), chain.head().hash);
        Ok(bench)
    }

    /// Blocks of a run.
    #[must_use]
    pub const fn blocks(&self) -> u64 {
        self.blocks
    }

    /// Makes the blocks, and gives the seconds that it took; with a new folder that survives a loss of power, in that.
    ///
    /// # Errors
    /// [`BenchError::Differs`].
    pub fn round(&self, way: Way, folder: Option<&Path>) -> Result<f64, BenchError> {
        let (seconds, chain) = self.time(way, folder)?;
        let (number, hash) = (chain.head().number(), chain.head().hash);
        if (number, hash) == (self.blocks, self.head) {
            return Ok(seconds);
        }
        Err(wrong(format!("block {number} is {hash}, and block {} was {} at first", self.blocks, self.head)))
    }

    fn time(&self, way: Way, folder: Option<&Path>) -> Result<(f64, Chain), BenchError> {
        let chain = self.chain(folder).map_err(wrong)?;
        for outcome in chain.submit(self.transactions.iter().cloned().map(Ok).collect()) {
            outcome.map_err(wrong)?;
        }
        let mut left = self.blocks;
        let mut go_on = || {
            left -= 1;
            left > 0 && (self.blocks < u64::MAX || chain.pool_status().pending > 0)
        };
        let started = Instant::now();
        let made = match way {
            Way::Overlapped => chain.produce_while(go_on),
            Way::Alone => loop {
                match chain.produce() {
                    Ok(_) if go_on() => {}
                    other => break other.map(drop),
                }
            },
        };
        let seconds = started.elapsed().as_secs_f64();
        made.map_err(wrong)?;
        Ok((seconds, chain))
    }

    fn chain(&self, folder: Option<&Path>) -> Result<Chain, ChainError> {
        let mut genesis = GenesisBlock::from_json(&self.genesis.document().to_string())?;
        let header = &mut genesis.header;
        genesis.state = MemoryState::new(0, self.changes.clone(), |root| {
            header.state_root = root;
            header.hash_slow()
        });
        let orderer = Box::new(DevOrderer::new(Mining::Manual, Address::repeat_byte(0xdd), None).impersonating_all());
        // The same blocks in every run.
        orderer.set_timestamp_interval(Some(1));
        let all = usize::MAX;
        let pool = PoolConfig { max_transactions: all, max_per_sender: all, max_bytes: all, ..PoolConfig::default() };
        let pool = PoolConfig { max_nonce_gap: u64::MAX, order: Order::Arrival, ..pool };
        let Some(folder) = folder else { return Ok(Chain::new(genesis, orderer, pool)) };
        Chain::open(DataDir::open(folder, Durability::Power)?, genesis, orderer, pool, &|_, _, _| true)
    }
}
