//! In-memory, versioned flat state with roots recomputed from it.
//!
//! Why Rust: it is read several times per opcode that touches storage, and hashed after every block.
//!
//! Invariant: a snapshot never changes. What was committed can be read at every block since genesis until it is reverted.
//! Source: DESIGN decision 6 in its simplest form: flat values are the truth, roots are derived from them.
//! What it does not do: it writes nothing to disk and forgets nothing; memory grows by about 100 bytes per value written.
//! Roots walk all accounts and all slots of the contracts written to (hashes of keys are kept): right, not fast.

#![forbid(unsafe_code)]

mod error;
mod history;
mod leaves;
mod memory;
mod reexecute;
mod snapshot;

pub use error::StateError;
pub use interlace_stf::{Account, AccountChange, Changes, StateReader};
pub use interlace_trie::TrieAccount;
pub use leaves::AccountProof;
pub use memory::{MemoryState, Staged, Version};
pub use reexecute::{ReexecuteError, import_block, reexecute};
pub use snapshot::Snapshot;
