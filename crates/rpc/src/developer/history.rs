//! Going back, other histories, and the chain as a file.
//!
//! Invariant: what cannot be done whole is refused and nothing changed; clients that follow the chain learn of removed logs.
//! Source: Ganache (`evm_snapshot`, `evm_revert`), Anvil (`anvil_reorg`, `anvil_rollback`, `anvil_dumpState`), Hardhat (`hardhat_reset`).
//! What it does not do: a dump is this program's own format (see `interlace_chain`), not Anvil's.

use std::collections::HashMap;

use alloy_eips::BlockId;
use alloy_primitives::{Address, Bytes, U64};
use alloy_rpc_types_eth::TransactionRequest;
use interlace_chain::Replay;
use interlace_chain::pool::PoolTransaction;
use interlace_stf::StateReader;
use serde::Deserialize;

use super::{Number, null, number, required, yes};
use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::send::{Signing, complete};
use crate::wire::{Params, Reply, reply};

pub(super) const METHODS: &[(&str, Method)] = &[
    ("evm_snapshot", |rpc, _| reply(&U64::from(rpc.chain().snapshot()?))),
    ("anvil_snapshot", |rpc, _| reply(&U64::from(rpc.chain().snapshot()?))),
    ("evm_revert", |rpc, params| reply(&rpc.chain().revert(required(params, 0)?)?)),
    ("anvil_revert", |rpc, params| reply(&rpc.chain().revert(required(params, 0)?)?)),
    ("anvil_rollback", |rpc, params| {
        rpc.chain().rollback(number(params, 0)?.unwrap_or(1))?;
        null()
    }),
    ("anvil_reorg", reorg),
    ("hardhat_reset", |rpc, params| reset(rpc, params).and_then(|()| yes())),
    ("anvil_reset", |rpc, params| reset(rpc, params).and_then(|()| null())),
    ("anvil_dumpState", dump),
    ("hardhat_dumpState", dump),
    ("anvil_loadState", load),
    ("hardhat_loadState", load),
];

/// Back to the start, or on a fork to the start after another block of the chain that it goes on after.
fn reset(rpc: &Rpc, params: &Params<'_>) -> Result<(), RpcError> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Forking {
        #[serde(alias = "json_rpc_url")]
        json_rpc_url: Option<String>,
        #[serde(alias = "block_number")]
        block_number: Option<Number>,
    }
    #[derive(Default, Deserialize)]
    struct Options {
        forking: Option<Forking>,
    }
    match params.optional::<Options>(0)?.unwrap_or_default().forking {
        None => rpc.chain().reset()?,
        Some(_) if rpc.chain().remote().is_none() => {
            return Err(RpcError::invalid_params(
                "this chain is no fork and keeps its id: to fork, start a chain with the other one's URL",
            ));
        }
        Some(Forking { json_rpc_url, block_number }) => {
            let block = block_number.map(|number| number.value()).transpose()?;
            rpc.chain().refork(json_rpc_url, block)?;
        }
    }
    rpc.mining_changed();
    Ok(())
}

fn dump(rpc: &Rpc, _: &Params<'_>) -> Reply {
    reply(&Bytes::from(rpc.chain().dump()?))
}

fn load(rpc: &Rpc, params: &Params<'_>) -> Reply {
    rpc.chain().load(&params.get::<Bytes>(0)?)?;
    yes()
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Raw(Bytes),
    Request(Box<TransactionRequest>),
}

/// `anvil_reorg(depth, [[transaction, block] ...])`, or an object with these two as alloy sends it.
fn reorg(rpc: &Rpc, params: &Params<'_>) -> Reply {
    #[derive(Deserialize)]
    struct Options {
        depth: Number,
        #[serde(default, alias = "txBlockPairs")]
        tx_block_pairs: Vec<(Given, Number)>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum First {
        Depth(Number),
        Options(Options),
    }
    let (depth, pairs) = match params.get::<First>(0)? {
        First::Depth(depth) => (depth.value()?, params.optional::<Vec<(Given, Number)>>(1)?.unwrap_or_default()),
        First::Options(options) => (options.depth.value()?, options.tx_block_pairs),
    };
    let mut pairs = pairs
        .into_iter()
        .map(|(given, block)| Ok((given, block.value()?)))
        .collect::<Result<Vec<(Given, u64)>, RpcError>>()?;
    pairs.sort_by_key(|(_, block)| *block);
    let common = rpc.chain().head().number().saturating_sub(depth);
    let mut nonces = HashMap::new();
    let mut transactions = Vec::with_capacity(pairs.len());
    for (given, block) in pairs {
        let transaction = match given {
            Given::Raw(bytes) => PoolTransaction::decode(&bytes)?,
            Given::Request(request) => requested(rpc, *request, common, &mut nonces)?,
        };
        transactions.push(Replay { transaction, block });
    }
    rpc.chain().reorg(depth, &transactions)?;
    null()
}

/// Signs a request for a block above `common`: its nonce is the next one there, its sender one of the node's if it names none.
fn requested(
    rpc: &Rpc,
    mut request: TransactionRequest,
    common: u64,
    nonces: &mut HashMap<Address, u64>,
) -> Result<PoolTransaction, RpcError> {
    let first = rpc.accounts.addresses().first().copied();
    let from = request.from.or(first).ok_or_else(|| RpcError::invalid_params("transaction has no 'from'"))?;
    request.from = Some(from);
    let next = match nonces.get(&from) {
        Some(next) => *next,
        None => rpc.at(BlockId::number(common))?.state.account(from)?.unwrap_or_default().nonce,
    };
    let nonce = request.nonce.unwrap_or(next);
    request.nonce = Some(nonce);
    nonces.insert(from, nonce.saturating_add(1));
    let (envelope, sender) = complete(rpc, request, Signing::KeyOrImpersonation)?;
    Ok(PoolTransaction::new(envelope, sender))
}
