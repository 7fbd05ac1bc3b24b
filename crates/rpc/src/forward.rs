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

fn about(method: &str) -> Option<About> {
    Some(match method {
        "debug_getRawBlock"
        | "debug_getRawHeader"
        | "debug_getRawReceipts"
        | "debug_traceBlockByHash"
        | "debug_traceBlockByNumber"
        | "erigon_getHeaderByNumber"
        | "eth_getBlockByHash"
        | "eth_getBlockByNumber"
        | "eth_getBlockReceipts"
        | "eth_getBlockTransactionCountByHash"
        | "eth_getBlockTransactionCountByNumber"
        | "eth_getHeaderByHash"
        | "eth_getHeaderByNumber"
        | "eth_getRawTransactionByBlockHashAndIndex"
        | "eth_getRawTransactionByBlockNumberAndIndex"
        | "eth_getTransactionByBlockHashAndIndex"
        | "eth_getTransactionByBlockNumberAndIndex"
        | "eth_getUncleByBlockHashAndIndex"
        | "eth_getUncleByBlockNumberAndIndex"
        | "eth_getUncleCountByBlockHash"
        | "eth_getUncleCountByBlockNumber"
        | "ots_getBlockDetails"
        | "ots_getBlockDetailsByHash"
        | "ots_getBlockTransactions"
        | "trace_block"
        | "trace_replayBlockTransactions" => About::Block(0),
        "debug_traceCall"
        | "eth_call"
        | "eth_createAccessList"
        | "eth_estimateGas"
        | "eth_getAccountInfo"
        | "eth_getBalance"
        | "eth_getCode"
        | "eth_getStorageValues"
        | "eth_getTransactionCount"
        | "eth_simulateV1"
        | "ots_hasCode"
        | "trace_callMany" => About::State(1),
        "eth_getProof" | "eth_getStorageAt" | "trace_call" => About::State(2),
        "debug_getRawTransaction"
        | "debug_traceTransaction"
        | "eth_getRawTransactionByHash"
        | "eth_getTransactionByHash"
        | "eth_getTransactionReceipt"
        | "ots_getInternalOperations"
        | "ots_getTransactionError"
        | "ots_traceTransaction"
        | "trace_get"
        | "trace_replayTransaction"
        | "trace_transaction" => About::Transaction,
        "eth_getLogs" => About::Logs,
        _ => return None,
    })
}

/// The other chain's answer, where the question is about a part of it; `None` where this chain is to answer by itself.
///
/// # Errors
/// What the other chain answers, -32603 when it does not.
pub(crate) fn answer(rpc: &Rpc, method: &str, params: &Params<'_>) -> Result<Option<Box<RawValue>>, RpcError> {
    let chain = rpc.chain();
    // All but forks go on here.
    let Some(remote) = chain.remote() else { return Ok(None) };
    let Some(about) = about(method) else { return Ok(None) };
    // What cannot be read is refused by the method itself, in its own words.
    let Ok(mut values) = params.values() else { return Ok(None) };
    let last = remote.header().number;
    match about {
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
    fn what_is_forwarded_is_a_method_and_changes_nothing() {
        let known = dispatch::methods();
        let forwarded: Vec<&str> = known.iter().copied().filter(|name| about(name).is_some()).collect();
        assert_eq!(forwarded.len(), 53);
        assert!(!forwarded.iter().any(|name| name.contains("send") || name.contains("Send")), "{forwarded:?}");
    }
}
