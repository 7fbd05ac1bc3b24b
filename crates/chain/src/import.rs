//! Taking blocks that others made, with their access lists where there are any.
//!
//! Invariant: a block enters the chain only with the results of its own execution and the state root that they give; one that is refused leaves
//! everything as it was. An access list changes how fast a block is executed, and nothing else.
//! What it does not do: it decides no order between forks; a foreign block extends the head or is refused.

use std::sync::Arc;
use std::time::Instant;

use alloy_eip7928::BlockAccessList;
use alloy_primitives::{Address, B256};
use alloy_rlp::Decodable;
use interlace_executor::ListError;
use interlace_stf::{Block, BlockOutput, Changes, decode_block, recover_sender};
use rayon::prelude::*;

use crate::chain::Chain;
use crate::error::ChainError;
use crate::produce::{Draft, receipts_of};
use crate::store::StoredBlock;

impl Chain {
    /// Executes and commits a block that someone else built, given as RLP. It must extend the head.
    ///
    /// # Errors
    /// [`ChainError::Block`] with the rule that it breaks; nothing changed then.
    pub fn import(&self, rlp: &[u8]) -> Result<Arc<StoredBlock>, ChainError> {
        self.import_with(rlp, None).map(|(block, _)| block)
    }

    /// As [`Self::import`], with what is said to be the block's access list (EIP-7928), as RLP: then no transaction waits for another. Says
    /// whether the list is the block's.
    ///
    /// # Errors
    /// As [`Self::import`]. That the list is not the block's is none.
    pub fn import_listed(
        &self,
        rlp: &[u8],
        access_list: &[u8],
    ) -> Result<(Arc<StoredBlock>, Result<(), ListError>), ChainError> {
        let mut rest = access_list;
        let list = match BlockAccessList::decode(&mut rest) {
            Ok(list) if rest.is_empty() => list,
            Ok(_) => {
                let error = ListError::Form(format!("{} bytes after it", rest.len()));
                return Ok((self.import(rlp)?, Err(error)));
            }
            Err(error) => return Ok((self.import(rlp)?, Err(ListError::Form(error.to_string())))),
        };
        self.import_with(rlp, Some(&list))
    }

    fn import_with(
        &self,
        rlp: &[u8],
        list: Option<&BlockAccessList>,
    ) -> Result<(Arc<StoredBlock>, Result<(), ListError>), ChainError> {
        let block = decode_block(rlp).map_err(|reason| ChainError::Block { number: 0, reason })?;
        let number = block.header.number;
        let invalid = |reason: String| ChainError::Block { number, reason };
        let fork = self.spec.fork_at(number, block.header.timestamp);
        let senders: Vec<Address> = block
            .body
            .transactions
            .par_iter()
            .map(|transaction| recover_sender(transaction, fork))
            .collect::<Result<_, _>>()
            .map_err(|error| invalid(error.to_string()))?;
        let started = Instant::now();
        let alone = self.produce_alone();
        let (parent, state) = self.head_with_state();
        if block.header.parent_hash != parent.hash {
            return Err(invalid(format!("parent {} is not the head {}", block.header.parent_hash, parent.hash)));
        }
        let versions = self.state();
        let mut roots = |changes: &Changes| versions.root_after(changes);
        let (output, verdict) = self
            .execute(&parent.header, &block, &senders, &state, &mut roots, list.map(Vec::as_slice))
            .map_err(|error| invalid(error.to_string()))?;
        let expected = block.header.state_root;
        let draft = Draft { block: stored(block, senders, &output), output, rejected: Vec::new() };
        let block = self.seal(self.built(&alone, parent, state, draft, started).expecting(expected))?;
        if let Ok(developer) = self.developer() {
            developer.settle(number);
        }
        Ok((block, verdict))
    }
}

pub(crate) fn stored(block: Block, senders: Vec<Address>, output: &BlockOutput) -> StoredBlock {
    StoredBlock {
        receipts: receipts_of(output),
        hash: B256::ZERO,
        size: 0,
        senders,
        header: block.header,
        transactions: block.body.transactions,
        ommers: block.body.ommers,
        withdrawals: block.body.withdrawals,
    }
}
