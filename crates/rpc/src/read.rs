//! Questions that execute nothing: blocks, transactions, receipts, accounts, fees, proofs, and who answers.
//!
//! Invariant: answers come from committed blocks and fixed state versions; no method here waits for block production.
//! Source: execution-apis (eth, net, web3), EIP-1186 (proofs), EIP-1559 (fees). Unknown blocks answer null where geth does.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U64, U256, keccak256};
use alloy_rpc_types_eth::{EIP1186AccountProofResponse, EIP1186StorageProof, TransactionReceipt};
use alloy_serde::JsonStorageKey;
use interlace_chain::pool::PoolTransaction;
use interlace_state::AccountProof;
use interlace_stf::StateReader;
use interlace_trie::EMPTY_ROOT_HASH;
use serde_json::{Value, json};

use crate::dispatch::{MAX_ANSWER_BYTES, Method, Rpc};
use crate::error::RpcError;
use crate::shapes;
use crate::wire::{Params, Reply, reply};

/// Storage slots in one eth_getProof.
pub(crate) const MAX_PROOF_SLOTS: usize = 1_024;
/// Storage slots in one eth_getStorageValues.
pub(crate) const MAX_STORAGE_VALUES: usize = 1_024;

pub(crate) const METHODS: &[(&str, Method)] = &[
    ("web3_clientVersion", client_version),
    ("web3_sha3", |_, params| reply(&keccak256(params.get::<Bytes>(0)?))),
    ("net_version", |rpc, _| reply(&rpc.chain().spec().chain_id().to_string())),
    ("eth_networkId", |rpc, _| reply(&rpc.chain().spec().chain_id().to_string())),
    ("net_listening", |_, _| reply(&true)),
    ("net_peerCount", |_, _| reply(&U64::ZERO)),
    ("eth_chainId", |rpc, _| reply(&U64::from(rpc.chain().spec().chain_id()))),
    ("eth_syncing", |_, _| reply(&false)),
    ("eth_protocolVersion", |_, _| reply("0x44")),
    ("eth_coinbase", |rpc, _| reply(&rpc.chain().head().header.beneficiary)),
    ("eth_mining", |_, _| reply(&false)),
    ("eth_hashrate", |_, _| reply(&U64::ZERO)),
    ("eth_baseFee", |rpc, _| reply(&U64::from(rpc.chain().next_base_fee()))),
    ("eth_capabilities", capabilities),
    ("eth_blockNumber", |rpc, _| reply(&U64::from(rpc.chain().head().number()))),
    ("eth_getBalance", balance),
    ("eth_getCode", code),
    ("eth_getStorageAt", storage),
    ("eth_getTransactionCount", nonce),
    ("eth_getStorageValues", storage_values),
    ("eth_getAccountInfo", account_info),
    ("eth_getProof", proof),
    ("eth_getBlockByHash", |rpc, params| block(rpc, BlockId::hash(params.get(0)?), params)),
    ("eth_getBlockByNumber", |rpc, params| block(rpc, tag(params.get(0)?), params)),
    ("eth_getHeaderByHash", |rpc, params| header(rpc, BlockId::hash(params.get(0)?))),
    ("erigon_getHeaderByNumber", |rpc, params| header(rpc, tag(params.get(0)?))),
    ("eth_getHeaderByNumber", |rpc, params| header(rpc, tag(params.get(0)?))),
    ("eth_getBlockTransactionCountByHash", |rpc, params| count(rpc, BlockId::hash(params.get(0)?))),
    ("eth_getBlockTransactionCountByNumber", |rpc, params| count(rpc, tag(params.get(0)?))),
    ("eth_getUncleCountByBlockHash", |rpc, params| uncles(rpc, BlockId::hash(params.get(0)?))),
    ("eth_getUncleCountByBlockNumber", |rpc, params| uncles(rpc, tag(params.get(0)?))),
    ("eth_getUncleByBlockHashAndIndex", |rpc, params| uncle(rpc, BlockId::hash(params.get(0)?), params)),
    ("eth_getUncleByBlockNumberAndIndex", |rpc, params| uncle(rpc, tag(params.get(0)?), params)),
    ("eth_getTransactionByHash", transaction),
    ("eth_getTransactionByBlockHashAndIndex", |rpc, params| placed(rpc, BlockId::hash(params.get(0)?), params)),
    ("eth_getTransactionByBlockNumberAndIndex", |rpc, params| placed(rpc, tag(params.get(0)?), params)),
    ("eth_getTransactionReceipt", receipt),
    ("eth_getBlockReceipts", receipts),
    ("eth_pendingTransactions", pending_transactions),
    ("txpool_status", pool_status),
    ("txpool_content", pool_content),
    ("txpool_contentFrom", pool_content_from),
    ("txpool_inspect", pool_inspect),
];

