//! A block that nobody made: calls in a row, under a header of the caller's choice, with a receipt for each and all roots but the state's.
//!
//! Invariant: what execution determines of the block is what [`BlockBuilder`] would give for the same transactions; system calls, withdrawals
//! and requests included. Nothing is validated that only a real block has to keep.
//! Source: execution-apis, eth_simulateV1. What it does not do: it fills in nothing that is left out; see the caller.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, Log};
use interlace_evm::trace::{Limits, Place, SeenLogs, Trace, TraceError, Tracer};
use interlace_evm::{
    Account, BlockEnv, Changes, Checks, EvmError, Overlay, PrecompileMoves, StateReader, TxOutcome, TxRequest, Vm,
};
use interlace_primitives::ChainSpec;

use crate::block::Transaction;
use crate::builder::{BlockBuilder, StateRoots};
use crate::call::{StateOverrides, override_changes};
use crate::error::BlockError;
use crate::output::BlockOutput;

/// Logs with their places among all of a block's, those of calls that failed included.
pub type PlacedLogs = Vec<(u64, Log)>;

/// A block to be simulated.
#[derive(Clone, Debug, Default)]
pub struct SimulatedBlock {
    /// The header as far as it is known before execution.
    pub header: Header,
    /// EIP-4895.
    pub withdrawals: Vec<Withdrawal>,
    /// Accounts changed before anything of the block is executed; the changes stay.
    pub overrides: StateOverrides,
    /// Precompiled contracts seen elsewhere in this block.
    pub precompiles: PrecompileMoves,
    /// Price of blob gas instead of the one that follows from the header.
    pub blob_fee_wei: Option<u128>,
    /// Whether transfers of value are shown as logs.
    pub transfers: bool,
}

/// A block being simulated.
#[derive(Debug)]
pub struct Simulator<'a, R: StateReader> {
    builder: BlockBuilder<'a, R>,
    env: BlockEnv,
    transfers: bool,
    /// Logs seen so far, those dropped included.
    seen: u64,
}

impl<'a, R: StateReader> Simulator<'a, R> {
    /// Begins `block` on `state` with `changes`, where the blocks of `hashes` lie between.
    ///
    /// # Errors
    /// [`BlockError`] from the system contracts or the reader.
    pub fn begin(
        spec: &ChainSpec,
        block: SimulatedBlock,
        hashes: &BTreeMap<u64, B256>,
        changes: Changes,
        state: R,
        roots: Option<StateRoots<'a, R::Error>>,
    ) -> Result<Self, BlockError<R::Error>> {
        let mut overlay = Overlay::new(state);
        overlay.apply(changes);
        for (number, hash) in hashes {
            overlay.set_block_hash(*number, *hash);
        }
        let overrides = override_changes(&block.overrides, &overlay).map_err(BlockError::State)?;
        overlay.apply(overrides);
        let mut env = BlockEnv::from_header(spec, &block.header);
        if block.blob_fee_wei.is_some() {
            env.blob_fee_wei = block.blob_fee_wei;
        }
        let withdrawals = block.header.withdrawals_root.map(|_| block.withdrawals);
        let mut vm = Vm::new(env.clone(), Checks::CALL, overlay);
        vm.move_precompiles(block.precompiles);
        let builder = BlockBuilder::on(spec, block.header, Vec::new(), withdrawals, vm, roots)?;
        Ok(Self { builder, env, transfers: block.transfers, seen: 0 })
    }

    /// The block around the calls.
    pub const fn env(&self) -> &BlockEnv {
        &self.env
    }

    /// Gas that is left in the block.
    pub const fn gas_left(&self) -> u64 {
        self.builder.gas_left()
    }

    /// The nonce of `address` as it is now.
    ///
    /// # Errors
    /// The reader's.
    pub fn nonce(&self, address: Address) -> Result<u64, R::Error> {
        Ok(self.builder.overlay().account(address)?.unwrap_or_default().nonce)
    }

    /// Executes `request` as the block's next transaction, which is `tx` as its body holds it, and gives its logs with their places among all
    /// of the block.
    ///
    /// A call that offers no fee for blobs pays none where fees are not checked.
    ///
    /// # Errors
    /// [`TraceError::Evm`] if it is not possible; else what prevents the recording.
    pub fn run(
        &mut self,
        tx: &Transaction,
        request: &TxRequest,
        checks: Checks,
        limits: Limits,
    ) -> Result<(TxOutcome, PlacedLogs), TraceError<R::Error>> {
        let mut env = self.env.clone();
        if !checks.base_fee && request.blob_fee_cap_wei == 0 {
            env.blob_fee_wei = env.blob_fee_wei.map(|_| 0);
        }
        let vm = self.builder.vm_mut();
        vm.set_env(env, checks);
        let tracer = Tracer::Logs { transfers: self.transfers };
        // Where nonces are not checked, the greatest one has zero as its successor, as in geth.
        let wraps = !checks.nonce && request.nonce == u64::MAX;
        let traced = if wraps {
            vm.inspect(&TxRequest { nonce: 0, ..request.clone() }, &tracer, Place::default(), limits)?
        } else {
            vm.inspect(request, &tracer, Place::default(), limits)?
        };
        vm.overlay_mut().apply(traced.changes);
        if wraps {
            let overlay = vm.overlay_mut();
            let sender = overlay.account(request.from).map_err(EvmError::State)?.unwrap_or_default();
            overlay.set_account(request.from, Some(Account { nonce: 0, ..sender }));
        }
        let Trace::Logs(SeenLogs { kept, seen }) = traced.trace else {
            return Err(TraceError::Options("another trace than was asked for".into()));
        };
        let logs = kept.into_iter().map(|(index, log)| (self.seen + index, log)).collect();
        self.seen += seen;
        self.builder.record(tx, request, traced.outcome.clone()).map_err(TraceError::Evm)?;
        Ok((traced.outcome, logs))
    }

    /// Ends the block.
    ///
    /// # Errors
    /// [`BlockError`] if a system contract does not answer as it must, or from the reader.
    pub fn finish(mut self) -> Result<BlockOutput, BlockError<R::Error>> {
        // System calls see the block as its header has it.
        let env = self.env.clone();
        self.builder.vm_mut().set_env(env, Checks::CALL);
        self.builder.finish()
    }
}
