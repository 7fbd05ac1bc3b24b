//! Blocks, transactions, receipts and logs as Ethereum's JSON shows them.
//!
//! Invariant: field names and number formats are alloy's, which are execution-apis'; nothing is looked up here, all comes from
//! the stored block. Source: execution-apis, schemas `block`, `transaction`, `receipt`.

use alloy_consensus::transaction::Recovered;
use alloy_consensus::{Transaction as _, Typed2718};
use alloy_primitives::U256;
use alloy_rpc_types_eth::{Block, BlockTransactions, Header, Log, Transaction, TransactionReceipt};
use interlace_chain::pool::PoolTransaction;
use interlace_chain::{LogPlace, StoredBlock};
use interlace_primitives::ChainSpec;
use interlace_stf::Transaction as Envelope;
use serde_json::{Map, Value, json};

/// The header, as newHeads sends it.
#[must_use]
pub(crate) fn head(block: &StoredBlock) -> Header {
    Header { hash: block.hash, inner: block.header.clone(), total_difficulty: None, size: None }
}

/// A block with hashes of its transactions, or with the transactions in full.
#[must_use]
pub(crate) fn block(block: &StoredBlock, full: bool) -> Block<Transaction<Envelope>> {
    let transactions = if full {
        BlockTransactions::Full((0..block.transactions.len()).filter_map(|index| transaction(block, index)).collect())
    } else {
        BlockTransactions::Hashes(block.transactions.iter().map(|tx| *tx.tx_hash()).collect())
    };
    let size = Some(U256::from(block.size));
    Block {
        header: Header { hash: block.hash, inner: block.header.clone(), total_difficulty: None, size },
        uncles: block.ommers.iter().map(alloy_consensus::Header::hash_slow).collect(),
        transactions,
        withdrawals: block.withdrawals.clone(),
    }
}

/// A block that is not mined yet: hash, nonce, bloom and beneficiary are not known.
#[must_use]
pub(crate) fn pending_block(draft: &StoredBlock, full: bool) -> Value {
    let mut shown = serde_json::to_value(block(draft, full)).unwrap_or_default();
    if let Some(fields) = shown.as_object_mut() {
        for unknown in ["hash", "nonce", "logsBloom", "miner"] {
            fields.insert(unknown.into(), Value::Null);
        }
        if let Some(list) = fields.get_mut("transactions").and_then(Value::as_array_mut) {
            for shown in list.iter_mut().filter_map(Value::as_object_mut) {
                unplace(shown);
            }
        }
    }
    shown
}

fn unplace(transaction: &mut Map<String, Value>) {
    for unknown in ["blockHash", "blockNumber", "transactionIndex"] {
        transaction.insert(unknown.into(), Value::Null);
    }
    transaction.remove("blockTimestamp");
}

/// Transaction `index` of a block.
#[must_use]
pub(crate) fn transaction(block: &StoredBlock, index: usize) -> Option<Transaction<Envelope>> {
    let envelope = block.transactions.get(index)?.clone();
    Some(Transaction {
        inner: Recovered::new_unchecked(envelope, *block.senders.get(index)?),
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        transaction_index: Some(index as u64),
        effective_gas_price: Some(block.gas_price(index)),
        block_timestamp: Some(block.header.timestamp),
    })
}

/// A transaction that waits in the pool.
#[must_use]
pub(crate) fn waiting(waiting: &PoolTransaction) -> Transaction<Envelope> {
    Transaction {
        inner: Recovered::new_unchecked(waiting.envelope.clone(), waiting.sender),
        block_hash: None,
        block_number: None,
        transaction_index: None,
        effective_gas_price: Some(waiting.envelope.max_fee_per_gas()),
        block_timestamp: None,
    }
}

/// The log at `place`.
#[must_use]
pub(crate) fn log(block: &StoredBlock, place: LogPlace) -> Option<Log> {
    let inner = block.receipts.get(place.transaction)?.envelope.logs().get(place.position)?.clone();
    Some(Log {
        inner,
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        block_timestamp: Some(block.header.timestamp),
        transaction_hash: block.transactions.get(place.transaction).map(|tx| *tx.tx_hash()),
        transaction_index: Some(place.transaction as u64),
        log_index: Some(place.index),
        removed: false,
    })
}

/// The log at `place` of a block that was taken back.
#[must_use]
pub(crate) fn removed_log(block: &StoredBlock, place: LogPlace) -> Option<Log> {
    Some(Log { removed: true, ..log(block, place)? })
}

/// The receipt of transaction `index` of a block.
#[must_use]
pub(crate) fn receipt(spec: &ChainSpec, block: &StoredBlock, index: usize) -> Option<TransactionReceipt> {
    let stored = block.receipts.get(index)?;
    let envelope = block.transactions.get(index)?;
    let hash = *envelope.tx_hash();
    let mut index_in_block = stored.first_log;
    let inner = stored.envelope.clone().map_logs(|inner| {
        let log = Log {
            inner,
            block_hash: Some(block.hash),
            block_number: Some(block.number()),
            block_timestamp: Some(block.header.timestamp),
            transaction_hash: Some(hash),
            transaction_index: Some(index as u64),
            log_index: Some(index_in_block),
            removed: false,
        };
        index_in_block += 1;
        log
    });
    let blobs = spec.blob_params_at(block.number(), block.header.timestamp).filter(|_| envelope.ty() == 3);
    Some(TransactionReceipt {
        inner,
        transaction_hash: hash,
        transaction_index: Some(index as u64),
        block_hash: Some(block.hash),
        block_number: Some(block.number()),
        gas_used: stored.gas_used,
        effective_gas_price: block.gas_price(index),
        blob_gas_used: blobs.and(envelope.blob_gas_used()),
        blob_gas_price: blobs.map(|params| params.blob_fee(block.header.excess_blob_gas.unwrap_or_default())),
        from: *block.senders.get(index)?,
        to: envelope.to(),
        contract_address: if stored.created.is_some() { stored.created } else { created_by(block, index) },
    })
}

/// A creation that failed names the address it would have had, as geth does.
fn created_by(block: &StoredBlock, index: usize) -> Option<alloy_primitives::Address> {
    let envelope = block.transactions.get(index)?;
    envelope.is_create().then(|| block.senders.get(index).map(|sender| sender.create(envelope.nonce())))?
}

/// One line of txpool_inspect.
#[must_use]
pub(crate) fn summary(waiting: &PoolTransaction) -> String {
    let target = waiting.envelope.to().map_or_else(|| "contract creation".to_owned(), |to| to.to_string());
    let (value, gas, price) = (waiting.envelope.value(), waiting.envelope.gas_limit(), waiting.max_fee());
    format!("{target}: {value} wei + {gas} gas × {price} wei")
}

/// The head as /health shows it.
#[must_use]
pub(crate) fn health(chain_id: u64, block: &StoredBlock) -> Value {
    json!({
        "status": "ok",
        "chain_id": chain_id,
        "head": { "number": block.number(), "hash": block.hash, "timestamp": block.header.timestamp },
    })
}
