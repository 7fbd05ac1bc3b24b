//! What the block explorer Otterscan asks a node for, beside the usual methods.
//!
//! Invariant: answers come from committed blocks and from executing them again; a contract's creator is the transaction that put the code there.
//! Source: Otterscan's docs/custom-jsonrpc.md (API level 8); Erigon for what it leaves open: pages of a block count from its end, and hold
//! transactions in ascending order. Searches are in `search`.
//! What it does not do: code that a developer's control placed has no creator.

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U64, U256};
use interlace_chain::StoredBlock;
use interlace_stf::trace::types::parity::{Action, CallType, CreationMethod, TraceOutput, TransactionTrace};
use interlace_stf::trace::{Trace, Tracer};
use interlace_stf::{StateReader, Status, block_rewards};
use serde_json::{Map, Value, json};

use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::shapes;
use crate::trace::parity::{only_trace, results};
use crate::trace::run::{Budget, MAX_TRACE_TIME, Run};
use crate::wire::{Params, Reply, reply};

/// Version of the API that Otterscan looks for.
const API_LEVEL: u64 = 8;
/// Transactions of one page.
pub(crate) const MAX_PAGE: usize = 100;

pub(crate) const METHODS: &[(&str, Method)] = &[
    ("ots_getApiLevel", |_, _| reply(&API_LEVEL)),
    ("ots_hasCode", has_code),
    ("ots_getInternalOperations", internal_operations),
    ("ots_getTransactionError", transaction_error),
    ("ots_traceTransaction", trace_transaction),
    ("ots_getBlockDetails", |rpc, params| {
        details(rpc, rpc.number_of(BlockId::Number(params.get::<BlockNumberOrTag>(0)?)))
    }),
    ("ots_getBlockDetailsByHash", |rpc, params| details(rpc, rpc.chain().number_of(&params.get(0)?))),
    ("ots_getBlockTransactions", block_transactions),
    ("ots_getTransactionBySenderAndNonce", |rpc, params| reply(&by_sender_and_nonce(rpc, params)?)),
    ("eth_getTransactionBySenderAndNonce", |rpc, params| {
        let found = by_sender_and_nonce(rpc, params)?.and_then(|hash| rpc.chain().transaction(&hash));
        reply(&found.and_then(|(block, index)| shapes::transaction(&block, index)))
    }),
    ("ots_getContractCreator", contract_creator),
];

fn has_code(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let address: Address = params.get(0)?;
    let at = rpc.at(params.get(1)?)?;
    reply(&at.state.account(address)?.is_some_and(|account| account.code_hash != KECCAK256_EMPTY))
}

/// The transaction about to be executed, and the rest of its block; `None` for an unknown one.
fn about(rpc: &Rpc, params: &Params<'_>) -> Result<Option<Run>, RpcError> {
    let hash: B256 = params.get(0)?;
    rpc.chain().transaction(&hash).map(|(block, index)| Run::of(rpc, block, index)).transpose()
}

fn internal_operations(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let Some(mut run) = about(rpc, params)? else { return reply(&Value::Null) };
    let Some(next) = run.peek() else { return reply(&Value::Null) };
    let budget = Budget::new(MAX_TRACE_TIME);
    match run.trace(&next, &Tracer::Operations, &budget)?.trace {
        Trace::Operations(operations) => reply(&operations),
        _ => Err(RpcError::internal("another trace than was asked for")),
    }
}

/// What a transaction that reverted returned; nothing for every other.
fn transaction_error(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let Some(mut run) = about(rpc, params)? else { return reply(&Value::Null) };
    let Some(next) = run.peek() else { return reply(&Value::Null) };
    let outcome = run.execute(&next)?;
    reply(&if outcome.status == Status::Revert { outcome.output } else { Bytes::new() })
}

fn trace_transaction(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let Some(mut run) = about(rpc, params)? else { return reply(&Value::Null) };
    let Some(next) = run.peek() else { return reply(&Value::Null) };
    let traces = results(run.trace(&next, &only_trace(), &Budget::new(MAX_TRACE_TIME))?.trace)?.trace;
    reply(&traces.iter().filter_map(entry).collect::<Vec<_>>())
}

