//! `debug_storageRangeAt`: a contract's storage as a transaction found it, in the order of hashed slots.
//!
//! Invariant: pages that follow `nextKey` show every slot that is not zero exactly once.
//! Source: geth eth/api_debug.go. Bound: [`MAX_RANGE_SLOTS`] slots in one answer, whatever was asked for; `nextKey` leads on.

use std::collections::BTreeMap;

use alloy_eips::BlockId;
use alloy_primitives::{Address, B256, Bytes, U256, keccak256};
use serde::Serialize;

use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::trace::run::{Run, block_by_hash, block_by_tag, parent_state};
use crate::wire::{Params, Reply, reply};

/// Slots in one answer.
pub(crate) const MAX_RANGE_SLOTS: usize = 10_000;

pub(crate) const METHODS: &[(&str, Method)] = &[("debug_storageRangeAt", storage_range)];

#[derive(Serialize)]
struct Entry {
    key: B256,
    value: B256,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Range {
    storage: Option<BTreeMap<B256, Entry>>,
    next_key: Option<B256>,
}

fn storage_range(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let block = match params.get::<BlockId>(0)? {
        BlockId::Hash(hash) => block_by_hash(rpc, hash.block_hash)?,
        BlockId::Number(tag) => block_by_tag(rpc, tag)?,
    };
    let index: usize = params.get(1)?;
    let address: Address = params.get(2)?;
    let start: Bytes = params.optional(3)?.unwrap_or_default();
    let wanted: usize = params.get(4)?;
    if start.len() > 32 {
        return Err(RpcError::invalid_params("invalid argument 3: a key has at most 32 bytes"));
    }
    if index > block.transactions.len() {
        let hash = block.hash;
        return Err(RpcError::refused(format!("transaction index {index} out of range for block {hash}")));
    }
    let below = parent_state(rpc, &block)?;
    let change = Run::of(rpc, block, index)?.into_vm().into_overlay().take_changes().accounts.remove(&address);
    let mut slots: BTreeMap<U256, U256> = match &change {
        Some(change) if change.wiped => BTreeMap::new(),
        _ => below.slots(address)?.into_iter().collect(),
    };
    slots.extend(change.into_iter().flat_map(|change| change.storage));
    slots.retain(|_, value| !value.is_zero());
    if slots.is_empty() {
        return reply(&Range { storage: None, next_key: None });
    }
    let mut first = B256::ZERO;
    first[..start.len()].copy_from_slice(&start);
    let hashed: BTreeMap<B256, Entry> = slots
        .into_iter()
        .map(|(slot, value)| (B256::from(slot), value))
        .map(|(key, value)| (keccak256(key), Entry { key, value: value.into() }))
        .collect();
    let mut rest = hashed.into_iter().skip_while(|(hash, _)| *hash < first);
    let storage = rest.by_ref().take(wanted.min(MAX_RANGE_SLOTS)).collect();
    reply(&Range { storage: Some(storage), next_key: rest.next().map(|(hash, _)| hash) })
}
