//! geth's debug_trace methods.
//!
//! Invariant: shapes, defaults and words of errors are geth's; a transaction of a block that cannot be traced has an `error` in its
//! place, and the others are traced.
//! Source: geth eth/tracers/api.go; execution-apis, `debug_traceTransaction` and its siblings.

use std::sync::Arc;

use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{B256, Bytes};
use alloy_rpc_types_eth::TransactionRequest;
use interlace_chain::StoredBlock;
use interlace_state::Snapshot;
use interlace_stf::trace::Place;
use interlace_stf::{BlockEnv, CallOptions, Checks, Overlay, decode_block, prepare, recover_senders};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::call::{override_block, overrides_of, refused, to_tx};
use crate::dispatch::{Method, Rpc};
use crate::error::RpcError;
use crate::trace::options::Options;
use crate::trace::run::{Budget, Run, answer, block_by_hash, block_by_tag, trace_error};
use crate::wire::{Params, Reply, reply};

pub(crate) const METHODS: &[(&str, Method)] = &[
    ("debug_traceTransaction", trace_transaction),
    ("debug_traceBlockByNumber", |rpc, params| {
        let block = block_by_tag(rpc, tag(params, 0)?)?;
        trace_block(rpc, block, None, &options(params, 1)?)
    }),
    ("debug_traceBlockByHash", |rpc, params| {
        let block = block_by_hash(rpc, params.get(0)?)?;
        trace_block(rpc, block, None, &options(params, 1)?)
    }),
    ("debug_traceBlock", trace_block_rlp),
    ("debug_traceCall", trace_call),
    ("debug_traceCallMany", trace_call_many),
];

fn options(params: &Params<'_>, index: usize) -> Result<Options, RpcError> {
    Ok(params.optional(index)?.unwrap_or_default())
}

/// A block's number or tag. geth's words for digits without a prefix, which tools send by mistake.
pub(crate) fn tag(params: &Params<'_>, index: usize) -> Result<BlockNumberOrTag, RpcError> {
    let text: String = params.get(index)?;
    if text.starts_with(|first: char| first.is_ascii_digit()) && !text.starts_with("0x") {
        return Err(RpcError::invalid_params(format!("invalid argument {index}: hex string without 0x prefix")));
    }
    params.get(index)
}

fn trace_transaction(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let hash: B256 = params.get(0)?;
    let options = options(params, 1)?;
    let (tracer, budget) = (options.tracer()?, options.budget()?);
    let (block, index) = rpc.chain().transaction(&hash).ok_or_else(|| RpcError::refused("transaction not found"))?;
    let fork = options.fork(rpc.chain().spec(), &block.header)?;
    let run = Run::of(rpc, block, index)?;
    let next = run.peek().ok_or_else(|| RpcError::internal("a transaction was lost"))?;
    let mut vm = Options::under(fork, run.into_vm(), Checks::TRANSACTION);
    let traced = vm.inspect(&next.request, &tracer, next.place, budget.limits()).map_err(trace_error)?;
    answer(traced.trace)
}

/// One transaction's entry in the trace of a block.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    tx_hash: B256,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn trace_block(rpc: &Rpc, block: Arc<StoredBlock>, parent: Option<Snapshot>, options: &Options) -> Reply {
    let (tracer, mut budget) = (options.tracer()?, options.budget()?);
    if options.fork(rpc.chain().spec(), &block.header)?.is_some() {
        return Err(RpcError::invalid_params("overrides are for single transactions and calls"));
    }
    let mut run = match parent {
        Some(parent) => Run::on(rpc.chain().spec(), block, 0, parent)?,
        None => Run::of(rpc, block, 0)?,
    };
    let mut entries = Vec::new();
    while let Some(next) = run.peek() {
        let tx_hash = next.place.tx_hash.unwrap_or_default();
        let traced = run.trace(&next, &tracer, &budget).and_then(|traced| answer(traced.trace));
        let (result, error) = match traced {
            Ok(result) => {
                budget.spend(&result);
                (Some(result), None)
            }
            Err(error) => (None, Some(error.message)),
        };
        entries.push(Entry { tx_hash, result, error });
    }
    reply(&entries)
}

/// `debug_traceBlock`: a block given as RLP, on the chain's own state of its parent.
fn trace_block_rlp(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let rlp: Bytes = params.get(0)?;
    let options = options(params, 1)?;
    let decoded = decode_block(&rlp).map_err(|error| RpcError::refused(format!("could not decode block: {error}")))?;
    let header = decoded.header.clone();
    if header.number <= rpc.chain().first_number() {
        return Err(RpcError::refused("genesis is not traceable"));
    }
    let parent = block_by_hash(rpc, header.parent_hash)?.number();
    let parent = Some(parent).filter(|parent| parent.checked_add(1) == Some(header.number));
    let state = parent.and_then(|parent| rpc.chain().state_at(parent));
    let state = state.ok_or_else(|| RpcError::refused(format!("block {} not found", header.parent_hash)))?;
    let fork = rpc.chain().spec().fork_at(header.number, header.timestamp);
    let senders = recover_senders(&decoded, fork)
        .map_err(|(index, error)| RpcError::refused(format!("transaction {index}: {error}")))?;
    let block = StoredBlock {
        hash: header.hash_slow(),
        header,
        transactions: decoded.body.transactions,
        senders,
        receipts: Vec::new(),
        ommers: decoded.body.ommers,
        withdrawals: decoded.body.withdrawals,
        size: rlp.len(),
    };
    trace_block(rpc, Arc::new(block), Some(state), &options)
}

