//! The developer's controls: mining, time, snapshots, balances.
//!
//! Invariant: every method here asks for a developer's orderer first; on a network each is refused.
//! Source: the names and shapes of Ganache (evm_), Hardhat (hardhat_) and Anvil (anvil_), as their clients use them.

use std::time::Duration;

use alloy_primitives::{Address, U64, U256};
use interlace_chain::DevOrderer;
use serde::Deserialize;
use serde_json::Value;

use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::wire::{Params, Reply, reply};

/// Blocks that one call may mine.
pub(crate) const MAX_MINE: u64 = 100_000;

pub(crate) const METHODS: &[(&str, Method)] = &[
    ("evm_mine", evm_mine),
    ("hardhat_mine", mine_many),
    ("anvil_mine", mine_many),
    ("evm_increaseTime", increase_time),
    ("evm_setNextBlockTimestamp", next_timestamp),
    ("evm_snapshot", |rpc, _| reply(&U64::from(rpc.chain().snapshot()?))),
    ("anvil_snapshot", |rpc, _| reply(&U64::from(rpc.chain().snapshot()?))),
    ("evm_revert", revert),
    ("anvil_revert", revert),
    ("evm_setAutomine", automine),
    ("evm_setIntervalMining", interval),
    ("hardhat_setBalance", set_balance),
    ("anvil_setBalance", set_balance),
    ("hardhat_getAutomine", get_automine),
    ("anvil_getAutomine", get_automine),
    ("anvil_dropAllTransactions", |rpc, _| {
        dev(rpc)?;
        rpc.chain().clear_pool();
        reply(&Value::Null)
    }),
];

fn dev(rpc: &Rpc) -> Result<&DevOrderer, RpcError> {
    Ok(rpc.chain().developer()?)
}

/// A number as these tools send it: JSON number, hex or decimal text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    Text(String),
}

impl Number {
    fn value(&self) -> Result<u64, RpcError> {
        let text = match self {
            Self::Plain(value) => return Ok(*value),
            Self::Text(text) => text,
        };
        let value = match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16),
            None => text.parse(),
        };
        value.map_err(|_| {
            RpcError::invalid_params(format!("{:?} is no 64-bit number", text.chars().take(40).collect::<String>()))
        })
    }
}

fn number(params: &Params<'_>, index: usize) -> Result<Option<u64>, RpcError> {
    params.optional::<Number>(index)?.map(|number| number.value()).transpose()
}

fn required(params: &Params<'_>, index: usize) -> Result<u64, RpcError> {
    number(params, index)?
        .ok_or_else(|| RpcError::invalid_params(format!("missing value for required argument {index}")))
}

/// `evm_mine`, with a timestamp or with `{ blocks, timestamp }`.
fn evm_mine(rpc: &Rpc, params: &Params<'_>) -> Reply {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Wanted {
        Timestamp(Number),
        Options { blocks: Option<Number>, timestamp: Option<Number> },
    }
    let (blocks, timestamp) = match params.optional::<Wanted>(0)? {
        None => (1, None),
        Some(Wanted::Timestamp(at)) => (1, Some(at.value()?)),
        Some(Wanted::Options { blocks, timestamp }) => {
            let blocks = blocks.map(|blocks| blocks.value()).transpose()?.unwrap_or(1);
            (blocks, timestamp.map(|at| at.value()).transpose()?)
        }
    };
    if let Some(timestamp) = timestamp {
        dev(rpc)?.set_next_timestamp(timestamp, &rpc.chain().head().header)?;
    }
    mine(rpc, blocks)?;
    reply("0x0")
}

fn mine(rpc: &Rpc, blocks: u64) -> Result<(), RpcError> {
    dev(rpc)?;
    if blocks > MAX_MINE {
        return Err(RpcError::limit(format!("{blocks} blocks, at most {MAX_MINE} in one call")));
    }
    for _ in 0..blocks {
        rpc.chain().produce()?;
    }
    Ok(())
}

/// `hardhat_mine(blocks, interval)`: the interval in seconds lies between the blocks.
fn mine_many(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let blocks = number(params, 0)?.unwrap_or(1);
    let Some(seconds) = number(params, 1)? else {
        mine(rpc, blocks)?;
        return reply(&Value::Null);
    };
    for done in 0..blocks.min(MAX_MINE + 1) {
        if done > 0 {
            let next = rpc.chain().head().header.timestamp.saturating_add(seconds);
            dev(rpc)?.set_next_timestamp(next, &rpc.chain().head().header)?;
        }
        mine(rpc, if blocks > MAX_MINE { blocks } else { 1 })?;
    }
    reply(&Value::Null)
}

fn increase_time(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let seconds = required(params, 0)?;
    reply(&dev(rpc)?.increase_time(seconds))
}

fn next_timestamp(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let timestamp = required(params, 0)?;
    dev(rpc)?.set_next_timestamp(timestamp, &rpc.chain().head().header)?;
    reply(&Value::Null)
}

fn revert(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let snapshot = required(params, 0)?;
    reply(&rpc.chain().revert(snapshot)?)
}

fn automine(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let on: bool = params.get(0)?;
    dev(rpc)?.set_automine(on);
    rpc.mining_changed();
    if on {
        rpc.settle();
    }
    reply(&true)
}

/// `evm_setIntervalMining` in milliseconds; 0 turns it off.
fn interval(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let every_ms = required(params, 0)?;
    dev(rpc)?.set_interval(Some(Duration::from_millis(every_ms)).filter(|every| !every.is_zero()));
    rpc.mining_changed();
    reply(&true)
}

fn get_automine(rpc: &Rpc, _: &Params<'_>) -> Reply {
    reply(&(dev(rpc)?.mining() == interlace_chain::Mining::Instant))
}

fn set_balance(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let address: Address = params.get(0)?;
    let wei: U256 = params.get(1)?;
    rpc.chain().set_balance(address, wei)?;
    reply(&true)
}
