//! Which blocks eth_simulateV1 is to make: the request, checked and completed before anything is executed.
//!
//! Invariant: numbers rise by one and timestamps rise; a gap between numbers is filled with empty blocks, twelve seconds apart.
//! Source: execution-apis, eth_simulateV1; geth internal/ethapi/simulate.go for the order of the checks. Bounds: [`MAX_SIMULATED_BLOCKS`] blocks above
//! the base, [`MAX_SIMULATED_CALLS`] calls.

use alloy_consensus::Header;
use alloy_eips::eip4895::Withdrawal;
use alloy_primitives::{Address, B256, U64, U256};
use alloy_rpc_types_eth::TransactionRequest;
use alloy_rpc_types_eth::state::StateOverride;
use serde::Deserialize;

use crate::error::RpcError;

/// Blocks above the base.
pub(crate) const MAX_SIMULATED_BLOCKS: u64 = 256;
/// Calls of one request.
pub(crate) const MAX_SIMULATED_CALLS: usize = 10_000;
/// Seconds between two blocks when nothing else is said.
const SECONDS: u64 = 12;

/// The request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    #[serde(default)]
    pub(super) block_state_calls: Vec<Block>,
    #[serde(default)]
    pub(super) trace_transfers: bool,
    #[serde(default)]
    pub(super) validation: bool,
    #[serde(default)]
    pub(super) return_full_transactions: bool,
}

/// One block of the request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Block {
    pub(super) block_overrides: Option<Overrides>,
    pub(super) state_overrides: Option<StateOverride>,
    pub(super) calls: Vec<TransactionRequest>,
}

/// What a block's header is to hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Overrides {
    number: Option<U256>,
    time: Option<U64>,
    gas_limit: Option<U64>,
    fee_recipient: Option<Address>,
    prev_randao: Option<B256>,
    difficulty: Option<U256>,
    pub(super) base_fee_per_gas: Option<U256>,
    pub(super) blob_base_fee: Option<U256>,
    pub(super) beacon_root: Option<B256>,
    pub(super) withdrawals: Option<Vec<Withdrawal>>,
}

/// A block to make: its number and time are known.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) number: u64,
    pub(super) timestamp: u64,
    pub(super) overrides: Overrides,
    pub(super) state: StateOverride,
    pub(super) calls: Vec<TransactionRequest>,
}

/// A number of the specification's own range.
const fn code(code: i64, message: String) -> RpcError {
    RpcError { code, message, data: None }
}

fn too_many(message: &str) -> RpcError {
    code(-38026, message.into())
}

/// The blocks that `given` asks for above `base`.
///
/// # Errors
/// -32602 for none, -38026 for too many, -38020 and -38021 for numbers and times that do not rise.
pub(super) fn plan(base: &Header, given: Vec<Block>) -> Result<Vec<Planned>, RpcError> {
    if given.is_empty() {
        return Err(RpcError::invalid_params("empty input"));
    }
    if given.len() as u64 > MAX_SIMULATED_BLOCKS {
        return Err(too_many("too many blocks"));
    }
    let calls: usize = given.iter().map(|block| block.calls.len()).sum();
    if calls > MAX_SIMULATED_CALLS {
        return Err(too_many(&format!("too many calls: {calls} > {MAX_SIMULATED_CALLS}")));
    }
    let mut planned = Vec::new();
    let (mut last, mut time) = (base.number, base.timestamp);
    for Block { block_overrides, state_overrides, calls } in given {
        let overrides = block_overrides.unwrap_or_default();
        let number = overrides.number.unwrap_or_else(|| U256::from(last) + U256::from(1));
        if number <= U256::from(last) {
            return Err(code(-38020, format!("block numbers must be in order: {number} <= {last}")));
        }
        let number = u64::try_from(number)
            .ok()
            .filter(|number| number - base.number <= MAX_SIMULATED_BLOCKS)
            .ok_or_else(|| too_many("too many blocks"))?;
        for number in last + 1..number {
            time = time.saturating_add(SECONDS);
            let (overrides, state, calls) = (Overrides::default(), StateOverride::default(), Vec::new());
            planned.push(Planned { number, timestamp: time, overrides, state, calls });
        }
        let timestamp = overrides.time.map_or_else(|| time.saturating_add(SECONDS), |given| given.to::<u64>());
        if timestamp <= time {
            return Err(code(-38021, format!("block timestamps must be in order: {timestamp} <= {time}")));
        }
        (last, time) = (number, timestamp);
        planned.push(Planned { number, timestamp, overrides, state: state_overrides.unwrap_or_default(), calls });
    }
    Ok(planned)
}

impl Planned {
    /// The header as far as it is known before its parent is: `before` is that of the block before it, or the base's.
    pub(super) fn header(&self, before: &Header, is_merged: bool) -> Header {
        let given = &self.overrides;
        Header {
            number: self.number,
            timestamp: self.timestamp,
            beneficiary: given.fee_recipient.unwrap_or(before.beneficiary),
            gas_limit: given.gas_limit.map_or(before.gas_limit, |limit| limit.to()),
            mix_hash: given.prev_randao.unwrap_or_default(),
            difficulty: if is_merged { U256::ZERO } else { given.difficulty.unwrap_or(before.difficulty) },
            ..Header::default()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn of(text: &str) -> Result<Vec<(u64, u64)>, i64> {
        let base = Header { number: 10, timestamp: 100, ..Header::default() };
        let blocks = plan(&base, serde_json::from_str(text).unwrap()).map_err(|error| error.code)?;
        Ok(blocks.iter().map(|block| (block.number, block.timestamp)).collect())
    }

    #[test]
    fn gaps_are_filled_and_what_is_left_out_follows_the_block_before() {
        assert_eq!(of("[{}]"), Ok(vec![(11, 112)]));
        assert_eq!(
            of(r#"[{"blockOverrides":{"number":"0xd"}},{}]"#),
            Ok(vec![(11, 112), (12, 124), (13, 136), (14, 148)])
        );
        assert_eq!(of(r#"[{"blockOverrides":{"time":"0x65"}},{}]"#), Ok(vec![(11, 101), (12, 113)]));
        assert_eq!(of(r#"[{"blockOverrides":{"number":"0x10a"}}]"#).map(|blocks| blocks.len()), Ok(256));
    }

    #[test]
    fn what_does_not_rise_or_is_too_much_is_refused() {
        assert_eq!(of("[]"), Err(-32602));
        assert_eq!(of(r#"[{"blockOverrides":{"number":"0xa"}}]"#), Err(-38020));
        assert_eq!(of(r#"[{},{"blockOverrides":{"number":"0xb"}}]"#), Err(-38020));
        assert_eq!(of(r#"[{"blockOverrides":{"time":"0x64"}}]"#), Err(-38021));
        assert_eq!(of(r#"[{"blockOverrides":{"number":"0xc","time":"0x70"}}]"#), Err(-38021));
        assert_eq!(of(r#"[{"blockOverrides":{"number":"0x10b"}}]"#), Err(-38026));
        let huge = format!(r#"[{{"blockOverrides":{{"number":"0x{}"}}}}]"#, "f".repeat(64));
        assert_eq!(of(&huge), Err(-38026));
        assert_eq!(of(&format!("[{}]", vec!["{}"; 257].join(","))), Err(-38026));
        let calls = format!(r#"[{{"calls":[{}]}}]"#, vec!["{}"; MAX_SIMULATED_CALLS + 1].join(","));
        assert_eq!(of(&calls), Err(-38026));
    }
}