/// hardhat's network helpers work on a node only if this begins with the name of one that they know. So a developer's chain begins
/// with hardhat's, whose methods it has, and goes on with its own.
fn client_version(rpc: &Rpc, _: &Params<'_>) -> Reply {
    const OWN: &str = concat!("interlace/v", env!("CARGO_PKG_VERSION"));
    if rpc.chain().developer().is_ok() { reply(&format!("HardhatNetwork/{OWN}")) } else { reply(OWN) }
}

const fn tag(tag: BlockNumberOrTag) -> BlockId {
    BlockId::Number(tag)
}

/// The block that parameter `index` names; the newest one when it is absent.
pub(crate) fn block_id(params: &Params<'_>, index: usize) -> Result<BlockId, RpcError> {
    Ok(params.optional(index)?.unwrap_or_else(BlockId::latest))
}

fn balance(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let address: Address = params.get(0)?;
    let at = rpc.at(block_id(params, 1)?)?;
    reply(&at.state.account(address)?.unwrap_or_default().balance)
}

fn code(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let address: Address = params.get(0)?;
    let at = rpc.at(block_id(params, 1)?)?;
    let hash = at.state.account(address)?.unwrap_or_default().code_hash;
    if hash == KECCAK256_EMPTY {
        return reply(&Bytes::new());
    }
    reply(&at.state.code(hash)?)
}

fn storage(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let address: Address = params.get(0)?;
    let key: JsonStorageKey = params.get(1)?;
    let at = rpc.at(block_id(params, 2)?)?;
    reply(&B256::from(at.state.storage(address, key.as_b256().into())?))
}

/// Several slots of several accounts at once, in the order in which they were asked for.
fn storage_values(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let wanted: BTreeMap<Address, Vec<JsonStorageKey>> = params.get(0)?;
    let slots: usize = wanted.values().map(Vec::len).sum();
    if slots == 0 {
        return Err(RpcError::invalid_params("empty request"));
    }
    if slots > MAX_STORAGE_VALUES {
        return Err(RpcError::limit(format!("{slots} slots, at most {MAX_STORAGE_VALUES} in one request")));
    }
    let at = rpc.at(block_id(params, 1)?)?;
    let mut found: BTreeMap<Address, Vec<B256>> = BTreeMap::new();
    for (address, keys) in wanted {
        let values = found.entry(address).or_default();
        for key in keys {
            values.push(at.state.storage(address, key.as_b256().into())?.into());
        }
    }
    reply(&found)
}

/// What of the past can be asked for: all of it.
fn capabilities(rpc: &Rpc, _: &Params<'_>) -> Reply {
    let head = rpc.chain().head();
    let all = json!({ "disabled": false, "oldestBlock": U64::from(rpc.chain().first_number()) });
    let mut shown = json!({ "head": { "number": U64::from(head.number()), "hash": head.hash } });
    for what in ["state", "tx", "logs", "receipts", "blocks", "stateproofs"] {
        shown[what] = all.clone();
    }
    reply(&shown)
}

