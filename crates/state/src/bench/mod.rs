//! A state of accounts at a size of choice, for `interlace bench state`.
//!
//! Invariant: what is timed is what a chain does, through the same functions; [`BenchState::check`] compares what came of it with what is
//! computed anew.
//! What it does not do: it has no contracts and no storage, and takes no median; the caller repeats.

mod archive;
mod tiers;

use std::hint::black_box;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, KECCAK256_EMPTY, U256, keccak256};
use interlace_stf::{Account, AccountChange, Changes, StateReader};
use interlace_trie::{EMPTY_ROOT_HASH, TrieAccount, sorted_root, verify_proof};

use crate::error::{StateError, StorageError};
use crate::keccak::{Backend, Hasher};
use crate::log::{Durability, Log, MAX_FILE_BYTES};
use crate::memory::MemoryState;
use crate::vfs::Disk;

/// What was timed went wrong, or differs from what is right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BenchError {
    /// A value, a root or a proof is wrong.
    #[error("what was timed is wrong: {0}")]
    Differs(String),
    /// The log could not be written.
    #[error("{0}")]
    Storage(#[from] StorageError),
    /// The state refused.
    #[error("{0}")]
    State(#[from] StateError),
}

impl BenchError {
    /// Stable identifier of the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Differs(_) => "engine.bench-differs",
            Self::Storage(error) => error.code(),
            Self::State(error) => error.code(),
        }
    }
}

pub use archive::Past;
pub use tiers::Trace;

/// Reads that are timed together, because a clock costs as much as a read.
pub const GROUP: usize = 16;

/// Times of one block of [`BenchState::sustain`].
#[derive(Clone, Copy, Debug)]
pub struct BlockTimes {
    /// From the changes to the new state, with its root, in place.
    pub work: Duration,
    /// From the record handed to the log until it was durable; the block's own work goes on meanwhile.
    pub durable: Duration,
}

/// A state of accounts whose addresses and values follow from their numbers.
#[derive(Debug)]
pub struct BenchState {
    state: MemoryState,
    /// Of each account, in the order of their numbers.
    balances: Vec<u64>,
    block: u64,
    seed: u64,
}

