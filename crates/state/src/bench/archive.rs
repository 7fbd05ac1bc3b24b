//! Older states on disk: what they cost to write, and reads of them.
//!
//! Invariant: every value that is read is compared with what was written.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_primitives::B256;
use interlace_stf::StateReader;

use super::{BenchError, BenchState, account, address};
use crate::checkpoint::{Checkpoints, History};
use crate::error::StorageError;
use crate::vfs::Disk;

/// What older states on disk take.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// Values that were written over.
    pub writes: u64,
    /// Bytes of their histories.
    pub bytes: u64,
    /// A read of an account that was changed since, of states drawn at random.
    pub changed: Vec<Duration>,
    /// A read of any account.
    pub any: Vec<Duration>,
    /// The way back to the first of these states.
    pub back: Duration,
}

impl BenchState {
    /// Commits `epochs` times `blocks` blocks of `count` random changes, with a checkpoint in `folder` after each time, reads accounts at
    /// states that are on disk then, `reads` of each kind, and goes back to the first one.
    ///
    /// # Errors
    /// [`BenchError::Storage`]; [`BenchError::Differs`] for a wrong value or root.
    pub fn past(
        &mut self,
        folder: &Path,
        epochs: u64,
        blocks: u64,
        count: u64,
        reads: u64,
    ) -> Result<Past, BenchError> {
        let mut checkpoints = Checkpoints::open(Arc::new(Disk::open(folder)?), B256::ZERO)?;
        self.state.archive(History::default(), 0);
        let (first, root, balances) = (self.block, self.state.root(), self.balances.clone());
        let mut before: HashMap<u64, Vec<(u64, u64)>> = HashMap::new();
        let mut past = Past::default();
        for _ in 0..epochs {
            for _ in 0..blocks {
                let numbers = self.raise_random(count);
                self.block += 1;
                past.writes += numbers.len() as u64;
                for number in &numbers {
                    before.entry(*number).or_default().push((self.block, self.balances[*number as usize] - 1));
                }
                let changes = self.changes(numbers.into_iter());
                self.state.logged(self.block);
                self.state.commit(self.block, B256::ZERO, self.state.stage(changes)?)?;
            }
            let written = checkpoints.write::<StorageError>(&self.state, |_| Ok(()), &|_, _| true)?;
            past.bytes += written.map_or(0, |stats| stats.history);
        }
        let changed: Vec<u64> = before.keys().copied().collect();
        for nth in 0..2 * reads {
            let is_changed = nth % 2 == 0;
            let number = if is_changed { changed[self.draw() as usize % changed.len()] } else { self.draw() };
            let block = first + self.draw() % (self.block - first);
            let (address, snapshot) = (address(number), self.state.at(block)?);
            let start = Instant::now();
            let found = snapshot.account(address)?;
            let times = if is_changed { &mut past.changed } else { &mut past.any };
            times.push(start.elapsed());
            let after = before.get(&number).and_then(|writes| writes.iter().find(|(at, _)| *at > block));
            let expected = after.map_or(self.balances[number as usize], |(_, before)| *before);
            if found != Some(account(expected)) {
                return Err(BenchError::Differs(format!("account {address} was read wrong at block {block}")));
            }
        }
        let start = Instant::now();
        self.state.revert_to(first)?;
        past.back = start.elapsed();
        (self.block, self.balances) = (first, balances);
        let now = self.state.root();
        if now == root { Ok(past) } else { Err(BenchError::Differs(format!("the root was {root}, now it is {now}"))) }
    }
}
