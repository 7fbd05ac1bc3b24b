//! Executing blocks on all cores: what the chain has of the executor, and what it counts of it.
//!
//! Invariant: a block has the transactions that it would have had if each had been pushed alone, and what comes out is the same.
//! Bounds: of what waits, [`BATCH`] transactions at a time are tried.

use std::sync::{Arc, OnceLock};
use std::thread;

use alloy_eip7928::AccountChanges;
use alloy_primitives::Address;
use interlace_executor::{Executor, LEAST_TRANSACTIONS, Lesson, ListError, Predictor, Report, Straight, Subject};
use interlace_state::{Snapshot, StateError};
use interlace_stf::{
    Block, BlockBuilder, BlockError, BlockOutput, CodeTier, EvmError, Header, StateReader, StateRoots, Transaction,
    execute, validate_header,
};

use crate::chain::Chain;
use crate::pool::PoolTransaction;

/// Transactions of the pool that are tried together.
pub(crate) const BATCH: usize = 512;

/// How blocks are executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutionConfig {
    /// Threads, from 1 to [`interlace_executor::MAX_THREADS`]; as many as the machine has cores if it is not said.
    pub threads: Option<usize>,
    /// How it is predicted which transactions meet.
    pub predictor: Predictor,
    /// What executes code.
    pub vm: CodeTier,
}

/// The executor, from the first block on that is worth its threads; none if the system gives no threads.
#[derive(Debug, Default)]
pub(crate) struct Engine {
    execution: ExecutionConfig,
    executor: OnceLock<Option<Executor>>,
}

impl Engine {
    pub(crate) const fn new(execution: ExecutionConfig) -> Self {
        Self { execution, executor: OnceLock::new() }
    }

    fn get(&self, transactions: usize) -> Option<&Executor> {
        if transactions < LEAST_TRANSACTIONS {
            return None;
        }
        let make = || {
            let ExecutionConfig { threads, predictor, .. } = self.execution;
            let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into));
            Some(Executor::new(threads.min(interlace_executor::MAX_THREADS)).ok()?.predicting(predictor))
        };
        self.executor.get_or_init(make).as_ref()
    }
}

impl Chain {
    /// Executes blocks so. Call it before there are any.
    #[must_use]
    pub fn executing(mut self, execution: ExecutionConfig) -> Self {
        self.state().codes().choose(execution.vm);
        self.engine = Engine::new(execution);
        self
    }

    /// What a predictor may learn from, since this was last asked; see `interlace_executor::Executor::take_lessons`.
    pub fn take_lessons(&self) -> Vec<Lesson> {
        self.engine.get(LEAST_TRANSACTIONS).map(Executor::take_lessons).unwrap_or_default()
    }

    /// What a predictor says from now on; see `interlace_executor::Executor::give`.
    pub fn give_weights(&self, weights: impl IntoIterator<Item = (Subject, u8)>) {
        if let Some(executor) = self.engine.get(LEAST_TRANSACTIONS) {
            executor.give(weights);
        }
    }

    fn executed(&self, report: Report) {
        self.metrics().executed_ahead.inc_by(report.adopted);
        self.metrics().executed_in_vain.inc_by(report.redone);
    }

    /// Executes a block that exists, with its access list if one is given, and says whether the list is the block's.
    pub(crate) fn execute(
        &self,
        parent: &Header,
        block: &Block,
        senders: &[Address],
        state: &Snapshot,
        roots: StateRoots<'_, StateError>,
        list: Option<&[AccountChanges]>,
    ) -> Result<(BlockOutput, Result<(), ListError>), BlockError<StateError>> {
        // A list is checked however short the block.
        let transactions = if list.is_some() { LEAST_TRANSACTIONS } else { block.body.transactions.len() };
        let Some(executor) = self.engine.get(transactions) else {
            let output = execute(&self.spec, parent, block, senders, state, Some(roots))?;
            return Ok((output, list.map_or(Ok(()), |_| Err(ListError::Unchecked))));
        };
        let (output, report, verdict) = match list {
            Some(list) => {
                validate_header(&self.spec, parent, &block.header)?;
                let (output, followed) =
                    executor.follow(&self.spec, block, senders, state, Some(roots), list, &Straight)?;
                output.verify(&block.header)?;
                self.metrics().access_lists_refused.inc_by(u64::from(followed.list.is_err()));
                (output, followed.report, followed.list)
            }
            None => {
                let (output, report) = executor.execute(&self.spec, parent, block, senders, state, Some(roots))?;
                (output, report, Ok(()))
            }
        };
        self.executed(report);
        Ok((output, verdict))
    }

    /// Puts what fits of `batch` into the block; `refused` hears of each that does not, and says whether to go on.
    pub(crate) fn push_batch<'s, R: StateReader<Error = StateError> + Sync>(
        &self,
        builder: &mut BlockBuilder<'_, &'s R>,
        batch: &[Arc<PoolTransaction>],
        state: &'s R,
        mut refused: impl FnMut(usize, EvmError<StateError>) -> Result<(), EvmError<StateError>>,
    ) -> Result<(), EvmError<StateError>> {
        let Some(executor) = self.engine.get(batch.len()) else {
            for (index, transaction) in batch.iter().enumerate() {
                if let Err(error) = builder.push(&transaction.envelope, transaction.sender) {
                    refused(index, error)?;
                }
            }
            return Ok(());
        };
        let list: Vec<(&Transaction, Address)> = batch.iter().map(|tx| (&tx.envelope, tx.sender)).collect();
        let report = executor.push_all(builder, &list, state, &Straight, refused).map_err(|(_, error)| error)?;
        self.executed(report);
        Ok(())
    }

    /// Ends a block, its roots side by side if it is large.
    pub(crate) fn finish<R: StateReader<Error = StateError> + Sync>(
        &self,
        builder: BlockBuilder<'_, &R>,
    ) -> Result<BlockOutput, BlockError<StateError>> {
        match self.engine.get(builder.outcomes().len()) {
            Some(executor) => builder.finish_on(executor),
            None => builder.finish(),
        }
    }
}
