//! When blocks are made, what they carry, and what waits for them.
//!
//! Invariant: one call makes at most [`MAX_MINE`] blocks, and shows at most [`MAX_DETAILED`].
//! Units: `evm_setIntervalMining` takes milliseconds as Ganache and Hardhat do, `anvil_setIntervalMining` seconds as Anvil does.
//! What it does not do: blob base fee and chain id cannot be set; the header's rules and the genesis fix them.

use std::time::Duration;

use alloy_primitives::{Address, B256, U256};
use interlace_chain::Mining;
use serde::Deserialize;
use serde_json::Value;

use super::{Number, dev, null, number, required, yes};
use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::shapes;
use crate::wire::{Params, Reply, reply};

/// Blocks that one call may mine.
pub(crate) const MAX_MINE: u64 = 100_000;
/// Blocks that one call may mine and show.
pub(crate) const MAX_DETAILED: u64 = 256;

pub(super) const METHODS: &[(&str, Method)] = &[
    ("evm_mine", evm_mine),
    ("evm_mine_detailed", mine_detailed),
    ("anvil_mine_detailed", mine_detailed),
    ("hardhat_mine", |rpc, params| mine_many(rpc, params, false).and_then(|()| yes())),
    ("anvil_mine", |rpc, params| mine_many(rpc, params, true).and_then(|()| null())),
    ("evm_setAutomine", |rpc, params| automine(rpc, params.get(0)?).and_then(|()| yes())),
    ("anvil_setAutomine", |rpc, params| automine(rpc, params.get(0)?).and_then(|()| null())),
    ("hardhat_getAutomine", get_automine),
    ("anvil_getAutomine", get_automine),
    ("miner_start", |rpc, _| automine(rpc, true).and_then(|()| yes())),
    ("miner_stop", |rpc, _| interval(rpc, Duration::ZERO).and_then(|()| automine(rpc, false)).and_then(|()| yes())),
    ("evm_setIntervalMining", |rpc, params| {
        interval(rpc, Duration::from_millis(required(params, 0)?)).and_then(|()| yes())
    }),
    ("anvil_setIntervalMining", |rpc, params| {
        interval(rpc, Duration::from_secs(required(params, 0)?)).and_then(|()| null())
    }),
    ("anvil_getIntervalMining", get_interval),
    ("hardhat_setCoinbase", |rpc, params| coinbase(rpc, params).and_then(|()| yes())),
    ("anvil_setCoinbase", |rpc, params| coinbase(rpc, params).and_then(|()| null())),
    ("hardhat_setPrevRandao", |rpc, params| prev_randao(rpc, params).and_then(|()| yes())),
    ("anvil_setNextBlockPrevRandao", |rpc, params| prev_randao(rpc, params).and_then(|()| null())),
    ("hardhat_setNextBlockBaseFeePerGas", |rpc, params| base_fee(rpc, params).and_then(|()| yes())),
    ("anvil_setNextBlockBaseFeePerGas", |rpc, params| base_fee(rpc, params).and_then(|()| null())),
    ("hardhat_setMinGasPrice", |rpc, params| min_gas_price(rpc, params).and_then(|()| yes())),
    ("anvil_setMinGasPrice", |rpc, params| min_gas_price(rpc, params).and_then(|()| null())),
    ("evm_setBlockGasLimit", gas_limit),
    ("anvil_setBlockGasLimit", gas_limit),
    ("hardhat_dropTransaction", drop_hardhat),
    ("anvil_dropTransaction", drop_anvil),
    ("hardhat_dropAllTransactions", |rpc, _| drop_all(rpc).and_then(|()| yes())),
    ("anvil_dropAllTransactions", |rpc, _| drop_all(rpc).and_then(|()| null())),
    ("anvil_removePoolTransactions", |rpc, params| {
        rpc.chain().drop_sender(params.get(0)?)?;
        null()
    }),
];

/// What `evm_mine` may be told: a timestamp, or how many blocks and the timestamp of the first.
fn wanted(params: &Params<'_>) -> Result<(u64, Option<u64>), RpcError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Wanted {
        Timestamp(Number),
        Options { blocks: Option<Number>, timestamp: Option<Number> },
    }
    Ok(match params.optional::<Wanted>(0)? {
        None => (1, None),
        Some(Wanted::Timestamp(at)) => (1, Some(at.value()?)),
        Some(Wanted::Options { blocks, timestamp }) => {
            let blocks = blocks.map(|blocks| blocks.value()).transpose()?.unwrap_or(1);
            (blocks, timestamp.map(|at| at.value()).transpose()?)
        }
    })
}

