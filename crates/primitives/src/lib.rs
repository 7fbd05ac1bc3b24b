//! Addresses, hashes, units, the fork table and the signed records of the AI layer; no I/O, no_std.
//!
//! Why Rust: the fork table is asked once per block and per transaction by everything above it, and a guest program
//! without an operating system must be able to ask it too.
//!
//! Invariant: nothing here reads a clock, a file or randomness; equal input gives equal output on every machine.

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod fees;
mod fork;
pub mod records;
mod spec;

pub use alloy_genesis::ChainConfig;
pub use alloy_primitives::keccak256;
pub use fork::{Activation, Fork};
pub use spec::{ChainSpec, MAINNET_DEPOSIT_CONTRACT, SpecError};
