//! A call of eth_simulateV1: the transaction that it stands for, and what came of it.
//!
//! Invariant: the transaction's hash is that of the unsigned envelope with a signature of zeros, as geth makes it.
//! Source: geth internal/ethapi/transaction_args.go and errors.go; execution-apis, eth_simulateV1 (numbers of errors).
//! What it does not do: a legacy transaction shows v 27 where geth shows 0, because its encoding here has no other place for the parity.

use core::cmp::Ordering;

use alloy_consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy_eips::eip7702::SignedAuthorization;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U64, U256};
use alloy_rpc_types_eth::TransactionRequest;
use interlace_state::StateError;
use interlace_stf::trace::TraceError;
use interlace_stf::{Checks, EvmError, Header, PlacedLogs, Status, Transaction, TxError, TxOutcome, TxRequest};
use serde_json::{Value, json};

use crate::call::refused;
use crate::error::RpcError;

/// A call that is complete.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) envelope: Transaction,
    pub(super) request: TxRequest,
    pub(super) checks: Checks,
}

impl Call {
    /// Completes `given`, which has gas and nonce, for a block with this header.
    ///
    /// # Errors
    /// -32000 for fields that exclude each other, -32602 for blobs or authorisations without a target.
    pub(super) fn new(
        given: &TransactionRequest,
        header: &Header,
        chain_id: u64,
        nonce: u64,
        gas_limit: u64,
        validation: bool,
    ) -> Result<Self, RpcError> {
        let dynamic = given.max_fee_per_gas.is_some() || given.max_priority_fee_per_gas.is_some();
        if given.gas_price.is_some() && dynamic {
            return Err(RpcError::refused("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified"));
        }
        if let Some(other) = given.chain_id.filter(|id| *id != chain_id) {
            return Err(RpcError::refused(format!("chainId does not match node's (have={other}, want={chain_id})")));
        }
        let input = given
            .input
            .unique_input()
            .map_err(|_| RpcError::refused("both \"data\" and \"input\" are set and not equal"))?
            .cloned()
            .unwrap_or_default();
        let parts = Parts {
            chain_id,
            nonce,
            gas_limit,
            to: given.to.unwrap_or(TxKind::Create),
            value: given.value.unwrap_or_default(),
            input,
            fee_cap: given.max_fee_per_gas.unwrap_or_default(),
            tip: given.max_priority_fee_per_gas.unwrap_or_default(),
        };
        // Before London there is no other kind of fee.
        let gas_price = given.gas_price.or_else(|| header.base_fee_per_gas.is_none().then_some(0));
        let envelope = parts.envelope(given, gas_price)?;
        let from = given.from.unwrap_or_default();
        let request = TxRequest::from_transaction(&envelope, from);
        // A tip without a cap, or above it, is refused where fees count; where they do not, nobody who offers nothing pays.
        let free = request.fee_cap_wei == 0 && request.tip_wei.unwrap_or_default() == 0;
        let checks = Checks {
            nonce: validation,
            base_fee: validation || !free,
            balance: true,
            sender_is_no_contract: false,
            block_gas_limit: true,
            transaction_gas_cap: false,
        };
        Ok(Self { envelope, request, checks })
    }
}

struct Parts {
    chain_id: u64,
    nonce: u64,
    gas_limit: u64,
    to: TxKind,
    value: U256,
    input: Bytes,
    fee_cap: u128,
    tip: u128,
}

impl Parts {
    fn target(&self) -> Result<Address, RpcError> {
        let refusal = || RpcError::invalid_params("blobs and authorisations need a target: `to` is missing");
        self.to.to().copied().ok_or_else(refusal)
    }

    fn envelope(self, given: &TransactionRequest, gas_price: Option<u128>) -> Result<Transaction, RpcError> {
        fn signed<T: SignableTransaction<Signature>>(tx: T) -> alloy_consensus::Signed<T> {
            tx.into_signed(Signature::new(U256::ZERO, U256::ZERO, false))
        }
        let access_list = given.access_list.clone().unwrap_or_default();
        let authorization_list: Option<Vec<SignedAuthorization>> = given.authorization_list.clone();
        let blob_versioned_hashes: Option<Vec<B256>> = given.blob_versioned_hashes.clone();
        let Self { chain_id, nonce, gas_limit, to, value, fee_cap, tip, .. } = self;
        if let Some(gas_price) = gas_price {
            if given.access_list.is_some() {
                let input = self.input;
                let tx = TxEip2930 { chain_id, nonce, gas_price, gas_limit, to, value, access_list, input };
                return Ok(signed(tx).into());
            }
            let tx = TxLegacy { chain_id: None, nonce, gas_price, gas_limit, to, value, input: self.input };
            return Ok(signed(tx).into());
        }
        if let Some(authorization_list) = authorization_list {
            let tx = TxEip7702 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: fee_cap,
                max_priority_fee_per_gas: tip,
                to: self.target()?,
                value,
                access_list,
                authorization_list,
                input: self.input,
            };
            return Ok(signed(tx).into());
        }
        if let Some(blob_versioned_hashes) = blob_versioned_hashes {
            let tx = TxEip4844 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: fee_cap,
                max_priority_fee_per_gas: tip,
                to: self.target()?,
                value,
                access_list,
                blob_versioned_hashes,
                max_fee_per_blob_gas: given.max_fee_per_blob_gas.unwrap_or_default(),
                input: self.input,
            };
            return Ok(signed(tx).into());
        }
        let tx = TxEip1559 {
            chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fee_cap,
            max_priority_fee_per_gas: tip,
            to,
            value,
            access_list,
            input: self.input,
        };
        Ok(signed(tx).into())
    }
}

