//! Every bound of the node that a client can meet: those that its owner sets, and those that are fixed.
//!
//! Invariant: [`table`] names each of them once, with the value in force; `docs/limits.md` is compared with it by a test, and so are the
//! constants of this crate and of the pool.
//! What it does not do: it enforces nothing; that is done where the thing is.

use std::time::Duration;

use interlace_chain::pool::{MAX_BLOB_TRANSACTION_BYTES, MAX_TRANSACTION_BYTES, PoolConfig};
use interlace_chain::{
    EVENT_CAPACITY, MAX_DUMP_BYTES, MAX_GENESIS_BYTES, MAX_LOG_BLOCKS, MAX_LOG_BYTES, MAX_LOGS, MAX_RECENT,
    MAX_REMOVED_LOGS, MAX_REORG, MAX_REORG_TRANSACTIONS, MAX_REVERTS, MAX_SNAPSHOTS,
};
use interlace_state::log::{MAX_FILE_BYTES, MAX_QUEUE_BYTES, MAX_RECORD_BYTES};
use serde::Deserialize;

use crate::{
    call, console, developer, dispatch, error, filters, lanes, pace, read, send, server, session, simulate, trace,
};

/// What the owner of a node may set; the fields are the settings' names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Open connections, WebSockets included. When there are as many, the longest unused one makes room for a new one.
    pub max_connections: usize,
    /// Bytes of one request body or WebSocket message.
    pub max_body_bytes: usize,
    /// Bytes of bodies and messages that are being received at one time, all clients together.
    pub max_receiving_bytes: usize,
    /// Bytes of answers that wait for their readers at one time, all clients together.
    pub max_unread_bytes: usize,
    /// Milliseconds that the head of a request may take from its first byte.
    pub head_timeout_ms: u64,
    /// Milliseconds that a body, or a WebSocket message, may take.
    pub body_timeout_ms: u64,
    /// Milliseconds that a connection may be idle between requests.
    pub idle_timeout_ms: u64,
    /// Milliseconds in which a client has to take [`pace::MIN_TAKEN_BYTES`] of an answer, or all of it.
    pub write_timeout_ms: u64,
    /// Milliseconds between two pings of a WebSocket; one that is silent for two of them is closed.
    pub ping_interval_ms: u64,
    /// Requests that execute or search at one time; 0 stands for two for each core, at least four.
    pub max_heavy: usize,
    /// Milliseconds that a request waits for its turn.
    pub turn_timeout_ms: u64,
    /// Milliseconds that one call, estimate, access list or search may take.
    pub call_timeout_ms: u64,
    /// Milliseconds that a batch may take; what is left then is not begun.
    pub batch_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 512,
            max_body_bytes: 16 << 20,
            max_receiving_bytes: 256 << 20,
            max_unread_bytes: 512 << 20,
            head_timeout_ms: 10_000,
            body_timeout_ms: 10_000,
            idle_timeout_ms: 120_000,
            write_timeout_ms: 10_000,
            ping_interval_ms: 30_000,
            max_heavy: 0,
            turn_timeout_ms: 10_000,
            call_timeout_ms: 5_000,
            batch_timeout_ms: 30_000,
        }
    }
}

impl Limits {
    /// The first setting that makes no sense.
    ///
    /// # Errors
    /// Its name and what it must be.
    pub fn check(&self) -> Result<(), String> {
        let least = [
            ("max_connections", self.max_connections as u64, 2),
            ("max_body_bytes", self.max_body_bytes as u64, 1_024),
            ("max_receiving_bytes", self.max_receiving_bytes as u64, self.max_body_bytes as u64),
            ("max_unread_bytes", self.max_unread_bytes as u64, 1 << 20),
            ("head_timeout_ms", self.head_timeout_ms, 1),
            ("body_timeout_ms", self.body_timeout_ms, 1),
            ("idle_timeout_ms", self.idle_timeout_ms, 1),
            ("write_timeout_ms", self.write_timeout_ms, 1),
            ("ping_interval_ms", self.ping_interval_ms, 1),
            ("turn_timeout_ms", self.turn_timeout_ms, 1),
            ("call_timeout_ms", self.call_timeout_ms, 1),
            ("batch_timeout_ms", self.batch_timeout_ms, 1),
        ];
        match least.into_iter().find(|(_, value, least)| value < least) {
            Some((name, value, least)) => Err(format!("{name} is {value}, at least {least} is needed")),
            None => Ok(()),
        }
    }

