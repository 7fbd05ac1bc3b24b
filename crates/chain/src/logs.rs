//! Finding logs: by block range, address and topics.
//!
//! Invariant: a block is opened only if its header's bloom admits the question, and every match is checked exactly, so blooms decide
//! speed and never the answer. A question spans at most [`MAX_LOG_BLOCKS`] blocks and answers at most [`MAX_LOGS`] logs.
//! Source: yellow paper 4.3.1 (bloom), geth eth/filters.

use alloy_primitives::{Address, B256, Bloom, BloomInput, Log};

use crate::error::ChainError;
use crate::store::StoredBlock;

/// Blocks that one question may span.
pub const MAX_LOG_BLOCKS: u64 = 100_000;
/// Bytes of data that the logs of one answer may have in all.
pub const MAX_LOG_BYTES: usize = 32 * 1024 * 1024;
/// Logs that one answer may have.
pub const MAX_LOGS: usize = 50_000;

/// What is looked for; an empty list stands for anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Any of these addresses.
    pub addresses: Vec<Address>,
    /// For each position, any of these topics.
    pub topics: Vec<Vec<B256>>,
}

/// Where a log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// Index of its transaction in the block.
    pub transaction: usize,
    /// Index of the log in its transaction.
    pub position: usize,
    /// Index of the log in the block.
    pub index: u64,
}

impl LogQuery {
    /// Addresses and topics that it holds.
    #[must_use]
    pub fn options(&self) -> usize {
        self.addresses.len() + self.topics.iter().map(Vec::len).sum::<usize>()
    }

    /// Whether a block or receipt with this bloom may hold a match.
    #[must_use]
    pub fn admits(&self, bloom: &Bloom) -> bool {
        let any =
            |mut inputs: Box<dyn Iterator<Item = BloomInput<'_>> + '_>| inputs.any(|input| bloom.contains_input(input));
        let address = self.addresses.is_empty()
            || any(Box::new(self.addresses.iter().map(|address| BloomInput::Raw(address.as_slice()))));
        address
            && self.topics.iter().all(|options| {
                options.is_empty() || any(Box::new(options.iter().map(|topic| BloomInput::Raw(topic.as_slice()))))
            })
    }

    /// Whether `log` is a match.
    #[must_use]
    pub fn matches(&self, log: &Log) -> bool {
        let topics = log.data.topics();
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.len() <= topics.len()
            && self.topics.iter().zip(topics).all(|(options, topic)| options.is_empty() || options.contains(topic))
    }

    /// The places of all matches in `block`.
    #[must_use]
    pub fn find(&self, block: &StoredBlock) -> Vec<LogPlace> {
        if !self.admits(&block.header.logs_bloom) {
            return Vec::new();
        }
        let mut found = Vec::new();
        for (transaction, receipt) in block.receipts.iter().enumerate() {
            for (position, log) in receipt.envelope.logs().iter().enumerate() {
                if self.matches(log) {
                    found.push(LogPlace { transaction, position, index: receipt.first_log + position as u64 });
                }
            }
        }
        found
    }

    /// Refuses questions that span too much.
    ///
    /// # Errors
    /// `Bound`, also when the range runs backwards.
    pub fn check_range(from: u64, to: u64) -> Result<(), ChainError> {
        if from > to {
            return Err(ChainError::Unknown(format!("invalid block range params: from {from} is after to {to}")));
        }
        if to - from >= MAX_LOG_BLOCKS {
            return Err(ChainError::Bound(format!("block range {from}..{to} spans more than {MAX_LOG_BLOCKS} blocks")));
        }
        Ok(())
    }
}
