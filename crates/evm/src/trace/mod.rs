//! Execution that is watched: the same machine, with a recorder at its hooks.
//!
//! [`Vm::inspect`] runs a transaction as [`Vm::transact`] does and says, besides, what a [`Tracer`] saw. The machine always
//! has a place for a recorder; only `inspect` fills it and only `inspect` runs the loop that calls it, so that nothing is
//! paid for by those who do not look.
//!
//! Invariant: outcome and changes are those of the same transaction unwatched. What is recorded is bounded by [`Limits`]; beyond
//! them the execution stops with [`TraceError::TooLarge`] or [`TraceError::Timeout`] and nothing is returned.
//! Source: revm's inspectors; geth `eth/tracers` for names, shapes and defaults; OpenEthereum for parity's.
//! What it does not do: tracers written in JavaScript.

mod console;
mod geth;
mod recorder;
mod steps;
mod transfers;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use std::time::Instant;

use alloy_primitives::map::HashSet;
use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_trace::geth::GethTrace;
use alloy_rpc_types_trace::otterscan::InternalOperation;
use alloy_rpc_types_trace::parity::{TraceResults, TraceType};
use revm::ExecuteEvm;
use revm::context::ContextTr;
use revm::inspector::InspectEvm;
use revm::state::EvmState;
use revm_inspectors::tracing::TransactionContext;

pub use alloy_rpc_types_trace as types;
pub use geth::GethTracer;
pub(crate) use recorder::Recorder;
pub use steps::StepOptions;
pub use transfers::{SeenLogs, TRANSFER_LOG_ADDRESS};

use crate::changes::Changes;
use crate::error::EvmError;
use crate::outcome::{CONSOLE_ADDRESS, TxOutcome};
use crate::reader::StateReader;
use crate::request::TxRequest;
use crate::vm::{Vm, outcome};
use recorder::{Kind, Stop};

/// What to look at.
#[derive(Clone, Debug)]
pub enum Tracer {
    /// Every instruction, as geth's logger without a name shows it.
    Steps(StepOptions),
    /// One of geth's tracers that have a name.
    Geth(GethTracer),
    /// Parity's traces, of these kinds.
    Parity(HashSet<TraceType>),
    /// Transfers of value inside calls, creations and destructions, as Otterscan lists them.
    Operations,
    /// Logs with their places among all, as eth_simulateV1 wants them; with one more for each transfer of value if asked for.
    Logs {
        /// Whether there is one for each transfer.
        transfers: bool,
    },
    /// Inputs of calls to the console's address.
    Console,
}

/// What was seen.
#[derive(Clone, Debug)]
pub enum Trace {
    /// JSON of geth's `ExecutionResult` with its `structLogs`.
    Steps(String),
    /// The named tracer's answer.
    Geth(Box<GethTrace>),
    /// Parity's traces.
    Parity(Box<TraceResults>),
    /// Operations in the order of execution, of calls that failed as well.
    Operations(Vec<InternalOperation>),
    /// Logs in order; those of calls that failed are dropped.
    Logs(SeenLogs),
    /// Inputs in the order of execution, of calls that failed as well.
    Console(Vec<Bytes>),
}

/// Where the transaction stands; some tracers repeat it in their answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Hash of its block.
    pub block_hash: Option<B256>,
    /// Its hash.
    pub tx_hash: Option<B256>,
    /// Its index in the block.
    pub index: Option<usize>,
}

/// How much a recording may hold and take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a recording, as far as they are counted: JSON of steps, copied inputs, memory.
    pub max_bytes: usize,
    /// Instructions that are kept one by one for parity's `vmTrace`.
    pub max_steps: u64,
    /// Calls and creations.
    pub max_frames: u64,
    /// When to give up.
    pub deadline: Option<Instant>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, max_steps: 500_000, max_frames: 200_000, deadline: None }
    }
}

