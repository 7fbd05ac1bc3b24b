//! revm for one block: transactions, system calls and deployments at fixed addresses, one after the other.
//!
//! Invariant: a transaction that is not valid changes nothing; one that runs changes the overlay and nothing else.
//! Source: revm's handler; EIP-4788 and EIP-7002 for system calls.
//! What it does not do: it counts no block gas. [`precompiles`] is the seam where precompiled contracts of our own enter.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use alloy_primitives::{Address, Bytes, TxKind, U256};
use interlace_primitives::Fork;
use revm::bytecode::opcode;
use revm::context::result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction, Output};
use revm::context::{Context, ContextTr, FrameStack, LocalContextTr, Transaction, TxEnv};
use revm::handler::instructions::EthInstructions;
use revm::handler::{EthFrame, EvmTr, Handler, MainnetContext, MainnetHandler};
use revm::interpreter::interpreter::EthInterpreter;
use revm::interpreter::interpreter_action::FrameInit;
use revm::interpreter::{CreateInputs, CreateScheme, FrameInput, GasTracker, Instruction, SharedMemory};
use revm::state::EvmState;
use revm::{ExecuteEvm, context};

use crate::ai::Programs;
use crate::changes::Changes;
use crate::dup;
use crate::env::{BlockEnv, Checks, spec_id};
use crate::error::{EvmError, TxError};
use crate::interrupt::{self, Interrupt};
use crate::net_gas;
use crate::outcome::{CONSOLE_ADDRESS, Halt, Status, TxOutcome};
use crate::overlay::{Db, Overlay, ReadError};
use crate::precompiles::{PrecompileMoves, Precompiled};
use crate::reader::StateReader;
use crate::request::TxRequest;
use crate::writes::Writes;

/// Gas of a system call (EIP-4788, EIP-2935, EIP-7002, EIP-7251).
const SYSTEM_CALL_GAS: u64 = 30_000_000;
/// Largest init code (EIP-3860).
const MAX_INITCODE_BYTES: usize = 2 * 24_576;

/// Accounts and slots that a call looked at.
pub type Touched = BTreeMap<Address, BTreeSet<U256>>;

#[cfg(feature = "trace")]
type Watcher = crate::trace::Recorder;
/// The place for a recorder; without the feature `trace` there is nothing to put there.
#[cfg(not(feature = "trace"))]
type Watcher = ();
pub(crate) type Inner<R> = context::Evm<
    MainnetContext<Db<R>>,
    Watcher,
    EthInstructions<EthInterpreter, MainnetContext<Db<R>>>,
    Precompiled,
    EthFrame<EthInterpreter>,
>;
pub(crate) type InnerError<R> = EVMError<ReadError<<R as StateReader>::Error>>;

/// The virtual machine in one block's environment.
pub struct Vm<R: StateReader> {
    pub(crate) inner: Inner<R>,
    env: BlockEnv,
}

impl<R: StateReader> fmt::Debug for Vm<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vm").field("env", &self.env).finish_non_exhaustive()
    }
}

impl<R: StateReader> Vm<R> {
    /// A machine for the block `env`, reading and changing `overlay`.
    pub fn new(env: BlockEnv, checks: Checks, overlay: Overlay<R>) -> Self {
        let spec = spec_id(env.fork);
        #[cfg(feature = "std")]
        let programs = Programs::new(overlay.reader().code_cache().map(crate::CodeCache::programs));
        #[cfg(not(feature = "std"))]
        let programs = Programs::default();
        let mut ctx: MainnetContext<Db<R>> = Context::new(Db(overlay), spec);
        ctx.cfg = env.to_cfg(checks);
        ctx.block = env.to_revm();
        let mut instruction = EthInstructions::new_mainnet_with_spec(spec);
        dup::install(&mut instruction);
        if env.fork == Fork::Constantinople {
            instruction.insert_instruction(opcode::SSTORE, Instruction::new(net_gas::sstore), 0);
        }
        let inner = context::Evm {
            ctx,
            inspector: Watcher::default(),
            instruction,
            precompiles: Precompiled::new(env.fork, env.ada, programs),
            frame_stack: FrameStack::new_prealloc(8),
        };
        Self { inner, env }
    }

