//! Making blocks from the pool.
//!
//! Invariant: a block enters the chain only with the results of its own execution and the state root that they give; whatever is
//! refused leaves state, store and pool as they were (but for transactions that can never run, which leave the pool).
//! What it does not do: blocks that others made are `import`.

use std::sync::Arc;
use std::time::Instant;

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{Address, B256, Bytes};
use alloy_rlp::Encodable;
use interlace_state::{Snapshot, StateError, StateReader};
use interlace_stf::{Attributes, AwaitedHash, BlockBuilder, BlockOutput, Changes, EvmError, TxError};

use crate::api::BlockPlan;
use crate::chain::Chain;
use crate::engine::BATCH;
use crate::error::ChainError;
use crate::pool::{Best, PoolTransaction};
use crate::production::Building;
use crate::store::{StoredBlock, StoredReceipt};

/// A block that is built or executed, and not yet committed.
#[derive(Debug)]
pub struct Draft {
    /// The block; its state root and hash are filled in by the commit.
    pub block: StoredBlock,
    /// What it changes.
    pub output: BlockOutput,
    /// Transactions that turned out to be impossible.
    pub(crate) rejected: Vec<B256>,
}

/// Where the transactions of a block come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// What waits, as far as it fits.
    Pool,
    /// What waits after a block that made these changes.
    After(Arc<Changes>),
    /// These, in this order; one that does not run is an error.
    Each(Vec<Arc<PoolTransaction>>),
    /// These, in this order, as far as they run.
    Runnable(Vec<Arc<PoolTransaction>>),
}

impl Chain {
    /// Builds the block that would come next, without committing it, and gives the state below it.
    ///
    /// # Errors
    /// What the engine refuses.
    pub fn preview(&self) -> Result<(Draft, Snapshot), ChainError> {
        let (parent, state) = self.head_with_state();
        let plan = self.orderer.preview(&parent.header)?;
        Ok((self.draft(&parent.header, &state, None, plan, Source::Pool)?, state))
    }

    /// Makes one block of exactly these transactions, in this order, as far as they run.
    pub(crate) fn produce_exactly(
        &self,
        alone: &Building<'_>,
        transactions: Vec<Arc<PoolTransaction>>,
        extra_data: Bytes,
    ) -> Result<Arc<StoredBlock>, ChainError> {
        let started = Instant::now();
        let (parent, state) = self.head_with_state();
        let plan = BlockPlan { extra_data, ..self.orderer.propose(&parent.header)? };
        let draft = self.draft(&parent.header, &state, None, plan, Source::Runnable(transactions))?;
        self.seal(self.built(alone, parent, state, draft, started))
    }

    /// Builds a block of `plan` on the head without committing it: of exactly these transactions, or of what waits. Root, hash and size are
    /// filled in. Gives the EIP-7685 requests as well.
    ///
    /// # Errors
    /// The first transaction that the block cannot take, or what the engine refuses.
    pub fn assemble(
        &self,
        plan: BlockPlan,
        transactions: Option<Vec<Arc<PoolTransaction>>>,
    ) -> Result<(StoredBlock, Vec<Bytes>), ChainError> {
        // The root is that of the newest state with changes: no block may come in between.
        let _alone = self.produce_alone();
        let (parent, state) = self.head_with_state();
        let source = transactions.map_or(Source::Pool, Source::Each);
        let Draft { mut block, output, .. } = self.draft(&parent.header, &state, None, plan, source)?;
        block.header.state_root = self.state().root_after(&output.changes)?;
        block.hash = block.header.hash_slow();
        block.size = block.to_consensus().length();
        Ok((block, output.requests))
    }

