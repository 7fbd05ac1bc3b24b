//! Versioned flat state, its tries' roots kept up to date, and the log that makes a chain durable.
//!
//! Why Rust: it is read several times per opcode that touches storage, and hashed after every block.
//!
//! Invariant: a snapshot never changes. What was committed can be read at every block since genesis until it is reverted.
//! A root is that of the flat values, which alone are read; of the tries only the newest version is kept. What is staged and
//! not committed leaves no trace.
//! Source: yellow paper 4.1; docs/decisions, no. 3 and 17.
//! A state may lie on a [`Base`], another chain's state: what was never written here is read from there.
//! The state is in memory; [`log`] keeps on disk, behind the border [`vfs`], whatever a chain writes there to build it again.
//! What it does not do: unless it is told what to keep, or has it on disk, it forgets nothing but what is reverted, and memory grows by about
//! 100 bytes per value written.

#![deny(unsafe_code)]

mod base;
pub mod bench;
pub mod checkpoint;
mod error;
mod flat;
pub use interlace_keccak as keccak;
mod keys;
mod leaves;
pub mod log;
mod memory;
mod proof;
mod reexecute;
#[cfg(all(test, feature = "shuttle"))]
mod schedules;
mod segments;
mod snapshot;
mod sync;
mod trie;
mod unsealed;
pub mod vfs;
mod view;

pub use base::{Base, BaseAccount, BaseError, MAX_ACCOUNTS, MAX_CODE_BYTES, MAX_HASHES, MAX_SLOTS};
pub use error::{StateError, StorageError};
pub use flat::TierStats;
pub use interlace_stf::{Account, AccountChange, Changes, StateReader};
pub use interlace_trie::TrieAccount;
pub use memory::{Back, MemoryState, Staged, StateSizes, Version};
pub use proof::AccountProof;
pub use reexecute::{ReexecuteError, import_block, import_block_with, reexecute};
pub use snapshot::Snapshot;
pub use unsealed::Unsealed;