    /// Puts precompiled contracts elsewhere, for everything that is executed from now on. Call it before anything is.
    pub fn move_precompiles(&mut self, moves: PrecompileMoves) {
        self.inner.precompiles.set_moves(moves);
    }

    /// Changes what transactions see of the block and which checks apply, from now on; the forks stay.
    pub fn set_env(&mut self, env: BlockEnv, checks: Checks) {
        let env = BlockEnv { fork: self.env.fork, ada: self.env.ada, ..env };
        self.inner.ctx.cfg = env.to_cfg(checks);
        self.inner.ctx.block = env.to_revm();
        self.env = env;
    }

    /// Lets `interrupt` end what this machine executes from now on.
    pub fn interrupt_when(&mut self, interrupt: Interrupt) {
        if self.overlay_mut().interrupt.replace(interrupt).is_none() {
            interrupt::install(&mut self.inner.instruction);
        }
    }

    /// The block's environment.
    pub const fn env(&self) -> &BlockEnv {
        &self.env
    }

    /// The state as it is now.
    pub fn overlay(&self) -> &Overlay<R> {
        &self.inner.ctx.db().0
    }

    /// The state as it is now, to change it beside transactions.
    pub fn overlay_mut(&mut self) -> &mut Overlay<R> {
        &mut self.inner.ctx.db_mut().0
    }

    /// Ends the machine and gives the state back.
    pub fn into_overlay(self) -> Overlay<R> {
        self.inner.ctx.journaled_state.database.0
    }

    /// Executes `tx` and returns what it changed without keeping it.
    ///
    /// # Errors
    /// [`EvmError::Transaction`] if it is not valid here, [`EvmError::State`] if the state cannot be read.
    pub fn transact(&mut self, tx: &TxRequest) -> Result<(TxOutcome, Changes), EvmError<R::Error>> {
        let (outcome, writes) = self.written(tx)?;
        Ok((outcome, writes.into_changes()))
    }

    pub(crate) fn written(&mut self, tx: &TxRequest) -> Result<(TxOutcome, Writes), EvmError<R::Error>> {
        let (outcome, state) = self.run(tx)?;
        Ok((outcome, self.writes_of(state)))
    }

    /// Executes `tx` and keeps what it changed.
    ///
    /// # Errors
    /// As [`Vm::transact`].
    pub fn execute(&mut self, tx: &TxRequest) -> Result<TxOutcome, EvmError<R::Error>> {
        let (outcome, mut writes) = self.written(tx)?;
        self.overlay_mut().keep(&mut writes);
        Ok(outcome)
    }

    /// Executes `tx` without keeping changes and names what it looked at; what eth_createAccessList needs.
    ///
    /// # Errors
    /// As [`Vm::transact`].
    pub fn touch(&mut self, tx: &TxRequest) -> Result<(TxOutcome, Touched), EvmError<R::Error>> {
        let (outcome, state) = self.run(tx)?;
        let slots = |account: revm::state::Account| account.storage.keys().copied().collect();
        Ok((outcome, state.into_iter().map(|(address, account)| (address, slots(account))).collect()))
    }

    /// Calls `target` as the system does: 30 million gas, no fee, nothing counted. Keeps what it changed.
    ///
    /// # Errors
    /// [`EvmError::State`] if the state cannot be read.
    pub fn system_call(
        &mut self,
        caller: Address,
        target: Address,
        input: Bytes,
    ) -> Result<TxOutcome, EvmError<R::Error>> {
        let tx = TxRequest {
            from: caller,
            to: TxKind::Call(target),
            gas_limit: SYSTEM_CALL_GAS,
            input,
            ..TxRequest::default()
        };
        self.inner.ctx.tx = tx.to_revm();
        let result = MainnetHandler::default().run_system_call(&mut self.inner);
        let state = self.inner.finalize();
        let result = result.map_err(|error| self.explain(error, &tx))?;
        let mut writes = self.writes_of(state);
        self.overlay_mut().keep(&mut writes);
        Ok(outcome(result))
    }

