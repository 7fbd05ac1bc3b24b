//! The developer's orderer: one node, its own clock, blocks whenever asked.
//!
//! Invariant: timestamps rise by at least one second per block, so a fast chain runs ahead of the wall clock rather than
//! breaking the rule of Ethereum's headers. `prev_randao` is a hash of what the
//! parent says of blocks before it, and of the height: reproducible and predictable.
//! Sources of the controls' meaning: Hardhat, Anvil and Ganache, whose tools use them.
//! What it does not do: it secures nothing. It may be reverted at will and must never order blocks of a network. What changes
//! the pool's rules with it (base fee, gas limit) is set through the chain, see [`crate::controls`].

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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

/// What the next blocks carry; a snapshot remembers it and a revert brings it back.
#[derive(Clone, Copy, Debug)]
struct Settings {
    /// Seconds added to the wall clock.
    offset: i64,
    /// Exact timestamp of the next block.
    next_timestamp: Option<u64>,
    /// Seconds from each block to the next, whatever the clock says.
    timestamp_interval: Option<u64>,
    /// Who gets the tips.
    beneficiary: Address,
    /// Gas limit of each block; `None` keeps the parent's.
    gas_limit: Option<u64>,
    /// `prev_randao` of the next block.
    next_prev_randao: Option<B256>,
    /// Base fee of the next block in wei, instead of the one that follows from its parent.
    next_base_fee: Option<u64>,
    /// Least gas price in wei, on chains before London.
    min_gas_price: u128,
}

#[derive(Clone, Copy, Debug)]
struct Rhythm {
    mining: Mining,
    /// What `Instant` is replaced by while automining is off.
    interval: Option<Duration>,
}

#[derive(Debug)]
struct Inner {
    settings: Settings,
    rhythm: Rhythm,
    /// Accounts that need no signature.
    impersonated: BTreeSet<Address>,
    /// No account needs one.
    impersonate_all: bool,
    /// What a reset restores.
    start: (Settings, Rhythm),
}

/// The settings as they were at a moment; restored by a revert.
#[derive(Clone, Copy, Debug)]
pub struct DevMark(Settings);

/// The developer's orderer.
#[derive(Debug)]
pub struct DevOrderer {
    inner: Mutex<Inner>,
    logging: AtomicBool,
    /// The newest block that was imported: others made it, and whoever imported it said that it stands.
    settled: AtomicU64,
    start_impersonates_all: bool,
}

impl DevOrderer {
    /// An orderer that mines as `mining` says; tips go to `beneficiary`.
    #[must_use]
    pub const fn new(mining: Mining, beneficiary: Address, gas_limit: Option<u64>) -> Self {
        let settings = Settings {
            offset: 0,
            next_timestamp: None,
            timestamp_interval: None,
            beneficiary,
            gas_limit,
            next_prev_randao: None,
            next_base_fee: None,
            min_gas_price: 0,
        };
        let interval = if let Mining::Interval(every) = mining { Some(every) } else { None };
        let rhythm = Rhythm { mining, interval };
        let start = (settings, rhythm);
        let inner = Inner { settings, rhythm, impersonated: BTreeSet::new(), impersonate_all: false, start };
        Self {
            inner: Mutex::new(inner),
            logging: AtomicBool::new(true),
            settled: AtomicU64::new(0),
            start_impersonates_all: false,
        }
    }

    /// The same with a clock that shows `timestamp` now.
    #[must_use]
    pub fn starting_at(self, timestamp: u64) -> Self {
        self.reset_at(timestamp);
        self
    }

