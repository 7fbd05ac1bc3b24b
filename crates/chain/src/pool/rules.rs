//! The rules of the moment: what a transaction must satisfy before it may wait.
//!
//! Invariant: a transaction that passes fails in a block only by what other transactions did meanwhile. Texts and order of the
//! checks are geth's (core/txpool/validation.go); sources: EIP-155, 1559, 2028, 2681, 2930, 3607, 3860, 4844, 7594, 7623, 7702, 7825.

use alloy_consensus::Transaction;
use alloy_eips::eip4844::env_settings::EnvKzgSettings;
use alloy_eips::eip7594::BlobTransactionSidecarVariant;
use alloy_primitives::U256;
use interlace_primitives::Fork;

use super::transaction::PoolTransaction;
use crate::error::ChainError;

/// What admission is checked against: the chain's constants and the head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolRules {
    /// Chain id.
    pub chain_id: u64,
    /// Gas limit of a block.
    pub block_gas_limit: u64,
    /// Version in force at the next block.
    pub fork: Fork,
    /// Most blobs in one transaction; zero before Cancun.
    pub max_blobs: u64,
    /// Least gas price in wei that a developer set; zero is none.
    pub min_gas_price: u128,
}

/// What the rules read of the sender's account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderState {
    /// Next nonce.
    pub nonce: u64,
    /// Balance in wei.
    pub balance: U256,
    /// Whether it has code other than an EIP-7702 delegation.
    pub has_code: bool,
}

/// EIP-7825.
pub const GAS_CAP: u64 = 1 << 24;
const MAX_INITCODE: usize = 49_152;

/// Gas before the first opcode, and the floor of EIP-7623 (zero before Prague).
#[must_use]
pub fn intrinsic_gas(tx: &PoolTransaction, fork: Fork) -> (u64, u64) {
    let input = tx.envelope.input();
    let zeros = input.iter().filter(|byte| **byte == 0).count() as u64;
    let others = input.len() as u64 - zeros;
    let mut gas = 21_000 + zeros * 4 + others * if fork >= Fork::Istanbul { 16 } else { 68 };
    if tx.envelope.is_create() && fork >= Fork::Homestead {
        gas += 32_000;
    }
    if tx.envelope.is_create() && fork >= Fork::Shanghai {
        gas += 2 * (input.len() as u64).div_ceil(32);
    }
    if let Some(list) = tx.envelope.access_list() {
        gas += list.iter().map(|item| 2_400 + 1_900 * item.storage_keys.len() as u64).sum::<u64>();
    }
    gas += 25_000 * tx.envelope.authorization_list().map_or(0, |list| list.len() as u64);
    let floor = if fork >= Fork::Prague { 21_000 + 10 * (zeros + 4 * others) } else { 0 };
    (gas, floor)
}

impl PoolRules {
    /// Everything that does not depend on the sender's account.
    ///
    /// # Errors
    /// The first rule that `tx` breaks.
    pub fn check(&self, tx: &PoolTransaction) -> Result<(), ChainError> {
        let envelope = &tx.envelope;
        let fork = self.fork;
        let kind = envelope.tx_type() as u8;
        let known = match kind {
            0 => true,
            1 => fork >= Fork::Berlin,
            2 => fork >= Fork::London,
            3 => fork >= Fork::Cancun,
            _ => fork >= Fork::Prague,
        };
        if !known {
            return Err(ChainError::TypeNotSupported(kind));
        }
        if let Some(have) = envelope.chain_id().filter(|id| *id != self.chain_id) {
            return Err(ChainError::ChainId { have, want: self.chain_id });
        }
        if tx.nonce() == u64::MAX {
            return Err(ChainError::NonceMax(tx.sender));
        }
        self.check_gas(tx)?;
        let (max_fee, tip) = (tx.max_fee(), tx.max_tip());
        if tip > max_fee {
            return Err(ChainError::TipAboveFeeCap { tip, max_fee });
        }
        if max_fee < self.min_gas_price {
            return Err(ChainError::BelowMinGasPrice { price: max_fee, minimum: self.min_gas_price });
        }
        if kind == 3 {
            self.check_blobs(tx)?;
        }
        if kind == 4 && envelope.authorization_list().is_none_or(<[_]>::is_empty) {
            return Err(ChainError::SetCode("empty authorization list"));
        }
        Ok(())
    }

    fn check_gas(&self, tx: &PoolTransaction) -> Result<(), ChainError> {
        let gas = tx.envelope.gas_limit();
        if self.fork >= Fork::Shanghai && tx.envelope.is_create() && tx.envelope.input().len() > MAX_INITCODE {
            return Err(ChainError::InitcodeSize { size: tx.envelope.input().len(), limit: MAX_INITCODE });
        }
        if gas > self.block_gas_limit {
            return Err(ChainError::ExceedsBlockGas { gas, limit: self.block_gas_limit });
        }
        if self.fork >= Fork::Osaka && gas > GAS_CAP {
            return Err(ChainError::GasCap { cap: GAS_CAP, gas });
        }
        let (minimum, floor) = intrinsic_gas(tx, self.fork);
        if gas < minimum {
            return Err(ChainError::IntrinsicGas { gas, minimum });
        }
        if gas < floor {
            return Err(ChainError::FloorDataGas { gas, minimum: floor });
        }
        Ok(())
    }

    fn check_blobs(&self, tx: &PoolTransaction) -> Result<(), ChainError> {
        let hashes = tx.envelope.blob_versioned_hashes().unwrap_or_default();
        let most = self.max_blobs;
        if hashes.is_empty() {
            return Err(ChainError::Blob("missing blob hashes".into()));
        }
        if hashes.len() as u64 > most {
            return Err(ChainError::Blob(format!("too many blobs: have {}, permitted {most}", hashes.len())));
        }
        let sidecar =
            tx.sidecar.as_deref().ok_or_else(|| ChainError::Blob("missing sidecar: send blobs and proofs".into()))?;
        let settings = EnvKzgSettings::Default.get();
        let valid = match (sidecar, self.fork >= Fork::Osaka) {
            (BlobTransactionSidecarVariant::Eip4844(sidecar), false) => sidecar.validate(hashes, settings),
            (BlobTransactionSidecarVariant::Eip7594(sidecar), true) => sidecar.validate(hashes, settings),
            (BlobTransactionSidecarVariant::Eip4844(_), true) => {
                return Err(ChainError::Blob("unexpected sidecar version 0: osaka needs cell proofs".into()));
            }
            (BlobTransactionSidecarVariant::Eip7594(_), false) => {
                return Err(ChainError::Blob("unexpected sidecar version 1: cell proofs come with osaka".into()));
            }
        };
        valid.map_err(|error| ChainError::Blob(error.to_string()))
    }

    /// What depends on the sender's account; `waiting` is what its other waiting transactions may cost.
    ///
    /// # Errors
    /// The first rule that `tx` breaks.
    pub fn check_sender(tx: &PoolTransaction, sender: SenderState, waiting: U256) -> Result<(), ChainError> {
        // EIP-3607 is waived for impersonated senders.
        if sender.has_code && !tx.impersonated {
            return Err(ChainError::SenderHasCode(tx.sender));
        }
        if tx.nonce() < sender.nonce {
            return Err(ChainError::NonceTooLow { next: sender.nonce, nonce: tx.nonce() });
        }
        let cost = tx.cost().saturating_add(waiting);
        if cost > sender.balance {
            let overshot = cost - sender.balance;
            return Err(ChainError::InsufficientFunds { balance: sender.balance, cost, overshot });
        }
        Ok(())
    }
}
