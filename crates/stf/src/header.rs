//! Rules of a header: those that it must keep by itself, and those that tie it to its parent.
//!
//! Invariant: a header that passes [`validate_header`] has every field of its fork and no other; none of the checks
//! executes anything.
//! Source: execution-specs `validate_header`; EIP-1559, 3675, 4399, 4844, 4895, 7685, 7918, 7934; geth for the gas limit
//! of the first block with a base fee.
//! What it does not do: proof of work is taken as given, and difficulty is the business of `work`.

use alloy_consensus::{EMPTY_OMMER_ROOT_HASH, Header};
use alloy_primitives::{B64, U256};
use interlace_primitives::fees::{
    ELASTICITY_MULTIPLIER, GAS_LIMIT_BOUND_DIVISOR, GAS_PER_BLOB, INITIAL_BASE_FEE_WEI, MAX_GAS_LIMIT, MIN_GAS_LIMIT,
    next_base_fee,
};
use interlace_primitives::{ChainSpec, Fork};

use crate::dao::{DAO_EXTRA_DATA, DAO_EXTRA_DATA_BLOCKS};
use crate::error::HeaderError;

const MAX_EXTRA_DATA_BYTES: usize = 32;

/// Checks what a header must keep by itself, under the fork that its number and timestamp select.
///
/// # Errors
/// The first rule broken.
pub fn validate_fields(spec: &ChainSpec, header: &Header) -> Result<(), HeaderError> {
    let fork = spec.fork_at(header.number, header.timestamp);
    if header.gas_limit > MAX_GAS_LIMIT {
        return Err(HeaderError::GasLimit { header: header.gas_limit, least: MIN_GAS_LIMIT, greatest: MAX_GAS_LIMIT });
    }
    if header.gas_used > header.gas_limit {
        return Err(HeaderError::GasUsed { used: header.gas_used, limit: header.gas_limit });
    }
    if header.extra_data.len() > MAX_EXTRA_DATA_BYTES {
        return Err(HeaderError::ExtraData(header.extra_data.len()));
    }
    if let Some(dao) = spec.dao_fork_block()
        && (dao..dao.saturating_add(DAO_EXTRA_DATA_BLOCKS)).contains(&header.number)
        && *header.extra_data != *DAO_EXTRA_DATA
    {
        return Err(HeaderError::DaoExtraData(header.number));
    }
    fields_of(fork, header)?;
    if fork >= Fork::Paris {
        proof_of_stake_fields(fork, header)?;
    }
    if let (Some(blobs), Some(used)) = (spec.blob_params_at(header.number, header.timestamp), header.blob_gas_used)
        && (used > blobs.max_blob_gas() || used % GAS_PER_BLOB != 0)
    {
        return Err(HeaderError::BlobGasUsed { used, limit: blobs.max_blob_gas() });
    }
    Ok(())
}

fn fields_of(fork: Fork, header: &Header) -> Result<(), HeaderError> {
    let fields = [
        ("baseFeePerGas", header.base_fee_per_gas.is_some(), Some(Fork::London)),
        ("withdrawalsRoot", header.withdrawals_root.is_some(), Some(Fork::Shanghai)),
        ("blobGasUsed", header.blob_gas_used.is_some(), Some(Fork::Cancun)),
        ("excessBlobGas", header.excess_blob_gas.is_some(), Some(Fork::Cancun)),
        ("parentBeaconBlockRoot", header.parent_beacon_block_root.is_some(), Some(Fork::Cancun)),
        ("requestsHash", header.requests_hash.is_some(), Some(Fork::Prague)),
        ("blockAccessListHash", header.block_access_list_hash.is_some(), None),
        ("slotNumber", header.slot_number.is_some(), None),
    ];
    for (field, present, since) in fields {
        match (present, since.is_some_and(|since| fork >= since)) {
            (false, true) => return Err(HeaderError::Missing { field, fork }),
            (true, false) => return Err(HeaderError::NotAllowed { field, fork }),
            _ => {}
        }
    }
    Ok(())
}

