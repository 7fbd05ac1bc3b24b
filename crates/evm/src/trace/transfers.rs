//! Logs with their places, and if wanted with one more for each transfer of value, as an ERC-20 would have emitted it.
//!
//! Invariant: logs of a call that fails disappear with everything below it; a transfer stands before what the called code logs.
//! Source: execution-apis `eth_simulateV1` (`traceTransfers`); geth internal/ethapi/logtracer.go, whose rules are: any frame with a
//! value but a delegated one, and a destruction that moves a balance.
//! What it does not do: fees, rewards and withdrawals, which no call moves.

use alloc::vec;
use alloc::vec::Vec;

use alloy_primitives::{Address, B256, Bytes, Log, LogData, U256, address, b256};

/// Who the added logs say they are from.
pub const TRANSFER_LOG_ADDRESS: Address = address!("eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee");
/// `Transfer(address,address,uint256)`.
const TRANSFER_TOPIC: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");

/// Logs that are kept, each with its index among all that were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenLogs {
    /// In order; those of calls that failed are dropped.
    pub kept: Vec<(u64, Log)>,
    /// How many were seen, those dropped included.
    pub seen: u64,
}

/// Logs by open frame, outermost first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transfers {
    /// Whether transfers are shown as logs.
    shows_transfers: bool,
    frames: Vec<Vec<(u64, Log)>>,
    logs: SeenLogs,
}

impl Transfers {
    pub(crate) fn new(shows_transfers: bool) -> Self {
        Self { shows_transfers, ..Self::default() }
    }

    pub(crate) fn enter(&mut self) {
        self.frames.push(Vec::new());
    }

    pub(crate) fn log(&mut self, log: Log) {
        let log = (self.logs.seen, log);
        self.logs.seen += 1;
        match self.frames.last_mut() {
            Some(frame) => frame.push(log),
            None => self.logs.kept.push(log),
        }
    }

    pub(crate) fn transfer(&mut self, from: Address, to: Address, value: U256) {
        if !self.shows_transfers || value.is_zero() {
            return;
        }
        let topics = vec![TRANSFER_TOPIC, from.into_word(), to.into_word()];
        let data = Bytes::from(value.to_be_bytes::<32>());
        self.log(Log { address: TRANSFER_LOG_ADDRESS, data: LogData::new_unchecked(topics, data) });
    }

    pub(crate) fn exit(&mut self, success: bool) {
        let Some(frame) = self.frames.pop() else { return };
        if success {
            match self.frames.last_mut() {
                Some(parent) => parent.extend(frame),
                None => self.logs.kept.extend(frame),
            }
        }
    }

    /// What is left at the end of a transaction.
    pub(crate) fn into_logs(self, success: bool) -> SeenLogs {
        let SeenLogs { kept, seen } = self.logs;
        SeenLogs { kept: if success { kept } else { Vec::new() }, seen }
    }
}
