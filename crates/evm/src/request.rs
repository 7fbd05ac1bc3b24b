//! A transaction as execution wants it: recovered from a signed envelope, or put together for a call.
//!
//! Invariant: every field that execution reads is here; a signed transaction converts without loss.
//! What it does not do: it checks no signature; the sender is given.

use alloc::vec::Vec;

use alloy_consensus::Transaction;
use alloy_eips::eip2930::AccessList;
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use interlace_primitives::fees::GAS_PER_BLOB;
use revm::context::TxEnv;
use revm::context_interface::either::Either;

/// A transaction to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxRequest {
    /// EIP-2718 type, 0 to 4.
    pub tx_type: u8,
    /// Sender.
    pub from: Address,
    /// Recipient, or creation.
    pub to: TxKind,
    /// Gas limit.
    pub gas_limit: u64,
    /// Gas price of types 0 and 1, fee cap of the others, in wei per gas.
    pub fee_cap_wei: u128,
    /// Priority fee in wei per gas; `None` for types 0 and 1.
    pub tip_wei: Option<u128>,
    /// Value in wei.
    pub value_wei: U256,
    /// Calldata or init code.
    pub input: Bytes,
    /// Nonce.
    pub nonce: u64,
    /// Chain id; may be absent for type 0.
    pub chain_id: Option<u64>,
    /// EIP-2930 access list.
    pub access_list: AccessList,
    /// EIP-4844 versioned hashes.
    pub blob_hashes: Vec<B256>,
    /// EIP-4844 fee cap in wei per blob gas.
    pub blob_fee_cap_wei: u128,
    /// EIP-7702 authorisations.
    pub authorizations: Vec<SignedAuthorization>,
    /// Sent for an account that a developer's chain impersonates: the sender may have code (EIP-3607 is waived).
    pub impersonated: bool,
}

impl Default for TxRequest {
    fn default() -> Self {
        Self {
            tx_type: 0,
            from: Address::ZERO,
            to: TxKind::Call(Address::ZERO),
            gas_limit: 0,
            fee_cap_wei: 0,
            tip_wei: None,
            value_wei: U256::ZERO,
            input: Bytes::new(),
            nonce: 0,
            chain_id: None,
            access_list: AccessList::default(),
            blob_hashes: Vec::new(),
            blob_fee_cap_wei: 0,
            authorizations: Vec::new(),
            impersonated: false,
        }
    }
}

impl TxRequest {
    /// The request that a transaction signed by `from` makes.
    #[must_use]
    pub fn from_transaction<T: Transaction>(tx: &T, from: Address) -> Self {
        Self {
            tx_type: tx.ty(),
            from,
            to: tx.kind(),
            gas_limit: tx.gas_limit(),
            fee_cap_wei: tx.max_fee_per_gas(),
            tip_wei: tx.max_priority_fee_per_gas(),
            value_wei: tx.value(),
            input: tx.input().clone(),
            nonce: tx.nonce(),
            chain_id: tx.chain_id(),
            access_list: tx.access_list().cloned().unwrap_or_default(),
            blob_hashes: tx.blob_versioned_hashes().map(<[B256]>::to_vec).unwrap_or_default(),
            blob_fee_cap_wei: tx.max_fee_per_blob_gas().unwrap_or_default(),
            authorizations: tx.authorization_list().map(<[SignedAuthorization]>::to_vec).unwrap_or_default(),
            impersonated: false,
        }
    }

    /// Blob gas it takes.
    #[must_use]
    pub fn blob_gas(&self) -> u64 {
        u64::try_from(self.blob_hashes.len()).unwrap_or(u64::MAX).saturating_mul(GAS_PER_BLOB)
    }

    /// Greatest cost in wei: gas limit at the fee cap, value, and blobs at their fee cap; `None` above 256 bits.
    #[must_use]
    pub fn greatest_cost_wei(&self) -> Option<U256> {
        let gas = U256::from(self.gas_limit).checked_mul(U256::from(self.fee_cap_wei))?;
        let blobs = U256::from(self.blob_gas()).checked_mul(U256::from(self.blob_fee_cap_wei))?;
        gas.checked_add(blobs)?.checked_add(self.value_wei)
    }

    pub(crate) fn to_revm(&self) -> TxEnv {
        TxEnv {
            tx_type: self.tx_type,
            caller: self.from,
            gas_limit: self.gas_limit,
            gas_price: self.fee_cap_wei,
            kind: self.to,
            value: self.value_wei,
            data: self.input.clone(),
            nonce: self.nonce,
            chain_id: self.chain_id,
            access_list: self.access_list.clone(),
            gas_priority_fee: self.tip_wei,
            blob_hashes: self.blob_hashes.clone(),
            max_fee_per_blob_gas: self.blob_fee_cap_wei,
            authorization_list: self.authorizations.iter().cloned().map(Either::Left).collect(),
        }
    }
}
