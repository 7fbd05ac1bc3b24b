//! `interlace_getBlockDependencies`: which transactions of a block wait for which, and how they lie on so many lanes.
//!
//! Invariant: the block is executed again, on one thread, for at most [`MAX_TRACE_TIME`]; nothing is kept. What makes a transaction wait is what the
//! executor compares, see `interlace_executor::graph`.
//! Bounds: [`MAX_LANES`] lanes.

use std::time::Instant;

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, U64, U256};
use interlace_executor::graph::{Graph, MAX_LANES, Place, Wait};
use interlace_stf::Location;
use serde::Serialize;

use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::trace::run::{MAX_TRACE_TIME, block_by_hash, block_by_tag, parent_state};
use crate::wire::{Params, Reply, reply};

pub(crate) const METHODS: &[(&str, Method)] = &[("interlace_getBlockDependencies", dependencies)];

/// Lanes that are drawn if none are named.
const LANES: usize = 2;

/// All quantities of gas; a place on a lane is the gas before it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependencies {
    number: U64,
    hash: B256,
    gas_used: U64,
    /// Of the transactions that wait for each other longest: with ever more lanes, the block takes as long.
    longest_chain_gas: U64,
    lanes: U64,
    /// With this many.
    length_gas: U64,
    transactions: Vec<Node>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    hash: B256,
    gas_used: U64,
    lane: U64,
    start: U64,
    end: U64,
    waits_for: Vec<Edge>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Edge {
    transaction_index: U64,
    what: &'static str,
    address: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    slot: Option<U256>,
}

fn quantity(number: usize) -> U64 {
    U64::from(number as u64)
}

fn edge(wait: &Wait) -> Edge {
    let slot = match wait.location {
        Location::Slot(_, slot) => Some(slot),
        _ => None,
    };
    let (what, address) = (wait.location.name(), wait.location.address());
    Edge { transaction_index: quantity(wait.on), what, address, slot }
}

fn dependencies(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let block = match params.get::<BlockId>(0)? {
        BlockId::Hash(hash) => block_by_hash(rpc, hash.block_hash)?,
        BlockId::Number(tag) => block_by_tag(rpc, tag)?,
    };
    let lanes = params.optional::<U64>(1)?.map_or(LANES, |lanes| lanes.saturating_to());
    if lanes == 0 || lanes > MAX_LANES {
        return Err(RpcError::invalid_params(format!("invalid argument 1: {lanes} lanes, of 1 to {MAX_LANES}")));
    }
    let state = parent_state(rpc, &block)?;
    let end = Instant::now() + MAX_TRACE_TIME;
    let go_on = || Instant::now() < end;
    let graph = Graph::of(rpc.chain().spec(), &block.to_consensus(), &block.senders, &state, go_on)
        .map_err(|error| RpcError::internal(error.to_string()))?
        .ok_or_else(|| RpcError::refused("execution timeout"))?;
    let places = graph.places(lanes);
    let node = |((hash, node), place): ((B256, &interlace_executor::graph::Node), &Place)| Node {
        hash,
        gas_used: U64::from(node.gas),
        lane: quantity(place.lane),
        start: U64::from(place.start),
        end: U64::from(place.end),
        waits_for: node.waits.iter().map(edge).collect(),
    };
    let hashes = block.transactions.iter().map(|tx| *tx.tx_hash());
    reply(&Dependencies {
        number: U64::from(block.number()),
        hash: block.hash,
        gas_used: U64::from(graph.gas()),
        longest_chain_gas: U64::from(graph.longest_chain_gas()),
        lanes: quantity(lanes),
        length_gas: U64::from(places.iter().map(|place| place.end).max().unwrap_or_default()),
        transactions: hashes.zip(&graph.nodes).zip(&places).map(node).collect(),
    })
}
