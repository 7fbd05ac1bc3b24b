//! The chain's clock.
//!
//! Invariant: whatever it is set to, a block is at least one second later than its parent.
//! Source: Ganache and Hardhat for `evm_`, Anvil for `anvil_`; all in seconds but for `setTime`, which takes milliseconds too.

use serde_json::Value;

use super::{dev, null, required};
use crate::dispatch::{Method, Rpc};
use crate::wire::{Params, Reply, reply};

/// A time above this is in milliseconds: in seconds it would be the year 33,658.
const MILLISECONDS_FROM: u64 = 1_000_000_000_000;

pub(super) const METHODS: &[(&str, Method)] = &[
    ("evm_increaseTime", increase),
    ("anvil_increaseTime", increase),
    ("evm_setTime", set),
    ("anvil_setTime", set),
    ("evm_setNextBlockTimestamp", next_timestamp),
    ("anvil_setNextBlockTimestamp", next_timestamp),
    ("evm_setBlockTimestampInterval", set_interval),
    ("anvil_setBlockTimestampInterval", set_interval),
    ("evm_removeBlockTimestampInterval", remove_interval),
    ("anvil_removeBlockTimestampInterval", remove_interval),
];

/// Answers how far the clock is ahead of the wall clock in all.
fn increase(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let seconds = required(params, 0)?;
    reply(&dev(rpc)?.increase_time(seconds))
}

/// Answers by how many seconds the clock went forward; zero when it went back.
fn set(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let given = required(params, 0)?;
    let timestamp = if given > MILLISECONDS_FROM { given / 1_000 } else { given };
    reply(&dev(rpc)?.set_time(timestamp).max(0))
}

fn next_timestamp(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let timestamp = required(params, 0)?;
    dev(rpc)?.set_next_timestamp(timestamp, &rpc.chain().head().header)?;
    reply(&Value::Null)
}

fn set_interval(rpc: &Rpc, params: &Params<'_>) -> Reply {
    dev(rpc)?.set_timestamp_interval(Some(required(params, 0)?));
    null()
}

/// Whether there was one.
fn remove_interval(rpc: &Rpc, _: &Params<'_>) -> Reply {
    reply(&dev(rpc)?.set_timestamp_interval(None).is_some())
}