/// Refuses a nonce that is not the sender's. It is looked at before the fees, as in geth.
///
/// # Errors
/// -38010, -38011, and -32603 for a nonce without a successor.
pub(super) fn check_nonce(tx: u64, state: u64, gas_limit: u64) -> Result<(), RpcError> {
    Err(numbered(
        match tx.cmp(&state) {
            Ordering::Less => TxError::NonceTooLow { tx, state },
            Ordering::Greater => TxError::NonceTooHigh { tx, state },
            Ordering::Equal if tx == u64::MAX => TxError::NonceAtMaximum(tx),
            Ordering::Equal => return Ok(()),
        },
        gas_limit,
    ))
}

/// Why a call was not executed, under the specification's numbers.
pub(super) fn not_executed(error: TraceError<StateError>, gas_limit: u64, late: impl FnOnce() -> RpcError) -> RpcError {
    match error {
        TraceError::Evm(EvmError::Transaction(error)) => numbered(error, gas_limit),
        TraceError::Evm(error) => refused(error),
        TraceError::Timeout => late(),
        TraceError::TooLarge { .. } => RpcError::limit(error.to_string()),
        TraceError::Options(reason) => RpcError::internal(reason),
    }
}

fn numbered(error: TxError, gas_limit: u64) -> RpcError {
    let code = match &error {
        TxError::NonceTooLow { .. } => -38010,
        TxError::NonceTooHigh { .. } => -38011,
        TxError::FeeCapBelowBaseFee { .. } => -38012,
        TxError::IntrinsicGas { .. } | TxError::FloorGas { .. } => -38013,
        TxError::InsufficientFunds { .. } | TxError::CostOverflow { .. } => -38014,
        TxError::SenderHasCode(_) => -38024,
        TxError::InitcodeTooLarge { .. } => -38025,
        TxError::TipAboveFeeCap { .. } => -32602,
        _ => -32603,
    };
    RpcError::new(code, format!("err: {error} (supplied gas {gas_limit})"))
}

/// What came of a call; its logs do not know their block's hash yet.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) outcome: TxOutcome,
    pub(super) logs: PlacedLogs,
    /// Whether it had less gas than it asked for, or than its block had.
    pub(super) capped: bool,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) header: &'a Header,
    pub(super) block_hash: B256,
    pub(super) tx_hash: B256,
    pub(super) index: usize,
}

impl Outcome {
    /// The entry of the answer.
    pub(super) fn shown(&self, place: Place<'_>) -> Value {
        let Self { outcome, logs, capped } = self;
        let logs: Vec<alloy_rpc_types_eth::Log> = logs
            .iter()
            .map(|(index, log)| alloy_rpc_types_eth::Log {
                inner: log.clone(),
                block_hash: Some(place.block_hash),
                block_number: Some(place.header.number),
                block_timestamp: Some(place.header.timestamp),
                transaction_hash: Some(place.tx_hash),
                transaction_index: Some(place.index as u64),
                log_index: Some(*index),
                removed: false,
            })
            .collect();
        let returned = if outcome.is_success() { outcome.output.clone() } else { Bytes::new() };
        let mut shown = json!({
            "returnData": returned,
            "logs": logs,
            "gasUsed": U64::from(outcome.gas_used),
            "maxUsedGas": U64::from(outcome.gas_spent),
            "status": U64::from(u8::from(outcome.is_success())),
        });
        match &outcome.status {
            Status::Success => {}
            Status::Revert => {
                let error = RpcError::reverted(&outcome.output);
                shown["error"] = json!({ "code": error.code, "message": error.message, "data": error.data });
            }
            Status::Halt(reason) => {
                let capped = if *capped { " (gas limit was capped by the RPC server's global gas cap)" } else { "" };
                shown["error"] = json!({ "code": -32015, "message": format!("{reason}{capped}") });
            }
        }
        shown
    }
}
