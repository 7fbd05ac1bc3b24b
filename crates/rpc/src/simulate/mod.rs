//! `eth_simulateV1`: blocks that might come after one of the chain's, and what calls in them would do.
//!
//! Invariant: nothing is kept. Each block stands on the one before it: its state, its hash, its fees. The blocks' hashes are those of the
//! headers shown, roots included.
//! Source: execution-apis, eth_simulateV1; geth internal/ethapi/simulate.go for what the specification leaves open.
//! Bounds: those of [`plan`]; the gas of one eth_call for all calls together, its time for the whole request, and [`MAX_ANSWER_BYTES`] of answer.
//! What it does not do: on the pending block the base is the newest one.

mod call;
mod plan;

use std::collections::BTreeMap;

use alloy_eips::BlockId;
use alloy_eips::eip4895::Withdrawals;
use alloy_primitives::{B256, U256};
use alloy_rlp::Encodable;
use alloy_rpc_types_eth::state::StateOverride;
use interlace_chain::StoredBlock;
use interlace_primitives::Fork;
use interlace_state::{Snapshot, StateError};
use interlace_stf::trace::Limits;
use interlace_stf::{
    BlockError, Changes, Header, SimulatedBlock, Simulator, expected_base_fee, expected_excess_blob_gas,
};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::call::{CALL_GAS, moves_of, overrides_of, timed_out};
use crate::dispatch::{Deadline, MAX_ANSWER_BYTES, Method, Rpc};
use crate::error::RpcError;
use crate::read::block_id;
use crate::shapes;
use crate::wire::{Params, Reply, reply};
use call::{Call, Outcome, Place, check_nonce, not_executed};
use plan::{Planned, Request, plan};

pub(crate) use plan::{MAX_SIMULATED_BLOCKS, MAX_SIMULATED_CALLS};

pub(crate) const METHODS: &[(&str, Method)] = &[("eth_simulateV1", simulate)];

/// What goes from block to block.
struct Chain<'a> {
    rpc: &'a Rpc,
    state: Snapshot,
    /// All changes since the base.
    changes: Changes,
    hashes: BTreeMap<u64, B256>,
    parent: Header,
    gas_left: u64,
    deadline: Deadline,
    transfers: bool,
    validation: bool,
    full: bool,
}

fn simulate(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let request: Request = params.get(0)?;
    let id = match block_id(params, 1)? {
        id if id == BlockId::pending() => BlockId::latest(),
        id => id,
    };
    let at = rpc.at(id)?;
    let base = at.block.header.clone();
    let planned = plan(&base, request.block_state_calls)?;
    let mut chain = Chain {
        rpc,
        state: at.state.view().clone(),
        changes: Changes::default(),
        // Its header says so: a developer's edits do not change it.
        hashes: BTreeMap::from([(base.number, at.block.hash)]),
        parent: base,
        gas_left: CALL_GAS,
        deadline: rpc.deadline(),
        transfers: request.trace_transfers,
        validation: request.validation,
        full: request.return_full_transactions,
    };
    let (mut shown, mut bytes): (Vec<Box<RawValue>>, usize) = (Vec::new(), 0);
    for block in planned {
        let block = reply(&chain.make(block)?)?;
        bytes += block.get().len();
        if bytes > MAX_ANSWER_BYTES {
            return Err(RpcError::too_large());
        }
        shown.push(block);
    }
    reply(&shown)
}

/// Small numbers of a header that come as large ones.
fn small(name: &str, value: U256) -> Result<u64, RpcError> {
    u64::try_from(value).map_err(|_| RpcError::invalid_params(format!("{name} {value} exceeds 64 bits")))
}

fn failed(error: BlockError<StateError>) -> RpcError {
    match error {
        BlockError::State(error) => error.into(),
        other => RpcError::refused(other.to_string()),
    }
}

