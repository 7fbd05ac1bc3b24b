//! Executing a block that exists: every transaction in order, then what the header claims against what came out.
//!
//! Invariant: a block that returns without error is valid but for its state root, which the caller checks after applying
//! the changes.
//! What it does not do: it recovers no senders (that is the larger part of the work and runs on all cores elsewhere).

use alloy_consensus::Header;
use alloy_primitives::Address;
use alloy_rlp::Encodable;
use interlace_evm::StateReader;
use interlace_primitives::fees::MAX_RLP_BLOCK_BYTES;
use interlace_primitives::{ChainSpec, Fork};

use crate::block::Block;
use crate::builder::{BlockBuilder, StateRoots, ommers_hash};
use crate::error::{BlockError, HeaderError};
use crate::header::{validate_fields, validate_header};
use crate::output::BlockOutput;

const MAX_OMMERS: usize = 2;
/// An ommer is at least one and at most six blocks older than the block that names it.
pub(crate) const MAX_OMMER_AGE: u64 = 6;

/// Executes `block` on `state`, the state after `parent`, and checks everything but the state root.
///
/// `senders` are the recovered senders of the transactions, in order; see [`crate::recover_senders`]. `roots` is as in [`run`].
///
/// # Errors
/// The first rule that the block breaks, or the reader's error.
pub fn execute<R: StateReader>(
    spec: &ChainSpec,
    parent: &Header,
    block: &Block,
    senders: &[Address],
    state: R,
    roots: Option<StateRoots<'_, R::Error>>,
) -> Result<BlockOutput, BlockError<R::Error>> {
    validate_header(spec, parent, &block.header)?;
    let output = run(spec, block, senders, state, roots)?;
    output.verify(&block.header)?;
    Ok(output)
}

/// Executes `block` on `state` without its parent's header, and without comparing the result to the header: a caller
/// that replays history does that with [`BlockOutput::verify`] and may report what differs.
///
/// `roots` gives state roots between transactions, which receipts hold before Byzantium; without it, the receipts root
/// of such a block is not computed, and the output says so.
///
/// # Errors
/// The first rule that the block breaks by itself, or the reader's error.
pub fn run<R: StateReader>(
    spec: &ChainSpec,
    block: &Block,
    senders: &[Address],
    state: R,
    roots: Option<StateRoots<'_, R::Error>>,
) -> Result<BlockOutput, BlockError<R::Error>> {
    let mut builder = begin(spec, block, senders, state, roots)?;
    for (index, (tx, sender)) in block.body.transactions.iter().zip(senders).enumerate() {
        builder.push(tx, *sender).map_err(|error| BlockError::at(index, *tx.tx_hash(), error))?;
    }
    builder.finish()
}

/// Begins `block` as [`run`] does: what it says by itself is checked, what comes before transactions is done, and none is executed.
///
/// # Errors
/// As [`run`].
pub fn begin<'a, R: StateReader>(
    spec: &ChainSpec,
    block: &Block,
    senders: &[Address],
    state: R,
    roots: Option<StateRoots<'a, R::Error>>,
) -> Result<BlockBuilder<'a, R>, BlockError<R::Error>> {
    let transactions = &block.body.transactions;
    if transactions.len() != senders.len() {
        return Err(BlockError::Senders { transactions: transactions.len(), senders: senders.len() });
    }
    validate_fields(spec, &block.header)?;
    validate_body(spec, block)?;
    let withdrawals = block.body.withdrawals.as_ref().map(|list| list.to_vec());
    let ommers = block.body.ommers.clone();
    let mut builder = BlockBuilder::resume(spec, block.header.clone(), ommers, withdrawals, state, roots)?;
    builder.expect(transactions.len());
    Ok(builder)
}

/// Rules of the body that need no execution.
fn validate_body(spec: &ChainSpec, block: &Block) -> Result<(), HeaderError> {
    let header = &block.header;
    let fork = spec.fork_at(header.number, header.timestamp);
    match (&block.body.withdrawals, fork >= Fork::Shanghai) {
        (None, true) => return Err(HeaderError::Missing { field: "withdrawals", fork }),
        (Some(_), false) => return Err(HeaderError::NotAllowed { field: "withdrawals", fork }),
        _ => {}
    }
    if fork >= Fork::Osaka {
        let size = block.length();
        if size > MAX_RLP_BLOCK_BYTES {
            return Err(HeaderError::Size { size, limit: MAX_RLP_BLOCK_BYTES });
        }
    }
    validate_ommers(header, &block.body.ommers)
}

/// What can be said about ommers without the chain's history: number, age, and that they differ.
fn validate_ommers(header: &Header, ommers: &[Header]) -> Result<(), HeaderError> {
    if ommers_hash(ommers) != header.ommers_hash {
        return Err(HeaderError::Ommers("the body's list does not hash to sha3Uncles"));
    }
    if ommers.len() > MAX_OMMERS {
        return Err(HeaderError::Ommers("more than two"));
    }
    if let [first, second] = ommers
        && first == second
    {
        return Err(HeaderError::Ommers("the same one twice"));
    }
    for ommer in ommers {
        let age = header.number.saturating_sub(ommer.number);
        if age == 0 || age > MAX_OMMER_AGE {
            return Err(HeaderError::Ommers("not one to six blocks older than the block"));
        }
    }
    Ok(())
}
