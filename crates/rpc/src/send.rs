//! Transactions in: signed ones, those that the node signs for its developer accounts, and those of accounts that it impersonates.
//!
//! Invariant: a transaction answers with its hash only once it is admitted; on an instant chain, once its block is committed too, so that
//! the receipt can be read at once. Keys are used in `accounts` only.
//! Source: execution-apis; EIP-191, EIP-712, EIP-7966.

use std::time::{Duration, Instant};

use alloy_consensus::{SignableTransaction, TypedTransaction};
use alloy_dyn_abi::TypedData;
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, U256, eip191_hash_message};
use alloy_rpc_types_eth::TransactionRequest;
use interlace_chain::pool::PoolTransaction;
use interlace_stf::{Transaction as Envelope, stand_in_signature};
use serde_json::json;

use crate::dispatch::{Method, Rpc, raw_bytes};
use crate::error::RpcError;
use crate::shapes;
use crate::wire::{Params, Reply, reply};

/// Milliseconds that a caller who does not say waits for a receipt.
const SYNC_MS: u64 = 2_000;
/// Milliseconds that a caller may wait for a receipt.
pub(crate) const MAX_SYNC_MS: u64 = 10_000;

pub(crate) const METHODS: &[(&str, Method)] = &[
    ("eth_sendRawTransaction", send_raw),
    ("eth_sendRawTransactionSync", send_raw_sync),
    ("eth_sendTransactionSync", send_sync),
    ("eth_sendTransaction", |rpc, params| send(rpc, params, Signing::KeyOrImpersonation)),
    ("eth_sendUnsignedTransaction", |rpc, params| {
        rpc.chain().developer()?;
        send(rpc, params, Signing::None)
    }),
    ("eth_signTransaction", sign_transaction),
    ("eth_fillTransaction", fill_transaction),
    ("eth_accounts", |rpc, _| reply(rpc.accounts.addresses())),
    ("eth_requestAccounts", |rpc, _| reply(rpc.accounts.addresses())),
    ("eth_sign", |rpc, params| sign(rpc, params.get(0)?, &params.get::<Bytes>(1)?)),
    ("personal_sign", |rpc, params| sign(rpc, params.get(1)?, &params.get::<Bytes>(0)?)),
    ("eth_signTypedData_v4", sign_typed),
];

fn send_raw(rpc: &Rpc, params: &Params<'_>) -> Reply {
    reply(&submit(rpc, PoolTransaction::decode(&raw_bytes(params)?)?)?)
}

fn send_raw_sync(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let wait = wait_of(params)?;
    let hash = submit(rpc, PoolTransaction::decode(&raw_bytes(params)?)?)?;
    receipt_within(rpc, hash, wait)
}

fn send_sync(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let wait = wait_of(params)?;
    let (envelope, sender) = complete(rpc, params.get(0)?, Signing::KeyOrImpersonation)?;
    let hash = submit(rpc, PoolTransaction::new(envelope, sender))?;
    receipt_within(rpc, hash, wait)
}

/// How long the caller is willing to wait for the block, at most [`MAX_SYNC_MS`].
fn wait_of(params: &Params<'_>) -> Result<Duration, RpcError> {
    let asked = params.optional::<u64>(1)?.filter(|ms| *ms > 0).unwrap_or(SYNC_MS);
    Ok(Duration::from_millis(asked.min(MAX_SYNC_MS)))
}

