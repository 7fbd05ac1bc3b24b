//! Blocks of a kind and size of choice, executed by each engine, for `interlace bench exec`.
//!
//! Invariant: every output is compared with the sequential engine's.
//! What it does not do: it takes no median; the caller repeats.

mod blocks;
mod code;
mod kernel;

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use alloy_eip7928::BlockAccessList;
use interlace_evm::Plain;
use interlace_stf::{BlockEnv, BlockOutput, CodeTier, StateReader, TxRequest, request_of, run};

pub use self::blocks::{NAMES, Synthetic, World, synthetic};
pub use self::kernel::{BenchKernel, KernelRound};
use crate::pace::Straight;
use crate::report::Report;
use crate::{Executor, ThreadsError};

/// Transactions of a block at most.
pub const MAX_TRANSACTIONS: u64 = 1_000_000;

/// What was timed went wrong, or there is nothing to time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BenchError {
    /// No block of that name.
    #[error("no block is called {0:?}")]
    Unknown(String),
    /// An engine refused the block, or gave something else than the sequential one.
    #[error("what was timed is wrong: {0}")]
    Differs(String),
    /// No such executor.
    #[error("{0}")]
    Threads(#[from] ThreadsError),
}

impl BenchError {
    /// Stable identifier of the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "engine.bench-unknown",
            Self::Differs(_) => "engine.bench-differs",
            Self::Threads(_) => "engine.threads",
        }
    }
}

/// Seconds that each engine took for one block.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// revm alone, always with its interpreter: no receipts, no roots, no overlay of ours.
    pub plain: f64,
    /// The sequential engine.
    pub sequential: f64,
    /// The sequential engine, on as many threads as the executor has, each with the block to itself: what the machine gives at best is this
    /// many blocks in that time.
    pub beside: f64,
    /// The executor.
    pub parallel: f64,
    /// The same, and the block's access list.
    pub listing: f64,
    /// The executor with the block's access list.
    pub follow: f64,
    /// What the executor came to without.
    pub report: Report,
}

/// A block, and the engines to execute it with.
#[derive(Debug)]
pub struct BenchBlock {
    made: Synthetic,
    expected: BlockOutput,
    list: BlockAccessList,
    executor: Executor,
}

impl BenchBlock {
    /// The block `name` of `transactions`, for an executor of `threads`, on a state of which reading an account or a slot takes `delay` longer; `tier`
    /// executes code.
    ///
    /// # Errors
    /// [`BenchError`].
    pub fn new(
        name: &str,
        transactions: u64,
        threads: usize,
        delay: Duration,
        tier: CodeTier,
    ) -> Result<Self, BenchError> {
        let made = synthetic(name, transactions.min(MAX_TRANSACTIONS));
        let mut made = made.ok_or_else(|| BenchError::Unknown(name.to_owned()))?.map_err(BenchError::Differs)?;
        made.world.execute_by(tier);
        let expected = sequential(&made)?;
        made.world.delay = delay;
        let mut block = Self { made, expected, list: BlockAccessList::new(), executor: Executor::new(threads)? };
        block.list = block.listed()?;
        Ok(block)
    }

    /// Gas of the block.
    #[must_use]
    pub const fn gas(&self) -> u64 {
        self.expected.gas_used()
    }

    /// Executes the block with each engine.
    ///
    /// # Errors
    /// [`BenchError::Differs`].
    pub fn round(&self) -> Result<Round, BenchError> {
        let made = &self.made;
        let plain = self.plain()?;
        let (one, sequential) = timed(|| sequential(made));
        self.same(&one?)?;
        let (many, parallel) =
            timed(|| self.executor.run(&made.spec, &made.block, &made.senders, &made.world, None, &Straight));
        let (output, report) = many.map_err(|error| BenchError::Differs(error.to_string()))?;
        self.same(&output)?;
        let (list, listing) = timed(|| self.listed());
        if list? != self.list {
            return Err(BenchError::Differs("two executions give different access lists".to_owned()));
        }
        let follow = self.follow()?;
        Ok(Round { plain, sequential, beside: self.beside()?, parallel, listing, follow, report })
    }

    fn listed(&self) -> Result<BlockAccessList, BenchError> {
        let made = &self.made;
        let (output, _) = self
            .executor
            .list(&made.spec, &made.block, &made.senders, &made.world, None, &Straight)
            .map_err(|error| BenchError::Differs(error.to_string()))?;
        self.same(&output)?;
        Ok(output.accesses.map(|accesses| accesses.list()).unwrap_or_default())
    }

    fn follow(&self) -> Result<f64, BenchError> {
        let (made, list) = (&self.made, &self.list);
        let (followed, seconds) =
            timed(|| self.executor.follow(&made.spec, &made.block, &made.senders, &made.world, None, list, &Straight));
        let (output, followed) = followed.map_err(|error| BenchError::Differs(error.to_string()))?;
        self.same(&output)?;
        followed.list.map_err(|error| BenchError::Differs(error.to_string()))?;
        Ok(seconds)
    }

    fn same(&self, output: &BlockOutput) -> Result<(), BenchError> {
        let expected = &self.expected;
        let same = expected.header == output.header
            && expected.changes == output.changes
            && expected.receipts == output.receipts
            && expected.outcomes == output.outcomes;
        if same { Ok(()) } else { Err(BenchError::Differs("two engines give different blocks".to_owned())) }
    }

    fn plain(&self) -> Result<f64, BenchError> {
        let wrong = |error: String| BenchError::Differs(error);
        let made = &self.made;
        let mut plain = Plain::new(&BlockEnv::from_header(&made.spec, &made.block.header));
        for (address, account, slots) in made.world.accounts() {
            let code = if account.is_empty() || account.code_hash == alloy_primitives::KECCAK256_EMPTY {
                Default::default()
            } else {
                made.world.code(account.code_hash).map_err(|error| wrong(error.to_string()))?
            };
            plain.insert(address, &account, code, slots.into_iter());
        }
        let requests: Vec<TxRequest> = made
            .block
            .body
            .transactions
            .iter()
            .zip(&made.senders)
            .map(|(tx, sender)| request_of(tx, *sender))
            .collect();
        let (gas, seconds) = timed(|| {
            let mut gas = 0;
            for request in &requests {
                gas += plain.execute(request).map_err(|error| wrong(error.to_string()))?.gas_used;
            }
            Ok::<u64, BenchError>(gas)
        });
        if gas? == self.gas() { Ok(seconds) } else { Err(wrong("revm alone uses other gas".to_owned())) }
    }

    fn beside(&self) -> Result<f64, BenchError> {
        let threads = self.executor.threads();
        let (start, made) = (Barrier::new(threads), &self.made);
        thread::scope(|scope| {
            let one = || {
                start.wait();
                let (output, seconds) = timed(|| sequential(made));
                output.map(|_| seconds)
            };
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            running.into_iter().try_fold(0.0, |longest: f64, thread| match thread.join() {
                Ok(seconds) => Ok(longest.max(seconds?)),
                Err(_) => Err(BenchError::Differs("a thread panicked".to_owned())),
            })
        })
    }
}

fn sequential(made: &Synthetic) -> Result<BlockOutput, BenchError> {
    run(&made.spec, &made.block, &made.senders, &made.world, None)
        .map_err(|error| BenchError::Differs(error.to_string()))
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64())
}
