//! Parity's traces: of calls, of transactions, of blocks.
//!
//! Invariant: the traces of a transaction stand in the order of execution, each with its path (`traceAddress`); calls of precompiled
//! contracts without value are left out. Unknown blocks and transactions are `null`, as in OpenEthereum.
//! Source: OpenEthereum's JSONRPC-trace-module. What it does not do: state differences of the block as a whole.

use std::sync::Arc;

use alloy_primitives::map::HashSet;
use alloy_primitives::{B256, U64};
use alloy_rpc_types_eth::TransactionRequest;
use interlace_chain::StoredBlock;
use interlace_chain::pool::PoolTransaction;
use interlace_state::Snapshot;
use interlace_stf::trace::types::parity::{
    Action, LocalizedTransactionTrace, RewardAction, RewardType, TraceResults, TraceResultsWithTransactionHash,
    TraceType, TransactionTrace,
};
use interlace_stf::trace::{Place, Trace, Tracer};
use interlace_stf::{BlockEnv, CallOptions, Checks, Overlay, TxRequest, block_rewards, prepare};
use serde_json::Value;

use crate::call::{override_block, overrides_of, refused, to_tx};
use crate::dispatch::{Method, Rpc, raw_bytes};
use crate::error::RpcError;
use crate::read::block_id;
use crate::trace::debug::{MAX_TRACE_CALLS, View};
use crate::trace::run::{Budget, MAX_TRACE_TIME, Run, trace_error};
use crate::wire::{Params, Reply, reply};

pub(crate) const METHODS: &[(&str, Method)] = &[
    ("trace_block", trace_block),
    ("trace_transaction", |rpc, params| reply(&of_transaction(rpc, params.get(0)?)?)),
    ("trace_get", get),
    ("trace_call", call),
    ("trace_callMany", call_many),
    ("trace_rawTransaction", raw_transaction),
    ("trace_replayTransaction", replay_transaction),
    ("trace_replayBlockTransactions", replay_block),
];

fn kinds(params: &Params<'_>, index: usize) -> Result<HashSet<TraceType>, RpcError> {
    params.get(index)
}

pub(crate) fn only_trace() -> Tracer {
    Tracer::Parity(core::iter::once(TraceType::Trace).collect())
}

pub(crate) fn results(trace: Trace) -> Result<TraceResults, RpcError> {
    match trace {
        Trace::Parity(results) => Ok(*results),
        _ => Err(RpcError::internal("another trace than was asked for")),
    }
}

/// The traces of a block, transaction by transaction, and of its rewards.
///
/// # Errors
/// -32000 for the genesis block's children of nothing, or the first transaction's error.
pub(crate) fn of_block(
    rpc: &Rpc,
    block: &Arc<StoredBlock>,
    budget: &Budget,
) -> Result<Vec<LocalizedTransactionTrace>, RpcError> {
    let mut traces = Vec::new();
    // The first block has neither transactions nor a parent.
    if block.transactions.is_empty() {
        return Ok(rewards(rpc, block));
    }
    let mut run = Run::of(rpc, Arc::clone(block), 0)?;
    while let Some(next) = run.peek() {
        let found = results(run.trace(&next, &only_trace(), budget)?.trace)?.trace;
        traces.extend(found.into_iter().map(|trace| place(trace, block, next.place)));
    }
    traces.extend(rewards(rpc, block));
    Ok(traces)
}

fn place(trace: TransactionTrace, block: &StoredBlock, place: Place) -> LocalizedTransactionTrace {
    LocalizedTransactionTrace {
        trace,
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        transaction_hash: place.tx_hash,
        transaction_position: place.index.map(|index| index as u64),
    }
}

/// What the block minted, as traces without a transaction.
fn rewards(rpc: &Rpc, block: &StoredBlock) -> Vec<LocalizedTransactionTrace> {
    if block.number() == rpc.chain().first_number() {
        return Vec::new();
    }
    let fork = rpc.chain().spec().fork_at(block.number(), block.header.timestamp);
    let paid = block_rewards(fork, &block.header, &block.ommers);
    let trace = |(index, (author, value))| {
        let reward_type = if index == 0 { RewardType::Block } else { RewardType::Uncle };
        let action = Action::Reward(RewardAction { author, reward_type, value });
        let trace = TransactionTrace { action, error: None, result: None, subtraces: 0, trace_address: Vec::new() };
        place(trace, block, Place::default())
    };
    paid.into_iter().enumerate().map(trace).collect()
}

/// The traces of a transaction; `None` if it is in no block.
fn of_transaction(rpc: &Rpc, hash: B256) -> Result<Option<Vec<LocalizedTransactionTrace>>, RpcError> {
    let Some((block, index)) = rpc.chain().transaction(&hash) else { return Ok(None) };
    let mut run = Run::of(rpc, Arc::clone(&block), index)?;
    let Some(next) = run.peek() else { return Ok(None) };
    let found = results(run.trace(&next, &only_trace(), &Budget::new(MAX_TRACE_TIME))?.trace)?;
    Ok(Some(found.trace.into_iter().map(|trace| place(trace, &block, next.place)).collect()))
}

fn trace_block(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let found = rpc.number_of(block_id(params, 0)?).and_then(|number| rpc.chain().block(number));
    let Some(block) = found else { return reply(&Value::Null) };
    reply(&of_block(rpc, &block, &Budget::new(MAX_TRACE_TIME))?)
}

