//! `interlace_getBlockAccessList`, and the same as bytes: all that a block reached and what it left there (EIP-7928).
//!
//! Invariant: the block is executed again, on one thread, for at most [`MAX_TRACE_TIME`]; nothing is kept. The list is written as
//! `eth_getBlockAccessList` of execution-apis has it, the bytes as the EIP has them.
//! What it does not do: that method is for chains whose headers hold the list's hash, from Amsterdam on, and must refuse other blocks. These serve any
//! block from Spurious Dragon on.

use std::sync::Arc;
use std::time::Instant;

use alloy_eip7928::{BlockAccessList, compute_block_access_list_hash};
use alloy_eips::BlockId;
use alloy_primitives::{B256, Bytes, U64};
use interlace_chain::StoredBlock;
use interlace_stf::begin;
use serde::Serialize;

use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::trace::run::{MAX_TRACE_TIME, block_by_hash, block_by_tag, parent_state};
use crate::wire::{Params, Reply, reply};

pub(crate) const METHODS: &[(&str, Method)] =
    &[("interlace_getBlockAccessList", access_list), ("interlace_getRawBlockAccessList", raw)];

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    number: U64,
    hash: B256,
    access_list_hash: B256,
    access_list: BlockAccessList,
}

fn list(rpc: &Rpc, params: &Params<'_>) -> Result<(Arc<StoredBlock>, BlockAccessList), RpcError> {
    let block = match params.get::<BlockId>(0)? {
        BlockId::Hash(hash) => block_by_hash(rpc, hash.block_hash)?,
        BlockId::Number(tag) => block_by_tag(rpc, tag)?,
    };
    let state = parent_state(rpc, &block)?;
    let internal = |error: String| RpcError::internal(error);
    let mut builder = begin(rpc.chain().spec(), &block.to_consensus(), &block.senders, &state, None)
        .map_err(|error| internal(error.to_string()))?;
    builder.list_accesses();
    let end = Instant::now() + MAX_TRACE_TIME;
    for (tx, sender) in block.transactions.iter().zip(&block.senders) {
        if Instant::now() >= end {
            return Err(RpcError::refused("execution timeout"));
        }
        builder.push(tx, *sender).map_err(|error| internal(error.to_string()))?;
    }
    let output = builder.finish().map_err(|error| internal(error.to_string()))?;
    let accesses =
        output.accesses.ok_or_else(|| RpcError::refused("before Spurious Dragon blocks have no access lists"))?;
    Ok((block, accesses.list()))
}

fn access_list(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let (block, access_list) = list(rpc, params)?;
    reply(&Listed {
        number: U64::from(block.number()),
        hash: block.hash,
        access_list_hash: compute_block_access_list_hash(&access_list),
        access_list,
    })
}

fn raw(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let (_, access_list) = list(rpc, params)?;
    reply(&Bytes::from(alloy_rlp::encode(access_list)))
}
