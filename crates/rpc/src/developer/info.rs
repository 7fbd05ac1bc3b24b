//! Who answers: the shapes by which tools recognise a development node, and its log.
//!
//! Source: `hardhat_metadata` of Hardhat, `anvil_nodeInfo` and `anvil_metadata` of Anvil (alloy-rpc-types-anvil).

use alloy_primitives::U64;
use interlace_chain::pool::Order;
use serde_json::{Map, Value, json};

use super::{dev, null, yes};
use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::wire::{Params, Reply, reply};

pub(super) const METHODS: &[(&str, Method)] = &[
    ("hardhat_metadata", |rpc, _| reply(&metadata(rpc))),
    ("anvil_metadata", anvil_metadata),
    ("anvil_nodeInfo", node_info),
    ("hardhat_setLoggingEnabled", |rpc, params| set_logging(rpc, params).and_then(|()| yes())),
    ("anvil_setLoggingEnabled", |rpc, params| set_logging(rpc, params).and_then(|()| null())),
];

/// Whether each block is logged.
fn set_logging(rpc: &Rpc, params: &Params<'_>) -> Result<(), RpcError> {
    dev(rpc)?.set_logs_blocks(params.get(0)?);
    Ok(())
}

fn metadata(rpc: &Rpc) -> Map<String, Value> {
    let head = rpc.chain().head();
    let mut fields = Map::new();
    fields.insert("clientVersion".into(), json!(concat!("interlace/v", env!("CARGO_PKG_VERSION"))));
    fields.insert("chainId".into(), json!(rpc.chain().spec().chain_id()));
    fields.insert("instanceId".into(), json!(rpc.chain().instance()));
    fields.insert("latestBlockNumber".into(), json!(head.number()));
    fields.insert("latestBlockHash".into(), json!(head.hash));
    fields
}

fn anvil_metadata(rpc: &Rpc, _: &Params<'_>) -> Reply {
    let mut fields = metadata(rpc);
    let held = rpc.chain().snapshots();
    let held: Map<String, Value> =
        held.into_iter().map(|(id, number, hash)| (format!("{id:#x}"), json!([number, hash]))).collect();
    fields.insert("snapshots".into(), Value::Object(held));
    reply(&fields)
}

fn node_info(rpc: &Rpc, _: &Params<'_>) -> Reply {
    let chain = rpc.chain();
    let head = chain.head();
    let (number, timestamp) = (head.number(), head.header.timestamp);
    let fork = chain.spec().fork_at(number.saturating_add(1), timestamp.saturating_add(1));
    let base_fee = chain.next_base_fee();
    let order = if chain.order() == Order::Arrival { "fifo" } else { "fees" };
    reply(&json!({
        "currentBlockNumber": U64::from(number),
        "currentBlockTimestamp": timestamp,
        "currentBlockHash": head.hash,
        "hardFork": fork.name(),
        "transactionOrder": order,
        "environment": {
            "baseFee": U64::from(base_fee),
            "chainId": chain.spec().chain_id(),
            "gasLimit": U64::from(chain.next_gas_limit()),
            "gasPrice": alloy_primitives::U128::from(u128::from(base_fee) + rpc.suggested_tip()),
        },
        "forkConfig": { "forkUrl": null, "forkBlockNumber": null, "forkRetryBackoff": null },
    }))
}
