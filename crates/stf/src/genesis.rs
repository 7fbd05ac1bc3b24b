//! Block zero: allocated accounts, contracts deployed by running their constructors in place, and the header.
//!
//! Invariant: the same genesis file gives the same state and the same hash on every machine.
//! Source: geth's genesis format (core/genesis.go); EIP-4788, 2935, 7002 and 7251 for the system contracts.
//! What it does not do: it reads no file and computes no state root.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use alloy_consensus::constants::EMPTY_WITHDRAWALS;
use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, EMPTY_ROOT_HASH, Header};
use alloy_eips::eip7685::EMPTY_REQUESTS_HASH;
use alloy_eips::{eip2935, eip4788, eip7002, eip7251};
use alloy_genesis::{Genesis, GenesisAccount};
use alloy_primitives::{Address, B64, B256, Bytes, KECCAK256_EMPTY, U256, address, keccak256};
use interlace_evm::{Account, AccountChange, BlockEnv, Changes, Checks, EvmError, Overlay, StateReader, Status, Vm};
use interlace_primitives::fees::INITIAL_BASE_FEE_WEI;
use interlace_primitives::{ChainSpec, Fork};

/// Caller of the constructors that run at genesis.
pub const GENESIS_DEPLOYER: Address = address!("0x1ace0000000000000000000000000000000000ff");
/// Gas of each of those constructors.
const DEPLOYMENT_GAS: u64 = 1 << 63;

/// A contract deployed at genesis by running its constructor in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// Where it lives.
    pub address: Address,
    /// Init code with the constructor's arguments appended.
    pub initcode: Bytes,
    /// Balance in wei that the constructor is called with, created for it.
    pub value_wei: U256,
}

/// The accounts of a genesis file's `alloc`, as changes to an empty state.
#[must_use]
pub fn alloc_changes(alloc: &BTreeMap<Address, GenesisAccount>) -> Changes {
    let mut changes = Changes::default();
    for (address, account) in alloc {
        let code = account.code.clone().unwrap_or_default();
        let code_hash = if code.is_empty() { KECCAK256_EMPTY } else { keccak256(&code) };
        if !code.is_empty() {
            changes.codes.insert(code_hash, code);
        }
        let info = Account { nonce: account.nonce.unwrap_or_default(), balance: account.balance, code_hash };
        let slots = account.storage.iter().flatten();
        let storage = slots.map(|(slot, value)| ((*slot).into(), (*value).into())).collect();
        changes.accounts.insert(*address, AccountChange { info: Some(info), wiped: true, storage });
    }
    changes
}

/// Contracts that the protocol itself calls under `fork`, with their code; they have nonce 1 and no storage.
///
/// A chain without the last two cannot make blocks from Prague on.
#[must_use]
pub fn system_contracts(fork: Fork) -> Vec<(Address, Bytes)> {
    let all = [
        (Fork::Cancun, eip4788::BEACON_ROOTS_ADDRESS, &eip4788::BEACON_ROOTS_CODE),
        (Fork::Prague, eip2935::HISTORY_STORAGE_ADDRESS, &eip2935::HISTORY_STORAGE_CODE),
        (Fork::Prague, eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, &eip7002::WITHDRAWAL_REQUEST_PREDEPLOY_CODE),
        (
            Fork::Prague,
            eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS,
            &eip7251::CONSOLIDATION_REQUEST_PREDEPLOY_CODE,
        ),
    ];
    all.into_iter()
        .filter(|(since, _, _)| fork >= *since)
        .map(|(_, address, code)| (address, (*code).clone()))
        .collect()
}

/// Why a contract could not be deployed at genesis.
#[derive(Debug, thiserror::Error)]
pub enum GenesisError<E: core::error::Error + 'static> {
    /// The constructor did not succeed.
    #[error("deployment {index} at {address}: constructor ended with {reason}; returned {output}")]
    Constructor {
        /// Position in the list.
        index: usize,
        /// Where it should live.
        address: Address,
        /// How it ended.
        reason: String,
        /// Data it returned, for example a revert reason.
        output: Bytes,
    },
    /// The state could not be read.
    #[error("state could not be read: {0}")]
    State(#[source] E),
    /// The interpreter refused to run.
    #[error("interpreter: {0}")]
    Interpreter(String),
}

impl<E: core::error::Error + 'static> GenesisError<E> {
    /// Stable identifier of the cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Constructor { .. } => "engine.genesis-constructor",
            Self::State(_) => "engine.state",
            Self::Interpreter(_) => "engine.interpreter",
        }
    }
}

/// Runs the constructors of `deployments`, in order, on `state` in the block `env`, and returns what they change.
///
/// # Errors
/// [`GenesisError::Constructor`] for the first that does not succeed.
pub fn deploy<R: StateReader>(
    env: BlockEnv,
    deployments: &[Deployment],
    state: R,
) -> Result<Changes, GenesisError<R::Error>> {
    let mut vm = Vm::new(env, Checks::CALL, Overlay::new(state));
    for (index, Deployment { address, initcode, value_wei }) in deployments.iter().enumerate() {
        let outcome = vm.deploy_at(GENESIS_DEPLOYER, *address, initcode.clone(), *value_wei, DEPLOYMENT_GAS).map_err(
            |error| match error {
                EvmError::State(error) => GenesisError::State(error),
                other => GenesisError::Interpreter(alloc::format!("{other}")),
            },
        )?;
        if outcome.status != Status::Success {
            let reason = match outcome.status {
                Status::Halt(halt) => alloc::format!("{halt}"),
                _ => "revert".into(),
            };
            return Err(GenesisError::Constructor { index, address: *address, reason, output: outcome.output });
        }
    }
    Ok(vm.into_overlay().take_changes())
}

/// The header of block zero.
#[must_use]
pub fn genesis_header(spec: &ChainSpec, genesis: &Genesis, state_root: B256) -> Header {
    let number = genesis.number.unwrap_or_default();
    let fork = spec.fork_at(number, genesis.timestamp);
    let base_fee_wei = genesis.base_fee_per_gas.map(|fee| u64::try_from(fee).unwrap_or(u64::MAX));
    Header {
        parent_hash: genesis.parent_hash.unwrap_or_default(),
        ommers_hash: EMPTY_OMMER_ROOT_HASH,
        beneficiary: genesis.coinbase,
        state_root,
        transactions_root: EMPTY_ROOT_HASH,
        receipts_root: EMPTY_ROOT_HASH,
        difficulty: genesis.difficulty,
        number,
        gas_limit: genesis.gas_limit,
        timestamp: genesis.timestamp,
        extra_data: genesis.extra_data.clone(),
        mix_hash: genesis.mix_hash,
        nonce: B64::from(genesis.nonce),
        base_fee_per_gas: (fork >= Fork::London).then(|| base_fee_wei.unwrap_or(INITIAL_BASE_FEE_WEI)),
        withdrawals_root: (fork >= Fork::Shanghai).then_some(EMPTY_WITHDRAWALS),
        blob_gas_used: (fork >= Fork::Cancun).then(|| genesis.blob_gas_used.unwrap_or_default()),
        excess_blob_gas: (fork >= Fork::Cancun).then(|| genesis.excess_blob_gas.unwrap_or_default()),
        parent_beacon_block_root: (fork >= Fork::Cancun).then_some(B256::ZERO),
        requests_hash: (fork >= Fork::Prague).then_some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}
