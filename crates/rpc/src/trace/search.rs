//! Otterscan's searches: the transactions that an address had a part in, page by page.
//!
//! Invariant: a page holds whole blocks, newest first, so it may be longer than was asked for; going on from its last block (or, upwards, from its
//! first) misses nothing and repeats nothing.
//! Cost: no index is kept; every block on the way that holds a transaction is executed again. Bounds: [`MAX_TRACE_BLOCKS`] such blocks and a minute.
//! A search that meets one of them ends with what it has found, which is not marked as the last page; -32005 if that is nothing.
//! Source: Otterscan's docs/custom-jsonrpc.md; Erigon for which transactions count: sender, target, and whom its calls, creations and destructions name.

use std::sync::Arc;
use std::time::Instant;

use alloy_primitives::Address;
use interlace_chain::StoredBlock;
use interlace_stf::trace::types::parity::Action;
use serde_json::{Value, json};

use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::shapes;
use crate::trace::filter::MAX_TRACE_BLOCKS;
use crate::trace::otterscan::{created, number, page_size, slim_receipt};
use crate::trace::parity::{only_trace, results};
use crate::trace::run::{Budget, MAX_TRACE_TIME, Run};
use crate::wire::{Params, Reply, reply};

pub(crate) const METHODS: &[(&str, Method)] =
    &[("ots_searchTransactionsBefore", before), ("ots_searchTransactionsAfter", after)];

/// What a search has found, block by block in the order in which it went.
struct Found {
    blocks: Vec<(Arc<StoredBlock>, Vec<usize>)>,
    /// Whether it came to the end of the chain.
    all: bool,
}

/// Looks through `numbers` until a page is full.
fn search(rpc: &Rpc, address: Address, size: usize, numbers: impl Iterator<Item = u64>) -> Result<Found, RpcError> {
    let budget = Budget::new(MAX_TRACE_TIME);
    let (mut blocks, mut held, mut executed) = (Vec::new(), 0, 0);
    for number in numbers {
        if held >= size {
            return Ok(Found { blocks, all: false });
        }
        let Some(block) = rpc.chain().block(number) else { break };
        if block.transactions.is_empty() {
            continue;
        }
        executed += 1;
        if executed > MAX_TRACE_BLOCKS || Instant::now() >= budget.end {
            if held == 0 {
                let reason = format!("nothing found down to block {number}; go on from there, or use a filter");
                return Err(RpcError::limit(reason));
            }
            return Ok(Found { blocks, all: false });
        }
        let touched = touching(rpc, &block, address, &budget)?;
        if !touched.is_empty() {
            held += touched.len();
            blocks.push((block, touched));
        }
    }
    Ok(Found { blocks, all: true })
}

/// Indices of the block's transactions that `address` has a part in.
fn touching(rpc: &Rpc, block: &Arc<StoredBlock>, address: Address, budget: &Budget) -> Result<Vec<usize>, RpcError> {
    let mut run = Run::of(rpc, Arc::clone(block), 0)?;
    let mut found = Vec::new();
    let mut index = 0;
    while let Some(next) = run.peek() {
        let traces = results(run.trace(&next, &only_trace(), budget)?.trace)?.trace;
        let names = traces.iter().any(|trace| match &trace.action {
            Action::Call(call) => call.from == address || call.to == address,
            Action::Create(create) => {
                create.from == address || trace.result.as_ref().and_then(created) == Some(address)
            }
            Action::Selfdestruct(end) => end.address == address || end.refund_address == address,
            Action::Reward(_) => false,
        });
        if names {
            found.push(index);
        }
        index += 1;
    }
    Ok(found)
}

/// A page, newest first.
fn page(rpc: &Rpc, blocks: &[(Arc<StoredBlock>, Vec<usize>)], first_page: bool, last_page: bool) -> Reply {
    let places = || blocks.iter().flat_map(|(block, found)| found.iter().rev().map(move |index| (block, *index)));
    let txs: Vec<Value> =
        places().filter_map(|(block, index)| Some(json!(shapes::transaction(block, index)?))).collect();
    let receipts: Vec<Value> = places().filter_map(|(block, index)| slim_receipt(rpc, block, index)).collect();
    reply(&json!({ "txs": txs, "receipts": receipts, "firstPage": first_page, "lastPage": last_page }))
}

/// Blocks below a number, downwards; zero stands for above the newest.
fn before(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let address: Address = params.get(0)?;
    let below = number(params, 1)?;
    let size = page_size(params, 2)?;
    let head = rpc.chain().head().number();
    let end = if below == 0 { head + 1 } else { below.min(head + 1) };
    let found = search(rpc, address, size, (rpc.chain().first_number()..end).rev())?;
    page(rpc, &found.blocks, end > head, found.all)
}

/// Blocks above a number, upwards; zero stands for from the first on.
fn after(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let address: Address = params.get(0)?;
    let above = number(params, 1)?;
    let size = page_size(params, 2)?;
    let first = rpc.chain().first_number();
    let start = if above == 0 { first } else { above.saturating_add(1).max(first) };
    let mut found = search(rpc, address, size, start..=rpc.chain().head().number())?;
    found.blocks.reverse();
    page(rpc, &found.blocks, found.all, start == first)
}
