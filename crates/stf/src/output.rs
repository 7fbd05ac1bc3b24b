//! What executing a block gives.
//!
//! Invariant: `header` is the block's header as execution finds it, but for the state root, which only a store knows.
//! What it does not do: it does not repeat the body.

use alloc::format;
use alloc::vec::Vec;

use alloy_consensus::{Header, ReceiptEnvelope};
use alloy_primitives::{B256, Bytes};
use interlace_evm::{BlockAccesses, Changes, TxOutcome};

use crate::error::Mismatch;

/// Result of a block.
#[derive(Clone, Debug)]
pub struct BlockOutput {
    /// The header with everything that execution determines. `state_root` is zero: fill it in from the store. If
    /// `receipts_root_known` is false, `receipts_root` is zero too.
    pub header: Header,
    /// State after the block, as changes to the state before it.
    pub changes: Changes,
    /// Receipts, in order.
    pub receipts: Vec<ReceiptEnvelope>,
    /// Outcomes, in order.
    pub outcomes: Vec<TxOutcome>,
    /// EIP-7685 requests, each with its type as first byte; none before Prague.
    pub requests: Vec<Bytes>,
    /// False before Byzantium if no state roots were given: receipts then hold a zero root after each transaction.
    pub receipts_root_known: bool,
    /// What executions reached, if [`crate::BlockBuilder::list_accesses`] asked for it.
    pub accesses: Option<BlockAccesses>,
}

impl BlockOutput {
    /// Gas used by all transactions.
    #[must_use]
    pub const fn gas_used(&self) -> u64 {
        self.header.gas_used
    }

    /// The header with `state_root` filled in.
    #[must_use]
    pub fn sealed_header(&self, state_root: B256) -> Header {
        Header { state_root, ..self.header.clone() }
    }

    /// Compares what execution found with what `header` claims, the state root excepted. The receipts root is compared
    /// only if it is known.
    ///
    /// # Errors
    /// The first field that differs.
    pub fn verify(&self, header: &Header) -> Result<(), Mismatch> {
        fn same<T: PartialEq + core::fmt::Debug>(
            field: &'static str,
            header: &T,
            executed: &T,
        ) -> Result<(), Mismatch> {
            if header == executed {
                return Ok(());
            }
            Err(Mismatch { field, header: format!("{header:?}"), executed: format!("{executed:?}") })
        }
        let found = &self.header;
        same("transactionsRoot", &header.transactions_root, &found.transactions_root)?;
        same("sha3Uncles", &header.ommers_hash, &found.ommers_hash)?;
        same("withdrawalsRoot", &header.withdrawals_root, &found.withdrawals_root)?;
        same("gasUsed", &header.gas_used, &found.gas_used)?;
        same("blobGasUsed", &header.blob_gas_used, &found.blob_gas_used)?;
        same("logsBloom", &header.logs_bloom, &found.logs_bloom)?;
        if self.receipts_root_known {
            same("receiptsRoot", &header.receipts_root, &found.receipts_root)?;
        }
        same("requestsHash", &header.requests_hash, &found.requests_hash)
    }
}