    /// WebSockets among the connections: half of them, so that they never shut out requests.
    #[must_use]
    pub const fn max_websockets(&self) -> usize {
        self.max_connections.div_ceil(2)
    }

    /// Requests that execute or search at one time.
    #[must_use]
    pub fn heavy(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        if self.max_heavy == 0 { (2 * cores).max(4) } else { self.max_heavy }
    }

    /// Threads that serve sockets: heavy requests execute on them, and must leave some to the others.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.heavy() + std::thread::available_parallelism().map_or(1, usize::from)
    }

    /// Threads beside those, for requests that wait.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.workers() + lanes::MAX_WRITES + lanes::MAX_OWN
    }

    pub(crate) const fn head_timeout(&self) -> Duration {
        Duration::from_millis(self.head_timeout_ms)
    }

    pub(crate) const fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    pub(crate) const fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    pub(crate) const fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms)
    }

    pub(crate) const fn ping_interval(&self) -> Duration {
        Duration::from_millis(self.ping_interval_ms)
    }

    pub(crate) const fn turn_timeout(&self) -> Duration {
        Duration::from_millis(self.turn_timeout_ms)
    }

    pub(crate) const fn call_timeout(&self) -> Duration {
        Duration::from_millis(self.call_timeout_ms)
    }

    pub(crate) const fn batch_timeout(&self) -> Duration {
        Duration::from_millis(self.batch_timeout_ms)
    }
}