fn mine(rpc: &Rpc, blocks: u64, timestamp: Option<u64>, most: u64) -> Result<(), RpcError> {
    if blocks > most {
        return Err(RpcError::limit(format!("{blocks} blocks, at most {most} in one call")));
    }
    if let Some(timestamp) = timestamp {
        dev(rpc)?.set_next_timestamp(timestamp, &rpc.chain().head().header)?;
    }
    for _ in 0..blocks {
        rpc.chain().produce()?;
    }
    Ok(())
}

fn evm_mine(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let (blocks, timestamp) = wanted(params)?;
    mine(rpc, blocks, timestamp, MAX_MINE)?;
    reply("0x0")
}

/// As `evm_mine`, and shows the blocks in full.
fn mine_detailed(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let (blocks, timestamp) = wanted(params)?;
    let before = rpc.chain().head().number();
    mine(rpc, blocks, timestamp, MAX_DETAILED)?;
    let made = (before + 1..=before + blocks).filter_map(|number| rpc.chain().block(number));
    reply(&made.map(|block| shapes::block(&block, true)).collect::<Vec<_>>())
}

/// `hardhat_mine(blocks, interval)`: the interval in seconds lies between the blocks; Anvil's also before the first.
fn mine_many(rpc: &Rpc, params: &Params<'_>, before_first: bool) -> Result<(), RpcError> {
    let blocks = number(params, 0)?.unwrap_or(1);
    let Some(seconds) = number(params, 1)? else { return mine(rpc, blocks, None, MAX_MINE) };
    if blocks > MAX_MINE {
        return mine(rpc, blocks, None, MAX_MINE);
    }
    if before_first {
        dev(rpc)?.increase_time(seconds);
    }
    for done in 0..blocks {
        let head = rpc.chain().head();
        // Less than a second apart is not possible; the clock then gives what is.
        if done > 0 && seconds > 0 {
            dev(rpc)?.set_next_timestamp(head.header.timestamp.saturating_add(seconds), &head.header)?;
        }
        rpc.chain().produce()?;
    }
    Ok(())
}

fn automine(rpc: &Rpc, on: bool) -> Result<(), RpcError> {
    dev(rpc)?.set_automine(on);
    rpc.mining_changed();
    if on {
        rpc.settle();
    }
    Ok(())
}

fn get_automine(rpc: &Rpc, _: &Params<'_>) -> Reply {
    reply(&(dev(rpc)?.mining() == Mining::Instant))
}

/// Zero turns the interval off.
fn interval(rpc: &Rpc, every: Duration) -> Result<(), RpcError> {
    dev(rpc)?.set_interval(Some(every).filter(|every| !every.is_zero()));
    rpc.mining_changed();
    Ok(())
}

/// In seconds, rounded up, so that an interval below a second is not taken for none.
fn get_interval(rpc: &Rpc, _: &Params<'_>) -> Reply {
    match dev(rpc)?.mining() {
        Mining::Interval(every) => reply(&every.as_millis().div_ceil(1_000)),
        _ => null(),
    }
}

fn coinbase(rpc: &Rpc, params: &Params<'_>) -> Result<(), RpcError> {
    dev(rpc)?.set_beneficiary(params.get::<Address>(0)?);
    Ok(())
}

fn prev_randao(rpc: &Rpc, params: &Params<'_>) -> Result<(), RpcError> {
    dev(rpc)?.set_next_prev_randao(params.get::<B256>(0)?);
    Ok(())
}

fn base_fee(rpc: &Rpc, params: &Params<'_>) -> Result<(), RpcError> {
    rpc.chain().set_next_base_fee(required(params, 0)?)?;
    // What waited for a lower fee may be ready now.
    rpc.settle();
    Ok(())
}

fn min_gas_price(rpc: &Rpc, params: &Params<'_>) -> Result<(), RpcError> {
    let wei = params.get::<U256>(0)?;
    let wei = u128::try_from(wei).map_err(|_| RpcError::invalid_params(format!("{wei} is no 128-bit number")))?;
    Ok(rpc.chain().set_min_gas_price(wei)?)
}

fn gas_limit(rpc: &Rpc, params: &Params<'_>) -> Reply {
    rpc.chain().set_gas_limit(required(params, 0)?)?;
    yes()
}

/// False for a transaction that is not known; one that is mined cannot be dropped.
fn drop_hardhat(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let hash: B256 = params.get(0)?;
    let dropped = rpc.chain().drop_transaction(&hash)?;
    if !dropped && rpc.chain().transaction(&hash).is_some() {
        return Err(RpcError::refused(format!(
            "transaction {hash} cannot be dropped because it is already part of a block"
        )));
    }
    reply(&dropped)
}

/// The hash, or null when the transaction does not wait.
fn drop_anvil(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let hash: B256 = params.get(0)?;
    match rpc.chain().drop_transaction(&hash)? {
        true => reply(&hash),
        false => reply(&Value::Null),
    }
}

fn drop_all(rpc: &Rpc) -> Result<(), RpcError> {
    Ok(rpc.chain().clear_pool()?)
}
