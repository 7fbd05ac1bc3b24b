//! One block on all cores, with the result of one.
//!
//! ```text
//!   committer   0 ─ 1 ─ 2 ─────── 3 ─ 4 ─ 5 ...     in order; takes over what was executed ahead, executes what was not
//!   helpers         2   4   3   6   5 ...           ahead, on the state that the committer had when they began
//! ```
//! The committer is the sequential engine: `interlace_stf::BlockBuilder`, which decides about every transaction when its turn has come. A helper
//! executes a transaction ahead and logs what it read; when the turn has come, the log is compared with the state as it is then. If it
//! fits, what the transaction did is taken over, if not, the committer executes the transaction. There are no waves of validation and no
//! transaction is executed ahead twice, so a block in which everything depends on everything costs what it costs on one core.
//!
//! While the next transaction is still being executed by a helper, the committer is a helper too.
//!
//! Why Rust: this is the loop around every transaction of every block.
//!
//! Invariant: the output equals `interlace_stf::run`'s: receipts, logs, gas, changes, and the error of a transaction that is not valid. A helper that
//! panics or is too late changes nothing; no helper outlives the call.
//! Source: Besu's in-order adoption and the lazy balances of pevm, see docs/decisions; what may be taken over is `interlace_evm::Speculation`.
//! What it does not do: it computes no state root and recovers no senders.

#![forbid(unsafe_code)]

mod ahead;
pub mod bench;
mod commit;
mod follow;
pub mod graph;
mod listed;
mod pace;
mod plan;
mod prefetch;
mod report;
mod slots;
mod weights;
mod work;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use alloy_consensus::Transaction as _;
use alloy_primitives::Address;
use interlace_primitives::ChainSpec;
use interlace_stf::{
    Block, BlockBuilder, BlockEnv, BlockError, BlockOutput, Changes, Checks, EvmError, Header, Join, Overlay,
    StateReader, StateRoots, Transaction, TxOutcome, TxRequest, Vm, begin, validate_header,
};

pub use self::ahead::MAX_AHEAD;
use self::ahead::{Given, Shared};
use self::commit::{Refused, Turns};
pub use self::follow::Followed;
pub use self::listed::ListError;
pub use self::pace::{Delays, Pace, Point, Straight};
use self::plan::Plan;
pub use self::report::Report;
use self::weights::{GivenWeights, Source, Weights};
pub use self::weights::{Lesson, MAX_HISTORY, Predictor, Subject, WAITS};
pub use self::work::{LEAST_TRANSACTIONS, LEAST_WORK};
use self::work::{work_of, work_within};

/// Threads that may be asked for.
pub const MAX_THREADS: usize = 256;
/// No executor with so many threads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no executor with {threads} threads, of 1 to {MAX_THREADS}: {reason}")]
pub struct ThreadsError {
    /// Threads asked for.
    pub threads: usize,
    /// Why not.
    pub reason: String,
}

/// A transaction that ended everything, and why.
pub type Refusal<E> = (usize, EvmError<E>);

/// Executes blocks, one at a time. On a thread of a rayon pool it does so alone.
#[derive(Debug)]
pub struct Executor {
    threads: usize,
    /// Blocks of fewer transactions are left to the committer.
    least: usize,
    /// And of less work.
    least_work: u64,
    /// The helpers; none for one thread.
    pool: Option<rayon::ThreadPool>,
    /// Those who read ahead, from the first time on that there is something to read; none if the system gives no threads.
    readers: OnceLock<Option<rayon::ThreadPool>>,
    predictor: Predictor,
    weights: Mutex<Weights>,
    given: Mutex<Arc<GivenWeights>>,
    /// What was seen and nobody took yet; kept for whoever gives weights.
    lessons: Mutex<Vec<Lesson>>,
    learns: AtomicBool,
}

