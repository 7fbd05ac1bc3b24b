//! Calls that leave no trace: eth_call, and each probe of eth_estimateGas.
//!
//! Invariant: the state is the same afterwards; overrides are visible to this call only.
//! Source: execution-apis (`eth_call`); geth for overrides and for calls that offer no fee.

use alloc::collections::BTreeMap;

use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, U256, keccak256};
use interlace_evm::{
    AccountChange, BlockEnv, Changes, Checks, EvmError, Interrupt, Overlay, PrecompileMoves, StateReader, Touched,
    TxOutcome, TxRequest, Vm,
};

/// What a call sees of an account instead of what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccountOverride {
    /// Balance in wei.
    pub balance_wei: Option<U256>,
    /// Nonce.
    pub nonce: Option<u64>,
    /// Code.
    pub code: Option<Bytes>,
    /// The whole storage; slots not named are zero.
    pub state: Option<BTreeMap<U256, U256>>,
    /// Single slots, over the storage that is there or over `state`.
    pub state_diff: BTreeMap<U256, U256>,
}

/// Overrides by address.
pub type StateOverrides = BTreeMap<Address, AccountOverride>;

/// How a call differs from a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallOptions {
    /// Checks that apply.
    pub checks: Checks,
    /// Accounts seen differently.
    pub state: StateOverrides,
    /// Precompiled contracts seen elsewhere.
    pub precompiles: PrecompileMoves,
    /// Block hashes seen differently.
    pub block_hashes: BTreeMap<u64, B256>,
    /// Ends the call when its time is up.
    pub interrupt: Option<Interrupt>,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self {
            checks: Checks::CALL,
            state: StateOverrides::new(),
            precompiles: PrecompileMoves::new(),
            block_hashes: BTreeMap::new(),
            interrupt: None,
        }
    }
}

/// Executes `tx` in the block `env` on `state` and forgets what it changed.
///
/// A call that offers no fee sees a base fee of zero, one that offers no blob fee a blob base fee of zero, as in geth.
///
/// # Errors
/// [`EvmError::Transaction`] if the call is not possible, [`EvmError::State`] from the reader.
pub fn call<R: StateReader>(
    env: BlockEnv,
    tx: &TxRequest,
    options: &CallOptions,
    state: R,
) -> Result<TxOutcome, EvmError<R::Error>> {
    machine(env, tx, options, state)?.transact(tx).map(|(outcome, _)| outcome)
}

/// As [`call`], and names the accounts and slots looked at.
///
/// # Errors
/// As [`call`].
pub fn touch<R: StateReader>(
    env: BlockEnv,
    tx: &TxRequest,
    options: &CallOptions,
    state: R,
) -> Result<(TxOutcome, Touched), EvmError<R::Error>> {
    machine(env, tx, options, state)?.touch(tx)
}

fn machine<R: StateReader>(
    env: BlockEnv,
    tx: &TxRequest,
    options: &CallOptions,
    state: R,
) -> Result<Vm<R>, EvmError<R::Error>> {
    prepare(env, tx, options, Overlay::new(state))
}

/// The machine in which [`call`] executes `tx`, on a state that has changes already.
///
/// # Errors
/// [`EvmError::State`] from the reader.
pub fn prepare<R: StateReader>(
    mut env: BlockEnv,
    tx: &TxRequest,
    options: &CallOptions,
    mut overlay: Overlay<R>,
) -> Result<Vm<R>, EvmError<R::Error>> {
    if tx.fee_cap_wei == 0 && tx.tip_wei.unwrap_or_default() == 0 {
        env.base_fee_wei = 0;
    }
    if tx.blob_fee_cap_wei == 0 {
        env.blob_fee_wei = env.blob_fee_wei.map(|_| 0);
    }
    for (number, hash) in &options.block_hashes {
        overlay.set_block_hash(*number, *hash);
    }
    let overrides = override_changes(&options.state, &overlay).map_err(EvmError::State)?;
    overlay.apply(overrides);
    let mut vm = Vm::new(env, options.checks, overlay);
    vm.move_precompiles(options.precompiles.clone());
    if let Some(interrupt) = &options.interrupt {
        vm.interrupt_when(interrupt.clone());
    }
    Ok(vm)
}

/// What `overrides` make of the state `below`.
///
/// # Errors
/// The reader's error.
pub(crate) fn override_changes<R: StateReader>(
    overrides: &StateOverrides,
    below: &Overlay<R>,
) -> Result<Changes, R::Error> {
    let mut changes = Changes::default();
    // An override that says nothing makes no account.
    for (address, given) in overrides.iter().filter(|(_, given)| **given != AccountOverride::default()) {
        let mut info = below.account(*address)?.unwrap_or_default();
        info.balance = given.balance_wei.unwrap_or(info.balance);
        info.nonce = given.nonce.unwrap_or(info.nonce);
        if let Some(code) = &given.code {
            info.code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(code) };
            changes.codes.insert(info.code_hash, code.clone());
        }
        let mut storage = given.state.clone().unwrap_or_default();
        storage.extend(given.state_diff.clone());
        let change = AccountChange { info: Some(info), wiped: given.state.is_some(), storage };
        changes.accounts.insert(*address, change);
    }
    Ok(changes)
}
