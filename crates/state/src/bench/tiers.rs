//! Starts from a checkpoint, and one trace of reads and writes over a state in memory and over one in tables.
//!
//! Invariant: the trace is the same in every run, whatever the state lies in, so that its roots can be compared.

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use interlace_stf::{AccountChange, Changes, StateReader};

use super::{BenchError, BenchState, account, address};
use crate::checkpoint::Checkpoints;
use crate::error::StorageError;
use crate::flat::TierStats;
use crate::vfs::Disk;

/// Of a trace's draws, how skewed they are: the number of an account is the state's size times a uniform number to this power.
const SKEW: i32 = 6;

/// What a trace took.
#[derive(Clone, Copy, Debug)]
pub struct Trace {
    /// All reads together.
    pub reads: Duration,
    /// All blocks' roots and new states.
    pub commits: Duration,
    /// Root at the end.
    pub root: B256,
    /// What was read from where; of a state in tables.
    pub tiers: Option<TierStats>,
    /// Bytes of the flat state at the end.
    pub flat_bytes: usize,
}

impl BenchState {
    /// Writes the state as a checkpoint to `folder`, and says how long it took and how many bytes it has.
    ///
    /// # Errors
    /// [`BenchError::Storage`]; [`BenchError::Differs`] if nothing was written.
    pub fn write_checkpoint(&mut self, folder: &Path) -> Result<(Duration, u64), BenchError> {
        // As if a log had led here, and no older state were needed.
        self.state.logged(self.block + 1);
        self.block += 1;
        self.state.commit(self.block, B256::ZERO, self.state.stage(Changes::default())?)?;
        self.state.keep(Some(0));
        let mut checkpoints = Checkpoints::open(Arc::new(Disk::open(folder)?), B256::ZERO)?;
        let written = checkpoints.write::<StorageError>(&self.state, |_| Ok(()), &|_, _| true)?;
        let stats = written.ok_or_else(|| BenchError::Differs("no checkpoint was written".into()))?;
        Ok((stats.time, stats.bytes))
    }

    /// Goes on with the state of the checkpoint in `folder`, which the present state led to: loaded, or left in its tables with room for so
    /// many bytes of what is only read. Says how long it took.
    ///
    /// # Errors
    /// [`BenchError::Storage`].
    pub fn start_from(&mut self, folder: &Path, in_tables: Option<usize>) -> Result<Duration, BenchError> {
        self.state = Self::default().state;
        let start = Instant::now();
        let checkpoints = Checkpoints::open(Arc::new(Disk::open(folder)?), B256::ZERO)?;
        self.state = match in_tables {
            Some(bytes) => checkpoints.map(bytes, &|_, _| true)?,
            None => checkpoints.load(&|_, _| true)?,
        };
        let time = start.elapsed();
        self.block = self.state.latest().number();
        Ok(time)
    }

    /// Lets the pages of the tables go that are mapped; the system's cache may still have them.
    pub fn forget_pages(&self) {
        self.state.flat().tables().into_iter().for_each(crate::checkpoint::Tables::forget);
    }

    /// Reads `count` accounts drawn at random from all, each timed alone, which adds a clock's time.
    ///
    /// # Errors
    /// [`BenchError::Differs`] for a wrong value, [`BenchError::State`].
    pub fn read_each(&mut self, count: u64) -> Result<Vec<Duration>, BenchError> {
        let snapshot = self.state.latest();
        let mut times = Vec::new();
        for _ in 0..count {
            let number = self.draw();
            let address = address(number);
            let start = Instant::now();
            let found = snapshot.account(address)?;
            times.push(start.elapsed());
            if found != Some(account(self.balances[number as usize])) {
                return Err(BenchError::Differs(format!("account {address} was read wrong")));
            }
        }
        Ok(times)
    }

    /// Runs `blocks` blocks, each of which reads `reads` accounts and changes `writes` of them; some accounts are drawn much more often than
    /// others. The state is not what [`Self::check`] and reads expect afterwards, until another start.
    ///
    /// # Errors
    /// [`BenchError::State`].
    pub fn trace(&mut self, blocks: u64, reads: u64, writes: u64) -> Result<Trace, BenchError> {
        let (mut seed, accounts) = (7_u64, self.accounts() as f64);
        let mut draw = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let uniform = (seed >> 11) as f64 / (1_u64 << 53) as f64;
            (accounts * uniform.powi(SKEW)) as u64
        };
        let (mut read, mut committed) = (Duration::ZERO, Duration::ZERO);
        for block in 1..=blocks {
            let wanted: Vec<_> = (0..reads).map(|_| address(draw())).collect();
            let change =
                |number| (address(number), AccountChange { info: Some(account(block)), ..AccountChange::default() });
            let changes = Changes { accounts: (0..writes).map(|_| change(draw())).collect(), ..Changes::default() };
            let snapshot = self.state.latest();
            let start = Instant::now();
            for address in &wanted {
                black_box(snapshot.account(*address)?);
            }
            read += start.elapsed();
            let start = Instant::now();
            let staged = self.state.stage(changes)?;
            self.block += 1;
            self.state.commit(self.block, B256::ZERO, staged)?;
            committed += start.elapsed();
        }
        let (root, tiers) = (self.state.root(), self.state.tiers());
        Ok(Trace { reads: read, commits: committed, root, tiers, flat_bytes: self.state.sizes().flat_bytes })
    }
}