    /// Runs `initcode` in the context of `address`, from `deployer` and with `gas_limit`, and deploys what it returns
    /// there. Used for genesis only. Nothing is kept unless it succeeds; the deployer's account is left as it was.
    ///
    /// # Errors
    /// [`EvmError::State`] if the state cannot be read.
    pub fn deploy_at(
        &mut self,
        deployer: Address,
        address: Address,
        initcode: Bytes,
        value_wei: U256,
        gas_limit: u64,
    ) -> Result<TxOutcome, EvmError<R::Error>> {
        let before = self.read_account(deployer)?;
        let funded = crate::reader::Account { balance: value_wei, ..before.unwrap_or_default() };
        self.overlay_mut().set_account(deployer, Some(funded));
        let tx = TxRequest {
            from: deployer,
            to: TxKind::Create,
            gas_limit,
            value_wei,
            input: initcode,
            ..TxRequest::default()
        };
        self.inner.ctx.tx = tx.to_revm();
        let result = DeployHandler { address, reader: PhantomData }.run_system_call(&mut self.inner);
        let state = self.inner.finalize();
        let result = result.map_err(|error| self.explain(error, &tx));
        let mut changes = self.writes_of(state).into_changes();
        changes.accounts.remove(&deployer);
        self.overlay_mut().set_account(deployer, before);
        let outcome = outcome(result?);
        if outcome.is_success() {
            self.overlay_mut().apply(changes);
        }
        Ok(outcome)
    }

    fn read_account(&self, address: Address) -> Result<Option<crate::reader::Account>, EvmError<R::Error>> {
        self.overlay().account(address).map_err(EvmError::State)
    }

    pub(crate) fn writes_of(&self, state: EvmState) -> Writes {
        Writes::of(state, self.clears_empty(), self.overlay().tells)
    }

    /// EIP-161 removes empty accounts that a transaction touched.
    pub(crate) fn clears_empty(&self) -> bool {
        self.env.fork >= Fork::SpuriousDragon
    }

    fn run(&mut self, tx: &TxRequest) -> Result<(TxOutcome, EvmState), EvmError<R::Error>> {
        self.check(tx)?;
        let fork = self.env.fork;
        let result = self.exempting(tx, |inner| {
            inner.ctx.tx = tx.to_revm();
            CodeHandler { fork, reader: PhantomData }.run(inner)
        });
        let state = self.inner.finalize();
        let result = result.map_err(|error| self.explain(error, tx))?;
        let console = state.contains_key(&CONSOLE_ADDRESS);
        Ok((TxOutcome { console, ..outcome(result) }, state))
    }

    /// Runs `work` with what an impersonated sender is exempt from.
    pub(crate) fn exempting<T>(&mut self, tx: &TxRequest, work: impl FnOnce(&mut Inner<R>) -> T) -> T {
        let waived = self.inner.ctx.cfg.disable_eip3607;
        self.inner.ctx.cfg.disable_eip3607 = waived || tx.impersonated;
        let result = work(&mut self.inner);
        self.inner.ctx.cfg.disable_eip3607 = waived;
        result
    }

    /// Checks that revm leaves to others or would not survive: they guard its arithmetic.
    pub(crate) fn check(&self, tx: &TxRequest) -> Result<(), TxError> {
        let fork = self.env.fork;
        let protected_too_early = tx.tx_type == 0 && tx.chain_id.is_some() && fork < Fork::SpuriousDragon;
        if protected_too_early {
            return Err(TxError::NotActive { what: "replay protection (EIP-155)", fork });
        }
        if tx.tx_type > 4 {
            return Err(TxError::NotActive { what: "a transaction type above 4", fork });
        }
        if tx.tx_type >= 3 && tx.to.is_create() {
            return Err(TxError::CannotCreate(tx.tx_type));
        }
        if tx.greatest_cost_wei().is_none() {
            let (gas_limit, fee_cap_wei, value_wei) = (tx.gas_limit, tx.fee_cap_wei, tx.value_wei);
            return Err(TxError::CostOverflow { gas_limit, fee_cap_wei, value_wei });
        }
        Ok(())
    }

