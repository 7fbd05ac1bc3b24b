//! Making blocks from the pool, and taking blocks that others made.
//!
//! Invariant: a block enters the chain only with the results of its own execution and the state root that they give; whatever is
//! refused leaves state, store and pool as they were (but for transactions that can never run, which leave the pool).
//! What it does not do: it decides no order between forks; a foreign block extends the head or is refused.

use std::panic::resume_unwind;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{Address, B256, Bytes};
use alloy_rlp::Encodable;
use interlace_state::{Snapshot, StateError, StateReader, Unsealed};
use interlace_stf::{
    Attributes, AwaitedHash, Block, BlockBuilder, BlockOutput, Changes, EvmError, TxError, decode_block, recover_sender,
};
use rayon::prelude::*;

use crate::api::BlockPlan;
use crate::chain::Chain;
use crate::dev::DevOrderer;
use crate::engine::BATCH;
use crate::error::ChainError;
use crate::pool::{Best, PoolTransaction};
use crate::production::{Building, Parent, Turn};
use crate::store::{StoredBlock, StoredReceipt};

/// A block that is built or executed, and not yet committed.
#[derive(Debug)]
pub struct Draft {
    /// The block; its state root and hash are filled in by the commit.
    pub block: StoredBlock,
    /// What it changes.
    pub output: BlockOutput,
    /// Transactions that turned out to be impossible.
    rejected: Vec<B256>,
}

/// A block that is built, whose turn it is to be sealed.
struct Built<'a> {
    parent: Arc<StoredBlock>,
    block: StoredBlock,
    changes: Arc<Changes>,
    /// The state root that a foreign header states.
    expected: Option<B256>,
    started: Instant,
    turn: Turn<'a>,
}

/// Where the transactions of a block come from.
#[derive(Debug)]
enum Source {
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
    /// Makes one block now from whatever is ready, nothing included.
    ///
    /// # Errors
    /// What the orderer or the engine refuses.
    pub fn produce(&self) -> Result<Arc<StoredBlock>, ChainError> {
        let building = self.production.build();
        let built = self.build(&building)?;
        drop(building);
        self.seal(built)
    }

    /// Makes blocks of whatever is ready as long as `go_on`, asked after each, says so: while one gets its root, enters the log and is committed,
    /// the next one is executed.
    ///
    /// # Errors
    /// As [`Self::produce`]; the blocks before are there.
    pub fn produce_while(&self, mut go_on: impl FnMut() -> bool) -> Result<(), ChainError> {
        thread::scope(|scope| {
            // At most one is on its way: the next one is built only when it is sealed.
            let (sender, receiver) = mpsc::channel::<Built<'_>>();
            let seal = move || receiver.iter().try_for_each(|built| self.seal(built).map(drop));
            let sealer = thread::Builder::new()
                .name("interlace-sealer".into())
                .spawn_scoped(scope, seal)
                .map_err(|error| ChainError::Developer(format!("no sealing thread: {error}")))?;
            let build = || {
                self.production.give_way();
                let building = self.production.build();
                self.build(&building)
            };
            let built = loop {
                match build() {
                    // A sealer that is gone has failed, and says why.
                    Ok(built) => {
                        if sender.send(built).is_err() || !go_on() {
                            break Ok(());
                        }
                    }
                    Err(error) => break Err(error),
                }
            };
            drop(sender);
            sealer.join().unwrap_or_else(|panic| resume_unwind(panic)).and(built)
        })
    }

    pub(crate) fn produce_in(&self, alone: &Building<'_>) -> Result<Arc<StoredBlock>, ChainError> {
        let built = self.build(alone)?;
        self.seal(built)
    }