/// `trace_get`: the trace at a path within a transaction.
fn get(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let path: Vec<U64> = params.get(1)?;
    let path: Vec<usize> = path.iter().map(|index| usize::try_from(index.to::<u64>()).unwrap_or(usize::MAX)).collect();
    let traces = of_transaction(rpc, params.get(0)?)?.unwrap_or_default();
    reply(&traces.into_iter().find(|trace| trace.trace.trace_address == path))
}

/// Traces `tx` on `overlay` and gives the state after it.
fn one(
    env: BlockEnv,
    tx: &TxRequest,
    options: &CallOptions,
    kinds: HashSet<TraceType>,
    overlay: Overlay<Snapshot>,
    budget: &Budget,
) -> Result<(TraceResults, Overlay<Snapshot>), RpcError> {
    let mut vm = prepare(env, tx, options, overlay).map_err(refused)?;
    let tracer = Tracer::Parity(kinds);
    let traced = vm.inspect(tx, &tracer, Place::default(), budget.limits()).map_err(trace_error)?;
    vm.overlay_mut().apply(traced.changes);
    Ok((results(traced.trace)?, vm.into_overlay()))
}

/// `trace_call`, with overrides of state and block as reth and anvil take them.
fn call(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let request: TransactionRequest = params.get(0)?;
    let kinds = kinds(params, 1)?;
    let at = rpc.at(block_id(params, 2)?)?;
    let mut env = BlockEnv::from_header(rpc.chain().spec(), &at.block.header);
    override_block(&mut env, params.optional(4)?.unwrap_or_default())?;
    let state = overrides_of(params.optional(3)?.unwrap_or_default())?;
    let options = CallOptions { state, ..CallOptions::default() };
    let tx = to_tx(&request, &env, &at.state)?;
    let mut overlay = Overlay::new(at.state.view().clone());
    if let Some(pending) = at.state.pending() {
        overlay.apply(pending.clone());
    }
    reply(&one(env, &tx, &options, kinds, overlay, &Budget::new(MAX_TRACE_TIME))?.0)
}

/// `trace_callMany`: each call on the state that the one before left.
fn call_many(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let calls: Vec<(TransactionRequest, HashSet<TraceType>)> = params.get(0)?;
    if calls.len() > MAX_TRACE_CALLS {
        return Err(RpcError::limit(format!("{} calls, at most {MAX_TRACE_CALLS} in one request", calls.len())));
    }
    let at = rpc.at(block_id(params, 1)?)?;
    let env = BlockEnv::from_header(rpc.chain().spec(), &at.block.header);
    let mut overlay = Overlay::new(at.state.view().clone());
    if let Some(pending) = at.state.pending() {
        overlay.apply(pending.clone());
    }
    let budget = Budget::new(MAX_TRACE_TIME);
    let mut answers = Vec::new();
    for (request, kinds) in calls {
        let tx = to_tx(&request, &env, &View(&overlay))?;
        let (answer, after) = one(env.clone(), &tx, &CallOptions::default(), kinds, overlay, &budget)?;
        answers.push(answer);
        overlay = after;
    }
    reply(&answers)
}

/// `trace_rawTransaction`: a signed transaction, executed on the newest state and not kept.
fn raw_transaction(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let transaction = PoolTransaction::decode(&raw_bytes(params)?)?;
    let kinds = kinds(params, 1)?;
    let at = rpc.at(block_id(params, 2)?)?;
    let env = BlockEnv::from_header(rpc.chain().spec(), &at.block.header);
    let tx = TxRequest::from_transaction(&transaction.envelope, transaction.sender);
    let overlay = Overlay::new(at.state.view().clone());
    let options = CallOptions { checks: Checks::TRANSACTION, ..CallOptions::default() };
    reply(&one(env, &tx, &options, kinds, overlay, &Budget::new(MAX_TRACE_TIME))?.0)
}

fn replay_transaction(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let hash: B256 = params.get(0)?;
    let tracer = Tracer::Parity(kinds(params, 1)?);
    let Some((block, index)) = rpc.chain().transaction(&hash) else {
        return Err(RpcError::refused("transaction not found"));
    };
    let mut run = Run::of(rpc, block, index)?;
    let next = run.peek().ok_or_else(|| RpcError::internal("a transaction was lost"))?;
    reply(&results(run.trace(&next, &tracer, &Budget::new(MAX_TRACE_TIME))?.trace)?)
}

fn replay_block(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let tracer = Tracer::Parity(kinds(params, 1)?);
    let found = rpc.number_of(params.get(0)?).and_then(|number| rpc.chain().block(number));
    let Some(block) = found else { return reply(&Value::Null) };
    if block.transactions.is_empty() {
        return reply(&Vec::<Value>::new());
    }
    let mut budget = Budget::new(MAX_TRACE_TIME);
    let mut run = Run::of(rpc, block, 0)?;
    let mut answers = Vec::new();
    while let Some(next) = run.peek() {
        let full_trace = results(run.trace(&next, &tracer, &budget)?.trace)?;
        let transaction_hash = next.place.tx_hash.unwrap_or_default();
        let shown = reply(&TraceResultsWithTransactionHash { full_trace, transaction_hash })?;
        budget.spend(&shown);
        answers.push(shown);
    }
    reply(&answers)
}