impl Chain<'_> {
    /// The header of the next block before it is executed.
    fn header(&self, block: &Planned) -> Result<(Header, Fork), RpcError> {
        let spec = self.rpc.chain().spec();
        let (number, timestamp) = (block.number, block.timestamp);
        let fork = spec.fork_at(number, timestamp);
        let mut header = block.header(&self.parent, fork >= Fork::Paris);
        header.parent_hash = self.parent.hash_slow();
        if fork >= Fork::London {
            let given = block.overrides.base_fee_per_gas.map(|fee| small("baseFeePerGas", fee)).transpose()?;
            // Calls that offer nothing would be below any other base fee.
            let usual =
                if self.validation { expected_base_fee(spec, &self.parent, number, timestamp) } else { Some(0) };
            header.base_fee_per_gas = given.or(usual);
        }
        if fork >= Fork::Shanghai {
            header.withdrawals_root = Some(B256::ZERO);
        }
        if fork >= Fork::Cancun {
            header.excess_blob_gas = expected_excess_blob_gas(spec, &self.parent, number, timestamp);
            header.parent_beacon_block_root = Some(block.overrides.beacon_root.unwrap_or_default());
            header.blob_gas_used = Some(0);
        }
        Ok((header, fork))
    }

    fn make(&mut self, block: Planned) -> Result<Value, RpcError> {
        let rpc = self.rpc;
        let (header, fork) = self.header(&block)?;
        let withdrawals = block.overrides.withdrawals.clone().unwrap_or_default();
        let wanted = SimulatedBlock {
            header: header.clone(),
            withdrawals: withdrawals.clone(),
            precompiles: moves_of(&block.state, fork, rpc.chain().spec().is_ada(header.timestamp))?,
            overrides: overrides_of(without_moves(block.state))?,
            blob_fee_wei: block
                .overrides
                .blob_base_fee
                .map(|fee| small("blobBaseFee", fee).map(u128::from))
                .transpose()?,
            transfers: self.transfers,
        };
        let state = self.state.clone();
        let mut roots = |changes: &Changes| state.root_after(changes);
        let changes = core::mem::take(&mut self.changes);
        let mut simulator =
            Simulator::begin(rpc.chain().spec(), wanted, &self.hashes, changes, &self.state, Some(&mut roots))
                .map_err(failed)?;
        let (mut transactions, mut senders, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
        for given in &block.calls {
            if self.deadline.is_past() {
                return Err(timed_out(rpc));
            }
            let from = given.from.unwrap_or_default();
            let nonce = match given.nonce {
                Some(nonce) => nonce,
                None => simulator.nonce(from)?,
            };
            let left = simulator.gas_left();
            let asked = given.gas.unwrap_or(left);
            if asked > left {
                let reason = format!("block gas limit reached: remaining: {left}, required: {asked}");
                return Err(RpcError::new(-38015, reason));
            }
            let gas_limit = asked.min(self.gas_left);
            if self.validation {
                check_nonce(nonce, simulator.nonce(from)?, gas_limit)?;
            }
            let chain_id = rpc.chain().spec().chain_id();
            let call = Call::new(given, &header, chain_id, nonce, gas_limit, self.validation)?;
            let limits =
                Limits { deadline: Some(self.deadline.instant()), max_bytes: MAX_ANSWER_BYTES, ..Limits::default() };
            let (outcome, logs) = simulator
                .run(&call.envelope, &call.request, call.checks, limits)
                .map_err(|error| not_executed(error, gas_limit, || timed_out(rpc)))?;
            self.gas_left = self.gas_left.saturating_sub(outcome.gas_used);
            outcomes.push(Outcome { outcome, logs, capped: gas_limit < asked });
            transactions.push(call.envelope);
            senders.push(from);
        }
        let output = simulator.finish().map_err(failed)?;
        let mut header = output.header;
        header.state_root = self.state.root_after(&output.changes)?;
        let mut made = StoredBlock {
            hash: header.hash_slow(),
            withdrawals: header.withdrawals_root.map(|_| Withdrawals::new(withdrawals)),
            header,
            transactions,
            senders,
            receipts: Vec::new(),
            ommers: Vec::new(),
            size: 0,
        };
        made.size = made.to_consensus().length();
        self.changes = output.changes;
        self.hashes.insert(made.header.number, made.hash);
        let shown = self.shown(&made, &outcomes);
        self.parent = made.header;
        Ok(shown)
    }

    fn shown(&self, made: &StoredBlock, outcomes: &[Outcome]) -> Value {
        let mut shown = json!(shapes::block(made, self.full));
        let calls = outcomes.iter().zip(&made.transactions).enumerate().map(|(index, (outcome, tx))| {
            let place = Place { header: &made.header, block_hash: made.hash, tx_hash: *tx.tx_hash(), index };
            outcome.shown(place)
        });
        shown["calls"] = calls.collect();
        shown
    }
}

/// The same overrides where the moves of precompiled contracts are taken care of.
fn without_moves(mut given: StateOverride) -> StateOverride {
    for account in given.values_mut() {
        account.move_precompile_to = None;
    }
    given
}
