//! The block engine: execute(block, state) -> changes, receipts, roots; no_std, no clock, no randomness.
//!
//! Why Rust: it is the loop around every transaction of every block, for a node, a follower, a challenger and a guest
//! program that proves a block.
//!
//! Invariant: the result depends on the rules, the block and the state that the reader shows, and on nothing else.
//! [`execute`] and [`BlockBuilder`] run the same code, so a block that was built executes to the header it was built with.
//! Source: execution-specs (EELS), Frontier to Osaka; EIPs named where they apply.
//! What it does not do: it computes no state root (a store does, from the changes), verifies no proof of work, and keeps
//! nothing. Difficulty and the ancestry of ommers are checked apart from [`execute`], by who follows such a chain.

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod awaited;
mod block;
mod builder;
mod call;
mod dao;
mod error;
mod execute;
mod genesis;
mod header;
mod output;
mod replay;
mod requests;
mod rewards;
#[cfg(feature = "trace")]
mod simulate;
mod unsigned;
mod work;

pub use alloy_consensus::{Header, ReceiptEnvelope};
pub use awaited::AwaitedHash;
pub use block::{Attributes, Block, Transaction, decode_block, decode_header, recover_sender, recover_senders};
pub use builder::{BlockBuilder, Join, StateRoots};
pub use call::{AccountOverride, CallOptions, StateOverrides, call, prepare, touch};
pub use error::{BlockError, HeaderError, Mismatch};
pub use execute::{begin, execute, run};
pub use genesis::{
    Deployment, GENESIS_DEPLOYER, GenesisError, alloc_changes, deploy, genesis_header, system_contracts,
};
pub use header::{expected_base_fee, expected_excess_blob_gas, validate_fields, validate_header};
#[cfg(feature = "trace")]
pub use interlace_evm::trace;
pub use interlace_evm::{
    Access, Accesses, Account, AccountChange, BlockAccesses, BlockEnv, Changes, Checks, EvmError, Execution, Halt,
    Interrupt, Location, Misfit, Overlay, PrecompileMoves, Speculation, StateReader, Status, Step, Touched, TxError,
    TxOutcome, TxRequest, Vm, precompile_addresses,
};
#[cfg(feature = "std")]
pub use interlace_evm::{CodeCache, CodeStats, CodeTier, MAX_CELL_BYTES, MAX_CODE_CACHE_BYTES, ProgramStats};
pub use output::BlockOutput;
pub use replay::replay;
pub use rewards::block_rewards;
#[cfg(feature = "trace")]
pub use simulate::{PlacedLogs, SimulatedBlock, Simulator};
pub use unsigned::{request_of, stand_in_signature, unsigned_sender};
pub use work::{ANCESTORS, Generation, expected_difficulty, validate_ancestry, validate_difficulty};
