//! The developer's orderer: one node, its own clock, blocks whenever asked.
//!
//! Invariant: timestamps rise by at least one second per block, so a fast chain runs ahead of the wall clock rather than
//! breaking the rule of Ethereum's headers. `prev_randao` is the hash of parent and height: reproducible and predictable.
//! What it does not do: it secures nothing. It may be reverted at will and must never order blocks of a network.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy_consensus::Header;
use alloy_primitives::{Address, B256, Bytes, keccak256};

use crate::api::{BlockPlan, Finality, Orderer};
use crate::error::ChainError;

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mining {
    /// As soon as a transaction can run; all that can run meanwhile share the next block.
    Instant,
    /// Every so often, empty or not.
    Interval(Duration),
    /// Only when asked.
    Manual,
}

#[derive(Clone, Copy, Debug)]
struct Clock {
    /// Seconds added to the wall clock.
    offset: i64,
    /// Exact timestamp of the next block.
    next: Option<u64>,
    mining: Mining,
    /// What `Instant` is replaced by while automining is off.
    interval: Option<Duration>,
}

/// The controls as they were at a moment; restored by a revert.
#[derive(Clone, Copy, Debug)]
pub struct ClockMark {
    offset: i64,
    next: Option<u64>,
}

/// The developer's orderer.
#[derive(Debug)]
pub struct DevOrderer {
    clock: Mutex<Clock>,
    beneficiary: Address,
    /// Gas limit of each block; `None` keeps the parent's.
    gas_limit: Option<u64>,
}

impl DevOrderer {
    /// An orderer that mines as `mining` says; tips go to `beneficiary`.
    #[must_use]
    pub const fn new(mining: Mining, beneficiary: Address, gas_limit: Option<u64>) -> Self {
        let interval = if let Mining::Interval(every) = mining { Some(every) } else { None };
        Self { clock: Mutex::new(Clock { offset: 0, next: None, mining, interval }), beneficiary, gas_limit }
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        // A poisoned clock still holds plain numbers: there is nothing half done in it.
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When blocks are made.
    #[must_use]
    pub fn mining(&self) -> Mining {
        self.clock().mining
    }

    /// Turns mining on arrival on or off; off leaves the interval, if one is set.
    pub fn set_automine(&self, on: bool) {
        let mut clock = self.clock();
        clock.mining = match (on, clock.interval) {
            (true, _) => Mining::Instant,
            (false, Some(every)) => Mining::Interval(every),
            (false, None) => Mining::Manual,
        };
    }

    /// Mines every `interval`; `None` turns the interval off.
    pub fn set_interval(&self, interval: Option<Duration>) {
        let mut clock = self.clock();
        clock.interval = interval;
        clock.mining = match (interval, clock.mining) {
            (Some(every), _) => Mining::Interval(every),
            (None, Mining::Interval(_)) => Mining::Manual,
            (None, mining) => mining,
        };
    }

    /// Moves the clock forward and returns the whole offset in seconds.
    pub fn increase_time(&self, seconds: u64) -> i64 {
        let mut clock = self.clock();
        clock.offset = clock.offset.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
        clock.offset
    }

    /// Fixes the timestamp of the next block; later blocks go on from there.
    ///
    /// # Errors
    /// When it is not after the head's.
    pub fn set_next_timestamp(&self, timestamp: u64, head: &Header) -> Result<(), ChainError> {
        if timestamp <= head.timestamp {
            return Err(ChainError::Developer(format!(
                "timestamp {timestamp} is not after the head's timestamp {}",
                head.timestamp
            )));
        }
        self.clock().next = Some(timestamp);
        Ok(())
    }

    /// The clock, to be restored by [`Self::restore`].
    #[must_use]
    pub fn mark(&self) -> ClockMark {
        let clock = self.clock();
        ClockMark { offset: clock.offset, next: clock.next }
    }

    /// Sets the clock back to `mark`.
    pub fn restore(&self, mark: ClockMark) {
        let mut clock = self.clock();
        clock.offset = mark.offset;
        clock.next = mark.next;
    }
}

impl DevOrderer {
    fn plan(&self, parent: &Header, timestamp: u64) -> Result<BlockPlan, ChainError> {
        let end = || ChainError::Developer("the clock is at its end".into());
        let earliest = parent.timestamp.checked_add(1).ok_or_else(end)?;
        let mut seed = parent.hash_slow().to_vec();
        seed.extend_from_slice(&(parent.number + 1).to_be_bytes());
        Ok(BlockPlan {
            timestamp: timestamp.max(earliest),
            beneficiary: self.beneficiary,
            gas_limit: self.gas_limit.unwrap_or(parent.gas_limit),
            prev_randao: keccak256(seed),
            extra_data: Bytes::new(),
            parent_beacon_block_root: B256::ZERO,
            withdrawals: Vec::new(),
        })
    }
}

fn wall_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Orderer for DevOrderer {
    fn propose(&self, parent: &Header) -> Result<BlockPlan, ChainError> {
        let mut clock = self.clock();
        if let Some(fixed) = clock.next.take() {
            let wall = i64::try_from(wall_seconds()).unwrap_or(i64::MAX);
            clock.offset = i64::try_from(fixed).unwrap_or(i64::MAX).saturating_sub(wall);
            return self.plan(parent, fixed);
        }
        self.plan(parent, wall_seconds().saturating_add_signed(clock.offset))
    }

    fn preview(&self, parent: &Header) -> Result<BlockPlan, ChainError> {
        let clock = *self.clock();
        self.plan(parent, clock.next.unwrap_or_else(|| wall_seconds().saturating_add_signed(clock.offset)))
    }

    fn verify(&self, parent: &Header, header: &Header) -> Result<(), ChainError> {
        if header.timestamp > parent.timestamp {
            return Ok(());
        }
        let reason = format!("timestamp {} is not after its parent's {}", header.timestamp, parent.timestamp);
        Err(ChainError::Block { number: header.number, reason })
    }

    fn certify(&self, _header: &Header, _hash: B256) -> Result<(), ChainError> {
        Ok(()) // One node agrees with itself.
    }

    fn finalised(&self, _number: u64, _hash: B256) {}

    fn finality(&self, head: u64) -> Finality {
        // Nothing is final on a chain that its developer may revert; geth's depths make the tags usable.
        Finality { safe: head.saturating_sub(32), finalised: head.saturating_sub(64) }
    }

    fn developer(&self) -> Option<&DevOrderer> {
        Some(self)
    }
}