    /// The same with every account impersonated.
    #[must_use]
    pub fn impersonating_all(mut self) -> Self {
        self.inner().impersonate_all = true;
        self.start_impersonates_all = true;
        self
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Each control changes one field, so a poisoned lock holds nothing half done.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The settings, to be restored by [`Self::restore`].
    #[must_use]
    pub fn mark(&self) -> DevMark {
        DevMark(self.inner().settings)
    }

    /// Sets clock, beneficiary and what the next block was to carry back to `mark`; the rhythm of mining stays.
    pub fn restore(&self, mark: DevMark) {
        self.inner().settings = mark.0;
    }

    /// Everything as it was when the chain started, impersonation and the rhythm of mining included.
    pub fn reset(&self) {
        let mut inner = self.inner();
        (inner.settings, inner.rhythm) = inner.start;
        inner.impersonated.clear();
        inner.impersonate_all = self.start_impersonates_all;
    }

    /// As [`Self::reset`], with a clock that shows `timestamp` now, and at later resets.
    pub fn reset_at(&self, timestamp: u64) {
        self.inner().start.0.offset = offset_to(timestamp);
        self.reset();
    }

    // ---- mining

    /// When blocks are made.
    #[must_use]
    pub fn mining(&self) -> Mining {
        self.inner().rhythm.mining
    }

    /// Turns mining on arrival on or off; off leaves the interval, if one is set.
    pub fn set_automine(&self, on: bool) {
        let rhythm = &mut self.inner().rhythm;
        rhythm.mining = match (on, rhythm.interval) {
            (true, _) => Mining::Instant,
            (false, Some(every)) => Mining::Interval(every),
            (false, None) => Mining::Manual,
        };
    }

    /// Mines every `interval`; `None` turns the interval off.
    pub fn set_interval(&self, interval: Option<Duration>) {
        let rhythm = &mut self.inner().rhythm;
        rhythm.interval = interval;
        rhythm.mining = match (interval, rhythm.mining) {
            (Some(every), _) => Mining::Interval(every),
            (None, Mining::Interval(_)) => Mining::Manual,
            (None, mining) => mining,
        };
    }

    // ---- time

    /// Moves the clock forward and returns the whole offset in seconds.
    pub fn increase_time(&self, seconds: u64) -> i64 {
        let settings = &mut self.inner().settings;
        settings.offset = settings.offset.saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
        settings.offset
    }

    /// Sets the clock, which goes on from there, and returns by how many seconds it moved. Blocks still are later than their parents.
    pub fn set_time(&self, timestamp: u64) -> i64 {
        let settings = &mut self.inner().settings;
        let before = settings.offset;
        settings.offset = offset_to(timestamp);
        settings.next_timestamp = None;
        settings.offset.saturating_sub(before)
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
        self.inner().settings.next_timestamp = Some(timestamp);
        Ok(())
    }

    /// Seconds from each block to the next; `None` follows the clock again. Returns what held before.
    pub fn set_timestamp_interval(&self, seconds: Option<u64>) -> Option<u64> {
        core::mem::replace(&mut self.inner().settings.timestamp_interval, seconds)
    }

    // ---- what blocks carry

    /// Who gets the tips from now on.
    pub fn set_beneficiary(&self, address: Address) {
        self.inner().settings.beneficiary = address;
    }

    /// `prev_randao` of the next block.
    pub fn set_next_prev_randao(&self, value: B256) {
        self.inner().settings.next_prev_randao = Some(value);
    }

    pub(crate) fn set_next_base_fee(&self, wei: u64) {
        self.inner().settings.next_base_fee = Some(wei);
    }

    pub(crate) fn set_gas_limit(&self, gas: u64) {
        self.inner().settings.gas_limit = Some(gas);
    }

    pub(crate) fn set_min_gas_price(&self, wei: u128) {
        self.inner().settings.min_gas_price = wei;
    }

    /// Base fee and gas limit that the developer chose for the next block, and the least gas price.
    pub(crate) fn chosen(&self) -> (Option<u64>, Option<u64>, u128) {
        let Settings { next_base_fee, gas_limit, min_gas_price, .. } = self.inner().settings;
        (next_base_fee, gas_limit, min_gas_price)
    }

    /// Least gas price in wei, on chains before London.
    #[must_use]
    pub fn min_gas_price(&self) -> u128 {
        self.inner().settings.min_gas_price
    }

    // ---- impersonation

    /// Takes transactions of `address` without a signature.
    pub fn impersonate(&self, address: Address) {
        self.inner().impersonated.insert(address);
    }

    /// Ends it; false when it was not on. Transactions that wait already stay valid.
    pub fn stop_impersonating(&self, address: Address) -> bool {
        self.inner().impersonated.remove(&address)
    }

    /// Takes transactions of any account without a signature, or ends that.
    pub fn set_impersonate_all(&self, on: bool) {
        self.inner().impersonate_all = on;
    }

    /// Whether transactions of `address` need no signature.
    #[must_use]
    pub fn impersonates(&self, address: Address) -> bool {
        let inner = self.inner();
        inner.impersonate_all || inner.impersonated.contains(&address)
    }

    // ---- talk

    /// Block `number` was imported: it and all before it are final here.
    pub(crate) fn settle(&self, number: u64) {
        self.settled.fetch_max(number, Ordering::Relaxed);
    }

    /// Blocks above `number` were taken back.
    pub(crate) fn unsettle(&self, number: u64) {
        self.settled.fetch_min(number, Ordering::Relaxed);
    }

    /// Whether each block is logged.
    #[must_use]
    pub fn logs_blocks(&self) -> bool {
        self.logging.load(Ordering::Relaxed)
    }

    /// Logs each block, or stops doing so.
    pub fn set_logs_blocks(&self, on: bool) {
        self.logging.store(on, Ordering::Relaxed);
    }
}

impl Settings {
    /// When the next block is, as far as the settings say.
    fn timestamp(&self, parent: &Header) -> u64 {
        match (self.next_timestamp, self.timestamp_interval) {
            (Some(fixed), _) => fixed,
            (None, Some(seconds)) => parent.timestamp.saturating_add(seconds),
            (None, None) => wall_seconds().saturating_add_signed(self.offset),
        }
    }

