//! A transaction as the pool keeps it: decoded, its sender recovered, its figures read once.
//!
//! Invariant: decoding never panics and takes no byte that it does not account for; a `PoolTransaction` is well formed and
//! correctly signed (or [`PoolTransaction::new`] was given a stand-in), but may still be refused by the rules of the moment.
//! Sources: EIP-2718, 2930, 1559, 4844, 7594, 7702 (envelopes). What it does not do: it reads no state.

use std::sync::Arc;

use alloy_consensus::transaction::SignerRecoverable;
use alloy_consensus::{EthereumTxEnvelope, Transaction, TxEip4844WithSidecar};
use alloy_eips::eip2718::{Decodable2718, Encodable2718};
use alloy_eips::eip7594::BlobTransactionSidecarVariant;
use alloy_primitives::{Address, B256, U256};
use interlace_stf::{Transaction as Envelope, unsigned_sender};
use rayon::prelude::*;

use crate::error::ChainError;

/// Bytes that a transaction without blobs may have: about what a transaction of 2^24 gas can pay for (EIP-7623), so that a proof
/// fits. geth has a fourth of it.
pub const MAX_TRANSACTION_BYTES: usize = 512 * 1024;
/// Bytes that a transaction with its blobs may have: nine blobs with proofs fit.
pub const MAX_BLOB_TRANSACTION_BYTES: usize = 2 * 1024 * 1024;

/// A decoded transaction with its sender.
#[derive(Clone, Debug)]
pub struct PoolTransaction {
    /// The envelope; blobs are taken out of it.
    pub envelope: Envelope,
    /// Who signed.
    pub sender: Address,
    /// Hash of the envelope.
    pub hash: B256,
    /// Encoded size in bytes, without blobs.
    pub size: usize,
    /// Blobs with commitments and proofs, where there are any.
    pub sidecar: Option<Arc<BlobTransactionSidecarVariant>>,
    /// Whether a stand-in takes the signature's place, because the sender is impersonated.
    pub impersonated: bool,
}

impl PoolTransaction {
    /// Builds from an envelope whose sender is known.
    #[must_use]
    pub fn new(envelope: Envelope, sender: Address) -> Self {
        let hash = *envelope.tx_hash();
        let size = envelope.encode_2718_len();
        let impersonated = unsigned_sender(&envelope) == Some(sender);
        Self { envelope, sender, hash, size, sidecar: None, impersonated }
    }

    /// Decodes the canonical bytes and recovers the sender.
    ///
    /// # Errors
    /// `Oversized`, `Undecodable`, `InvalidSender`, `Blob`.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChainError> {
        let blob = bytes.first() == Some(&3);
        let limit = if blob { MAX_BLOB_TRANSACTION_BYTES } else { MAX_TRANSACTION_BYTES };
        if bytes.len() > limit {
            return Err(ChainError::Oversized { size: bytes.len(), limit });
        }
        if blob {
            return Self::decode_blob(bytes);
        }
        let envelope = Envelope::decode_2718_exact(bytes).map_err(|error| undecodable(bytes, &error))?;
        Self::recovered(envelope)
    }

    fn decode_blob(bytes: &[u8]) -> Result<Self, ChainError> {
        type Pooled = EthereumTxEnvelope<TxEip4844WithSidecar<BlobTransactionSidecarVariant>>;
        let pooled = match Pooled::decode_2718_exact(bytes) {
            Ok(pooled) => pooled,
            Err(error) => {
                if Envelope::decode_2718_exact(bytes).is_ok() {
                    return Err(ChainError::Blob("missing sidecar: send blobs, commitments and proofs".into()));
                }
                return Err(undecodable(bytes, &error));
            }
        };
        let sidecar = match &pooled {
            EthereumTxEnvelope::Eip4844(signed) => Some(Arc::new(signed.tx().sidecar.clone())),
            _ => None,
        };
        let mut transaction = Self::recovered(pooled.into())?;
        transaction.sidecar = sidecar;
        Ok(transaction)
    }

    fn recovered(envelope: Envelope) -> Result<Self, ChainError> {
        let sender = envelope.recover_signer().map_err(|error| ChainError::InvalidSender(error.to_string()))?;
        Ok(Self::new(envelope, sender))
    }

    /// Nonce.
    #[must_use]
    pub fn nonce(&self) -> u64 {
        self.envelope.nonce()
    }

    /// Most it pays per gas, in wei.
    #[must_use]
    pub fn max_fee(&self) -> u128 {
        self.envelope.max_fee_per_gas()
    }

    /// Most it tips per gas, in wei; the whole price for types without a separate tip.
    #[must_use]
    pub fn max_tip(&self) -> u128 {
        self.envelope.max_priority_fee_per_gas().unwrap_or_else(|| self.envelope.max_fee_per_gas())
    }

    /// What the block's beneficiary gets per gas at `base_fee`; `None` when the fee cap is below it.
    #[must_use]
    pub fn effective_tip(&self, base_fee: u64) -> Option<u128> {
        self.max_fee().checked_sub(u128::from(base_fee)).map(|room| room.min(self.max_tip()))
    }

    /// Most that it may take from the sender, in wei; saturates, so that an absurd price is unaffordable rather than cheap.
    #[must_use]
    pub fn cost(&self) -> U256 {
        let gas = U256::from(self.envelope.gas_limit()).saturating_mul(U256::from(self.max_fee()));
        let blobs = U256::from(self.envelope.blob_gas_used().unwrap_or(0))
            .saturating_mul(U256::from(self.envelope.max_fee_per_blob_gas().unwrap_or(0)));
        gas.saturating_add(blobs).saturating_add(self.envelope.value())
    }
}

fn undecodable(bytes: &[u8], error: &impl core::fmt::Display) -> ChainError {
    match bytes.first() {
        None => ChainError::Undecodable("typed transaction too short".into()),
        Some(kind) if *kind > 4 && *kind < 0x80 => ChainError::Undecodable("transaction type not supported".into()),
        Some(_) => ChainError::Undecodable(format!("rlp: {error}")),
    }
}

/// Decodes and recovers many transactions on all cores, in order.
#[must_use]
pub fn decode_batch(encoded: &[Vec<u8>]) -> Vec<Result<PoolTransaction, ChainError>> {
    match encoded {
        [one] => vec![PoolTransaction::decode(one)],
        many => many.par_iter().map(|bytes| PoolTransaction::decode(bytes)).collect(),
    }
}