    pub(crate) fn explain(&self, error: InnerError<R>, tx: &TxRequest) -> EvmError<R::Error> {
        match error {
            EVMError::Database(error) => EvmError::State(error.0),
            EVMError::Transaction(invalid) => EvmError::Transaction(tx_error(invalid, tx, &self.env)),
            EVMError::Header(error) => EvmError::Interpreter(error.to_string()),
            EVMError::Custom(error) if error == interrupt::MARK => EvmError::Interrupted,
            EVMError::Custom(error) => EvmError::Interpreter(error),
            EVMError::CustomAny(error) => EvmError::Interpreter(error.to_string()),
        }
    }
}

/// revm's, with translated code where there is a standard library.
struct CodeHandler<R> {
    #[cfg_attr(not(feature = "std"), allow(dead_code))]
    fork: Fork,
    reader: PhantomData<R>,
}

impl<R: StateReader> Handler for CodeHandler<R> {
    type Evm = Inner<R>;
    type Error = InnerError<R>;
    type HaltReason = HaltReason;

    #[cfg(feature = "std")]
    fn run_exec_loop(
        &mut self,
        evm: &mut Self::Evm,
        first: FrameInit,
    ) -> Result<revm::handler::FrameResult, Self::Error> {
        crate::tier::frames(evm, self.fork, first)
    }
}

/// Creates the first frame at a given address instead of one derived from the sender.
struct DeployHandler<R> {
    address: Address,
    reader: PhantomData<R>,
}

impl<R: StateReader> Handler for DeployHandler<R> {
    type Evm = Inner<R>;
    type Error = InnerError<R>;
    type HaltReason = HaltReason;

    fn first_frame_input(
        &mut self,
        evm: &mut Self::Evm,
        gas: &mut GasTracker,
    ) -> Result<Option<FrameInit>, Self::Error> {
        let ctx = evm.ctx_mut();
        let memory = SharedMemory::new_with_buffer(ctx.local().shared_memory_buffer().clone());
        let tx: &TxEnv = ctx.tx();
        let inputs = CreateInputs::new(
            tx.caller(),
            CreateScheme::Custom { address: self.address },
            tx.value(),
            tx.input().clone(),
            gas.remaining(),
            gas.reservoir(),
        );
        Ok(Some(FrameInit { depth: 0, memory, frame_input: FrameInput::Create(inputs.into()) }))
    }
}

pub(crate) fn outcome(result: ExecutionResult) -> TxOutcome {
    let gas = *result.gas();
    let (status, logs, output, created) = match result {
        ExecutionResult::Success { logs, output, .. } => match output {
            Output::Call(data) => (Status::Success, logs, data, None),
            Output::Create(data, created) => (Status::Success, logs, data, created),
        },
        ExecutionResult::Revert { output, .. } => (Status::Revert, Vec::new(), output, None),
        ExecutionResult::Halt { reason, .. } => (Status::Halt(halt(reason)), Vec::new(), Bytes::new(), None),
    };
    TxOutcome {
        status,
        gas_used: gas.tx_gas_used(),
        gas_spent: gas.total_gas_spent().max(gas.floor_gas()),
        gas_refunded: gas.final_refunded(),
        logs,
        output,
        created,
        console: false,
    }
}

fn halt(reason: HaltReason) -> Halt {
    match reason {
        HaltReason::OutOfGas(_) => Halt::OutOfGas,
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode | HaltReason::NotActivated => Halt::InvalidOpcode,
        HaltReason::InvalidJump => Halt::InvalidJump,
        HaltReason::StackUnderflow => Halt::StackUnderflow,
        HaltReason::StackOverflow => Halt::StackOverflow,
        HaltReason::OutOfOffset => Halt::ReturnDataOutOfBounds,
        HaltReason::CreateCollision => Halt::CreateCollision,
        HaltReason::PrecompileError => Halt::Precompile("input refused".to_string()),
        HaltReason::PrecompileErrorWithContext(reason) => Halt::Precompile(reason),
        HaltReason::NonceOverflow => Halt::NonceOverflow,
        HaltReason::CreateContractSizeLimit => Halt::CodeTooLarge,
        HaltReason::CreateContractStartingWithEF => Halt::CodeStartsWithEf,
        HaltReason::CreateInitCodeSizeLimit => Halt::InitcodeTooLarge,
        HaltReason::StateChangeDuringStaticCall | HaltReason::CallNotAllowedInsideStatic => Halt::StaticWrite,
        HaltReason::OutOfFunds => Halt::OutOfFunds,
        HaltReason::CallTooDeep => Halt::CallTooDeep,
        HaltReason::OverflowPayment => Halt::Other(reason.to_string()),
    }
}