    fn plan(&self, parent: &Header) -> Result<BlockPlan, ChainError> {
        let end = || ChainError::Developer("the clock is at its end".into());
        let earliest = parent.timestamp.checked_add(1).ok_or_else(end)?;
        let prev_randao = self.next_prev_randao.unwrap_or_else(|| {
            // Not of the parent's hash, which may not be there yet.
            let mut seed = [parent.mix_hash.0, parent.parent_hash.0].concat();
            seed.extend_from_slice(&(parent.number + 1).to_be_bytes());
            keccak256(seed)
        });
        Ok(BlockPlan {
            timestamp: self.timestamp(parent).max(earliest),
            beneficiary: self.beneficiary,
            gas_limit: self.gas_limit.unwrap_or(parent.gas_limit),
            prev_randao,
            extra_data: Bytes::new(),
            parent_beacon_block_root: B256::ZERO,
            withdrawals: Vec::new(),
            base_fee_wei: self.next_base_fee,
        })
    }
}

fn wall_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// What must be added to the wall clock to show `timestamp`.
fn offset_to(timestamp: u64) -> i64 {
    let wall = i64::try_from(wall_seconds()).unwrap_or(i64::MAX);
    i64::try_from(timestamp).unwrap_or(i64::MAX).saturating_sub(wall)
}

impl Orderer for DevOrderer {
    fn propose(&self, parent: &Header) -> Result<BlockPlan, ChainError> {
        let settings = &mut self.inner().settings;
        let plan = settings.plan(parent)?;
        if let Some(fixed) = settings.next_timestamp.take() {
            settings.offset = offset_to(fixed);
        }
        settings.next_prev_randao = None;
        settings.next_base_fee = None;
        Ok(plan)
    }

    fn preview(&self, parent: &Header) -> Result<BlockPlan, ChainError> {
        let settings = self.inner().settings;
        settings.plan(parent)
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
        let settled = self.settled.load(Ordering::Relaxed).min(head);
        Finality { safe: head.saturating_sub(32).max(settled), finalised: head.saturating_sub(64).max(settled) }
    }

    fn developer(&self) -> Option<&DevOrderer> {
        Some(self)
    }
}