    /// Builds the next block: on the one that is being sealed, if there is one, and else on the head. Waits until it can be sealed.
    fn build(&self, building: &Building<'_>) -> Result<Built<'_>, ChainError> {
        let started = Instant::now();
        let ahead = self.production.parent().map(|parent| self.draft_ahead(&parent));
        self.production.wait(building);
        let (parent, below) = self.head_with_state();
        let draft = match ahead {
            Some(Ok(Some(draft))) if draft.block.header.parent_hash == parent.hash => {
                self.metrics().blocks_overlapped.inc();
                draft
            }
            // The block before came to nothing, or has to be there first, or what went wrong will go wrong again.
            _ => {
                let plan = self.orderer.propose(&parent.header)?;
                self.draft(&parent.header, &below, None, plan, Source::Pool)?
            }
        };
        if !draft.rejected.is_empty() {
            let mut waitroom = self.waitroom();
            for hash in &draft.rejected {
                waitroom.pool.remove(hash);
            }
        }
        Ok(self.built(building, parent, below, draft, started))
    }

    /// A block on one that is being sealed; none if it must be there first.
    fn draft_ahead(&self, parent: &Parent) -> Result<Option<Draft>, ChainError> {
        let Parent { header, state } = parent;
        let plan = self.orderer.propose(header)?;
        let Some(awaited) = AwaitedHash::of(&self.spec, header.number, plan.timestamp, state)? else { return Ok(None) };
        let state = state.with_hash_at(awaited.slot());
        self.draft(header, &state, Some(awaited), plan, Source::After(Arc::clone(parent.state.changes()))).map(Some)
    }

    /// A draft on the head, which is sealed from now on.
    fn built(
        &self,
        alone: &Building<'_>,
        parent: Arc<StoredBlock>,
        below: Snapshot,
        mut draft: Draft,
        started: Instant,
    ) -> Built<'_> {
        let changes = Arc::new(core::mem::take(&mut draft.output.changes));
        let state = Unsealed::new(below, Arc::clone(&changes));
        let turn = self.production.seal(alone, draft.block.header.clone(), state);
        Built { parent, block: draft.block, changes, expected: None, started, turn }
    }

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
    fn draft<R: StateReader<Error = StateError> + Sync>(
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
        let attributes = attributes(plan);
        let builder = match awaited {
            None => BlockBuilder::new(&self.spec, parent, attributes, state),
            Some(awaited) => BlockBuilder::awaiting(&self.spec, parent, attributes, state, awaited),
        };
        let mut builder = builder.map_err(|error| invalid(error.to_string()))?;
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

    /// Executes and commits a block that someone else built, given as RLP. It must extend the head.
    ///
    /// # Errors
    /// [`ChainError::Block`] with the rule that it breaks; nothing changed then.
    pub fn import(&self, rlp: &[u8]) -> Result<Arc<StoredBlock>, ChainError> {
        let block = decode_block(rlp).map_err(|reason| ChainError::Block { number: 0, reason })?;
        let number = block.header.number;
        let invalid = |reason: String| ChainError::Block { number, reason };
        let fork = self.spec.fork_at(number, block.header.timestamp);
        let senders: Vec<Address> = block
            .body
            .transactions
            .par_iter()
            .map(|transaction| recover_sender(transaction, fork))
            .collect::<Result<_, _>>()
            .map_err(|error| invalid(error.to_string()))?;
        let started = Instant::now();
        let alone = self.produce_alone();
        let (parent, state) = self.head_with_state();
        if block.header.parent_hash != parent.hash {
            return Err(invalid(format!("parent {} is not the head {}", block.header.parent_hash, parent.hash)));
        }
        let versions = self.state();
        let mut roots = |changes: &Changes| versions.root_after(changes);
        let output = self
            .execute(&parent.header, &block, &senders, &state, &mut roots)
            .map_err(|error| invalid(error.to_string()))?;
        let expected = block.header.state_root;
        let draft = Draft { block: stored(block, senders, &output), output, rejected: Vec::new() };
        let block =
            self.seal(Built { expected: Some(expected), ..self.built(&alone, parent, state, draft, started) })?;
        if let Ok(developer) = self.developer() {
            developer.settle(number);
        }
        Ok(block)
    }

    /// Computes the root of a block that was built, verifies, certifies and commits it.
    fn seal(&self, built: Built<'_>) -> Result<Arc<StoredBlock>, ChainError> {
        let Built { parent, mut block, changes, expected, started, turn } = built;
        let number = block.number();
        self.orderer.verify(&parent.header, &block.header)?;
        let accounts = changes.accounts.iter();
        let nonces: Vec<(Address, u64)> =
            accounts.map(|(address, change)| (*address, change.info.map_or(0, |account| account.nonce))).collect();
        // Staged changes are nowhere yet: whatever fails from here to the commit needs no undoing.
        let versions = self.state();
        let staged = versions.stage(changes)?;
        let root = staged.root();
        if let Some(expected) = expected.filter(|expected| *expected != root) {
            let reason = format!("state root is {root}, the header says {expected}");
            return Err(ChainError::Block { number, reason });
        }
        block.header.state_root = root;
        block.hash = block.header.hash_slow();
        block.size = block.to_consensus().length();
        self.orderer.certify(&block.header, block.hash)?;
        self.record_block(&block, &staged, expected.is_some())?;
        let state = versions.commit(number, block.hash, staged)?;
        turn.committed(&state);
        let block = self.commit(block, state, &nonces);
        if self.orderer.developer().is_none_or(DevOrderer::logs_blocks) {
            tracing::info!(
                number,
                hash = %block.hash,
                transactions = block.transactions.len(),
                gas_used = block.header.gas_used,
                "block committed"
            );
        }
        self.metrics().block_seconds.observe(started.elapsed().as_secs_f64());
        Ok(block)
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

fn receipts_of(output: &BlockOutput) -> Vec<StoredReceipt> {
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

pub(crate) fn stored(block: Block, senders: Vec<Address>, output: &BlockOutput) -> StoredBlock {
    StoredBlock {
        receipts: receipts_of(output),
        hash: B256::ZERO,
        size: 0,
        senders,
        header: block.header,
        transactions: block.body.transactions,
        ommers: block.body.ommers,
        withdrawals: block.body.withdrawals,
    }
}