/// The block and the state that a call is made on.
struct Ground {
    block: Arc<StoredBlock>,
    overlay: Overlay<Snapshot>,
}

/// The state after block `id`, or after its first `upto` transactions.
fn ground(rpc: &Rpc, id: BlockId, upto: Option<usize>) -> Result<Ground, RpcError> {
    if id == BlockId::pending() {
        return Err(RpcError::refused("tracing on top of pending is not supported"));
    }
    if let BlockId::Hash(hash) = id {
        block_by_hash(rpc, hash.block_hash)?;
    }
    let at = rpc.at(id)?;
    let overlay = match upto {
        Some(index) if at.block.number() > rpc.chain().first_number() => {
            let known = at.block.transactions.len();
            if index > known {
                let hash = at.block.hash;
                return Err(RpcError::refused(format!("transaction index {index} out of range for block {hash}")));
            }
            Run::of(rpc, Arc::clone(&at.block), index)?.into_vm().into_overlay()
        }
        _ => Overlay::new(at.state.view().clone()),
    };
    Ok(Ground { block: at.block, overlay })
}

fn trace_call(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let request: TransactionRequest = params.get(0)?;
    let id: BlockId = params.get(1)?;
    let options = options(params, 2)?;
    let budget = options.budget()?;
    let upto = options.tx_index.map(|index| usize::try_from(index.to::<u64>()).unwrap_or(usize::MAX));
    let ground = ground(rpc, id, upto)?;
    let (answer, _) = one_call(rpc, &request, &options, ground, &budget)?;
    Ok(answer)
}

/// Traces one call and gives the state after it.
fn one_call(
    rpc: &Rpc,
    request: &TransactionRequest,
    options: &Options,
    ground: Ground,
    budget: &Budget,
) -> Result<(Box<RawValue>, Overlay<Snapshot>), RpcError> {
    let tracer = options.tracer()?;
    let Ground { block, overlay } = ground;
    let mut env = BlockEnv::from_header(rpc.chain().spec(), &block.header);
    override_block(&mut env, options.block_overrides.clone().unwrap_or_default())?;
    let state = overrides_of(options.state_overrides.clone().unwrap_or_default())?;
    let calling = CallOptions { state, ..CallOptions::default() };
    let tx = to_tx(request, &env, &View(&overlay))?;
    let vm = prepare(env, &tx, &calling, overlay).map_err(refused)?;
    let fork = options.fork(rpc.chain().spec(), &block.header)?;
    let mut vm = Options::under(fork, vm, calling.checks);
    let traced = vm.inspect(&tx, &tracer, Place::default(), budget.limits()).map_err(trace_error)?;
    vm.overlay_mut().apply(traced.changes);
    Ok((answer(traced.trace)?, vm.into_overlay()))
}

/// `debug_traceCallMany`: bundles of calls, each on the state that the one before left.
fn trace_call_many(rpc: &Rpc, params: &Params<'_>) -> Reply {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Bundle {
        transactions: Vec<TransactionRequest>,
        block_override: Option<alloy_rpc_types_eth::BlockOverrides>,
    }
    #[derive(serde::Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct Context {
        block_number: Option<BlockId>,
        transaction_index: Option<i64>,
    }
    let bundles: Vec<Bundle> = params.get(0)?;
    let context: Context = params.optional(1)?.unwrap_or_default();
    let mut options = options(params, 2)?;
    let calls: usize = bundles.iter().map(|bundle| bundle.transactions.len()).sum();
    if calls > MAX_TRACE_CALLS {
        return Err(RpcError::limit(format!("{calls} calls, at most {MAX_TRACE_CALLS} in one request")));
    }
    let mut budget = options.budget()?;
    // A negative index stands for the end of the block.
    let upto = context.transaction_index.and_then(|index| usize::try_from(index).ok());
    let mut ground = ground(rpc, context.block_number.unwrap_or_else(BlockId::latest), upto)?;
    let mut answers = Vec::new();
    for bundle in bundles {
        options.block_overrides = bundle.block_override;
        let mut inner = Vec::new();
        for request in &bundle.transactions {
            let block = Arc::clone(&ground.block);
            let (shown, overlay) = one_call(rpc, request, &options, ground, &budget)?;
            budget.spend(&shown);
            inner.push(shown);
            ground = Ground { block, overlay };
            // Overrides hold from the first call on.
            options.state_overrides = None;
        }
        answers.push(inner);
    }
    reply(&answers)
}

/// Calls in one debug_traceCallMany or trace_callMany.
pub(crate) const MAX_TRACE_CALLS: usize = 256;

/// An overlay as a reader, for what is looked up before a call.
pub(crate) struct View<'a>(pub(crate) &'a Overlay<Snapshot>);

impl interlace_stf::StateReader for View<'_> {
    type Error = interlace_state::StateError;

    fn account(
        &self,
        address: alloy_primitives::Address,
    ) -> Result<Option<interlace_stf::Account>, interlace_state::StateError> {
        self.0.account(address)
    }

    fn storage(
        &self,
        address: alloy_primitives::Address,
        slot: alloy_primitives::U256,
    ) -> Result<alloy_primitives::U256, interlace_state::StateError> {
        self.0.storage(address, slot)
    }

    fn code(&self, code_hash: B256) -> Result<Bytes, interlace_state::StateError> {
        self.0.code(code_hash)
    }

    fn block_hash(&self, _: u64) -> Result<B256, interlace_state::StateError> {
        Ok(B256::ZERO)
    }
}
