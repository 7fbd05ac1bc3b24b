//! A block of the chain executed again, transaction by transaction, under a tracer where one is wanted.
//!
//! Invariant: after [`Run::trace`] the machine is past the transaction, whether its trace succeeded or not.
//! Bounds: a request has at most [`MAX_TRACE_TIME`], and its traces at most [`MAX_TRACE_BYTES`] of recording together. A trace that would exceed
//! a bound is answered -32005, one that is late "execution timeout".

use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::Address;
use interlace_chain::StoredBlock;
use interlace_primitives::ChainSpec;
use interlace_state::{Snapshot, StateError};
use interlace_stf::trace::{Limits, Place, Trace, TraceError, Traced, Tracer};
use interlace_stf::{Header, Transaction, TxOutcome, TxRequest, Vm, replay, request_of};
use serde_json::value::RawValue;

use crate::call::refused;
use crate::dispatch::Rpc;
use crate::error::RpcError;
use crate::wire::{Reply, reply};

/// Most that a request for traces may take, whatever it asks for.
pub(crate) const MAX_TRACE_TIME: Duration = Duration::from_secs(60);
/// Most that the traces of one request may hold, in bytes.
pub(crate) const MAX_TRACE_BYTES: usize = 64 << 20;

/// What the traces of one request may still take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) end: Instant,
    /// Time of one transaction.
    pub(crate) each: Duration,
    bytes: usize,
}

impl Budget {
    /// A budget that begins now.
    pub(crate) fn new(each: Duration) -> Self {
        Self { end: Instant::now() + MAX_TRACE_TIME, each, bytes: MAX_TRACE_BYTES }
    }

    /// What one trace may take.
    pub(crate) fn limits(&self) -> Limits {
        let deadline = self.end.min(Instant::now() + self.each);
        Limits { max_bytes: self.bytes, deadline: Some(deadline), ..Limits::default() }
    }

    /// Takes an answer off what is left.
    pub(crate) fn spend(&mut self, answer: &RawValue) {
        self.bytes = self.bytes.saturating_sub(answer.get().len());
    }
}

/// A block being executed again.
#[derive(Debug)]
pub(crate) struct Run {
    block: Arc<StoredBlock>,
    vm: Vm<Snapshot>,
    next: usize,
}

/// A transaction about to be executed.
#[derive(Clone, Debug)]
pub(crate) struct Next {
    pub(crate) request: TxRequest,
    pub(crate) place: Place,
}

impl Run {
    /// The block with this number, up to its transaction `index`.
    pub(crate) fn of(rpc: &Rpc, block: Arc<StoredBlock>, index: usize) -> Result<Self, RpcError> {
        let parent = parent_state(rpc, &block)?;
        Self::on(rpc.chain().spec(), block, index, parent)
    }

    /// As [`Self::of`], on a state that is given.
    pub(crate) fn on(
        spec: &ChainSpec,
        block: Arc<StoredBlock>,
        index: usize,
        parent: Snapshot,
    ) -> Result<Self, RpcError> {
        let vm = machine(spec, &block.header, &block.transactions, &block.senders, index, parent)?;
        Ok(Self { block, vm, next: index })
    }

    /// The next transaction, if one is left.
    pub(crate) fn peek(&self) -> Option<Next> {
        let tx = self.block.transactions.get(self.next)?;
        let sender = *self.block.senders.get(self.next)?;
        let block_hash = Some(self.block.hash).filter(|hash| !hash.is_zero());
        let place = Place { block_hash, tx_hash: Some(*tx.tx_hash()), index: Some(self.next) };
        Some(Next { request: request_of(tx, sender), place })
    }

    /// Executes `next` under `tracer`.
    pub(crate) fn trace(&mut self, next: &Next, tracer: &Tracer, budget: &Budget) -> Result<Traced, RpcError> {
        self.next += 1;
        match self.vm.inspect(&next.request, tracer, next.place, budget.limits()) {
            Ok(mut traced) => {
                self.vm.overlay_mut().apply(core::mem::take(&mut traced.changes));
                Ok(traced)
            }
            Err(error) => {
                // Those after it find what it left, traced or not.
                self.vm.execute(&next.request).map_err(refused)?;
                Err(trace_error(error))
            }
        }
    }

    /// Executes `next` unwatched.
    pub(crate) fn execute(&mut self, next: &Next) -> Result<TxOutcome, RpcError> {
        self.next += 1;
        self.vm.execute(&next.request).map_err(refused)
    }

    /// The machine as it is now.
    pub(crate) fn into_vm(self) -> Vm<Snapshot> {
        self.vm
    }
}

fn machine(
    spec: &ChainSpec,
    header: &Header,
    transactions: &[Transaction],
    senders: &[Address],
    upto: usize,
    parent: Snapshot,
) -> Result<Vm<Snapshot>, RpcError> {
    let before = transactions.iter().zip(senders.iter().copied()).take(upto);
    replay(spec, header, before, parent).map_err(|error| RpcError::internal(error.to_string()))
}

/// The state before a block of the chain.
pub(crate) fn parent_state(rpc: &Rpc, block: &StoredBlock) -> Result<Snapshot, RpcError> {
    let parent = block.number().checked_sub(1).filter(|_| block.number() > rpc.chain().first_number());
    parent.and_then(|number| rpc.chain().state_at(number)).ok_or_else(|| RpcError::refused("genesis is not traceable"))
}

/// What a client is told when there is no trace.
pub(crate) fn trace_error(error: TraceError<StateError>) -> RpcError {
    match error {
        TraceError::Evm(error) => refused(error),
        TraceError::Options(reason) => RpcError::refused(reason),
        TraceError::TooLarge { .. } => RpcError::limit(error.to_string()),
        TraceError::Timeout => RpcError::refused("execution timeout"),
    }
}

/// A trace as JSON.
pub(crate) fn answer(trace: Trace) -> Reply {
    match trace {
        Trace::Steps(text) => RawValue::from_string(text).map_err(|error| RpcError::internal(error.to_string())),
        Trace::Geth(trace) => reply(&trace),
        Trace::Parity(results) => reply(&*results),
        Trace::Operations(operations) => reply(&operations),
        Trace::Logs(logs) => reply(&logs.kept.into_iter().map(|(_, log)| log).collect::<Vec<_>>()),
        Trace::Console(inputs) => reply(&inputs),
    }
}

/// The block with this number or tag, in geth's words where there is none.
pub(crate) fn block_by_tag(rpc: &Rpc, tag: BlockNumberOrTag) -> Result<Arc<StoredBlock>, RpcError> {
    if tag == BlockNumberOrTag::Pending {
        return Err(RpcError::refused("tracing on top of pending is not supported"));
    }
    let unknown = || match tag {
        BlockNumberOrTag::Number(number) => RpcError::refused(format!("block #{number} not found")),
        other => RpcError::refused(format!("block {other} not found")),
    };
    let number = rpc.number_of(BlockId::Number(tag)).ok_or_else(unknown)?;
    rpc.chain().block(number).ok_or_else(unknown)
}

/// The block with this hash.
pub(crate) fn block_by_hash(rpc: &Rpc, hash: alloy_primitives::B256) -> Result<Arc<StoredBlock>, RpcError> {
    let found = rpc.chain().number_of(&hash).and_then(|number| rpc.chain().block(number));
    found.ok_or_else(|| RpcError::refused(format!("block {hash} not found")))
}