/// A call, creation or destruction as Erigon shows it.
fn entry(trace: &TransactionTrace) -> Option<Value> {
    let (kind, from, to, value, input) = match &trace.action {
        Action::Call(call) => {
            let (kind, value) = match call.call_type {
                CallType::None => return None,
                CallType::Call | CallType::AuthCall => ("CALL", Some(call.value)),
                CallType::CallCode => ("CALLCODE", Some(call.value)),
                // Neither moves a value of its own.
                CallType::DelegateCall => ("DELEGATECALL", None),
                CallType::StaticCall => ("STATICCALL", None),
            };
            (kind, call.from, call.to, value, call.input.clone())
        }
        Action::Create(create) => {
            let kind = if create.creation_method == CreationMethod::Create2 { "CREATE2" } else { "CREATE" };
            let created = trace.result.as_ref().and_then(created);
            (kind, create.from, created.unwrap_or_default(), Some(create.value), create.init.clone())
        }
        Action::Selfdestruct(end) => ("SELFDESTRUCT", end.address, end.refund_address, Some(end.balance), Bytes::new()),
        Action::Reward(_) => return None,
    };
    let output = trace.result.as_ref().map(|result| result.output().clone()).unwrap_or_default();
    let depth = trace.trace_address.len();
    Some(json!({
        "type": kind, "depth": depth, "from": from, "to": to, "value": value, "input": input, "output": output,
    }))
}

/// The contract that a creation made.
pub(crate) const fn created(output: &TraceOutput) -> Option<Address> {
    match output {
        TraceOutput::Create(create) => Some(create.address),
        TraceOutput::Call(_) => None,
    }
}

/// The block without transactions, with how many there are; Otterscan wants no bloom.
fn slim(block: &StoredBlock) -> Map<String, Value> {
    let Value::Object(mut shown) = json!(shapes::block(block, false)) else { return Map::new() };
    shown.remove("transactions");
    shown.insert("logsBloom".into(), Value::Null);
    shown.insert("transactionCount".into(), json!(block.transactions.len()));
    shown
}

fn details(rpc: &Rpc, number: Option<u64>) -> Reply {
    let Some(block) = number.and_then(|number| rpc.chain().block(number)) else { return reply(&Value::Null) };
    let fork = rpc.chain().spec().fork_at(block.number(), block.header.timestamp);
    // Nobody mined the first block.
    let paid = if block.number() == rpc.chain().first_number() {
        Vec::new()
    } else {
        block_rewards(fork, &block.header, &block.ommers)
    };
    let block_reward = paid.first().map_or(U256::ZERO, |(_, value)| *value);
    let uncle_reward = paid.iter().skip(1).fold(U256::ZERO, |sum, (_, value)| sum + value);
    let fees = block.receipts.iter().enumerate().fold(U256::ZERO, |sum, (index, receipt)| {
        sum + U256::from(receipt.gas_used) * U256::from(block.gas_price(index))
    });
    reply(&json!({
        "block": slim(&block),
        "issuance": {
            "blockReward": block_reward,
            "uncleReward": uncle_reward,
            "issuance": block_reward + uncle_reward,
        },
        "totalFees": fees,
    }))
}

fn block_transactions(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let number = rpc.number_of(BlockId::Number(params.get::<BlockNumberOrTag>(0)?));
    let page: usize = params.get(1)?;
    let size = page_size(params, 2)?;
    let Some(block) = number.and_then(|number| rpc.chain().block(number)) else { return reply(&Value::Null) };
    let end = block.transactions.len().saturating_sub(page.saturating_mul(size));
    let shown: Vec<usize> = (end.saturating_sub(size)..end).collect();
    let mut full = slim(&block);
    let transactions =
        shown.iter().filter_map(|index| shapes::transaction(&block, *index)).map(|tx| cropped(&json!(tx)));
    full.insert("transactions".into(), transactions.collect());
    let receipts: Vec<Value> = shown.iter().filter_map(|index| slim_receipt(rpc, &block, *index)).collect();
    reply(&json!({ "fullblock": full, "receipts": receipts }))
}