/// The receipt as soon as there is one; else error 4 with the hash, and the transaction goes on waiting for its block.
fn receipt_within(rpc: &Rpc, hash: B256, wait: Duration) -> Reply {
    let end = Instant::now() + wait;
    loop {
        let found = rpc.chain().transaction(&hash);
        if let Some(receipt) = found.and_then(|(block, index)| shapes::receipt(rpc.chain().spec(), &block, index)) {
            return reply(&receipt);
        }
        if Instant::now() >= end {
            let message = format!("the transaction is in no block after {} ms", wait.as_millis());
            return Err(RpcError { data: Some(json!(hash)), ..RpcError::new(4, message) });
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn submit(rpc: &Rpc, transaction: PoolTransaction) -> Result<B256, RpcError> {
    let hash = rpc.chain().submit(vec![Ok(transaction)]).pop();
    let hash = hash.ok_or_else(|| RpcError::internal("a transaction was lost"))??;
    rpc.settle();
    Ok(hash)
}

/// Whose signature a transaction gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signing {
    /// That of one of our accounts.
    Key,
    /// The same, or a stand-in where a developer impersonates the sender.
    KeyOrImpersonation,
    /// A stand-in, whoever sends; for developers' chains only.
    None,
}

fn send(rpc: &Rpc, params: &Params<'_>, signing: Signing) -> Reply {
    let (envelope, sender) = complete(rpc, params.get(0)?, signing)?;
    reply(&submit(rpc, PoolTransaction::new(envelope, sender))?)
}

fn sign_transaction(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let (envelope, _) = complete(rpc, params.get(0)?, Signing::Key)?;
    reply(&json!({ "raw": Bytes::from(envelope.encoded_2718()), "tx": envelope }))
}

/// A transaction for a caller to sign: what is missing is filled in, and its signature is zeros.
fn fill_transaction(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let request: TransactionRequest = params.get(0)?;
    let from = request.from.unwrap_or_default();
    let envelope = sealed(fill(rpc, request, from)?, Signature::new(U256::ZERO, U256::ZERO, false))?;
    reply(&json!({ "raw": Bytes::from(envelope.encoded_2718()), "tx": envelope }))
}

/// Fills what is missing of a request by one of our accounts or by one that is impersonated, and signs it or marks it as unsigned.
pub(crate) fn complete(
    rpc: &Rpc,
    request: TransactionRequest,
    signing: Signing,
) -> Result<(Envelope, Address), RpcError> {
    let from = request.from.ok_or_else(|| RpcError::invalid_params("transaction has no 'from'"))?;
    let has_key = rpc.accounts.addresses().contains(&from);
    let impersonated = match signing {
        Signing::Key => false,
        Signing::KeyOrImpersonation => {
            !has_key && rpc.chain().developer().is_ok_and(|developer| developer.impersonates(from))
        }
        Signing::None => true,
    };
    if !has_key && !impersonated {
        return Err(RpcError::refused(format!("unknown account {from}")));
    }
    let typed = fill(rpc, request, from)?;
    let signature =
        if impersonated { stand_in_signature(from) } else { rpc.accounts.sign(from, &signature_hash(&typed))? };
    Ok((sealed(typed, signature)?, from))
}

/// Fills what is missing of a request by `from`.
fn fill(rpc: &Rpc, mut request: TransactionRequest, from: Address) -> Result<TypedTransaction, RpcError> {
    if request.sidecar.is_some() || request.blob_versioned_hashes.is_some() {
        return Err(RpcError::invalid_params("blob transactions are sent signed, by eth_sendRawTransaction"));
    }
    let input = request.input.unique_input().map_err(|_| RpcError::refused("\"data\" and \"input\" are not equal"))?;
    request.input = input.cloned().into();
    request.chain_id = Some(request.chain_id.unwrap_or_else(|| rpc.chain().spec().chain_id()));
    request.to = Some(request.to.unwrap_or(alloy_primitives::TxKind::Create));
    if request.nonce.is_none() {
        request.nonce = Some(rpc.chain().pending_nonce(from)?);
    }
    fill_fees(rpc, &mut request);
    if request.gas.is_none() {
        // Estimated without a price: what the sender can afford is checked when the transaction is admitted.
        let unpriced = TransactionRequest {
            gas_price: None,
            max_fee_per_gas: None,
            max_priority_fee_per_gas: None,
            ..request.clone()
        };
        request.gas = Some(rpc.estimate_for(&unpriced)?);
    }
    request
        .build_typed_tx()
        .map_err(|request| RpcError::invalid_params(format!("incomplete transaction: {:?}", request.missing_keys())))
}

fn sealed(typed: TypedTransaction, signature: Signature) -> Result<Envelope, RpcError> {
    Ok(match typed {
        TypedTransaction::Legacy(tx) => tx.into_signed(signature).into(),
        TypedTransaction::Eip2930(tx) => tx.into_signed(signature).into(),
        TypedTransaction::Eip1559(tx) => tx.into_signed(signature).into(),
        TypedTransaction::Eip7702(tx) => tx.into_signed(signature).into(),
        TypedTransaction::Eip4844(_) => return Err(RpcError::invalid_params("blob transactions are sent signed")),
    })
}

fn signature_hash(typed: &TypedTransaction) -> B256 {
    match typed {
        TypedTransaction::Legacy(tx) => tx.signature_hash(),
        TypedTransaction::Eip2930(tx) => tx.signature_hash(),
        TypedTransaction::Eip1559(tx) => tx.signature_hash(),
        TypedTransaction::Eip4844(tx) => tx.signature_hash(),
        TypedTransaction::Eip7702(tx) => tx.signature_hash(),
    }
}

/// A price that holds for a few full blocks: twice the base fee, and the suggested tip.
fn fill_fees(rpc: &Rpc, request: &mut TransactionRequest) {
    let london = rpc.chain().head().header.base_fee_per_gas.is_some();
    let legacy = request.transaction_type.is_some_and(|kind| kind < 2) || !london;
    let base_fee = u128::from(rpc.chain().next_base_fee());
    if request.gas_price.is_some() {
        return;
    }
    if legacy {
        request.gas_price = Some(base_fee.saturating_add(rpc.suggested_tip()));
        return;
    }
    let tip = *request.max_priority_fee_per_gas.get_or_insert_with(|| {
        request.max_fee_per_gas.map_or_else(|| rpc.suggested_tip(), |cap| cap.min(rpc.suggested_tip()))
    });
    // A tip near the top of its type is refused later, as one that nobody can pay.
    request.max_fee_per_gas.get_or_insert(base_fee.saturating_mul(2).saturating_add(tip));
}

fn sign(rpc: &Rpc, address: Address, message: &Bytes) -> Reply {
    let signature = rpc.accounts.sign(address, &eip191_hash_message(message))?;
    reply(&Bytes::from(signature.as_bytes().to_vec()))
}

fn sign_typed(rpc: &Rpc, params: &Params<'_>) -> Reply {
    let address: Address = params.get(0)?;
    // Wallets send the document itself or its text.
    let data: TypedData = match params.get::<serde_json::Value>(1)? {
        serde_json::Value::String(text) => serde_json::from_str(&text),
        document => serde_json::from_value(document),
    }
    .map_err(|error| RpcError::invalid_params(format!("invalid argument 1: {error}")))?;
    let digest =
        data.eip712_signing_hash().map_err(|error| RpcError::invalid_params(format!("typed data: {error}")))?;
    let signature = rpc.accounts.sign(address, &digest)?;
    reply(&Bytes::from(signature.as_bytes().to_vec()))
}