/// What [`Vm::inspect`] gives.
#[derive(Clone, Debug)]
pub struct Traced {
    /// How the transaction ended.
    pub outcome: TxOutcome,
    /// What it changed; not kept.
    pub changes: Changes,
    /// What was seen.
    pub trace: Trace,
}

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError<E: core::error::Error + 'static> {
    /// The transaction was not executed.
    #[error(transparent)]
    Evm(#[from] EvmError<E>),
    /// The options are none of the tracer's.
    #[error("{0}")]
    Options(String),
    /// The recording would exceed one of its limits.
    #[error("trace too large: more than {limit} {unit}")]
    TooLarge {
        /// The limit.
        limit: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// The deadline has passed.
    #[error("execution timeout")]
    Timeout,
}

impl<R: StateReader> Vm<R> {
    /// Executes `tx` under `tracer` and returns what it changed, without keeping it, and what was seen.
    ///
    /// # Errors
    /// [`TraceError::Evm`] as [`Vm::transact`]; else what prevents the recording.
    pub fn inspect(
        &mut self,
        tx: &TxRequest,
        tracer: &Tracer,
        place: Place,
        limits: Limits,
    ) -> Result<Traced, TraceError<R::Error>> {
        self.check(tx).map_err(EvmError::Transaction)?;
        self.inner.inspector = Recorder::new(tracer, limits).map_err(TraceError::Options)?;
        let result = self.exempting(tx, |inner| inner.inspect_one_tx(tx.to_revm()));
        let state = self.inner.finalize();
        let recorder = core::mem::take(&mut self.inner.inspector);
        if let Some(stop) = recorder.stopped {
            return Err(stop_error(stop, limits));
        }
        let result = result.map_err(|error| self.explain(error, tx))?;
        let seen = revm::context_interface::result::ResultAndState { result, state };
        let trace = self.answer(recorder.kind, &seen, tx, place)?;
        let console = seen.state.contains_key(&CONSOLE_ADDRESS);
        let outcome = TxOutcome { console, ..outcome(seen.result) };
        Ok(Traced { outcome, changes: self.changes_of(seen.state), trace })
    }

    fn changes_of(&self, state: EvmState) -> Changes {
        self.writes_of(state).into_changes()
    }

    fn answer(
        &mut self,
        kind: Kind,
        seen: &revm::context_interface::result::ResultAndState,
        tx: &TxRequest,
        place: Place,
    ) -> Result<Trace, TraceError<R::Error>> {
        let state_error = |error: crate::overlay::ReadError<R::Error>| TraceError::Evm(EvmError::State(error.0));
        Ok(match kind {
            Kind::None => return Err(TraceError::Options("no tracer".into())),
            Kind::Steps(steps) => Trace::Steps(steps.finish(&seen.result)),
            Kind::Geth(mut inspector) => {
                let context =
                    TransactionContext { block_hash: place.block_hash, tx_hash: place.tx_hash, tx_index: place.index };
                let block = self.inner.ctx.block().clone();
                let db = self.inner.ctx.db_mut();
                let answer = inspector.get_result(Some(context), &tx.to_revm(), &block, seen, db);
                Trace::Geth(Box::new(answer.map_err(|error| match error {
                    revm_inspectors::tracing::DebugInspectorError::Database(error) => state_error(error),
                    other => TraceError::Options(alloc::format!("{other}")),
                })?))
            }
            Kind::Parity(inspector, wanted) => {
                let builder = inspector.into_parity_builder();
                let answer = builder.into_trace_results_with_state(seen, &wanted, self.inner.ctx.db());
                Trace::Parity(Box::new(answer.map_err(state_error)?))
            }
            Kind::Operations(inspector) => Trace::Operations(inspector.into_operations()),
            Kind::Logs(transfers) => Trace::Logs(transfers.into_logs(seen.result.is_success())),
            Kind::Console(console) => Trace::Console(console.into_inputs()),
        })
    }
}

fn stop_error<E: core::error::Error + 'static>(stop: Stop, limits: Limits) -> TraceError<E> {
    match stop {
        Stop::Deadline => TraceError::Timeout,
        Stop::Bytes => TraceError::TooLarge { limit: limits.max_bytes as u64, unit: "bytes" },
        Stop::Steps => TraceError::TooLarge { limit: limits.max_steps, unit: "steps" },
        Stop::Frames => TraceError::TooLarge { limit: limits.max_frames, unit: "calls" },
    }
}