/// The address of account `number`: uniform, and the same on every machine.
#[must_use]
pub fn address(number: u64) -> Address {
    let mut bytes = B256::ZERO;
    for (word, part) in (0u64..).zip(bytes.0.as_chunks_mut::<8>().0) {
        // SplitMix64's finaliser.
        let mut mixed = (number * 4 + word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        *part = (mixed ^ mixed >> 31).to_be_bytes();
    }
    Address::from_word(bytes)
}

/// The account that stands for a balance.
#[must_use]
pub fn account(balance: u64) -> Account {
    Account { nonce: balance % 1_000, balance: U256::from(balance) << 40, code_hash: KECCAK256_EMPTY }
}

fn trie_account(balance: u64) -> TrieAccount {
    let Account { nonce, balance, code_hash } = account(balance);
    TrieAccount { nonce, balance, storage_root: EMPTY_ROOT_HASH, code_hash }
}

impl Default for BenchState {
    fn default() -> Self {
        let state = MemoryState::new(0, Changes::default(), |_| B256::ZERO);
        Self { state, balances: Vec::new(), block: 0, seed: 0 }
    }
}

impl BenchState {
    /// Accounts in the state.
    #[must_use]
    pub fn accounts(&self) -> u64 {
        self.balances.len() as u64
    }

    /// The state itself, for who compares it with another.
    #[must_use]
    pub const fn state(&self) -> &MemoryState {
        &self.state
    }

    /// Bytes of the flat state and of the tries; older values are not counted.
    #[must_use]
    pub fn bytes(&self) -> (usize, usize) {
        let sizes = self.state.sizes();
        (sizes.flat_bytes, sizes.trie_bytes)
    }

    /// Adds `count` accounts to the first block's state and says how long it took.
    ///
    /// # Errors
    /// [`BenchError::State`].
    pub fn grow(&mut self, count: u64) -> Result<Duration, BenchError> {
        let first = self.accounts();
        self.balances.extend(first..first + count);
        let changes = self.changes(first..first + count);
        let start = Instant::now();
        self.state.extend_first(changes)?;
        Ok(start.elapsed())
    }

    fn changes(&self, numbers: impl Iterator<Item = u64>) -> Changes {
        let change = |number: u64| {
            let info = account(self.balances[number as usize]);
            (address(number), AccountChange { info: Some(info), ..AccountChange::default() })
        };
        Changes { accounts: numbers.map(change).collect(), ..Changes::default() }
    }

    /// Another balance for `count` accounts drawn at random.
    fn random_changes(&mut self, count: u64) -> Changes {
        let numbers = self.raise_random(count);
        self.changes(numbers.into_iter())
    }

    /// Adds one to the balances of `count` accounts drawn at random, and gives their numbers.
    fn raise_random(&mut self, count: u64) -> Vec<u64> {
        let mut numbers: Vec<u64> = (0..count).map(|_| self.draw()).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.iter().for_each(|number| self.balances[*number as usize] += 1);
        numbers
    }

    /// Changes `count` accounts drawn at random in one block, hashing with `backend`, and says how long it took to have the new root, and
    /// the new state in place; `None` if this processor lacks what the backend needs.
    ///
    /// # Errors
    /// [`BenchError::State`].
    pub fn batch(&mut self, count: u64, backend: Backend) -> Result<Option<(Duration, Duration)>, BenchError> {
        let Some(hasher) = Hasher::new(backend) else { return Ok(None) };
        let changes = self.random_changes(count);
        self.state.hash_with(hasher);
        let start = Instant::now();
        let staged = self.state.stage(changes)?;
        let root = start.elapsed();
        self.block += 1;
        self.state.commit(self.block, B256::ZERO, staged)?;
        let all = start.elapsed();
        self.state.hash_with(Hasher::default());
        Ok(Some((root, all)))
    }

    /// Reads `groups` times [`GROUP`] accounts drawn at random from `set` of them, and says how long a read took in each group. In a `chain`,
    /// which account is read next depends on the value before, so that no read hides behind another.
    ///
    /// # Errors
    /// [`BenchError::Differs`] for a wrong value.
    pub fn read(&mut self, set: u64, groups: u64, chain: bool) -> Result<Vec<Duration>, BenchError> {
        let of = set.clamp(1, self.accounts().max(1));
        let numbers: Vec<u64> = (0..set.min(groups * GROUP as u64)).map(|_| self.draw() % of).collect();
        let addresses: Vec<Address> = numbers.iter().map(|number| address(*number)).collect();
        let snapshot = self.state.latest();
        for (address, number) in addresses.iter().zip(&numbers) {
            if snapshot.account(*address)? != Some(account(self.balances[*number as usize])) {
                return Err(BenchError::Differs(format!("account {address} was read wrong")));
            }
        }
        let mut times = Vec::new();
        let mut next = 0;
        for _ in 0..groups {
            let start = Instant::now();
            for _ in 0..GROUP {
                let found = snapshot.account(addresses[next])?.unwrap_or_default();
                if chain {
                    // No nonce is as high, but the processor has to wait for it to know.
                    next += (found.nonce >> 32) as usize;
                }
                black_box(&found);
                next += 1;
                next = if next < addresses.len() { next } else { 0 };
            }
            times.push(start.elapsed() / GROUP as u32);
        }
        Ok(times)
    }

    /// Commits `blocks` blocks of `count` random changes, each with a record in a log in `folder`, which is written beside. Gives the whole
    /// time, until all is durable, and that of each block.
    ///
    /// # Errors
    /// [`BenchError::Storage`].
    pub fn sustain(
        &mut self,
        folder: &Path,
        durability: Durability,
        count: u64,
        blocks: u64,
    ) -> Result<(Duration, Vec<BlockTimes>), BenchError> {
        let disk = Arc::new(Disk::open(folder)?);
        let log = Log::open(disk, B256::ZERO, durability, MAX_FILE_BYTES, |_, _| Ok::<_, StorageError>(()))?;
        // Made up before, so that the disk gains no time from it.
        let all: Vec<Changes> = (0..blocks).map(|_| self.random_changes(count)).collect();
        let whole = Instant::now();
        // As a chain that executes while the disk is at work: somebody else waits for the records.
        let (sender, receiver) = mpsc::channel::<(u64, Instant)>();
        let times = thread::scope(|scope| {
            let log = &log;
            let waiter = scope.spawn(move || {
                let wait = |(number, since): (u64, Instant)| log.wait(number).map(|()| since.elapsed());
                receiver.iter().map(wait).collect::<Result<Vec<Duration>, StorageError>>()
            });
            let mut works = Vec::new();
            for changes in all {
                let start = Instant::now();
                // As long as the chain's own record of such a block: address, nonce, balance, and what is between them.
                let mut record = Vec::with_capacity(changes.accounts.len() * 96);
                for (address, change) in &changes.accounts {
                    let info = change.info.unwrap_or_default();
                    record.extend_from_slice(address.as_slice());
                    record.extend_from_slice(&info.nonce.to_be_bytes());
                    record.extend_from_slice(&info.balance.to_be_bytes::<32>());
                    record.extend_from_slice(info.code_hash.as_slice());
                }
                // A waiter that is gone says why when it is joined.
                let _ = sender.send((log.append(&record)?, Instant::now()));
                let staged = self.state.stage(changes)?;
                self.block += 1;
                self.state.commit(self.block, B256::ZERO, staged)?;
                works.push(start.elapsed());
            }
            drop(sender);
            let waited = waiter.join().map_err(|_| BenchError::Differs("the log's waiter panicked".into()))??;
            let times = works.into_iter().zip(waited).map(|(work, durable)| BlockTimes { work, durable });
            Ok::<Vec<BlockTimes>, BenchError>(times.collect())
        })?;
        Ok((whole.elapsed(), times))
    }

    /// Commits `depth` blocks of `count` random changes, goes back before them, and says how long going back took.
    ///
    /// # Errors
    /// [`BenchError::State`]; [`BenchError::Differs`] if the root is not what it was.
    pub fn reorg(&mut self, depth: u64, count: u64) -> Result<Duration, BenchError> {
        let (before, balances) = (self.state.root(), self.balances.clone());
        for _ in 0..depth {
            let changes = self.random_changes(count);
            let staged = self.state.stage(changes)?;
            self.block += 1;
            self.state.commit(self.block, B256::ZERO, staged)?;
        }
        let start = Instant::now();
        self.block -= depth;
        self.state.revert_to(self.block)?;
        let time = start.elapsed();
        self.balances = balances;
        let now = self.state.root();
        if now == before {
            Ok(time)
        } else {
            Err(BenchError::Differs(format!("the root was {before}, now it is {now}")))
        }
    }

    /// Proves an account drawn at random, says how long it took, and verifies the proof.
    ///
    /// # Errors
    /// [`BenchError::Differs`] if it does not hold.
    pub fn prove(&mut self) -> Result<Duration, BenchError> {
        let number = self.draw();
        let address = address(number);
        let start = Instant::now();
        let proof = self.state.proof(address, &[])?;
        let time = start.elapsed();
        let value = self.balances.get(number as usize).map(|balance| alloy_rlp::encode(trie_account(*balance)));
        verify_proof(self.state.root(), keccak256(address).as_slice(), value.as_deref(), &proof.nodes)
            .map_err(|error| BenchError::Differs(error.to_string()))?;
        Ok(time)
    }

    /// Computes the root of all accounts from nothing and compares.
    ///
    /// # Errors
    /// [`BenchError::Differs`].
    pub fn check(&self) -> Result<(), BenchError> {
        let balances = (0u64..).zip(&self.balances);
        let mut leaves: Vec<(B256, Vec<u8>)> = balances
            .map(|(number, balance)| (keccak256(address(number)), alloy_rlp::encode(trie_account(*balance))))
            .collect();
        leaves.sort_unstable();
        let (expected, found) = (sorted_root(leaves), self.state.root());
        if expected == found {
            return Ok(());
        }
        Err(BenchError::Differs(format!("the root is {found}, computed anew it is {expected}")))
    }

    fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % self.accounts().max(1)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_wrong_is_told() {
        let mut bench = BenchState::default();
        bench.grow(300).unwrap();
        bench.grow(200).unwrap();
        bench.batch(100, Backend::Scalar).unwrap().unwrap();
        assert_eq!(bench.check(), Ok(()));
        assert_eq!(bench.read(50, 20, true).unwrap().len(), 20);
        bench.prove().unwrap();
        bench.reorg(3, 50).unwrap();
        assert_eq!(bench.check(), Ok(()));
        let folder = std::env::temp_dir().join(format!("interlace-bench-{}", std::process::id()));
        bench.write_checkpoint(&folder).unwrap();
        let mut roots = Vec::new();
        for in_tables in [None, Some(0), Some(100_000)] {
            bench.start_from(&folder, in_tables).unwrap();
            assert_eq!(bench.check(), Ok(()));
            bench.forget_pages();
            assert_eq!(bench.read_each(30).unwrap().len(), 30);
            let trace = bench.trace(5, 100, 40).unwrap();
            assert_eq!(trace.tiers.is_some(), in_tables.is_some());
            roots.push(trace.root);
        }
        assert!(roots[0] == roots[1] && roots[0] == roots[2]);
        bench.start_from(&folder, None).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        bench.batch(100, Backend::Scalar).unwrap().unwrap();
        assert_eq!(bench.check(), Ok(()));
        bench.balances.iter_mut().for_each(|balance| *balance += 1);
        assert_eq!(bench.check().unwrap_err().code(), "engine.bench-differs");
        assert_eq!(bench.read(50, 20, true).unwrap_err().code(), "engine.bench-differs");
        bench.prove().unwrap_err();
    }
}
