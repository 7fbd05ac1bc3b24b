//! What a fork asks the chain that it goes on after: questions about that chain's blocks and transactions.
//!
//! Invariant: an answer is of a block up to the one forked, however far the other chain went on; a question about anything later is
//! this chain's own. The state after the forked block itself is this chain's too: it holds what was set by hand.
//! Source: Anvil, which forwards the same.
//! What it does not do: answers are passed on as they come and not kept; searches (`trace_filter`, `ots_search...`), installed filters
//! and fee histories see this chain's blocks alone. No transaction is ever sent to the other chain.

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, U64};
use interlace_chain::{MAX_LOGS, RemoteChain};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::dispatch::Rpc;
use crate::error::RpcError;
use crate::filters;
use crate::wire::{Params, Reply, reply};

/// What a question is about, and which parameter says so.
#[derive(Clone, Copy, Debug)]
enum About {
    /// A block.
    Block(usize),
    /// The state after a block.
    State(usize),
    /// A transaction by the hash that comes first.
    Transaction,
    /// Logs.
    Logs,
}

/// What is asked of the other chain, by name.
const FORWARDED: &[(&str, About)] = &[
    ("debug_getRawBlock", About::Block(0)),
    ("debug_getRawHeader", About::Block(0)),
    ("debug_getRawReceipts", About::Block(0)),
    ("debug_getRawTransaction", About::Transaction),
    ("debug_traceBlockByHash", About::Block(0)),
    ("debug_traceBlockByNumber", About::Block(0)),
    ("debug_traceCall", About::State(1)),
    ("debug_traceTransaction", About::Transaction),
    ("erigon_getHeaderByNumber", About::Block(0)),
    ("eth_call", About::State(1)),
    ("eth_createAccessList", About::State(1)),
    ("eth_estimateGas", About::State(1)),
    ("eth_getAccountInfo", About::State(1)),
    ("eth_getBalance", About::State(1)),
    ("eth_getBlockByHash", About::Block(0)),
    ("eth_getBlockByNumber", About::Block(0)),
    ("eth_getBlockReceipts", About::Block(0)),
    ("eth_getBlockTransactionCountByHash", About::Block(0)),
    ("eth_getBlockTransactionCountByNumber", About::Block(0)),
    ("eth_getCode", About::State(1)),
    ("eth_getHeaderByHash", About::Block(0)),
    ("eth_getHeaderByNumber", About::Block(0)),
    ("eth_getLogs", About::Logs),
    ("eth_getProof", About::State(2)),
    ("eth_getRawTransactionByBlockHashAndIndex", About::Block(0)),
    ("eth_getRawTransactionByBlockNumberAndIndex", About::Block(0)),
    ("eth_getRawTransactionByHash", About::Transaction),
    ("eth_getStorageAt", About::State(2)),
    ("eth_getStorageValues", About::State(1)),
    ("eth_getTransactionByBlockHashAndIndex", About::Block(0)),
    ("eth_getTransactionByBlockNumberAndIndex", About::Block(0)),
    ("eth_getTransactionByHash", About::Transaction),
    ("eth_getTransactionCount", About::State(1)),
    ("eth_getTransactionReceipt", About::Transaction),
    ("eth_getUncleByBlockHashAndIndex", About::Block(0)),
    ("eth_getUncleByBlockNumberAndIndex", About::Block(0)),
    ("eth_getUncleCountByBlockHash", About::Block(0)),
    ("eth_getUncleCountByBlockNumber", About::Block(0)),
    ("eth_simulateV1", About::State(1)),
    ("ots_getBlockDetails", About::Block(0)),
    ("ots_getBlockDetailsByHash", About::Block(0)),
    ("ots_getBlockTransactions", About::Block(0)),
    ("ots_getInternalOperations", About::Transaction),
    ("ots_getTransactionError", About::Transaction),
    ("ots_hasCode", About::State(1)),
    ("ots_traceTransaction", About::Transaction),
    ("trace_block", About::Block(0)),
    ("trace_call", About::State(2)),
    ("trace_callMany", About::State(1)),
    ("trace_get", About::Transaction),
    ("trace_replayBlockTransactions", About::Block(0)),
    ("trace_replayTransaction", About::Transaction),
    ("trace_transaction", About::Transaction),
];

