//! What can be counted about a chain, in OpenMetrics.
//!
//! Invariant: the number of series is fixed: no label takes a value from outside.

use std::time::Duration;

use interlace_state::checkpoint::CheckpointStats;
use interlace_state::log::LogStats;
use interlace_state::{StateSizes, TierStats};
use interlace_stf::{CodeStats, ProgramStats};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// Counters and gauges of one chain.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Number of the head.
    pub head: Gauge,
    /// Blocks committed.
    pub blocks: Counter,
    /// Transactions committed.
    pub transactions: Counter,
    /// Gas committed.
    pub gas: Counter,
    /// Seconds from the first transaction of a block to its commit.
    pub block_seconds: Histogram,
    /// Blocks that were executed while the one before was sealed.
    pub blocks_overlapped: Counter,
    /// Transactions that were executed ahead of their turn and taken over.
    pub executed_ahead: Counter,
    /// Transactions that were executed ahead for nothing: what they had read was different when their turn came.
    pub executed_in_vain: Counter,
    /// Access lists that came with blocks and were not theirs.
    pub access_lists_refused: Counter,
    /// Transactions that wait.
    pub pool: Gauge,
    /// Transactions that the pool refused.
    pub pool_refused: Counter,
    /// Reverts by the developer.
    pub reverts: Counter,
    /// Seconds that a record took to be durable.
    pub log_seconds: Histogram,
    /// Bytes written to the log.
    pub log_bytes: Counter,
    /// Syncs of the log.
    pub log_syncs: Counter,
    /// Writes and syncs of the log that failed.
    pub log_failures: Counter,
    /// Checkpoints.
    pub checkpoint: CheckpointMetrics,
    /// Bytes of the newest state: accounts, slots and their tables.
    pub state_flat_bytes: Gauge,
    /// Bytes of the state's tries.
    pub state_trie_bytes: Gauge,
    /// Values of older states that are held.
    pub state_older_values: Gauge,
    /// Accounts and slots that were read, in a state over tables.
    pub state_reads: Counter,
    /// Those of them that had to be read in the tables.
    pub state_cold_reads: Counter,
    /// Accounts and slots that were given up for others.
    pub state_evictions: Counter,
    /// Bytes of the tables.
    pub state_table_bytes: Gauge,
    /// Bytes on disk of older states that memory has forgotten.
    pub state_history_bytes: Gauge,
    /// Codes that were translated.
    pub vm_translated: Counter,
    /// Runs whose program was kept in memory.
    pub program_hits: Counter,
    /// Runs whose program was made from the state.
    pub program_misses: Counter,
    /// Bytes of programs that are kept.
    pub program_bytes: Gauge,
    /// Bytes of translated code.
    pub vm_cell_bytes: Gauge,
    /// Calls whose code was translated.
    pub vm_cell_frames: Counter,
    /// Calls whose code was not.
    pub vm_plain_frames: Counter,
    /// Requests answered.
    pub requests: Counter,
    /// Requests answered with an error.
    pub request_errors: Counter,
    /// Events that a subscriber was too slow for.
    pub notifications_dropped: Counter,
}

/// Counters and gauges of checkpoints; clones share them.
#[derive(Clone, Debug)]
pub struct CheckpointMetrics {
    /// Seconds that a checkpoint took.
    pub seconds: Histogram,
    /// Bytes of the newest one that was written since the start.
    pub bytes: Gauge,
    /// Accounts in it.
    pub accounts: Gauge,
    /// Checkpoints that could not be written.
    pub failures: Counter,
}

impl Default for CheckpointMetrics {
    fn default() -> Self {
        Self {
            seconds: Histogram::new(exponential_buckets(0.01, 4.0, 8)),
            bytes: Gauge::default(),
            accounts: Gauge::default(),
            failures: Counter::default(),
        }
    }
}