/// Balance, nonce and code of one moment.
fn account_info(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let address: Address = params.get(0)?;
    let at = rpc.at(block_id(params, 1)?)?;
    let account = at.state.account(address)?.unwrap_or_default();
    let code = if account.code_hash == KECCAK256_EMPTY { Bytes::new() } else { at.state.code(account.code_hash)? };
    reply(&json!({ "balance": account.balance, "nonce": U64::from(account.nonce), "code": code }))
}

/// Transactions that could be in the next block, sender by sender.
fn pending_transactions(rpc: &Rpc, _: &Params<'_>) -> Reply {
    check_pool(rpc)?;
    let (ready, _) = rpc.chain().pool_content();
    let shown = ready.values().flat_map(|of_one| of_one.values()).map(|waiting| shapes::waiting(waiting));
    reply(&shown.collect::<Vec<_>>())
}

fn nonce(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let address: Address = params.get(0)?;
    let id = block_id(params, 1)?;
    if id == BlockId::pending() {
        return reply(&U64::from(rpc.chain().pending_nonce(address)?));
    }
    reply(&U64::from(rpc.at(id)?.state.account(address)?.unwrap_or_default().nonce))
}

fn proof(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let address: Address = params.get(0)?;
    let keys: Vec<JsonStorageKey> = params.optional(1)?.unwrap_or_default();
    if keys.len() > MAX_PROOF_SLOTS {
        return Err(RpcError::limit(format!("{} slots, at most {MAX_PROOF_SLOTS} in one proof", keys.len())));
    }
    let at = rpc.at(block_id(params, 2)?)?;
    let targets: Vec<U256> = keys.iter().map(|key| key.as_b256().into()).collect();
    let AccountProof { account, nodes, slots } = at.state.view().proof(address, &targets)?;
    let proofs = keys.into_iter().zip(slots);
    let storage_proof = proofs.map(|(key, (_, value, proof))| EIP1186StorageProof { key, value, proof }).collect();
    reply(&EIP1186AccountProofResponse {
        address,
        balance: account.map_or(U256::ZERO, |account| account.balance),
        code_hash: account.map_or(KECCAK256_EMPTY, |account| account.code_hash),
        nonce: account.map_or(0, |account| account.nonce),
        storage_hash: account.map_or(EMPTY_ROOT_HASH, |account| account.storage_root),
        account_proof: nodes,
        storage_proof,
    })
}

fn block(rpc: &Rpc, id: BlockId, params: &Params<'_>) -> Reply {
    let full = params.optional(1)?.unwrap_or(false);
    if id == BlockId::pending() {
        return reply(&shapes::pending_block(&rpc.at(id)?.block, full));
    }
    match rpc.block_of(id)? {
        Some(found) => reply(&shapes::block(&found, full)),
        None => reply(&Value::Null),
    }
}

fn header(rpc: &Rpc, id: BlockId) -> Reply {
    let found = rpc.number_of(id).and_then(|number| rpc.chain().block(number));
    reply(&found.map(|block| shapes::head(&block)))
}

fn count(rpc: &Rpc, id: BlockId) -> Reply {
    if id == BlockId::pending() {
        return reply(&U64::from(rpc.at(id)?.block.transactions.len()));
    }
    let found = rpc.block_of(id)?;
    reply(&found.map(|block| U64::from(block.transactions.len())))
}

fn uncles(rpc: &Rpc, id: BlockId) -> Reply {
    let found = rpc.block_of(id)?;
    reply(&found.map(|block| U64::from(block.ommers.len())))
}

fn uncle(rpc: &Rpc, id: BlockId, params: &Params<'_>) -> Reply {
    let index: U64 = params.get(1)?;
    let found = rpc.block_of(id)?;
    let header = found.and_then(|block| block.ommers.get(index.to::<usize>()).cloned());
    reply(&header.map(alloy_rpc_types_eth::Header::new))
}

