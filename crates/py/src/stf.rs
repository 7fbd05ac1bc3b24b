//! Python's view of the block engine: blocks executed again from their bytes.

use interlace_state::reexecute;
use interlace_stf::{BlockOutput, Status, TxOutcome};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::{Value, json};

use crate::border::{CoreError, enter};

/// Executes `blocks` (RLP each) on the accounts of a genesis `alloc`, the state after the header `parent` (RLP), by the
/// rules of a genesis `config`; both objects as JSON. Checks every block in full, its state root included, and returns a
/// JSON array with one object per block.
#[pyfunction]
fn execute_blocks<'py>(
    py: Python<'py>,
    alloc: &str,
    config: &str,
    parent: &[u8],
    blocks: Vec<Vec<u8>>,
) -> PyResult<Bound<'py, PyBytes>> {
    let json = enter(py, || {
        let outputs =
            reexecute(alloc, config, parent, &blocks).map_err(|error| CoreError::new(error.code(), &error))?;
        Ok(outputs.iter().map(block_json).collect::<Value>().to_string())
    })?;
    Ok(PyBytes::new(py, json.as_bytes()))
}

fn block_json(output: &BlockOutput) -> Value {
    let header = &output.header;
    let receipts: Vec<Value> = output.outcomes.iter().map(receipt_json).collect();
    json!({
        "hash": header.hash_slow(),
        "state_root": header.state_root,
        "transactions_root": header.transactions_root,
        "receipts_root": header.receipts_root,
        "withdrawals_root": header.withdrawals_root,
        "requests_hash": header.requests_hash,
        "logs_bloom": header.logs_bloom,
        "gas_used": header.gas_used,
        "blob_gas_used": header.blob_gas_used,
        "requests": output.requests,
        "receipts": receipts,
    })
}

fn receipt_json(outcome: &TxOutcome) -> Value {
    let logs: Vec<Value> = outcome
        .logs
        .iter()
        .map(|log| json!({"address": log.address, "topics": log.topics(), "data": log.data.data}))
        .collect();
    let halt = match &outcome.status {
        Status::Halt(halt) => Some(halt.to_string()),
        Status::Success | Status::Revert => None,
    };
    json!({
        "success": outcome.is_success(),
        "halt": halt,
        "gas_used": outcome.gas_used,
        "output": outcome.output,
        "created": outcome.created,
        "logs": logs,
    })
}

pub(crate) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(execute_blocks, m)?)
}