/// All bounds by name, with `limits` as the owner's settings.
#[must_use]
pub fn table(limits: &Limits) -> Vec<(&'static str, u64)> {
    let pool = PoolConfig::default();
    let size = |value: usize| value as u64;
    let millis = |value: Duration| u64::try_from(value.as_millis()).unwrap_or(u64::MAX);
    vec![
        ("max_connections", size(limits.max_connections)),
        ("max_websockets", size(limits.max_websockets())),
        ("max_body_bytes", size(limits.max_body_bytes)),
        ("max_receiving_bytes", size(limits.max_receiving_bytes)),
        ("max_unread_bytes", size(limits.max_unread_bytes)),
        ("head_timeout_ms", limits.head_timeout_ms),
        ("body_timeout_ms", limits.body_timeout_ms),
        ("idle_timeout_ms", limits.idle_timeout_ms),
        ("write_timeout_ms", limits.write_timeout_ms),
        ("ping_interval_ms", limits.ping_interval_ms),
        ("turn_timeout_ms", limits.turn_timeout_ms),
        ("call_timeout_ms", limits.call_timeout_ms),
        ("batch_timeout_ms", limits.batch_timeout_ms),
        ("MAX_WAITING", size(server::MAX_WAITING)),
        ("MAX_HEAD_BYTES", size(server::MAX_HEAD_BYTES)),
        ("MAX_HEADERS", size(server::MAX_HEADERS)),
        ("MIN_TAKEN_BYTES", size(pace::MIN_TAKEN_BYTES)),
        ("MAX_LIGHT", size(lanes::MAX_LIGHT)),
        ("MAX_WRITES", size(lanes::MAX_WRITES)),
        ("MAX_OWN", size(lanes::MAX_OWN)),
        ("MAX_BATCH", size(dispatch::MAX_BATCH)),
        ("MAX_ANSWER_BYTES", size(dispatch::MAX_ANSWER_BYTES)),
        ("MAX_NAMESPACES", size(dispatch::MAX_NAMESPACES)),
        ("MAX_MESSAGE_CHARS", size(error::MAX_MESSAGE_CHARS)),
        ("MAX_SUBSCRIPTIONS", size(session::MAX_SUBSCRIPTIONS)),
        ("MAX_SESSION_OPTIONS", size(session::MAX_SESSION_OPTIONS)),
        ("EVENT_CAPACITY", size(EVENT_CAPACITY)),
        ("MAX_FILTERS", size(filters::MAX_FILTERS)),
        ("MAX_FILTER_OPTIONS", size(filters::MAX_FILTER_OPTIONS)),
        ("FILTER_LIFETIME", filters::FILTER_LIFETIME.as_secs()),
        ("MAX_OPTIONS", size(filters::MAX_OPTIONS)),
        ("MAX_LINES", size(console::MAX_LINES)),
        ("MAX_HELD", size(filters::MAX_HELD)),
        ("MAX_RECENT", size(MAX_RECENT)),
        ("MAX_LOG_BLOCKS", MAX_LOG_BLOCKS),
        ("MAX_LOGS", size(MAX_LOGS)),
        ("MAX_LOG_BYTES", size(MAX_LOG_BYTES)),
        ("CALL_GAS", call::CALL_GAS),
        ("MAX_HISTORY", call::MAX_HISTORY),
        ("MAX_PERCENTILES", size(call::MAX_PERCENTILES)),
        ("MAX_SYNC_MS", send::MAX_SYNC_MS),
        ("MAX_PROOF_SLOTS", size(read::MAX_PROOF_SLOTS)),
        ("MAX_STORAGE_VALUES", size(read::MAX_STORAGE_VALUES)),
        ("MAX_SIMULATED_BLOCKS", simulate::MAX_SIMULATED_BLOCKS),
        ("MAX_SIMULATED_CALLS", size(simulate::MAX_SIMULATED_CALLS)),
        ("MAX_TRACE_TIME", millis(trace::MAX_TRACE_TIME)),
        ("MAX_TRACE_BYTES", size(trace::MAX_TRACE_BYTES)),
        ("MAX_TRACE_CALLS", size(trace::MAX_TRACE_CALLS)),
        ("MAX_TRACE_BLOCKS", trace::MAX_TRACE_BLOCKS),
        ("MAX_TRACES", size(trace::MAX_TRACES)),
        ("MAX_RANGE_SLOTS", size(trace::MAX_RANGE_SLOTS)),
        ("MAX_PAGE", size(trace::MAX_PAGE)),
        ("MAX_MINE", developer::MAX_MINE),
        ("MAX_DETAILED", developer::MAX_DETAILED),
        ("MAX_ADDRESSES", size(developer::MAX_ADDRESSES)),
        ("MAX_TOKEN_SLOTS", size(developer::MAX_TOKEN_SLOTS)),
        ("MAX_SNAPSHOTS", size(MAX_SNAPSHOTS)),
        ("MAX_REORG", MAX_REORG),
        ("MAX_REORG_TRANSACTIONS", size(MAX_REORG_TRANSACTIONS)),
        ("MAX_REMOVED_LOGS", size(MAX_REMOVED_LOGS)),
        ("MAX_REVERTS", size(MAX_REVERTS)),
        ("MAX_DUMP_BYTES", MAX_DUMP_BYTES),
        ("MAX_RECORD_BYTES", size(MAX_RECORD_BYTES)),
        ("MAX_QUEUE_BYTES", size(MAX_QUEUE_BYTES)),
        ("MAX_FILE_BYTES", MAX_FILE_BYTES),
        ("MAX_GENESIS_BYTES", MAX_GENESIS_BYTES),
        ("MAX_TRANSACTION_BYTES", size(MAX_TRANSACTION_BYTES)),
        ("MAX_BLOB_TRANSACTION_BYTES", size(MAX_BLOB_TRANSACTION_BYTES)),
        ("max_transactions", size(pool.max_transactions)),
        ("max_per_sender", size(pool.max_per_sender)),
        ("max_nonce_gap", pool.max_nonce_gap),
        ("max_bytes", size(pool.max_bytes)),
        ("max_blob_transactions", size(pool.max_blob_transactions)),
    ]
}
