//! What the protocol asks of contracts around a block, and what contracts ask of the protocol.
//!
//! Invariant: requests are in ascending order of type, each type at most once, none empty.
//! Source: EIP-4788 and EIP-2935 (before the transactions), EIP-6110, 7002, 7251 and 7685 (after them);
//! execution-specs `parse_deposit_requests` for the layout of a deposit's log.

use alloc::format;
use alloc::vec::Vec;

use alloy_consensus::ReceiptEnvelope;
use alloy_eips::eip2935::HISTORY_STORAGE_ADDRESS;
use alloy_eips::eip4788::BEACON_ROOTS_ADDRESS;
use alloy_eips::eip6110::DEPOSIT_REQUEST_TYPE;
use alloy_eips::eip7002::{SYSTEM_ADDRESS, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS, WITHDRAWAL_REQUEST_TYPE};
use alloy_eips::eip7251::{CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS, CONSOLIDATION_REQUEST_TYPE};
use alloy_primitives::{Address, B256, Bytes, KECCAK256_EMPTY, b256};
use interlace_evm::{EvmError, StateReader, TxOutcome, Vm};

use crate::error::BlockError;

const DEPOSIT_EVENT: B256 = b256!("0x649bbc62d0e31342afea4e5cd82d4049e7e1ee912fc0889aa790803be39038c5");
/// Size of a deposit event's data, in bytes: five offsets, then five byte strings, each padded to 32.
const DEPOSIT_EVENT_BYTES: usize = 576;
/// Offset and length of each byte string: public key, withdrawal credentials, amount, signature, index.
const DEPOSIT_FIELDS: [(usize, usize); 5] = [(160, 48), (256, 32), (320, 8), (384, 96), (512, 8)];

/// Stores the parent beacon block's root (EIP-4788). The call may fail; the block does not.
pub(crate) fn store_beacon_root<R: StateReader>(vm: &mut Vm<R>, root: B256) -> Result<(), BlockError<R::Error>> {
    call(vm, BEACON_ROOTS_ADDRESS, root.0.into()).map(|_| ())
}

/// Stores the parent's hash (EIP-2935). The call may fail; the block does not.
pub(crate) fn store_parent_hash<R: StateReader>(vm: &mut Vm<R>, hash: B256) -> Result<(), BlockError<R::Error>> {
    call(vm, HISTORY_STORAGE_ADDRESS, hash.0.into()).map(|_| ())
}

/// Collects the requests of a block after its transactions and withdrawals.
pub(crate) fn collect<R: StateReader>(
    vm: &mut Vm<R>,
    deposit_contract: Address,
    receipts: &[ReceiptEnvelope],
) -> Result<Vec<Bytes>, BlockError<R::Error>> {
    let mut requests = Vec::new();
    let mut add = |kind: u8, data: &[u8]| {
        if !data.is_empty() {
            requests.push(Bytes::from([&[kind], data].concat()));
        }
    };
    add(DEPOSIT_REQUEST_TYPE, &deposits(deposit_contract, receipts)?);
    add(WITHDRAWAL_REQUEST_TYPE, &dequeue(vm, WITHDRAWAL_REQUEST_PREDEPLOY_ADDRESS)?);
    add(CONSOLIDATION_REQUEST_TYPE, &dequeue(vm, CONSOLIDATION_REQUEST_PREDEPLOY_ADDRESS)?);
    Ok(requests)
}

fn call<R: StateReader>(vm: &mut Vm<R>, target: Address, input: Bytes) -> Result<TxOutcome, BlockError<R::Error>> {
    vm.system_call(SYSTEM_ADDRESS, target, input).map_err(|error| match error {
        EvmError::State(error) => BlockError::State(error),
        other => BlockError::Interpreter(format!("{other}")),
    })
}

/// Calls a contract that must exist and succeed, and takes its queue.
fn dequeue<R: StateReader>(vm: &mut Vm<R>, address: Address) -> Result<Bytes, BlockError<R::Error>> {
    let account = vm.overlay().account(address).map_err(BlockError::State)?;
    if account.is_none_or(|account| account.code_hash == KECCAK256_EMPTY) {
        return Err(BlockError::SystemContract { address, reason: "no code is deployed there".into() });
    }
    let outcome = call(vm, address, Bytes::new())?;
    if !outcome.is_success() {
        return Err(BlockError::SystemContract { address, reason: format!("call ended with {:?}", outcome.status) });
    }
    Ok(outcome.output)
}

fn deposits<E: core::error::Error + 'static>(
    contract: Address,
    receipts: &[ReceiptEnvelope],
) -> Result<Vec<u8>, BlockError<E>> {
    let mut deposits = Vec::new();
    for log in receipts.iter().flat_map(|receipt| receipt.logs()) {
        if log.address == contract && log.topics().first() == Some(&DEPOSIT_EVENT) {
            let fields = deposit_fields(&log.data.data).ok_or(BlockError::Deposit { size: log.data.data.len() })?;
            fields.iter().for_each(|field| deposits.extend_from_slice(field));
        }
    }
    Ok(deposits)
}

/// The five byte strings of a deposit event, if its data has exactly the layout that the deposit contract writes.
fn deposit_fields(data: &[u8]) -> Option<[&[u8]; 5]> {
    if data.len() != DEPOSIT_EVENT_BYTES {
        return None;
    }
    let word = |at: usize| -> Option<usize> {
        let (high, low) = data.get(at..at + 32)?.split_at(24);
        let low: [u8; 8] = low.try_into().ok()?;
        high.iter().all(|byte| *byte == 0).then(|| usize::try_from(u64::from_be_bytes(low)).ok())?
    };
    let mut fields: [&[u8]; 5] = [&[]; 5];
    for (index, (offset, length)) in DEPOSIT_FIELDS.into_iter().enumerate() {
        if word(32 * index)? != offset || word(offset)? != length {
            return None;
        }
        fields[index] = data.get(offset + 32..offset + 32 + length)?;
    }
    Some(fields)
}
