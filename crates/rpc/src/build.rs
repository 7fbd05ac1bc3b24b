//! `testing_buildBlockV1`: a block built on the head for a tester, and not kept.
//!
//! Invariant: the chain and the pool are as before. The block has exactly the given transactions, or there is none.
//! Source: execution-apis, testing namespace; the shapes are those of the engine API's `getPayload`.
//! What it does not do: it builds on no other block than the head. The gas limit moves towards [`GAS_CEILING`] as geth's miner moves it.

use std::sync::Arc;

use alloy_consensus::Transaction as _;
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip4844::Bytes48;
use alloy_eips::eip4895::Withdrawal;
use alloy_eips::eip7594::BlobTransactionSidecarVariant;
use alloy_primitives::{Address, B256, Bytes, U64, U256};
use interlace_chain::StoredBlock;
use interlace_chain::api::BlockPlan;
use interlace_chain::pool::PoolTransaction;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::wire::{Params, Reply, reply};

/// Gas of a block that geth's miner aims at.
const GAS_CEILING: u64 = 60_000_000;
/// How much of its parent's gas limit a block may change (EIP-1559).
const GAS_LIMIT_STEP: u64 = 1_024;

pub(crate) const METHODS: &[(&str, Method)] = &[("testing_buildBlockV1", build)];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Attributes {
    timestamp: U64,
    prev_randao: B256,
    suggested_fee_recipient: Address,
    withdrawals: Option<Vec<Withdrawal>>,
    parent_beacon_block_root: Option<B256>,
}

fn build(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let parent: B256 = params.get(0)?;
    let given: Attributes = params.get(1)?;
    let raw: Option<Vec<Bytes>> = params.optional(2)?;
    let extra_data: Bytes = params.optional(3)?.unwrap_or_default();
    let head = rpc.chain().head();
    if parent != head.hash {
        return Err(RpcError::refused(format!("block {parent} is not the head, which is {}", head.hash)));
    }
    let timestamp = given.timestamp.to::<u64>();
    if timestamp <= head.header.timestamp {
        return Err(RpcError::invalid_params(format!("timestamp {timestamp} is not after {}", head.header.timestamp)));
    }
    if extra_data.len() > 32 {
        return Err(RpcError::invalid_params(format!("{} bytes of extra data, at most 32", extra_data.len())));
    }
    let transactions = raw.map(decode).transpose()?;
    let sidecars: Vec<Arc<BlobTransactionSidecarVariant>> =
        transactions.iter().flatten().filter_map(|transaction| transaction.sidecar.clone()).collect();
    let plan = BlockPlan {
        timestamp,
        beneficiary: given.suggested_fee_recipient,
        gas_limit: towards(head.header.gas_limit, GAS_CEILING),
        prev_randao: given.prev_randao,
        extra_data,
        parent_beacon_block_root: given.parent_beacon_block_root.unwrap_or_default(),
        withdrawals: given.withdrawals.unwrap_or_default(),
        base_fee_wei: None,
    };
    let (block, requests) = rpc.chain().assemble(plan, transactions)?;
    reply(&json!({
        "executionPayload": payload(&block),
        "blockValue": value(&block),
        "blobsBundle": bundle(&sidecars),
        "executionRequests": requests,
        "shouldOverrideBuilder": false,
    }))
}

fn decode(raw: Vec<Bytes>) -> Result<Vec<Arc<PoolTransaction>>, RpcError> {
    raw.iter().map(|bytes| Ok(Arc::new(PoolTransaction::decode(bytes)?))).collect()
}

/// `limit`, moved towards `goal` as far as one block may move it.
fn towards(limit: u64, goal: u64) -> u64 {
    let step = (limit / GAS_LIMIT_STEP).saturating_sub(1);
    goal.clamp(limit.saturating_sub(step), limit.saturating_add(step))
}

fn payload(block: &StoredBlock) -> Value {
    let header = &block.header;
    let transactions: Vec<Bytes> = block.transactions.iter().map(|tx| tx.encoded_2718().into()).collect();
    let mut shown = json!({
        "parentHash": header.parent_hash,
        "feeRecipient": header.beneficiary,
        "stateRoot": header.state_root,
        "receiptsRoot": header.receipts_root,
        "logsBloom": header.logs_bloom,
        "prevRandao": header.mix_hash,
        "blockNumber": U64::from(header.number),
        "gasLimit": U64::from(header.gas_limit),
        "gasUsed": U64::from(header.gas_used),
        "timestamp": U64::from(header.timestamp),
        "extraData": header.extra_data,
        "baseFeePerGas": U64::from(header.base_fee_per_gas.unwrap_or_default()),
        "blockHash": block.hash,
        "transactions": transactions,
    });
    if let Some(withdrawals) = &block.withdrawals {
        shown["withdrawals"] = json!(withdrawals);
    }
    if let Some(used) = header.blob_gas_used {
        shown["blobGasUsed"] = json!(U64::from(used));
        shown["excessBlobGas"] = json!(U64::from(header.excess_blob_gas.unwrap_or_default()));
    }
    shown
}

/// What its transactions tip, in wei.
fn value(block: &StoredBlock) -> U256 {
    let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
    let tips = block.transactions.iter().zip(&block.receipts).map(|(tx, receipt)| {
        let tip = tx.effective_tip_per_gas(base_fee).unwrap_or_default();
        U256::from(tip) * U256::from(receipt.gas_used)
    });
    tips.fold(U256::ZERO, U256::saturating_add)
}

fn bundle(sidecars: &[Arc<BlobTransactionSidecarVariant>]) -> Value {
    let (mut commitments, mut proofs): (Vec<Bytes48>, Vec<Bytes48>) = (Vec::new(), Vec::new());
    let mut blobs: Vec<Value> = Vec::new();
    for sidecar in sidecars {
        match &**sidecar {
            BlobTransactionSidecarVariant::Eip4844(sidecar) => {
                commitments.extend(&sidecar.commitments);
                proofs.extend(&sidecar.proofs);
                blobs.extend(sidecar.blobs.iter().map(|blob| json!(blob)));
            }
            BlobTransactionSidecarVariant::Eip7594(sidecar) => {
                commitments.extend(&sidecar.commitments);
                proofs.extend(&sidecar.cell_proofs);
                blobs.extend(sidecar.blobs.iter().map(|blob| json!(blob)));
            }
        }
    }
    json!({ "commitments": commitments, "proofs": proofs, "blobs": blobs })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gas_limit_moves_by_less_than_its_1024th_part() {
        assert_eq!(towards(200_000_000, GAS_CEILING), 200_000_000 - 195_311);
        assert_eq!(towards(60_000_000, GAS_CEILING), GAS_CEILING);
        assert_eq!(towards(59_999_999, GAS_CEILING), GAS_CEILING);
        assert_eq!(towards(5_000, GAS_CEILING), 5_003);
        assert_eq!(towards(0, GAS_CEILING), 0);
        assert_eq!(towards(u64::MAX, GAS_CEILING), u64::MAX - (u64::MAX / 1_024 - 1));
    }
}
