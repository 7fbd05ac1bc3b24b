//! Blocks, headers, receipts and transactions as the bytes that the chain commits to, under geth's names.
//!
//! Invariant: hashing a header or transaction gives its hash; the trie of a block's receipts has the header's root.
//! Source: execution-apis (debug_getRaw*); geth eth_getRawTransaction*. Unknown blocks are refused, unknown transactions null, as in geth.

use std::sync::Arc;

use alloy_eips::eip2718::Encodable2718;
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, Bytes, U64};
use alloy_rlp::Encodable;
use interlace_chain::StoredBlock;

use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::wire::{Params, Reply, reply};

pub(crate) const METHODS: &[(&str, Method)] = &[
    ("debug_getRawHeader", |rpc, params| reply(&rlp(&block(rpc, params)?.header))),
    ("debug_getRawBlock", |rpc, params| reply(&rlp(&block(rpc, params)?.to_consensus()))),
    ("debug_getRawReceipts", receipts),
    ("debug_getRawTransaction", transaction),
    ("debug_getRawTransactions", |rpc, params| {
        let block = block(rpc, params)?;
        reply(&block.transactions.iter().map(|tx| Bytes::from(tx.encoded_2718())).collect::<Vec<_>>())
    }),
    // A block that is not valid is refused and not kept.
    ("debug_getBadBlocks", |_, _| reply(&[(); 0])),
    ("eth_getRawTransactionByHash", transaction),
    ("eth_getRawTransactionByBlockHashAndIndex", |rpc, params| placed(rpc, BlockId::hash(params.get(0)?), params)),
    ("eth_getRawTransactionByBlockNumberAndIndex", |rpc, params| {
        placed(rpc, BlockId::Number(params.get::<BlockNumberOrTag>(0)?), params)
    }),
];

fn rlp(value: &impl Encodable) -> Bytes {
    alloy_rlp::encode(value).into()
}

fn block(rpc: &Rpc, params: &Params<'_>) -> Result<Arc<StoredBlock>, RpcError> {
    let found = rpc.number_of(params.get(0)?).and_then(|number| rpc.chain().block(number));
    found.ok_or_else(|| RpcError::refused("block not found"))
}

fn receipts(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let block = block(rpc, params)?;
    let receipts = block.receipts.iter().map(|receipt| Bytes::from(receipt.envelope.encoded_2718()));
    reply(&receipts.collect::<Vec<_>>())
}

fn transaction(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let hash: B256 = params.get(0)?;
    let found = match rpc.chain().transaction(&hash) {
        Some((block, index)) => block.transactions.get(index).map(Encodable2718::encoded_2718),
        None => rpc.chain().waiting(&hash).map(|waiting| waiting.envelope.encoded_2718()),
    };
    reply(&found.map(Bytes::from))
}

fn placed(rpc: &Rpc, id: BlockId, params: &Params<'_>) -> Reply {
    let index = usize::try_from(params.get::<U64>(1)?.to::<u64>()).unwrap_or(usize::MAX);
    let found = rpc.number_of(id).and_then(|number| rpc.chain().block(number));
    reply(&found.and_then(|block| block.transactions.get(index).map(|tx| Bytes::from(tx.encoded_2718()))))
}