    /// A block of what `source` holds, on `state`, that after `parent`, whose hash may be `awaited`.
    pub(crate) fn draft<R: StateReader<Error = StateError> + Sync>(
        &self,
        parent: &Header,
        state: &R,
        awaited: Option<AwaitedHash>,
        plan: BlockPlan,
        source: Source,
    ) -> Result<Draft, ChainError> {
        let number = parent.number + 1;
        let invalid = |reason: String| ChainError::Block { number, reason };
        let withdrawals = plan.withdrawals.clone();
        let mut builder = BlockBuilder::awaiting(&self.spec, parent, attributes(plan), state, awaited)
            .map_err(|error| invalid(error.to_string()))?;
        let all = matches!(source, Source::Each(_));
        let mut best = match source {
            Source::Pool => self.waitroom().pool.best(builder.env().base_fee_wei),
            Source::After(changes) => {
                let nonce = |sender: &Address| changes.accounts.get(sender)?.info.map(|account| account.nonce);
                self.waitroom().pool.best_after(builder.env().base_fee_wei, nonce)
            }
            Source::Each(given) | Source::Runnable(given) => Best::given(given),
        };
        let mut taken: Vec<Arc<PoolTransaction>> = Vec::new();
        let mut rejected = Vec::new();
        // Nothing costs less gas than this (yellow paper 6.2). Where there is more, some of what waits may fit though others do not: a batch is
        // tried of which nothing fits, and no other after it.
        const LEAST_GAS: u64 = 21_000;
        let mut full = false;
        while all || !(full || builder.gas_left() < LEAST_GAS) {
            // A sender's next one is tried too, whatever becomes of this one: if it does not run, neither does the next.
            let next = || best.pop().inspect(|transaction| best.accept(transaction));
            let batch: Vec<Arc<PoolTransaction>> = core::iter::from_fn(next).take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            let mut refusals: Vec<(usize, TxError)> = Vec::new();
            let pushed = self.push_batch(&mut builder, &batch, state, |index, error| match error {
                EvmError::Transaction(error) if !all => {
                    refusals.push((index, error));
                    Ok(())
                }
                error => Err(error),
            });
            pushed.map_err(|error| match error {
                EvmError::Transaction(error) => ChainError::Unfit(error.to_string()),
                EvmError::State(error) => error.into(),
                EvmError::Interpreter(reason) => ChainError::Interpreter(reason),
                error @ EvmError::Interrupted => ChainError::Interpreter(error.to_string()),
            })?;
            let room = |(_, error): &(_, TxError)| {
                matches!(error, TxError::GasAboveBlock { .. } | TxError::BlockTooLarge { .. })
            };
            full = refusals.len() == batch.len() && refusals.iter().all(room);
            let mut refusals = refusals.into_iter().peekable();
            for (index, transaction) in batch.into_iter().enumerate() {
                match refusals.next_if(|(refused, _)| *refused == index) {
                    Some((_, error)) => refuse(&mut best, &mut rejected, &transaction, &error),
                    None => taken.push(transaction),
                }
            }
        }
        let output = self.finish(builder).map_err(|error| invalid(error.to_string()))?;
        if !output.receipts_root_known {
            return Err(invalid(
                "receipts hold state roots before Byzantium; such blocks are imported, not built".into(),
            ));
        }
        let (transactions, senders) = taken.iter().map(|tx| (tx.envelope.clone(), tx.sender)).unzip();
        let withdrawals = output.header.withdrawals_root.map(|_| Withdrawals::new(withdrawals));
        let block = StoredBlock {
            header: output.header.clone(),
            hash: B256::ZERO,
            transactions,
            senders,
            receipts: receipts_of(&output),
            ommers: Vec::new(),
            withdrawals,
            size: 0,
        };
        Ok(Draft { block, output, rejected })
    }
}

/// What a transaction that does not run means for its sender and for itself.
fn refuse(best: &mut Best, rejected: &mut Vec<B256>, transaction: &PoolTransaction, error: &TxError) {
    best.skip(transaction);
    // Some only do not fit here and may fit the next block; the others never will.
    let later = matches!(
        error,
        TxError::GasAboveBlock { .. }
            | TxError::BlobGasAboveBlock { .. }
            | TxError::BlockTooLarge { .. }
            | TxError::FeeCapBelowBaseFee { .. }
            | TxError::BlobFeeCapTooLow { .. }
            | TxError::NonceTooHigh { .. }
    );
    if !later {
        tracing::debug!(hash = %transaction.hash, %error, "transaction dropped from the pool");
        rejected.push(transaction.hash);
    }
}

fn attributes(plan: BlockPlan) -> Attributes {
    Attributes {
        timestamp: plan.timestamp,
        beneficiary: plan.beneficiary,
        gas_limit: plan.gas_limit,
        prev_randao: plan.prev_randao,
        extra_data: plan.extra_data,
        withdrawals: plan.withdrawals,
        parent_beacon_block_root: plan.parent_beacon_block_root,
        base_fee_wei: plan.base_fee_wei,
        ..Attributes::default()
    }
}

pub(crate) fn receipts_of(output: &BlockOutput) -> Vec<StoredReceipt> {
    let mut first_log = 0;
    let pairs = output.receipts.iter().zip(&output.outcomes);
    pairs
        .map(|(envelope, outcome)| {
            let receipt = StoredReceipt {
                envelope: envelope.clone(),
                gas_used: outcome.gas_used,
                created: outcome.created,
                first_log,
                console: outcome.console,
            };
            first_log += envelope.logs().len() as u64;
            receipt
        })
        .collect()
}