/// How many transactions a page has.
///
/// # Errors
/// -32005 above [`MAX_PAGE`], -32602 for none.
pub(crate) fn page_size(params: &Params<'_>, index: usize) -> Result<usize, RpcError> {
    match params.get::<usize>(index)? {
        0 => Err(RpcError::invalid_params("a page has at least one transaction")),
        size if size > MAX_PAGE => Err(RpcError::limit(format!("{size} transactions, at most {MAX_PAGE} on a page"))),
        size => Ok(size),
    }
}

/// A transaction with nothing of its input but the selector.
fn cropped(transaction: &Value) -> Value {
    let mut shown = transaction.clone();
    if let Some(input) = shown.get("input").and_then(Value::as_str) {
        let selector: String = input.chars().take(2 + 8).collect();
        shown["input"] = Value::String(selector);
    }
    shown
}

/// A receipt without logs and bloom, and with the time of its block.
pub(crate) fn slim_receipt(rpc: &Rpc, block: &StoredBlock, index: usize) -> Option<Value> {
    let mut shown = json!(shapes::receipt(rpc.chain().spec(), block, index)?);
    shown["logs"] = Value::Null;
    shown["logsBloom"] = Value::Null;
    shown["timestamp"] = json!(U64::from(block.header.timestamp));
    Some(shown)
}

/// The account's state after block `number`.
fn account_at(rpc: &Rpc, number: u64, address: Address) -> Result<Option<interlace_stf::Account>, RpcError> {
    let state = rpc.chain().state_at(number).ok_or_else(|| RpcError::refused("header not found"))?;
    Ok(state.account(address)?)
}

/// The first block after which `holds` is true of the account; it has to be true at the head, and stay so once it is.
fn first_block(
    rpc: &Rpc,
    address: Address,
    holds: impl Fn(&interlace_stf::Account) -> bool,
) -> Result<Option<u64>, RpcError> {
    let (mut low, mut high) = (rpc.chain().first_number(), rpc.chain().head().number());
    let at = |number: u64| Ok::<_, RpcError>(account_at(rpc, number, address)?.is_some_and(|account| holds(&account)));
    if !at(high)? {
        return Ok(None);
    }
    while low < high {
        let middle = low + (high - low) / 2;
        if at(middle)? {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(Some(high))
}

fn by_sender_and_nonce(rpc: &Rpc, params: &Params<'_>) -> Result<Option<B256>, RpcError> {
    let sender: Address = params.get(0)?;
    let nonce = number(params, 1)?;
    // A nonce that was used is below the account's.
    let Some(found) = first_block(rpc, sender, |account| account.nonce > nonce)? else { return Ok(None) };
    let block = rpc.chain().block(found);
    Ok(block.and_then(|block| {
        let mut own = block.transactions.iter().zip(&block.senders);
        own.find(|(tx, from)| **from == sender && alloy_consensus::Transaction::nonce(*tx) == nonce)
            .map(|(tx, _)| *tx.tx_hash())
    }))
}

/// A number in hex or decimal: Otterscan sends nonces and blocks as plain JSON numbers.
///
/// # Errors
/// -32602 for anything else.
pub(crate) fn number(params: &Params<'_>, index: usize) -> Result<u64, RpcError> {
    match params.get::<Value>(index)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+')),
            None => text.parse().ok(),
        },
        _ => None,
    }
    .ok_or_else(|| RpcError::invalid_params(format!("invalid argument {index}: no number of 64 bits")))
}

fn contract_creator(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let address: Address = params.get(0)?;
    let found = first_block(rpc, address, |account| account.code_hash != KECCAK256_EMPTY)?;
    let block =
        found.filter(|number| *number > rpc.chain().first_number()).and_then(|number| rpc.chain().block(number));
    let Some(block) = block.filter(|block| !block.transactions.is_empty()) else { return reply(&Value::Null) };
    let budget = Budget::new(MAX_TRACE_TIME);
    let mut run = Run::of(rpc, Arc::clone(&block), 0)?;
    let mut creator = Value::Null;
    // The last creation counts: an earlier one of the same block was destroyed again.
    while let Some(next) = run.peek() {
        for trace in results(run.trace(&next, &only_trace(), &budget)?.trace)?.trace {
            if let Action::Create(create) = &trace.action
                && trace.result.as_ref().and_then(created) == Some(address)
            {
                creator = json!({ "hash": next.place.tx_hash, "creator": create.from });
            }
        }
    }
    reply(&creator)
}