impl CheckpointMetrics {
    pub(crate) fn wrote(&self, stats: &CheckpointStats) {
        self.seconds.observe(stats.time.as_secs_f64());
        for (gauge, size) in [(&self.bytes, stats.bytes), (&self.accounts, stats.accounts)] {
            gauge.set(i64::try_from(size).unwrap_or(i64::MAX));
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("interlace"),
            head: Gauge::default(),
            blocks: Counter::default(),
            transactions: Counter::default(),
            gas: Counter::default(),
            block_seconds: Histogram::new(exponential_buckets(0.000_1, 4.0, 10)),
            blocks_overlapped: Counter::default(),
            executed_ahead: Counter::default(),
            executed_in_vain: Counter::default(),
            access_lists_refused: Counter::default(),
            pool: Gauge::default(),
            pool_refused: Counter::default(),
            reverts: Counter::default(),
            log_seconds: Histogram::new(exponential_buckets(0.000_01, 4.0, 10)),
            log_bytes: Counter::default(),
            log_syncs: Counter::default(),
            log_failures: Counter::default(),
            checkpoint: CheckpointMetrics::default(),
            state_flat_bytes: Gauge::default(),
            state_trie_bytes: Gauge::default(),
            state_older_values: Gauge::default(),
            state_reads: Counter::default(),
            state_cold_reads: Counter::default(),
            state_evictions: Counter::default(),
            state_table_bytes: Gauge::default(),
            state_history_bytes: Gauge::default(),
            vm_translated: Counter::default(),
            program_hits: Counter::default(),
            program_misses: Counter::default(),
            program_bytes: Gauge::default(),
            vm_cell_bytes: Gauge::default(),
            vm_cell_frames: Counter::default(),
            vm_plain_frames: Counter::default(),
            requests: Counter::default(),
            request_errors: Counter::default(),
            notifications_dropped: Counter::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("head_number", "Number of the newest block", metrics.head.clone());
        registry.register("blocks", "Blocks committed", metrics.blocks.clone());
        registry.register("transactions", "Transactions committed", metrics.transactions.clone());
        registry.register("gas", "Gas committed", metrics.gas.clone());
        registry.register("block_seconds", "Time to build and commit a block", metrics.block_seconds.clone());
        registry.register(
            "blocks_overlapped",
            "Blocks executed while the one before got its root",
            metrics.blocks_overlapped.clone(),
        );
        registry.register("executed_ahead", "Transactions taken over", metrics.executed_ahead.clone());
        registry.register(
            "executed_in_vain",
            "Transactions executed ahead for nothing",
            metrics.executed_in_vain.clone(),
        );
        registry.register(
            "access_lists_refused",
            "Access lists that were not those of their blocks",
            metrics.access_lists_refused.clone(),
        );
        registry.register("pool_transactions", "Transactions that wait", metrics.pool.clone());
        registry.register("pool_refused", "Transactions that the pool refused", metrics.pool_refused.clone());
        registry.register("reverts", "Reverts by the developer", metrics.reverts.clone());
        registry.register("log_seconds", "Time until a record of the log was durable", metrics.log_seconds.clone());
        registry.register("log_bytes", "Bytes written to the log", metrics.log_bytes.clone());
        registry.register("log_syncs", "Syncs of the log", metrics.log_syncs.clone());
        registry.register("log_failures", "Writes and syncs of the log that failed", metrics.log_failures.clone());
        let checkpoint = &metrics.checkpoint;
        registry.register("checkpoint_seconds", "Time to write a checkpoint", checkpoint.seconds.clone());
        registry.register("checkpoint_bytes", "Bytes of the newest checkpoint", checkpoint.bytes.clone());
        registry.register("checkpoint_accounts", "Accounts of the newest checkpoint", checkpoint.accounts.clone());
        registry.register("checkpoint_failures", "Checkpoints that failed", checkpoint.failures.clone());
        registry.register("state_flat_bytes", "Bytes of the newest state", metrics.state_flat_bytes.clone());
        registry.register("state_trie_bytes", "Bytes of the state's tries", metrics.state_trie_bytes.clone());
        registry.register("state_older_values", "Values of older states", metrics.state_older_values.clone());
        registry.register("state_reads", "Reads of a state over tables", metrics.state_reads.clone());
        registry.register("state_cold_reads", "Reads that went to the tables", metrics.state_cold_reads.clone());
        registry.register("state_evictions", "Entries given up for others", metrics.state_evictions.clone());
        registry.register("state_table_bytes", "Bytes of the tables", metrics.state_table_bytes.clone());
        let history_bytes = metrics.state_history_bytes.clone();
        registry.register("state_history_bytes", "Bytes of older states on disk", history_bytes);
        registry.register("program_hits", "Runs of programs kept in memory", metrics.program_hits.clone());
        registry.register("program_misses", "Runs of programs made from the state", metrics.program_misses.clone());
        registry.register("program_bytes", "Bytes of programs kept in memory", metrics.program_bytes.clone());
        registry.register("vm_translated", "Codes that were translated", metrics.vm_translated.clone());
        registry.register("vm_cell_bytes", "Bytes of translated code", metrics.vm_cell_bytes.clone());
        registry.register("vm_cell_frames", "Calls of translated code", metrics.vm_cell_frames.clone());
        registry.register("vm_plain_frames", "Calls of code that is not translated", metrics.vm_plain_frames.clone());
        registry.register("rpc_requests", "JSON-RPC requests answered", metrics.requests.clone());
        registry.register("rpc_errors", "JSON-RPC requests answered with an error", metrics.request_errors.clone());
        registry.register(
            "notifications_dropped",
            "Events that a subscriber was too slow for",
            metrics.notifications_dropped.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// What the state takes now.
    pub(crate) fn sized(&self, sizes: StateSizes, tiers: Option<TierStats>) {
        let TierStats { reads, cold_reads, evictions, disk_bytes } = tiers.unwrap_or_default();
        let counters = [&self.state_reads, &self.state_cold_reads, &self.state_evictions];
        for (counter, now) in counters.into_iter().zip([reads, cold_reads, evictions]) {
            counter.inc_by(now.saturating_sub(counter.get()));
        }
        self.state_table_bytes.set(i64::try_from(disk_bytes).unwrap_or(i64::MAX));
        let StateSizes { flat_bytes, trie_bytes, older_values, history_bytes } = sizes;
        self.state_history_bytes.set(i64::try_from(history_bytes).unwrap_or(i64::MAX));
        let gauges = [&self.state_flat_bytes, &self.state_trie_bytes, &self.state_older_values];
        for (gauge, size) in gauges.into_iter().zip([flat_bytes, trie_bytes, older_values]) {
            gauge.set(i64::try_from(size).unwrap_or(i64::MAX));
        }
    }

    /// What was asked of the programs that are kept.
    pub(crate) fn programs(&self, stats: ProgramStats) {
        let ProgramStats { bytes, hits, misses, .. } = stats;
        for (counter, now) in [(&self.program_hits, hits), (&self.program_misses, misses)] {
            counter.inc_by(now.saturating_sub(counter.get()));
        }
        self.program_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// What was translated and executed so far.
    pub(crate) fn translated(&self, stats: CodeStats) {
        let CodeStats { bytes, translated, frames, plain_frames, .. } = stats;
        let counters = [&self.vm_translated, &self.vm_cell_frames, &self.vm_plain_frames];
        for (counter, now) in counters.into_iter().zip([translated, frames, plain_frames]) {
            counter.inc_by(now.saturating_sub(counter.get()));
        }
        self.vm_cell_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A record was written, or was not.
    pub(crate) fn logged(&self, time: Duration, stats: LogStats) {
        self.log_seconds.observe(time.as_secs_f64());
        for (counter, now) in
            [(&self.log_bytes, stats.bytes), (&self.log_syncs, stats.syncs), (&self.log_failures, stats.failures)]
        {
            counter.inc_by(now.saturating_sub(counter.get()));
        }
    }

    /// The text that a Prometheus server reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string fails only if a metric's own encoder does; then what was written so far is the answer.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
