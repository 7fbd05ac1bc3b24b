//! From a draft to a block of the chain: one is built while the one before is sealed.
//!
//! To seal a block is to compute its state root, to verify and certify it, to write it to the log, and to commit it. `production` says whose turn
//! it is.
//!
//! Invariant: a block is the one that would have been made after the one before was committed; if that one fails, so does what was built on it.

use std::panic::resume_unwind;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use alloy_primitives::{Address, B256};
use alloy_rlp::Encodable;
use interlace_state::{Snapshot, Unsealed};
use interlace_stf::{AwaitedHash, Changes};

use crate::api::BlockPlan;
use crate::chain::Chain;
use crate::dev::DevOrderer;
use crate::error::ChainError;
use crate::produce::{Draft, Source};
use crate::production::{Building, Parent, Turn};
use crate::store::StoredBlock;

/// A block that is built, whose turn it is to be sealed.
pub(crate) struct Built<'a> {
    parent: Arc<StoredBlock>,
    block: StoredBlock,
    changes: Arc<Changes>,
    /// The state root that a foreign header states.
    expected: Option<B256>,
    started: Instant,
    turn: Turn<'a>,
}

impl Built<'_> {
    /// The same, refused if its state root is another one.
    pub(crate) fn expecting(self, root: B256) -> Self {
        Self { expected: Some(root), ..self }
    }
}

/// What can be had before the parent is sealed.
enum Ahead {
    Draft(Box<Draft>),
    /// What the block after this number is to carry: it has to wait.
    Plan(u64, Box<BlockPlan>),
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
            Some(Ok(Ahead::Draft(draft))) if draft.block.header.parent_hash == parent.hash => {
                self.metrics().blocks_overlapped.inc();
                *draft
            }
            Some(Ok(Ahead::Plan(number, plan))) if number == parent.number() => {
                self.draft(&parent.header, &below, None, *plan, Source::Pool)?
            }
            // The block before came to nothing, or what went wrong will go wrong again.
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

    /// A block on one that is being sealed, as far as that need not be there first.
    fn draft_ahead(&self, parent: &Parent) -> Result<Ahead, ChainError> {
        let Parent { header, state } = parent;
        let plan = self.orderer.propose(header)?;
        let Some(awaited) = AwaitedHash::of(&self.spec, header.number, plan.timestamp, state)? else {
            return Ok(Ahead::Plan(header.number, Box::new(plan)));
        };
        let after = Source::After(Arc::clone(state.changes()));
        let draft = self.draft(header, &state.with_hash_at(awaited.slot()), Some(awaited), plan, after)?;
        Ok(Ahead::Draft(Box::new(draft)))
    }

    /// A draft on the head, which is sealed from now on.
    pub(crate) fn built(
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

    /// Computes the root of a block that was built, verifies, certifies and commits it.
    pub(crate) fn seal(&self, built: Built<'_>) -> Result<Arc<StoredBlock>, ChainError> {
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
