//! revm without our adapter: its own builder of environments, its own in-memory database, its own commit.
//!
//! It is the oracle of replays of transactions that come without a header: what the adapter (reader, overlay, changes,
//! checks) adds must not show in any result.
//! Invariant: nothing here uses `overlay`, `changes`, `vm` or the conversions of `env` and `request`.
//! What it does not do: it serves no node; it holds the whole state in memory.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use alloy_primitives::{Address, Bytes, Log, U256};
use revm::ExecuteCommitEvm;
use revm::context::either::Either;
use revm::context::{BlockEnv as RevmBlock, CfgEnv, Context, TxEnv};
use revm::context_interface::block::BlobExcessGasAndPrice;
use revm::database::{AccountState, CacheDB, EmptyDB};
use revm::handler::{MainBuilder, MainContext, MainnetContext, MainnetEvm};
use revm::primitives::hardfork::SpecId;
use revm::state::{AccountInfo, Bytecode};

use crate::env::{BlockEnv, spec_id};
use crate::reader::Account;
use crate::request::TxRequest;

/// What plain revm says about a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlainOutcome {
    /// Whether it succeeded.
    pub success: bool,
    /// Gas that the sender pays for.
    pub gas_used: u64,
    /// Logs emitted.
    pub logs: Vec<Log>,
    /// Returned data, revert data, or deployed code.
    pub output: Bytes,
}

/// revm's mainnet machine over its in-memory database.
pub struct Plain {
    evm: MainnetEvm<MainnetContext<CacheDB<EmptyDB>>>,
}

impl core::fmt::Debug for Plain {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Plain").finish_non_exhaustive()
    }
}

impl Plain {
    /// A machine for the block `env` over an empty state.
    #[must_use]
    pub fn new(env: &BlockEnv) -> Self {
        let spec: SpecId = spec_id(env.fork);
        let mut cfg = CfgEnv::new_with_spec(spec);
        cfg.chain_id = env.chain_id;
        cfg.max_blobs_per_tx = env.max_blobs_per_transaction;
        let block = RevmBlock {
            number: U256::from(env.number),
            beneficiary: env.beneficiary,
            timestamp: U256::from(env.timestamp),
            gas_limit: env.gas_limit,
            basefee: env.base_fee_wei,
            difficulty: env.difficulty,
            prevrandao: Some(env.prev_randao).filter(|_| spec.is_enabled_in(SpecId::MERGE)),
            blob_excess_gas_and_price: env
                .blob_fee_wei
                .map(|blob_gasprice| BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice }),
            ..RevmBlock::default()
        };
        let evm = Context::mainnet().with_db(CacheDB::default()).with_cfg(cfg).with_block(block).build_mainnet();
        Self { evm }
    }

    /// Puts an account into the state.
    pub fn insert(
        &mut self,
        address: Address,
        account: &Account,
        code: Bytes,
        storage: impl Iterator<Item = (U256, U256)>,
    ) {
        let mut info = AccountInfo::from_balance(account.balance).with_nonce(account.nonce);
        if !code.is_empty() {
            info = info.with_code(Bytecode::new_raw(code));
        }
        let db = &mut self.evm.ctx.journaled_state.database;
        db.insert_account_info(address, info);
        if let Some(entry) = db.cache.accounts.get_mut(&address) {
            entry.storage.extend(storage);
        }
    }

    /// Executes `tx` and keeps what it changed.
    ///
    /// # Errors
    /// Why revm refuses it, in revm's words.
    pub fn execute(&mut self, tx: &TxRequest) -> Result<PlainOutcome, String> {
        let env = TxEnv::builder()
            .tx_type(Some(tx.tx_type))
            .caller(tx.from)
            .kind(tx.to)
            .gas_limit(tx.gas_limit)
            .gas_price(tx.fee_cap_wei)
            .gas_priority_fee(tx.tip_wei)
            .value(tx.value_wei)
            .data(tx.input.clone())
            .nonce(tx.nonce)
            .chain_id(tx.chain_id)
            .access_list(tx.access_list.clone())
            .blob_hashes(tx.blob_hashes.clone())
            .max_fee_per_blob_gas(tx.blob_fee_cap_wei)
            .authorization_list(tx.authorizations.iter().cloned().map(Either::Left).collect())
            .build()
            .map_err(|error| format!("{error:?}"))?;
        let result = self.evm.transact_commit(env).map_err(|error| error.to_string())?;
        Ok(PlainOutcome {
            success: result.is_success(),
            gas_used: result.tx_gas_used(),
            output: result.output().cloned().unwrap_or_default(),
            logs: result.into_logs(),
        })
    }

    /// Every account that the state holds: what it is (`None`: it does not exist) and its slots.
    pub fn accounts(&self) -> impl Iterator<Item = (Address, Option<Account>, Vec<(U256, U256)>)> {
        self.evm.ctx.journaled_state.database.cache.accounts.iter().map(|(address, held)| {
            let info = &held.info;
            let account = Account { nonce: info.nonce, balance: info.balance, code_hash: info.code_hash };
            let absent = held.account_state == AccountState::NotExisting || account.is_empty();
            (*address, (!absent).then_some(account), held.storage.iter().map(|(slot, value)| (*slot, *value)).collect())
        })
    }
}