fn tx_error(invalid: InvalidTransaction, tx: &TxRequest, env: &BlockEnv) -> TxError {
    let (gas_limit, fee_cap_wei, fork) = (tx.gas_limit, tx.fee_cap_wei, env.fork);
    match invalid {
        InvalidTransaction::NonceTooLow { tx, state } => TxError::NonceTooLow { tx, state },
        InvalidTransaction::NonceTooHigh { tx, state } => TxError::NonceTooHigh { tx, state },
        InvalidTransaction::NonceOverflowInTransaction => TxError::NonceAtMaximum(tx.nonce),
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
            TxError::InsufficientFunds { required: *fee, balance: *balance }
        }
        InvalidTransaction::OverflowPaymentInTransaction => {
            TxError::CostOverflow { gas_limit, fee_cap_wei, value_wei: tx.value_wei }
        }
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit } => {
            TxError::IntrinsicGas { required: initial_gas, gas_limit }
        }
        InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor, gas_limit } => {
            TxError::FloorGas { floor: gas_floor, gas_limit }
        }
        InvalidTransaction::GasPriceLessThanBasefee => {
            TxError::FeeCapBelowBaseFee { fee_cap_wei, base_fee_wei: env.base_fee_wei }
        }
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => {
            TxError::TipAboveFeeCap { tip_wei: tx.tip_wei.unwrap_or_default(), fee_cap_wei }
        }
        InvalidTransaction::CallerGasLimitMoreThanBlock => {
            TxError::GasAboveBlock { gas_limit, available: env.gas_limit }
        }
        InvalidTransaction::TxGasLimitGreaterThanCap { gas_limit, cap } => TxError::GasAboveCap { gas_limit, cap },
        InvalidTransaction::RejectCallerWithCode => TxError::SenderHasCode(tx.from),
        InvalidTransaction::CreateInitCodeSizeLimit => {
            TxError::InitcodeTooLarge { size: tx.input.len(), limit: MAX_INITCODE_BYTES }
        }
        InvalidTransaction::InvalidChainId => {
            TxError::WrongChainId { tx: tx.chain_id.unwrap_or_default(), chain: env.chain_id }
        }
        InvalidTransaction::MissingChainId => TxError::NoChainId(tx.tx_type),
        InvalidTransaction::Eip2930NotSupported => TxError::NotActive { what: "an access list (EIP-2930)", fork },
        InvalidTransaction::Eip1559NotSupported => TxError::NotActive { what: "a fee cap (EIP-1559)", fork },
        InvalidTransaction::Eip4844NotSupported => TxError::NotActive { what: "a blob (EIP-4844)", fork },
        InvalidTransaction::Eip7702NotSupported => TxError::NotActive { what: "a delegation (EIP-7702)", fork },
        InvalidTransaction::BlobGasPriceGreaterThanMax { block_blob_gas_price, tx_max_fee_per_blob_gas } => {
            TxError::BlobFeeCapTooLow { fee_cap_wei: tx_max_fee_per_blob_gas, blob_fee_wei: block_blob_gas_price }
        }
        InvalidTransaction::EmptyBlobs => TxError::NoBlobs,
        InvalidTransaction::TooManyBlobs { max, have } => TxError::TooManyBlobs { have, max: max as u64 },
        InvalidTransaction::BlobVersionNotSupported => {
            let wrong = tx.blob_hashes.iter().find(|hash| hash[0] != 1);
            TxError::BlobVersion(wrong.copied().unwrap_or_default())
        }
        InvalidTransaction::EmptyAuthorizationList => TxError::NoAuthorizations,
        other => TxError::Other(other.to_string()),
    }
}