impl Executor {
    /// One that has `threads` threads: whoever calls it, and helpers.
    ///
    /// # Errors
    /// Zero, or above [`MAX_THREADS`], or the system gives no threads.
    pub fn new(threads: usize) -> Result<Self, ThreadsError> {
        let refuse = |reason: String| ThreadsError { threads, reason };
        if threads == 0 || threads > MAX_THREADS {
            return Err(refuse("out of range".to_owned()));
        }
        let named = |number| format!("executor-{number}");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads - 1).thread_name(named);
        let pool = if threads > 1 { Some(pool.build().map_err(|error| refuse(error.to_string()))?) } else { None };
        Ok(Self {
            threads,
            least: LEAST_TRANSACTIONS,
            least_work: LEAST_WORK,
            pool,
            readers: OnceLock::new(),
            predictor: Predictor::default(),
            weights: Mutex::default(),
            given: Mutex::default(),
            lessons: Mutex::default(),
            learns: AtomicBool::new(true),
        })
    }

    /// Predicts so which transactions meet.
    #[must_use]
    pub const fn predicting(mut self, predictor: Predictor) -> Self {
        self.predictor = predictor;
        self
    }

    /// How it predicts.
    #[must_use]
    pub const fn predictor(&self) -> Predictor {
        self.predictor
    }

    /// Learns from what it executes from now on, or not: whoever executes a block several times may want it to be new each time.
    pub fn learn(&self, learns: bool) {
        self.learns.store(learns, Ordering::Relaxed);
    }

    /// Goes by these weights from the next block on, and by no others; see [`Predictor::Given`]. Of more than [`MAX_HISTORY`], the first.
    pub fn give(&self, weights: impl IntoIterator<Item = (Subject, u8)>) {
        let weights = Arc::new(GivenWeights::new(weights));
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = weights;
    }

    /// Takes what was seen since this was last asked, block after block; of more than [`MAX_HISTORY`], the first. Seen is something only by
    /// executors that go by given weights.
    pub fn take_lessons(&self) -> Vec<Lesson> {
        std::mem::take(&mut *self.lessons.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Uses helpers for blocks of `least` transactions and more, instead of [`LEAST_TRANSACTIONS`], however little they are.
    #[must_use]
    pub const fn from_transactions(mut self, least: usize) -> Self {
        (self.least, self.least_work) = (least, 0);
        self
    }

    /// Threads, the caller's included.
    #[must_use]
    pub const fn threads(&self) -> usize {
        self.threads
    }

    /// As `interlace_stf::execute`, on all threads.
    ///
    /// # Errors
    /// As there.
    pub fn execute<R: StateReader + Sync>(
        &self,
        spec: &ChainSpec,
        parent: &Header,
        block: &Block,
        senders: &[Address],
        state: &R,
        roots: Option<StateRoots<'_, R::Error>>,
    ) -> Result<(BlockOutput, Report), BlockError<R::Error>> {
        validate_header(spec, parent, &block.header)?;
        let (output, report) = self.run(spec, block, senders, state, roots, &Straight)?;
        output.verify(&block.header)?;
        Ok((output, report))
    }

    /// As `interlace_stf::run`, on all threads; `pace` may hold them up.
    ///
    /// # Errors
    /// As there.
    pub fn run<R: StateReader + Sync>(
        &self,
        spec: &ChainSpec,
        block: &Block,
        senders: &[Address],
        state: &R,
        roots: Option<StateRoots<'_, R::Error>>,
        pace: &impl Pace,
    ) -> Result<(BlockOutput, Report), BlockError<R::Error>> {
        let builder = begin(spec, block, senders, state, roots)?;
        self.fill(builder, block, senders, state, pace)
    }

    /// As [`Self::run`], and the output tells what was reached: `BlockOutput::accesses`.
    ///
    /// # Errors
    /// As there.
    pub fn list<R: StateReader + Sync>(
        &self,
        spec: &ChainSpec,
        block: &Block,
        senders: &[Address],
        state: &R,
        roots: Option<StateRoots<'_, R::Error>>,
        pace: &impl Pace,
    ) -> Result<(BlockOutput, Report), BlockError<R::Error>> {
        let mut builder = begin(spec, block, senders, state, roots)?;
        builder.list_accesses();
        self.fill(builder, block, senders, state, pace)
    }

    /// Executes the transactions of `block` in `builder` and ends it.
    fn fill<'s, R: StateReader + Sync>(
        &self,
        mut builder: BlockBuilder<'_, &'s R>,
        block: &Block,
        senders: &[Address],
        state: &'s R,
        pace: &impl Pace,
    ) -> Result<(BlockOutput, Report), BlockError<R::Error>> {
        let report = self.push_block(&mut builder, block, senders, state, pace)?;
        // What is not worth helpers is not worth one for its roots either.
        let worth = self.helpers_of(block, false).is_some();
        Ok((if worth { builder.finish_on(self)? } else { builder.finish()? }, report))
    }

    /// Pushes the transactions of `block` into `builder`, which was begun with it on `state`.
    ///
    /// # Errors
    /// The first transaction that is not valid, or the reader's error.
    pub fn push_block<'s, R: StateReader + Sync>(
        &self,
        builder: &mut BlockBuilder<'_, &'s R>,
        block: &Block,
        senders: &[Address],
        state: &'s R,
        pace: &impl Pace,
    ) -> Result<Report, BlockError<R::Error>> {
        let transactions: Vec<(&Transaction, Address)> =
            block.body.transactions.iter().zip(senders.iter().copied()).collect();
        self.push_on(self.helpers_of(block, state.waits()), builder, &transactions, state, pace, &mut |_, error| {
            Err(error)
        })
        .map_err(|(index, error)| BlockError::at(index, *transactions[index].0.tx_hash(), error))
    }

    /// Pushes transactions with their senders into a block on `state`, as `BlockBuilder::push` would one after the other. One that is not valid
    /// goes to `refused`, which says whether to go on without it.
    ///
    /// # Errors
    /// The first error that `refused` gives back, and its transaction.
    pub fn push_all<'s, R: StateReader + Sync>(
        &self,
        builder: &mut BlockBuilder<'_, &'s R>,
        transactions: &[(&Transaction, Address)],
        state: &'s R,
        pace: &impl Pace,
        mut refused: impl FnMut(usize, EvmError<R::Error>) -> Result<(), EvmError<R::Error>>,
    ) -> Result<Report, Refusal<R::Error>> {
        let limits = transactions.iter().fold(0, |sum: u64, (tx, _)| sum.saturating_add((**tx).gas_limit()));
        let helpers = self.helpers(transactions.len(), work_within(transactions.len(), limits), state.waits());
        self.push_on(helpers, builder, transactions, state, pace, &mut refused)
    }

    fn push_on<'s, R: StateReader + Sync>(
        &self,
        helpers: Option<&rayon::ThreadPool>,
        builder: &mut BlockBuilder<'_, &'s R>,
        transactions: &[(&Transaction, Address)],
        state: &'s R,
        pace: &impl Pace,
        refused: &mut Refused<'_, R::Error>,
    ) -> Result<Report, Refusal<R::Error>> {
        let Some(helpers) = helpers else {
            let mut report = Report::default();
            for (index, (tx, sender)) in transactions.iter().enumerate() {
                match builder.push(tx, *sender) {
                    Ok(_) => report.in_turn += 1,
                    Err(error) => refused(index, error).map_err(|error| (index, error))?,
                }
            }
            return Ok(report);
        };
        builder.speculative();
        let begun = Begun::of(builder.env(), builder.overlay());
        let mut turns = commit::Block { builder, transactions };
        self.ahead(helpers, &mut turns, Given::Transactions(transactions), &begun, state, pace, refused)
    }

    /// Executes what transactions ask for in `vm`, a machine on `state`, as [`Vm::execute`] would one after the other.
    ///
    /// # Errors
    /// The first transaction that is not valid, or the reader's error.
    pub fn execute_all<'s, R: StateReader + Sync>(
        &self,
        vm: &mut Vm<&'s R>,
        requests: &[TxRequest],
        state: &'s R,
        pace: &impl Pace,
    ) -> Result<(Vec<TxOutcome>, Report), Refusal<R::Error>> {
        let limits = requests.iter().fold(0u64, |sum, tx| sum.saturating_add(tx.gas_limit));
        let work = work_within(requests.len(), limits);
        let Some(helpers) = self.helpers(requests.len(), work, state.waits()) else {
            let outcomes =
                requests.iter().enumerate().map(|(index, tx)| vm.execute(tx).map_err(|error| (index, error)));
            let outcomes: Vec<TxOutcome> = outcomes.collect::<Result<_, _>>()?;
            let report = Report { in_turn: outcomes.len() as u64, ..Report::default() };
            return Ok((outcomes, report));
        };
        vm.speculative();
        let begun = Begun::of(vm.env(), vm.overlay());
        let mut turns = commit::Bare { vm, outcomes: Vec::with_capacity(requests.len()) };
        let mut refused = |_, error| Err(error);
        let given = Given::Requests(requests);
        let report = self.ahead(helpers, &mut turns, given, &begun, state, pace, &mut refused)?;
        Ok((turns.outcomes, report))
    }

    /// The helpers for so many transactions that are so much work, or however little if reads wait, since threads wait beside each other; none if they are left to the committer. They are if it is a thread of some rayon pool: such a
    /// thread, while it waits for helpers, takes up whatever else that pool has to do, one thing inside the other, until its stack ends.
    fn helpers(&self, transactions: usize, work: u64, waits: bool) -> Option<&rayon::ThreadPool> {
        let worth = transactions >= self.least && (waits || work >= self.least_work);
        self.pool.as_ref().filter(|_| worth && rayon::current_thread_index().is_none())
    }

    /// Those who read ahead; none on a thread of some rayon pool, as with helpers.
    fn readers(&self) -> Option<&rayon::ThreadPool> {
        let named = |number| format!("prefetch-{number}");
        let build = || rayon::ThreadPoolBuilder::new().num_threads(prefetch::READERS).thread_name(named).build().ok();
        if rayon::current_thread_index().is_some() { None } else { self.readers.get_or_init(build).as_ref() }
    }

    /// The helpers for a block, which says itself what gas it uses.
    fn helpers_of(&self, block: &Block, waits: bool) -> Option<&rayon::ThreadPool> {
        let count = block.body.transactions.len();
        self.helpers(count, work_of(count, block.header.gas_used), waits)
    }

    #[allow(clippy::too_many_arguments)]
    fn ahead<'s, R: StateReader + Sync, T: Turns<Reader = &'s R>>(
        &self,
        helpers: &rayon::ThreadPool,
        turns: &mut T,
        given: Given<'_>,
        begun: &Begun,
        state: &'s R,
        pace: &impl Pace,
        refused: &mut Refused<'_, R::Error>,
    ) -> Result<Report, Refusal<R::Error>> {
        let calls = (0..given.len()).map(|transaction| given.call(transaction));
        let plan = match self.predictor {
            Predictor::None => Plan::new(calls, Source::Nowhere),
            Predictor::History => {
                Plan::new(calls, Source::Seen(&self.weights.lock().unwrap_or_else(PoisonError::into_inner)))
            }
            Predictor::Given => {
                let given = Arc::clone(&self.given.lock().unwrap_or_else(PoisonError::into_inner));
                Plan::new(calls, Source::Given(&given))
            }
        };
        let shared = Shared::new(given, &plan, pace);
        let help = || {
            let mut overlay = Overlay::new(state);
            overlay.apply(begun.before.clone());
            if begun.tells {
                overlay.tell_accesses();
            }
            let mut vm = Vm::new(begun.env.clone(), Checks::TRANSACTION, overlay);
            vm.speculative();
            shared.help(vm);
        };
        let (report, lessons) = helpers.in_place_scope(|scope| {
            (1..self.threads).for_each(|_| scope.spawn(|_| help()));
            commit::commit(turns, &shared, refused)
        })?;
        match self.predictor {
            _ if !self.learns.load(Ordering::Relaxed) => {}
            Predictor::None => {}
            Predictor::History => {
                let mut weights = self.weights.lock().unwrap_or_else(PoisonError::into_inner);
                lessons.into_iter().for_each(|(place, depended)| weights.learn(plan.number(place), depended));
                plan.waited().for_each(|group| weights.fade(group));
            }
            Predictor::Given => {
                let told = plan.told(&lessons, |transaction| given.call(transaction));
                let mut kept = self.lessons.lock().unwrap_or_else(PoisonError::into_inner);
                let room = MAX_HISTORY.saturating_sub(kept.len());
                kept.extend(told.into_iter().take(room));
            }
        }
        Ok(report)
    }
}

/// What helpers begin with.
struct Begun {
    env: BlockEnv,
    before: Changes,
    /// Whether executions tell what they reach.
    tells: bool,
}

impl Begun {
    fn of<R: StateReader>(env: &BlockEnv, overlay: &Overlay<R>) -> Self {
        Self { env: env.clone(), before: overlay.changes(), tells: overlay.accesses().is_some() }
    }
}

impl Join for Executor {
    fn join<A: Send, B: Send>(&self, one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B + Send) -> (A, B) {
        let Some(pool) = self.helpers(self.least, self.least_work, false) else { return (one(), other()) };
        let mut given = None;
        let other = pool.in_place_scope(|scope| {
            scope.spawn(|_| given = Some(one()));
            other()
        });
        match given {
            Some(given) => (given, other),
            None => unreachable!("a scope ends when all that it spawned has, and panics if that did"),
        }
    }
}