fn transaction(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let hash: B256 = params.get(0)?;
    if let Some((block, index)) = rpc.chain().transaction(&hash) {
        return reply(&shapes::transaction(&block, index));
    }
    reply(&rpc.chain().waiting(&hash).map(|waiting| shapes::waiting(&waiting)))
}

fn placed(rpc: &Rpc, id: BlockId, params: &Params<'_>) -> Reply {
    let index: U64 = params.get(1)?;
    let found = rpc.block_of(id)?;
    let index = usize::try_from(index.to::<u64>()).unwrap_or(usize::MAX);
    reply(&found.and_then(|block| shapes::transaction(&block, index)))
}

fn receipt(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let hash: B256 = params.get(0)?;
    let found = rpc.chain().transaction(&hash);
    reply(&found.and_then(|(block, index)| shapes::receipt(rpc.chain().spec(), &block, index)))
}

fn receipts(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let found = rpc.block_of(params.get(0)?)?;
    let all = found.map(|block| {
        let receipts = (0..block.receipts.len()).filter_map(|index| shapes::receipt(rpc.chain().spec(), &block, index));
        receipts.collect::<Vec<TransactionReceipt>>()
    });
    reply(&all)
}

fn pool_status(rpc: &Rpc, _: &Params<'_>) -> Reply {
    let status = rpc.chain().pool_status();
    reply(&json!({ "pending": U64::from(status.pending), "queued": U64::from(status.queued) }))
}

/// Refuses to show a pool that no answer could hold, before it is copied; hex takes two characters for each byte.
fn check_pool(rpc: &Rpc) -> Result<(), RpcError> {
    let (bytes, number) = rpc.chain().pool_size();
    let shown = bytes.saturating_mul(2).saturating_add(number.saturating_mul(700));
    if shown > MAX_ANSWER_BYTES { Err(RpcError::too_large()) } else { Ok(()) }
}

/// Transactions of one sender by nonce.
fn by_nonce(transactions: BTreeMap<u64, Arc<PoolTransaction>>) -> Value {
    let shown = transactions.into_iter().map(|(nonce, tx)| (nonce.to_string(), json!(shapes::waiting(&tx))));
    Value::Object(shown.collect())
}

fn pool_content_from(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let sender: Address = params.get(0)?;
    check_pool(rpc)?;
    let show = |waiting: interlace_chain::pool::Waiting| {
        let of_sender = waiting.into_iter().find(|(address, _)| *address == sender);
        of_sender.map_or_else(|| json!({}), |(_, transactions)| by_nonce(transactions))
    };
    let (pending, queued) = rpc.chain().pool_content();
    reply(&json!({ "pending": show(pending), "queued": show(queued) }))
}

fn pool_content(rpc: &Rpc, _: &Params<'_>) -> Reply {
    check_pool(rpc)?;
    let show = |waiting: interlace_chain::pool::Waiting| -> Value {
        let senders = waiting.into_iter();
        Value::Object(senders.map(|(sender, of_one)| (sender.to_checksum(None), by_nonce(of_one))).collect())
    };
    let (pending, queued) = rpc.chain().pool_content();
    reply(&json!({ "pending": show(pending), "queued": show(queued) }))
}

fn pool_inspect(rpc: &Rpc, _: &Params<'_>) -> Reply {
    let show = |waiting: interlace_chain::pool::Waiting| -> Value {
        let senders = waiting.into_iter().map(|(sender, transactions)| {
            let shown = transactions.into_iter().map(|(nonce, tx)| (nonce.to_string(), json!(shapes::summary(&tx))));
            (sender.to_checksum(None), Value::Object(shown.collect()))
        });
        Value::Object(senders.collect())
    };
    let (pending, queued) = rpc.chain().pool_content();
    reply(&json!({ "pending": show(pending), "queued": show(queued) }))
}
