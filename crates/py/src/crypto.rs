//! Python's view of the chain's signatures and hash: keccak-256 and recoverable secp256k1 ECDSA.
//!
//! Invariant: signatures are 65 bytes, r ‖ s ‖ v with v in {27, 28} and s in the lower half of the order (EIP-2);
//! a signature outside that form recovers to nothing. Keys are read, used and never stored, shown or logged.
//! What it does not do: it keeps no keys and knows no record format; callers bring the 32-byte digest.

use alloy_consensus::{SignableTransaction, TxEip1559};
use alloy_eips::eip2718::Encodable2718;
use alloy_eips::eip2930::AccessList;
use alloy_primitives::{TxKind, U256, keccak256 as keccak};
use k256::ecdsa::{RecoveryId, Signature, SigningKey, VerifyingKey};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rayon::prelude::*;

use crate::border::{CoreError, enter};

/// Bytes of a private key and of a digest.
const WORD: usize = 32;
/// Bytes of a signature r ‖ s ‖ v.
const SIGNATURE: usize = 65;

fn signing_key(key: &[u8]) -> Result<SigningKey, CoreError> {
    // The key itself is deliberately absent from the message.
    let refuse = || CoreError::new("chain.bad-key", "a private key is 32 bytes, not zero and below the curve's order");
    if key.len() != WORD {
        return Err(refuse());
    }
    SigningKey::from_slice(key).map_err(|_| refuse())
}

fn address_of(key: &VerifyingKey) -> [u8; 20] {
    let point = key.to_sec1_point(false);
    let hash = keccak(point.as_bytes().get(1..).unwrap_or_default());
    let mut address = [0u8; 20];
    address.copy_from_slice(&hash[12..]);
    address
}

fn recover(digest: &[u8], signature: &[u8]) -> Option<[u8; 20]> {
    if digest.len() != WORD || signature.len() != SIGNATURE {
        return None;
    }
    let parity = signature[SIGNATURE - 1].checked_sub(27).filter(|parity| *parity < 2)?;
    let rs = Signature::from_slice(&signature[..SIGNATURE - 1]).ok()?;
    if rs.normalize_s() != rs {
        return None;
    }
    let id = RecoveryId::from_byte(parity)?;
    VerifyingKey::recover_from_prehash(digest, &rs, id).ok().map(|key| address_of(&key))
}

/// keccak-256 of `data`.
#[pyfunction]
fn keccak256<'py>(py: Python<'py>, data: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, keccak(data).as_slice())
}

/// Signs the 32-byte `digest`: r ‖ s ‖ v, deterministic nonce (RFC 6979).
#[pyfunction]
fn sign_digest<'py>(py: Python<'py>, key: &[u8], digest: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let bytes = enter(py, || {
        if digest.len() != WORD {
            return Err(CoreError::new("chain.bad-digest", format_args!("digest has {} bytes, not 32", digest.len())));
        }
        let (signature, id) = signing_key(key)?.sign_prehash_recoverable(digest);
        let mut bytes = [0u8; SIGNATURE];
        bytes[..SIGNATURE - 1].copy_from_slice(&signature.to_bytes());
        bytes[SIGNATURE - 1] = 27 + id.to_byte();
        Ok(bytes)
    })?;
    Ok(PyBytes::new(py, &bytes))
}

/// The 20-byte address whose key signed `digest`.
#[pyfunction]
fn recover_digest<'py>(py: Python<'py>, digest: &[u8], signature: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let address = enter(py, || {
        recover(digest, signature).ok_or_else(|| {
            CoreError::new(
                "chain.bad-signature",
                format_args!(
                    "no address signs a digest of {} bytes with this signature of {} bytes (r ‖ s ‖ v, v 27 or 28, low s)",
                    digest.len(),
                    signature.len()
                ),
            )
        })
    })?;
    Ok(PyBytes::new(py, &address))
}

/// Recovers many signatures on all cores; `None` where a pair recovers to nothing.
#[pyfunction]
fn recover_digests<'py>(
    py: Python<'py>,
    digests: Vec<Vec<u8>>,
    signatures: Vec<Vec<u8>>,
) -> PyResult<Vec<Option<Bound<'py, PyBytes>>>> {
    let found = enter(py, || {
        if digests.len() != signatures.len() {
            return Err(CoreError::new(
                "chain.bad-batch",
                format_args!("{} digests beside {} signatures", digests.len(), signatures.len()),
            ));
        }
        Ok(digests
            .par_iter()
            .zip(signatures.par_iter())
            .map(|(digest, signature)| recover(digest, signature))
            .collect::<Vec<_>>())
    })?;
    Ok(found.into_iter().map(|address| address.map(|bytes| PyBytes::new(py, &bytes))).collect())
}

/// The 20-byte address of a private key.
#[pyfunction]
fn address_of_key<'py>(py: Python<'py>, key: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let address = enter(py, || Ok(address_of(signing_key(key)?.verifying_key())))?;
    Ok(PyBytes::new(py, &address))
}

/// The 33-byte compressed public key of a private key.
#[pyfunction]
fn public_key<'py>(py: Python<'py>, key: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let point = enter(py, || Ok(signing_key(key)?.verifying_key().to_sec1_point(true)))?;
    Ok(PyBytes::new(py, point.as_bytes()))
}

/// What one transaction says: nonce, gas limit, fee cap and tip in wei per gas, recipient, value (32 bytes), data.
type Fields = (u64, u64, u128, u128, Option<[u8; 20]>, [u8; 32], Vec<u8>);

/// Signs transactions of type 2 (EIP-1559) on all cores and returns their canonical bytes.
#[pyfunction]
fn sign_transactions<'py>(
    py: Python<'py>,
    key: &[u8],
    chain_id: u64,
    transactions: Vec<Fields>,
) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let signed = enter(py, || {
        let key = signing_key(key)?;
        Ok(transactions.into_par_iter().map(|fields| sign_one(&key, chain_id, fields)).collect::<Vec<_>>())
    })?;
    Ok(signed.iter().map(|bytes| PyBytes::new(py, bytes)).collect())
}

fn sign_one(key: &SigningKey, chain_id: u64, fields: Fields) -> Vec<u8> {
    let (nonce, gas_limit, max_fee_per_gas, max_priority_fee_per_gas, to, value, data) = fields;
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        gas_limit,
        max_fee_per_gas,
        max_priority_fee_per_gas,
        to: to.map_or(TxKind::Create, |to| TxKind::Call(to.into())),
        value: U256::from_be_bytes(value),
        access_list: AccessList::default(),
        input: data.into(),
    };
    let (signature, id) = key.sign_prehash_recoverable(transaction.signature_hash().as_slice());
    let bytes = signature.to_bytes();
    let (r, s) = bytes.split_at(WORD);
    let signature = alloy_primitives::Signature::new(U256::from_be_slice(r), U256::from_be_slice(s), id.is_y_odd());
    transaction.into_signed(signature).encoded_2718()
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(keccak256, m)?)?;
    m.add_function(wrap_pyfunction!(sign_digest, m)?)?;
    m.add_function(wrap_pyfunction!(recover_digest, m)?)?;
    m.add_function(wrap_pyfunction!(recover_digests, m)?)?;
    m.add_function(wrap_pyfunction!(address_of_key, m)?)?;
    m.add_function(wrap_pyfunction!(public_key, m)?)?;
    m.add_function(wrap_pyfunction!(sign_transactions, m)?)
}
