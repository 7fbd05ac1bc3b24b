//! Addresses, hashes, units, the fork table and the signed records of the AI layer; no I/O, no_std.

#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod fees;
mod fork;
pub mod records;
mod spec;

pub use alloy_genesis::ChainConfig;
pub use fork::{Activation, Fork};
pub use spec::{ChainSpec, MAINNET_DEPOSIT_CONTRACT, SpecError};
