//! Transaction pool, block building and import, receipts and the log index.
//!
//! Why Rust: it handles every transaction of every block; a Python pool admits some thousand transactions per second at most.
//!
//! Invariant: what a reader sees is a committed block or nothing of it.
//! What it does not do: execution (`stf`), state, its roots and the log's files (`state`), consensus (an [`api::Orderer`]).

#![forbid(unsafe_code)]

pub mod api;
pub mod bench;
mod chain;
pub mod controls;
mod delta;
mod dev;
mod dump;
mod engine;
mod error;
pub mod folder;
mod fork;
mod fork_cache;
mod genesis;
mod import;
mod journal;
mod keeper;
mod logs;
mod metrics;
mod miner;
mod news;
pub mod pool;
mod produce;
mod production;
mod recent;
mod remote;
mod restore;
mod seal;
mod store;

pub use chain::{Chain, EVENT_CAPACITY, Event};
pub use controls::{AccountEdit, MAX_REORG, MAX_REORG_TRANSACTIONS, MAX_SNAPSHOTS, Replay};
pub use dev::{DevMark, DevOrderer, Mining};
pub use dump::{MAX_DUMP_BYTES, genesis_of_dump};
pub use engine::ExecutionConfig;
pub use error::ChainError;
pub use fork::{ForkPoint, Forked};
pub use fork_cache::{MAX_CACHE_FILE_BYTES, MAX_CACHE_FOLDER_BYTES, MAX_UNWRITTEN};
pub use genesis::{Deployment, DevGenesis, GenesisBlock};
pub use interlace_state::checkpoint::CheckpointStats;
pub use interlace_state::log::Durability;
pub use journal::{DataDir, MAX_GENESIS_BYTES};
pub use keeper::MIN_CHECKPOINT_BYTES;
pub use logs::{LogPlace, LogQuery, MAX_LOG_BLOCKS, MAX_LOG_BYTES, MAX_LOGS};
pub use metrics::{CheckpointMetrics, Metrics};
pub use miner::Miner;
pub use news::{MAX_REMOVED_LOGS, MAX_REVERTS, News, Reverted, Seen};
pub use produce::Draft;
pub use recent::MAX_RECENT;
pub use remote::{MAX_PAUSE, MAX_REMOTE_BYTES, REQUEST_TIMEOUT, RemoteChain, RemoteError, TRIES};
pub use store::{StoredBlock, StoredReceipt};