/// The other chain's answer, where the question is about a part of it; `None` where this chain is to answer by itself.
///
/// # Errors
/// What the other chain answers, -32603 when it does not.
pub(crate) fn answer(rpc: &Rpc, method: &str, params: &Params<'_>) -> Result<Option<Box<RawValue>>, RpcError> {
    let chain = rpc.chain();
    // All but forks go on here.
    let Some(remote) = chain.remote() else { return Ok(None) };
    let Some((_, about)) = FORWARDED.iter().find(|(name, _)| *name == method) else { return Ok(None) };
    // What cannot be read is refused by the method itself, in its own words.
    let Ok(mut values) = params.values() else { return Ok(None) };
    let last = remote.header().number;
    match *about {
        About::Block(index) | About::State(index) => {
            let bound = if matches!(about, About::State(_)) { last.checked_sub(1) } else { Some(last) };
            let Some(bound) = bound else { return Ok(None) };
            let Ok(Some(id)) = params.optional::<BlockId>(index) else { return Ok(None) };
            let Some(number) = theirs(rpc, &remote, id)?.filter(|number| *number <= bound) else { return Ok(None) };
            // A tag means another block there than here.
            if let (BlockId::Number(tag), Some(value)) = (id, values.get_mut(index))
                && !tag.is_number()
            {
                *value = json!(U64::from(number));
            }
            ask(&remote, method, values).map(Some)
        }
        About::Transaction => {
            let Ok(hash) = params.get::<B256>(0) else { return Ok(None) };
            if chain.transaction(&hash).is_some() || chain.waiting(&hash).is_some() {
                return Ok(None);
            }
            let found = remote.ask("eth_getTransactionByHash", &json!([hash]))??;
            if number_in(&found, "blockNumber").is_none_or(|number| number > last) {
                return Ok(None);
            }
            if method == "eth_getTransactionByHash" {
                reply(&found).map(Some)
            } else {
                ask(&remote, method, values).map(Some)
            }
        }
        About::Logs => logs(rpc, &remote, values),
    }
}

fn ask(remote: &RemoteChain, method: &str, params: Vec<Value>) -> Reply {
    reply(&remote.ask(method, &Value::Array(params))??)
}

fn number_in(object: &Value, field: &str) -> Option<u64> {
    let text = object.get(field)?.as_str()?.strip_prefix("0x")?;
    u64::from_str_radix(text, 16).ok()
}

/// Number of a block that both chains have in common; `None` for any other.
fn theirs(rpc: &Rpc, remote: &RemoteChain, id: BlockId) -> Result<Option<u64>, RpcError> {
    let last = remote.header().number;
    let number = match id {
        BlockId::Number(BlockNumberOrTag::Earliest) => Some(0),
        BlockId::Number(_) => rpc.number_of(id),
        BlockId::Hash(hash) => match rpc.chain().number_of(&hash.block_hash) {
            Some(number) => Some(number),
            None => {
                let block = remote.ask("eth_getBlockByHash", &json!([hash.block_hash, false]))??;
                number_in(&block, "number")
            }
        },
    };
    Ok(number.filter(|number| *number <= last))
}

/// Logs of both chains: the other one's up to the block forked, then this one's.
fn logs(rpc: &Rpc, remote: &RemoteChain, mut values: Vec<Value>) -> Result<Option<Box<RawValue>>, RpcError> {
    let Some(filter) = values.first_mut().and_then(Value::as_object_mut) else { return Ok(None) };
    let tag = |name: &str| filter.get(name).filter(|value| !value.is_null()).map(BlockNumberOrTag::deserialize);
    if let Some(hash) = filter.get("blockHash").filter(|hash| !hash.is_null()) {
        let Ok(hash) = B256::deserialize(hash) else { return Ok(None) };
        return match theirs(rpc, remote, BlockId::from(hash))? {
            Some(_) => ask(remote, "eth_getLogs", values).map(Some),
            None => Ok(None),
        };
    }
    let (Ok(from), Ok(to)) = (tag("fromBlock").transpose(), tag("toBlock").transpose()) else { return Ok(None) };
    let number = |tag: Option<BlockNumberOrTag>| match tag.unwrap_or_default() {
        BlockNumberOrTag::Number(number) => Some(number),
        BlockNumberOrTag::Earliest => Some(0),
        other => rpc.number_of(BlockId::Number(other)),
    };
    let last = remote.header().number;
    let (Some(from), Some(to)) = (number(from), number(to)) else { return Ok(None) };
    if from > last || from > to {
        return Ok(None);
    }
    // This chain's part first: what it refuses, the other one need not be asked.
    let mut own = Vec::new();
    if to > last {
        filter.insert("fromBlock".into(), json!(U64::from(last + 1)));
        filter.insert("toBlock".into(), json!(U64::from(to)));
        own = filters::logs_between(rpc, Value::Object(filter.clone()))?;
    }
    filter.insert("fromBlock".into(), json!(U64::from(from)));
    filter.insert("toBlock".into(), json!(U64::from(to.min(last))));
    let found = remote.ask("eth_getLogs", &Value::Array(values))??;
    let Value::Array(mut all) = found else { return Err(RpcError::internal("the remote's logs are no list")) };
    all.extend(own);
    if all.len() > MAX_LOGS {
        return Err(RpcError::limit(format!("query returned more than {MAX_LOGS} results; narrow the block range")));
    }
    reply(&all).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dispatch;

    #[test]
    fn what_is_forwarded_is_a_method_and_sends_nothing() {
        let methods = dispatch::methods();
        for (name, _) in FORWARDED {
            assert!(methods.contains(name), "{name}");
            assert!(!name.to_lowercase().contains("send"), "{name}");
        }
    }
}
