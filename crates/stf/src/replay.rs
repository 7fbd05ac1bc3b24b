//! A block that exists, run again up to one of its transactions, which then can be looked at.
//!
//! Invariant: the machine is as that transaction found it: what comes before all transactions (EIP-4788, EIP-2935, the DAO fork) and
//! those before it have been executed.
//! What it does not do: it compares nothing with the header; a block that the chain holds has been verified.

use alloc::vec::Vec;

use alloy_consensus::Header;
use alloy_primitives::Address;
use interlace_evm::{StateReader, TxRequest, Vm};
use interlace_primitives::ChainSpec;

use crate::block::Transaction;
use crate::builder::BlockBuilder;
use crate::error::BlockError;

/// The machine of the block that `header` describes, on `state`, the state before it, after the transactions `before`.
///
/// # Errors
/// [`BlockError`] if one of the transactions is not valid there, or from the reader.
pub fn replay<'a, R: StateReader>(
    spec: &ChainSpec,
    header: &Header,
    before: impl IntoIterator<Item = (&'a Transaction, Address)>,
    state: R,
) -> Result<Vm<R>, BlockError<R::Error>> {
    let builder = BlockBuilder::resume(spec, header.clone(), Vec::new(), None, state, None)?;
    let mut vm = builder.into_vm();
    for (index, (tx, sender)) in before.into_iter().enumerate() {
        let request = TxRequest::from_transaction(tx, sender);
        vm.execute(&request).map_err(|error| BlockError::at(index, *tx.tx_hash(), error))?;
    }
    Ok(vm)
}
