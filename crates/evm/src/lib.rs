//! revm behind one adapter; the only crate that names revm; no_std core.
//!
//! Why Rust: this is the interpreter loop, run once per opcode; revm executes about a hundred million of them per second.
//!
//! Invariant: no type of revm appears in this crate's interface, so that its monthly breaking releases end here.
//! Executions that are watched are in `trace`, behind the feature of that name, which needs `std`.
//! Source: revm 43; fork rules as in execution-specs.
//! What it does not do: it knows no blocks beyond their environment; rewards, withdrawals, requests and receipts are
//! `interlace-stf`.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(unsafe_code)]

extern crate alloc;

mod access;
mod ai;
mod changes;
#[cfg(feature = "std")]
mod code_cache;
mod dup;
mod env;
mod error;
mod execution;
mod interrupt;
mod location;
mod net_gas;
mod outcome;
mod overlay;
#[cfg(feature = "plain")]
mod plain;
mod precompiles;
mod reader;
mod request;
mod speculate;
mod sums;
#[cfg(feature = "std")]
#[allow(unsafe_code)]
mod tier;
#[cfg(feature = "trace")]
pub mod trace;
mod vm;
mod writes;

pub use access::{Access, Accesses, BlockAccesses};
pub use ai::{EVAL, INFER, REGISTER, STORE, SUMCHECK_KEY, SUMCHECK_VERIFY, chunk_address, program_address};
#[cfg(feature = "std")]
pub use ai::{MAX_CACHED_PROGRAMS, MAX_PROGRAM_CACHE_BYTES, ProgramStats};
pub use changes::{AccountChange, Changes};
#[cfg(feature = "std")]
pub use code_cache::{CodeCache, CodeTier, MAX_CODE_CACHE_BYTES};
pub use env::{BlockEnv, Checks};
pub use error::{EvmError, TxError};
pub use execution::Execution;
pub use interrupt::Interrupt;
pub use location::{Location, WrittenAccount};
pub use outcome::{CONSOLE_ADDRESS, Halt, Status, TxOutcome};
pub use overlay::Overlay;
#[cfg(feature = "plain")]
pub use plain::{Plain, PlainOutcome};
pub use precompiles::{PrecompileMoves, precompile_addresses};
pub use reader::{Account, StateReader};
pub use request::TxRequest;
pub use speculate::{Adopted, Misfit, Speculation, Step};
#[cfg(feature = "std")]
pub use tier::{CodeStats, MAX_CELL_BYTES, MAX_TRANSLATED_CODE};
pub use vm::{Touched, Vm};