fn proof_of_stake_fields(fork: Fork, header: &Header) -> Result<(), HeaderError> {
    let fields = [
        ("difficulty", header.difficulty == U256::ZERO),
        ("nonce", header.nonce == B64::ZERO),
        ("sha3Uncles", header.ommers_hash == EMPTY_OMMER_ROOT_HASH),
    ];
    match fields.into_iter().find(|(_, allowed)| !allowed) {
        Some((field, _)) => Err(HeaderError::NotAllowed { field, fork }),
        None => Ok(()),
    }
}

/// Checks a header by itself and against its parent.
///
/// # Errors
/// The first rule broken.
pub fn validate_header(spec: &ChainSpec, parent: &Header, header: &Header) -> Result<(), HeaderError> {
    validate_fields(spec, header)?;
    let parent_hash = parent.hash_slow();
    if header.parent_hash != parent_hash {
        return Err(HeaderError::ParentHash { header: header.parent_hash, parent: parent_hash });
    }
    if parent.number.checked_add(1) != Some(header.number) {
        return Err(HeaderError::Number { header: header.number, parent: parent.number });
    }
    if header.timestamp <= parent.timestamp {
        return Err(HeaderError::Timestamp { header: header.timestamp, parent: parent.timestamp });
    }
    gas_limit(spec, parent, header)?;
    if let (Some(given), Some(expected)) =
        (header.base_fee_per_gas, expected_base_fee(spec, parent, header.number, header.timestamp))
        && given != expected
    {
        return Err(HeaderError::BaseFee { header: given, expected });
    }
    if let (Some(given), Some(expected)) =
        (header.excess_blob_gas, expected_excess_blob_gas(spec, parent, header.number, header.timestamp))
        && given != expected
    {
        return Err(HeaderError::ExcessBlobGas { header: given, expected });
    }
    Ok(())
}

fn gas_limit(spec: &ChainSpec, parent: &Header, header: &Header) -> Result<(), HeaderError> {
    // The first block with a base fee doubles the limit, so that its target is the limit from before.
    let first_with_base_fee = is_first(spec, Fork::London, parent, header.number, header.timestamp);
    let factor = if first_with_base_fee { ELASTICITY_MULTIPLIER } else { 1 };
    let around = parent.gas_limit.saturating_mul(factor);
    let distance = (around / GAS_LIMIT_BOUND_DIVISOR).saturating_sub(1);
    let least = around.saturating_sub(distance).max(MIN_GAS_LIMIT);
    let greatest = around.saturating_add(distance).min(MAX_GAS_LIMIT);
    if (least..=greatest).contains(&header.gas_limit) {
        Ok(())
    } else {
        Err(HeaderError::GasLimit { header: header.gas_limit, least, greatest })
    }
}

/// Whether a child of `parent` with this number and timestamp is the first block of `fork`.
fn is_first(spec: &ChainSpec, fork: Fork, parent: &Header, number: u64, timestamp: u64) -> bool {
    spec.is_active(fork, number, timestamp) && !spec.is_active(fork, parent.number, parent.timestamp)
}

/// Base fee of a child of `parent` in wei; `None` before London.
pub fn expected_base_fee(spec: &ChainSpec, parent: &Header, number: u64, timestamp: u64) -> Option<u64> {
    if !spec.is_active(Fork::London, number, timestamp) {
        return None;
    }
    if is_first(spec, Fork::London, parent, number, timestamp) {
        return Some(INITIAL_BASE_FEE_WEI);
    }
    let base_fee_wei = parent.base_fee_per_gas.unwrap_or(INITIAL_BASE_FEE_WEI);
    Some(next_base_fee(parent.gas_used, parent.gas_limit, base_fee_wei))
}

/// Excess blob gas of a child of `parent`; `None` before Cancun.
pub fn expected_excess_blob_gas(spec: &ChainSpec, parent: &Header, number: u64, timestamp: u64) -> Option<u64> {
    let blobs = spec.blob_params_at(number, timestamp)?;
    Some(blobs.next_excess_blob_gas(
        parent.excess_blob_gas.unwrap_or_default(),
        parent.blob_gas_used.unwrap_or_default(),
        parent.base_fee_per_gas.unwrap_or_default(),
    ))
}
