//! Python's view of the room `records`: batch hashing of vouchers, claims and receipts, and the settlement tree.
//!
//! Invariant: batches in, batches out, as concatenated canonical bytes; every refusal is a `record.*` code.
//! What it does not do: it knows no JSON, no signature and no link between records.

use alloy_primitives::{Address, B256, U256};
use interlace_primitives::records::{
    Claim, Domain, Receipt, Record, RecordError, Voucher, digests, input_hash as hash_input, merkle_tree as build_tree,
    output_hash as hash_output, settlement_leaf,
};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::border::{CoreError, enter};

impl From<RecordError> for CoreError {
    fn from(error: RecordError) -> Self {
        let code = match error {
            RecordError::Length { .. } => "record.length",
            RecordError::Range { .. } => "record.range",
            RecordError::NoLeaves => "record.no-leaves",
        };
        Self::new(code, error)
    }
}

fn words(bytes: &[u8], kind: &'static str) -> Result<Vec<B256>, CoreError> {
    if !bytes.len().is_multiple_of(32) {
        return Err(RecordError::Length { kind, size: 32, got: bytes.len() }.into());
    }
    Ok(bytes.chunks_exact(32).map(B256::from_slice).collect())
}

fn domain(chain_id: u64, settlement: &[u8]) -> Result<Domain, CoreError> {
    let settlement = Address::try_from(settlement).map_err(|_| RecordError::Length {
        kind: "address",
        size: 20,
        got: settlement.len(),
    })?;
    Ok(Domain { chain_id: U256::from(chain_id), settlement })
}

fn hashes<'py>(
    py: Python<'py>,
    work: impl FnOnce() -> Result<Vec<B256>, CoreError> + Send,
) -> PyResult<Bound<'py, PyBytes>> {
    let found = enter(py, work)?;
    Ok(PyBytes::new(py, &found.concat()))
}

/// EIP-712 digests (32 bytes each) of packed vouchers (352 bytes each).
#[pyfunction]
fn voucher_digests<'py>(
    py: Python<'py>,
    packed: &[u8],
    chain_id: u64,
    settlement: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    hashes(py, || Ok(digests::<Voucher>(packed, &domain(chain_id, settlement)?)?))
}

/// EIP-712 digests (32 bytes each) of packed receipts (160 bytes each).
#[pyfunction]
fn receipt_digests<'py>(
    py: Python<'py>,
    packed: &[u8],
    chain_id: u64,
    settlement: &[u8],
) -> PyResult<Bound<'py, PyBytes>> {
    hashes(py, || Ok(digests::<Receipt>(packed, &domain(chain_id, settlement)?)?))
}

/// `hashStruct` (32 bytes each) of packed claims (256 bytes each).
#[pyfunction]
fn claim_hashes<'py>(py: Python<'py>, packed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    hashes(py, || Ok(Claim::decode_all(packed)?.iter().map(Claim::hash).collect()))
}

/// keccak256("interlace.input.v1" ‖ salt ‖ tensor).
#[pyfunction]
fn input_hash<'py>(py: Python<'py>, salt: &[u8], tensor: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    hashes(py, || {
        let salt = B256::try_from(salt).map_err(|_| RecordError::Length { kind: "salt", size: 32, got: salt.len() })?;
        Ok(vec![hash_input(salt, tensor)])
    })
}

/// keccak256("interlace.output.v1" ‖ tensor).
#[pyfunction]
fn output_hash<'py>(py: Python<'py>, tensor: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    hashes(py, || Ok(vec![hash_output(tensor)]))
}

/// Settlement leaves (32 bytes each) of pairs voucher digest ‖ receipt digest (64 bytes each).
#[pyfunction]
fn settlement_leaves<'py>(py: Python<'py>, pairs: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    hashes(py, || {
        let digests = words(pairs, "digest")?;
        let (pairs, rest) = digests.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(RecordError::Length { kind: "digest pair", size: 64, got: 32 * digests.len() }.into());
        }
        Ok(pairs.iter().map(|[voucher, receipt]| settlement_leaf(*voucher, *receipt)).collect())
    })
}

/// All 2n - 1 nodes of the settlement tree over n leaves (32 bytes each): root first, leaf k at 2n - 2 - k.
#[pyfunction]
fn merkle_tree<'py>(py: Python<'py>, leaves: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    hashes(py, || Ok(build_tree(&words(leaves, "leaf")?)?))
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(voucher_digests, m)?)?;
    m.add_function(wrap_pyfunction!(receipt_digests, m)?)?;
    m.add_function(wrap_pyfunction!(claim_hashes, m)?)?;
    m.add_function(wrap_pyfunction!(input_hash, m)?)?;
    m.add_function(wrap_pyfunction!(output_hash, m)?)?;
    m.add_function(wrap_pyfunction!(settlement_leaves, m)?)?;
    m.add_function(wrap_pyfunction!(merkle_tree, m)?)
}
