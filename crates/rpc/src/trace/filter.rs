//! `trace_filter`: the traces of a range of blocks that touch given addresses.
//!
//! Invariant: what is returned is in the order of the chain, and complete for the range but for `after` and `count`.
//! Cost: every block of the range that holds a transaction is executed again. Bounds: [`MAX_TRACE_BLOCKS`] such blocks, [`MAX_TRACES`] traces and a minute; beyond them
//! the answer is an error, never a part.
//! Source: OpenEthereum's JSONRPC-trace-module; `mode` from Erigon.

use std::time::Instant;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::Address;
use interlace_stf::trace::types::filter::{TraceFilter, TraceFilterMode};
use serde::Deserialize;

use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::trace::parity::of_block;
use crate::trace::run::{Budget, MAX_TRACE_TIME};
use crate::wire::{Params, Reply, reply};

/// Blocks with transactions that one request may execute again.
pub(crate) const MAX_TRACE_BLOCKS: u64 = 1_000;
/// Traces in one answer.
pub(crate) const MAX_TRACES: usize = 10_000;

pub(crate) const METHODS: &[(&str, Method)] = &[("trace_filter", trace_filter)];

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    from_block: Option<BlockNumberOrTag>,
    to_block: Option<BlockNumberOrTag>,
    from_address: Option<Vec<Address>>,
    to_address: Option<Vec<Address>>,
    mode: TraceFilterMode,
    after: Option<usize>,
    count: Option<usize>,
}

fn trace_filter(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let given: Filter = params.get(0)?;
    let number = |tag: Option<BlockNumberOrTag>, otherwise: BlockNumberOrTag| {
        let tag = tag.unwrap_or(otherwise);
        rpc.number_of(BlockId::Number(tag)).ok_or_else(|| RpcError::refused(format!("block {tag} not found")))
    };
    let first = number(given.from_block, BlockNumberOrTag::Earliest)?;
    let last = number(given.to_block, BlockNumberOrTag::Latest)?;
    if first > last {
        return Err(RpcError::invalid_params("invalid parameters: fromBlock cannot be greater than toBlock"));
    }
    let matcher = TraceFilter {
        from_address: given.from_address.unwrap_or_default(),
        to_address: given.to_address.unwrap_or_default(),
        mode: given.mode,
        ..TraceFilter::default()
    }
    .matcher();
    let budget = Budget::new(MAX_TRACE_TIME);
    let (mut executed, mut skipped) = (0, 0);
    let (after, count) = (given.after.unwrap_or(0), given.count.unwrap_or(usize::MAX));
    let mut found = Vec::new();
    for number in first..=last {
        if found.len() >= count {
            break;
        }
        let Some(block) = rpc.chain().block(number) else { break };
        if !block.transactions.is_empty() {
            executed += 1;
        }
        if executed > MAX_TRACE_BLOCKS {
            return Err(RpcError::limit(format!(
                "more than {MAX_TRACE_BLOCKS} blocks with transactions; ask for fewer"
            )));
        }
        if Instant::now() >= budget.end {
            return Err(RpcError::refused("execution timeout"));
        }
        for trace in of_block(rpc, &block, &budget)?.into_iter().filter(|trace| matcher.matches(&trace.trace)) {
            if skipped < after {
                skipped += 1;
            } else if found.len() < count {
                found.push(trace);
            }
        }
        if found.len() > MAX_TRACES {
            return Err(RpcError::limit(format!("more than {MAX_TRACES} traces; ask for fewer blocks or a count")));
        }
    }
    reply(&found)
}
