//! Our state, in memory, with a log on disk.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::{Address, B256, Bytes, U256};
use anyhow::{Context, Result};
use interlace_state::bench::{BenchState, account, address};
use interlace_state::log::{Durability, Log, MAX_FILE_BYTES};
use interlace_state::vfs::Disk;
use interlace_state::{AccountChange, Changes, StateReader, StorageError};

use crate::subject::{Batch, Change, Subject, sum};

/// Accounts that are put in at a time.
const PORTION: u64 = 250_000;

/// Our state; on all threads, or on one.
pub struct Ours {
    state: BenchState,
    log: Log,
    block: u64,
    pool: Option<rayon::ThreadPool>,
}

impl Ours {
    /// With a log in `folder`.
    pub fn new(folder: &Path) -> Result<Self> {
        let disk = Arc::new(Disk::open(folder)?);
        let log = Log::open(disk, B256::ZERO, Durability::Power, MAX_FILE_BYTES, |_, _| Ok::<_, StorageError>(()))?;
        Ok(Self { state: BenchState::default(), log, block: 0, pool: None })
    }

    /// On one thread from now on, or on all.
    pub fn on_one_thread(&mut self, one: bool) -> Result<()> {
        let pool = || rayon::ThreadPoolBuilder::new().num_threads(1).build();
        self.pool = if one { Some(pool()?) } else { None };
        Ok(())
    }
}

fn changes(of: impl Iterator<Item = Change>) -> Changes {
    let change = |Change { number, balance }| {
        (address(number), AccountChange { info: Some(account(balance)), ..AccountChange::default() })
    };
    Changes { accounts: of.map(change).collect(), ..Changes::default() }
}

impl Subject for Ours {
    fn name(&self) -> &'static str {
        "interlace"
    }

    fn load(&mut self, count: u64) -> Result<B256> {
        for first in (0..count).step_by(PORTION as usize) {
            self.state.grow(PORTION.min(count - first))?;
        }
        Ok(self.state.state().root())
    }

    fn read(&self, addresses: &[Address]) -> Result<(U256, std::time::Duration)> {
        let snapshot = self.state.state().latest();
        sum(addresses, |address| Ok(snapshot.account(*address)?.context("an account is missing")?.balance))
    }

    fn change(&mut self, of: &[Change], durable: bool) -> Result<Batch> {
        let made = changes(of.iter().copied());
        let Self { state, log, block, pool } = self;
        let state = state.state();
        let work = || {
            let start = Instant::now();
            let mut logged = None;
            if durable {
                // As long as the chain's own record of such a block.
                let mut record = Vec::with_capacity(of.len() * 92);
                for (address, change) in &made.accounts {
                    let info = change.info.unwrap_or_default();
                    record.extend_from_slice(address.as_slice());
                    record.extend_from_slice(&info.nonce.to_be_bytes());
                    record.extend_from_slice(&info.balance.to_be_bytes::<32>());
                    record.extend_from_slice(info.code_hash.as_slice());
                }
                logged = Some(log.append(&record)?);
            }
            let staged = state.stage(made)?;
            let (root, hashed) = (staged.root(), start.elapsed());
            state.commit(*block + 1, B256::ZERO, staged)?;
            if let Some(number) = logged {
                log.wait(number)?;
            }
            Ok::<Batch, anyhow::Error>(Batch { root, hashed, placed: start.elapsed() })
        };
        let batch = match pool {
            Some(pool) => pool.install(work),
            None => work(),
        }?;
        *block += 1;
        Ok(batch)
    }

    fn prove(&self, address: Address) -> Result<(Vec<Bytes>, std::time::Duration)> {
        let start = Instant::now();
        let proof = self.state.state().proof(address, &[])?;
        Ok((proof.nodes, start.elapsed()))
    }

    fn bytes(&self) -> Result<(u64, u64)> {
        let (flat, trie) = self.state.bytes();
        Ok(((flat + trie) as u64, 0))
    }
}
